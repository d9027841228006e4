"""The picture of the graph: equal bytes for equal graphs, a dot for everything that is routed, Korean labels as text, no warnings."""

import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from medllm.errors import UserError
from medllm.graph.store import Edge, Graph, Node
from medllm.report.graph_picture import graph_picture


def _node(node_id: str, kind: str, name: str, **attributes: str) -> Node:
    return Node(id=node_id, kind=kind, name=name, names=(name,), source="s", reviewed=False, attributes=attributes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nodes = [
        _node("dep_a", "department", "내과"), _node("dep_b", "department", "외과"), _node("dep_c", "department", "안과"),
        _node("dis_a", "disease", "당뇨병", kcd="E11"), _node("dis_b", "disease", "충수염"), _node("sym_a", "symptom", "갈증"),
        _node("tst_a", "test", "혈당 검사"), _node("drg_a", "drug", "메트포르민"),
    ]  # fmt: skip
    edges = [
        ("dis_a", "routes_to", "dep_a"), ("dis_b", "routes_to", "dep_b"), ("sym_a", "routes_to", "dep_a"),
        ("dis_a", "has_symptom", "sym_a"), ("dis_a", "examined_by", "tst_a"), ("dis_a", "treated_with", "drg_a"),
    ]  # fmt: skip
    graph = Graph(
        nodes={node.id: node for node in nodes}, edges=tuple(Edge(source=a, relation=b, target=c) for a, b, c in sorted(edges)), facts=()
    )
    graph.save(tmp_path)
    return tmp_path


def test_same_graph_same_bytes_without_warnings(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert graph_picture(folder) == graph_picture(folder)


def test_hubs_and_one_neighbourhood_are_labelled(folder: Path) -> None:
    picture = graph_picture(folder)
    texts = ["".join(text.itertext()).strip() for text in ET.fromstring(picture).iter("text")]
    # the department of the example stands in both parts; one to which nothing is routed in none
    assert [texts.count(name) for name in ("내과", "외과", "안과")] == [2, 1, 0]
    assert "1 diseases, 1 symptoms" in texts
    assert {"당뇨병 E11", "갈증", "혈당 검사", "메트포르민", "has_symptom", "examined_by", "treated_with"} <= set(texts)
    assert "충수염" not in texts
    assert re.search(r'aria-label="[^"]+"', picture)


def test_a_graph_without_diseases_is_drawn_too(tmp_path: Path) -> None:
    Graph(nodes={"dep_a": _node("dep_a", "department", "내과")}, edges=(), facts=()).save(tmp_path)
    assert graph_picture(tmp_path).startswith("<svg")


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"graph\.json"):
        graph_picture(tmp_path)
