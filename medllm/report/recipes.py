"""The newest artifacts/results/*-recipes.json (of pipeline.recipes) as the report needs it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medllm.errors import UserError
from medllm.report.format import need

PATTERN = "*-recipes.json"
_MODELS = ("student_gguf_q8_0", "student_gguf_q4_0", "student_gguf_f16", "student")  # the first that was evaluated speaks for its recipe
# The accuracies that recipes are judged by, under the names that the tables give them.
TASKS = {"answer": "생성 답변", "grounded": "근거 제공"}

Summary = Mapping[str, Any]


def newest(results: Path, pattern: str) -> Path | None:
    """The last file of `results` by name, which begins with a date."""
    return max(results.glob(pattern), default=None, key=lambda path: path.name)


def read_recipes(results: Path) -> "Recipes | None":
    """The newest results file; None where there is none, or nothing in it finished. UserError: it is not what pipeline.recipes writes."""
    path = newest(results, PATTERN)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error.msg}); run python -m pipeline.recipes summarise on it, or delete it") from error
    recipes = Recipes(content, path.name)
    return recipes if recipes.lines else None


class Recipes:
    """The summary of a results file. `lines` are the records of `model`, one a recipe, the reference first."""

    def __init__(self, content: Mapping[str, Any], name: str) -> None:
        self.name, self.date = name, name[:10]
        self.summary: list[Summary] = need(content, "summary", name)
        if not all(isinstance(record.get("accuracy_lowest", {}), Mapping) for record in self.summary):
            raise UserError(f"{name}: its summary is not by task; run python -m pipeline.recipes summarise on it")
        self.reference: str = need(content, "reference", name)
        self.device: str = need(content, "device", name)
        self.commits = sorted({row["commit"] for row in need(content, "rows", name)})
        finished = {record["model"] for record in self.summary if record["seeds"]}
        self.model = next((model for model in _MODELS if model in finished), "")
        lines = [record for record in self.summary if record["model"] == self.model]
        self.lines = sorted(lines, key=lambda record: record["recipe"] != self.reference)

    def of(self, recipe: str, model: str) -> Summary | None:
        """The record of another model of a recipe, when it finished."""
        return next((r for r in self.summary if r["recipe"] == recipe and r["model"] == model and r["seeds"]), None)

    def group(self, prefix: str) -> list[Summary]:
        """The reference and the recipes of a prefix; nothing when there is none."""
        found = [record for record in self.lines if record["recipe"].rpartition("+")[2].startswith(prefix)]
        return [*(record for record in self.lines if record["recipe"] == self.reference and record not in found), *found] if found else []

    @property
    def sample(self) -> bool:
        """The accuracies are of the sample data."""
        return any(name.startswith("sample_") for record in self.summary for name in record.get("metrics", {}))


def accuracy(record: Summary | None, task: str) -> float | None:
    """Mean over seeds."""
    metrics = record.get("metrics", {}) if record is not None else {}
    value: float | None = metrics.get(f"sample_accuracy_{task}", metrics.get(f"accuracy_{task}"))
    return value


def against(record: Summary, key: str, task: str) -> Mapping[str, Any] | None:
    """The pooled difference `key` ("to_reference", "to_teacher") of a task; None where there was nothing to pair."""
    found: Mapping[str, Any] | None = record.get(key, {}).get(task)
    return found
