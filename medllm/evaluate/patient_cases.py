"""Simulated patients whose first message leaves the decisive fact out (the finding of Bean et al., Nature Medicine 2026)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from medllm.data.answers import squeeze
from medllm.errors import UserError

Level = Literal["119", "er", "outpatient", "self_care"]
# What a key holds: tuple is a list of texts, list one of objects.
_PATIENT: Final[Mapping[str, type]] = {
    "id": str, "opening": str, "facts": list, "unknown": str, "level": str, "must": tuple, "must_not": tuple,
    "reviewed": bool, "source": str,
}  # fmt: skip
_FACT: Final[Mapping[str, type]] = {"topic": str, "asked": tuple, "reply": str, "key": bool}
_KINDS: Final[Mapping[type, str]] = {
    str: "text, not empty and without blanks around it", bool: "true or false",
    tuple: "a list of texts, none of them empty", list: "a list of objects, not empty",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What the patient tells when a question holds one of the `asked` stems, blanks aside; `key` when the advice depends on it."""

    topic: str
    asked: tuple[str, ...]
    reply: str
    key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A case: right advice holds a `must` term and no `must_not` one; `unknown` answers what no fact covers."""

    id: str
    opening: str
    facts: tuple[Fact, ...]
    unknown: str
    level: Level
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    reviewed: bool
    source: str


def load_patients(path: Path) -> tuple[Patient, ...]:
    """Read a JSONL file, one patient a line, in file order; UserError with file:line at the first broken one."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the simulated patients are one JSON object a line")
    found: dict[str, Patient] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        patient = _patient(line, f"{path}:{number}")
        if patient.id in found:
            raise UserError(f"{path}:{number}: id {patient.id!r} is there twice; give every patient its own id")
        found[patient.id] = patient
    if not found:
        raise UserError(f"{path}: no patients; write at least one")
    return tuple(found.values())


def _patient(line: bytes, where: str) -> Patient:
    try:
        row = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON in UTF-8 ({error}); write one object a line") from error
    cells = _cells(row, _PATIENT, where)
    cells["facts"] = tuple(Fact(**_cells(fact, _FACT, f"{where}: fact {n}")) for n, fact in enumerate(cells["facts"], 1))
    patient = Patient(**cells)
    if patient.level not in get_args(Level):
        raise UserError(f"{where}: level {patient.level!r} is unknown; use one of {', '.join(get_args(Level))}")
    if not any(fact.key for fact in patient.facts):
        raise UserError(f"{where}: no key fact; mark what the advice depends on with key: true")
    stems = [squeeze(stem) for fact in patient.facts for stem in fact.asked]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise UserError(f"{where}: the stem {twice[0]!r} is asked twice; keep it in one fact")
    return patient


def _cells(row: object, shape: Mapping[str, type], where: str) -> dict[str, Any]:
    """The object with exactly the keys of `shape`, its lists as tuples."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: not an object; use the keys {', '.join(shape)}")
    if odd := sorted(row.keys() ^ shape.keys()):
        raise UserError(f"{where}: {'unknown' if odd[0] in row else 'missing'} key {odd[0]!r}; use {', '.join(shape)}")
    for name, kind in shape.items():
        if not _fits(row[name], kind):
            raise UserError(f"{where}: {name} must be {_KINDS[kind]}; correct it")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _fits(value: object, kind: type) -> bool:
    if kind is tuple:
        return isinstance(value, list) and bool(value) and all(_fits(item, str) for item in value)
    if kind is str:
        return isinstance(value, str) and bool(value) and value == value.strip()
    return type(value) is kind and value != []
