"""Depth pruning: whole layers go, those whose output points where their input did."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from medllm.calibration import Batch, forward, hooked, on_device, over_batches
from medllm.model.architecture import layers_of, shape_of
from medllm.prune.cut import cut, whole
from medllm.prune.plan import PruneResult, finish, start
from medllm.prune.refit import refit
from medllm.prune.shapes import meeting

Metric = Literal["block_influence", "angular_distance"]


@torch.inference_mode()
def distances(model: PreTrainedModel, batches: Sequence[Batch], *, metric: Metric, span: int) -> Tensor:
    """[layers - span + 1]: mean distance over all tokens between the input of a layer and the output of the one `span - 1` after it.

    Block influence is 1 - cosine (ShortGPT, Men et al. 2024, arXiv 2403.03853), angular distance arccos(cosine) / pi (Gromov et al. 2024,
    arXiv 2403.17887).
    """
    layers = list(layers_of(model))
    states: list[Tensor] = []
    mask = torch.zeros(0)
    tokens = 0

    def keep(index: int, inputs: Tensor, output: Tensor) -> None:
        if index == 0:
            states.append(inputs[mask].float())
        states.append(output[mask].float())

    with on_device(model) as device, hooked(layers, keep):
        total = torch.zeros(len(layers) - span + 1, device=device)

        def step(part: Batch, number: int) -> None:
            nonlocal mask, tokens
            states.clear()  # what an earlier try left
            mask = part["attention_mask"].bool()
            forward(model, part)
            cosines = [torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1) for a, b in zip(states, states[span:], strict=False)]
            far = [1 - cosine if metric == "block_influence" else cosine.arccos() / torch.pi for cosine in cosines]
            total.add_(torch.stack([distance.sum() for distance in far]))
            tokens += int(mask.sum())

        over_batches(batches, device, step)
    return (total / tokens).cpu()


def layers_to_keep(model: PreTrainedModel, batches: Sequence[Batch], *, keep: int, metric: Metric, iterative: bool) -> list[int]:
    """Indices of the layers that stay, in order: see prune_depth."""
    layers = list(range(len(layers_of(model))))
    if not iterative:
        span = len(layers) - keep if metric == "angular_distance" else 1
        far = distances(model, batches, metric=metric, span=span)
        if metric == "angular_distance":
            first = int(far.argmin())
            return [*layers[:first], *layers[first + span :]]
        return sorted(torch.sort(far, descending=True, stable=True).indices[:keep].tolist())
    source = shape_of(model)
    while len(layers) > keep:
        del layers[int(distances(cut(model, whole(source, layers)), batches, metric=metric, span=1).argmin())]
    return layers


def prune_depth(
    source: Path, prepared: Path, target: Path, *, ratio: float, tolerance: float, metric: Metric, iterative: bool, ridge: float | None,
    sample_tokens: int, batch_rows: int, max_tokens: int,
) -> PruneResult:  # fmt: skip
    """Remove whole layers until `ratio` of all parameters is gone.

    With block_influence those that change the residual stream least; with angular_distance the block of consecutive layers that does. If
    `iterative`, one layer at a time, measured again on what is left: a pass over the calibration set for each. What stays is fitted on
    about `sample_tokens` calibration tokens (see refit).
    """
    begun = start(source, prepared, batch_rows=batch_rows, max_tokens=max_tokens, sample_tokens=sample_tokens)
    sizes = begun.sizes
    shapes = sizes.shapes(axes=[], round_to=1, layers=range(1, sizes.source.layers))
    shape = meeting(sizes, shapes, ratio=ratio, tolerance=tolerance, budget="parameters", what="whole layers")[0]
    kept = whole(sizes.source, layers_to_keep(begun.model, begun.batches, keep=shape.layers, metric=metric, iterative=iterative))
    smaller = cut(begun.model, kept)
    losses = refit(begun.model, smaller, kept, begun.sample, ridge=ridge)
    return finish(
        begun, smaller, kept, source=source, prepared=prepared, target=target, method="prune_depth", ratio=ratio, tolerance=tolerance,
        budget="parameters", losses=losses, params={"metric": metric, "iterative": iterative, "ridge": ridge},
    )  # fmt: skip
