"""Where the prunable parts of a decoder layer are, by architecture: the only place that knows module names."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from medllm.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Dotted names: `layers` of the model, `ffn_in`/`ffn_out` of a layer."""

    layers: str
    ffn_in: tuple[str, ...]
    ffn_out: str


_LLAMA = Architecture(layers="model.layers", ffn_in=("mlp.gate_proj", "mlp.up_proj"), ffn_out="mlp.down_proj")
ARCHITECTURES = {
    "gpt_neox": Architecture(layers="gpt_neox.layers", ffn_in=("mlp.dense_h_to_4h",), ffn_out="mlp.dense_4h_to_h"),
    "llama": _LLAMA,
    "qwen3": _LLAMA,
}


def architecture_of(model: PreTrainedModel) -> Architecture:
    """The description for this model; UserError when there is none."""
    name = model.config.model_type
    if name not in ARCHITECTURES:
        raise UserError(f"{name}: no pruning map for this architecture; add it to medllm/model/architecture.py")
    return ARCHITECTURES[name]


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder layers."""
    layers = model.get_submodule(architecture_of(model).layers)
    assert isinstance(layers, nn.ModuleList)
    return layers


def linear(layer: nn.Module, name: str) -> nn.Linear:
    """A linear layer by dotted name."""
    module = layer.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module


def check_linear_names(model: nn.Module, wanted: Sequence[str], *, key: str) -> None:
    """UserError naming the first of `wanted` that is no linear layer of the model; PEFT passes over some of them in silence."""
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    missing = sorted(set(wanted) - names)
    if missing:
        raise UserError(f"{key}: {missing[0]!r} is no linear layer of this model; it has {', '.join(sorted(names))}")
