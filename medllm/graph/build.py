"""From the knowledge tables to the graph: nodes with every surface form, edges, and facts with their Korean statements."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medllm.data.knowledge import Fact, Knowledge, Term
from medllm.errors import UserError
from medllm.graph.link import name_key
from medllm.graph.store import Edge, Graph, GraphFact, Node

# A term whose standard name is already a node of one of these kinds becomes surface forms of that node; the first kind wins.
_MERGE_ORDER = ("disease", "symptom", "test", "drug", "department")
_COURSE = re.compile(r"(?:급성|만성) (.+)")
_MEASURED = re.compile(r"(.+) 측정")
# Not every name loses its "검사": 시야 or 질 분비물 alone mean something else.
_EXAMINED = re.compile(r"(\S{3,}?|.+ (?:초음파|엑스선|CT|MRI)) ?검사")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    nodes: dict[str, Node]
    owner: dict[str, str]  # row id (of any table) -> node id


def build_graph(knowledge: Knowledge, *, statement: Callable[[Fact], str]) -> Graph:
    """Build the graph of all tables; `statement` gives the Korean sentence of a fact. UserError when an id is in two tables."""
    merged = _merge_terms(list(_entity_nodes(knowledge)), knowledge.terms.values())
    edges = {*_table_edges(knowledge), *_synonym_edges(merged.nodes)}
    facts = [
        GraphFact(
            id=fact.id, relation=fact.relation, node=merged.owner[fact.id.split(":", 1)[1]], subject=fact.subject, object=fact.object,
            text=statement(fact), source=fact.source,
        )
        for fact in knowledge.facts()
    ]  # fmt: skip
    return Graph(
        nodes={key: merged.nodes[key] for key in sorted(merged.nodes)},
        edges=tuple(sorted(edges)),
        facts=tuple(sorted(facts, key=lambda fact: fact.id)),
    )


def write_graph(knowledge: Knowledge, folder: Path, *, statement: Callable[[Fact], str]) -> dict[str, int]:
    """Build and save the graph; returns counts: nodes_<kind>, edges_<relation>, facts, names (distinct surface forms)."""
    graph = build_graph(knowledge, statement=statement)
    graph.save(folder)
    kinds = Counter(f"nodes_{node.kind}" for node in graph.nodes.values())
    relations = Counter(f"edges_{edge.relation}" for edge in graph.edges)
    names = {name_key(name) for node in graph.nodes.values() for name in node.names}
    return dict(sorted({**kinds, **relations, "facts": len(graph.facts), "names": len(names)}.items()))


def _names(*forms: str) -> tuple[str, ...]:
    """Distinct non-empty forms in the given order; forms that differ in spaces or case only are kept, as people write both."""
    return tuple(dict.fromkeys(form for form in forms if form))


def _short_forms(name: str) -> list[str]:
    """How people shorten a table name: 골밀도 검사 -> 골밀도, 혈압 측정 -> 혈압, 급성 췌장염 -> 췌장염."""
    return [match[1] for pattern in (_COURSE, _MEASURED, _EXAMINED) if (match := pattern.fullmatch(name))]


def _split(cell: str) -> list[str]:
    """Items of a cell that may list several abbreviations ("ECG;EKG")."""
    return [item.strip() for item in cell.split(";")]


def _entity_nodes(knowledge: Knowledge) -> Iterator[Node]:
    for department in knowledge.departments.values():
        yield _node("department", department.id, _names(department.name), department.source, department.reviewed)
    for symptom in knowledge.symptoms.values():
        yield _node("symptom", symptom.id, _names(symptom.name, *symptom.lay), symptom.source, symptom.reviewed)
    for test in knowledge.tests.values():
        names = _names(test.name, *_short_forms(test.name), *_split(test.english), *_split(test.abbreviation))
        yield _node("test", test.id, names, test.source, test.reviewed)
    for drug in knowledge.drugs.values():
        yield _node("drug", drug.id, _names(drug.name, *_split(drug.english)), drug.source, drug.reviewed)
    for disease in knowledge.diseases.values():
        names = _names(disease.name, *_short_forms(disease.name), *_split(disease.english))
        yield _node("disease", disease.id, names, disease.source, disease.reviewed)


def _node(kind: str, row_id: str, names: tuple[str, ...], source: str, reviewed: bool) -> Node:
    return Node(id=row_id, kind=kind, name=names[0], names=names, source=source, reviewed=reviewed)


def _merge_terms(entities: list[Node], terms: Iterable[Term]) -> _Merged:
    """Terms become nodes of their own, or surface forms of the node that has their standard name."""
    nodes: dict[str, Node] = {}
    by_name: dict[str, str] = {}
    for node in sorted(entities, key=lambda node: (_MERGE_ORDER.index(node.kind), node.id)):
        _add(nodes, node)
        by_name.setdefault(name_key(node.name), node.id)
    for node in entities:
        for short in _short_forms(node.name) if node.kind == "disease" else ():
            by_name.setdefault(name_key(short), node.id)
    owner = {key: key for key in nodes}
    for term in terms:
        forms = _names(term.standard, *term.lay, *_split(term.english), *_split(term.abbreviation), *term.old_names)
        target = by_name.get(name_key(term.standard))
        if target is None:
            _add(nodes, _node("term", term.id, forms, term.source, term.reviewed))
        else:
            node = nodes[target]
            nodes[target] = replace(node, names=_names(*node.names, *forms), reviewed=node.reviewed and term.reviewed)
        owner[term.id] = target or term.id
    return _Merged(nodes=nodes, owner=owner)


def _add(nodes: dict[str, Node], node: Node) -> None:
    if node.id in nodes:
        raise UserError(f"data/knowledge: id {node.id!r} is in two tables; give every row its own id")
    nodes[node.id] = node


def _table_edges(knowledge: Knowledge) -> Iterator[Edge]:
    for symptom in knowledge.symptoms.values():
        yield Edge(source=symptom.id, relation="routes_to", target=symptom.department)
    for disease in knowledge.diseases.values():
        yield Edge(source=disease.id, relation="routes_to", target=disease.department)
        for relation, targets in (("has_symptom", disease.symptoms), ("examined_by", disease.tests), ("treated_with", disease.drugs)):
            for target in targets:
                yield Edge(source=disease.id, relation=relation, target=target)


def _synonym_edges(nodes: dict[str, Node]) -> Iterator[Edge]:
    """A node points to every other node whose standard name is one of its surface forms (term 급성 비인두염 -> disease 감기)."""
    standard: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        standard[name_key(node.name)].append(node.id)
    for node in nodes.values():
        for name in node.names:
            for target in standard[name_key(name)]:
                if target != node.id:
                    yield Edge(source=node.id, relation="synonym", target=target)
