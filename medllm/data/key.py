"""key.jsonl beside the archives: what the sample generator knows about each item and AI Hub's schema cannot say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medllm.data.records import Record
from medllm.errors import UserError

KEY_FILE = "key.jsonl"
_TEXTS = ("role", "cluster", "fact_id", "form", "held_out", "licence", "department")
_LISTS = ("must", "context")
_FLAGS = ("redistributable", "eval_only")
_HELD_OUT = ("", "form", "fact")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """`fields` replace those of the record; `subject` is the first term of the fact, for the leak gate."""

    fields: dict[str, Any]
    subject: str

    def enrich(self, record: Record) -> Record:
        """The record with the fields of this row."""
        return replace(record, **self.fields)


def read_key(raw: Path) -> dict[str, KeyRow]:
    """Rows by record id ("<dataset>:<item_id>"); empty when the raw folder has no key file, as with real archives."""
    path = raw / KEY_FILE
    if not path.is_file():
        return {}
    rows: dict[str, KeyRow] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not valid JSON ({error.msg}); write the sample again (dvc repro -f make_sample)") from error
        if not isinstance(row, dict) or not {"dataset", "item_id"} <= row.keys():
            raise UserError(f"{where}: dataset or item_id is missing; write the sample again (dvc repro -f make_sample)")
        record_id = f"{row['dataset']}:{row['item_id']}"
        if record_id in rows:
            raise UserError(f"{where}: {record_id} is there twice; write the sample again (dvc repro -f make_sample)")
        rows[record_id] = KeyRow(fields=dict(_fields(row, where)), subject=str(row.get("subject", "")))
    return rows


def _fields(row: dict[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for names, kind in ((_TEXTS, str), (_FLAGS, bool), (_LISTS, list)):
        for name in names:
            if name in row:
                if not isinstance(row[name], kind) or (name == "held_out" and row[name] not in _HELD_OUT):
                    raise UserError(f"{where}: {name} = {row[name]!r} is not allowed; see medllm/data/key.py")
                yield name, tuple(map(str, row[name])) if kind is list else row[name]
