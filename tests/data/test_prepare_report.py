"""What may be passed on, what is masked, and what the report says of it."""

import json
from pathlib import Path

import pytest
from paper_sample import KNOBS, prepare, qa, sample

from medllm.data.pii import PII_DUTY
from medllm.data.prepare import prepare_data
from medllm.data.records import read_records
from medllm.data.sample.archives import write_archives


def test_without_a_key_nothing_may_be_passed_on(tmp_path: Path) -> None:
    write_archives(tmp_path / "raw", sample())
    (tmp_path / "raw" / "key.jsonl").unlink()
    prepare_data(tmp_path / "raw", tmp_path / "out", **KNOBS)
    records = list(read_records(tmp_path / "out" / "train.jsonl"))
    assert records
    assert not any(record.redistributable or record.fact_id for record in records)


def test_personal_data_are_masked_and_counted(tmp_path: Path) -> None:
    report, files = prepare(tmp_path, [*sample(), qa(999_001, 0, "010-1234-5678로 전화하면 됩니까?", split="train")])
    assert report["pii"] == {"phone": 1}
    assert any(record.question == "[전화번호]로 전화하면 됩니까?" for record in files["train"])


def test_an_ai_hub_set_with_personal_data_brings_the_duty_to_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = [*sample(), qa(999_001, 0, "010-1234-5678로 전화하면 됩니까?", split="train")]
    prepare(tmp_path / "ours", items)  # written for medllm: may be passed on, no duty
    assert not caplog.records
    write_archives(tmp_path / "raw", items)
    (tmp_path / "raw" / "key.jsonl").unlink()
    prepare_data(tmp_path / "raw", tmp_path / "out", **KNOBS)
    assert [record.getMessage() for record in caplog.records] == [f"aihub_71874: {PII_DUTY}"]


def test_the_report_counts_and_shows_no_text(tmp_path: Path) -> None:
    items = [*sample(), qa(999_001, 0, "010-1234-5678로 전화하면 됩니까?", split="train")]
    report, files = prepare(tmp_path, items)
    assert report["pii_by_set"] == {"aihub_71874": {"phone": 1}}
    assert report["published"]["aihub_71875"]["read"] == 10  # without its three source texts
    assert report["leakage"] == {
        "test_items_in_training_texts": {"checked": 29, "found": 0},
        "held_out_facts_in_training_texts": {"checked": 29, "found": 0},
        "held_out_forms_of_trained_facts_by_design": {"checked": 6, "found": 6},
    }
    choices = [record for record in files["train"] if record.kind == "choice" and record.dataset == "aihub_71875"]
    lengths = sorted(len(record.question) + len("".join(record.options)) + len(record.answer) for record in choices)
    assert report["lengths"]["aihub_71875/choice"] == dict(zip(("p5", "p50", "p95"), lengths, strict=True))
    assert report["best_constant_guess"]["aihub_71857/train"] == pytest.approx(1 / 3, abs=1e-3)
    flat = json.dumps(report, ensure_ascii=False)
    assert not any(text in flat for text in ("고혈압", "호흡기과", "010-1234"))
