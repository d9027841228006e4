"""Recipes side by side: what each step, method and order costs and gains, from the newest artifacts/results/*-recipes.json."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from medllm.report import format as fmt
from medllm.report.parts import Grid, Part
from medllm.report.recipes import TASKS, Recipes, Summary, accuracy, against
from medllm.report.tables import Row, Table

VERDICTS = {"better": "나음", "worse": "못함", "tie": "구별되지 않음"}
_JUDGED_HEADS = [head for name in TASKS.values() for head in (name, f"{name} 차이 (95 % 구간)")]
_STEPS = {"teacher": "teacher", "pruned": "가지치기", "distilled": "증류", "student": "미세조정"}
_TEXT = (
    "기준 레시피에서 단계 하나, 방법 하나, 또는 순서만 바꾸어 처음부터 다시 만들고, 같은 seed의 기준과 같은 문항끼리 견주었습니다. "
    "생성 답변은 질문만 준 것이고 근거 제공은 학습하지 않은 사실을 질문과 함께 준 것이며, 둘은 따로 판정합니다. "
    "정확도는 seed 평균이고, 괄호 안은 seed 사이의 최솟값과 최댓값입니다. "
    "차이는 기준과의 차이이고, 판정은 그 95 % 구간이 0을 포함하지 않을 때만 나음 또는 못함입니다. "
)
_MANY = "여러 레시피와 두 과제를 견주지만 다중 비교 보정은 하지 않았으므로, 나음과 못함의 일부는 우연일 수 있습니다."
_METHOD = (
    "구간은 seed와 문항(같은 사실을 묻는 문항은 한 묶음)을 두 단계로 다시 뽑은 bootstrap입니다. seed 셋으로는 레시피가 seed에 따라 "
    "얼마나 흔들리는지 좁게 말할 수 없습니다."
)
_SAMPLE = " 표본 데이터의 수치이므로 의학적 성능이 아니라, 같은 조건에서 방법 사이의 차이만 말합니다."
RECIPES_NOTE = (
    "생성 답변은 질문만, 근거 제공은 근거 글을 함께 준 것입니다. 정확도는 seed 평균, 그 괄호 안은 seed 사이의 최솟값과 최댓값입니다. "
    "차이는 같은 seed, 같은 문항끼리 기준과 견준 것이고, 구간은 seed와 문항을 두 단계로 다시 뽑은 bootstrap이며, "
    "판정은 구간이 0을 포함하지 않을 때만 나음 또는 못함입니다. " + _MANY
)
_CAPTION = "레시피별 생성 답변과 근거 제공 정확도의 seed 평균, 그리고 크기입니다. 가로선은 seed 사이의 최솟값과 최댓값입니다."


def chain_text(record: Summary) -> str:
    """The steps in their order: "teacher → 가지치기 → 증류"."""
    names = [name for name in record.get("path", ()) if name != "base"]
    return " → ".join(_STEPS.get(name, "양자화" if "_" in name else name) for name in names) or fmt.MISSING


def _with_spread(record: Summary, task: str) -> str:
    value = accuracy(record, task)
    if value is None:
        return fmt.MISSING
    return f"{fmt.percent(value)} ({fmt.interval([record[key][task] for key in ('accuracy_lowest', 'accuracy_highest')], scale=100)})"


def _difference(record: Summary, key: str, task: str) -> str:
    """Estimate with its interval in percentage points, and the verdict."""
    found = against(record, key, task)
    if found is None:
        return fmt.MISSING
    estimate, *ends = (fmt.metric_delta(found[name], "accuracy") for name in ("estimate", "low", "high"))
    return f"{estimate} ({fmt.span(ends)}) {VERDICTS[found['verdict']]}"


def _mean(record: Summary, task: str) -> str:
    return fmt.percent(accuracy(record, task))


def _judged(record: Summary, shown: Callable[[Summary, str], str]) -> list[str]:
    """Each task, its accuracy as `shown`, with its difference to the reference."""
    return [text for task in TASKS for text in (shown(record, task), _difference(record, "to_reference", task))]


def _runs(record: Summary) -> str:
    """Finished seeds, and failures where there were any."""
    failed = f", 실패 {len(record['failed'])}" if record["failed"] else ""
    return f"{len(record['seeds'])}{failed}"


def _row(recipes: Recipes, record: Summary, cells: Sequence[str], *, extra: Sequence[tuple[str, str]] = ()) -> Row:
    marks = [("base", "기준")] if record["recipe"] == recipes.reference else []
    marks += [("fail", "실패")] if record["failed"] else []
    return Row(label=record["recipe"], cells=cells, tags=[*marks, *extra])


def _grid(table: Table, title: str = "") -> Grid:
    """Differences may break into lines, else the last one leaves the page."""
    long = [at for at, head in enumerate(table.columns) if "차이" in head]
    return Grid(table=table, title=title, text_columns=(1, *long))


def recipe_table(recipes: Recipes) -> Table:
    """One line a recipe: order, size, accuracies with their differences to the reference."""
    rows = [_row(recipes, r, [chain_text(r), fmt.megabytes(r.get("bytes")), *_judged(r, _with_spread), _runs(r)]) for r in recipes.lines]
    return Table(columns=["레시피", "순서", "MB", *_JUDGED_HEADS, "seed"], rows=rows)


def readme_recipes(recipes: Recipes) -> Table:
    """The same for a README: its line below names the reference."""
    table = recipe_table(recipes)
    return replace(table, rows=[replace(row, tags=()) for row in table.rows])


def _compared(recipes: Recipes, prefix: str, heads: Sequence[str], cells: Callable[[Summary], list[str]]) -> Grid | None:
    """A group with its own columns before those that all share; the spread over seeds stands in the table of all recipes."""
    group = recipes.group(prefix)
    if not group:
        return None
    rows = [_row(recipes, r, [*cells(r), *_judged(r, _mean)], extra=_unlike(recipes, r) if prefix == "prune_" else ()) for r in group]
    return _grid(Table(columns=["레시피", *heads, *_JUDGED_HEADS], rows=rows))


def _unlike(recipes: Recipes, record: Summary) -> list[tuple[str, str]]:
    """Where "the same ratio, the same recovery" does not hold."""
    reference = next((r for r in recipes.lines if r["recipe"] == recipes.reference), None)
    ours, theirs = (recipes.of(r["recipe"], "pruned") if r is not None else None for r in (record, reference))
    if reference is None or not record["seeds"] or not reference["seeds"]:
        return []
    our_ratio, their_ratio = (one["step"].get("ratio") if one is not None else None for one in (ours, theirs))
    other_ratio = our_ratio is not None and their_ratio is not None and abs(our_ratio - their_ratio) > 0.01
    other_path = record["path"] != reference["path"]
    return [*([("warn", "비율 다름")] if other_ratio else []), *([("warn", "회복 다름")] if other_path else [])]


def _after(recipes: Recipes, record: Summary, model: str) -> list[str]:
    """Method, accuracy and bits per byte of a model on the way."""
    found = recipes.of(record["recipe"], model)
    if found is None:
        return [fmt.MISSING] * 3
    return [fmt.plain(found.get("method")), _mean(found, "answer"), fmt.fixed(found["metrics"].get("bits_per_byte"), 3)]


def _removed(recipes: Recipes, record: Summary) -> str:
    found = recipes.of(record["recipe"], "pruned")
    return fmt.percent(found.get("step", {}).get("ratio") if found is not None else None)


def _groups(recipes: Recipes) -> list[tuple[str, str, Grid | None]]:
    def sized(r: Summary) -> list[str]:
        return [chain_text(r), fmt.megabytes(r.get("bytes")), fmt.percent(r.get("bytes_to_teacher"))]

    size_heads = ["순서", "MB", "크기 (teacher 대비)"]
    return [
        (
            "가지치기 방법 비교 (같은 비율, 같은 회복)", "비율이나 회복이 기준과 다른 행에는 그렇게 적었습니다.",
            _compared(
                recipes, "prune_", ["방법", "직후 생성 답변", "직후 bits/byte", "제거 비율"],
                lambda r: [*_after(recipes, r, "pruned"), _removed(recipes, r)],
            ),
        ),
        (
            "증류 손실 비교", "손실의 값은 정의가 서로 달라 견줄 수 없으므로, 증류한 모델의 결과로 견줍니다.",
            _compared(recipes, "distill_", ["방법", "직후 생성 답변", "직후 bits/byte"], lambda r: _after(recipes, r, "distilled")),
        ),
        ("순서 비교", "같은 단계를 다른 순서로 이은 것입니다.", _compared(recipes, "order_", size_heads, sized)),
        ("단계별 효과", "단계 하나만 넣은 것입니다.", _compared(recipes, "step_", size_heads, sized)),
    ]  # fmt: skip


def _every_model(recipes: Recipes) -> Grid:
    rows = [
        Row(
            label=f"{r['recipe']} · {r['model']}",
            cells=[
                fmt.plain(r.get("method")), fmt.megabytes(r.get("bytes")), fmt.percent(r.get("bytes_to_teacher")),
                fmt.plain(round(r["parameters"])), *_judged(r, _with_spread), *(_difference(r, "to_teacher", task) for task in TASKS),
                *(_mean(r, task) for task in ("paraphrase", "choice")),
                fmt.fixed(r["metrics"].get("bits_per_byte"), 3), _runs(r),
            ],
        )
        for r in recipes.summary if r["seeds"]
    ]  # fmt: skip
    heads = [
        "레시피 · 모델", "방법", "MB", "크기 (teacher 대비)", "파라미터", *_JUDGED_HEADS,
        *(f"{name}, teacher와의 차이 (95 % 구간)" for name in TASKS.values()), "자유 표현", "객관식", "bits/byte", "seed",
    ]  # fmt: skip
    return _grid(Table(columns=heads, rows=rows), f"모든 모델 ({len(rows)})")


def _failures(recipes: Recipes) -> list[Grid]:
    found: dict[tuple[str, int, str], list[str]] = {}
    for r in recipes.summary:
        for one in r["failed"]:
            found.setdefault((r["recipe"], one["seed"], one["error"]), []).append(r["model"])
    if not found:
        return []
    rows = [Row(label=recipe, cells=[str(seed), ", ".join(models), error], kind="fail") for (recipe, seed, error), models in found.items()]
    return [Grid(table=Table(columns=["레시피", "seed", "없는 모델", "까닭"], rows=rows), title=f"실패 ({len(rows)})", text_columns=(2, 3))]


def recipe_parts(recipes: Recipes) -> list[Part]:
    """All recipes, then the groups that were run: pruning methods, distillation losses, orders, single steps."""
    note = f"{recipes.date}에 {recipes.device}에서 만들었습니다 (기준 {recipes.reference}, 표의 모델 {recipes.model}). {_METHOD}"
    if len(recipes.commits) > 1:
        note += f" 주의: 코드가 서로 다른 commit {len(recipes.commits)}개에서 만든 결과가 섞여 있습니다."
    text = _TEXT + _MANY + (_SAMPLE if recipes.sample else "")
    parts = [
        Part(
            title="압축 단계와 순서의 비용과 이득", text=text, pictures=[("recipes", _CAPTION)],
            grids=[_grid(recipe_table(recipes))], note=note, folded=[_every_model(recipes), *_failures(recipes)],
        )
    ]  # fmt: skip
    return parts + [Part(title=title, text=text, grids=[grid]) for title, text, grid in _groups(recipes) if grid is not None]
