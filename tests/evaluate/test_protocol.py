"""One protocol for every engine: same items, same prompts, known metrics, and no text that may not be passed on."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medllm.compare.metrics import find_metric
from medllm.data.prompts import Prompts
from medllm.data.records import read_records, write_records
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.evaluate.protocol import bits_per_byte, evaluate_model, take

KNOBS: dict[str, Any] = {
    "metric_prefix": "sample_", "threads": 1, "max_answer_items": 12, "max_paraphrase_items": 6,
    "max_grounded_items": 6, "max_scenario_items": 4, "max_advice_tokens": 6, "max_choice_items": 8, "max_text_items": 4,
    "max_new_tokens": 6, "max_unanswered_share": 1.0,
}  # fmt: skip
CANARY = "카나리아"


@pytest.fixture(scope="module")
def prepared(small_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every other test item may not be passed on, and says so in all its texts."""
    folder = tmp_path_factory.mktemp("evaluate") / "prepared"
    shutil.copytree(small_prepared, folder)
    rows = [
        replace(
            row, redistributable=False, question=f"{CANARY} {row.question}",
            messages=tuple((role, f"{CANARY} {text}") for role, text in row.messages),
            answer=f"{row.answer} {CANARY}", must=(*row.must, CANARY),
            options=tuple(f"{option} {CANARY}" for option in row.options), passage=CANARY, text=f"{row.text} {CANARY}",
        ) if number % 2 else row
        for number, row in enumerate(read_records(folder / "test.jsonl"))
    ]  # fmt: skip
    write_records(folder / "test.jsonl", rows)
    return folder


Result = tuple[dict[str, Any], list[dict[str, Any]]]


def evaluated(folder: Path, prepared: Path, out: Path, **changes: Any) -> Result:
    metrics = evaluate_model(folder, prepared, out, **{**KNOBS, **changes})
    lines = (out / f"{folder.name}.jsonl").read_text(encoding="utf-8").splitlines()
    return metrics, [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def results(
    tiny_folder: Path, tiny_gguf: dict[str, Path], prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Result]:
    out = tmp_path_factory.mktemp("predictions")
    return {name: evaluated(folder, prepared, out) for name, folder in (("hf", tiny_folder), ("gguf", tiny_gguf["f16"]))}


def test_every_engine_is_asked_the_same(results: dict[str, Result]) -> None:
    (_, first), (_, second) = results.values()
    keys = ("item_id", "task", "cluster", "prompt_sha256", "redistributable")
    assert [[row[key] for key in keys] for row in first] == [[row[key] for key in keys] for row in second]
    counts = {task: sum(row["task"] == task for row in first) for task in ("answer", "grounded", "choice")}
    assert counts == {"answer": 12, "grounded": 6, "choice": 8}
    assert len({row["prompt_sha256"] for row in first}) == len(first)


def test_metrics_are_known_and_add_up(results: dict[str, Result]) -> None:
    for metrics, rows in results.values():
        for name in metrics:
            find_metric(name, where="this test")
        for task in ("answer", "grounded", "choice"):
            scores = [row["score"] for row in rows if row["task"] == task]
            name = f"sample_accuracy_{task}"
            assert metrics[name] == sum(scores) / len(scores)
            assert metrics[f"{name}_n"] == len(scores)
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
        assert 0 <= metrics["unanswered_rate"] <= 1
        assert metrics["choice_chance"] == pytest.approx(0.2)
        assert list(metrics) == sorted(metrics)
    hf, gguf = (metrics for metrics, _ in results.values())
    for name in ("bits_per_byte", "bits_per_byte_general"):
        assert hf[name] == pytest.approx(gguf[name], rel=0.02)


def test_no_text_of_what_may_not_be_passed_on(results: dict[str, Result]) -> None:
    for _, rows in results.values():
        closed = [row for row in rows if not row["redistributable"]]
        assert closed
        for row in closed:
            assert not {"question", "reference", "output"} & row.keys()
        assert CANARY not in json.dumps(rows, ensure_ascii=False)
        assert all({"question", "reference", "output"} <= row.keys() for row in rows if row["redistributable"])


def test_held_out_facts_are_only_asked_with_the_fact(results: dict[str, Result], prepared: Path) -> None:
    held_out = {row.id: row.held_out for row in read_records(prepared / "test.jsonl")}
    for _, rows in results.values():
        for row in rows:
            assert (held_out[row["item_id"]] == "fact") == (row["task"] == "grounded")


def test_a_second_run_writes_the_same_bytes(tiny_gguf: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        metrics, _ = evaluated(tiny_gguf["f16"], prepared, tmp_path / name)
        written.append((metrics, (tmp_path / name / "f16.jsonl").read_bytes()))
    assert written[0] == written[1]


def test_limits_take_the_same_items_in_any_order(prepared: Path) -> None:
    rows = list(read_records(prepared / "test.jsonl"))
    assert take(rows, 7) == take(rows[::-1], 7) == take(rows, 9)[:7]
    assert len(take(rows, 10**6)) == len(rows)


def test_bits_per_byte_by_hand(tiny_folder: Path) -> None:
    prompts, engine = Prompts.load(tiny_folder), open_engine(tiny_folder, threads=1, dtype="fp32")
    texts = ["고혈압은 내과에서 진료합니다.", "a", "혈액 검사를 합니다. 12.5 mg/dL", "열이 나고 기침을 합니다. " * 40]
    nats, size = 0.0, 0
    for text in texts:
        ids = prompts.text(text)[:256]
        nats -= sum(engine.token_logprobs([ids])[0])
        size += len(prompts.decode(ids[1:]).encode()) if len(ids) > 1 else 0
    assert bits_per_byte(engine, prompts, texts) == pytest.approx(nats / math.log(2) / size)


def test_nothing_to_evaluate_on_is_one_line(tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(small_prepared, tmp_path / "prepared")
    rows = list(read_records(small_prepared / "test.jsonl"))
    for left in ([], [row for row in rows if row.kind != "choice"], [row for row in rows if row.kind != "qa"]):
        write_records(tmp_path / "prepared" / "test.jsonl", left)
        with pytest.raises(UserError, match=r"test\.jsonl: no medical short answers or no multiple choice") as error:
            evaluate_model(tiny_folder, tmp_path / "prepared", tmp_path / "out", **KNOBS)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_says_nothing_is_an_error(tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    import torch

    from medllm.model.folder import load_model

    mute: Any = load_model(tiny_folder)
    eos = Prompts.load(tiny_folder).eos_id
    with torch.no_grad():
        mute.gpt_neox.final_layer_norm.weight.zero_()
        mute.get_output_embeddings().weight[eos] = 10 * mute.gpt_neox.final_layer_norm.bias
    shutil.copytree(tiny_folder, tmp_path / "mute")
    mute.to(torch.bfloat16).save_pretrained(tmp_path / "mute")
    with pytest.raises(RuntimeError, match="100% of the answers are empty"):
        evaluate_model(tmp_path / "mute", small_prepared, tmp_path / "out", **{**KNOBS, "max_unanswered_share": 0.5})
    assert not (tmp_path / "out").exists()
    metrics, _ = evaluated(tmp_path / "mute", small_prepared, tmp_path / "out")
    assert metrics["unanswered_rate"] == 1.0
    assert metrics["sample_accuracy_answer"] == 0.0
