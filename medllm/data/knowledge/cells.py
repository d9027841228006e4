"""The cells of a CSV table: read by line, and checked by the rules of the row's dataclass (medllm.data.knowledge.tables)."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any, get_type_hints

from medllm.errors import UserError

# ICD-10 categories with up to three further characters: KCD divides some below the fourth place (M17.10).
_KCD = re.compile(r"[A-Z]\d{2}(\.\d{1,3})?")


def read_lines(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
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


def typed_values(row_type: type[Any], cells: dict[str, str], ids: Mapping[str, Collection[str]], where: str) -> dict[str, Any]:
    """Arguments of `row_type` from the cells of one line; `ids` are those of the tables that it may refer to. UserError by column."""
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
            _check(item, rules, ids, at)
        values[column.name] = {str: cell, bool: cell == "true"}.get(types[column.name], tuple(items))
    return values


def _check(item: str, rules: Mapping[str, Any], ids: Mapping[str, Collection[str]], at: str) -> None:
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
    if refers and refers in ids and item not in ids[refers]:
        raise UserError(f"{at}: {item!r} is not an id of {refers}.csv; add it there or correct it")
