"""Depth and width under one budget: uniform shapes are enumerated, the best few are built and scored, the best one stays."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from medllm.model.architecture import Shape
from medllm.prune.cut import Kept, choose, cut
from medllm.prune.depth import Metric, distances
from medllm.prune.importance import Criterion, Importance
from medllm.prune.plan import PruneResult, finish, start
from medllm.prune.refit import refit
from medllm.prune.shapes import Budget, meeting
from medllm.prune.width import check_axes


def _energy(scores: Tensor, kept: Sequence[int]) -> float:
    return float(scores[list(kept)].square().sum() / scores.square().sum())


def lost(importance: Importance, influence: Tensor, kept: Kept) -> float:
    """Estimated share of what the model does that goes: 1 - product of the energy shares that the kept widths and layers hold."""
    whole = range(kept.source.layers)
    stays = _energy(importance.hidden, kept.hidden)
    stays *= sum(_energy(importance.ffn[i], kept.ffn[i]) for i in kept.layers) / len(kept.layers)
    stays *= sum(_energy(importance.groups[i], kept.groups[i]) for i in kept.layers) / len(kept.layers)
    for index in whole:
        stays *= 1.0 if index in kept.layers else 1 - min(1.0, float(influence[index]))
    return 1 - stays


def shortlist(plans: Sequence[tuple[float, Kept]], *, candidates: int) -> list[Kept]:
    """The `candidates` of least estimated loss, taking turns between the layer counts: the estimate ranks widths better than depths."""
    ordered = sorted(plans, key=lambda plan: (len(plan[1].layers), plan[0], plan[1].shape))
    turns = [
        (place, estimate, kept)
        for _, same in groupby(ordered, key=lambda plan: len(plan[1].layers))
        for place, (estimate, kept) in enumerate(same)
    ]
    return [kept for _, _, kept in sorted(turns, key=lambda turn: (turn[0], turn[1], turn[2].shape))[:candidates]]


def prune_combined(
    source: Path, prepared: Path, target: Path, *, axes: Sequence[str], budget: Budget, ratio: float, tolerance: float, round_to: int,
    candidates: int, importance: Criterion, metric: Metric, ridge: float | None, sample_tokens: int, batch_rows: int, max_tokens: int,
    seed: int,
) -> PruneResult:  # fmt: skip
    """Save `ratio` of the budget (all parameters, or the bytes read per generated token) by layers and widths together.

    Every uniform shape that meets the budget gets an estimate from the importance of what it loses; the `candidates` best are cut, fitted
    and scored by the answers' cross-entropy on the calibration sample (Minitron's search, Muralidharan et al. 2024, arXiv 2407.14679).
    """
    check_axes(axes)
    begun = start(source, prepared, batch_rows=batch_rows, max_tokens=max_tokens, sample_tokens=sample_tokens)
    sizes, model = begun.sizes, begun.model
    shapes = sizes.shapes(axes=axes, round_to=round_to, layers=range(1, sizes.source.layers + 1))
    good = meeting(sizes, shapes, ratio=ratio, tolerance=tolerance, budget=budget, what=f"layers and {' and '.join(axes)} widths")
    scores = importance(model, begun.batches, seed=seed)
    influence = distances(model, begun.batches, metric=metric, span=1)
    order = torch.sort(influence, descending=True, stable=True).indices.tolist()
    plans = [choose(scores, sizes.source, shape, sorted(order[: shape.layers])) for shape in _nearest(good)]
    best: tuple[float, Kept, PreTrainedModel, tuple[float, float]] | None = None
    for kept in shortlist([(lost(scores, influence, kept), kept) for kept in plans], candidates=candidates):
        smaller = cut(model, kept)
        losses = refit(model, smaller, kept, begun.sample, ridge=ridge)
        if best is None or losses[1] < best[0]:
            best = losses[1], kept, smaller, losses
    assert best is not None
    return finish(
        begun, best[2], best[1], source=source, prepared=prepared, target=target, method="prune_combined", ratio=ratio, tolerance=tolerance,
        budget=budget, losses=best[3], params={"importance": importance.__name__, "metric": metric, "ridge": ridge, "budget": budget},
    )  # fmt: skip


def _nearest(shapes: Sequence[Shape]) -> list[Shape]:
    """Of shapes that differ in the FFN alone, the first: they come nearest first."""
    first: dict[tuple[int, int, int], Shape] = {}
    for shape in shapes:
        first.setdefault((shape.layers, shape.hidden, shape.groups), shape)
    return list(first.values())
