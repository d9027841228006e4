from dataclasses import replace
from typing import Any

import pytest
from paper_records import decided, record, stem_grams

from medllm.data.dedup import exact_key
from medllm.data.minhash import jaccard


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"question": "가 나 다"}, {"question": "가나다"}, True),
        ({"options": ("가", "나")}, {"options": ("나", "가")}, True),
        ({"options": ("가", "나")}, {"options": ("가", "다")}, False),
        ({"kind": "passage_choice", "options": ("가", "나"), "passage": "글 하나"},
         {"kind": "passage_choice", "options": ("가", "나"), "passage": "글 둘"}, False),
        ({"kind": "solution", "must": ("1",)}, {"kind": "solution", "must": ("2",)}, False),
        ({"kind": "solution", "question": "$x-1$"}, {"kind": "solution", "question": "$x+1$"}, False),
        ({"kind": "chat", "messages": (("user", "안녕 하세요"), ("assistant", "네"))},
         {"kind": "chat", "messages": (("user", "안녕하세요"), ("assistant", "네"))}, True),
        ({"kind": "chat", "messages": (("user", "안녕하세요"), ("assistant", "네"))},
         {"kind": "chat", "messages": (("user", "안녕하세요"), ("assistant", "아니요"))}, False),
    ],
)  # fmt: skip
def test_exact_copies(left: dict[str, Any], right: dict[str, Any], same: bool) -> None:
    assert (exact_key(record("1", **left)) == exact_key(record("2", **right))) is same


def test_one_question_about_two_facts_is_kept_for_both() -> None:
    first, second = record("1", fact_id="a"), record("2", fact_id="b")
    assert decided(first, second)[1] == {}
    assert decided(first, replace(second, fact_id="a"))[1] == {"2": "duplicate"}


def test_stems_with_other_options_are_one_cluster_and_stay_on_one_side() -> None:
    stem = "폐렴으로 입원한 환자에게 먼저 시행할 검사로 알맞은 것은"
    test = record("t", question=stem, options=("가", "나"), source_split="validation")
    train = record("a", question=f"{stem}?", options=("다", "라"))
    far = record("b", question="고혈압 환자가 피할 음식은", options=("가", "나"))
    _, reasons, clusters = decided(test, train, far)
    assert reasons == {"a": "near_duplicate_of_test_question"}
    assert clusters == {"a": "a", "t": "a"}
    # among training items they all stay: other options make another item
    _, reasons, clusters = decided(replace(test, source_split="train"), train, far)
    assert (reasons, clusters) == ({}, {"a": "a", "t": "a"})


def test_a_training_question_that_says_the_same_goes() -> None:
    question = "당뇨병이 있는 사람은 어느 진료과에서 진료를 받아야 하나요"
    first, second = record("1", question=question, answer="내과"), record("2", question=f"{question}요", answer="내과")
    assert decided(first, second)[1] == {"2": "near_duplicate"}
    assert decided(first, replace(second, answer="외과"))[1] == {}


def test_what_is_alike_to_what_is_alike_to_a_test_question_goes_too() -> None:
    letters_of = [chr(0xAC00 + 29 * number) for number in range(60)]
    stems = ["".join(["변"] * step + letters_of[step:]) for step in (0, 12, 24)]
    grams_of = [stem_grams(stem) for stem in stems]
    assert min(jaccard(grams_of[0], grams_of[1]), jaccard(grams_of[1], grams_of[2])) > 0.6 > jaccard(grams_of[0], grams_of[2])
    test, near, far = (
        record(str(n), question=stem, answer=str(n), source_split="train" if n else "validation") for n, stem in enumerate(stems)
    )
    assert decided(test, near, far, similarity=0.6)[1] == {"1": "near_duplicate_of_test_question", "2": "cluster_of_test_item"}


def test_problems_that_differ_in_a_number_are_other_problems() -> None:
    problem = record("t", kind="solution", question="연립방정식 $x+y=12$, $3x-y=20$의 해를 구하시오.", source_split="validation")
    other = record("a", kind="solution", question=problem.question.replace("$3x-y=20$", "$2x-y=12$"))
    assert jaccard(stem_grams(problem.question), stem_grams(other.question)) > 0.5
    assert decided(other, problem, similarity=0.5)[1] == {}
    worded = record("b", kind="solution", question=problem.question.replace("구하시오", "구하여라"), answer="다른 풀이")
    assert decided(worded, problem, similarity=0.5)[1] == {"b": "near_duplicate_of_test_question"}
