"""Rows of a recipe run, their pairing, and the summary over seeds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medllm.compare.recipe_rows import read_row
from medllm.compare.recipes import add_differences, summarise
from medllm.errors import UserError
from medllm.model.folder import Lineage

KNOBS: dict[str, Any] = {"teacher": "teacher", "num_resamples": 400, "seed": 3}
N, PER_CLUSTER = 200, 2
CLUSTERS = [at // PER_CLUSTER for at in range(N)]


def scores(right: int, *, shift: int = 0) -> str:
    return "".join("1" if (at - shift) % N < right else "0" for at in range(N))


def row(recipe: str, seed: int, model: str, right: int, *, grounded: int | None = 100, items: str = "", **more: Any) -> dict[str, Any]:
    """`right` of N answers are right, and `grounded` of N grounded ones; None: not evaluated on these."""
    right_of = {"answer": right} | ({"grounded": grounded} if grounded is not None else {})
    return {
        "recipe": recipe, "seed": seed, "model": model, "commit": "c", "error": "", "method": "gguf", "path": ["teacher", model],
        "bytes": 1000 if model == "teacher" else 400, "parameters": 100 if model == "teacher" else 75,
        "metrics": {f"sample_accuracy_{task}": n / N for task, n in right_of.items()} | {"bits_per_byte": 1.0 + seed / 10},
        "step": {"ratio": 0.25}, "scores": {task: scores(n) for task, n in right_of.items()},
        "items": {task: f"{items or seed}-{task}" for task in right_of}, **more,
    }  # fmt: skip


def failed(recipe: str, seed: int, model: str) -> dict[str, Any]:
    return {"recipe": recipe, "seed": seed, "model": model, "commit": "c", "error": "prune.ratio=2: too much"}


def content(*rows: dict[str, Any]) -> dict[str, Any]:
    keys = {key for one in rows if not one["error"] for key in one["items"].values()}
    return {"reference": "default", "items": dict.fromkeys(sorted(keys), CLUSTERS), "rows": list(rows)}


def three_seeds(right: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    return content(*(row(recipe, 13 + at, "student", n) for recipe, counts in right.items() for at, n in enumerate(counts)))


def write_run(artifacts: Path, *, score: Any = lambda at: at % 2) -> None:
    for name, parent, step in (("teacher", None, "finetune"), ("pruned", "teacher", "prune")):
        folder = artifacts / "models" / name
        folder.mkdir(parents=True)
        Lineage(name=name, parent=parent, step=step, method=f"{step}_x").save(folder)
        (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
        from safetensors.numpy import save_file

        save_file({"w": np.zeros((3, 5), dtype=np.float32)}, folder / "model.safetensors")
    metrics = artifacts / "metrics"
    (metrics / "evaluate").mkdir(parents=True)
    values = {"sample_accuracy_answer": 0.5, "sample_accuracy_answer_low": 0.1, "sample_accuracy_answer_n": 4, "bits_per_byte": 1.5}
    (metrics / "evaluate" / "pruned.json").write_text(json.dumps(values), encoding="utf-8")
    (metrics / "prune.json").write_text(json.dumps({"ratio": 0.25, "train_seconds": 9.0, "tokens_per_s": 5.0}), encoding="utf-8")
    answer = {"task": "answer", "output": "글"}
    lines = [answer | {"item_id": f"i{at}", "cluster": f"fact:{at // 2}", "score": score(at)} for at in (3, 1, 0, 2)]
    lines.append({"item_id": "c0", "task": "choice", "cluster": "fact:9", "score": 1, "output": ""})
    (artifacts / "predictions").mkdir()
    (artifacts / "predictions" / "pruned.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def test_a_row_holds_scores_by_sorted_item_and_no_times(tmp_path: Path) -> None:
    write_run(tmp_path)
    found, items = read_row(tmp_path, "pruned")
    assert found["scores"] == {"answer": "0101", "choice": "1"}
    assert items[found["items"]["answer"]] == [0, 0, 1, 1]
    assert found["path"] == ["teacher", "pruned"]
    assert found["parameters"] == 15
    assert found["bytes"] == (tmp_path / "models/pruned/model.safetensors").stat().st_size + 2
    assert found["step"] == {"ratio": 0.25}
    assert found["metrics"] == {"sample_accuracy_answer": 0.5, "sample_accuracy_answer_n": 4, "bits_per_byte": 1.5}
    assert "글" not in json.dumps([found, items], ensure_ascii=False)


def test_items_are_the_same_whatever_the_scores(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", score=lambda at: 1)
    (left, one), (right, other) = (read_row(tmp_path / name, "pruned") for name in "ab")
    assert left["items"] == right["items"]
    assert one == other
    assert left["scores"] != right["scores"]


@pytest.mark.parametrize("missing", ["predictions/pruned.jsonl", "metrics/evaluate/pruned.json", "models/pruned/lineage.json"])
def test_an_unfinished_model_is_an_error(tmp_path: Path, missing: str) -> None:
    write_run(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match="pruned"):
        read_row(tmp_path, "pruned")


@pytest.mark.parametrize(("right", "verdict"), [
    ((150, 152, 149), "better"), ((90, 92, 89), "worse"), ((120, 122, 119), "tie"), ((122, 118, 121), "tie"),
])  # fmt: skip
def test_verdict_over_seeds(right: tuple[int, int, int], verdict: str) -> None:
    filled = three_seeds({"default": (120, 122, 119), "other": right})
    reference, other = summarise(filled, **KNOBS)
    assert reference["to_reference"] == {"answer": None, "grounded": None}
    found = other["to_reference"]["answer"]
    assert found["verdict"] == verdict
    assert found["estimate"] == pytest.approx(sum(r - d for r, d in zip(right, (120, 122, 119), strict=True)) / 3 / N)
    assert found["low"] <= found["estimate"] <= found["high"]
    assert (found["seeds"], found["items"]) == (3, 3 * N)


def test_seeds_that_disagree_widen_the_interval() -> None:
    def width(right: tuple[int, int, int]) -> float:
        found = summarise(three_seeds({"default": (100, 100, 100), "other": right}), **KNOBS)[1]["to_reference"]["answer"]
        return float(found["high"] - found["low"])

    assert width((140, 120, 100)) > 1.5 * width((120, 120, 120))


def test_interval_of_one_seed_is_that_of_the_cluster_bootstrap() -> None:
    filled = content(row("default", 13, "student", 100), row("other", 13, "student", 140))
    add_differences(filled, **KNOBS)
    single, pooled = (one["to_reference"]["answer"] for one in (filled["rows"][1], summarise(filled, **KNOBS)[1]))
    assert pooled["low"] == pytest.approx(single["low"], abs=0.015)
    assert pooled["high"] == pytest.approx(single["high"], abs=0.015)


def test_differences_are_of_the_same_seed_model_and_items() -> None:
    filled = content(
        row("default", 13, "teacher", 160), row("default", 13, "student", 120), row("other", 13, "teacher", 150),
        row("other", 13, "student", 130), row("other", 14, "student", 130), row("odd", 13, "student", 130, items="others"),
    )  # fmt: skip
    add_differences(filled, **KNOBS)
    assert counts(filled, "answer") == [(None, None), (None, -40), (-10, None), (10, -20), (None, None), (None, None)]
    first = json.dumps(filled)
    add_differences(filled, **KNOBS)
    assert json.dumps(filled) == first


def counts(filled: dict[str, Any], task: str) -> list[tuple[int | None, ...]]:
    """How many more items of `task` each row has right than its reference and its teacher."""
    found = [[one[key][task] for key in ("to_reference", "to_teacher")] for one in filled["rows"]]
    return [tuple(one and round(one["estimate"] * N) for one in pair) for pair in found]


def test_each_task_has_its_own_difference_and_verdict() -> None:
    filled = content(*(
        row(recipe, seed, model, right, grounded=grounded)
        for seed in (13, 14, 15)
        for recipe, model, right, grounded in (
            ("default", "teacher", 160, 130), ("default", "student", 120, 140),
            ("plain", "student", 120, 100), ("plain", "teacher", 160, 100),
        )
    ))  # fmt: skip
    add_differences(filled, **KNOBS)
    assert counts(filled, "answer")[:4] == [(None, None), (None, -40), (0, -40), (0, None)]
    assert counts(filled, "grounded")[:4] == [(None, None), (None, 10), (-40, 0), (-30, None)]
    plain = next(one for one in summarise(filled, **KNOBS) if (one["recipe"], one["model"]) == ("plain", "student"))
    verdicts = {key: {task: one["verdict"] for task, one in plain[key].items()} for key in ("to_reference", "to_teacher")}
    assert verdicts == {"to_reference": {"answer": "tie", "grounded": "worse"}, "to_teacher": {"answer": "worse", "grounded": "tie"}}
    found = plain["to_reference"]["grounded"]
    assert found["estimate"] == pytest.approx(-40 / N)
    assert found["low"] < -40 / N < found["high"] < 0
    assert (found["seeds"], found["items"]) == (3, 3 * N)
    assert plain["accuracy_lowest"] == plain["accuracy_highest"] == {"answer": 0.6, "grounded": 0.5}


def test_a_task_that_a_row_lacks_has_no_difference_and_leaves_the_other() -> None:
    filled = content(
        row("default", 13, "student", 120), row("default", 14, "student", 120), row("other", 13, "student", 130, grounded=None),
        row("other", 14, "student", 130, grounded=90), row("never", 13, "student", 130, grounded=None),
    )  # fmt: skip
    add_differences(filled, **KNOBS)
    assert [left for left, _ in counts(filled, "answer")] == [None, None, 10, 10, 10]
    assert [left for left, _ in counts(filled, "grounded")] == [None, None, None, -10, None]
    _, other, never = summarise(filled, **KNOBS)
    assert {task: one["seeds"] for task, one in other["to_reference"].items()} == {"answer": 2, "grounded": 1}
    assert never["to_reference"]["grounded"] is None
    assert never["accuracy_lowest"] == {"answer": 0.65, "grounded": None}


def test_summary_of_means_ratios_and_failures() -> None:
    filled = content(
        row("default", 13, "teacher", 160), row("default", 14, "teacher", 160), row("default", 13, "student", 100),
        row("default", 14, "student", 120), failed("default", 15, "student"), failed("broken", 13, "student"),
    )  # fmt: skip
    add_differences(filled, **KNOBS)
    found = {(one["recipe"], one["model"]): one for one in summarise(filled, **KNOBS)}
    student = found["default", "student"]
    assert student["seeds"] == [13, 14]
    assert student["failed"] == [{"seed": 15, "error": "prune.ratio=2: too much"}]
    assert (student["accuracy_lowest"]["answer"], student["accuracy_highest"]["answer"]) == (0.5, 0.6)
    assert student["metrics"] == {
        "sample_accuracy_answer": pytest.approx(0.55), "sample_accuracy_grounded": 0.5, "bits_per_byte": pytest.approx(2.35),
    }  # fmt: skip
    assert (student["bytes_to_teacher"], student["parameters_to_teacher"]) == (0.4, 0.75)
    assert student["to_teacher"]["answer"]["verdict"] == "worse"
    assert found["broken", "student"] == {
        "recipe": "broken", "model": "student", "seeds": [], "failed": [{"seed": 13, "error": "prune.ratio=2: too much"}],
    }  # fmt: skip
