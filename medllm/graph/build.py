"""From the knowledge tables to the graph: nodes with every surface form, edges, and facts with their Korean statements."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from medllm.data.knowledge import Fact, Knowledge, Term
from medllm.data.particles import attach
from medllm.errors import UserError
from medllm.graph.link import name_key, name_rank
from medllm.graph.phrases import phrases_of
from medllm.graph.retrieve import index_morphemes
from medllm.graph.store import Edge, Graph, GraphFact, Node

# A term whose standard name is already a node of one of these kinds becomes surface forms of that node; the first kind wins.
_MERGE_ORDER = ("disease", "symptom", "test", "drug", "department")
_COURSE = re.compile(r"(?:급성|만성) (.+)")
_MEASURED = re.compile(r"(.+) 측정")
_IN_BLOOD = re.compile(r"(?:혈청|혈중) ?(.+?) ?검사")
_PRESSURE = re.compile(r"(\S+[압당]) ?검사")
_ENDED = re.compile(r"(.+\S\S)(?:(?<!질)병|(?<![수시])술|증후군)|(.*\S{3})증")
# Spellings that live beside the one of the tables.
_SPELLINGS = (("알레르기", "알러지"), ("이비인후과", "이빈후과"), ("엑스선", "엑스레이"), ("콜레스테롤", "콜레스트롤"))
_SHORTEST_TAIL = 5  # letters of a name without its first word
_HANGUL = re.compile("[가-힣]")
# Cells that are the node itself or its edges.
_NO_ATTRIBUTES = frozenset(("id", "name", "standard", "source", "reviewed", "department", "broader", "symptoms", "tests", "drugs"))
# Not every name loses its "검사": 시야 or 질 분비물 alone mean something else.
_EXAMINED = re.compile(r"(\S{3,}?|.+ (?:초음파|엑스선|CT|MRI)) ?검사|(\S+ \S{2,})검사")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    nodes: dict[str, Node]
    owner: dict[str, str]  # row id (of any table) -> node id


def build_graph(knowledge: Knowledge, *, statement: Callable[[Fact], str]) -> Graph:
    """Build the graph of all tables; `statement` gives the Korean sentence of a fact. UserError when an id is in two tables.

    The cautions of drugs are facts of the graph as well (relation drug_caution), in their own words.
    """
    merged = _merge_terms(list(_entity_nodes(knowledge)), knowledge.terms.values())
    nodes = _with_variants({key: merged.nodes[key] for key in sorted(merged.nodes)})
    facts = {fact.id: fact for fact in (*_cautions(knowledge), *_stated(knowledge, merged.owner, statement))}
    return Graph(
        nodes=nodes,
        edges=tuple(sorted({*_table_edges(knowledge), *_synonym_edges(nodes)})),
        facts=tuple(
            replace(fact, morphemes=index_morphemes(fact.text, relation=fact.relation, names=nodes[fact.node].names))
            for _, fact in sorted(facts.items())
        ),
        phrases=_phrases(nodes.values()),
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
    """How people shorten a table name: 골밀도 검사 -> 골밀도, 혈압 측정 -> 혈압, 급성 췌장염 -> 췌장염, 수족구병 -> 수족구."""
    patterns = (_COURSE, _MEASURED, _EXAMINED, _IN_BLOOD, _PRESSURE, _ENDED)
    return [match[match.lastindex or 0] for pattern in patterns if (match := pattern.fullmatch(name))]


def _with_variants(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Nodes with their other spellings (알러지 비염), and tests without their first word where nothing else has that name (피부단자시험).

    Diseases and symptoms keep theirs: a swollen leg is not "한쪽 다리 부종".
    """
    tests = [node for node in nodes.values() if node.kind == "test"]
    tails = Counter(tail for node in tests for tail in {name_key(tail) for name in node.names for tail in _tail(name)})
    taken = {name_key(name) for node in nodes.values() for name in node.names}
    found = {}
    for key, node in nodes.items():
        forms = [name.replace(usual, other) for name in node.names for usual, other in _SPELLINGS if usual in name]
        if node.kind == "test":
            forms += [tail for name in node.names for tail in _tail(name) if tails[name_key(tail)] == 1]
        found[key] = replace(node, names=_names(*node.names, *(form for form in forms if name_key(form) not in taken)))
    return found


