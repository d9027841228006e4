"""*.source.yaml: a set read through `datasets`."""

import json
from pathlib import Path

import pytest
from deliveries import parquet, put

from medllm.data.intake import read_items
from medllm.errors import UserError

SOURCE = "path: rows\nsplits:\n  train: train\n  test: validation\n"


def put_source(root: Path, text: str, name: str = "내 질문.source.yaml") -> None:
    pq_rows = {"q": "통증을 줄이는 약은?", "a": "진통제", "extra": 1}
    put(root, {
        "rows/train-0.parquet": parquet([pq_rows] * 3), "rows/test-0.parquet": parquet([{**pq_rows, "a": ""}, pq_rows]),
        name: text.encode(),
    })  # fmt: skip


def test_a_datasets_source_is_read_once_with_its_columns_and_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    put_source(tmp_path, SOURCE + "columns: {question: q, answer: a}\nlicence: CC0-1.0\nredistributable: true\n")
    *kept, rejected, last = read_items(tmp_path)
    assert [record.id for record in kept] == ["내_질문:train-1", "내_질문:train-2", "내_질문:train-3"]
    assert {(record.question, record.answer, record.licence, record.redistributable) for record in (*kept, last)} == {
        ("통증을 줄이는 약은?", "진통제", "CC0-1.0", True)
    }
    assert (rejected.reason, rejected.item, rejected.file) == ("empty:answer", "row test-1", "내 질문.source.yaml")
    assert (last.source_split, last.provenance) == ("validation", "내 질문.source.yaml:test-2")


def test_an_eval_only_source(tmp_path: Path) -> None:
    put_source(tmp_path, json.dumps(
        {"path": "rows", "splits": {"test": "test"}, "columns": {"question": "q", "answer": "a"}, "eval_only": True, "dataset": "x"},
    ), name="a.source.json")  # fmt: skip
    rejected, record = read_items(tmp_path)
    assert (record.dataset, record.eval_only, record.source_split) == ("x", True, "validation")
    assert rejected.dataset == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path: someone/dataset\nsplits: {train: train}\n", "needs a pinned revision"),
        ("path: someone/dataset\nrevision: main\nsplits: {train: train}\n", "needs a pinned revision"),
        ("path: ../../no such folder\nsplits: {train: train}\n", "neither a folder beside this file nor a hub id"),
        ("path: rows\n", "path and splits are needed"),
        ("path: [rows\n", "not readable"),
        ("path: rows\nsplits: {train: extra}\n", "splits: train = 'extra' is not allowed"),
        ("path: rows\nsplits: {train: train}\neval_only: true\n", "eval_only source may not be trained on"),
        ("path: rows\nsplits: {train: train}\nlicense: x\n", "license = 'x' is not allowed"),
        ("path: rows\nsplits: {train: train}\nrevision: 1234567\n", "revision = 1234567 is not allowed"),
        ("path: rows\nsplits: {nothing: train}\n", "part 'nothing' of rows cannot be loaded"),
        ("path: rows\nsplits: {train: train}\ncolumns: {question: none}\n", "the source has no column 'none'"),
    ],
)
def test_a_wrong_source_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    put_source(tmp_path, text)
    with pytest.raises(UserError) as error:
        list(read_items(tmp_path))
    assert message in str(error.value)
    assert str(error.value).startswith("내 질문.source.yaml: ")
    assert "\n" not in str(error.value)
