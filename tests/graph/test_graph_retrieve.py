"""Retrieval: the asked relation comes first, whatever the wording; nothing comes for a question without a name."""

from dataclasses import replace

import pytest

from medllm.data.knowledge import Knowledge
from medllm.data.sample.forms import FORMS, fill
from medllm.graph.retrieve import Retriever, index_morphemes
from medllm.graph.store import Edge, Graph, GraphFact, Node


def _node(node_id: str, kind: str, *names: str) -> Node:
    return Node(id=node_id, kind=kind, name=names[0], names=names, source="s", reviewed=False)


def _fact(fact_id: str, node: str) -> GraphFact:
    return GraphFact(id=fact_id, relation=fact_id.split(":")[0], node=node, subject="s", object="o", text="문장입니다.", source="s")


@pytest.fixture
def retriever() -> Retriever:
    nodes = [
        _node("dis_a", "disease", "충수염", "맹장염"),
        _node("dis_b", "disease", "편두통"),
        _node("sym_s", "symptom", "기침"),
        _node("tst_t", "test", "소변검사"),
        _node("drg_d", "drug", "와파린"),
        _node("trm_c", "term", "해수", "마른기침"),
    ]
    ids = [
        "department:dis_a", "symptom:dis_a", "test:dis_a", "term:dis_a", "department:dis_b", "symptom:dis_b",
        "symptom_department:sym_s", "term:sym_s", "test_purpose:tst_t", "term:tst_t", "drug_class:drg_d", "term:drg_d", "term:trm_c",
    ]  # fmt: skip
    return Retriever(
        Graph(
            nodes={node.id: node for node in nodes},
            edges=(Edge(source="trm_c", relation="synonym", target="sym_s"),),
            facts=tuple(_fact(fact_id, fact_id.split(":")[1]) for fact_id in ids),
        )
    )


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("맹장염이 의심되면 어느 과로 가야 하나요?", "department:dis_a"),
        ("충수염은 진료과가 어디예요", "department:dis_a"),
        ("맹장염 같은데 어느 병원에 가죠", "department:dis_a"),
        ("맹장염 증상 알려 주세요", "symptom:dis_a"),
        ("맹장염인지 알려면 어떤 검사를 받나요", "test:dis_a"),
        ("맹장염의 정식 명칭이 뭔가요", "term:dis_a"),
        ("맹장염을 병원에서는 뭐라고 부르나요", "term:dis_a"),
        ("기침 증상은 무슨 과에서 보나요", "symptom_department:sym_s"),
        ("기침을 의학 용어로 하면요?", "term:sym_s"),
        ("소변검사는 무엇을 보는 검사인가요", "test_purpose:tst_t"),
        ("소변 검사는 왜 하는 건가요", "test_purpose:tst_t"),
        ("소변검사의 의학 용어", "term:tst_t"),
        ("와파린은 어떤 계열이에요", "drug_class:drg_d"),
        ("와파린은 무슨 종류의 약인지", "drug_class:drg_d"),
    ],
)
def test_the_asked_relation_comes_first(retriever: Retriever, question: str, first: str) -> None:
    assert retriever.facts_for(question, limit=8)[0].id == first


def test_facts_of_the_named_nodes_only_with_ties_by_id(retriever: Retriever) -> None:
    ids = [fact.id for fact in retriever.facts_for("맹장염이 뭐예요", limit=8)]
    assert ids == ["department:dis_a", "symptom:dis_a", "term:dis_a", "test:dis_a"]


def test_several_names_share_the_limit(retriever: Retriever) -> None:
    ids = [fact.id for fact in retriever.facts_for("편두통과 충수염은 어느 과예요", limit=3)]
    assert ids == ["department:dis_a", "department:dis_b", "symptom:dis_a"]


def test_a_synonym_brings_the_facts_of_the_other_node(retriever: Retriever) -> None:
    assert [fact.id for fact in retriever.facts_for("해수는 어느 과", limit=8)] == ["symptom_department:sym_s", "term:trm_c", "term:sym_s"]
    assert {fact.id for fact in retriever.facts_for("기침은요", limit=8)} == {"symptom_department:sym_s", "term:sym_s", "term:trm_c"}


def test_the_name_itself_is_no_cue(retriever: Retriever) -> None:
    assert retriever.facts_for("소변검사 소변검사", limit=1)[0].id == "term:tst_t"  # no cue: by id, not "검사" -> test_purpose


@pytest.mark.parametrize("question", ["", "오늘 날씨 어때요?", "주식을 사도 될까요", "어느 과로 가야 하나요?"])
def test_nothing_named_gives_no_fact(retriever: Retriever, question: str) -> None:
    assert retriever.facts_for(question, limit=8) == []


def test_every_fact_is_found_by_a_question_form(whole_knowledge: Knowledge, whole_retriever: Retriever) -> None:
    missed = []
    for number, fact in enumerate(whole_knowledge.facts()):
        forms = (*FORMS[fact.relation].train[:2], *FORMS[fact.relation].held_out)
        question = fill(forms[number % len(forms)], fact)
        if fact.id not in [found.id for found in whole_retriever.facts_for(question, limit=3)]:
            missed.append(question)
    assert missed == []


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("콜록거리는데 무슨 병일까요", {"symptom"}),  # of its neighbours over has_symptom
        ("와파린 먹을 때 조심할 점은요", {"drug_caution"}),
        ("어느 과에 가야 하나요", set()),
    ],
)
def test_the_graph_answers_what_the_named_node_does_not(whole_retriever: Retriever, question: str, kinds: set[str]) -> None:
    assert {fact.relation for fact in whole_retriever.facts_for(question, limit=1)} == kinds


def test_without_a_name_several_shared_words_lead_to_a_fact() -> None:
    node = _node("dis_a", "disease", "일산화탄소중독", "연탄가스 사고")
    text = "연탄가스 사고에는 고압산소를 씁니다."
    fact = replace(_fact("test:dis_a", "dis_a"), text=text, morphemes=index_morphemes(text, relation="test", names=node.names))
    words = index_morphemes("문장입니다.", relation="symptom", names=("일산화탄소중독",))
    other = replace(_fact("symptom:dis_a", "dis_a"), morphemes=words)
    retriever = Retriever(Graph(nodes={node.id: node}, edges=(), facts=(fact, other)))
    assert [found.id for found in retriever.facts_for("연탄가스를 마시고 고압산소 치료를 한대요", limit=5)] == ["test:dis_a"]
    assert retriever.facts_for("연탄불에 구워 주세요", limit=5) == []
