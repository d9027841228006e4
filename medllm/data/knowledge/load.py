"""Read and check the CSV tables of data/knowledge: every problem is one UserError that names file and line."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar, get_type_hints

from medllm.data.knowledge.facts import Knowledge
from medllm.data.knowledge.tables import Department, Disease, Drug, KcdCode, MedicalTest, RedFlagRow, Source, Symptom, Term
from medllm.errors import UserError

# ICD-10 categories with up to three further characters: KCD divides some below the fourth place (M17.10).
_KCD = re.compile(r"[A-Z]\d{2}(\.\d{1,3})?")
# In the order of reading: a table refers to tables before it, and diseases to itself.
_ENTITIES = ("departments", "symptoms", "tests", "drugs", "diseases")

Row = TypeVar("Row", Source, Department, Symptom, MedicalTest, Drug, KcdCode, Disease, Term, RedFlagRow)


@dataclass(frozen=True, slots=True)
class _Table(Generic[Row]):
    """Rows by id in file order, and where each is ("file:line")."""

    rows: Mapping[str, Row]
    places: Mapping[str, str]


def load_knowledge(folder: Path) -> Knowledge:
    """Read the nine tables; UserError with file:line on a bad column, cell, code, link, cycle, or a name that is there twice."""
    known: dict[str, _Table[Any]] = {}

    def table(name: str, row_type: type[Row]) -> Mapping[str, Row]:
        known[name] = read = _table(folder / f"{name}.csv", row_type, known)
        return read.rows

    knowledge = Knowledge(
        sources=table("sources", Source), departments=table("departments", Department), symptoms=table("symptoms", Symptom),
        tests=table("tests", MedicalTest), drugs=table("drugs", Drug), kcd=table("kcd", KcdCode), diseases=table("diseases", Disease),
        terms=table("terms", Term), redflags=table("redflags", RedFlagRow),
    )  # fmt: skip
    _check_broader(known["diseases"])
    _check_names_across([known[name] for name in _ENTITIES])
    return knowledge


def _table(path: Path, row_type: type[Row], known: Mapping[str, _Table[Any]]) -> _Table[Row]:
    """The rows of one file; `known` holds the tables that its cells may refer to."""
    rows: dict[str, Row] = {}
    places: dict[str, str] = {}
    seen: dict[str, str] = {}  # a name that must be unique -> where it was first
    for line, cells in _lines(path, [f.name for f in fields(row_type)]):
        where = f"{path}:{line}"
        row = row_type(**_values(row_type, cells, known, where))
        if row.id in rows:
            raise UserError(f"{where}: id {row.id!r} is there twice; give every row its own id")
        for column, name in _unique_names(row):
            first = seen.setdefault(f"{column} {_key(name)}", where)
            if first != where:
                raise UserError(f"{where}: {column} {name!r} is also at {first}; keep one of the two rows")
        rows[row.id], places[row.id] = row, where
    if not rows:
        raise UserError(f"{path}:1: no rows; the table is required")
    return _Table(MappingProxyType(rows), MappingProxyType(places))


def _key(name: str) -> str:
    """Names that differ in spaces or case only are one name: people write both."""
    return "".join(name.split()).casefold()


def _unique_names(row: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) pairs that no other row of the table may hold: a question on the name has one answer only."""
    if isinstance(row, Term) and row.first_lay:
        yield "first lay name", row.first_lay
    for column in fields(row):
        if column.metadata.get("names"):
            cell = getattr(row, column.name)
            kind = "brand" if column.name == "brands" else column.name if isinstance(cell, str) else "name"
            yield from ((kind, name) for name in ([cell] if isinstance(cell, str) else cell))


def _check_names_across(tables: list[_Table[Any]]) -> None:
    """A disease, symptom, test, drug and department never share a name: a linked name is one thing, and routes to one place.

    Terms may: a term with the standard name of a row only adds names to it. Names of one row may repeat each other (brand = name)."""
    seen: dict[str, str] = {}
    for table in tables:
        for row in table.rows.values():
            for _, name in _unique_names(row):
                first = seen.setdefault(_key(name), table.places[row.id])
                if first != table.places[row.id]:
                    raise UserError(f"{table.places[row.id]}: name {name!r} is also at {first}; two different things need two names")


