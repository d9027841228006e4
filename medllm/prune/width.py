"""Width pruning: FFN channels, heads and hidden channels by importance, the same widths in every layer."""

from collections.abc import Sequence
from pathlib import Path

from medllm.errors import UserError
from medllm.prune.cut import choose, cut
from medllm.prune.importance import Criterion
from medllm.prune.plan import PruneResult, finish, start
from medllm.prune.refit import refit
from medllm.prune.shapes import balanced, meeting

AXES = ("ffn", "heads", "hidden")


def check_axes(axes: Sequence[str]) -> None:
    """UserError when there is none, or one that is unknown."""
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown or not axes:
        named = repr(unknown[0]) if unknown else "an empty list"
        raise UserError(f"prune.axes: {named} is none of {', '.join(AXES)}; name one or more of these")


def prune_width(
    source: Path, prepared: Path, target: Path, *, axes: Sequence[str], ratio: float, tolerance: float, round_to: int,
    importance: Criterion, ridge: float | None, sample_tokens: int, batch_rows: int, max_tokens: int, seed: int,
) -> PruneResult:  # fmt: skip
    """Remove `ratio` of all parameters from the widths that `axes` names (of ffn, heads, hidden), alike where there are several.

    Heads go with their key-value head; on GPT-NeoX heads and hidden channels go together, at the head size that it has. Then every linear
    layer that lost inputs is fitted on about `sample_tokens` calibration tokens (see refit). UserError when no shape meets the ratio.
    """
    check_axes(axes)
    begun = start(source, prepared, batch_rows=batch_rows, max_tokens=max_tokens, sample_tokens=sample_tokens)
    sizes, layers = begun.sizes, range(begun.sizes.source.layers)
    shapes = sizes.shapes(axes=axes, round_to=round_to, layers=[len(layers)])
    what = f"{' and '.join(axes)} widths in steps of {round_to}"
    good = meeting(sizes, shapes, ratio=ratio, tolerance=tolerance, budget="parameters", what=what)
    shape = good[0] if len(axes) == 1 else balanced(sizes, good, ratio=ratio)
    kept = choose(importance(begun.model, begun.batches, seed=seed), sizes.source, shape, layers)
    smaller = cut(begun.model, kept)
    losses = refit(begun.model, smaller, kept, begun.sample, ridge=ridge)
    return finish(
        begun, smaller, kept, source=source, prepared=prepared, target=target, method=f"prune_{'_'.join(axes)}", ratio=ratio,
        tolerance=tolerance, budget="parameters", losses=losses, params={"importance": importance.__name__, "ridge": ridge},
    )  # fmt: skip
