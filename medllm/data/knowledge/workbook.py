"""Review sheets as an Excel workbook (openpyxl): written for people to fill in, read back cell by cell."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile

from medllm.errors import UserError

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

VERDICTS: Final = ("accept", "change", "reject")
COLUMNS: Final = ("id", "content", "source", "reviewer", "date", "verdict", "note", "content_sha256")
_WIDTHS: Final = {"id": 18, "content": 80, "source": 45, "reviewer": 14, "date": 14, "verdict": 12, "note": 50}
_LONGEST: Final = 32_767  # characters of a cell; openpyxl cuts the rest off without a word
_HELP: Final = {
    "reviewer": "검토하신 분의 성함을 적어 주십시오.",
    "date": "검토하신 날을 2026-11-22처럼 적어 주십시오.",
    "verdict": "accept(맞음), change(고쳐야 함), reject(빼야 함) 중에서 고르십시오. 보지 않은 줄은 비워 두십시오.",
    "note": "무엇을 어떻게 고쳐야 하는지 적어 주십시오.",
}


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """One sheet a key, one line a row with the cells of COLUMNS; whole or not at all. UserError: text that a cell cannot hold."""
    from openpyxl import Workbook
    from openpyxl.utils.exceptions import IllegalCharacterError

    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        sheet.append(list(COLUMNS))
        for row in rows:
            if long := next((column for column in COLUMNS if len(row[column]) > _LONGEST), None):
                raise UserError(f"{title} {row['id']}: {long} has more than {_LONGEST} characters, which no cell holds; shorten the row")
            try:
                sheet.append([row[column] for column in COLUMNS])
            except IllegalCharacterError as error:
                raise UserError(f"{title} {row['id']}: a control character; take it out of the table") from error
        _format(sheet, len(rows) + 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        book.save(partial)
        os.replace(partial, path)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)


def _format(sheet: "Worksheet", last: int) -> None:
    """Wrapped text, a fixed first line, a list of verdicts to choose from, and what to write where."""
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    for number, column in enumerate(COLUMNS, 1):
        letter = get_column_letter(number)
        sheet.column_dimensions[letter].width = _WIDTHS.get(column, 10)
        sheet[f"{letter}1"].font = Font(bold=True)
        if column in _HELP:
            choices = f'"{",".join(VERDICTS)}"' if column == "verdict" else None
            validation = DataValidation(type="list" if choices else None, formula1=choices, allow_blank=True, showErrorMessage=True)
            validation.promptTitle, validation.prompt, validation.showInputMessage = column, _HELP[column], True
            validation.add(f"{letter}2:{letter}{max(last, 2)}")
            sheet.add_data_validation(validation)
    sheet.column_dimensions[get_column_letter(len(COLUMNS))].hidden = True
    sheet.freeze_panes = "B2"
    for row in sheet.iter_rows(min_row=2):
        for cell in row:
            # text: an entry that starts with "=" is no formula, and a date stays as it was typed
            cell.alignment, cell.number_format = Alignment(wrap_text=True, vertical="top"), "@"
            cell.data_type = "s" if cell.value else cell.data_type


def read_workbook(path: Path) -> Iterator[tuple[str, int, dict[str, str]]]:
    """(sheet, row number, cells by column) of every line that is not empty. UserError: no workbook, or a sheet without our header."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    if not path.is_file():
        raise UserError(f"{path}: no such file; give the filled workbook as file=<name>.xlsx")
    try:
        book = load_workbook(path, read_only=False, data_only=True)
    except (InvalidFileException, BadZipFile, KeyError, ValueError, SyntaxError) as error:  # SyntaxError: XML that does not parse
        raise UserError(f"{path}: not an Excel workbook ({' '.join(str(error).split())}); save the review as .xlsx") from error
    for sheet in book.worksheets:
        lines = sheet.iter_rows(values_only=True)
        header = [_text(value) for value in next(lines, ())]
        if missing := [column for column in COLUMNS if header.count(column) != 1]:
            raise UserError(f"{path}:{sheet.title}:1: column {missing[0]!r} is not there once; keep the first line as it was exported")
        for number, values in enumerate(lines, 2):
            cells = {name: _text(value) for name, value in zip(header, values, strict=True)}
            if any(cells[column] for column in COLUMNS):
                yield sheet.title, number, {column: cells[column] for column in COLUMNS}


def _text(value: Any) -> str:
    """A cell as text: Excel turns a typed date into a time of day 0:00."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return "" if value is None else str(value).strip()
