"""Read and check the CSV tables of data/knowledge: every problem is one UserError that names file and line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from medllm.data.knowledge.cells import read_lines, typed_values
from medllm.data.knowledge.content import read_reviews, with_reviews
from medllm.data.knowledge.facts import Knowledge
from medllm.data.knowledge.tables import Department, Disease, Drug, KcdCode, MedicalTest, RedFlagRow, Source, Symptom, Term
from medllm.errors import UserError

# In the order of reading: a table refers to tables before it, and diseases to itself.
_ENTITIES = ("departments", "symptoms", "tests", "drugs", "diseases")

Row = TypeVar("Row", Source, Department, Symptom, MedicalTest, Drug, KcdCode, Disease, Term, RedFlagRow)


@dataclass(frozen=True, slots=True)
class _Table(Generic[Row]):
    """Rows by id in file order, and where each is ("file:line")."""

    rows: Mapping[str, Row]
    places: Mapping[str, str]


def load_knowledge(folder: Path) -> Knowledge:
    """Read the nine tables and, where there is one, reviews.csv, from which `reviewed` follows.

    UserError with file:line on a bad column, cell, code, link, cycle, a name that is there twice, or a review that nobody wrote.
    """
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
    return with_reviews(knowledge, read_reviews(folder), {name: table.places for name, table in known.items()})


def _table(path: Path, row_type: type[Row], known: Mapping[str, _Table[Any]]) -> _Table[Row]:
    """The rows of one file; `known` holds the tables that its cells may refer to."""
    rows: dict[str, Row] = {}
    places: dict[str, str] = {}
    seen: dict[str, str] = {}  # a name that must be unique -> where it was first
    ids = {name: table.rows for name, table in known.items()}
    for line, cells in read_lines(path, [column.name for column in fields(row_type)]):
        where = f"{path}:{line}"
        row = row_type(**typed_values(row_type, cells, ids, where))
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
