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
_SAME_CONDITIONS = ("device", "threads", "prompt_tokens", "answer_tokens", "rounds", "protocol_version")

Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of the generated answers by item id, and the cluster (fact) of each item."""

    score: dict[str, int]
    cluster: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model: its merged metrics, its answers, its lineage. `deployable` means one GGUF that the service can load."""

    name: str
    metrics: Metrics
    scores: Scores
    lineage: Lineage
    deployable: bool


def read_rows(models: Sequence[str], *, metrics: Path, predictions: Path, models_folder: Path) -> dict[str, Row]:
    """All rows, in the order of `models`; UserError on a missing or empty one, or where the conditions differ between rows."""
    rows = {}
    for name in models:
        evaluated = read_metrics(metrics / "evaluate" / f"{name}.json", command=f"dvc repro evaluate@{name}")
        timed = read_metrics(metrics / "benchmark" / f"{name}.json", command="dvc repro benchmark")
        path = predictions / f"{name}.jsonl"
        scores = _read_scores(path, command=f"dvc repro evaluate@{name}")
        rows[name] = Row(
            name=name,
            metrics={**evaluated, **timed},
            scores=scores,
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
    values: Metrics = json.loads(path.read_text(encoding="utf-8"))
    for name, value in values.items():
        find_metric(name, where=str(path))
        if name.endswith("_n") and value == 0:
            raise UserError(f"empty test set: {path}, {name} is 0; check the splits of prepare_data, then run `{command}`")
        if isinstance(value, float) and value != value:  # NaN is the one value unlike itself
            raise UserError(f"not a number: {path}, {name}; run `{command}`")
    return values


def accuracy_name(metrics: Metrics) -> str:
    """`sample_accuracy_answer` on sample data, `accuracy_answer` on any other."""
    return SAMPLE_PREFIX + _ACCURACY if SAMPLE_PREFIX + _ACCURACY in metrics else _ACCURACY


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


def _read_scores(path: Path, *, command: str) -> Scores:
    if not path.is_file():
        raise UserError(f"missing row: {path}; run `{command}`")
    score, cluster = {}, {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            item = json.loads(line)
            if item["task"] != GATE_TASK:
                continue
            if item["item_id"] in score:
                raise UserError(f"item {item['item_id']!r} twice: {path}:{number}; run `{command}`")
            score[item["item_id"]] = int(item["score"])
            cluster[item["item_id"]] = str(item["cluster"])
    if not score:
        raise UserError(f"no predictions of task {GATE_TASK!r}: {path}; check the test set of prepare_data, then run `{command}`")
    return Scores(score=score, cluster=cluster)


def _check_agreement(row: Row, path: Path) -> None:
    """The accuracy of the metrics file must be the mean of the predictions, else the two come from different runs."""
    values = row.scores.score.values()
    reported = row.metrics.get(accuracy_name(row.metrics))
    if reported is not None and abs(sum(values) / len(values) - reported) > 0.5 / len(values):
        raise UserError(f"metrics and predictions of {row.name!r} disagree: {path}; run `dvc repro --force evaluate@{row.name}`")


def _check_items(rows: Mapping[str, Row]) -> None:
    first = next(iter(rows.values()))
    for row in rows.values():
        if row.scores.cluster != first.scores.cluster:
            odd = sorted(set(row.scores.cluster.items()) ^ set(first.scores.cluster.items()))[0][0]
            raise UserError(
                f"predictions of {first.name!r} and {row.name!r} are over different items (first: {odd!r}) and cannot be paired; "
                f"run `dvc repro evaluate@{row.name}`"
            )
