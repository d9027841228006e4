"""The knowledge graph as a value, and its two files: graph.json (what the service loads) and graph.graphml (for graph tools)."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from medllm.errors import UserError

GRAPH_FILE = "graph.json"
GRAPHML_FILE = "graph.graphml"
VERSION = 2
KINDS = ("disease", "symptom", "test", "drug", "department", "term")
EDGE_RELATIONS = ("has_symptom", "examined_by", "treated_with", "routes_to", "broader", "synonym")
_GRAPHML = "http://graphml.graphdrawing.org/xmlns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A thing of the tables. `names` are all surface forms, the standard `name` first; `source` is an id of sources.csv.

    `attributes` are the other filled cells of its row: kcd and kcd_version, group, drug_class, caution, purpose, summary and so on.
    """

    id: str
    kind: str
    name: str
    names: tuple[str, ...]
    source: str
    reviewed: bool
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Edge:
    """A directed relation between two node ids."""

    source: str
    relation: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFact:
    """A fact with its Korean statement. `node` is the id of the subject's node; `subject` and `object` are display names.

    `morphemes` are the words under which retrieval files the fact.
    """

    id: str
    relation: str
    node: str
    subject: str
    object: str
    text: str
    source: str
    morphemes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes by id, edges and facts; everything is sorted, so equal graphs give equal bytes.

    `phrases` are the names that inflect, as medllm.graph.phrases spells them, with the ids of their nodes. They and the morphemes of the
    facts are kept because the analyser needs seconds for all tables: a service analyses questions only.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    facts: tuple[GraphFact, ...]
    phrases: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write graph.json and graph.graphml."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "version": VERSION,
            "nodes": [asdict(self.nodes[key]) for key in sorted(self.nodes)],
            "edges": [asdict(edge) for edge in sorted(self.edges)],
            "facts": [asdict(fact) for fact in sorted(self.facts, key=lambda fact: fact.id)],
            "phrases": dict(self.phrases),
        }
        (folder / GRAPH_FILE).write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (folder / GRAPHML_FILE).write_text(_graphml(self), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Graph":
        """Read graph.json; UserError on a missing file, a field of the wrong type, or a link to a node that is not there."""
        path = folder / GRAPH_FILE
        if not path.is_file():
            raise UserError(f"{path}: no such file; run the build_graph stage (dvc repro build_graph)")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: not valid JSON ({error}); run the build_graph stage again") from error
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise UserError(f"{path}: not a graph of version {VERSION}; run the build_graph stage again")
        nodes = _rows(Node, content, "nodes", path)
        graph = cls(
            nodes={node.id: node for node in nodes},
            edges=tuple(_rows(Edge, content, "edges", path)),
            facts=tuple(_rows(GraphFact, content, "facts", path)),
            phrases=_texts(content.get("phrases"), f"{path}: phrases"),
        )
        _check_nodes(nodes, path)
        _check_links(graph, path)
        return graph


Row = TypeVar("Row", Node, Edge, GraphFact)


def _rows(row_type: type[Row], content: Mapping[str, Any], key: str, path: Path) -> list[Row]:
    rows = content.get(key)
    if not isinstance(rows, list):
        raise UserError(f"{path}: {key} is not a list; run the build_graph stage again")
    return [_row(row_type, row, f"{path}: {key}[{index}]") for index, row in enumerate(rows)]


def _row(row_type: type[Row], row: Any, where: str) -> Row:
    names = {column.name for column in fields(row_type)}
    if not isinstance(row, dict) or set(row) != names:
        raise UserError(f"{where}: the fields are not {', '.join(sorted(names))}; run the build_graph stage again")
    return row_type(**{column.name: _value(column.type, row[column.name], f"{where}: {column.name}") for column in fields(row_type)})


def _value(kind: Any, value: Any, where: str) -> Any:
    """A field of a row in its type; only attributes and morphemes may be empty."""
    if kind == Mapping[str, str]:
        return _texts(value, where)
    if kind == tuple[str, ...]:
        optional = where.endswith("morphemes")
        good = isinstance(value, list) and (optional or bool(value)) and all(isinstance(item, str) and item for item in value)
    else:
        good = isinstance(value, bool) if kind is bool else isinstance(value, str) and value != ""
    if not good:
        raise UserError(f"{where} is {value!r}; run the build_graph stage again")
    return tuple(value) if isinstance(value, list) else value


def _texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) and item for pair in value.items() for item in pair):
        raise UserError(f"{where} is {value!r:.80}; run the build_graph stage again")
    return value


def _check_nodes(nodes: list[Node], path: Path) -> None:
    seen: set[str] = set()
    for node in nodes:
        if node.kind not in KINDS:
            raise UserError(f"{path}: node {node.id!r} has the unknown kind {node.kind!r}; kinds are {', '.join(KINDS)}")
        if node.id in seen:
            raise UserError(f"{path}: node {node.id!r} is there twice; run the build_graph stage again")
        if node.names[0] != node.name:
            raise UserError(f"{path}: node {node.id!r} does not list its own name first; run the build_graph stage again")
        seen.add(node.id)


def _check_links(graph: Graph, path: Path) -> None:
    for phrase, node_id in graph.phrases.items():
        if node_id not in graph.nodes:
            raise UserError(f"{path}: phrase {phrase!r} names the unknown node {node_id!r}; run the build_graph stage again")
    for edge in graph.edges:
        if edge.relation not in EDGE_RELATIONS:
            raise UserError(f"{path}: unknown edge relation {edge.relation!r}; relations are {', '.join(EDGE_RELATIONS)}")
        for end in (edge.source, edge.target):
            if end not in graph.nodes:
                raise UserError(f"{path}: an edge names the unknown node {end!r}; run the build_graph stage again")
    seen: set[str] = set()
    for fact in graph.facts:
        if fact.node not in graph.nodes:
            raise UserError(f"{path}: fact {fact.id!r} names the unknown node {fact.node!r}; run the build_graph stage again")
        if fact.id in seen:
            raise UserError(f"{path}: fact {fact.id!r} is there twice; run the build_graph stage again")
        seen.add(fact.id)


def _graphml(graph: Graph) -> str:
    """GraphML (graphml.graphdrawing.org): node data are kind, name, names (joined by ";"), source, reviewed and the attributes that it has;
    edge data is relation.
    """
    root = ET.Element("graphml", xmlns=_GRAPHML)
    own = [column.name for column in fields(Node) if column.name not in ("id", "attributes")]
    extra = sorted({name for node in graph.nodes.values() for name in node.attributes})
    for name in (*own, *extra):
        _key(root, "node", name, "boolean" if name == "reviewed" else "string")
    _key(root, "edge", "relation", "string")
    body = ET.SubElement(root, "graph", id="medllm", edgedefault="directed")
    for node_id in sorted(graph.nodes):
        node = graph.nodes[node_id]
        element = ET.SubElement(body, "node", id=node.id)
        cells = {name: getattr(node, name) for name in own}
        cells |= {"names": ";".join(node.names), "reviewed": str(node.reviewed).lower(), **dict(sorted(node.attributes.items()))}
        for name, value in cells.items():
            ET.SubElement(element, "data", key=f"node_{name}").text = value
    for edge in sorted(graph.edges):
        element = ET.SubElement(body, "edge", source=edge.source, target=edge.target)
        ET.SubElement(element, "data", key="edge_relation").text = edge.relation
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _key(root: ET.Element, owner: str, name: str, kind: str) -> None:
    ET.SubElement(root, "key", {"id": f"{owner}_{name}", "for": owner, "attr.name": name, "attr.type": kind})
