"""Read the predictions of both arms, and refuse what cannot be paired."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.errors import UserError

_TEXTS = ("task", "item_id", "cluster", "prompt_sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One scored answer (0 or 1)."""

    score: int
    cluster: str
    prompt_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One predictions file: its answers by task and item id, and the hash of the file."""

    path: Path
    sha256: str
    answers: Mapping[str, Mapping[str, Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Scores of both arms and the clusters, (n,) each, items in sorted order."""

    a: list[int]
    b: list[int]
    clusters: list[str]


def read_arm(path: Path) -> Arm:
    """Predictions as pipeline.evaluate writes them; UserError naming file and line of what is not one."""
    if not path.is_file():
        raise UserError(f"{path}: no such predictions file; run `dvc repro evaluate@<model>`, or name another")
    answers: dict[str, dict[str, Answer]] = {}
    content = path.read_bytes()
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{path}:{number}"
        row = _row(line, where)
        of_task = answers.setdefault(row["task"], {})
        if row["item_id"] in of_task:
            raise UserError(f"{where}: item {row['item_id']!r} of task {row['task']!r} a second time; evaluate the model again")
        of_task[row["item_id"]] = Answer(score=int(row["score"]), cluster=row["cluster"], prompt_sha256=row["prompt_sha256"])
    return Arm(path=path, sha256=hashlib.sha256(content).hexdigest(), answers=answers)


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); name a file of predictions, whole as pipeline.evaluate wrote it") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: not an object; name a file of predictions")
    for key in _TEXTS:
        if not isinstance(row.get(key), str):
            raise UserError(f"{where}: no text {key!r}; name a file of predictions")
    if row.get("score") not in (0, 1):
        raise UserError(f"{where}: score {row.get('score')!r} is neither 0 nor 1; name a file of predictions")
    return row


def pair(a: Arm, b: Arm, task: str) -> Pairs:
    """The items of one task; UserError where the arms have none, or others, or asked one with another prompt."""
    for arm in (a, b):
        if not arm.answers.get(task):
            raise UserError(
                f"{arm.path}: no item of task {task!r}; the tasks there are {', '.join(sorted(arm.answers)) or 'none'}, set ab.tasks"
            )
    ours, theirs = a.answers[task], b.answers[task]
    items = sorted(ours)
    odd = sorted(ours.keys() ^ theirs.keys())
    if odd:
        has, lacks = (a, b) if odd[0] in ours else (b, a)
        raise UserError(
            f"{lacks.path}: item {odd[0]!r} of task {task!r} is in {has.path} alone, as are {len(odd) - 1} more in one of the two; "
            f"evaluate both models on the same data"
        )
    for item in items:
        for key in ("prompt_sha256", "cluster"):
            if getattr(ours[item], key) != getattr(theirs[item], key):
                raise UserError(
                    f"{b.path}: item {item!r} of task {task!r} has another {key} than in {a.path}; "
                    f"evaluate both models with the same data, tokenizer and template"
                )
    return Pairs(
        a=[ours[item].score for item in items], b=[theirs[item].score for item in items], clusters=[ours[item].cluster for item in items]
    )
