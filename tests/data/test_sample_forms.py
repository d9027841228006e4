"""The question forms: no held-out question is asked in training, and every form can be said of every fact."""

from pathlib import Path

import pytest

from medllm.data.knowledge import Fact, load_knowledge
from medllm.data.sample.forms import FORMS, answer, fill, statement
from medllm.data.sample.generate import NUM_QUESTIONS, split_facts

FACTS = load_knowledge(Path(__file__).parents[2] / "data" / "knowledge").facts()


def _asked(forms: list[tuple[str, Fact]]) -> set[str]:
    return {fill(form, fact) for form, fact in forms}


def test_no_held_out_question_is_a_training_question() -> None:
    train = _asked([(form, fact) for fact in FACTS for form in (*FORMS[fact.relation].train, FORMS[fact.relation].choice[0])])
    held_out = _asked([(form, fact) for fact in FACTS for form in (*FORMS[fact.relation].held_out, FORMS[fact.relation].choice[1])])
    assert not train & held_out


@pytest.mark.parametrize("relation", sorted(FORMS))
def test_forms_are_complete(relation: str) -> None:
    forms = FORMS[relation]
    assert len(set(forms.train)) == len(forms.train) >= NUM_QUESTIONS
    assert len(set(forms.held_out)) == len(forms.held_out) == 3
    assert all("{s" in form for form in (*forms.train, *forms.held_out, *forms.choice, *forms.statements))
    assert all("{o" in form for form in forms.statements)


@pytest.mark.parametrize("relation", sorted(FORMS))
def test_answer_holds_the_object(relation: str) -> None:
    for fact in (fact for fact in FACTS if fact.relation == relation):
        assert fact.object in answer(fact)
        assert fact.object in statement(fact)
        assert fact.subject in statement(fact)


def test_no_held_out_fact_hides_in_another_fact() -> None:
    split = split_facts(FACTS, (), num_trained=240, num_held_out=60, seed=13)
    assert len(split.trained) == 240
    assert len(split.held_out) == 60
    assert not set(split.trained) & set(split.held_out)
    for held_out in split.held_out:
        assert not [fact for fact in FACTS if fact != held_out and held_out.subject in fact.subject and held_out.object in fact.object]