def _tail(name: str) -> list[str]:
    tail = name.partition(" ")[2]
    return [tail, *_short_forms(tail)] if _HANGUL.match(tail) and len(tail.replace(" ", "")) >= _SHORTEST_TAIL else []


def _split(cell: str) -> list[str]:
    """Items of a cell that may list several abbreviations ("ECG;EKG")."""
    return [item.strip() for item in cell.split(";")]


def _entity_nodes(knowledge: Knowledge) -> Iterator[Node]:
    for department in knowledge.departments.values():
        yield _node("department", department, _names(department.name))
    for symptom in knowledge.symptoms.values():
        yield _node("symptom", symptom, _names(symptom.name, *symptom.lay))
    for test in knowledge.tests.values():
        names = _names(test.name, *_short_forms(test.name), *_split(test.english), *_split(test.abbreviation))
        yield _node("test", test, names)
    for drug in knowledge.drugs.values():
        yield _node("drug", drug, _names(drug.name, *_split(drug.english), *drug.brands))
    for disease in knowledge.diseases.values():
        code = knowledge.kcd.get(disease.kcd)
        node = _node("disease", disease, _names(disease.name, *_short_forms(disease.name), *_split(disease.english)))
        yield replace(node, attributes={**node.attributes, **({"kcd_name": code.name, "kcd_version": code.version} if code else {})})


def _node(kind: str, row: Any, names: tuple[str, ...]) -> Node:
    """A node with the filled cells of its row that are no edges; lists are joined by ";"."""
    attributes = {}
    for column in fields(row):
        value = getattr(row, column.name)
        text = ";".join(value) if isinstance(value, tuple) else str(value)
        if text and column.name not in _NO_ATTRIBUTES:
            attributes["test_kind" if column.name == "kind" else column.name] = text
    return Node(id=row.id, kind=kind, name=names[0], names=names, source=row.source, reviewed=row.reviewed, attributes=attributes)


def _stated(knowledge: Knowledge, owner: Mapping[str, str], statement: Callable[[Fact], str]) -> Iterator[GraphFact]:
    for fact in knowledge.facts():
        yield GraphFact(
            id=fact.id, relation=fact.relation, node=owner[fact.id.split(":", 1)[1]], subject=fact.subject, object=fact.object,
            text=statement(fact), source=fact.source,
        )  # fmt: skip


def _cautions(knowledge: Knowledge) -> Iterator[GraphFact]:
    """The cautions of drugs: facts of the graph alone, as Knowledge.facts() gives what models are trained on."""
    for drug in knowledge.drugs.values():
        if drug.caution:
            text = f"{attach(drug.name, '을/를')} 쓸 때 주의할 점입니다. {drug.caution}"
            yield GraphFact(
                id=f"drug_caution:{drug.id}", relation="drug_caution", node=drug.id, subject=drug.name, object=drug.caution, text=text,
                source=drug.caution_source,
            )  # fmt: skip


def _phrases(nodes: Iterable[Node]) -> dict[str, str]:
    """Phrase -> node id for the names in Hangul that inflect or have parts; a shared phrase goes where a shared name does."""
    best: dict[str, tuple[Any, str]] = {}
    nodes = list(nodes)
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes:
        for name in node.names:
            owners[name_key(name)].add(node.id)
    for node in nodes:
        for name in node.names:
            rank = name_rank(name, node)
            # "두드러기가 올라옴" says no more than 두드러기, which may be another node
            for phrase in (phrase for phrase in phrases_of(name) if owners.get(phrase.removesuffix("나"), {node.id}) == {node.id}):
                best[phrase] = min(best.get(phrase, (rank, node.id)), (rank, node.id))
    return {phrase: best[phrase][1] for phrase in sorted(best)}


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
            _add(nodes, _node("term", term, forms))
        else:
            node = nodes[target]
            attributes: Mapping[str, str] = {**_node("term", term, forms).attributes, **node.attributes}
            nodes[target] = replace(
                node, names=_names(*node.names, *forms), reviewed=node.reviewed and term.reviewed, attributes=attributes
            )
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
        if disease.broader:
            yield Edge(source=disease.id, relation="broader", target=disease.broader)
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
