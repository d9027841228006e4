"""Tables of rows: which set they are, what is read of them, and what is refused."""

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deliveries import (
    ANSWER,
    CHAT,
    FOLDER,
    INNER,
    KORMEDMCQA,
    OPTIONS,
    TL,
    counts,
    csv_bytes,
    data,
    flipped,
    jsonl,
    parquet,
    put,
    question,
    zipped,
)  # fmt: skip

from medllm.data.aihub.published import PUBLISHED
from medllm.data.intake import OtherFile, Rejected, read_items
from medllm.data.records import Record
from medllm.errors import UserError

WRITERS: dict[str, Callable[[list[Any]], bytes]] = {"jsonl": jsonl, "csv": csv_bytes, "parquet": parquet}


def only(root: Path) -> Record | Rejected | OtherFile:
    (outcome,) = read_items(root)
    return outcome


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("packed", [False, True])
def test_kormedmcqa_is_known_by_its_columns_and_never_trained_on(tmp_path: Path, kind: str, packed: bool) -> None:
    content = WRITERS[kind]([KORMEDMCQA])
    put(tmp_path, {"x.zip": zipped({f"train.{kind}": content})} if packed else {f"x/train.{kind}": content})
    record = only(tmp_path)
    assert (record.id, record.dataset, record.kind) == ("kormedmcqa:doctor-2022-1-7", "kormedmcqa", "choice")
    assert (record.options, record.answer_index, record.answer) == (("가", "나", "다", "라", "마"), 1, "나")
    assert (record.eval_only, record.source_split, record.redistributable) == (True, "validation", False)
    assert record.provenance.startswith("x.zip!train" if packed else "x/train")


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("row", "dataset", "record_kind", "answer"),
    [
        (ANSWER, "내_자료", "qa", "메트포르민"),
        (OPTIONS, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "answer": "2"}, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "answer": "3"}, "내_자료", "choice", "3"),
        ({**OPTIONS, "answer": "b"}, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "answer": "② 메트포르민"}, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "options": "1) 인슐린\n2) 메트포르민"}, "내_자료", "choice", "메트포르민"),
        (question(3), "komedqa", "choice", "위내시경"),
        (question(3, q_type=2, answer="위내시경"), "komedqa", "qa", "위내시경"),
        (question(3, domain=1), "komedqa", "choice", "위내시경"),
    ],
)
def test_questions_in_columns(tmp_path: Path, kind: str, row: dict[str, Any], dataset: str, record_kind: str, answer: str) -> None:
    put(tmp_path, {f"내 자료/korean/test-00000-of-00001.{kind}": WRITERS[kind]([row])})
    record = only(tmp_path)
    assert (record.dataset, record.kind, record.answer, record.source_split) == (dataset, record_kind, answer, "validation")
    assert record.answer_index is None or record.options[record.answer_index] == answer
    assert not record.redistributable


def test_options_by_label(tmp_path: Path) -> None:
    put(tmp_path, {"a.jsonl": jsonl([{**ANSWER, "options": {"B": "메트포르민", "A": "인슐린"}, "answer": "B"}])})
    assert (only(tmp_path).options, only(tmp_path).answer_index) == (("인슐린", "메트포르민"), 1)


def test_chat_rows(tmp_path: Path) -> None:
    rows = [CHAT, {**CHAT, "id": "가", "licence": "CC0-1.0", "redistributable": True, "split": "dev"}]
    put(tmp_path, {"상담/a.jsonl": jsonl(rows), "상담/b.jsonl": jsonl(rows[:1])})
    first, second, third = read_items(tmp_path)
    assert first.messages == (("user", "두통이 있어요."), ("assistant", "언제부터 그러셨나요?"))
    assert (first.id, first.kind, first.source_split, first.provenance) == ("상담:상담_a-1", "chat", "train", "상담/a.jsonl:1")
    assert (second.id, second.licence, second.redistributable, second.source_split) == ("상담:가", "CC0-1.0", True, "validation")
    assert third.id != first.id


