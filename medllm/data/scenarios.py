"""Hand-written consultation scenarios: an interview, the facts that it must bring out, and where it may end."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from medllm.errors import UserError

OutcomeKind = Literal["emergency_119", "er", "crisis", "same_day", "department", "self_care"]
TurnRole = Literal["user", "assistant"]
URGENT: Final = frozenset({"emergency_119", "er", "crisis"})  # kinds that a red flag leads to
_ID = re.compile(r"scn_\d{3}")
_SLUG = re.compile(r"[a-z][a-z0-9_]*")
_MAX_AGE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The person the talk is about, who need not be the one who writes; `age` in whole years (0 for a baby)."""

    age: int
    sex: Literal["female", "male"]
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message; `asks` are the ids of the key facts that an assistant turn asks for."""

    role: TurnRole
    text: str
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFact:
    """What the interview must bring out: the point to ask for, and what a simulated patient answers when it is asked."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where the advice may send the patient; the final turn holds at least one of the terms of `must`."""

    kind: OutcomeKind
    departments: tuple[str, ...]
    must: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One checked consultation; `redflags` are ids of redflags.csv, `departments` of its outcome ids of departments.csv."""

    id: str
    cluster: str
    title: str
    patient: Patient
    turns: tuple[Turn, ...]
    key_facts: tuple[KeyFact, ...]
    redflags: tuple[str, ...]
    outcome: Outcome
    source: str
    reviewed: bool

    def messages(self) -> tuple[tuple[str, str], ...]:
        """The talk as (role, text), as `Record.messages` holds it."""
        return tuple((turn.role, turn.text) for turn in self.turns)

    def advice(self) -> str:
        """The final assistant turn."""
        return self.turns[-1].text

    def sent_at_once(self) -> bool:
        """An emergency that the very first answer already sends to help, so that nothing needs to be asked."""
        return self.outcome.kind in URGENT and any(term in self.turns[1].text for term in self.outcome.must)


def load_scenarios(path: Path, *, departments: Collection[str], redflags: Collection[str]) -> tuple[Scenario, ...]:
    """Read a JSONL file, one scenario a line, in file order; `departments` and `redflags` are the known ids.

    Raises UserError with file:line on any broken line, unknown id, or interview that does not keep its own promises.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; the consultation scenarios are one JSON object a line")
    seen: dict[str, int] = {}
    scenarios: list[Scenario] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            scenario = _scenario(_parsed(line, where), where)
            if scenario.id in seen:
                raise UserError(f"{where}: id {scenario.id!r} is also in line {seen[scenario.id]}; give every scenario its own id")
            problem = _problem(scenario, departments, redflags)
            if problem:
                raise UserError(f"{where}: {scenario.id}: {problem}")
            seen[scenario.id] = number
            scenarios.append(scenario)
    if not scenarios:
        raise UserError(f"{path}: no scenarios; write at least one")
    return tuple(scenarios)


def _parsed(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg}); write one object a line") from error


def _scenario(row: object, where: str) -> Scenario:
    cells = _cells(row, Scenario, where, "scenario")
    patient = _cells(cells["patient"], Patient, where, "patient")
    if type(patient["age"]) is not int or not 0 <= patient["age"] <= _MAX_AGE:
        raise UserError(f"{where}: patient.age must be whole years from 0 to {_MAX_AGE}")
    if patient["sex"] not in ("female", "male"):
        raise UserError(f"{where}: patient.sex {patient['sex']!r} is unknown; use female or male")
    if cells["reviewed"] is not False:
        raise UserError(f"{where}: reviewed must be false; no clinician has read the scenarios")
    outcome = _cells(cells["outcome"], Outcome, where, "outcome")
    if outcome["kind"] not in get_args(OutcomeKind):
        raise UserError(f"{where}: outcome.kind {outcome['kind']!r} is unknown; use one of {', '.join(get_args(OutcomeKind))}")
    lists = {name: _strings(outcome[name], where, f"outcome.{name}") for name in ("departments", "must")}
    texts = {name: _text(cells[name], where, name) for name in ("id", "cluster", "title", "source")}
    return Scenario(
        **texts,
        patient=Patient(age=patient["age"], sex=patient["sex"], context=_text(patient["context"], where, "patient.context")),
        turns=tuple(_turn(cell, where) for cell in _list(cells["turns"], where, "turns")),
        key_facts=tuple(_key_fact(cell, where) for cell in _list(cells["key_facts"], where, "key_facts")),
        redflags=_strings(cells["redflags"], where, "redflags"),
        outcome=Outcome(kind=outcome["kind"], **lists),
        reviewed=False,
    )


