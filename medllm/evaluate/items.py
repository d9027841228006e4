"""Which items a model is asked: the same for every model, chosen by a hash of their ids."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medllm.data.examples import open_book_only
from medllm.data.records import FREE_PREFIX, Record, read_records
from medllm.errors import UserError
from medllm.evaluate.choice import shuffled
from medllm.evaluate.interview import interview_items

TASKS = (
    "answer", "paraphrase", "grounded", "scenario", "choice", "passage", "interview", "solution", "red_flag", "patient", "text", "screen",
)  # fmt: skip


def take(records: Iterable[Record], limit: int) -> list[Record]:
    """At most `limit` records in the order of a hash of their ids, the same for every model."""
    return sorted(records, key=lambda record: id_sha256(record.id))[:limit]


def id_sha256(name: str) -> str:
    """Sorts items into an order that has nothing to do with how they were written down."""
    return hashlib.sha256(name.encode()).hexdigest()


def choose_items(test: Path, *, max_items: Mapping[str, int]) -> dict[str, list[Record]]:
    """Items by task from the test split, "text" and "general" (running text) for the bits per byte.

    Closed-book answers are asked on held-out forms (on every medical short answer where data have no forms), grounded ones on held-out
    facts. UserError: a task of `max_items` is unknown or missing, or there are no short answers or no multiple choice at all.
    """
    _check_tasks(max_items)
    records = list(read_records(test))
    short = [r for r in records if r.kind == "qa" and r.role == "medical"]
    known = [r for r in short if r.held_out != "fact"]
    candidates: dict[str, list[Record]] = {
        "answer": [r for r in known if not r.form.startswith(FREE_PREFIX)],
        "paraphrase": [r for r in known if r.form.startswith(FREE_PREFIX)],
        "grounded": [r for r in short if r.held_out == "fact" and r.context],
        "scenario": [r for r in records if r.kind == "chat" and r.must and not open_book_only(r)],
        "choice": _choices(records, "choice"),
        "passage": _choices(records, "passage_choice"),
        "interview": interview_items([r for r in records if r.kind == "dialogue"]),
        "solution": [r for r in records if r.kind == "solution" and r.must],
    }
    if not candidates["answer"] or not candidates["choice"]:
        raise UserError(f"{test}: no medical short answers or no multiple choice to evaluate on; check the data report")
    chosen = {task: take(found, max_items[task]) for task, found in candidates.items()}
    for task in ("choice", "passage", "interview"):
        chosen[task] = [shuffled(record) for record in chosen[task]]
    chosen["text"] = take(known, max_items["text"])
    chosen["general"] = take([r for r in records if r.role == "baseline_check"], max_items["text"])
    return chosen


def _choices(records: Sequence[Record], kind: str) -> list[Record]:
    return [record for record in records if record.kind == kind and record.answer_index is not None]


def _check_tasks(max_items: Mapping[str, int]) -> None:
    if wrong := sorted(set(max_items) ^ set(TASKS)):
        fault = "is missing" if wrong[0] in TASKS else "is unknown"
        raise UserError(f"evaluate.max_items: task {wrong[0]!r} {fault}; the tasks are {', '.join(TASKS)}")
