"""`python -m pipeline.review`: a round trip from the repository root, and one line for what it cannot do."""

import subprocess
import sys
from pathlib import Path

import pytest
from openpyxl import load_workbook

from pipeline.layout import output_root

ROOT = Path(__file__).parents[2]
TABLES = {
    "sources": "id,source_type,title,where,retrieved\nlaw,statute,법,제41조,2026-11-22\n",
    "departments": "id,name,group,hint,source,reviewed\ndep_a,내과,medical,,law,false\n",
    "symptoms": "id,name,lay,department,source,reviewed\nsym_a,갈증,,dep_a,law,false\n",
    "tests": "id,name,english,abbreviation,kind,purpose,source,reviewed\ntst_a,혈액투석,,,procedure,노폐물 제거,law,false\n",
    "drugs": "id,name,english,brands,drug_class,caution,caution_source,source,reviewed\ndrg_a,인슐린,,,혈당강하 주사제,,,law,false\n",
    "kcd": "id,name,version,source,reviewed\nE11,2형 당뇨병,KCD-8,law,false\n",
    "diseases": (
        "id,name,english,department,broader,symptoms,tests,drugs,kcd,kcd_source,summary,source,reviewed\n"
        "dis_a,당뇨병,,dep_a,,,,,,,혈당이 높은 질환입니다.,law,false\n"
    ),
    "terms": "id,standard,lay,english,abbreviation,old_names,source,reviewed\ntrm_a,뇌전증,,,,간질,law,false\n",
    "redflags": "id,name,level,pattern,exclude,advice,source,reviewed\nRF01,흉통,119,조이,,,law,false\n",
}
BOOK = output_root() / "review.xlsx"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "knowledge"
    folder.mkdir(parents=True)
    for table, text in TABLES.items():
        (folder / f"{table}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def call(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.review", *words]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60)


def test_export_fill_import_export_shows_fewer_rows_until_an_edit(project: Path) -> None:
    done = call(project, "export")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{BOOK}: 8 rows (redflags 1, drugs 1, ")
    book = load_workbook(project / BOOK)
    for sheet in ("redflags", "drugs"):
        for cell, value in zip(book[sheet][2][3:6], ("김의사", "2026-11-22", "accept"), strict=True):
            cell.value = value
    book.save(project / BOOK)
    done = call(project, "import", f"file={BOOK}")
    assert (done.stdout, done.stderr) == ("data/knowledge/reviews.csv: 2 rows (accept 2) merged\n", "")
    assert call(project, "export", "file=rest.xlsx").stdout.startswith("rest.xlsx: 6 rows (diseases 1, ")
    drugs = project / "data" / "knowledge" / "drugs.csv"
    drugs.write_text(TABLES["drugs"].replace("주사제", "제"), encoding="utf-8")
    assert call(project, "export", "file=void.xlsx").stdout.startswith("void.xlsx: 7 rows (drugs 1, ")
    assert call(project, "export", "file=all.xlsx", "all=true").stdout.startswith("all.xlsx: 8 rows (redflags 1, ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no command: not understood here; call python -m pipeline.review export|import"),
        (["look"], "look: not understood here"),
        (["export", "all"], "all: not understood here"),
        (["export", "all=yes"], "all=yes: not understood here"),
        (["import", "all=true"], "all=true: not understood here"),
        (["export", "file=a.csv"], "a.csv: the review is an Excel workbook"),
        (["import", "file=none.xlsx"], "none.xlsx: no such file"),
        (["import", "file=data/knowledge/drugs.csv"], "data/knowledge/drugs.csv: not an Excel workbook"),
        (["export", "file=data/knowledge/drugs.csv/a.xlsx"], "data/knowledge/drugs.csv"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(project: Path, words: list[str], message: str) -> None:
    done = call(project, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_help_says_what_the_two_commands_do(project: Path) -> None:
    done = call(project, "--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "export writes" in said
    assert "import merges" in said
