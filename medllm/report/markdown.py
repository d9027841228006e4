"""The Markdown twin of the page, and its place in the README."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medllm.errors import UserError
from medllm.report import quality_tables, tables
from medllm.report.chain import WHERE
from medllm.report.findings import Finding, Findings, count_line, find_all
from medllm.report.format import need
from medllm.report.notices import BASELINE_NOTE, USE_NOTICE, first_line, task_note
from medllm.report.parts import Grid, Part
from medllm.report.recipes import read_recipes
from medllm.report.recipes_part import RECIPES_NOTE, readme_recipes
from medllm.report.tables import Row, Table
from medllm.report.verdicts import target_table

BEGIN, END = "<!-- report:begin -->", "<!-- report:end -->"
RECIPES_BEGIN, RECIPES_END = "<!-- recipes:begin -->", "<!-- recipes:end -->"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _label(row: Row) -> str:
    marks = " ".join(f"**{_cell(text)}**" if kind == "champion" else f"({_cell(text)})" for kind, text in row.tags)
    return f"{_cell(row.label)} {marks}".strip()


def markdown_table(table: Table) -> str:
    """A pipe table; numbers stand right except in the first column."""
    lines = ["| " + " | ".join(map(_cell, table.columns)) + " |", "|---" + "|---:" * (len(table.columns) - 1) + "|"]
    lines += ["| " + " | ".join([_label(row), *map(_cell, row.cells)]) + " |" for row in table.rows]
    return "\n".join(lines)


def readme_block(compare: Mapping[str, Any]) -> str:
    """Counts of what failed, verdicts, one line a model, conditions: small enough for a README."""
    verdicts = target_table(compare)
    short = Table(columns=verdicts.columns[:-1], rows=[Row(label=row.label, cells=row.cells[:-1]) for row in verdicts.rows])
    conditions = " · ".join(f"{row.label}: {row.cells[0]}" for row in tables.condition_table(compare).rows)
    return "\n\n".join(
        [
            f"> {first_line(compare)}",
            f"먼저 보셔야 할 것 — {count_line(find_all(compare, {}))}",
            "### 목표별 판정",
            markdown_table(short),
            "### 모델별 결과",
            f"champion: `{need(compare, 'champion', WHERE)}`. 선정 규칙: {_cell(need(compare, 'champion_rule', WHERE))}",
            markdown_table(quality_tables.compact_table(compare)),
            f"속도와 메모리는 `{tables.devices(compare)}`에서 측정했습니다. {BASELINE_NOTE}",
            *filter(None, [task_note(compare)]),
            f"측정 조건 — {_cell(conditions)}",
            USE_NOTICE,
        ]
    )


def recipes_block(results: Path) -> str:
    """The newest recipes in one table with its conditions; "" where none were run. UserError: the file is not one of pipeline.recipes."""
    recipes = read_recipes(results)
    if recipes is None:
        return ""
    told = f"기준 `{recipes.reference}`, 모델 `{recipes.model}`, {recipes.date}, `{recipes.device}`."
    return "\n\n".join([markdown_table(readme_recipes(recipes)), f"{told} {RECIPES_NOTE}"])


def _data_table(grid: Grid) -> str:
    """A table of the data section: under its title, with the code of a row behind its name."""
    rows = [replace(row, label=f"{row.label} ({row.code})" if row.code not in ("", row.label) else row.label) for row in grid.table.rows]
    table = markdown_table(replace(grid.table, rows=rows))
    return f"**{_cell(grid.title)}**\n\n{table}" if grid.title else table


def parts_markdown(title: str, parts: Sequence[Part]) -> str:
    """A section of parts, as on the page; folded tables are details elements."""
    blocks = [f"## {title}"]
    for number, part in enumerate(parts, 1):
        blocks += [f"### {number}) {part.title}", part.text, *([f"> **{part.duty}**"] if part.duty else [])]
        blocks += [f"![{_cell(caption)}]({name}.svg)" for name, caption in part.pictures]
        blocks += [*map(_data_table, part.grids), *filter(None, [part.note])]
        folded = [(_cell(grid.title), _data_table(replace(grid, title=""))) for grid in part.folded]
        blocks += [f"<details><summary>{title}</summary>\n\n{table}\n\n</details>" for title, table in folded]
    return "\n\n".join(blocks)


def _sentence(one: Finding) -> str:
    quotes = "".join(f'\n  - `{name}` {_cell(text)}' for name, text in one.quotes)
    return f"- {f'**{_cell(one.subject)}**: ' if one.subject else ''}{_cell(one.text)}{quotes}"


def findings_markdown(findings: Sequence[Findings]) -> str:
    """What comes first: every sort of trouble, "없습니다" where there is none."""
    blocks = ["## 먼저 보셔야 할 것"]
    for sort in findings:
        told = ["\n".join(map(_sentence, sort.found))] if sort.found else []
        blocks += [f"### {sort.title} ({sort.count})", *([] if sort.count else ["없습니다."]), *told]
    return "\n\n".join(blocks)


def report_markdown(compare: Mapping[str, Any], findings: Sequence[Findings], sections: Mapping[str, Sequence[Part]]) -> str:
    """report.md: notice, title, what failed, the README block, pictures, then the sections by title; the notice stays the first line."""
    block = readme_block(compare)
    notice, _, rest = block.partition("\n\n")
    pictures = "\n\n".join(f"![{alt}]({name}.svg)" for name, alt in (("dag", "pipeline"), ("waterfall", "size, speed and memory by step")))
    parts = [parts_markdown(title, own) for title, own in sections.items()]
    return "\n\n".join([notice, "# medllm 보고서", findings_markdown(findings), rest, pictures, *parts]) + "\n"


def update_readme(readme: Path, markdown: str, *, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between two markers of `readme`, those of the report unless told."""
    if not readme.is_file():
        raise UserError(f"{readme}: no such file; name the README that holds the report markers")
    text = readme.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(f"{readme}: needs exactly one {begin} before one {end}; put the two lines where the results belong")
    head, _, rest = text.partition(begin)
    tail = rest.partition(end)[2]
    readme.write_text(f"{head}{begin}\n{markdown.strip()}\n{end}{tail}", encoding="utf-8")