BAD_ROWS = [
    ({**KORMEDMCQA, "E": None}, "options_not_five"),
    ({**KORMEDMCQA, "answer": 6}, "answer_not_an_option"),
    ({**KORMEDMCQA, "answer": "나"}, "wrong_type:answer"),
    ({**KORMEDMCQA, "question": " "}, "empty:question"),
    (question(1, question="검사는?\n1) 가\n2) 나\n3) 다\n4) 라"), "options_not_five"),
    (question(1, answer="6) 위내시경"), "answer_not_an_option"),
    (question(1, domain=18), "unknown_domain"),
    (question(1, question="Which test?", answer="1) X"), "not_korean"),
    ({**OPTIONS, "answer": "아스피린"}, "answer_not_an_option"),
    ({**OPTIONS, "answer": 4}, "answer_not_an_option"),
    ({**OPTIONS, "answer": 0}, "answer_not_an_option"),
    ({**OPTIONS, "answer": "① 메트포르민"}, "answer_not_an_option"),
    ({**OPTIONS, "options": ["하나"]}, "options_not_rebuilt"),
    ({**OPTIONS, "options": ["하나", ""]}, "empty:options"),
    ({**ANSWER, "split": "extra"}, "unknown_split"),
    ({**ANSWER, "redistributable": "perhaps"}, "wrong_type:redistributable"),
    ({**ANSWER, "answer": None}, "wrong_type:answer"),
    ({"messages": []}, "empty:messages"),
    ({"messages": [*CHAT["messages"], *CHAT["messages"][:1]]}, "turns_out_of_order"),
    ({"messages": [{"role": "user"}]}, "missing:content"),
    ({"messages": "안녕"}, "wrong_type:messages"),
    ({"text": "가"}, "unknown_shape"),
    ([1], "unknown_shape"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_bad_row_is_rejected_with_its_number_and_the_next_is_read(tmp_path: Path, row: object, reason: str) -> None:
    put(tmp_path, {"a/b.jsonl": jsonl([ANSWER, row, ANSWER])})
    first, rejected, last = read_items(tmp_path)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert (rejected.archive, rejected.file, rejected.item, rejected.reason) == ("a", "b.jsonl", "row 2", reason)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'\xef\xbb\xbf{"question": "\xea\xb0\x80", "answer": "b"}\n\n{"quest\n\xff\n', (1, Counter(not_json=1, not_utf8=1))),
        ("a.csv", "question,answer\n가,나\n다\n\n라,마,바\n".encode(), (1, Counter(wrong_number_of_cells=2))),
        ("a.csv", b"", (0, Counter())),
        ("a.jsonl", b"", (0, Counter())),
    ],
)
def test_rows_of_broken_tables_are_counted(tmp_path: Path, name: str, content: bytes, expected: tuple[int, Counter[str]]) -> None:
    put(tmp_path, {name: content})
    assert counts(tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'question,answer\n가,"나\n다,라\n'.encode(), r"a\.csv:3: not readable as CSV"),
        ("a.csv", "question,answer\n가,나\n".encode("cp949"), r"a\.csv:1: not UTF-8"),
        ("a.csv", b"question,question\n1,2\n", r"a\.csv:1: a column has no name"),
        ("a.parquet", parquet([ANSWER])[:-5], r"a\.parquet: not readable as Parquet"),
        ("a.zip", flipped(zipped({"b.jsonl": jsonl([ANSWER] * 50)}, zipfile.ZIP_STORED), 500), r"a\.zip: b\.jsonl cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read_to_its_end_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    put(tmp_path, {name: content})
    with pytest.raises(UserError, match=message) as error:
        list(read_items(tmp_path))
    assert "\n" not in str(error.value)


def test_another_set_in_the_folder_is_rejected(tmp_path: Path) -> None:
    put(tmp_path, {
        f"{FOLDER}/TL_피부과/1.json": data(question(1, domain=5)), f"{FOLDER}/TL_내과/2.json": data({"interview_info": {}, "script": []}),
        f"{FOLDER}/chat.jsonl": jsonl([CHAT]), "KorMedMCQA/data.jsonl": jsonl([OPTIONS]), f"{FOLDER}/TL_내과/그림.png": b"\x89PNG",
    })  # fmt: skip
    outcomes = list(read_items(tmp_path))
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert {outcome.reason for outcome in rejected} == {"wrong_set"}
    assert Counter(outcome.dataset for outcome in rejected) == {"aihub_71875": 3, "kormedmcqa": 1}
    assert [outcome.suffix for outcome in outcomes if isinstance(outcome, OtherFile)] == [".png"]


def test_the_key_of_the_sample_is_no_table(tmp_path: Path) -> None:
    put(tmp_path, {TL: INNER, "key.jsonl": b"{}\n"})
    assert counts(tmp_path) == (12, Counter())


def test_published_counts_add_up() -> None:
    assert {"aihub_71875", "aihub_71874", "aihub_71859", "aihub_71857", "aihub_interview"} <= PUBLISHED.keys()
    for published in PUBLISHED.values():
        if published.train and published.validation:
            assert published.train + published.validation == published.total
