"""Read what was measured of each model, and refuse what cannot be compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.compare.metrics import SAMPLE_PREFIX, find_metric
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE, Lineage, read_lineage

GATE_TASK = "answer"
_ACCURACY = "accuracy_answer"
RED_FLAG_TASK = "red_flag"
_SAME_CONDITIONS = ("device", "threads", "prompt_tokens", "answer_tokens", "rounds", "protocol_version")

Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One scored answer. `department`, `level` and `text` are "" where an item has none; texts are there for red flags alone."""

    score: int
    cluster: str
    prompt_sha256: str
    department: str = ""
    level: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model: its merged metrics, its answers by task and item id, its lineage. `deployable`: one GGUF that the service can load."""

    name: str
    metrics: Metrics
    answers: Mapping[str, Mapping[str, Item]]
    lineage: Lineage
    deployable: bool

    def scores(self, *tasks: str) -> tuple[list[int], list[str]]:
        """(scores, clusters) of some tasks, items in sorted order: the same order for every model of a comparison."""
        items = [self.answers[task][item] for task in tasks for item in sorted(self.answers.get(task, {}))]
        return [item.score for item in items], [item.cluster for item in items]


def read_rows(models: Sequence[str], *, metrics: Path, predictions: Path, models_folder: Path) -> dict[str, Row]:
    """All rows, in the order of `models`; UserError on a missing or empty one, or where the conditions differ between rows."""
    rows = {}
    for name in models:
        evaluated = read_metrics(metrics / "evaluate" / f"{name}.json", command=f"dvc repro evaluate@{name}")
        timed = read_metrics(metrics / "benchmark" / f"{name}.json", command="dvc repro benchmark")
        path = predictions / f"{name}.jsonl"
        answers = _read_answers(path, command=f"dvc repro evaluate@{name}")
        rows[name] = Row(
            name=name,
            metrics={**evaluated, **timed},
            answers=answers,
            lineage=read_lineage(models_folder / name),
            deployable=(models_folder / name / GGUF_FILE).is_file(),
        )
        _check_agreement(rows[name], path)
    _check_conditions({name: row.metrics for name, row in rows.items()})
    _check_items(rows)
    return rows


def read_metrics(path: Path, *, command: str) -> Metrics:
    """One flat metrics file; UserError when it is missing, holds an unknown name, a value that is not a number, or an empty test set."""
    if not path.is_file():
        raise UserError(f"missing row: {path}; run `{command}`")
    try:
        values: Metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); run `{command}`") from error
    for name, value in values.items():
        find_metric(name, where=str(path))
        if name.endswith("_n") and value == 0:
            raise UserError(f"empty test set: {path}, {name} is 0; check the splits of prepare_data, then run `{command}`")
        if isinstance(value, float) and value != value:  # NaN is the one value unlike itself
            raise UserError(f"not a number: {path}, {name}; run `{command}`")
    return values


def accuracy_name(metrics: Metrics) -> str:
    """`sample_accuracy_answer` on sample data, `accuracy_answer` on any other."""
    return prefix_of(metrics) + _ACCURACY


def prefix_of(metrics: Metrics) -> str:
    """`sample_` before the accuracies of sample data, else ""."""
    return SAMPLE_PREFIX if SAMPLE_PREFIX + _ACCURACY in metrics else ""


def check_same_conditions(metrics: Mapping[str, Metrics], names: Sequence[str]) -> None:
    """UserError naming the first two models whose value of one of `names` differs."""
    first = next(iter(metrics))
    for name, values in metrics.items():
        for key in names:
            if values.get(key) != metrics[first].get(key):
                raise UserError(
                    f"{key} differs: {first} {metrics[first].get(key)!r}, {name} {values.get(key)!r}; "
                    f"ratios need one machine and one protocol, run `dvc repro --force benchmark` (or evaluate) here"
                )


def _check_conditions(metrics: Mapping[str, Metrics]) -> None:
    check_same_conditions(metrics, _SAME_CONDITIONS)
    for name, values in metrics.items():
        if accuracy_name(values) not in values:
            raise UserError(f"{name}: no {_ACCURACY} in its evaluate metrics; run `dvc repro evaluate@{name}`")
    if len({accuracy_name(values) for values in metrics.values()}) > 1:
        raise UserError(
            "some models were evaluated on sample data and some on other data; run `dvc repro` for all of them on one data source"
        )


def _read_answers(path: Path, *, command: str) -> dict[str, dict[str, Item]]:
    if not path.is_file():
        raise UserError(f"missing row: {path}; run `{command}`")
    answers: dict[str, dict[str, Item]] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                item = Item(
                    score=int(row["score"]), cluster=str(row["cluster"]), prompt_sha256=str(row["prompt_sha256"]),
                    department=str(row.get("department", "")), level=str(row.get("level", "")),
                    text=str(row["question"]) if row["task"] == RED_FLAG_TASK else "",
                )  # fmt: skip
                task, name = str(row["task"]), str(row["item_id"])
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path}:{number}: not a prediction row ({type(error).__name__}: {error}); run `{command}`") from error
            if name in answers.setdefault(task, {}):
                raise UserError(f"item {name!r} twice: {path}:{number}; run `{command}`")
            answers[task][name] = item
    if not answers.get(GATE_TASK):
        raise UserError(f"no predictions of task {GATE_TASK!r}: {path}; check the test set of prepare_data, then run `{command}`")
    return answers


def _check_agreement(row: Row, path: Path) -> None:
    """The accuracy of the metrics file must be the mean of the predictions, else the two come from different runs."""
    scores, _ = row.scores(GATE_TASK)
    reported = row.metrics.get(accuracy_name(row.metrics))
    if reported is not None and abs(sum(scores) / len(scores) - reported) > 0.5 / len(scores):
        raise UserError(f"metrics and predictions of {row.name!r} disagree: {path}; run `dvc repro --force evaluate@{row.name}`")


def _check_items(rows: Mapping[str, Row]) -> None:
    """The same items with the same prompts; another tokenizer gives other prompts, and is a matter for its gate."""
    first = next(iter(rows.values()))
    for row in rows.values():
        same_ids = row.metrics.get("tokenizer_sha256") == first.metrics.get("tokenizer_sha256")
        for task in sorted({*first.answers, *row.answers}):
            ours, theirs = (_identity(one.answers.get(task, {}), prompts=same_ids) for one in (row, first))
            if ours != theirs:
                odd = sorted(set(ours.items()) ^ set(theirs.items()))[0][0]
                raise UserError(
                    f"predictions of {first.name!r} and {row.name!r} are over different items (first: {odd!r} of task {task!r}) and cannot "
                    f"be paired; run `dvc repro evaluate@{row.name}`"
                )


def _identity(items: Mapping[str, Item], *, prompts: bool) -> dict[str, tuple[str, str]]:
    return {name: (item.cluster, item.prompt_sha256 if prompts else "") for name, item in items.items()}
