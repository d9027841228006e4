"""A clinician's review: what goes out, what comes back, and that an edit voids it."""

import csv
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from medllm.data.knowledge import load_knowledge
from medllm.data.knowledge.review import SHEETS, export_review, import_review, reviewable_rows
from medllm.data.knowledge.workbook import COLUMNS
from medllm.errors import UserError

REAL = Path(__file__).parents[2] / "data" / "knowledge"
TABLES = {
    "sources": "id,source_type,title,where,retrieved\nlaw,statute,의료법,제41조,2026-11-22\nlabel,reference,허가사항,누리집,2026-11-22\n",
    "departments": "id,name,group,hint,source,reviewed\ndep_a,내과,medical,내분비,law,false\ndep_b,안과,medical,,law,false\n",
    "symptoms": "id,name,lay,department,source,reviewed\nsym_a,갈증,목마름;입마름,dep_a,law,false\n",
    "tests": "id,name,english,abbreviation,kind,purpose,source,reviewed\ntst_a,혈액투석,,,procedure,노폐물 제거,law,false\n",
    "drugs": (
        "id,name,english,brands,drug_class,caution,caution_source,source,reviewed\n"
        "drg_a,메트포르민,metformin,다이아벡스,혈당강하제,,,law,false\n"
        "drg_b,인슐린,insulin,,혈당강하 주사제,저혈당이 생길 수 있습니다.,label,law,false\n"
    ),
    "kcd": "id,name,version,source,reviewed\nE11,2형 당뇨병,KCD-8,law,false\n",
    "diseases": (
        "id,name,english,department,broader,symptoms,tests,drugs,kcd,kcd_source,summary,source,reviewed\n"
        "dis_a,당뇨병,,dep_a,,sym_a,tst_a,drg_a;drg_b,E11,law,혈당이 높은 질환입니다.,law,false\n"
    ),
    "terms": "id,standard,lay,english,abbreviation,old_names,source,reviewed\ntrm_a,뇌전증,,epilepsy,,간질,law,false\n",
    "redflags": 'id,name,level,pattern,exclude,advice,source,reviewed\nRF01,흉통,119,"가슴.{0,3}조이",,119에 전화하세요.,law,false\n',
}
SCENARIO = (
    '{"id":"scn_001","cluster":"thirst","title":"목마름","patient":{"age":50,"sex":"male","context":"지병 없음"},'
    '"turns":[{"role":"user","text":"목이 말라요"},{"role":"assistant","text":"언제부터인가요?","asks":["since"]},'
    '{"role":"user","text":"어제부터요"},{"role":"assistant","text":"내과에 가 보십시오."}],'
    '"key_facts":[{"id":"since","question":"언제부터인지","answer":"어제"}],"redflags":[],'
    '"outcome":{"kind":"department","departments":["dep_a"],"must":["내과"]},"source":"law","reviewed":false}\n'
)
ENTRY = {"reviewer": "김의사", "date": "2026-11-22", "verdict": "accept", "note": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    knowledge = tmp_path / "knowledge"
    knowledge.mkdir()
    for table, text in TABLES.items():
        (knowledge / f"{table}.csv").write_text(text, encoding="utf-8")
    (knowledge / "scenarios.jsonl").write_text(SCENARIO, encoding="utf-8")
    return knowledge


def fill(path: Path, entries: Mapping[tuple[str, int], Mapping[str, Any]]) -> Path:
    """Write entries into the workbook by (sheet, row number)."""
    book = load_workbook(path)
    for (sheet, number), cells in entries.items():
        for column, value in cells.items():
            book[sheet].cell(row=number, column=COLUMNS.index(column) + 1).value = value
    book.save(path)
    return path


def every(path: Path) -> dict[tuple[str, int], Mapping[str, Any]]:
    book = load_workbook(path)
    return {(sheet.title, number): ENTRY for sheet in book for number in range(2, sheet.max_row + 1)}


def edit(folder: Path, table: str, old: str, new: str) -> None:
    path = folder / f"{table}.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_sheets_stand_in_the_order_of_harm_and_read_like_korean(folder: Path, tmp_path: Path) -> None:
    assert export_review(folder, tmp_path / "a.xlsx", everything=False) == {
        "redflags": 1, "drugs": 2, "diseases": 1, "symptoms": 1, "tests": 1, "departments": 2, "terms": 1, "scenarios": 1, "kcd": 1,
    }  # fmt: skip
    book = load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == list(SHEETS)
    assert [cell.value for cell in book["drugs"][1]] == list(COLUMNS)
    drug = dict(zip(COLUMNS, (cell.value for cell in book["drugs"][3]), strict=True))
    assert drug["content"] == "약 성분: 인슐린\n영어: insulin\n약물 분류: 혈당강하 주사제\n주의: 저혈당이 생길 수 있습니다."
    assert drug["source"] == "의료법 - 제41조\n주의: 허가사항 - 누리집"
    assert [drug[column] for column in ENTRY] == [None] * 4
    lists = [rule for rule in book["drugs"].data_validations.dataValidation if rule.type == "list"]
    assert [(rule.formula1, str(rule.sqref)) for rule in lists] == [('"accept,change,reject"', "F2:F3")]
    assert book["drugs"].column_dimensions["H"].hidden


@pytest.mark.parametrize(
    ("sheet", "key", "words"),
    [
        ("diseases", "dis_a", ["먼저 볼 진료과: 내과", "쓰이는 약: 메트포르민, 인슐린", "KCD 코드: E11 2형 당뇨병"]),
        ("redflags", "RF01", ["안내 단계: 바로 119에 전화", "찾는 표현(정규식): 가슴.{0,3}조이"]),
        ("tests", "tst_a", ["구분: 시술·수술"]),
        ("scenarios", "scn_001", ["환자: 50세 남성", "사용자: 목이 말라요", "상담: 언제부터인가요?", "결론: 진료과 안내 (내과)"]),
    ],
)
def test_content_has_names_instead_of_ids(folder: Path, sheet: str, key: str, words: list[str]) -> None:
    content = reviewable_rows(folder)[sheet][key].content
    assert [word for word in words if word not in content] == []
    assert not any(mark in content for mark in ("dep_", "drg_", "tst_", "sym_"))


def test_round_trip_leaves_fewer_rows_and_derives_reviewed(folder: Path, tmp_path: Path) -> None:
    export_review(folder, tmp_path / "a.xlsx", everything=False)
    entries = {
        ("drugs", 2): {**ENTRY, "date": datetime(2026, 11, 22)},  # Excel makes a day of a typed date
        ("drugs", 3): {**ENTRY, "verdict": "change", "note": "=주의 문구를\n고쳐 주십시오"},
        ("scenarios", 2): ENTRY,
    }
    assert import_review(folder, fill(tmp_path / "a.xlsx", entries)) == {"accept": 2, "change": 1}
    with (folder / "reviews.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["table"], row["id"], row["date"], row["verdict"]) for row in rows] == [
        ("drugs", "drg_a", "2026-11-22", "accept"), ("drugs", "drg_b", "2026-11-22", "change"),
        ("scenarios", "scn_001", "2026-11-22", "accept"),
    ]  # fmt: skip
    knowledge = load_knowledge(folder)
    assert (knowledge.drugs["drg_a"].reviewed, knowledge.drugs["drg_b"].reviewed) == (True, False)
    assert not any(row.reviewed for row in knowledge.diseases.values())
    left = export_review(folder, tmp_path / "b.xlsx", everything=False)
    assert ("drugs" in left, "scenarios" in left, sum(left.values())) == (False, False, 8)
    again = export_review(folder, tmp_path / "c.xlsx", everything=True)
    assert sum(again.values()) == 11
    assert load_workbook(tmp_path / "c.xlsx")["drugs"]["F2"].value == "accept"


def test_importing_twice_changes_nothing_and_order_does_not_matter(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    export_review(folder, path, everything=False)
    import_review(folder, fill(path, every(path)))
    first = (folder / "reviews.csv").read_bytes()
    import_review(folder, path)
    assert (folder / "reviews.csv").read_bytes() == first
    (folder / "reviews.csv").unlink()
    for sheet in ("terms", "drugs", "redflags"):  # several reviewers, one after the other
        part = fill(tmp_path / "a.xlsx", dict.fromkeys(every(path), dict.fromkeys(ENTRY)))
        import_review(folder, fill(part, {key: ENTRY for key in every(path) if key[0] == sheet}))
    keys = [line.split(",")[:2] for line in (folder / "reviews.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert keys == [["drugs", "drg_a"], ["drugs", "drg_b"], ["redflags", "RF01"], ["terms", "trm_a"]]


@pytest.mark.parametrize(
    ("table", "old", "new", "voided"),
    [
        ("drugs", "혈당강하 주사제", "항생제", {("drugs", "drg_b")}),
        ("redflags", "조이", "쥐어짜", {("redflags", "RF01")}),
        # a row says the names that it refers to
        ("departments", "안과", "치과", {("departments", "dep_b")}),
        ("departments", "내과", "외과", {("departments", "dep_a"), ("symptoms", "sym_a"), ("diseases", "dis_a"), ("scenarios", "scn_001")}),
        # blanks around a cell and a byte order mark say nothing
        ("terms", ",간질,", ", 간질 ,", set()),
        ("terms", "id,standard", "\ufeffid,standard", set()),
    ],
)
def test_an_edit_voids_the_reviews_of_what_it_changes(
    folder: Path, tmp_path: Path, table: str, old: str, new: str, voided: set[tuple[str, str]]
) -> None:
    export_review(folder, tmp_path / "all.xlsx", everything=True)
    import_review(folder, fill(tmp_path / "all.xlsx", every(tmp_path / "all.xlsx")))
    with pytest.raises(UserError, match="every row is reviewed"):
        export_review(folder, tmp_path / "a.xlsx", everything=False)
    edit(folder, table, old, new)
    if voided:
        export_review(folder, tmp_path / "a.xlsx", everything=False)
        book = load_workbook(tmp_path / "a.xlsx")
        assert {(sheet.title, row[0].value) for sheet in book for row in sheet.iter_rows(min_row=2)} == voided
    knowledge = load_knowledge(folder)
    tables = [name for name in SHEETS if name != "scenarios"]
    assert {(name, row.id) for name in tables for row in getattr(knowledge, name).values() if not row.reviewed} == {
        key for key in voided if key[0] != "scenarios"
    }


BROKEN = [
    ({"id": "drg_x"}, "drugs:2: 'drg_x' is not an id of drugs"),
    ({"verdict": "ok"}, "drugs:2: verdict 'ok'; write one of accept, change, reject"),
    ({"verdict": None}, "drugs:2: verdict ''; write one of"),
    ({"reviewer": "  "}, "drugs:2: reviewer is empty"),
    ({"date": None}, "drugs:2: date '' is no day"),
    ({"date": "2026-02-30"}, "drugs:2: date '2026-02-30' is no day"),
    ({"date": "22.11.2026"}, "drugs:2: date '22.11.2026' is no day"),
    ({"content_sha256": "0"}, "drugs:2: drg_a says something else now"),
    ({"id": "drg_b"}, "drugs:2: drg_b says something else now"),
]


@pytest.mark.parametrize(("cells", "message"), BROKEN)
def test_broken_entry_is_one_line_and_writes_nothing(folder: Path, tmp_path: Path, cells: dict[str, Any], message: str) -> None:
    path = tmp_path / "a.xlsx"
    export_review(folder, path, everything=False)
    import_review(folder, fill(path, {("terms", 2): ENTRY}))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    fill(path, {("redflags", 2): ENTRY, ("drugs", 2): {**ENTRY, **cells}})
    with pytest.raises(UserError) as caught:
        import_review(folder, path)
    assert str(caught.value).startswith(f"{path}:{message}")
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def _rename(path: Path) -> None:
    book = load_workbook(fill(path, {("drugs", 2): ENTRY}))
    book["drugs"].title = "약"
    book.save(path)


def _double(path: Path) -> None:
    book = load_workbook(fill(path, {("drugs", 2): ENTRY}))
    book["drugs"].append([cell.value for cell in book["drugs"][2]])
    book.save(path)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda path: None, "a.xlsx: no line is filled in"),
        (lambda path: path.unlink(), "a.xlsx: no such file"),
        (lambda path: path.write_text("id,verdict\n", encoding="utf-8"), "a.xlsx: not an Excel workbook"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "a.xlsx: not an Excel workbook"),
        (_rename, "a.xlsx:약:2: no table is called '약'"),
        (Workbook().save, "a.xlsx:Sheet:1: column 'id' is not there once"),
        (_double, "a.xlsx:drugs:4: drg_a is reviewed twice"),
    ],
)
def test_broken_workbook_is_one_line(folder: Path, tmp_path: Path, broken: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "a.xlsx"
    export_review(folder, path, everything=False)
    broken(path)
    with pytest.raises(UserError) as caught:
        import_review(folder, path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "reviews.csv").exists()


def test_a_row_that_changed_after_the_export_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    export_review(folder, path, everything=False)
    edit(folder, "drugs", "혈당강하 주사제", "항생제")
    import_review(folder, fill(path, {("drugs", 2): ENTRY}))
    with pytest.raises(UserError, match=r"drugs:3: drg_b says something else now"):
        import_review(folder, fill(path, {("drugs", 3): ENTRY}))


def test_a_workbook_that_may_be_filled_is_never_overwritten(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    export_review(folder, path, everything=False)
    with pytest.raises(UserError, match=r"a\.xlsx: is already there"):
        export_review(folder, path, everything=True)
    with pytest.raises(UserError, match="Excel workbook"):
        export_review(folder, tmp_path / "a.csv", everything=False)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["a.xlsx"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("drugs,drg_a,0,김의사,2026-11-22,fine,", "reviews.csv:2: column verdict: 'fine'; write one of accept"),
        ("drugs,drg_a,0,김의사,22.11.,accept,", "reviews.csv:2: column date: '22.11.' is not a date"),
        ("drugs,drg_a,0,,2026-11-22,accept,", "reviews.csv:2: column reviewer is empty"),
        ("plants,drg_a,0,김의사,2026-11-22,accept,", "reviews.csv:2: column table: 'plants'; write one of redflags"),
        ("drugs,drg_a,0,김의사,2026-11-22,accept,\ndrugs,drg_a,1,김의사,2026-11-22,accept,", "reviews.csv:3: drugs drg_a is there twice"),
    ],
)
def test_broken_reviews_are_named_by_file_and_line(folder: Path, line: str, message: str) -> None:
    (folder / "reviews.csv").write_text(f"table,id,content_sha256,reviewer,date,verdict,note\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_knowledge(folder)
    assert str(caught.value).startswith(str(folder / message.split(":")[0]))
    assert message in str(caught.value)


@pytest.mark.parametrize("verdict", ["accept", "change", ""])
def test_true_in_a_table_needs_an_accepting_review(folder: Path, tmp_path: Path, verdict: str) -> None:
    if verdict:
        export_review(folder, tmp_path / "a.xlsx", everything=False)
        import_review(folder, fill(tmp_path / "a.xlsx", {("terms", 2): {**ENTRY, "verdict": verdict}}))
    edit(folder, "terms", "law,false", "law,true")
    if verdict == "accept":
        assert load_knowledge(folder).terms["trm_a"].reviewed
        return
    with pytest.raises(UserError, match=r"terms\.csv:2: reviewed is true, but reviews\.csv holds no accepting review"):
        load_knowledge(folder)


def test_real_tables_can_be_reviewed(tmp_path: Path) -> None:
    shutil.copytree(REAL, tmp_path / "copy", ignore=shutil.ignore_patterns("reviews.csv"))
    rows = reviewable_rows(tmp_path / "copy")
    counts = export_review(tmp_path / "copy", tmp_path / "a.xlsx", everything=False)
    assert counts == {sheet: len(found) for sheet, found in rows.items()}
    assert all(len(row.content) > len(row.id) and row.source for found in rows.values() for row in found.values())
