"""Every recipe by accuracy and size, a line each: most are so alike in size that points of a scatter would hide each other."""

from medllm.report.pictures import COLOURS, PAGE, chart_style, draw_grid, new_figure, save_figure
from medllm.report.recipes import Recipes, Summary, accuracy

_LABEL = "Answer accuracy and size by recipe"
_COLOUR = {"better": COLOURS["compression"], "worse": COLOURS["fail"], "tie": COLOURS["engine"]}
_LEGEND = "whiskers: lowest and highest seed | grey: reference | green: better | orange: worse | blue: no difference shown"


def recipes_svg(recipes: Recipes) -> str:
    """Mean accuracy with whiskers over the seeds, best first, and the size, of the model that speaks for a recipe."""
    lines = sorted((r for r in recipes.lines if r["seeds"]), key=lambda r: (-(accuracy(r, "answer") or 0.0), r["recipe"]))
    with chart_style():
        figure = new_figure(PAGE, 0.26 * len(lines) + 1.2)
        figure.suptitle(_LEGEND, fontsize=8.5, x=0.01, ha="left")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
        for at, r in enumerate(lines):
            value, size = accuracy(r, "answer") or 0.0, r["bytes"] / 1e6
            ends = [[max(0.0, value - r["accuracy_lowest"])], [max(0.0, r["accuracy_highest"] - value)]]
            left.errorbar(value, at, xerr=ends, fmt="o", color=_colour(r, reference=recipes.reference), markersize=5, capsize=2)
            right.barh(at, size, height=0.6, color=COLOURS["baseline"])
            right.annotate(f"{size:.2f}", (size, at), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)
        left.set_yticks(range(len(lines)), [r["recipe"] for r in lines])
        left.invert_yaxis()
        left.set_xlabel("answer accuracy, mean over seeds")
        left.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
        right.set_xlabel(f"MB of {recipes.model}")
        right.set_xlim(0, 1.15 * max(r["bytes"] for r in lines) / 1e6)
        for axes in (left, right):
            draw_grid(axes, "x")
        return save_figure(figure, label=_LABEL, prefix="rec")


def _colour(record: Summary, *, reference: str) -> str:
    found = record.get("to_reference")
    return COLOURS["baseline"] if record["recipe"] == reference or found is None else _COLOUR[found["verdict"]]
