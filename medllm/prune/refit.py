"""Reconstruction: linear layers whose inputs are not what they were are fitted, in closed form, to what they gave before."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from transformers import PreTrainedModel

from medllm.batches import IGNORED
from medllm.calibration import Batch, fits, forward, hooked, on_device
from medllm.model.architecture import axes_of, is_tied
from medllm.prune.cut import Kept

Losses = tuple[float, float]


def answer_loss(logits: Tensor, labels: Tensor) -> float:
    """Cross-entropy in nats a scored token, row by row: the log-probabilities of a whole batch would double the memory."""
    rows = zip(logits[:, :-1], labels[:, 1:], strict=True)
    total = sum(float(cross_entropy(row.float(), label, ignore_index=IGNORED, reduction="sum")) for row, label in rows)
    return total / int((labels[:, 1:] != IGNORED).sum())


def refit(model: PreTrainedModel, smaller: PreTrainedModel, kept: Kept, sample: Batch, *, ridge: float | None) -> Losses:
    """Fit every linear layer of `smaller` that has fewer inputs, or all of them when whole layers went, in place, from the first layer to
    the last, on the activations that the fitted layers below it give. Returns the loss on the answers of `sample` before and after pruning.

    min ||X W' + b' - Y||^2 + s ||W' - W||^2, where X are its inputs, Y is what the whole model's layer gives on the same tokens and s is
    `ridge` times the mean square of an input (the least squares of SlimGPT, Ling et al. 2024, arXiv 2412.18110, and OSSCAR, Meng et al.
    2024, arXiv 2403.12983, layer after layer). With no ridge the biases alone move: what was removed goes on average into the output bias
    (FLAP, An et al. 2023, arXiv 2312.11983).
    """
    rows = len(sample["input_ids"])
    losses: list[Losses] = []
    fitted = [parameter for _, layer, _ in _other_inputs(model, smaller, kept) for parameter in layer.parameters()]
    unfitted = [parameter.detach().clone() for parameter in fitted]

    def work() -> None:
        with torch.no_grad():  # an earlier try that ran out of memory may have fitted some layers
            for parameter, value in zip(fitted, unfitted, strict=True):
                parameter.copy_(value)
        losses.append(_refit(model, smaller, kept, {key: value[:rows] for key, value in sample.items()}, ridge))

    while not fits(work, rows=rows):
        rows //= 2
    return losses[0]


@torch.inference_mode()
def _refit(model: PreTrainedModel, smaller: PreTrainedModel, kept: Kept, sample: Batch, ridge: float | None) -> Losses:
    layers = list(_other_inputs(model, smaller, kept))
    with on_device(model, smaller) as device:
        batch = {key: value.to(device) for key, value in sample.items()}
        mask = batch["attention_mask"].bool()
        wanted: dict[int, Tensor] = {}

        def record(index: int, inputs: Tensor, output: Tensor) -> None:
            rows = layers[index][2]
            wanted[index] = output[mask] if rows is None else output[mask][:, rows.to(device)]

        with hooked([old for old, _, _ in layers], record):
            before = answer_loss(forward(model, batch), batch["labels"])

        def fit(index: int) -> Callable[..., None]:
            return lambda module, args: _fit(module, args[0][mask], wanted.pop(index), ridge)

        handles = [new.register_forward_pre_hook(fit(index)) for index, (_, new, _) in enumerate(layers)]
        try:
            after = answer_loss(forward(smaller, batch), batch["labels"])
        finally:
            for handle in handles:
                handle.remove()
    return before, after


def _other_inputs(model: PreTrainedModel, smaller: PreTrainedModel, kept: Kept) -> Iterator[tuple[nn.Linear, nn.Linear, Tensor | None]]:
    """(layer as it was, smaller layer, outputs that stay or None for all); an output matrix that is the embedding too stays as it is."""
    tied, shallower = is_tied(model), len(kept.layers) < kept.source.layers
    for name, layer, axes in axes_of(model):
        if len(axes) < 2 or (layer is None and tied) or (layer is not None and layer not in kept.layers):
            continue
        module = name.removesuffix(".weight")
        old, new = model.get_submodule(module), smaller.get_submodule(module if layer is None else kept.moved(module, layer))
        if isinstance(old, nn.Linear) and isinstance(new, nn.Linear) and (shallower or new.in_features < old.in_features):
            yield old, new, None if axes[0] is None else kept.index(axes[0], layer, old.out_features)


def _fit(layer: nn.Linear, inputs_NK: Tensor, wanted_NR: Tensor, ridge: float | None) -> None:
    missing_NR = wanted_NR - linear(inputs_NK, layer.weight, layer.bias)
    if layer.bias is None:
        if ridge is not None:
            layer.weight.add_(_solve(inputs_NK, missing_NR, ridge).T)
        return
    mean_K, mean_R = inputs_NK.mean(0), missing_NR.mean(0)
    layer.bias.add_(mean_R)
    if ridge is not None:
        change_KR = _solve(inputs_NK - mean_K, missing_NR - mean_R, ridge)
        layer.weight.add_(change_KR.T)
        layer.bias.sub_(mean_K @ change_KR)


def _solve(inputs_NK: Tensor, missing_NR: Tensor, ridge: float) -> Tensor:
    """Weights [K, R] that give what is missing, by whichever Gram matrix is smaller."""
    tokens, width = inputs_NK.shape
    gram = inputs_NK @ inputs_NK.T if tokens < width else inputs_NK.T @ inputs_NK
    gram.diagonal().add_(ridge * inputs_NK.square().sum() / width)
    factor = torch.linalg.cholesky(gram)
    if tokens < width:
        return inputs_NK.T @ torch.cholesky_solve(missing_NR, factor)
    return torch.cholesky_solve(inputs_NK.T @ missing_NR, factor)
