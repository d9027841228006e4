"""Wordings of facts: what is held out is never trained, and every fact can be said and asked."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from medllm.data.knowledge import Fact, load_knowledge
from medllm.data.records import Record, read_records
from medllm.data.sample.forms import FORMS, OPENINGS, answer, fill, statement
from medllm.data.sample.generate import NUM_COMPANIONS, medical_items, split_facts
from medllm.data.sample.items import QaItem, Statement

KNOWLEDGE = load_knowledge(Path(__file__).parents[2] / "data" / "knowledge")
FACTS = KNOWLEDGE.facts()
RELATIONS = sorted({fact.relation for fact in FACTS})


def test_every_relation_has_forms_and_no_other() -> None:
    assert sorted(FORMS) == RELATIONS


@pytest.mark.parametrize("relation", sorted(FORMS))
def test_held_out_forms_are_no_training_forms(relation: str) -> None:
    forms = FORMS[relation]
    assert len(forms.held_out) >= 3
    assert len(set(forms.train)) == len(forms.train)
    assert not set(forms.held_out) & set(forms.train)
    assert forms.choice[0] != forms.choice[1]
    for fact in [fact for fact in FACTS if fact.relation == relation][:5]:
        trained = [fill(form, fact) for form in (*forms.train, *forms.statements, forms.choice[0])]
        for form in (*forms.held_out, forms.choice[1]):
            assert not any(fill(form, fact) in text for text in trained), form


@pytest.mark.parametrize("relation", sorted(FORMS))
def test_every_form_is_filled_whole(relation: str) -> None:
    forms = FORMS[relation]
    for fact in [fact for fact in FACTS if fact.relation == relation]:
        for form in (*forms.train, *forms.held_out, *forms.choice, *forms.statements, forms.answer):
            text = fill(form, fact)
            assert not re.search(r"[{}/]|  ", text.replace(fact.subject, "N").replace(fact.object, "N")), text
            assert fact.subject in text or fact.object in text
        for form in (*forms.train, *forms.held_out, *forms.choice):
            assert fact.subject in fill(form, fact)
            assert re.search(r"[.?]$", fill(form, fact))
        assert fact.object in answer(fact)
        assert fact.subject in statement(fact)
        assert fact.object in statement(fact)
    # a question must not give its own answer away
    fact = Fact(
        id="x:1", relation=relation, subject="가나다", object="라마바", subject_type="disease", object_type="department", source="s"
    )
    assert not any("라마바" in fill(form, fact) for form in (*forms.train, *forms.held_out, *forms.choice))


def test_openings_only_stand_before_questions() -> None:
    assert len(set(OPENINGS)) == len(OPENINGS)
    assert not any(re.search(r"[{}]", opening) or opening != opening.strip() for opening in OPENINGS)


@pytest.fixture(scope="module")
def generated() -> list[QaItem | Statement]:
    facts = split_facts(FACTS, (), num_trained=60, num_held_out=20, seed=13)
    return list(medical_items(KNOWLEDGE, facts, seed=13))


def test_train_and_validation_share_no_question_and_every_fact_is_asked(generated: list[QaItem | Statement]) -> None:
    questions: dict[str, set[str]] = defaultdict(set)
    parts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item in generated:
        if isinstance(item, QaItem):
            questions[item.split].add(item.question)
            parts[item.split, str(item.key.get("held_out", ""))].add(str(item.key["fact_id"]))
            assert any(str(term) in (*item.options, item.answer) or str(term) in item.answer for term in item.key["must"])  # type: ignore[attr-defined]
            if item.q_type == 1:
                assert len(set(item.options)) == len(item.options) == 5
                assert item.answer in item.options
    for question in questions["validation"]:
        assert not any(question in trained for trained in questions["train"]), question
    trained, held_out = parts["train", ""], parts["validation", "fact"]
    assert parts["validation", "form"] == trained
    assert (len(trained), len(held_out)) == (60, 20)
    assert not trained & held_out


def test_the_split_is_by_hash() -> None:
    first = split_facts(FACTS, (), num_trained=60, num_held_out=20, seed=13)
    assert first == split_facts(FACTS[::-1], (), num_trained=60, num_held_out=20, seed=13)
    assert first != split_facts(FACTS, (), num_trained=60, num_held_out=20, seed=14)
    fewer = split_facts(FACTS[:-1], (), num_trained=60, num_held_out=20, seed=13)
    assert len(set(fewer.trained) ^ set(first.trained)) <= 2


def texts(record: Record) -> str:
    return " ".join((record.question, record.answer, record.text, record.passage, *record.options, *record.context))


def test_no_training_text_states_a_held_out_fact(small_prepared: Path) -> None:
    test = [record for record in read_records(small_prepared / "test.jsonl") if record.held_out == "fact"]
    held_out = {fact.id: fact for fact in FACTS if fact.id in {record.fact_id for record in test}}
    assert len(held_out) == 6
    training = [record for name in ("corpus", "train", "calibration") for record in read_records(small_prepared / f"{name}.jsonl")]
    assert not {record.fact_id for record in training} & held_out.keys()
    everything = "\n".join(texts(record) for record in training)
    for fact in held_out.values():
        forms = FORMS[fact.relation]
        for form in (*forms.statements[:3], *forms.train, *forms.held_out):
            assert fill(form, fact) not in everything, form
    for record in test:
        assert statement(held_out[record.fact_id]) in record.context
        assert len(record.context) == 1 + NUM_COMPANIONS
