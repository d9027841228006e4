"""The wording of the drug, test, disease and symptom tables: no dose, polite sentences, Korean names, one spelling per class."""

import csv
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

KNOWLEDGE = Path(__file__).parents[2] / "data" / "knowledge"
TABLES = ("drugs", "tests", "diseases", "symptoms")
Row = dict[str, str]

NAMES = ("name", "lay", "brands", "drug_class")
SENTENCES = ("caution", "summary")
# 1정 is a dose and 14정도 is not; 두 번 (in letters) is a way of speaking and 2번 is an instruction.
DOSE = re.compile(
    r"\d\s*(mg|mcg|㎎|㎍|g(?![a-z])|밀리그램|그램|ml|㎖|cc|밀리리터|정(?!도)|알|캡슐|포|방울|회|번(?!째)|IU|단위)", re.IGNORECASE
)
LATIN = re.compile(r"[A-Za-z][A-Za-z0-9]*")
# What Korean labels and doctors write in Latin letters: vitamins and viruses, imaging, targets of drug classes.
ACCEPTED = {
    "A", "B", "C", "D", "E", "K", "H2", "CT", "MRI", "MRA", "PCR", "KOH", "HIV", "HPV", "CCP", "IgA", "IgE", "COX", "DPP", "SGLT2", "GLP",
    "RANKL", "NMDA", "PDE5", "B12",
}  # fmt: skip


def wording_problems(row: Row) -> Iterator[str]:
    """What is wrong with the cells of one row, each as "column: problem"."""
    for column, cell in row.items():
        if cell != " ".join(cell.split()) or any(item != item.strip() for item in cell.split(";")):
            yield f"{column}: stray space"
        if cell != unicodedata.normalize("NFC", cell):
            yield f"{column}: not NFC"
    for column in SENTENCES:
        cell = row.get(column, "")
        if DOSE.search(cell):
            yield f"{column}: dose"
        if cell and not cell.endswith("니다."):
            yield f"{column}: not a polite sentence"
    for column in NAMES:
        strange = set(LATIN.findall(row.get(column, ""))) - ACCEPTED
        if strange:
            yield f"{column}: Latin letters {sorted(strange)}"
    purpose = row.get("purpose", "")
    if purpose.endswith((".", "다", "확인", "검사", "시술", "수술")):
        yield "purpose: not a noun phrase for a sentence"
    if bool(row.get("caution")) != bool(row.get("caution_source")):
        yield "caution_source: without caution, or the other way round"


def spellings(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in spaces, hyphens, middle dots or 계열/계."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[re.sub(r"[\s·-]", "", name).replace("계열", "계")].add(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


@pytest.fixture(scope="module")
def tables() -> dict[str, list[Row]]:
    loaded = {}
    for table in TABLES:
        with (KNOWLEDGE / f"{table}.csv").open(encoding="utf-8", newline="") as lines:
            loaded[table] = list(csv.DictReader(lines, strict=True))
    return loaded


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_well_worded(tables: dict[str, list[Row]], table: str) -> None:
    assert tables[table]
    assert [(row["id"], problem) for row in tables[table] for problem in wording_problems(row)] == []


@pytest.mark.parametrize(("table", "column"), [("drugs", "drug_class"), *((table, "name") for table in TABLES)])
def test_one_spelling(tables: dict[str, list[Row]], table: str, column: str) -> None:
    assert spellings(row[column] for row in tables[table]) == []


def test_a_brand_names_one_ingredient(tables: dict[str, list[Row]]) -> None:
    names = Counter(row["name"] for row in tables["drugs"])
    brands = Counter(brand for row in tables["drugs"] for brand in row["brands"].split(";") if brand)
    assert [name for name, count in (names + brands).items() if count > 1] == []


def test_kinds_and_abbreviations(tables: dict[str, list[Row]]) -> None:
    assert {row["kind"] for row in tables["tests"]} == {"test", "procedure"}
    short = Counter(row["abbreviation"] for row in tables["tests"] if row["abbreviation"])
    assert [name for name, count in short.items() if count > 1] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("메트포르민", "메토프롤롤"), ("오메프라졸", "에스오메프라졸"), ("프레드니솔론", "메틸프레드니솔론"), ("세티리진", "레보세티리진"),
        ("아시클로버", "발라시클로버"), ("이부프로펜", "덱시부프로펜"), ("세레콕시브", "폴마콕시브"), ("로사르탄", "발사르탄"),
        ("히드로클로로티아지드", "히드록시클로로퀸"), ("프로필티오우라실", "프로프라놀롤"), ("니페디핀", "니트로글리세린"),
    ],
)  # fmt: skip
def test_look_alike_drugs_are_told_apart(tables: dict[str, list[Row]], one: str, other: str) -> None:
    known = {row["name"]: (row["id"], row["english"]) for row in tables["drugs"]}
    assert known[one] != known[other]


CLEAN = {"id": "x", "name": "비타민 D 검사", "summary": "두 주 넘게 이어지는 병입니다.", "caution": "", "caution_source": ""}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"caution": "30분 동안 눕지 않아야 합니다.", "caution_source": "label"}, ""),
        ({"summary": "열이 5일 넘게 가거나 14 정도로 오르는 병입니다."}, ""),
        ({"purpose": "최근 2~3개월의 평균 혈당", "drug_class": "COX-2 선택 억제 소염진통제"}, ""),
        ({"caution": "하루 2회 먹습니다.", "caution_source": "label"}, "caution: dose"),
        ({"caution": "500 mg을 넘기면 위험합니다.", "caution_source": "label"}, "caution: dose"),
        ({"caution": "1정만 먹어야 합니다.", "caution_source": "label"}, "caution: dose"),
        ({"summary": "약을 3번 먹는 병입니다."}, "summary: dose"),
        ({"summary": "혈당이 높은 질환이다."}, "summary: not a polite sentence"),
        ({"summary": "혈당이 높은 질환"}, "summary: not a polite sentence"),
        ({"summary": " 혈당이 높은 질환입니다."}, "summary: stray space"),
        ({"name": "비타민  D 검사"}, "name: stray space"),
        ({"name": "비타민 D 검사 "}, "name: stray space"),
        ({"lay": "목마름; 입마름"}, "lay: stray space"),
        ({"name": unicodedata.normalize("NFD", "당뇨병")}, "name: not NFC"),
        ({"name": "brain CT 검사"}, "name: Latin letters ['brain']"),
        ({"brands": "노바스크;Norvasc"}, "brands: Latin letters ['Norvasc']"),
        ({"purpose": "혈당 확인"}, "purpose: not a noun phrase"),
        ({"purpose": "혈당을 봅니다."}, "purpose: not a noun phrase"),
        ({"caution": "졸릴 수 있습니다."}, "caution_source: without"),
        ({"caution_source": "label"}, "caution_source: without"),
    ],
)
def test_the_rules_see_what_is_wrong(changes: Row, problem: str) -> None:
    found = list(wording_problems(CLEAN | changes))
    assert len(found) == bool(problem), found
    assert not problem or found[0].startswith(problem)


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (("페니실린계 항생제", "페니실린 계열 항생제"), 1),
        (("혈당 강하제", "혈당강하제"), 1),
        (("세로토닌·도파민 조절제", "세로토닌 도파민 조절제"), 1),
        (("루프 이뇨제", "루프 이뇨제"), 0),
        (("속효성 기관지확장제", "지속성 기관지확장제"), 0),
    ],
)
def test_spellings_of_one_class_are_seen(names: tuple[str, ...], count: int) -> None:
    assert len(spellings(names)) == count
