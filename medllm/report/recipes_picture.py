"""Every recipe by accuracy and size, a line each: most are so alike in size that points of a scatter would hide each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medllm.report.pictures import COLOURS, PAGE, chart_style, draw_grid, new_figure, save_figure
from medllm.report.recipes import TASKS, Recipes, Summary, accuracy, against

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = "Accuracies and size by recipe"
_COLOUR = {"better": COLOURS["compression"], "worse": COLOURS["fail"], "tie": COLOURS["engine"]}
_LEGEND = "whiskers: lowest and highest seed | grey: reference | green: better | orange: worse | blue: no difference shown"


def recipes_svg(recipes: Recipes) -> str:
    """Mean accuracies with whiskers over the seeds, best answers first, and the size, of the model that speaks for a recipe."""
    lines = sorted((r for r in recipes.lines if r["seeds"]), key=lambda r: (-(accuracy(r, "answer") or 0.0), r["recipe"]))
    with chart_style():
        figure = new_figure(PAGE, 0.26 * len(lines) + 1.2)
        figure.suptitle(_LEGEND, fontsize=8.5, x=0.01, ha="left")
        *panels, right = figure.subplots(1, len(TASKS) + 1, sharey=True)
        for axes, task in zip(panels, TASKS, strict=True):
            _points(axes, lines, task, reference=recipes.reference)
        for at, r in enumerate(lines):
            size = r["bytes"] / 1e6
            right.barh(at, size, height=0.6, color=COLOURS["baseline"])
            right.annotate(f"{size:.2f}", (size, at), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)
        right.set_yticks(range(len(lines)), [r["recipe"] for r in lines])
        right.invert_yaxis()
        right.set_xlabel(f"MB of {recipes.model}")
        right.set_xlim(0, 1.15 * max(r["bytes"] for r in lines) / 1e6)
        for axes in (*panels, right):
            draw_grid(axes, "x")
        return save_figure(figure, label=_LABEL, prefix="rec")


def _points(axes: "Axes", lines: Sequence[Summary], task: str, *, reference: str) -> None:
    """One task, a line a recipe; a recipe that was not evaluated on it has no point."""
    for at, r in enumerate(lines):
        value = accuracy(r, task)
        if value is None:
            continue
        ends = [[max(0.0, value - r["accuracy_lowest"][task])], [max(0.0, r["accuracy_highest"][task] - value)]]
        axes.errorbar(value, at, xerr=ends, fmt="o", color=_colour(r, task, reference=reference), markersize=5, capsize=2)
    axes.set_xlabel(f"{task} accuracy, mean over seeds")
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")


def _colour(record: Summary, task: str, *, reference: str) -> str:
    found = against(record, "to_reference", task)
    return COLOURS["baseline"] if record["recipe"] == reference or found is None else _COLOUR[found["verdict"]]
