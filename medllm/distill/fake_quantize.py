"""Train a model as its GGUF will see it: weights go through the quantise-dequantise round trip, gradients go straight through.

The straight-through estimator of Bengio et al. 2013 (arXiv 1308.3432), as in LLM-QAT (Liu et al. 2023, arXiv 2305.17888).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

FakeScheme = Literal["none", "q4_0", "q8_0"]
_BLOCK = 32


def _inverse(scale: Tensor) -> Tensor:
    # a scale that float16 rounds to 0 makes the whole block 0; its inverse would be infinite
    return torch.where(scale.half() == 0, 0.0, 1 / scale)


def _q4_0(blocks: Tensor) -> Tensor:
    largest = blocks.gather(-1, blocks.abs().argmax(dim=-1, keepdim=True))
    scale = largest / -8
    return scale.half().float() * (torch.trunc(blocks * _inverse(scale) + 8.5).clamp(0, 15) - 8)


def _q8_0(blocks: Tensor) -> Tensor:
    scale = blocks.abs().amax(dim=-1, keepdim=True) / 127
    steps = blocks * _inverse(scale)
    whole = steps.abs().floor()
    return scale.half().float() * (steps.sign() * (whole + (2 * (steps.abs() - whole)).floor()))


_ROUND_TRIPS: dict[str, Callable[[Tensor], Tensor]] = {"q4_0": _q4_0, "q8_0": _q8_0}


def round_trip(weight: Tensor, scheme: FakeScheme) -> Tensor:
    """float32 weights [..., width] as llama.cpp reads them back, bit for bit; a width that is no multiple of 32 stays in float16."""
    if scheme == "none":
        return weight
    if weight.shape[-1] % _BLOCK:
        return weight.half().float()
    return _ROUND_TRIPS[scheme](weight.reshape(-1, _BLOCK)).reshape(weight.shape)


class _StraightThrough(torch.autograd.Function):
    """The round trip forwards, the identity backwards."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scheme: FakeScheme) -> Tensor:
        # models are saved in bfloat16 before they are quantised
        return round_trip(weight.bfloat16().float(), scheme)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


def _linear(module: nn.Linear, scheme: FakeScheme, inputs: Tensor) -> Tensor:
    return functional.linear(inputs, _StraightThrough.apply(module.weight, scheme), module.bias)  # type: ignore[no-untyped-call]


def _embedding(module: nn.Embedding, scheme: FakeScheme, ids: Tensor) -> Tensor:
    return functional.embedding(ids, _StraightThrough.apply(module.weight, scheme), module.padding_idx)  # type: ignore[no-untyped-call]


@contextmanager
def fake_quantized(model: nn.Module, scheme: FakeScheme) -> Iterator[None]:
    """While it lasts every linear layer and embedding of `model` uses its weight as `scheme` would store it ("none" changes nothing).

    The parameters stay the plain ones, so that checkpoints and the saved model know nothing of it.
    """
    touched: list[nn.Module] = []
    for module in model.modules() if scheme != "none" else ():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            call = partial(_linear, module, scheme) if isinstance(module, nn.Linear) else partial(_embedding, module, scheme)
            setattr(module, "forward", call)  # noqa: B010
            touched.append(module)
    try:
        yield
    finally:
        for module in touched:
            delattr(module, "forward")
