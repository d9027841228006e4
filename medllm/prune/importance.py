"""Importance criteria: which channels, heads and hidden channels a model needs least. A criterion is a function named in conf/prune."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from medllm.batches import IGNORED, compute_device
from medllm.calibration import Batch, calibrate, forward, on_device, over_batches
from medllm.model.architecture import Shape, architecture_of, axes_of, layers_of, linear, shape_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Scores, higher is needed more: ffn [layers, channels], groups [layers, groups] of heads, hidden [channels]."""

    ffn: Tensor
    groups: Tensor
    hidden: Tensor

    @classmethod
    def zeros(cls, shape: Shape, device: torch.device) -> "Importance":
        """All scores 0."""
        return cls(
            ffn=torch.zeros(shape.layers, shape.ffn, device=device), groups=torch.zeros(shape.layers, shape.groups, device=device),
            hidden=torch.zeros(shape.hidden, device=device),
        )  # fmt: skip


Criterion = Callable[..., Importance]


def activation(model: PreTrainedModel, batches: Sequence[Batch], *, seed: int) -> Importance:
    """What a structure adds to its reader, forward only: root mean square of activation times weight.

    FFN channel j: sqrt(E[a_j^2]) * ||W_out[:, j]|| (structured Wanda, Sun et al. 2023, arXiv 2306.11695). Group of heads: root mean square
    of its output through its columns of the output projection. Hidden channel: sqrt(E[x_c^2]) * ||W[:, c]|| over all linear layers that
    read a norm's output x (Minitron's norm activations, Muralidharan et al. 2024, arXiv 2407.14679, weighed by who reads them).
    """
    del seed
    architecture, layers, shape = architecture_of(model), layers_of(model), shape_of(model)
    device = compute_device()
    sums = Importance.zeros(shape, device)
    outs = [linear(layer, architecture.attention_out) for layer in layers]
    block = outs[0].in_features // shape.groups
    products = torch.zeros(shape.layers, shape.groups, block, block, device=device)
    readers = {
        layer.get_submodule(norm): [linear(layer, name) for name in names]
        for layer in layers
        for norm, names in architecture.readers.items()
    }
    readers[model.get_submodule(architecture.final_norm)] = [linear(model, architecture.head)]
    squares = torch.zeros(len(readers), shape.hidden, device=device)

    def see(index: int, inputs: Tensor, output: Tensor) -> None:
        kind, place = divmod(index, shape.layers)
        if kind == 0:
            sums.ffn[place] += inputs.float().square().sum(0)
        elif kind == 1:
            heads = inputs.float().view(len(inputs), shape.groups, block).transpose(0, 1)
            products[place] += heads.mT @ heads
        else:
            squares[index - 2 * shape.layers] += output.float().square().sum(0)

    watch = [*(linear(layer, architecture.ffn_out) for layer in layers), *outs, *readers]
    tokens = calibrate(model, batches, watch, see)
    for index, layer in enumerate(layers):
        weight = linear(layer, architecture.ffn_out).weight.detach().to(device)
        sums.ffn[index] = (sums.ffn[index] / tokens).sqrt() * weight.norm(dim=0)
        columns = outs[index].weight.detach().to(device).view(shape.hidden, shape.groups, block).transpose(0, 1)
        sums.groups[index] = ((columns @ products[index]) * columns).sum((1, 2)).clamp(min=0).div(tokens).sqrt()
    for index, linears in enumerate(readers.values()):
        sums.hidden.add_(squares[index] / tokens * sum(reader.weight.detach().to(device).square().sum(0) for reader in linears))
    return Importance(ffn=sums.ffn.cpu(), groups=sums.groups.cpu(), hidden=sums.hidden.sqrt().cpu())


def random(model: PreTrainedModel, batches: Sequence[Batch], *, seed: int) -> Importance:
    """Uniform scores: what a criterion has to beat."""
    del batches
    shape, generator = shape_of(model), torch.Generator().manual_seed(seed)
    return Importance(
        ffn=torch.rand(shape.layers, shape.ffn, generator=generator), groups=torch.rand(shape.layers, shape.groups, generator=generator),
        hidden=torch.rand(shape.hidden, generator=generator),
    )  # fmt: skip


def magnitude(model: PreTrainedModel, batches: Sequence[Batch], *, seed: int) -> Importance:
    """Euclidean norm of all weights that go with a structure."""
    del batches, seed
    total = _coupled(model, {name: value.detach().square() for name, value in model.state_dict().items()})
    return Importance(ffn=total.ffn.sqrt(), groups=total.groups.sqrt(), hidden=total.hidden.sqrt())


def taylor(model: PreTrainedModel, batches: Sequence[Batch], *, seed: int) -> Importance:
    """Sum of |weight * gradient| over all weights that go with a structure (LLM-Pruner, Ma et al. 2023, arXiv 2305.11627).

    The gradient is that of the answers' cross-entropy on the calibration set; needs backward passes and twice the memory of the weights.
    """
    del seed
    names, parameters = zip(*model.named_parameters(), strict=True)
    with on_device(model) as device:
        gradients = [torch.zeros_like(parameter) for parameter in parameters]

        def step(part: Batch, number: int) -> None:
            logits, labels = forward(model, part)[:, :-1], part["labels"][:, 1:]
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
            for total, new in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
                total.add_(new)

        over_batches(batches, device, step)
        values = {name: (p.detach() * gradient).abs().cpu() for name, p, gradient in zip(names, parameters, gradients, strict=True)}
    return _coupled(model, values)


def _coupled(model: PreTrainedModel, values: dict[str, Tensor]) -> Importance:
    """Sum of these per-weight values by the structure that each weight goes with."""
    shape = shape_of(model)
    sums = Importance.zeros(shape, torch.device("cpu"))
    for name, index, axes in axes_of(model):
        if name not in values:  # the second name of tied embeddings
            continue
        for dim, axis in enumerate(axes):
            if axis is None:
                continue
            line = values[name].float().sum([d for d in range(values[name].dim()) if d != dim]) if len(axes) > 1 else values[name].float()
            total = getattr(sums, axis) if axis == "hidden" else getattr(sums, axis)[index]
            total += line.view(len(total), -1).sum(1)
    return sums