def _check_broader(diseases: _Table[Disease]) -> None:
    """Following `broader` from any disease must end."""
    for start, row in diseases.rows.items():
        if row.broader and row.broader not in diseases.rows:
            raise UserError(f"{diseases.places[start]}: column broader: {row.broader!r} is not an id of diseases.csv; add it or correct it")
    for start in diseases.rows:
        chain = [start]
        while wider := diseases.rows[chain[-1]].broader:
            chain.append(wider)
            if wider == start:
                raise UserError(f"{diseases.places[start]}: column broader: a cycle ({' -> '.join(chain)}); take one link out")
            if wider in chain[:-1]:
                break  # the cycle lies further up: it is named from one of its own rows


def _lines(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of a CSV file whose header must hold exactly `columns`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; the knowledge folder needs {path.name} with the columns {','.join(columns)}")
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:  # -sig: spreadsheets write a byte order mark
            reader = csv.DictReader(lines, strict=True)
            _check_header(path, list(reader.fieldnames or ()), columns)
            for cells in reader:
                if None in cells or None in cells.values():
                    raise UserError(f"{path}:{reader.line_num}: not {len(columns)} cells; quote a cell that holds a comma")
                yield reader.line_num, {column: cell.strip() for column, cell in cells.items()}
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save the table as UTF-8 CSV") from error
    except csv.Error as error:
        raise UserError(f"{path}:{reader.reader.line_num if reader else 1}: {error}; check the quotes of this line") from error


def _check_header(path: Path, header: list[str], columns: list[str]) -> None:
    for problem, names in (("missing", set(columns) - set(header)), ("unknown", set(header) - set(columns))):
        if names:
            raise UserError(f"{path}:1: {problem} column {min(names)!r}; the header is {','.join(columns)}")
    if len(header) != len(columns):
        raise UserError(f"{path}:1: a column is there twice; the header is {','.join(columns)}")


def _values(row_type: type[Row], cells: dict[str, str], known: Mapping[str, _Table[Any]], where: str) -> dict[str, Any]:
    types = get_type_hints(row_type)
    values: dict[str, Any] = {}
    for column in fields(row_type):
        cell, rules = cells[column.name], column.metadata
        at = f"{where}: column {column.name}"
        if not cell and not rules.get("empty"):
            raise UserError(f"{at} is empty; fill it or remove the row")
        other = rules.get("together")
        if other and bool(cell) != bool(cells[other]):
            full, empty = (column.name, other) if cell else (other, column.name)
            raise UserError(f"{where}: column {empty} is empty beside {full} {cells[full]!r}; fill both or none")
        items = [item.strip() for item in cell.split(";")] if types[column.name] not in (str, bool) and cell else []
        if "" in items or len(set(items)) < len(items):
            raise UserError(f"{at}: {cell!r} has an empty or repeated item; separate different items by one ';'")
        for item in items or filter(None, [cell]):
            _check(item, rules, known, at)
        values[column.name] = {str: cell, bool: cell == "true"}.get(types[column.name], tuple(items))
    return values


def _check(item: str, rules: Mapping[str, Any], known: Mapping[str, _Table[Any]], at: str) -> None:
    """One non-empty value against the rules of its column."""
    refers, choices, check = rules.get("refers"), rules.get("choices"), rules.get("check")
    if choices and item not in choices:
        raise UserError(f"{at}: {item!r}; write one of {', '.join(choices)}")
    try:
        if check == "regex":
            re.compile(item)
        elif check == "date":
            date.fromisoformat(item)
        elif check and not _KCD.fullmatch(item):
            raise ValueError("a letter and two digits, then perhaps a point and digits, such as I10 or E11.9")
    except (re.error, ValueError) as error:
        raise UserError(f"{at}: {item!r} is not a {check} ({error}); correct it") from error
    # a table that is not read yet is the row's own table: its links are checked when it is whole
    if refers and refers in known and item not in known[refers].rows:
        raise UserError(f"{at}: {item!r} is not an id of {refers}.csv; add it there or correct it")
