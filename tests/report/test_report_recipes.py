"""The sections of dated experiments: recipes over seeds, and models at their true size."""

import copy
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.compare import recipes as compared
from medllm.errors import UserError
from medllm.report import recipes_block, write_report
from medllm.report.pictures import COLOURS
from medllm.report.recipes import TASKS, read_recipes
from medllm.report.recipes_part import recipe_parts
from medllm.report.recipes_picture import recipes_svg
from medllm.report.scale_part import scale_parts

FINAL = "student_gguf_q8_0"
DEVICE = "AMD EPYC 7B13, 1 thread"


def difference(estimate: float, verdict: str) -> dict[str, Any]:
    return {"estimate": estimate, "low": estimate - 0.03, "high": estimate + 0.03, "seeds": 3, "items": 960, "verdict": verdict}


def record(recipe: str, accuracy: float, verdict: str, *, model: str = FINAL, grounded: str = "tie", **more: Any) -> dict[str, Any]:
    answer, given = difference(accuracy - 0.9, verdict or "tie"), difference(-0.09 if grounded == "worse" else 0.01, grounded)
    return {
        "recipe": recipe, "model": model, "seeds": [13, 14, 15], "failed": [], "method": "quantize_gguf",
        "path": ["base", "teacher", "pruned", "distilled", "student", FINAL], "bytes": 4_800_000.0, "parameters": 3_100_000.0,
        "bytes_to_teacher": 0.44, "parameters_to_teacher": 0.75, "step": {},
        "accuracy_lowest": {"answer": accuracy - 0.02, "grounded": 0.65}, "accuracy_highest": {"answer": accuracy + 0.01, "grounded": 0.72},
        "to_reference": {"answer": answer, "grounded": given} if verdict else {"answer": None, "grounded": None},
        "to_teacher": {"answer": answer, "grounded": None},
        "metrics": {
            "sample_accuracy_answer": accuracy, "sample_accuracy_grounded": 0.7, "sample_accuracy_paraphrase": 0.4, "bits_per_byte": 1.234,
        },
        **more,
    }  # fmt: skip


def pruned(recipe: str, ratio: float) -> dict[str, Any]:
    return record(recipe, 0.3, "tie", model="pruned", method=f"by_{recipe}", step={"ratio": ratio})


