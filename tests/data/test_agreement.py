"""The blind second pass against the tables: shares, Cohen's kappa, and answers that belong to no row."""

import json
from pathlib import Path

import pytest

from medllm.data.knowledge.agreement import AUDITED, agreement, cohens_kappa, compared, normalised
from medllm.errors import UserError

REAL = Path(__file__).parents[2] / "data" / "knowledge"
HEADER = "table,id,column,value,annotator,date,table_value\n"
TABLES = {
    "sources": "id,source_type,title,where,retrieved\nlaw,statute,법,제41조,2026-11-22\n",
    "departments": "id,name,group,hint,source,reviewed\ndep_a,내과,medical,,law,false\ndep_b,안과,medical,,law,false\n",
    "symptoms": "id,name,lay,department,source,reviewed\n"
    + "".join(f"sym_{number},증상{number},,dep_{'a' if number < 6 else 'b'},law,false\n" for number in range(10)),
    "tests": "id,name,english,abbreviation,kind,purpose,source,reviewed\ntst_a,혈액투석,,,procedure,노폐물 제거,law,false\n",
    "drugs": (
        "id,name,english,brands,drug_class,caution,caution_source,source,reviewed\ndrg_a,로라타딘,,,H1-항히스타민제,,,law,false\n"
        "drg_b,로수바스타틴,,,스타틴 계열 지질강하제,,,law,false\ndrg_c,메트포르민,,,비구아나이드 계열 혈당강하제,,,law,false\n"
    ),
    "kcd": "id,name,version,source,reviewed\nE11.9,2형 당뇨병,KCD-8,law,false\n",
    "diseases": (
        "id,name,english,department,broader,symptoms,tests,drugs,kcd,kcd_source,summary,source,reviewed\n"
        "dis_a,당뇨병,,dep_a,,,,,E11.9,law,혈당이 높은 질환입니다.,law,false\n"
    ),
    "terms": "id,standard,lay,english,abbreviation,old_names,source,reviewed\ntrm_a,급성 충수염,,acute appendicitis,,,law,false\n",
    "redflags": "id,name,level,pattern,exclude,advice,source,reviewed\nRF01,흉통,119,가슴,,,law,false\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for table, text in TABLES.items():
        (tmp_path / f"{table}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def second_pass(folder: Path, *rows: str) -> Path:
    (folder / "second_pass.csv").write_text(HEADER + "".join(f"{row},ann,2026-11-22,\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("aabb", "aabb", 1.0),
        ("aabb", "bbaa", -1.0),
        ("aabb", "abab", 0.0),
        # Cohen's own kind of table: 20 yes/yes, 15 no/no, 10 no/yes, 5 yes/no -> 0.4
        ("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15, 0.4),
        ("aaaa", "aaaa", None),
        ("aaaa", "aaab", 0.0),
    ],
)
def test_kappa(ours: str, theirs: str, expected: float | None) -> None:
    assert cohens_kappa(list(ours), list(theirs)) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("H1-항히스타민제", "h1 항히스타민제", True),
        ("급성 충수염", "급성충수염", True),
        ("\u1100\u1161\u11b7\u1100\u1175", "감기", True),
        ("E11.9", "E11", False),
        ("E11.9", "e11.9 ", True),
        ("내과", "외과", False),
    ],
)
def test_normalised_comparison(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


def test_figures_by_column(folder: Path) -> None:
    symptoms = [f"symptoms,sym_{number},department,{'내과' if number < 5 else '안과'}" for number in range(10)]
    symptoms[0] = "symptoms,sym_0,department,dep_a"  # an id is as good as the name
    figures = agreement(second_pass(folder, *symptoms, "drugs,drg_a,drug_class,H1 항히스타민제", "terms,trm_a,standard,맹장염"))
    assert figures == {
        "drugs.drug_class": {"n": 1, "exact": 1.0, "agreement": 1.0, "kappa": None, "mended": 0},
        "symptoms.department": {"n": 10, "exact": 0.9, "agreement": 0.9, "kappa": 0.8, "mended": 0},  # observed 0.9, by chance 0.5
        "terms.standard": {"n": 1, "exact": 0.0, "agreement": 0.0, "kappa": None, "mended": 0},
    }
    assert json.loads(json.dumps(figures)) == figures
    cells = [(cell.table, cell.id, cell.ours, cell.theirs) for cell in compared(folder) if not cell.agrees]
    assert cells == [("symptoms", "sym_5", "내과", "안과"), ("terms", "trm_a", "급성 충수염", "맹장염")]


@pytest.mark.parametrize(
    ("drug", "written", "coded"),
    [
        ("drg_b", "스타틴 계열 이상지질혈증 치료제", "스타틴 계열 지질강하제"),
        ("drg_b", "비구아나이드제", "비구아나이드 계열 혈당강하제"),  # another class stays another class
        ("drg_c", "혈당 강하제", "비구아나이드 계열 혈당강하제"),
    ],
)
def test_drug_classes_in_own_words_are_coded_without_regard_to_the_row(folder: Path, drug: str, written: str, coded: str) -> None:
    [cell] = compared(second_pass(folder, f"drugs,{drug},drug_class,{written}"))
    assert (cell.theirs, cell.written) == (coded, written)
    assert agreement(folder)["drugs.drug_class"]["exact"] == 0
    assert agreement(folder)["drugs.drug_class"]["agreement"] == (cell.ours == coded)


def test_a_cell_that_was_mended_after_the_answer_is_no_agreement(folder: Path) -> None:
    row = "symptoms,sym_0,department,내과,ann,2026-11-22"
    (folder / "second_pass.csv").write_text(f"{HEADER}{row},안과\n", encoding="utf-8")
    assert compared(folder)[0].ours == "안과"
    assert agreement(folder)["symptoms.department"] == {"n": 1, "exact": 0.0, "agreement": 0.0, "kappa": 0.0, "mended": 1}


def test_no_second_pass_is_no_figure(folder: Path) -> None:
    assert agreement(folder) == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("symptoms,sym_x,department,내과", "'sym_x' is not an id of symptoms.csv"),
        ("symptoms,sym_0,lay,목마름", "symptoms.lay is not audited"),
        ("plants,sym_0,department,내과", "plants.department is not audited"),
        ("symptoms,sym_1,department,", "column value is empty"),
        ("symptoms,sym_1,department,내과", "symptoms sym_1 department is there twice"),
    ],
)
def test_broken_answer_is_named_by_file_and_line(folder: Path, row: str, message: str) -> None:
    second_pass(folder, "symptoms,sym_1,department,내과", row)
    with pytest.raises(UserError) as caught:
        agreement(folder)
    assert str(caught.value).startswith(f"{folder / 'second_pass.csv'}:3: ")
    assert message in str(caught.value)


def test_real_second_pass_covers_the_audited_columns() -> None:
    """Holds for whatever pass is committed: every audited column is sampled, and each figure is a share."""
    figures = agreement(REAL)
    assert set(figures) == {f"{table}.{column}" for table, column in AUDITED}
    for column, figure in figures.items():
        assert figure["n"], column
        assert figure["agreement"] is not None
        assert 0 <= figure["agreement"] <= 1
