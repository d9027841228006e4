"""The hand-written medical tables of data/knowledge: typed rows, checked links, and the facts that they state."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_type_hints

from medllm.errors import UserError

Relation = Literal["department", "symptom", "test", "symptom_department", "drug_class", "test_purpose", "term"]


def _cell(*, refers: str = "", choices: tuple[str, ...] = (), check: str = "", empty: bool = False) -> Any:
    """A column: ids of another table, a closed set of values, a "date" or "regex", and whether the cell may be empty."""
    return field(metadata={"refers": refers, "choices": choices, "check": check, "empty": empty})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows come from; `retrieved` is an ISO date."""

    id: str
    source_type: str = _cell(choices=("statute", "public_notice", "reference", "general_knowledge"))
    title: str
    where: str
    retrieved: str = _cell(check="date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Department:
    """A medical department (진료과목); `hint` names sub-specialties and what it looks after."""

    id: str
    name: str
    hint: str = _cell(empty=True)
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """A symptom, its lay names, and the department to see first."""

    id: str
    name: str
    lay: tuple[str, ...] = _cell(empty=True)
    department: str = _cell(refers="departments")
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MedicalTest:
    """An examination; `purpose` is a noun phrase that goes before "을/를 확인하는 검사"."""

    id: str
    name: str
    english: str = _cell(empty=True)
    abbreviation: str = _cell(empty=True)
    purpose: str
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drug:
    """An active ingredient at label level; no dose anywhere."""

    id: str
    name: str
    english: str = _cell(empty=True)
    drug_class: str
    caution: str = _cell(empty=True)
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disease:
    """A disease; the first symptom and the first test are the representative ones, none where medicine names none (고혈압: no symptom)."""

    id: str
    name: str
    english: str = _cell(empty=True)
    department: str = _cell(refers="departments")
    symptoms: tuple[str, ...] = _cell(refers="symptoms", empty=True)
    tests: tuple[str, ...] = _cell(refers="tests", empty=True)
    drugs: tuple[str, ...] = _cell(refers="drugs", empty=True)
    summary: str
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A standard term with its lay, English, short and old names."""

    id: str
    standard: str
    lay: tuple[str, ...] = _cell(empty=True)
    english: str = _cell(empty=True)
    abbreviation: str = _cell(empty=True)
    old_names: tuple[str, ...] = _cell(empty=True)
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))

    @property
    def first_lay(self) -> str:
        """The first lay name that differs from the standard name, "" when there is none."""
        return next((lay for lay in self.lay if lay != self.standard), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedFlagRow:
    """A danger rule; `pattern` and `exclude` are Python regular expressions over normalised text."""

    id: str
    name: str
    level: str = _cell(choices=("119", "crisis", "er"))
    pattern: str = _cell(check="regex")
    exclude: str = _cell(check="regex", empty=True)
    advice: str = _cell(empty=True)
    source: str = _cell(refers="sources")
    reviewed: bool = _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One statement of a table row; `subject` and `object` are Korean display names, `id` is "relation:row id"."""

    id: str
    relation: Relation
    subject: str
    object: str
    subject_type: str
    object_type: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """All tables, each a mapping from row id to row in file order."""

    sources: Mapping[str, Source]
    departments: Mapping[str, Department]
    symptoms: Mapping[str, Symptom]
    tests: Mapping[str, MedicalTest]
    drugs: Mapping[str, Drug]
    diseases: Mapping[str, Disease]
    terms: Mapping[str, Term]
    redflags: Mapping[str, RedFlagRow]

    def facts(self) -> list[Fact]:
        """Every fact, sorted by id; a subject occurs once within a relation."""
        facts = [*self._disease_facts(), *self._other_facts()]
        return sorted(facts, key=lambda fact: fact.id)

    def _disease_facts(self) -> Iterator[Fact]:
        for row in self.diseases.values():
            department = self.departments[row.department].name
            yield _fact("department", row.id, "disease", row.name, "department", department, row.source)
            for symptom in row.symptoms[:1]:
                yield _fact("symptom", row.id, "disease", row.name, "symptom", self.symptoms[symptom].name, row.source)
            for test in row.tests[:1]:
                yield _fact("test", row.id, "disease", row.name, "test", self.tests[test].name, row.source)

    def _other_facts(self) -> Iterator[Fact]:
        for symptom in self.symptoms.values():
            department = self.departments[symptom.department].name
            yield _fact("symptom_department", symptom.id, "symptom", symptom.name, "department", department, symptom.source)
        for drug in self.drugs.values():
            yield _fact("drug_class", drug.id, "drug", drug.name, "drug_class", drug.drug_class, drug.source)
        for test in self.tests.values():
            yield _fact("test_purpose", test.id, "test", test.name, "purpose", test.purpose, test.source)
        for term in self.terms.values():
            if term.first_lay:
                yield _fact("term", term.id, "lay", term.first_lay, "term", term.standard, term.source)


def _fact(relation: Relation, row_id: str, subject_type: str, subject: str, object_type: str, object_name: str, source: str) -> Fact:
    return Fact(
        id=f"{relation}:{row_id}", relation=relation, subject=subject, object=object_name,
        subject_type=subject_type, object_type=object_type, source=source,
    )  # fmt: skip


Row = TypeVar("Row", Source, Department, Symptom, MedicalTest, Drug, Disease, Term, RedFlagRow)


def load_knowledge(folder: Path) -> Knowledge:
    """Read the eight tables; UserError with file:line on a bad column, cell, link, or a name that is there twice."""
    sources = _table(folder, Source, "sources", {})
    known: dict[str, Mapping[str, Any]] = {"sources": sources}
    known["departments"] = departments = _table(folder, Department, "departments", known)
    known["symptoms"] = symptoms = _table(folder, Symptom, "symptoms", known)
    known["tests"] = tests = _table(folder, MedicalTest, "tests", known)
    known["drugs"] = drugs = _table(folder, Drug, "drugs", known)
    return Knowledge(
        sources=sources, departments=departments, symptoms=symptoms, tests=tests, drugs=drugs,
        diseases=_table(folder, Disease, "diseases", known),
        terms=_table(folder, Term, "terms", known),
        redflags=_table(folder, RedFlagRow, "redflags", known),
    )  # fmt: skip


def _table(folder: Path, row_type: type[Row], table: str, known: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Row]:
    """Rows of <table>.csv by id; `known` holds the tables that its cells may refer to."""
    path = folder / f"{table}.csv"
    rows: dict[str, Row] = {}
    seen: dict[str, str] = {}  # a name that must be unique -> where it was first
    for line, cells in _lines(path, [f.name for f in fields(row_type)]):
        where = f"{path}:{line}"
        row = row_type(**_values(row_type, cells, known, where))
        if row.id in rows:
            raise UserError(f"{where}: id {row.id!r} is there twice; give every row its own id")
        for kind, name in _unique_names(row):
            first = seen.setdefault(f"{kind} {name!r}", where)
            if first != where:
                raise UserError(f"{where}: {kind} {name!r} is also at {first}; keep one of the two rows")
        rows[row.id] = row
    if not rows:
        raise UserError(f"{path}:1: no rows; the table is required")
    return MappingProxyType(rows)


def _unique_names(row: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) pairs that no other row of the table may hold: a question on the name has one answer only."""
    match row:
        case Term():
            yield "standard", row.standard
            if row.first_lay:
                yield "first lay name", row.first_lay
        case Source():
            yield "title", row.title
        case Symptom():  # its lay names too: one of them routes to one department
            yield from (("name", name) for name in (row.name, *row.lay))
        case _:
            yield "name", row.name


def _lines(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of a CSV file whose header must hold exactly `columns`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the knowledge folder needs {path.name} with the columns {','.join(columns)}")
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:  # -sig: spreadsheets write a byte order mark
            reader = csv.DictReader(lines, strict=True)
            header = list(reader.fieldnames or ())
            for problem, names in (("missing", set(columns) - set(header)), ("unknown", set(header) - set(columns))):
                if names:
                    raise UserError(f"{path}:1: {problem} column {min(names)!r}; the header is {','.join(columns)}")
            if len(header) != len(columns):
                raise UserError(f"{path}:1: a column is there twice; the header is {','.join(columns)}")
            for cells in reader:
                if None in cells or None in cells.values():
                    raise UserError(f"{path}:{reader.line_num}: not {len(columns)} cells; quote a cell that holds a comma")
                yield reader.line_num, {column: cell.strip() for column, cell in cells.items()}
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save the table as UTF-8 CSV") from error
    except csv.Error as error:
        raise UserError(f"{path}:{reader.reader.line_num if reader else 1}: {error}; check the quotes of this line") from error


def _values(row_type: type[Row], cells: dict[str, str], known: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    types = get_type_hints(row_type)
    values: dict[str, Any] = {}
    for column in fields(row_type):
        cell, rules = cells[column.name], column.metadata
        at = f"{where}: column {column.name}"
        if not cell and not rules.get("empty"):
            raise UserError(f"{at} is empty; fill it or remove the row")
        items = [item.strip() for item in cell.split(";")] if types[column.name] not in (str, bool) and cell else []
        if "" in items or len(set(items)) < len(items):
            raise UserError(f"{at}: {cell!r} has an empty or repeated item; separate different items by one ';'")
        for item in items or filter(None, [cell]):
            _check(item, rules, known, at)
        values[column.name] = {str: cell, bool: cell == "true"}.get(types[column.name], tuple(items))
    return values


def _check(item: str, rules: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], at: str) -> None:
    """One non-empty value against the rules of its column."""
    refers, choices, check = rules.get("refers"), rules.get("choices"), rules.get("check")
    if refers and item not in known[refers]:
        raise UserError(f"{at}: {item!r} is not an id of {refers}.csv; add it there or correct it")
    if choices and item not in choices:
        raise UserError(f"{at}: {item!r}; write one of {', '.join(choices)}")
    try:
        if check == "regex":
            re.compile(item)
        elif check == "date":
            date.fromisoformat(item)
    except (re.error, ValueError) as error:
        raise UserError(f"{at}: {item!r} is not a {check} ({error}); correct it") from error
