"""One protocol for every engine: same items, same prompts, known metrics, and no text that may not be passed on."""

import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medllm.compare.metrics import find_metric
from medllm.data.prompts import Prompts
from medllm.data.records import read_records, write_records
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.evaluate.items import TASKS, take
from medllm.evaluate.protocol import bits_per_byte, evaluate_model

KNOBS: dict[str, Any] = {
    "metric_prefix": "sample_", "threads": 1, "max_turns": 2, "max_unanswered_share": 1.0,
    "max_items": {
        "answer": 12, "paraphrase": 6, "grounded": 6, "scenario": 4, "choice": 8, "passage": 4, "interview": 4, "solution": 3,
        "red_flag": 6, "patient": 2, "text": 4, "screen": 3,
    },
    "max_new_tokens": {"answer": 6, "advice": 6, "solution": 6, "patient": 6, "red_flag": 6},
}  # fmt: skip
CANARY = "카나리아"
SETS = Path(__file__).parents[2] / "data" / "evaluation"


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


@pytest.fixture(scope="session")
def graph(whole_graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    whole_graph.save(folder)
    return folder


def evaluated(folder: Path, prepared: Path, graph: Path, out: Path, **changes: Any) -> Result:
    metrics = evaluate_model(folder, prepared, graph, SETS, out, out, **{**KNOBS, **changes})
    lines = (out / f"{folder.name}.jsonl").read_text(encoding="utf-8").splitlines()
    return metrics, [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def results(
    tiny_folder: Path, tiny_gguf: dict[str, Path], prepared: Path, graph: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Result]:
    out = tmp_path_factory.mktemp("predictions")
    return {name: evaluated(folder, prepared, graph, out) for name, folder in (("hf", tiny_folder), ("gguf", tiny_gguf["f16"]))}


def test_every_engine_is_asked_the_same(results: dict[str, Result]) -> None:
    (_, first), (_, second) = results.values()
    keys = ("item_id", "task", "cluster", "prompt_sha256", "redistributable")
    assert [[row[key] for key in keys] for row in first] == [[row[key] for key in keys] for row in second]
    counts = Counter(row["task"] for row in first)
    full = ("answer", "grounded", "choice", "passage", "solution", "patient")  # of these the miniature has enough
    wanted = {task: KNOBS["max_items"][task] for task in full}
    assert {task: counts[task] for task in wanted} == wanted
    assert (counts["choice_written"], counts["red_flag"]) == (8, 6 + 2)  # the safe messages are a quarter more
    # choices are asked twice: scored and in writing
    asked = [row["prompt_sha256"] for row in first if row["task"] not in ("choice_written", "interview")]
    assert len(set(asked)) == len(asked)
    assert len({(row["task"], row["item_id"]) for row in first}) == len(first)


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
        emergencies = [row["score"] for row in rows if row["task"] == "red_flag" and row["level"] != "safe"]
        assert metrics["sample_accuracy_red_flag_n"] == len(emergencies) > 0
        general = [row["score"] for row in rows if row["task"] in ("passage", "interview")]
        assert metrics["sample_accuracy_general"] == sum(general) / len(general)
        marked = [row["polite"] for row in rows if "polite" in row and row["task"] != "red_flag"]
        assert metrics["polite_rate"] == sum(marked) / len(marked)
        assert list(metrics) == sorted(metrics)
    hf, gguf = (metrics for metrics, _ in results.values())
    for name in ("bits_per_byte", "bits_per_byte_general"):
        assert hf[name] == pytest.approx(gguf[name], rel=0.02)


def test_no_text_of_what_may_not_be_passed_on(results: dict[str, Result]) -> None:
    for _, rows in results.values():
        closed = [row for row in rows if not row["redistributable"]]
        assert {"answer", "interview"} <= {row["task"] for row in closed}
        for row in closed:
            assert not {"question", "reference", "output"} & row.keys()
        assert CANARY not in json.dumps(rows, ensure_ascii=False)
        assert all({"question", "reference", "output"} <= row.keys() for row in rows if row["redistributable"])


def test_held_out_facts_are_only_asked_with_the_fact(results: dict[str, Result], prepared: Path) -> None:
    held_out = {row.id: row.held_out for row in read_records(prepared / "test.jsonl")}
    for _, rows in results.values():
        for row in rows:
            if row["task"] not in ("interview", "red_flag", "patient"):
                assert (held_out[row["item_id"]] == "fact") == (row["task"] == "grounded")


def test_a_second_run_writes_the_same_bytes(tiny_gguf: dict[str, Path], prepared: Path, graph: Path, tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        metrics, _ = evaluated(tiny_gguf["f16"], prepared, graph, tmp_path / name)
        written.append((metrics, [(tmp_path / name / f"f16.{suffix}").read_bytes() for suffix in ("jsonl", "npy")]))
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


def test_nothing_to_evaluate_on_is_one_line(tiny_folder: Path, small_prepared: Path, graph: Path, tmp_path: Path) -> None:
    shutil.copytree(small_prepared, tmp_path / "prepared")
    rows = list(read_records(small_prepared / "test.jsonl"))
    for left in ([], [row for row in rows if row.kind != "choice"], [row for row in rows if row.kind != "qa"]):
        write_records(tmp_path / "prepared" / "test.jsonl", left)
        with pytest.raises(UserError, match=r"test\.jsonl: no medical short answers or no multiple choice") as error:
            evaluate_model(tiny_folder, tmp_path / "prepared", graph, SETS, tmp_path / "out", tmp_path / "out", **KNOBS)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_says_nothing_is_an_error(tiny_folder: Path, small_prepared: Path, graph: Path, tmp_path: Path) -> None:
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
        evaluated(tmp_path / "mute", small_prepared, graph, tmp_path / "out", max_unanswered_share=0.5)
    assert not (tmp_path / "out" / "mute.jsonl").exists()
    metrics, _ = evaluated(tmp_path / "mute", small_prepared, graph, tmp_path / "out")
    assert metrics["unanswered_rate"] == 1.0
    assert metrics["sample_accuracy_answer"] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_items": {**KNOBS["max_items"], "fluency": 3}}, "task 'fluency' is unknown"),
        ({"max_items": {task: 3 for task in TASKS if task != "passage"}}, "task 'passage' is missing"),
        ({"max_new_tokens": {"answer": 6}}, "'advice' is unknown or missing"),
    ],
)
def test_limits_name_every_task_and_no_other(
    tiny_folder: Path, small_prepared: Path, graph: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        evaluated(tiny_folder, small_prepared, graph, tmp_path / "out", **changes)


@pytest.mark.parametrize("name", ["redflags.csv", "patients.jsonl"])
def test_a_missing_set_is_one_line(tiny_folder: Path, small_prepared: Path, graph: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(SETS, tmp_path / "sets")
    (tmp_path / "sets" / name).unlink()
    with pytest.raises(UserError, match=f"{name}: no such file"):
        evaluate_model(tiny_folder, small_prepared, graph, tmp_path / "sets", tmp_path, tmp_path, **KNOBS)


def test_planted_identities_show_in_the_metrics(
    tiny_folder: Path, tiny_gguf: dict[str, Path], small_prepared: Path, graph: Path, tmp_path: Path
) -> None:
    """What compare gates: a swapped tokenizer and another end token, in both engines; a copy of the folder shows nothing."""
    import numpy as np
    from tokenizers import Tokenizer

    sound, _ = evaluated(tiny_folder, small_prepared, graph, tmp_path / "sound")
    marks = ("tokenizer_sha256", "end_tokens")
    for source in (tiny_folder, tiny_gguf["f16"]):
        copy = Path(shutil.copytree(source, tmp_path / f"copy_{source.name}"))
        metrics, _ = evaluated(copy, small_prepared, graph, tmp_path / "out")
        assert [metrics[mark] for mark in marks] == [sound[mark] for mark in marks]
    difference = np.load(tmp_path / "sound" / "tiny.npy") - np.load(tmp_path / "out" / f"copy_{tiny_gguf['f16'].name}.npy")
    assert np.abs(difference.astype(np.float32)).max() < 0.1

    swapped = Path(shutil.copytree(tiny_folder, tmp_path / "swapped"))
    content = json.loads((swapped / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = content["model"]["merges"][:-40]
    (swapped / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert Tokenizer.from_file(str(swapped / "tokenizer.json")).get_vocab_size() > 0
    metrics, _ = evaluated(swapped, small_prepared, graph, tmp_path / "out")
    assert metrics["tokenizer_sha256"] != sound["tokenizer_sha256"]
    assert metrics["end_tokens"] == sound["end_tokens"]

    ended = Path(shutil.copytree(tiny_folder, tmp_path / "ended"))
    for name in ("generation_config.json", "config.json"):
        content = json.loads((ended / name).read_text(encoding="utf-8"))
        content["eos_token_id"] = 7
        (ended / name).write_text(json.dumps(content), encoding="utf-8")
    metrics, _ = evaluated(ended, small_prepared, graph, tmp_path / "out")
    assert metrics["end_tokens"] != sound["end_tokens"]
    assert metrics["tokenizer_sha256"] == sound["tokenizer_sha256"]
