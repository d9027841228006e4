"""A part of the data section as plain values: the page and its Markdown twin show the same parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medllm.errors import UserError
from medllm.report.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table under a `title` ("" for none); `text_columns` stand left, `verdict_column` is a tag coloured by the kind of its row.

    `stacked` tables are shown on a phone cell under cell, each with the head of its column.
    """

    table: Table
    title: str = ""
    text_columns: Sequence[int] = ()
    verdict_column: int = -1
    stacked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A heading with what stands below it. `pictures` are (name, caption); `folded` grids hide behind their titles; `duty` warns."""

    title: str
    text: str
    duty: str = ""
    pictures: Sequence[tuple[str, str]] = ()
    grids: Sequence[Grid] = ()
    note: str = ""
    folded: Sequence[Grid] = ()


def need_table(mapping: Mapping[str, Any], key: str, where: str, *, stage: str) -> Mapping[str, Any]:
    """`mapping[key]`, a mapping; else a UserError that names the file and the stage that writes it."""
    value = mapping.get(key)
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: no table {key!r}; it was written by another version, run {stage} again (dvc repro)")
    return value


def need_count(mapping: Mapping[str, Any], key: str, where: str, *, stage: str) -> int:
    """`mapping[key]`, a whole number of at least 0; else a UserError that names the file and the stage that writes it."""
    value = mapping.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"{where}: {key!r} is {value!r}, not a count; it was written by another version, run {stage} again (dvc repro)")
    return value
