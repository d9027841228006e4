"""The graph of small tables: nodes, merged terms, edges, facts; equal bytes, a whole round trip, and clear errors on a broken file."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medllm.data.knowledge import Department, Disease, Drug, KcdCode, Knowledge, MedicalTest, Source, Symptom, Term
from medllm.errors import UserError
from medllm.graph.build import build_graph, write_graph
from medllm.graph.store import Edge, Graph

ROW: dict[str, Any] = {"source": "gk", "reviewed": False}


@pytest.fixture
def knowledge() -> Knowledge:
    departments = Department(id="dep_in", name="내과", group="medical", hint="", **ROW)
    cough = Symptom(id="sym_cough", name="기침", lay=("콜록거림",), department="dep_in", **ROW)
    test = MedicalTest(id="tst_a1c", name="당화혈색소 검사", english="", abbreviation="HbA1c", kind="test", purpose="평균 혈당", **ROW)
    drug = Drug(
        id="drg_a", name="메트포르민", english="metformin", brands=(), drug_class="혈당강하제", caution="", caution_source="", **ROW
    )  # fmt: skip
    disease = Disease(
        id="dis_b", name="급성 기관지염", english="acute bronchitis", department="dep_in", symptoms=("sym_cough",), tests=("tst_a1c",),
        drugs=("drg_a",), broader="", kcd="", kcd_source="", summary="요약", **ROW,
    )  # fmt: skip
    terms = [
        Term(id="trm_1", standard="기침", lay=("콜록콜록",), english="cough", abbreviation="", old_names=(), **ROW),
        Term(id="trm_2", standard="해수", lay=("기침",), english="", abbreviation="A1;B1", old_names=("옛해수",), **ROW),
        Term(id="trm_3", standard="기관지염", lay=("숨관 염증",), english="", abbreviation="", old_names=(), **ROW),
    ]
    return Knowledge(
        sources={"gk": Source(id="gk", source_type="general_knowledge", title="t", where="w", retrieved="2026-11-22")},
        departments={"dep_in": departments}, symptoms={"sym_cough": cough}, tests={"tst_a1c": test}, drugs={"drg_a": drug}, kcd={},
        diseases={"dis_b": disease}, terms={term.id: term for term in terms}, redflags={},
    )  # fmt: skip


@pytest.fixture
def graph(knowledge: Knowledge) -> Graph:
    return build_graph(knowledge, statement=lambda fact: f"{fact.subject}: {fact.object}")


def test_nodes_hold_every_surface_form(graph: Graph) -> None:
    assert {key: node.names for key, node in graph.nodes.items()} == {
        "dep_in": ("내과",),
        "dis_b": ("급성 기관지염", "기관지염", "acute bronchitis", "숨관 염증"),
        "drg_a": ("메트포르민", "metformin"),
        "sym_cough": ("기침", "콜록거림", "콜록콜록", "cough"),
        "trm_2": ("해수", "기침", "A1", "B1", "옛해수"),
        "tst_a1c": ("당화혈색소 검사", "당화혈색소", "HbA1c"),
    }


def test_edges_follow_the_tables(graph: Graph) -> None:
    assert {(edge.source, edge.relation, edge.target) for edge in graph.edges} == {
        ("dis_b", "has_symptom", "sym_cough"),
        ("dis_b", "examined_by", "tst_a1c"),
        ("dis_b", "treated_with", "drg_a"),
        ("dis_b", "routes_to", "dep_in"),
        ("sym_cough", "routes_to", "dep_in"),
        ("trm_2", "synonym", "sym_cough"),
    }


def test_facts_keep_their_id_and_point_to_the_node_of_their_subject(knowledge: Knowledge, graph: Graph) -> None:
    assert [(fact.id, fact.subject, fact.object) for fact in graph.facts] == [(f.id, f.subject, f.object) for f in knowledge.facts()]
    nodes = {fact.id: fact.node for fact in graph.facts}
    assert nodes["term:trm_1"] == "sym_cough"  # merged by its standard name
    assert nodes["term:trm_2"] == "trm_2"
    assert nodes["term:trm_3"] == "dis_b"  # merged by the short form of the disease name
    assert next(fact.text for fact in graph.facts if fact.id == "drug_class:drg_a") == "메트포르민: 혈당강하제"


def test_every_column_of_the_tables_is_in_the_graph(knowledge: Knowledge) -> None:
    bronchitis = replace(knowledge.diseases["dis_b"], kcd="J20", kcd_source="gk", broader="dis_w")
    wide = replace(bronchitis, id="dis_w", name="기도 감염", english="", kcd="", kcd_source="", broader="")
    drug = replace(knowledge.drugs["drg_a"], brands=("다이아벡스",), caution="신장이 나쁘면 쓰지 않습니다.", caution_source="gk")
    code = KcdCode(id="J20", name="급성 기관지염", version="KCD-9", **ROW)
    graph = build_graph(
        replace(knowledge, diseases={"dis_b": bronchitis, "dis_w": wide}, drugs={"drg_a": drug}, kcd={"J20": code}),
        statement=lambda fact: fact.object,
    )
    assert graph.nodes["dep_in"].attributes == {"group": "medical"}
    assert graph.nodes["tst_a1c"].attributes == {"abbreviation": "HbA1c", "test_kind": "test", "purpose": "평균 혈당"}
    disease = graph.nodes["dis_b"].attributes
    assert {"kcd": "J20", "kcd_version": "KCD-9", "kcd_name": "급성 기관지염", "summary": "요약"}.items() <= disease.items()
    assert "kcd" not in graph.nodes["dis_w"].attributes
    assert graph.nodes["drg_a"].names == ("메트포르민", "metformin", "다이아벡스")
    assert Edge(source="dis_b", relation="broader", target="dis_w") in graph.edges
    caution = next(fact for fact in graph.facts if fact.relation == "drug_caution")
    assert (caution.id, caution.node, caution.object) == ("drug_caution:drg_a", "drg_a", drug.caution)
    assert caution.text == "메트포르민을 쓸 때 주의할 점입니다. 신장이 나쁘면 쓰지 않습니다."
    assert "drug_caution" not in {fact.relation for fact in knowledge.facts()}


def test_inflected_names_are_kept_with_the_graph(knowledge: Knowledge) -> None:
    cough = replace(knowledge.symptoms["sym_cough"], lay=("콜록거림", "기침이 멎지 않음", "열이 남"))
    graph = build_graph(replace(knowledge, symptoms={"sym_cough": cough}), statement=lambda fact: fact.object)
    assert {graph.phrases[phrase] for phrase in ("콜록", "기침!멎", "열나")} == {"sym_cough"}
    assert all("콜록" in fact.morphemes for fact in graph.facts if fact.node == "sym_cough")


def test_an_id_in_two_tables_is_refused(knowledge: Knowledge) -> None:
    twin = replace(knowledge.drugs["drg_a"], id="sym_cough")
    with pytest.raises(UserError, match="sym_cough"):
        build_graph(replace(knowledge, drugs={"drg_a": knowledge.drugs["drg_a"], "sym_cough": twin}), statement=lambda fact: fact.object)


def test_round_trip_gives_equal_graph_and_equal_bytes(graph: Graph, tmp_path: Path) -> None:
    graph.save(tmp_path / "a")
    loaded = Graph.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert loaded == graph
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == ["graph.graphml", "graph.json"]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_counts_of_what_was_written(knowledge: Knowledge, tmp_path: Path) -> None:
    counts = write_graph(knowledge, tmp_path, statement=lambda fact: fact.object)
    graph = Graph.load(tmp_path)
    assert list(counts) == sorted(counts)
    assert counts["facts"] == len(graph.facts) == 9
    assert sum(count for key, count in counts.items() if key.startswith("nodes_")) == len(graph.nodes)
    assert sum(count for key, count in counts.items() if key.startswith("edges_")) == len(graph.edges)
    assert counts["names"] == 18


def test_graphml_holds_the_same_nodes_and_edges(graph: Graph, tmp_path: Path) -> None:
    graph.save(tmp_path)
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    root = ET.parse(tmp_path / "graph.graphml").getroot()
    keys = {key.get("id"): key.get("attr.name") for key in root.findall("g:key", space)}
    nodes = {
        node.get("id"): {keys[data.get("key")]: data.text for data in node.findall("g:data", space)}
        for node in root.findall("g:graph/g:node", space)
    }
    edges = [
        (edge.get("source"), edge.findtext("g:data", namespaces=space), edge.get("target"))
        for edge in root.findall("g:graph/g:edge", space)
    ]
    assert nodes["trm_2"] == {
        "kind": "term", "name": "해수", "names": "해수;기침;A1;B1;옛해수", "source": "gk", "reviewed": "false",
        "lay": "기침", "abbreviation": "A1;B1", "old_names": "옛해수",
    }  # fmt: skip
    assert set(nodes) == set(graph.nodes)
    assert edges == [(edge.source, edge.relation, edge.target) for edge in graph.edges]


def _broken(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The content with the value at a dotted path replaced; a value of None removes the key."""
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place: Any = content
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 99, "version"),
        ("nodes", {}, "nodes is not a list"),
        ("nodes.0.kind", "planet", "planet"),
        ("nodes.0.kind", None, r"nodes\[0\]"),
        ("nodes.0.names", [], "names"),
        ("nodes.0.names", "내과", "names"),
        ("nodes.0.names", ["외과"], "own name first"),
        ("nodes.0.reviewed", "false", "reviewed"),
        ("nodes.1.id", "dep_in", "twice"),
        ("edges.0.target", "dis_none", "dis_none"),
        ("edges.0.relation", "likes", "likes"),
        ("facts.0.node", "dis_none", "dis_none"),
        ("facts.0.text", "", "text"),
        ("facts.1.id", "department:dis_b", "twice"),
        ("facts.0.extra", "x", r"facts\[0\]"),
        ("facts.0.morphemes", ["", "x"], "morphemes"),
        ("nodes.0.attributes", {"group": 1}, "attributes"),
        ("phrases", None, "phrases"),
        ("phrases", {"열나": "sym_none"}, "sym_none"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(graph: Graph, tmp_path: Path, path: str, value: Any, message: str) -> None:
    graph.save(tmp_path)
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(_broken(json.loads(file.read_text(encoding="utf-8")), path, value)), encoding="utf-8")
    with pytest.raises(UserError, match=message) as raised:
        Graph.load(tmp_path)
    assert str(raised.value).startswith(str(file))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.json").write_bytes(content)
    with pytest.raises(UserError, match=r"graph\.json"):
        Graph.load(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="build_graph"):
        Graph.load(tmp_path)
