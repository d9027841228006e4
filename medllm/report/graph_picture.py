"""A picture of the knowledge graph: every department with its diseases and symptoms, and one disease with all that it is linked to."""

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from medllm.graph.store import Graph, Node
from medllm.report.pictures import PAGE, chart_style, save_figure
from medllm.report.svg import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"department": "#8a8f98", "disease": "#0072b2", "symptom": "#e69f00", "test": "#009e73", "drug": "#cc79a7"}
_COLUMNS = 7  # departments in a row
_CELL = 1.5  # inches
_EXAMPLE = 3.7  # inches
_LEGEND = 0.4  # inches
_GOLDEN = math.pi * (3 - math.sqrt(5))  # dots on a sunflower spiral never touch
_SIDES = {  # edge relation -> column of the example
    "routes_to": -2,
    "broader": -2,
    "has_symptom": -1,
    "examined_by": 1,
    "treated_with": 2,
}
_SHOWN = 8  # neighbours of a relation in the example


def graph_picture(graph_folder: Path) -> str:
    """Inline SVG of the graph in this folder. The same graph gives the same bytes. Raises UserError when there is no whole graph.json."""
    from matplotlib.figure import Figure

    graph = Graph.load(graph_folder)
    members = _members(graph)
    rows = _rows(members)
    height = rows * _CELL + _EXAMPLE + _LEGEND
    with chart_style(), _labels_of_any_font():
        figure = Figure(figsize=(PAGE, height), facecolor="none")
        _draw_hubs(figure.add_axes((0, (_EXAMPLE + _LEGEND) / height, 1, rows * _CELL / height)), members)
        _draw_example(figure.add_axes((0, _LEGEND / height, 1, _EXAMPLE / height)), graph, _best_linked(graph))
        _draw_legend(figure.add_axes((0, 0, 1, _LEGEND / height)))
        return save_figure(figure, label="Departments with their diseases and symptoms, and one disease with its links", prefix="graph")


@contextmanager
def _labels_of_any_font() -> Iterator[None]:
    """The page's own font shows the Korean labels, so it is no fault that the measuring font has no Hangul."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def _members(graph: Graph) -> list[tuple[Node, Counter[str]]]:
    """Departments that something routes to, those with most first, each with how many nodes of a kind do."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for edge in graph.edges:
        if edge.relation == "routes_to":
            counts[edge.target][graph.nodes[edge.source].kind] += 1
    found = [(graph.nodes[key], count) for key, count in counts.items()]
    return sorted(found, key=lambda pair: (-pair[1].total(), pair[0].id))


def _rows(members: Sequence[object]) -> int:
    return max(1, math.ceil(len(members) / _COLUMNS))


def _draw_hubs(axes: "Axes", members: Sequence[tuple[Node, Counter[str]]]) -> None:
    """A hub with a dot for every disease and symptom, name and counts below it."""
    rows = _rows(members)
    axes.set(xlim=(-0.5, _COLUMNS - 0.5), ylim=(rows - 0.5, -0.5))
    axes.axis("off")
    spread = 0.36 / math.sqrt(max((count.total() for _, count in members), default=1))
    size = min(3.2, 0.9 * spread * 72 * _CELL)  # points: a full hub has smaller dots, not overlapping ones
    for at, (department, count) in enumerate(members):
        y, x = divmod(at, _COLUMNS)
        kinds = [kind for kind in ("disease", "symptom") for _ in range(count[kind])]
        polar = [(spread * math.sqrt(number), _GOLDEN * number) for number in range(1, len(kinds) + 1)]
        places = [(x + radius * math.cos(angle), y - 0.12 + radius * math.sin(angle)) for radius, angle in polar]
        spokes = [point for place in places for point in ((x, y - 0.12), place, (math.nan, math.nan))]  # one line with gaps: fast
        axes.plot([a for a, _ in spokes], [b for _, b in spokes], color=_COLOURS["department"], linewidth=0.3, zorder=1)
        for kind in dict.fromkeys(kinds):
            dots = [place for place, own in zip(places, kinds, strict=True) if own == kind]
            axes.plot([a for a, _ in dots], [b for _, b in dots], "o", color=_COLOURS[kind], markersize=size, zorder=2)
        axes.plot(x, y - 0.12, "o", color=_COLOURS["department"], markersize=6, zorder=3)
        axes.text(x, y + 0.36, department.name, ha="center", fontsize=8.5)
        numbers = f"{count['disease']} diseases, {count['symptom']} symptoms"
        axes.text(x, y + 0.465, numbers, ha="center", fontsize=7, color=_COLOURS["department"])


def _best_linked(graph: Graph) -> Node | None:
    """The disease with links of most kinds, then with most links, then the first id."""
    links: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for edge in graph.edges:
        links[edge.source][edge.relation] += 1
    diseases = [node for node in graph.nodes.values() if node.kind == "disease"]
    return min(diseases, key=lambda node: (-len(links[node.id]), -links[node.id].total(), node.id), default=None)


def _draw_example(axes: "Axes", graph: Graph, centre: Node | None) -> None:
    """The disease in the middle, what it is linked to in columns by relation."""
    axes.set(xlim=(-2.6, 2.6), ylim=(-1.05, 1.35))
    axes.axis("off")
    if centre is None:
        return
    columns: defaultdict[int, list[tuple[str, Node]]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for edge in graph.edges:
        if edge.source == centre.id and edge.relation in _SIDES and counts[edge.relation] < _SHOWN:
            counts[edge.relation] += 1
            columns[_SIDES[edge.relation]].append((edge.relation, graph.nodes[edge.target]))
    for column, neighbours in sorted(columns.items()):
        relations = " / ".join(dict.fromkeys(relation for relation, _ in neighbours))
        axes.text(column, 1.12, relations, ha="center", fontsize=8, color=_COLOURS["department"])
        for at, (_, node) in enumerate(neighbours):
            y = 0.0 if len(neighbours) == 1 else 0.85 - 1.7 * at / (len(neighbours) - 1)
            if column in (-2, 2):  # past the inner column
                y += 0.06
            axes.plot([0, column], [0, y], color=_COLOURS[node.kind], linewidth=0.8, alpha=0.6, zorder=1)
            _label(axes, column, y, node.name, _COLOURS[node.kind])
    code = centre.attributes.get("kcd", "")
    _label(axes, 0, 0, f"{centre.name} {code}".strip(), _COLOURS["disease"], size=10.5)


def _label(axes: "Axes", x: float, y: float, text: str, colour: str, *, size: float = 8.5) -> None:
    axes.plot(x, y, "o", color=colour, markersize=size, zorder=2)
    axes.annotate(text, (x, y), xytext=(0, size * 0.85), textcoords="offset points", ha="center", fontsize=size, color=INK, zorder=3)


def _draw_legend(axes: "Axes") -> None:
    axes.set(xlim=(0, len(_COLOURS)), ylim=(0, 1))
    axes.axis("off")
    for at, (kind, colour) in enumerate(_COLOURS.items()):
        axes.plot(at + 0.3, 0.5, "o", color=colour, markersize=6)
        axes.text(at + 0.36, 0.5, kind, va="center", fontsize=8.5)
