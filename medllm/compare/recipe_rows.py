"""What one run of a recipe left behind, as plain rows of a results file: a row is one model of one recipe at one seed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medllm.benchmark.weights import read_weights
from medllm.compare.rows import read_metrics
from medllm.errors import UserError
from medllm.model.folder import Lineage, model_bytes, read_lineage

# Where a step writes what it measured, below the folder of the metrics.
_STEP_FILES = {
    "prune": "prune.json",
    "distill": "distill.json",
    "finetune": "finetune/{name}.json",
    "quantize": "quantize/{name}.json",
}
_NOT_KEPT = ("_low", "_high", "seconds", "_per_s")

Record = dict[str, Any]


def read_row(artifacts: Path, model: str) -> tuple[Record, Record]:
    """(row of `model` without its recipe and seed, items by their hash) from the `artifacts` folder of a finished run.

    `scores` holds one text of 0 and 1 a task, in the order of sorted item ids; `items` names what they are over: the clusters (facts) of
    these items, numbered. Two score texts may be paired when their hashes are equal. UserError: something of the model is missing.
    """
    folder = artifacts / "models" / model
    lineage = read_lineage(folder)
    metrics = read_metrics(artifacts / "metrics" / "evaluate" / f"{model}.json", command=f"dvc repro evaluate@{model}")
    scores, hashes, items = _read_scores(artifacts / "predictions" / f"{model}.jsonl")
    row = {
        "model": model,
        "method": lineage.method,
        "path": _path(artifacts / "models", lineage),
        "bytes": model_bytes(folder),
        "parameters": read_weights(folder, dtype=None).parameters,
        "metrics": _kept(metrics),
        "step": _step_metrics(artifacts / "metrics", lineage),
        "scores": scores,
        "items": hashes,
    }
    return row, items


def _path(models: Path, lineage: Lineage) -> list[str]:
    """Names from the root to the model."""
    names = [lineage.name]
    while lineage.parent is not None and (models / lineage.parent).is_dir():
        lineage = read_lineage(models / lineage.parent)
        names.insert(0, lineage.name)
    return names


def _kept(values: Mapping[str, Any]) -> Record:
    """Without intervals, which follow from the counts, and without times: those are of a shared machine."""
    return {name: value for name, value in values.items() if not name.endswith(_NOT_KEPT) and not isinstance(value, (dict, list))}


def _step_metrics(metrics: Path, lineage: Lineage) -> Record:
    pattern = _STEP_FILES.get(lineage.step)
    path = metrics / pattern.format(name=lineage.name) if pattern else None
    if path is None or not path.is_file():
        return {}
    return _kept(json.loads(path.read_text(encoding="utf-8")))


def _read_scores(path: Path) -> tuple[dict[str, str], dict[str, str], Record]:
    """Scores by task, hash of the items by task, clusters by hash."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; evaluate this model (dvc repro evaluate@{path.stem})")
    tasks: dict[str, dict[str, tuple[str, int]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        tasks.setdefault(item["task"], {})[item["item_id"]] = (str(item["cluster"]), int(item["score"]))
    scores, hashes, items = {}, {}, {}
    for task, found in sorted(tasks.items()):
        ids = sorted(found)
        clusters = [found[one][0] for one in ids]
        key = hashlib.sha256(json.dumps([ids, clusters], ensure_ascii=False).encode()).hexdigest()[:16]
        scores[task] = "".join(str(found[one][1]) for one in ids)
        hashes[task] = key
        items[key] = _numbered(clusters)
    return scores, hashes, items


def _numbered(clusters: Sequence[str]) -> list[int]:
    """Each name by the order of its first appearance: what a cluster is called does not matter, and names would fill the file."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in clusters]
