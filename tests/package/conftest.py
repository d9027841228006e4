"""A small knowledge folder and the graph of some of its rows."""

from pathlib import Path

import pytest

from medllm.graph.store import Graph, Node

TABLES = {
    "sources": "id,source_type,title,where,retrieved\nlaw,statute,법,제41조,2026-11-22\n",
    "departments": (
        "id,name,group,hint,source,reviewed\ndep_a,내과,medical,내분비,law,false\ndep_em,응급의학과,medical,,law,false\n"
    ),
    "symptoms": "id,name,lay,department,source,reviewed\nsym_a,갈증,,dep_a,law,false\nsym_em,질식,,dep_em,law,false\n",
    "tests": "id,name,english,abbreviation,kind,purpose,source,reviewed\ntst_a,혈액투석,,,procedure,노폐물 제거,law,false\n",
    "drugs": (
        "id,name,english,brands,drug_class,caution,caution_source,source,reviewed\n"
        "drg_a,메트포르민,,,혈당강하제,,,law,false\ndrg_b,인슐린,,,혈당강하 주사제,,,law,false\n"
    ),
    "kcd": "id,name,version,source,reviewed\nE11,2형 당뇨병,KCD-8,law,false\n",
    "diseases": (
        "id,name,english,department,broader,symptoms,tests,drugs,kcd,kcd_source,summary,source,reviewed\n"
        "dis_a,당뇨병,,dep_a,,,,,,,혈당이 높은 질환입니다.,law,false\n"
    ),
    "terms": "id,standard,lay,english,abbreviation,old_names,source,reviewed\ntrm_a,뇌전증,,,,간질,law,false\n",
    "redflags": "id,name,level,pattern,exclude,advice,source,reviewed\nRF01,흉통,119,조이,,,law,false\n"
    + "".join(f"RF0{number},신호{number},119,말{number},,,law,false\n" for number in range(2, 5)),
}
CARRIED = {"dis_a": "disease", "sym_a": "symptom", "sym_em": "symptom", "drg_a": "drug", "trm_a": "term"}


@pytest.fixture
def small_knowledge(tmp_path: Path) -> Path:
    """Nine tables; nothing is reviewed."""
    folder = tmp_path / "knowledge"
    folder.mkdir()
    for table, text in TABLES.items():
        (folder / f"{table}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def small_graph(tmp_path: Path) -> Path:
    """A graph that carries one of the two drugs."""
    nodes = {key: Node(id=key, kind=kind, name=key, names=(key,), source="law", reviewed=False) for key, kind in CARRIED.items()}
    Graph(nodes=nodes, edges=(), facts=()).save(tmp_path / "graph")
    return tmp_path / "graph"
