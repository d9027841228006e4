import json
import random
from pathlib import Path

import pytest
from paper_sample import DISEASES, KNOBS, PLACES, digest, prepare, qa, sample

from medllm.data.prepare import prepare_data
from medllm.data.records import read_records
from medllm.data.sample.archives import write_archives


def test_every_archive_shape_round_trips(tmp_path: Path) -> None:
    items = list(sample())
    assert write_archives(tmp_path / "raw", items) == {
        "aihub_71857": 4, "aihub_71859": 5, "aihub_71874": 13, "aihub_71875": 13, "aihub_interview": 2,
    }  # fmt: skip
    names = {path.name for path in (tmp_path / "raw").rglob("*") if path.is_file()}
    assert {
        "TL_내과.zip",
        "VL_내과.zip",
        "TS_국문_기타.zip",
        "08.전문 의학지식 데이터.zip",
        "TL_05_중1_주관식.zip.part0",
        "TL_05_중1_주관식.zip.part1",
    } <= names
    assert {"S2_중등_1_000000.json", "TS_소비자_이해.zip", "key.jsonl"} <= names

    report, files = prepare(tmp_path, items)
    assert [record.role for record in files["calibration"]] == ["distillation", "medical"] * 3
    assert {name: row["read"] for name, row in report["sets"].items()} == {
        "aihub_71857": 4, "aihub_71859": 5, "aihub_71874": 13, "aihub_71875": 13, "aihub_interview": 2,
    }  # fmt: skip
    assert report["dropped"] == {"no_solution": 1}
    assert report["key_rows_unused"] == 1
    kinds = {name: sorted({record.kind for record in records}) for name, records in files.items()}
    assert kinds["corpus"] == ["dialogue", "passage_choice", "solution", "statement"]
    assert kinds["train"] == ["choice", "qa", "solution"]
    assert kinds["test"] == ["dialogue", "passage_choice", "qa", "solution"]
    assert {name: len(records) for name, records in files.items()} == {
        "corpus": 6 + 3 + 3 + 1,
        "train": 12 + 3,
        "test": 8 + 1 + 1 + 1,
        "calibration": 6,
    }
    assert (tmp_path / "out" / "quarantine.jsonl").read_text(encoding="utf-8") == ""
    assert report["held_out"] == {
        "facts_trained": 6, "facts_with_held_out_form": 6, "facts_held_out": 2, "items_held_out_form": 6, "items_held_out_fact": 2,
    }  # fmt: skip


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    _, files = prepare(tmp_path, list(sample()))
    by_id = {record.id: record for record in (*files["train"], *files["test"])}
    choice = by_id["aihub_71875:900012"]
    assert choice.options[choice.answer_index or 0] == choice.answer == "호흡기과"
    assert (choice.fact_id, choice.must, choice.department, choice.redistributable) == ("department:1", ("호흡기과",), "내과", True)
    assert choice.licence == "Apache-2.0 (written for medllm)"
    problem = by_id["aihub_71859:S3_중등_2_000001"]
    assert problem.options == ("$1$", "$2$", "$3$", "$4$", "$5$")
    assert problem.answer == "이항하면 $x=1$이다.\n정답: $1$"
    passage = by_id["aihub_71857:S2_중등_1_000003"]
    assert (passage.answer, passage.answer_index, passage.options) == ("라", 3, ("가", "나", "다", "라", "마3"))
    texts = {record.id: record.text for record in files["corpus"]}
    assert texts["aihub_71859:S3_중등_2_000001"] == "$x+1=2$의 해는? 이항하면 $x=1$이다.\n정답: $1$"
    assert "@COMPANY의" in texts["aihub_interview:itv_0"]
    assert all(record.text and not record.question for record in files["corpus"])


def test_every_item_is_kept_or_has_a_reason(tmp_path: Path) -> None:
    copied = qa(999_001, 0, "고혈압 때문에  갈 곳은 어디입니까?", split="train")
    report, files = prepare(tmp_path, [*sample(), copied])
    for row in report["sets"].values():
        assert row["read"] == row["kept"] + sum(row["dropped"].values())
    assert report["items_read"] == report["items_kept"] + report["items_dropped"] == 38
    assert report["dropped"] == {"duplicate": 1, "no_solution": 1}
    written = {record.id for name in ("corpus", "train", "test") for record in files[name]}
    assert len(written) == report["items_kept"]


def test_same_items_same_bytes_in_any_order(tmp_path: Path) -> None:
    items = list(sample())
    for name, order in (("a", items), ("b", items[::-1])):
        prepare(tmp_path / name, order)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    before = digest(tmp_path / "a")
    prepare(tmp_path / "a", items)  # over what is there
    assert digest(tmp_path / "a") == before


def test_chats_are_split_by_cluster_and_written(tmp_path: Path) -> None:
    write_archives(tmp_path / "raw", sample())
    rng, words = random.Random(0), DISEASES[:6] + PLACES[:6]
    rows = [
        {"messages": [{"role": role, "content": " ".join(rng.choices(words, k=6))} for role in ("user", "assistant") * 2]}
        for _ in range(30)
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (tmp_path / "raw" / "talk.jsonl").write_text("".join(lines), encoding="utf-8")
    report = prepare_data(tmp_path / "raw", tmp_path / "out", **{**KNOBS, "similarity": 1.0})
    files = {name: list(read_records(tmp_path / "out" / f"{name}.jsonl")) for name in ("train", "test", "calibration", "corpus")}
    chats = {name: [record for record in own if record.kind == "chat"] for name, own in files.items()}
    assert len(chats["train"]) + len(chats["test"]) == 30
    assert 0 < len(chats["test"]) < 15
    assert {record.source_split for record in chats["test"]} == {"validation"}
    assert not chats["calibration"]
    assert not chats["corpus"]
    assert report["split_by_hash"] == sorted({record.dataset for record in chats["train"]})


def test_the_second_process_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [*sample(), *(qa(999_000 + number, 0, f"{number}번째로 묻는 것은 무엇입니까?", split="train") for number in range(60))]
    monkeypatch.setattr("medllm.data.prepare._BATCH", 3)
    monkeypatch.setattr("medllm.data.gates._BATCH", 3)
    for name, start in (("one", 10**6), ("two", 1)):
        monkeypatch.setattr("medllm.data.parallel._START_AFTER", start)
        prepare(tmp_path / name, items)
    assert digest(tmp_path / "one" / "out") == digest(tmp_path / "two" / "out")
