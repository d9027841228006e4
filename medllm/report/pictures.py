"""The charts, by matplotlib, as deterministic SVG. Labels are ASCII: a machine without Korean fonts draws the same picture."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from medllm.report.chain import Model, Step, is_sample, models_in_order, waterfall
from medllm.report.svg import INK, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"baseline": "#8a8f98", "engine": "#0072b2", "compression": "#009e73", "fail": "#d55e00"}
PAGE = 10.6  # inches: one width for all, so that letters have one size
_TASK_STYLE = {"answer": ("#009e73", "o", -0.22), "choice": ("#cc79a7", "s", 0.0), "grounded": ("#e69f00", "D", 0.22)}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "medllm",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw with our own settings, and no others."""
    from matplotlib import style

    with style.context(_STYLE, after_reset=True):  # a user's matplotlibrc must not change the picture
        yield


def new_figure(width: float, height: float) -> "Figure":
    """A figure of so many inches without pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def save_figure(figure: "Figure", *, label: str, prefix: str) -> str:
    """The figure as inline SVG."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return inline(buffer.getvalue(), label=label, prefix=prefix)


def draw_grid(axes: "Axes", axis: str) -> None:
    """A faint grid behind the marks; `axis` is "x", "y" or "both"."""
    axes.set_axisbelow(True)
    axes.grid(axis=axis, color="#8a8f98", alpha=0.25, linewidth=0.8)  # type: ignore[arg-type]


def _fall(axes: "Axes", steps: Sequence[Step], levels: Sequence[float | None], texts: Sequence[str], *, log: bool, title: str) -> None:
    """Floating bars from one level to the next; the text over each bar gives the level that it reaches."""
    axes.set_title(title, fontsize=10, loc="left")
    names = ["\n".join([step.label, step.model.name.replace("_", "\n", 1)]) for step in steps]
    axes.set_xticks(range(len(steps)), names, fontsize=8)
    if any(level is None or (log and level <= 0) for level in levels):
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    known = [level for level in levels if level is not None]
    floor = min(known) / 1.6 if log else 0.0
    before = floor
    for at, (step, level, text) in enumerate(zip(steps, known, texts, strict=True)):
        base = floor if at == 0 else before
        axes.bar(at, level - base, bottom=base, width=0.62, color=COLOURS[step.kind])
        axes.annotate(text, (at, max(level, base)), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8.5)
        if at + 1 < len(steps):
            axes.plot([at + 0.31, at + 0.69], [level, level], color=INK, linewidth=0.8, linestyle=":")
        before = level
    if log:
        axes.set_yscale("log", base=2)
        axes.set_ylim(floor, max(known) * 1.9)
        axes.yaxis.set_major_formatter("{x:g}x")
    else:
        axes.set_ylim(0, max(known) * 1.22)
    draw_grid(axes, "y")


def _speed_levels(steps: Sequence[Step]) -> list[float | None]:
    """Decode speed in multiples of A: B by its same-round ratio to A, what follows by its same-round ratio to B on top."""
    a_to_b = steps[1].model.ratio("decode", "a")
    to_b = [step.model.ratio("decode", "b") for step in steps[1:]]
    return [1.0, *(None if a_to_b is None or ratio is None else a_to_b * ratio for ratio in to_b)]


def _texts(values: Sequence[float | None], levels: Sequence[float | None], unit: str) -> list[str]:
    """Each value with its unit, and the factor against the level before."""
    texts = []
    for at, (value, level) in enumerate(zip(values, levels, strict=True)):
        before = levels[at - 1] if at else None
        factor = f"\nx{level / before:.2f}" if level is not None and before else ""
        texts.append("-" if value is None else (f"{value:,.0f}" if value >= 100 else f"{value:,.1f}") + unit + factor)
    return texts


def _mega(steps: Sequence[Step], key: str) -> list[float | None]:
    values = [step.model.metrics.get(key) for step in steps]
    return [None if value is None else value / 1e6 for value in values]


def waterfall_svg(compare: Mapping[str, Any]) -> str:
    """Bytes, decode speed (log) and peak memory by step; engine and compression in their own colours."""
    steps = waterfall(compare, models_in_order(compare))
    speed = _speed_levels(steps)
    with chart_style():
        figure = new_figure(PAGE, 4.1)
        axes = figure.subplots(1, 3)
        for index, key, title in ((0, "bytes", "Bytes (MB)"), (2, "peak_rss_bytes", "Peak RSS of the process (MB)")):
            mega = _mega(steps, key)
            _fall(axes[index], steps, mega, _texts(mega, mega, " MB"), log=False, title=title)
        rates = [step.model.metrics.get("decode_tokens_per_s") for step in steps]
        _fall(axes[1], steps, speed, _texts(rates, speed, " tok/s"), log=True, title="Decode speed (x of A, log scale)")
        _legend(figure)
        return save_figure(figure, label="Waterfall of bytes, decode speed and peak memory by step", prefix="wf")


def _legend(figure: "Figure") -> None:
    from matplotlib.patches import Patch

    names = {"baseline": "baseline A", "engine": "from the engine (A to B)", "compression": "from compression (B to candidate)"}
    handles = [Patch(color=COLOURS[kind], label=name) for kind, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _whiskers(m: Model, task: str) -> list[list[float]] | None:
    value, low, high = (m.accuracy(task, suffix) for suffix in ("", "_low", "_high"))
    return None if value is None or low is None or high is None else [[max(0.0, value - low)], [max(0.0, high - value)]]


def accuracy_svg(compare: Mapping[str, Any]) -> str:
    """Answer, choice and grounded accuracy with 95 % intervals, chance and majority as lines."""
    models = models_in_order(compare)
    prefix = "sample_" if is_sample(compare) else ""
    with chart_style():
        figure = new_figure(PAGE, 0.3 * len(models) + 1.2)
        axes = figure.subplots()
        for task, (colour, marker, shift) in _TASK_STYLE.items():
            label: str | None = f"{prefix}accuracy_{task}"
            look: dict[str, Any] = {"fmt": marker, "color": colour, "markersize": 4.5, "capsize": 2}
            for at, m in enumerate(models):
                value = m.accuracy(task)
                if value is not None:
                    axes.errorbar(value, at + shift, xerr=_whiskers(m, task), label=label, **look)
                    label = None
        for key, style in (("choice_chance", ":"), ("choice_majority", "--")):
            found = [m.metrics[key] for m in models if m.metrics.get(key) is not None]
            if found:
                axes.axvline(max(found), color=_TASK_STYLE["choice"][0], linestyle=style, linewidth=1, label=key.replace("_", " "))
        axes.set_yticks(range(len(models)), [m.name + (" *" if m.name == compare["champion"] else "") for m in models])
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        draw_grid(axes, "x")
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
        return save_figure(figure, label="Accuracy with 95 % intervals by model", prefix="acc")
