"""The clinician's review: rows that nobody reviewed go out as a workbook, the filled workbook comes back into reviews.csv."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from medllm.data.knowledge.content import (
    REVIEW_COLUMNS,
    REVIEWED_TABLES,
    REVIEWS_FILE,
    SCENARIOS,
    content_sha256,
    json_sha256,
    read_reviews,
)
from medllm.data.knowledge.facts import Knowledge
from medllm.data.knowledge.load import load_knowledge
from medllm.data.knowledge.readable import row_text, scenario_text, source_text
from medllm.data.knowledge.tables import Review
from medllm.data.knowledge.workbook import VERDICTS, read_workbook, write_workbook
from medllm.data.scenarios import load_scenarios
from medllm.errors import UserError

# A review of the departments, symptoms and codes comes after what can do harm; the talks are long and stand before the codes.
SHEETS = (*(table for table in REVIEWED_TABLES if table != "kcd"), SCENARIOS, "kcd")
_FILLED = ("reviewer", "date", "verdict", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewable:
    """One row as a clinician sees it: `content` and `source` are Korean text, `content_sha256` says which content that is."""

    id: str
    content: str
    source: str
    content_sha256: str


def reviewable_rows(folder: Path) -> dict[str, dict[str, Reviewable]]:
    """Every row of the knowledge folder by sheet and id, in the order of the review; scenarios where there are any."""
    knowledge = load_knowledge(folder)
    found = {table: {row.id: row for row in _rows(table, knowledge)} for table in REVIEWED_TABLES}
    found[SCENARIOS] = {row.id: row for row in _scenarios(folder / f"{SCENARIOS}.jsonl", knowledge)}
    return {sheet: found[sheet] for sheet in SHEETS if found[sheet]}


def export_review(folder: Path, out: Path, *, everything: bool) -> dict[str, int]:
    """Write the workbook of the rows without a review of their present content, or of all; returns rows by sheet.

    With `everything` the verdicts that hold are filled in. UserError when `out` is there: it may hold a review not yet imported.
    """
    if out.suffix != ".xlsx":
        raise UserError(f"{out}: the review is an Excel workbook; name it file=<name>.xlsx")
    if out.exists():
        raise UserError(f"{out}: is already there and may hold a review; import it and move it away, or name another with file=")
    reviews, sheets = read_reviews(folder), {}
    for sheet, rows in reviewable_rows(folder).items():
        held = {key: review for key, row in rows.items() if (review := reviews.get((sheet, key))) and _holds(review, row)}
        lines = [_line(row, held.get(row.id)) for row in rows.values() if everything or row.id not in held]
        if lines:
            sheets[sheet] = lines
    if not sheets:
        raise UserError(f"{folder / REVIEWS_FILE}: every row is reviewed as it is now; all=true exports them again")
    write_workbook(out, sheets)
    return {sheet: len(lines) for sheet, lines in sheets.items()}


def import_review(folder: Path, workbook: Path) -> dict[str, int]:
    """Merge the filled lines of a workbook into reviews.csv (a later review of a row replaces the earlier); returns rows by verdict.

    Lines without an entry are left for later. UserError file:sheet:row, with nothing written, on an unknown sheet or id, an id that is
    there twice, a verdict outside the set, a missing reviewer, a bad date, or a row whose content is no longer the one that was exported.
    """
    merged, rows = dict(read_reviews(folder)), reviewable_rows(folder)
    new: dict[tuple[str, str], Review] = {}
    for sheet, number, cells in read_workbook(workbook):
        if not any(cells[column] for column in _FILLED):
            continue
        where = f"{workbook}:{sheet}:{number}"
        if sheet not in rows:
            raise UserError(f"{where}: no table is called {sheet!r}; keep the names of the sheets ({', '.join(rows)})")
        review = _review(sheet, rows[sheet], cells, where)
        if (sheet, review.id) in new:
            raise UserError(f"{where}: {review.id} is reviewed twice in this sheet; keep one line")
        new[sheet, review.id] = review
    if not new:
        raise UserError(f"{workbook}: no line is filled in; give reviewer, date and verdict to the rows that you have read")
    _write_reviews(folder / REVIEWS_FILE, merged | new)
    return dict(sorted(Counter(review.verdict for review in new.values()).items()))


def _rows(table: str, knowledge: Knowledge) -> Iterator[Reviewable]:
    for row in getattr(knowledge, table).values():
        yield Reviewable(
            id=row.id, content=row_text(table, row, knowledge), source=source_text(row, knowledge),
            content_sha256=content_sha256(row, knowledge),
        )  # fmt: skip


def _scenarios(path: Path, knowledge: Knowledge) -> Iterator[Reviewable]:
    """What the talks say names departments and danger signs, so its text is the content that is reviewed."""
    if not path.exists():
        return
    for scenario in load_scenarios(path, departments=knowledge.departments, redflags=knowledge.redflags):
        if scenario.source not in knowledge.sources:
            raise UserError(f"{path}: {scenario.id}: source {scenario.source!r} is not an id of sources.csv; add it or correct it")
        text = scenario_text(scenario, knowledge)
        sha256 = json_sha256([{key: value for key, value in asdict(scenario).items() if key != "reviewed"}, text])
        yield Reviewable(id=scenario.id, content=text, source=source_text(scenario, knowledge), content_sha256=sha256)


def _holds(review: Review, row: Reviewable) -> bool:
    return review.content_sha256 == row.content_sha256


def _line(row: Reviewable, review: Review | None) -> dict[str, str]:
    return {**asdict(row), **{column: getattr(review, column) if review else "" for column in _FILLED}}


def _review(sheet: str, rows: Mapping[str, Reviewable], cells: Mapping[str, str], where: str) -> Review:
    """The checked review of one line."""
    row = rows.get(cells["id"])
    if row is None:
        raise UserError(f"{where}: {cells['id']!r} is not an id of {sheet}; keep the first column as it was exported")
    if cells["content_sha256"] != row.content_sha256:
        raise UserError(f"{where}: {row.id} says something else now than when it was exported; export again and review it anew")
    if cells["verdict"] not in VERDICTS:
        raise UserError(f"{where}: verdict {cells['verdict']!r}; write one of {', '.join(VERDICTS)}, or clear the whole entry")
    if not cells["reviewer"]:
        raise UserError(f"{where}: reviewer is empty; write who reviewed {row.id}")
    try:
        day = date.fromisoformat(cells["date"]).isoformat()
    except ValueError as error:
        raise UserError(f"{where}: date {cells['date']!r} is no day; write it as 2026-11-22") from error
    return Review(
        table=sheet, id=row.id, content_sha256=row.content_sha256, reviewer=cells["reviewer"], date=day, verdict=cells["verdict"],
        note=" ".join(cells["note"].split()),
    )  # fmt: skip


def _write_reviews(path: Path, reviews: Mapping[tuple[str, str], Review]) -> None:
    """Sorted by table and id; whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, REVIEW_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(reviews[key]) for key in sorted(reviews))
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text.getvalue(), encoding="utf-8")
        os.replace(partial, path)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)
