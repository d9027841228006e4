"""Prediction rows: one JSON object an item, with text only where it may be passed on, and the shares that are read off them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from medllm.data.examples import question_text
from medllm.data.records import Record
from medllm.statistics.intervals import wilson_interval

Row = dict[str, Any]


def prompt_sha256(ids: Sequence[int]) -> str:
    """Identity of a prompt: the same for every model of one tokenizer and template."""
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()[:16]


def relation_of(record: Record) -> str:
    """What the question asks for (department, term, symptom ...); "" where the data do not say."""
    return record.fact_id.partition(":")[0]


def prediction(record: Record, task: str, prompt_ids: Sequence[int], output: str, score: bool, **more: Any) -> Row:
    """A row of predictions/<model>.jsonl; the texts of the item and the output only where they may be passed on."""
    row: Row = {
        "item_id": record.id, "task": task, "cluster": record.fact_id or record.cluster or record.id, "department": record.department,
        "relation": relation_of(record), "redistributable": record.redistributable, "prompt_sha256": prompt_sha256(prompt_ids),
        "score": int(score), **more,
    }  # fmt: skip
    if record.redistributable:
        asked, right = (record.messages[-2][1], record.messages[-1][1]) if record.messages else (question_text(record), record.answer)
        row |= {"question": asked, "reference": right, "output": output}
    return row


def share(rows: Iterable[Row], name: str, *, key: str = "score") -> dict[str, float]:
    """Mean of a 0/1 key with its Wilson interval and n; {} without rows."""
    values = [int(row[key]) for row in rows]
    if not values:
        return {}
    low, high = wilson_interval(sum(values), len(values))
    return {name: sum(values) / len(values), f"{name}_n": len(values), f"{name}_low": low, f"{name}_high": high}


def task_rows(rows: Iterable[Row], *tasks: str, where: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """Rows of some tasks."""
    return [row for row in rows if row["task"] in tasks and where(row)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write predictions as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
