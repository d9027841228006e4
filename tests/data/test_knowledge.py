"""The knowledge tables: the real ones load and hold together; every broken copy is refused with one line naming file and line."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from medllm.data.knowledge import Knowledge, Term, load_knowledge
from medllm.errors import UserError

REAL = Path(__file__).parents[2] / "data" / "knowledge"

TABLES = {
    "sources": "id,source_type,title,where,retrieved\nlaw,statute,법,제41조,2026-11-22\n",
    "departments": "id,name,hint,source,reviewed\ndep_a,내과,내분비,law,false\ndep_b,안과,,law,false\n",
    "symptoms": "id,name,lay,department,source,reviewed\nsym_a,갈증,목마름;입마름,dep_a,law,false\nsym_b,눈 충혈,,dep_b,law,false\n",
    "tests": "id,name,english,abbreviation,purpose,source,reviewed\ntst_a,당화혈색소 검사,,HbA1c,평균 혈당,law,false\n",
    "drugs": "id,name,english,drug_class,caution,source,reviewed\ndrg_a,메트포르민,metformin,혈당강하제,,law,false\n",
    "diseases": (
        "id,name,english,department,symptoms,tests,drugs,summary,source,reviewed\n"
        "dis_a,당뇨병,,dep_a,sym_a;sym_b,tst_a,drg_a,혈당이 높은 질환입니다.,law,false\n"
        "dis_b,고혈압,,dep_a,,,,혈압이 높은 질환입니다.,law,true\n"
    ),
    "terms": (
        "id,standard,lay,english,abbreviation,old_names,source,reviewed\n"
        "trm_a,충수염,맹장염;맹장,appendicitis,,,law,false\n"
        "trm_b,뇌전증,,epilepsy,,간질,law,false\n"
        "trm_c,골절,골절,fracture,,,law,false\n"
    ),
    "redflags": (
        'id,name,level,pattern,exclude,advice,source,reviewed\nrf_a,흉통,119,"가슴.{0,3}(쥐어짜|조이)",,119에 전화하세요.,law,false\n'
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for table, text in TABLES.items():
        (tmp_path / f"{table}.csv").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def real() -> Knowledge:
    return load_knowledge(REAL)


def test_facts_of_small_tables(folder: Path) -> None:
    facts = {fact.id: (fact.subject, fact.object, fact.subject_type, fact.object_type) for fact in load_knowledge(folder).facts()}
    assert facts == {
        "department:dis_a": ("당뇨병", "내과", "disease", "department"),
        "department:dis_b": ("고혈압", "내과", "disease", "department"),
        "symptom:dis_a": ("당뇨병", "갈증", "disease", "symptom"),
        "test:dis_a": ("당뇨병", "당화혈색소 검사", "disease", "test"),
        "symptom_department:sym_a": ("갈증", "내과", "symptom", "department"),
        "symptom_department:sym_b": ("눈 충혈", "안과", "symptom", "department"),
        "drug_class:drg_a": ("메트포르민", "혈당강하제", "drug", "drug_class"),
        "test_purpose:tst_a": ("당화혈색소 검사", "평균 혈당", "test", "purpose"),
        "term:trm_a": ("맹장염", "충수염", "lay", "term"),
    }
    assert list(facts) == sorted(facts)


def test_rows_are_typed(folder: Path) -> None:
    knowledge = load_knowledge(folder)
    assert knowledge.diseases["dis_a"].symptoms == ("sym_a", "sym_b")
    assert knowledge.diseases["dis_b"].symptoms == ()
    assert (knowledge.diseases["dis_a"].reviewed, knowledge.diseases["dis_b"].reviewed) == (False, True)
    assert re.search(knowledge.redflags["rf_a"].pattern, "가슴을 쥐어짜요")


def test_byte_order_mark_is_read(folder: Path) -> None:
    path = folder / "departments.csv"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert "dep_a" in load_knowledge(folder).departments


BROKEN = [
    # (table, text in it, put there, place named, words of the message)
    ("departments", "hint,", "", "departments.csv:1", "missing column 'hint'"),
    ("departments", "id,name,hint", "id,name,hint,colour", "departments.csv:1", "unknown column 'colour'"),
    ("departments", "id,name,hint", "id,name,name,hint", "departments.csv:1", "a column is there twice"),
    ("departments", TABLES["departments"], "", "departments.csv:1", "missing column"),
    ("redflags", TABLES["redflags"].split("\n")[1], "", "redflags.csv:1", "no rows"),
    ("departments", "dep_b,안과", "dep_a,안과", "departments.csv:3", "id 'dep_a' is there twice"),
    ("departments", "dep_b,안과", "dep_b,내과", "departments.csv:3", "name '내과' is also at"),
    ("symptoms", "sym_b,눈 충혈,", "sym_b,눈 충혈,목마름", "symptoms.csv:3", "name '목마름' is also at"),
    ("terms", "뇌전증", "충수염", "terms.csv:3", "standard '충수염' is also at"),
    ("terms", "뇌전증,", "뇌전증,맹장염", "terms.csv:3", "first lay name '맹장염' is also at"),
    ("departments", "내분비,law", "내분비,nowhere", "departments.csv:2", "'nowhere' is not an id of sources.csv"),
    ("symptoms", "dep_b", "dep_x", "symptoms.csv:3", "'dep_x' is not an id of departments.csv"),
    ("diseases", "dep_a,sym_a", "dep_x,sym_a", "diseases.csv:2", "'dep_x' is not an id of departments.csv"),
    ("diseases", "sym_a;sym_b", "sym_a;sym_x", "diseases.csv:2", "'sym_x' is not an id of symptoms.csv"),
    ("diseases", "tst_a", "tst_x", "diseases.csv:2", "'tst_x' is not an id of tests.csv"),
    ("diseases", "drg_a", "drg_x", "diseases.csv:2", "'drg_x' is not an id of drugs.csv"),
    ("diseases", "sym_a;sym_b", "sym_a;;sym_b", "diseases.csv:2", "empty or repeated item"),
    ("diseases", "sym_a;sym_b", "sym_a;sym_a", "diseases.csv:2", "empty or repeated item"),
    ("drugs", "혈당강하제", "  ", "drugs.csv:2", "column drug_class is empty"),
    ("tests", "tst_a,", ",", "tests.csv:2", "column id is empty"),
    ("tests", "law,false", "law,no", "tests.csv:2", "column reviewed: 'no'; write one of true, false"),
    ("tests", "law,false", "law,", "tests.csv:2", "column reviewed is empty"),
    ("tests", "law,false", "law", "tests.csv:2", "not 7 cells"),
    ("tests", "law,false", "law,false,more", "tests.csv:2", "not 7 cells"),
    ("redflags", "조이)", "조이", "redflags.csv:2", "column pattern: "),
    ("redflags", ",,119에", ",[a,119에", "redflags.csv:2", "column exclude: "),
    ("redflags", ",119,", ",120,", "redflags.csv:2", "'120'; write one of 119, crisis, er"),
    ("redflags", '"가슴', '"가"슴', "redflags.csv:2", "check the quotes"),
    ("sources", "statute", "rumour", "sources.csv:2", "'rumour'; write one of statute"),
    ("sources", "2026-11-22", "22.11.2026", "sources.csv:2", "is not a date"),
]


@pytest.mark.parametrize(("table", "old", "new", "place", "message"), BROKEN)
def test_broken_table_is_one_line_with_file_and_line(folder: Path, table: str, old: str, new: str, place: str, message: str) -> None:
    path = folder / f"{table}.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_knowledge(folder)
    assert str(caught.value).startswith(f"{folder / place}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_missing_file_is_named(folder: Path, table: str) -> None:
    (folder / f"{table}.csv").unlink()
    with pytest.raises(UserError, match=rf"{table}\.csv: no such file"):
        load_knowledge(folder)


def test_other_encoding_is_named(folder: Path) -> None:
    path = folder / "drugs.csv"
    path.write_text(TABLES["drugs"], encoding="cp949")  # what a Korean spreadsheet saves by default
    with pytest.raises(UserError, match=r"drugs\.csv: not UTF-8"):
        load_knowledge(folder)


def test_real_tables_have_the_promised_size(real: Knowledge) -> None:
    assert len(real.diseases) >= 80
    assert len(real.symptoms) >= 60
    assert len(real.tests) >= 40
    assert len(real.drugs) >= 40
    assert len(real.departments) == 26


def test_real_facts_have_one_answer_each(real: Knowledge) -> None:
    facts = real.facts()
    assert len({fact.id for fact in facts}) == len(facts)
    assert max(Counter((fact.relation, fact.subject) for fact in facts).values()) == 1
    assert set(Counter(fact.relation for fact in facts)) == {
        "department", "symptom", "test", "symptom_department", "drug_class", "test_purpose", "term",
    }  # fmt: skip


def test_real_departments_are_spread(real: Knowledge) -> None:
    departments = Counter(real.departments[row.department].name for row in real.diseases.values())
    assert departments["내과"] <= 0.35 * len(real.diseases)
    assert len(departments) >= 15
    assert real.departments[next(row for row in real.diseases.values() if row.name == "당뇨병").department].name == "내과"
    assert "고혈압" in {row.name for row in real.diseases.values()}


def test_real_rows_are_marked_unreviewed(real: Knowledge) -> None:
    tables = (real.departments, real.symptoms, real.tests, real.drugs, real.diseases, real.terms, real.redflags)
    assert not any(row.reviewed for table in tables for row in table.values())
    statutes = {row.id for row in real.sources.values() if row.source_type == "statute"}
    assert {row.source for row in real.departments.values()} <= statutes


def test_real_sentences_are_polite_and_carry_no_dose(real: Knowledge) -> None:
    for disease in real.diseases.values():
        assert disease.summary.endswith("입니다."), disease.id
    for drug in real.drugs.values():
        assert drug.caution == "" or drug.caution.endswith("니다."), drug.id
        assert not re.search(r"\d\s*(mg|㎎|정|알|mL|회)", drug.caution), drug.id


def test_real_copy_loads_from_any_folder(tmp_path: Path, real: Knowledge) -> None:
    shutil.copytree(REAL, tmp_path / "copy")
    assert load_knowledge(tmp_path / "copy").facts() == real.facts()


@pytest.mark.parametrize(
    ("lay", "expected"), [(("뼈 부러짐", "골절"), "뼈 부러짐"), (("골절", "뼈 부러짐"), "뼈 부러짐"), (("골절",), ""), ((), "")]
)
def test_first_lay_name_differs_from_the_standard(lay: tuple[str, ...], expected: str) -> None:
    term = Term(id="t", standard="골절", lay=lay, english="", abbreviation="", old_names=(), source="s", reviewed=False)
    assert term.first_lay == expected
