"""Training items that give a test item or a held-out fact away are dropped, or stop the stage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_records import stem_grams
from paper_sample import prepare, qa, sample

from medllm.data.minhash import jaccard
from medllm.data.sample.items import PassageItem, Statement
from medllm.errors import UserError


@pytest.mark.parametrize(
    ("fact", "question", "changes", "reason"),
    [
        (0, "고혈압이라는 병을 맡는 데를 알려 주세요", {}, "copy_of_test_item"),
        (0, "고혈압이라는병을 맡는 데를 알려주세요!", {}, "near_duplicate_of_test_question"),
        (0, "고혈압이라는 병을 맡는 데를 알려 줘요", {}, "near_duplicate_of_test_question"),
        (6, "건선 진료를 보는 병원은요?", {}, "held_out_fact"),
    ],
)
def test_items_that_give_a_test_away_are_dropped(tmp_path: Path, fact: int, question: str, changes: dict[str, Any], reason: str) -> None:
    report, files = prepare(tmp_path, [*sample(), qa(999_001, fact, question, split="train", **changes)])
    assert report["dropped"] == {"no_solution": 1, reason: 1}
    assert "999001" not in " ".join(record.id for record in (*files["train"], *files["corpus"]))


@pytest.mark.parametrize(("similarity", "kept"), [(0.7, False), (0.9, True)])
def test_a_test_question_in_text_counts_whatever_fact_it_is_about(tmp_path: Path, similarity: float, kept: bool) -> None:
    wording = "{}이라는 병을 맡는 데를 알려 주세요"
    assert 0.7 < jaccard(stem_grams(wording.format("고혈압")), stem_grams(wording.format("저혈압"))) < 0.9
    other = qa(999_001, 0, wording.format("저혈압"), split="train", key={"fact_id": "department:99"})
    report, files = prepare(tmp_path, [*sample(), other], similarity=similarity)
    assert report["dropped"] == {"no_solution": 1, **({} if kept else {"near_duplicate_of_test_question": 1})}
    assert any(record.id.endswith(":999001") for record in files["train"]) is kept


def test_questions_on_the_passage_of_a_test_question_leave_the_corpus(tmp_path: Path) -> None:
    last = [item for item in sample() if isinstance(item, PassageItem)]
    more = [
        replace(last[3], item_id="S2_중등_1_000900", question="다른 물음?", split="train"),
        replace(last[0], item_id="S2_중등_1_000901", question="다른 물음?", split="train"),
    ]
    report, files = prepare(tmp_path, [*sample(), *more])
    assert report["sets"]["aihub_71857"]["dropped"] == {"passage_of_test_item": 1, "passage_twice": 1}
    assert not any("빈혈 이야기" in record.text for record in files["corpus"])


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("건선 진료는 피부과에서 합니다.", True),
        ("팔꿈치에 건선이 생겨 피부과에 갔다.", True),
        ("건선이 있다. 그리고 피부과도 있다.", False),  # not in one sentence
        ("농포건선증은 피부과에서 본다.", False),  # another word
        ("건선은 흔하다.", False),
    ],
)
def test_no_training_text_may_state_a_held_out_fact(tmp_path: Path, text: str, leaks: bool) -> None:
    items = [*sample(), Statement(c_id="TB_1", dataset="aihub_71875", department="내과", domain=17, content=text, key={})]
    if not leaks:
        assert prepare(tmp_path, items)[0]["items_dropped"] == 1
        return
    with pytest.raises(UserError, match=r"aihub_71875:TB_1: .*held-out fact department:6"):
        prepare(tmp_path, items)
    assert not (tmp_path / "out").exists()
