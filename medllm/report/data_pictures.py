"""Pictures of the data: the mix against the brief, and where the right answers stand. Labels are ASCII, as in every chart."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medllm.errors import UserError
from medllm.report.accounting import WHERE
from medllm.report.pictures import PAGE, chart_style, draw_grid, new_figure, save_figure
from medllm.report.svg import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MIX_COLOURS = {"baseline_check": "#56b4e9", "distillation": "#e69f00", "medical": "#009e73"}
_PLACES = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#8a8f98")  # first option to fifth; a sixth begins again
_DARK = "#0b0f14"
_SHOWN = 0.05  # a narrower bar has no room for its number


def mixes(prepared: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Shares by role: the goal of the brief, the records, the characters that may be trained on. UserError: nothing was kept."""
    mix, records = prepared["mix"], prepared["counts"]["role"]
    total = sum(records.values())
    if total <= 0:
        raise UserError(f"{WHERE}: no records were kept; run prepare_data again")
    return {
        "goal of the brief": {role: row["brief"] for role, row in mix.items()},
        "by records": {role: records.get(role, 0) / total for role in mix},
        "by characters": {role: row["share"] for role, row in mix.items()},
    }


def mix_svg(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Stacked bars of role shares, {row label: {role: share}}."""
    with chart_style():
        figure = new_figure(PAGE, 0.4 * len(rows) + 0.8)
        axes = figure.subplots()
        for at, shares in enumerate(rows.values()):
            _stack(axes, at, [(shares.get(role, 0.0), colour) for role, colour in _MIX_COLOURS.items()])
        _bare(axes, list(rows))
        axes.xaxis.set_visible(False)
        _legend(figure, _MIX_COLOURS)
        return save_figure(figure, label="Data mix against 20/30/50", prefix="mix")


def positions_svg(positions: Mapping[str, Sequence[int]]) -> str:
    """Stacked bars of right answers by position, {set/split: counts}; dotted lines where even positions would end."""
    colours = {str(place + 1): _PLACES[place % len(_PLACES)] for place in range(max(map(len, positions.values())))}
    with chart_style():
        figure = new_figure(PAGE, 0.4 * len(positions) + 1.0)
        axes = figure.subplots()
        for at, counts in enumerate(positions.values()):
            _stack(axes, at, [(count / sum(counts), colour) for count, colour in zip(counts, colours.values(), strict=False)])
            for place in range(1, len(counts)):
                axes.plot([place / len(counts)] * 2, [at - 0.42, at + 0.42], color=INK, linewidth=1, linestyle=":")
        _bare(axes, [f"{name} (n={sum(counts):,})" for name, counts in positions.items()])
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        draw_grid(axes, "x")
        _legend(figure, colours)
        return save_figure(figure, label="Right answers by position", prefix="pos")


def _stack(axes: "Axes", at: int, bars: Iterable[tuple[float, str]]) -> None:
    """One row of (share, colour), each with its number where there is room."""
    left = 0.0
    for share, colour in bars:
        axes.barh(at, share, left=left, height=0.62, color=colour)
        if share >= _SHOWN:
            axes.text(left + share / 2, at, f"{100 * share:.1f} %", ha="center", va="center", fontsize=8.5, color=_DARK)
        left += share


def _legend(figure: "Figure", colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)


def _bare(axes: "Axes", labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    for spine in axes.spines.values():
        spine.set_visible(False)
