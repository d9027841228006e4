"""The term table: every name points to one standard term, so that linking and the questions on lay names have one answer."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from medllm.graph.link import name_key

TABLE = Path(__file__).parents[2] / "data" / "knowledge" / "terms.csv"
COLUMNS = ("standard", "lay", "english", "abbreviation", "old_names")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def test_size_and_marks(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 300
    assert sum(bool(row["lay"]) for row in rows) >= 90
    assert {(row["source"], row["reviewed"]) for row in rows} == {("gk_terms", "false")}
    assert [row["id"] for row in rows] == [f"trm_{number:03d}" for number in range(1, len(rows) + 1)]


def test_no_name_belongs_to_two_rows(rows: list[dict[str, str]]) -> None:
    owners = Counter(key for row in rows for key in {name_key(name) for column in COLUMNS for name in row[column].split(";") if name})
    assert [name for name, count in owners.items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "column", "standard"),
    [
        ("쓸개 돌", "lay", "담석증"),
        ("맹장염", "lay", "충수염"),
        ("명치", "lay", "상복부"),
        ("당뇨", "lay", "당뇨병"),
        ("간질", "old_names", "뇌전증"),
        ("정신분열병", "old_names", "조현병"),
        ("흉부외과", "old_names", "심장혈관흉부외과"),
        ("비뇨기과", "old_names", "비뇨의학과"),
        ("소아과", "old_names", "소아청소년과"),
        ("MRI", "abbreviation", "자기공명영상"),
        ("CT", "abbreviation", "컴퓨터단층촬영"),
        ("HbA1c", "abbreviation", "당화혈색소"),
        ("BP", "abbreviation", "혈압"),
    ],
)
def test_well_known_names(rows: list[dict[str, str]], name: str, column: str, standard: str) -> None:
    assert [row["standard"] for row in rows if name in row[column].split(";")] == [standard]
