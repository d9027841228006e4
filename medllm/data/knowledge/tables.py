"""The rows of the knowledge tables: one dataclass a table, its fields the columns, and the rule of every column."""

from dataclasses import dataclass, field
from typing import Any


def _cell(
    *, refers: str = "", choices: tuple[str, ...] = (), check: str = "", empty: bool = False, together: str = "", names: bool = False
) -> Any:
    """A column: ids of another table, a closed set of values, a "date", "regex" or "KCD code", may the cell be empty, the column that
    is filled exactly when this one is, and whether its values name the row (no two rows share a name)."""
    return field(
        metadata={"refers": refers, "choices": choices, "check": check, "empty": empty, "together": together, "names": names}
    )  # fmt: skip


def _source() -> Any:
    return _cell(refers="sources")


def _reviewed() -> Any:
    return _cell(choices=("true", "false"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows come from; `retrieved` is an ISO date."""

    id: str
    source_type: str = _cell(choices=("statute", "public_notice", "reference", "general_knowledge"))
    title: str = _cell(names=True)
    where: str
    retrieved: str = _cell(check="date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Department:
    """A department that a hospital may show (진료과목); `hint` names sub-specialties and what it looks after."""

    id: str
    name: str = _cell(names=True)
    group: str = _cell(choices=("medical", "dental", "korean_medicine"))
    hint: str = _cell(empty=True)
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """A symptom, its lay names, and the department to see first. A lay name routes too: it belongs to one symptom."""

    id: str
    name: str = _cell(names=True)
    lay: tuple[str, ...] = _cell(empty=True, names=True)
    department: str = _cell(refers="departments")
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class MedicalTest:
    """A test or procedure; `purpose` is a noun phrase before "을/를 확인하는 검사" (test) or "을/를 위한 시술" (procedure)."""

    id: str
    name: str = _cell(names=True)
    english: str = _cell(empty=True)
    abbreviation: str = _cell(empty=True)
    kind: str = _cell(choices=("test", "procedure"))
    purpose: str
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drug:
    """An active ingredient at label level with its Korean brand names; no dose anywhere."""

    id: str
    name: str = _cell(names=True)
    english: str = _cell(empty=True)
    brands: tuple[str, ...] = _cell(empty=True, names=True)
    drug_class: str
    caution: str = _cell(empty=True, together="caution_source")
    caution_source: str = _cell(refers="sources", empty=True)
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class KcdCode:
    """A code of the Korean disease classification (한국표준질병·사인분류) and the version in which the name was read.

    "KCD-older": a list that names no version; "ICD-10": the code is certain, the Korean name was not checked."""

    id: str = _cell(check="KCD code")
    name: str = _cell(names=True)
    version: str = _cell(choices=("KCD-9", "KCD-8", "KCD-7", "KCD-older", "ICD-10"))
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Disease:
    """A disease; the first symptom and the first test are the representative ones, none where medicine names none (고혈압: no symptom)."""

    id: str
    name: str = _cell(names=True)
    english: str = _cell(empty=True)
    department: str = _cell(refers="departments")
    broader: str = _cell(refers="diseases", empty=True)
    symptoms: tuple[str, ...] = _cell(refers="symptoms", empty=True)
    tests: tuple[str, ...] = _cell(refers="tests", empty=True)
    drugs: tuple[str, ...] = _cell(refers="drugs", empty=True)
    kcd: str = _cell(check="KCD code", refers="kcd", empty=True, together="kcd_source")
    kcd_source: str = _cell(refers="sources", empty=True)
    summary: str
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A standard term with its lay, English, short and old names."""

    id: str
    standard: str = _cell(names=True)
    lay: tuple[str, ...] = _cell(empty=True)
    english: str = _cell(empty=True)
    abbreviation: str = _cell(empty=True)
    old_names: tuple[str, ...] = _cell(empty=True)
    source: str = _source()
    reviewed: bool = _reviewed()

    @property
    def first_lay(self) -> str:
        """The first lay name that differs from the standard name, "" when there is none."""
        return next((lay for lay in self.lay if lay != self.standard), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedFlagRow:
    """A danger rule; `pattern` and `exclude` are regular expressions over normalised text, as medllm.safety.redflags reads them:

    " || " separates ways to say it, " && " joins parts that must all be there, {word} is a class of medllm.safety.words.
    """

    id: str
    name: str = _cell(names=True)
    level: str = _cell(choices=("119", "crisis", "er"))
    pattern: str = _cell(check="regex")
    exclude: str = _cell(check="regex", empty=True)
    advice: str = _cell(empty=True)
    source: str = _source()
    reviewed: bool = _reviewed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a clinician said about one row; it holds as long as the row's content has this hash (medllm.data.knowledge.content)."""

    table: str
    id: str
    content_sha256: str
    reviewer: str
    date: str = _cell(check="date")
    verdict: str = _cell(choices=("accept", "change", "reject"))
    note: str = _cell(empty=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinion:
    """What an independent annotator wrote for one cell without seeing what the table says.

    `table_value` is what it said then (a department by its name): a row that was mended in the light of the answer must not count as
    agreement. Empty: what it says now.
    """

    table: str
    id: str
    column: str
    value: str
    annotator: str
    date: str = _cell(check="date")
    table_value: str = _cell(empty=True)