def _turn(row: object, where: str) -> Turn:
    cells = _cells(row, Turn, where, "turn", optional={"asks"})
    if cells["role"] not in get_args(TurnRole):
        raise UserError(f"{where}: turn.role {cells['role']!r} is unknown; use user or assistant")
    asks = _strings(cells.get("asks", []), where, "turn.asks")
    return Turn(role=cells["role"], text=_text(cells["text"], where, "turn.text"), asks=asks)


def _key_fact(row: object, where: str) -> KeyFact:
    cells = _cells(row, KeyFact, where, "key fact")
    return KeyFact(**{name: _text(cell, where, f"key fact {name}") for name, cell in cells.items()})


def _cells(row: object, kind: type[Any], where: str, name: str, *, optional: Collection[str] = ()) -> Mapping[str, Any]:
    """The object with exactly the keys of the dataclass `kind`, of which `optional` ones may be missing."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: the {name} is not an object; see medllm/data/scenarios.py for its keys")
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(row) - known):
        raise UserError(f"{where}: unknown key {unknown[0]!r} in the {name}; use {', '.join(sorted(known))}")
    if missing := sorted(known - set(row) - set(optional)):
        raise UserError(f"{where}: the {name} has no {missing[0]!r}; add it")
    return row


def _text(cell: object, where: str, name: str) -> str:
    if not isinstance(cell, str) or not cell or cell != cell.strip():
        raise UserError(f"{where}: {name} must be text, not empty and without blanks around it")
    return cell


def _list(cell: object, where: str, name: str) -> list[Any]:
    if not isinstance(cell, list):
        raise UserError(f"{where}: {name} must be a list")
    return cell


def _strings(cell: object, where: str, name: str) -> tuple[str, ...]:
    texts = tuple(_text(item, where, name) for item in _list(cell, where, name))
    if len(set(texts)) < len(texts):
        raise UserError(f"{where}: {name} names something twice; keep one")
    return texts


def _problem(scenario: Scenario, departments: Collection[str], redflags: Collection[str]) -> str:
    """What is wrong with a well-formed scenario and what to do, or ""."""
    if not _ID.fullmatch(scenario.id):
        return "the id is not scn_ and three digits; rename it"
    if not _SLUG.fullmatch(scenario.cluster):
        return f"cluster {scenario.cluster!r} is not a slug of a-z, 0-9 and _; rename it"
    if [turn.role for turn in scenario.turns] != ["user", "assistant"] * (len(scenario.turns) // 2) or not scenario.turns:
        return "the turns do not alternate from user to assistant; correct their roles"
    return _outcome_problem(scenario, departments, redflags) or _asking_problem(scenario)


def _outcome_problem(scenario: Scenario, departments: Collection[str], redflags: Collection[str]) -> str:
    outcome = scenario.outcome
    if unknown := _first_unknown(outcome.departments, departments):
        return f"department {unknown!r} is not an id of departments.csv; correct it"
    if unknown := _first_unknown(scenario.redflags, redflags):
        return f"red flag {unknown!r} is not an id of redflags.csv; correct it"
    if outcome.kind in URGENT and not scenario.redflags:
        return f"outcome {outcome.kind} without a red flag; name the rule that leads there"
    if outcome.kind not in URGENT and scenario.redflags:
        return f"outcome {outcome.kind} with red flag {scenario.redflags[0]}; a red flag leads to {', '.join(sorted(URGENT))}"
    if outcome.kind in ("department", "same_day") and not outcome.departments:
        return f"outcome {outcome.kind} without a department; name at least one"
    if not any(term in scenario.advice() for term in outcome.must):
        return f"the final turn holds none of must ({', '.join(outcome.must)}); correct the advice or the list"
    return ""


def _asking_problem(scenario: Scenario) -> str:
    """Key facts and the turns that ask for them must fit, unless the first answer ends the interview."""
    known = [fact.id for fact in scenario.key_facts]
    if len(set(known)) < len(known):
        return "a key fact id is there twice; give each its own"
    asking = [turn for turn in scenario.turns if turn.asks]
    if any(turn.role == "user" for turn in asking):
        return "a user turn has asks; only the assistant asks"
    if scenario.turns[-1].asks:
        return "the final turn asks; nobody would answer it"
    asked = {fact for turn in asking for fact in turn.asks}
    if unknown := _first_unknown(sorted(asked), known):
        return f"asks {unknown!r} is not the id of a key fact; correct it"
    if scenario.sent_at_once():
        return ""
    if not known:
        return "no key facts; only an emergency that is sent away at once needs none"
    if unasked := _first_unknown(known, asked):
        return f"key fact {unasked!r} is asked by no turn before the last; ask for it or take it out"
    return ""


def _first_unknown(names: Iterable[str], known: Collection[str]) -> str:
    return next((name for name in names if name not in known), "")
