"""The record schema that every adapter produces and every later stage reads, one JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from medllm.errors import UserError

FREE_PREFIX = "free"  # of `form`: a wording of which no part was trained
Kind = Literal["qa", "choice", "passage_choice", "solution", "dialogue", "statement", "chat"]
Role = Literal["baseline_check", "distillation", "medical"]
HeldOut = Literal["", "form", "fact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One item of any source; UserError when the fields do not make an item of its kind.

    `question`/`answer` hold a question item, `text` running text (a statement, or a dialogue rendered as lines), `messages` the turns of a
    chat as (role, text): "user" first and "assistant" last, after at most one "system".
    `held_out` is "form" when the fact was trained with other wordings, "fact" when no training text states it.
    `must` are the terms of which a right answer holds one; `context` are the facts given to a grounded (open-book) question.
    `cluster` groups items that must not be split between training and test; `provenance` is archive/member below data/raw/<name>.
    `eval_only` items (KorMedMCQA) exist in the validation part alone.
    """

    id: str
    dataset: str
    role: Role
    kind: Kind
    source_split: Literal["train", "validation"]
    question: str = ""
    answer: str = ""
    options: tuple[str, ...] = ()
    answer_index: int | None = None
    passage: str = ""
    text: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    department: str = ""
    fact_id: str = ""
    cluster: str = ""
    form: str = ""
    held_out: HeldOut = ""
    must: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    provenance: str = ""
    licence: str = ""
    redistributable: bool = False
    eval_only: bool = False

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise UserError(f"{self.id}: {problem}; correct the item or its adapter")

    def to_json(self) -> str:
        """One line, keys in field order, empty fields left out."""
        row = {name: value for name, default in _DEFAULTS.items() if (value := getattr(self, name)) != default}
        return json.dumps(row, ensure_ascii=False)


_NEEDS: dict[Kind, tuple[str, ...]] = {
    "qa": ("question", "answer"),
    "choice": ("question", "options"),
    "passage_choice": ("passage", "question", "options"),
    "solution": ("question", "answer"),
    "dialogue": ("text",),
    "statement": ("text",),
    "chat": ("messages",),
}


def _problem(record: Record) -> str:
    """What keeps the fields from being an item of their kind, or ""."""
    if record.kind not in _NEEDS:
        return f"unknown kind {record.kind!r}"
    if not record.text:  # the corpus holds items of every kind as running text
        missing = next((name for name in _NEEDS[record.kind] if not getattr(record, name)), "")
        if missing:
            return f"a {record.kind} item without {missing}"
    if len(record.options) == 1:
        return "a single option"
    marked = record.answer_index if record.answer_index is not None or record.kind == "solution" else -1
    if record.options and marked is not None and not 0 <= marked < len(record.options):
        return f"answer_index {record.answer_index} is none of its {len(record.options)} options"
    roles = [role for role, _ in record.messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if turns != ["user", "assistant"] * (len(turns) // 2):
        return "its messages do not take turns from user to assistant"
    if record.eval_only and record.source_split != "validation":
        return "an eval_only item may not be trained on, so it cannot be in the train part"
    return ""


_TUPLES = {"options", "must", "context"}
_DEFAULTS = {f.name: f.default for f in fields(Record)}


def parse_record(row: dict[str, Any], *, where: str) -> Record:
    """Build a record from a JSON object; `where` (file:line) goes into the error."""
    unknown = row.keys() - _DEFAULTS
    if unknown:
        raise UserError(f"{where}: unknown field {sorted(unknown)[0]!r}; see medllm/data/records.py for the schema")
    values: dict[str, Any] = {k: tuple(v) if k in _TUPLES else v for k, v in row.items()}
    if "messages" in values:
        values["messages"] = tuple((str(role), str(text)) for role, text in values["messages"])
    try:
        return Record(**values)
    except TypeError as error:
        raise UserError(f"{where}: {error}; the record is incomplete") from error


def read_records(path: Path) -> Iterator[Record]:
    """Stream records from a JSONL file; errors name file and line."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run the stage that writes it (dvc repro)")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not valid JSON ({error.msg})") from error
            yield parse_record(row, where=f"{path}:{number}")


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSONL and return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(record.to_json() + "\n")
            count += 1
    return count
