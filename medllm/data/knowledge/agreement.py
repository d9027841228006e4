"""How far an independent second annotator, who did not see the tables, agrees with them (data/knowledge/second_pass.csv)."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from medllm.data.knowledge.cells import read_lines, typed_values
from medllm.data.knowledge.facts import Knowledge
from medllm.data.knowledge.load import load_knowledge
from medllm.data.knowledge.tables import SecondOpinion
from medllm.errors import UserError

SECOND_PASS_FILE: Final = "second_pass.csv"
# Audited columns, and whether the annotator chose from a closed list: chance agreement means something for those only.
AUDITED: Final = {
    ("diseases", "department"): True, ("diseases", "kcd"): False, ("drugs", "drug_class"): True, ("redflags", "level"): True,
    ("symptoms", "department"): True, ("terms", "standard"): False, ("tests", "kind"): True,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One cell twice: what the table said and what the second annotator wrote (`written`, the name for the id of a department).

    `mended`: the table says something else now. `theirs` is `written`, but for a drug class in the annotator's own words the closest class
    of the table.
    """

    table: str
    id: str
    column: str
    ours: str
    theirs: str
    written: str
    mended: bool

    @property
    def agrees(self) -> bool:
        """The same but for spaces, case, punctuation and Unicode form."""
        return normalised(self.ours) == normalised(self.theirs)


def agreement(folder: Path) -> dict[str, dict[str, float | None]]:
    """{"diseases.department": {"n", "exact", "agreement", "kappa", "mended"}, ..} sorted by column; {} when there was no second pass.

    `agreement` is the share of equal cells, `exact` the share that was equal before drug classes were coded. `kappa` is Cohen's (1960):
    None for free text, and where both gave one value throughout (undefined). All three are against the table as it was then; `mended` cells
    have been changed since.
    """
    columns: defaultdict[tuple[str, str], list[Compared]] = defaultdict(list)
    for cell in compared(folder):
        columns[cell.table, cell.column].append(cell)
    return {f"{table}.{column}": _figures(cells, categorical=AUDITED[table, column]) for (table, column), cells in sorted(columns.items())}


def compared(folder: Path) -> list[Compared]:
    """Every audited cell, sorted by table, column and id; UserError with file:line on an unknown row or column, or a cell audited twice."""
    path = folder / SECOND_PASS_FILE
    if not path.exists():
        return []
    knowledge = load_knowledge(folder)
    cells: dict[tuple[str, str, str], Compared] = {}
    for line, values in read_lines(path, [column.name for column in fields(SecondOpinion)]):
        where = f"{path}:{line}"
        opinion = SecondOpinion(**typed_values(SecondOpinion, values, {}, where))
        key = (opinion.table, opinion.column, opinion.id)
        if key in cells:
            raise UserError(f"{where}: {opinion.table} {opinion.id} {opinion.column} is there twice; keep one answer")
        cells[key] = _compared(opinion, knowledge, where)
    return [cells[key] for key in sorted(cells)]


def normalised(text: str) -> str:
    """For comparison only: NFC, without case, spaces and punctuation, but with the point of a code."""
    return "".join(sign for sign in unicodedata.normalize("NFC", text).casefold() if sign.isalnum() or sign == ".")


def cohens_kappa(ours: Sequence[str], theirs: Sequence[str]) -> float | None:
    """Agreement beyond chance of two raters of the same items; None when chance alone gives full agreement."""
    first, second, count = Counter(ours), Counter(theirs), len(ours)
    observed = sum(one == other for one, other in zip(ours, theirs, strict=True)) / count
    chance = sum(first[value] * second[value] for value in first) / count**2
    return (observed - chance) / (1 - chance) if chance < 1 else None


def _compared(opinion: SecondOpinion, knowledge: Knowledge, where: str) -> Compared:
    if (opinion.table, opinion.column) not in AUDITED:
        raise UserError(f"{where}: {opinion.table}.{opinion.column} is not audited; use {', '.join('.'.join(key) for key in AUDITED)}")
    rows: dict[str, Any] = getattr(knowledge, opinion.table)
    if opinion.id not in rows:
        raise UserError(f"{where}: {opinion.id!r} is not an id of {opinion.table}.csv; take the row out or correct it")
    now = str(getattr(rows[opinion.id], opinion.column))
    names = {row.id: row.name for row in knowledge.departments.values()} if opinion.column == "department" else {}
    theirs = written = names.get(opinion.value, opinion.value)
    if opinion.column == "drug_class":
        theirs = _closest(theirs, sorted({drug.drug_class for drug in knowledge.drugs.values()}))
    now = names.get(now, now)
    ours = opinion.table_value or now
    return Compared(
        table=opinion.table, id=opinion.id, column=opinion.column, ours=ours, theirs=theirs, written=written, mended=ours != now
    )


def _closest(text: str, classes: Sequence[str]) -> str:
    """The class that shares most pairs of letters with the text (Dice 1945), the first of equals: nobody words a class as the table does.

    It is chosen among all classes without regard to the row, so that coding favours neither agreement nor disagreement.
    """
    pairs = _letter_pairs(text)
    return max(classes, key=lambda name: 2 * len(pairs & (other := _letter_pairs(name))) / max(1, len(pairs) + len(other)))


def _letter_pairs(text: str) -> set[str]:
    letters = normalised(text)
    return {letters[start : start + 2] for start in range(len(letters) - 1)}


def _figures(cells: Sequence[Compared], *, categorical: bool) -> dict[str, float | None]:
    kappa = cohens_kappa([normalised(cell.ours) for cell in cells], [normalised(cell.theirs) for cell in cells]) if categorical else None
    share = sum(cell.agrees for cell in cells) / len(cells)
    exact = sum(normalised(cell.ours) == normalised(cell.written) for cell in cells) / len(cells)
    return {
        "n": len(cells), "exact": round(exact, 4), "agreement": round(share, 4), "kappa": None if kappa is None else round(kappa, 4),
        "mended": sum(cell.mended for cell in cells),
    }  # fmt: skip
