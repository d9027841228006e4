"""Size against accuracy, with every point named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medllm.report.chain import Model, models_in_order
from medllm.report.pictures import COLOURS, PAGE, chart_style, draw_grid, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = "Size against answer accuracy"
_LEGEND = "green: deployable | grey: not deployable | orange: disqualified | star: champion | triangle: below the axis"
_LETTER, _LINE = 0.0066, 0.052  # width of a letter and height of a line, in fractions of the axes


@dataclass(frozen=True, slots=True)
class Point:
    """A model at `size` MB and `value` accuracy."""

    model: Model
    size: float
    value: float

    @property
    def label(self) -> str:
        """Name and accuracy."""
        return f"{self.model.name} {100 * self.value:.1f} %"


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, value) that no other point beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return front


def _points(compare: Mapping[str, Any]) -> list[Point]:
    """Every model with both measures, best first."""
    found = []
    for m in models_in_order(compare):
        size, value = m.metrics.get("bytes"), m.accuracy("answer")
        if size is not None and value is not None:
            found.append(Point(m, size / 1e6, value))
    return sorted(found, key=lambda p: (-p.value, p.size, p.model.name))


def place_labels(spots: Sequence[tuple[str, float, float]]) -> list[tuple[float, float, int]]:
    """For labels (text, x, y) in axes fractions: x, y and side (1 right of x, -1 left), clear of earlier labels and of all points."""
    taken = [(x - 0.008, x + 0.008, y) for _, x, y in spots]
    shifts = (0.0, *(sign * step * _LINE for step in range(1, 20) for sign in (-1, 1)))
    places = []
    for text, x, y in spots:
        for at, level, side in [(x + side * 0.014, y + shift, side) for shift in shifts for side in (1, -1)]:
            start, end = sorted((at, at + side * _LETTER * len(text)))
            inside = start > 0 and end < 1 and 0.02 < level < 0.98
            if inside and not any(start < b and end > a and abs(level - other) < _LINE for a, b, other in taken):
                break
        taken.append((start, end, level))
        places.append((at, level, side))
    return places


def _draw(axes: "Axes", points: Sequence[Point], champion: str) -> None:
    width, (floor, top) = axes.get_xlim()[1], axes.get_ylim()
    heights = [max(0.02, (point.value - floor) / (top - floor)) for point in points]
    spots = [(point.label, point.size / width, y) for point, y in zip(points, heights, strict=True)]
    for point, (text, x, y), (at, level, side) in zip(points, spots, place_labels(spots), strict=True):
        m = point.model
        colour = COLOURS["fail" if m.disqualified else "compression" if m.deployable else "baseline"]
        marker = "v" if point.value < floor else "*" if m.name == champion else "o"
        axes.plot(x, y, marker, color=colour, markersize=13 if marker == "*" else 6, transform=axes.transAxes, clip_on=False)
        axes.plot([x, at], [y, level], color=colour, linewidth=0.6, alpha=0.7, transform=axes.transAxes)
        axes.text(at, level, text, ha="left" if side == 1 else "right", va="center", fontsize=8, transform=axes.transAxes)


def pareto_svg(compare: Mapping[str, Any]) -> str:
    """Bytes against answer accuracy; the line is the Pareto front of deployable models that are not disqualified.

    The accuracy axis is cut where deployable models end; models below stand on its edge as triangles.
    """
    points = _points(compare)
    with chart_style():
        figure = new_figure(PAGE, 4.6)
        axes = figure.subplots()
        if not points:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
            return save_figure(figure, label=_LABEL, prefix="par")
        axes.set_xlim(0, 1.12 * max(point.size for point in points))
        axes.set_ylim(max(0.0, min((p.value for p in points if p.model.deployable), default=0.0) - 0.06), 1.01)
        front = pareto_front([(p.size, p.value) for p in points if p.model.deployable and not p.model.disqualified])
        axes.step([p[0] for p in front], [p[1] for p in front], where="post", color=COLOURS["compression"], linewidth=1.2, alpha=0.6)
        _draw(axes, points, compare["champion"])
        axes.set_xlabel("MB (weights + tokenizer)")
        axes.set_ylabel("answer accuracy")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        draw_grid(axes, "both")
        axes.set_title(_LEGEND, fontsize=8.5, loc="left")
        return save_figure(figure, label=_LABEL, prefix="par")