CONTENT = {
    "reference": "default", "device": DEVICE, "items": {}, "rows": [],
    "summary": [
        record("prune_taylor", 0.95, "better"), pruned("prune_taylor", 0.25), record("default", 0.9, ""), pruned("default", 0.25),
        record("prune_depth", 0.7, "worse"), pruned("prune_depth", 0.4),
        record("order_pdq", 0.89, "tie", grounded="worse", path=["base", "teacher", "pruned", "distilled", FINAL])
        | {"failed": [{"seed": 15, "error": "killed"}]},
        {"recipe": "distill_jsd", "model": FINAL, "seeds": [], "failed": [{"seed": 13, "error": "distill.loss=jsd: not here"}]},
    ],
}  # fmt: skip
SCALE = {
    "shape": "polyglot_ko_1_3b", "date": "2026-02-03",
    "conditions": {"device": "AMD EPYC 7B13, 2 threads", "rounds": 5, "prompt_tokens": [128]},
    "rows": [
        {
            "model": "teacher", "baseline": "a", "dtype": "bf16", "bytes": 2_660_000_000, "peak_rss_bytes": 3_000_000_000,
            "ttft_128_ms": 900.0, "ttft_128_ms_low": 890.0, "ttft_128_ms_high": 930.0, "decode_tokens_per_s": 2.4,
        },
        {"model": "q4_0", "baseline": "", "dtype": "q4_0", "bytes": 700_000_000, "peak_rss_bytes": 900_000_000, "decode_tokens_per_s": 17},
    ],
    "verdicts": [
        {"model": "q4_0", "origin": "ours", "target": "decode", "key": "decode_to_a", "value": 7.08, "op": ">=", "bound": 6.0, "met": True},
        {"model": "q4_0", "origin": "brief", "target": "size", "key": "bytes_to_a", "value": 0.26, "op": "<=", "bound": 0.25, "met": False},
    ],
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    write(folder, "2026-01-02-recipes.json", CONTENT)
    write(folder, "2026-02-03-scale-polyglot_ko_1_3b.json", SCALE)
    return folder


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def table(parts: list[Any], title: str) -> dict[str, list[str]]:
    grid = next(part.grids[0] for part in parts if part.title.startswith(title))
    return {row.label: [*row.cells, *(text for _, text in row.tags)] for row in grid.table.rows}


def test_both_sections_stand_in_page_and_twin(results: Path, inputs: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path / "report", **inputs | {"results": results})
    page, twin = ((tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    for word in (
        "압축 단계와 순서의 비용과 이득", "가지치기 방법 비교 (같은 비율, 같은 회복)", "순서 비교", "실제 크기에서의 속도와 메모리",
        "prune_taylor", "distill.loss=jsd: not here", DEVICE, "AMD EPYC 7B13, 2 threads",
    ):  # fmt: skip
        assert word in page, word
        assert word in twin, word
    assert "<h2>9. 실험</h2>" in page
    assert "<h2>10. 단계별 시간</h2>" in page
    assert "<h2>11. 조건과 한계</h2>" in page
    picture = (tmp_path / "report" / "recipes.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(picture)
    assert all(f">{name}<" in picture for name in ("default", "prune_taylor", "prune_depth", "order_pdq"))


def test_without_results_nothing_is_said(tmp_path: Path) -> None:
    assert read_recipes(tmp_path / "nowhere") is None
    assert recipes_block(tmp_path / "nowhere") == ""
    assert scale_parts(tmp_path / "nowhere") == []
    write(tmp_path, "2026-01-02-recipes.json", CONTENT | {"summary": CONTENT["summary"][-1:]})
    assert read_recipes(tmp_path) is None, "nothing finished"


def test_one_line_a_recipe_the_reference_first(results: Path) -> None:
    recipes = read_recipes(results)
    assert recipes is not None
    lines = table(recipe_parts(recipes), "압축 단계와")
    assert list(lines) == ["default", "prune_taylor", "prune_depth", "order_pdq", "distill_jsd"]
    assert lines["prune_taylor"] == [
        "teacher → 가지치기 → 증류 → 미세조정 → 양자화", "4.80", "95.0 % (93.0–96.0)", "+5.0 %p (+2.0 ~ +8.0 %p) 나음",
        "70.0 % (65.0–72.0)", "+1.0 %p (-2.0 ~ +4.0 %p) 구별되지 않음", "3",
    ]  # fmt: skip
    assert (lines["default"][3], lines["default"][5]) == ("-", "-")
    assert lines["prune_depth"][3].endswith("못함")
    assert lines["order_pdq"] == [
        "teacher → 가지치기 → 증류 → 양자화", "4.80", "89.0 % (87.0–90.0)", "-1.0 %p (-4.0 ~ +2.0 %p) 구별되지 않음",
        "70.0 % (65.0–72.0)", "-9.0 %p (-12.0 ~ -6.0 %p) 못함", "3, 실패 1", "실패",
    ]  # fmt: skip
    assert lines["distill_jsd"] == ["-"] * 6 + ["0, 실패 1", "실패"]


def test_every_table_names_the_task_of_a_difference_and_the_text_the_missing_correction(results: Path) -> None:
    recipes = read_recipes(results)
    assert recipes is not None
    assert tuple(TASKS) == compared.TASKS
    parts = recipe_parts(recipes)
    judged = ["생성 답변", "생성 답변 차이 (95 % 구간)", "근거 제공", "근거 제공 차이 (95 % 구간)"]
    grids = [grid for part in parts for grid in part.grids]
    for grid in (*grids, parts[0].folded[0]):
        columns = list(grid.table.columns)
        at = columns.index(judged[0])
        assert columns[at : at + 4] == judged
        assert {len(row.cells) + 1 for row in grid.table.rows} == {len(columns)}
    assert "| order_pdq | teacher → 가지치기 → 증류 → 양자화 | 4.80 |" in recipes_block(results)
    assert "-9.0 %p (-12.0 ~ -6.0 %p) 못함 | 3, 실패 1 |" in recipes_block(results)
    assert all("다중 비교 보정은 하지 않았으므로" in text for text in (parts[0].text, recipes_block(results)))


def test_groups_show_who_was_not_pruned_or_recovered_alike(results: Path) -> None:
    recipes = read_recipes(results)
    assert recipes is not None
    parts = recipe_parts(recipes)
    assert [part.title[:6] for part in parts] == ["압축 단계와", "가지치기 방", "증류 손실 ", "순서 비교"]
    prunes = table(parts, "가지치기")
    assert list(prunes) == ["default", "prune_taylor", "prune_depth"]
    assert prunes["prune_taylor"][:4] == ["by_prune_taylor", "30.0 %", "1.234", "25.0 %"]
    assert "비율 다름" not in prunes["prune_taylor"]
    assert prunes["prune_depth"][-1] == "비율 다름"


def test_the_newest_file_counts(results: Path) -> None:
    later = copy.deepcopy(CONTENT)
    later["summary"] = [record("default", 0.8, ""), record("later", 0.8, "tie")]
    write(results, "2026-01-03-recipes.json", later)
    block = recipes_block(results)
    assert "| later |" in block
    assert "prune_taylor" not in block
    assert "2026-01-03" in block
    assert DEVICE in block


def test_results_of_two_commits_are_named_so(results: Path) -> None:
    notes = []
    for commits in (("a", "a"), ("a", "b")):
        write(results, "2026-01-03-recipes.json", CONTENT | {"rows": [{"commit": commit} for commit in commits]})
        recipes = read_recipes(results)
        assert recipes is not None
        notes.append(recipe_parts(recipes)[0].note)
    assert "commit 2개" in notes[1]
    assert "commit" not in notes[0]


def test_scale_shows_the_columns_that_were_measured(results: Path) -> None:
    (part,) = scale_parts(results)
    grid = part.grids[0]
    assert list(grid.table.columns) == ["모델", "dtype", "MB", "최대 RSS MB", "decode tok/s", "첫 토큰 ms (128 토큰)"]
    assert [row.cells[-1] for row in grid.table.rows] == ["900 (890~930)", "-"]
    assert part.note.startswith("2026-02-03에 AMD EPYC 7B13, 2 threads에서")
    assert [(row.cells[-1], row.kind) for row in part.folded[0].table.rows] == [("달성", "pass"), ("미달", "fail")]


def test_a_part_for_each_shape_of_its_newest_file(results: Path) -> None:
    write(results, "2026-02-04-scale-polyglot_ko_1_3b.json", SCALE)
    write(results, "2026-02-01-scale-other.json", SCALE | {"shape": "other"})
    assert [part.note[:10] for part in scale_parts(results)] == ["2026-02-01", "2026-02-04"]


@pytest.mark.parametrize(("answer", "grounded"), [("worse", "tie"), ("tie", "worse")])
def test_the_picture_colours_each_task_by_its_own_verdict(results: Path, answer: str, grounded: str) -> None:
    def drawn(*verdicts: str) -> str:
        other = record("other", 0.8, verdicts[0], grounded=verdicts[1])
        write(results, "2026-03-01-recipes.json", CONTENT | {"summary": [record("default", 0.9, ""), other]})
        recipes = read_recipes(results)
        assert recipes is not None
        return recipes_svg(recipes)

    orange = COLOURS["fail"]
    assert drawn("tie", "tie").count(orange) == 0
    assert 0 < drawn(answer, grounded).count(orange) < drawn("worse", "worse").count(orange)


def test_a_summary_of_one_task_is_to_be_made_again(results: Path) -> None:
    before = [record("default", 0.9, "") | {"accuracy_lowest": 0.88, "to_reference": None}]
    write(results, "2026-03-01-recipes.json", CONTENT | {"summary": before})
    with pytest.raises(UserError, match=r"2026-03-01-recipes\.json: .*pipeline\.recipes summarise"):
        read_recipes(results)


@pytest.mark.parametrize(("name", "read", "text", "told"), [
    ("2026-03-01-recipes.json", read_recipes, "{", "not valid JSON"),
    ("2026-03-01-recipes.json", read_recipes, "{}", "no key 'summary'"),
    ("2026-03-01-scale-x.json", scale_parts, "[", "not valid JSON"),
    ("2026-03-01-scale-x.json", scale_parts, "{}", "no key 'rows'"),
])  # fmt: skip
def test_a_broken_file_is_named(results: Path, name: str, read: Callable[[Path], Any], text: str, told: str) -> None:
    (results / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"{name}.*{told}"):
        read(results)
