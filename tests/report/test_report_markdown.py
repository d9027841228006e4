from pathlib import Path
from typing import Any

import pytest

from medllm.errors import UserError
from medllm.report import readme_block, update_readme
from medllm.report.markdown import BEGIN, END, markdown_table
from medllm.report.notices import SAMPLE_FIRST_LINE
from medllm.report.tables import Row, Table


def test_block_begins_with_the_notice_and_names_everything(compare: dict[str, Any]) -> None:
    block = readme_block(compare)
    assert block.splitlines()[0] == f"> {SAMPLE_FIRST_LINE}"
    assert all(f"| {name} " in block for name in compare["models"])
    assert "AMD EPYC 7B13, 2 threads" in block
    assert block.count("| 미측정 |") == 3
    assert "미달한 목표 3 · 놓친 119 신호 1 · 실패한 게이트 4" in block
    assert len(block) < 8000


def test_tables_have_one_width(compare: dict[str, Any]) -> None:
    for part in readme_block(compare).split("\n\n"):
        if part.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in part.splitlines()}) == 1


def test_cells_are_escaped() -> None:
    table = Table(columns=["a", "b"], rows=[Row(label="x|y", cells=["<script>\nz"])])
    assert markdown_table(table).splitlines()[2] == "| x\\|y | &lt;script> z |"


def test_update_replaces_only_what_is_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# 제목\n{BEGIN}\nold\n{END}\ntail\n", encoding="utf-8")
    update_readme(readme, "new\n")
    first = readme.read_text(encoding="utf-8")
    assert first == f"# 제목\n{BEGIN}\nnew\n{END}\ntail\n"
    update_readme(readme, "new\n")
    assert readme.read_text(encoding="utf-8") == first


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"])
def test_update_without_its_markers_is_an_error(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="report:begin"):
        update_readme(readme, "new")
    assert readme.read_text(encoding="utf-8") == text


def test_update_of_a_missing_readme_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        update_readme(tmp_path / "README.md", "new")
