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
    "departments": "id,name,group,hint,source,reviewed\ndep_a,내과,medical,내분비,law,false\ndep_b,안과,medical,,law,false\n",
    "symptoms": "id,name,lay,department,source,reviewed\nsym_a,갈증,목마름;입마름,dep_a,law,false\nsym_b,눈 충혈,,dep_b,law,false\n",
    "tests": (
        "id,name,english,abbreviation,kind,purpose,source,reviewed\n"
        "tst_a,당화혈색소 검사,,HbA1c,test,평균 혈당,law,false\n"
        "tst_b,혈액투석,,,procedure,노폐물 제거,law,false\n"
    ),
    "drugs": (
        "id,name,english,brands,drug_class,caution,caution_source,source,reviewed\n"
        "drg_a,메트포르민,metformin,다이아벡스;글루코파지,혈당강하제,,,law,false\n"
        "drg_b,인슐린,insulin,,혈당강하 주사제,저혈당이 생길 수 있습니다.,law,law,false\n"
    ),
    "kcd": "id,name,version,source,reviewed\nE11,2형 당뇨병,KCD-8,law,false\nI10,본태성 고혈압,KCD-8,law,false\n",
    "diseases": (
        "id,name,english,department,broader,symptoms,tests,drugs,kcd,kcd_source,summary,source,reviewed\n"
        "dis_a,당뇨병,,dep_a,,sym_a;sym_b,tst_a,drg_a,,,혈당이 높은 질환입니다.,law,false\n"
        "dis_b,고혈압,,dep_a,,,,,I10,law,혈압이 높은 질환입니다.,law,false\n"
        "dis_c,2형 당뇨,,dep_a,dis_a,,,,E11,law,인슐린이 잘 듣지 않는 질환입니다.,law,false\n"
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


@pytest.fixture(scope="session")
def real(whole_knowledge: Knowledge) -> Knowledge:
    return whole_knowledge


def test_facts_of_small_tables(folder: Path) -> None:
    facts = {fact.id: (fact.subject, fact.object, fact.subject_type, fact.object_type) for fact in load_knowledge(folder).facts()}
    assert facts == {
        "department:dis_a": ("당뇨병", "내과", "disease", "department"),
        "department:dis_b": ("고혈압", "내과", "disease", "department"),
        "department:dis_c": ("2형 당뇨", "내과", "disease", "department"),
        "symptom:dis_a": ("당뇨병", "갈증", "disease", "symptom"),
        "test:dis_a": ("당뇨병", "당화혈색소 검사", "disease", "test"),
        "symptom_department:sym_a": ("갈증", "내과", "symptom", "department"),
        "symptom_department:sym_b": ("눈 충혈", "안과", "symptom", "department"),
        "drug_class:drg_a": ("메트포르민", "혈당강하제", "drug", "drug_class"),
        "drug_class:drg_b": ("인슐린", "혈당강하 주사제", "drug", "drug_class"),
        "procedure_purpose:tst_b": ("혈액투석", "노폐물 제거", "procedure", "purpose"),
        "test_purpose:tst_a": ("당화혈색소 검사", "평균 혈당", "test", "purpose"),
        "term:trm_a": ("맹장염", "충수염", "lay", "term"),
    }
    assert list(facts) == sorted(facts)


def test_rows_are_typed(folder: Path) -> None:
    knowledge = load_knowledge(folder)
    assert knowledge.diseases["dis_a"].symptoms == ("sym_a", "sym_b")
    assert knowledge.diseases["dis_b"].symptoms == ()
    assert (knowledge.diseases["dis_a"].reviewed, knowledge.diseases["dis_b"].reviewed) == (False, False)
    assert knowledge.drugs["drg_a"].brands == ("다이아벡스", "글루코파지")
    assert knowledge.kcd[knowledge.diseases["dis_c"].kcd].name == "2형 당뇨병"
    assert re.search(knowledge.redflags["rf_a"].pattern, "가슴을 쥐어짜요")


def test_byte_order_mark_is_read(folder: Path) -> None:
    path = folder / "departments.csv"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert "dep_a" in load_knowledge(folder).departments


BROKEN = [
    # (table, text in it, put there, place named, words of the message)
    ("departments", "hint,", "", "departments.csv:1", "missing column 'hint'"),
    ("departments", "id,name,group", "id,name,group,colour", "departments.csv:1", "unknown column 'colour'"),
    ("departments", "id,name,group", "id,name,name,group", "departments.csv:1", "a column is there twice"),
    ("departments", TABLES["departments"], "", "departments.csv:1", "missing column"),
    ("redflags", TABLES["redflags"].split("\n")[1], "", "redflags.csv:1", "no rows"),
    ("departments", "dep_b,안과", "dep_a,안과", "departments.csv:3", "id 'dep_a' is there twice"),
    ("departments", "dep_b,안과", "dep_b,내과", "departments.csv:3", "name '내과' is also at"),
    ("symptoms", "sym_b,눈 충혈,", "sym_b,눈 충혈,목마름", "symptoms.csv:3", "name '목마름' is also at"),
    ("terms", "뇌전증", "충수염", "terms.csv:3", "standard '충수염' is also at"),
    ("terms", "뇌전증,", "뇌전증,맹장염", "terms.csv:3", "first lay name '맹장염' is also at"),
    ("departments", "내분비,law", "내분비,nowhere", "departments.csv:2", "'nowhere' is not an id of sources.csv"),
    ("symptoms", "dep_b", "dep_x", "symptoms.csv:3", "'dep_x' is not an id of departments.csv"),
    ("diseases", "dep_a,,sym_a", "dep_x,,sym_a", "diseases.csv:2", "'dep_x' is not an id of departments.csv"),
    ("diseases", "sym_a;sym_b", "sym_a;sym_x", "diseases.csv:2", "'sym_x' is not an id of symptoms.csv"),
    ("diseases", "tst_a", "tst_x", "diseases.csv:2", "'tst_x' is not an id of tests.csv"),
    ("diseases", "drg_a", "drg_x", "diseases.csv:2", "'drg_x' is not an id of drugs.csv"),
    ("diseases", "sym_a;sym_b", "sym_a;;sym_b", "diseases.csv:2", "empty or repeated item"),
    ("diseases", "sym_a;sym_b", "sym_a;sym_a", "diseases.csv:2", "empty or repeated item"),
    ("drugs", "혈당강하제", "  ", "drugs.csv:2", "column drug_class is empty"),
    ("tests", "tst_a,", ",", "tests.csv:2", "column id is empty"),
    ("diseases", "law,false\ndis_b", "law,true\ndis_b", "diseases.csv:2", "reviewed is true, but reviews.csv"),
    ("tests", "law,false", "law,no", "tests.csv:2", "column reviewed: 'no'; write one of true, false"),
    ("tests", "law,false", "law,", "tests.csv:2", "column reviewed is empty"),
    ("tests", "law,false", "law", "tests.csv:2", "not 8 cells"),
    ("tests", "law,false", "law,false,more", "tests.csv:2", "not 8 cells"),
    ("redflags", "조이)", "조이", "redflags.csv:2", "column pattern: "),
    ("redflags", ",,119에", ",[a,119에", "redflags.csv:2", "column exclude: "),
    ("redflags", ",119,", ",120,", "redflags.csv:2", "'120'; write one of 119, crisis, er"),
    ("redflags", '"가슴', '"가"슴', "redflags.csv:2", "check the quotes"),
    ("sources", "statute", "rumour", "sources.csv:2", "'rumour'; write one of statute"),
    ("departments", "내과,medical", "내과,herbal", "departments.csv:2", "'herbal'; write one of medical, dental, korean_medicine"),
    ("tests", "HbA1c,test", "HbA1c,scan", "tests.csv:2", "'scan'; write one of test, procedure"),
    ("drugs", "혈당강하제,,", "혈당강하제,조심하세요.,", "drugs.csv:2", "column caution_source is empty beside caution"),
    ("drugs", "혈당강하제,,", "혈당강하제,,law", "drugs.csv:2", "column caution is empty beside caution_source 'law'"),
    ("drugs", "있습니다.,law", "있습니다.,nowhere", "drugs.csv:3", "'nowhere' is not an id of sources.csv"),
    ("drugs", "insulin,", "insulin,글루코파지", "drugs.csv:3", "brand '글루코파지' is also at"),
    ("kcd", "KCD-8", "KCD-10", "kcd.csv:2", "'KCD-10'; write one of KCD-9"),
    ("kcd", "E11", "11E", "kcd.csv:2", "'11E' is not a KCD code"),
    ("kcd", "E11,2형", "E11.95x,2형", "kcd.csv:2", "'E11.95x' is not a KCD code"),
    ("kcd", "본태성 고혈압", "2형 당뇨병", "kcd.csv:3", "name '2형 당뇨병' is also at"),
    ("kcd", "I10", "E11", "kcd.csv:3", "id 'E11' is there twice"),
    ("diseases", "I10", "I10-I15", "diseases.csv:3", "'I10-I15' is not a KCD code"),
    ("diseases", "I10", "I11", "diseases.csv:3", "'I11' is not an id of kcd.csv"),
    ("diseases", "I10,law", "I10,", "diseases.csv:3", "column kcd_source is empty beside kcd 'I10'"),
    ("diseases", "I10,law", ",law", "diseases.csv:3", "column kcd is empty beside kcd_source"),
    ("diseases", "dep_a,dis_a", "dep_a,dis_x", "diseases.csv:4", "'dis_x' is not an id of diseases.csv"),
    ("diseases", "당뇨병,,dep_a,", "당뇨병,,dep_a,dis_c", "diseases.csv:2", "a cycle (dis_a -> dis_c -> dis_a)"),
    ("diseases", "dep_a,dis_a", "dep_a,dis_c", "diseases.csv:4", "a cycle (dis_c -> dis_c)"),
    ("diseases", "고혈압,", "당뇨 병,", "diseases.csv:3", "name '당뇨 병' is also at"),
    ("diseases", "고혈압,", "목 마름,", "diseases.csv:3", "name '목 마름' is also at"),
    ("drugs", "인슐린,", "갈증,", "drugs.csv:3", "name '갈증' is also at"),
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
    assert len(real.diseases) >= 250
    assert len(real.symptoms) >= 150
    assert len(real.tests) >= 40
    assert len(real.drugs) >= 40


def test_real_departments_are_those_of_the_law(real: Knowledge) -> None:
    groups = Counter(row.group for row in real.departments.values())
    assert groups == {"medical": 26, "dental": 11, "korean_medicine": 8}  # 의료법 시행규칙 제41조
    routed = {real.departments[row.department].group for row in (*real.diseases.values(), *real.symptoms.values())}
    assert routed == {"medical", "dental"}


def test_real_codes_are_sourced_and_used(real: Knowledge) -> None:
    coded = [row for row in real.diseases.values() if row.kcd]
    assert len(coded) >= 250
    assert all(row.kcd_source == real.kcd[row.kcd].source for row in coded)
    assert {row.kcd for row in coded} == set(real.kcd)
    # a code whose Korean name nobody compared with a list says so
    assert {row.version for row in real.kcd.values() if row.source == "kcd_icd10"} == {"ICD-10"}
    assert {real.sources[row.source].source_type for row in real.kcd.values() if row.version != "ICD-10"} == {"reference"}


def test_real_wider_diseases_stay_in_their_kind(real: Knowledge) -> None:
    wider = {row.name: real.diseases[row.broader].name for row in real.diseases.values() if row.broader}
    assert wider["제2형 당뇨병"] == "당뇨병"
    assert wider["뇌경색"] == "뇌졸중"
    assert wider["알츠하이머병"] == "치매"


def test_real_facts_have_one_answer_each(real: Knowledge) -> None:
    facts = real.facts()
    assert len({fact.id for fact in facts}) == len(facts)
    assert max(Counter((fact.relation, fact.subject) for fact in facts).values()) == 1
    assert {fact.relation for fact in facts} - {"procedure_purpose"} == {
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
