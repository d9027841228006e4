"""Where the parts of a decoder are, by architecture: the only place that knows module names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedModel

from medllm.errors import UserError

Axis = Literal["hidden", "ffn", "groups"]
Axes = tuple[Axis | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Dotted names: `layers` and the modules of `outside` belong to the model, all others to a layer.

    `inside` and `outside` say of every module what the rows and columns of its weight are: hidden channels, FFN channels, or one block of
    rows a group, where a group is a key-value head with the query heads that read it; None is never cut. Norms and biases have the first
    axis alone. `readers` are the linear layers that read the output of a norm. Without `own_head_size` the head size is hidden size /
    heads: heads and hidden channels can only go together.
    """

    layers: str
    ffn_out: str
    attention_out: str
    inside: Mapping[str, Axes]
    outside: Mapping[str, Axes]
    readers: Mapping[str, tuple[str, ...]]
    embedding: str
    final_norm: str
    head: str
    own_head_size: bool


_LLAMA = Architecture(
    layers="model.layers",
    ffn_out="mlp.down_proj",
    attention_out="self_attn.o_proj",
    inside={
        "input_layernorm": ("hidden",),
        "self_attn.q_proj": ("groups", "hidden"),
        "self_attn.k_proj": ("groups", "hidden"),
        "self_attn.v_proj": ("groups", "hidden"),
        "self_attn.q_norm": (None,),
        "self_attn.k_norm": (None,),
        "self_attn.o_proj": ("hidden", "groups"),
        "post_attention_layernorm": ("hidden",),
        "mlp.gate_proj": ("ffn", "hidden"),
        "mlp.up_proj": ("ffn", "hidden"),
        "mlp.down_proj": ("hidden", "ffn"),
    },
    outside={"model.embed_tokens": (None, "hidden"), "model.norm": ("hidden",), "lm_head": (None, "hidden")},
    readers={
        "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    },
    embedding="model.embed_tokens",
    final_norm="model.norm",
    head="lm_head",
    own_head_size=True,
)
_GPT_NEOX = Architecture(
    layers="gpt_neox.layers",
    ffn_out="mlp.dense_4h_to_h",
    attention_out="attention.dense",
    inside={
        "input_layernorm": ("hidden",),
        "attention.query_key_value": ("groups", "hidden"),  # fused, head by head: query, key, value
        "attention.dense": ("hidden", "groups"),
        "post_attention_layernorm": ("hidden",),
        "mlp.dense_h_to_4h": ("ffn", "hidden"),
        "mlp.dense_4h_to_h": ("hidden", "ffn"),
    },
    outside={"gpt_neox.embed_in": (None, "hidden"), "gpt_neox.final_layer_norm": ("hidden",), "lm_head": (None, "hidden")},
    readers={"input_layernorm": ("attention.query_key_value",), "post_attention_layernorm": ("mlp.dense_h_to_4h",)},
    embedding="gpt_neox.embed_in",
    final_norm="gpt_neox.final_layer_norm",
    head="lm_head",
    own_head_size=False,
)
ARCHITECTURES = {"gpt_neox": _GPT_NEOX, "llama": _LLAMA, "qwen3": _LLAMA}


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


def axes_of(model: PreTrainedModel) -> Iterator[tuple[str, int | None, Axes]]:
    """(parameter name, layer index or None, axes) of every entry of the state dict; RuntimeError on one that the map does not know."""
    architecture = architecture_of(model)
    for name in model.state_dict():
        module, _, kind = name.rpartition(".")
        index: int | None = None
        table = architecture.outside
        if module.startswith(f"{architecture.layers}."):
            number, _, module = module.removeprefix(f"{architecture.layers}.").partition(".")
            index, table = int(number), architecture.inside
        if module not in table:
            raise RuntimeError(f"{name}: unknown to the pruning map of {model.config.model_type} in medllm/model/architecture.py")
        yield name, index, table[module] if kind == "weight" else table[module][:1]


def is_tied(model: PreTrainedModel) -> bool:
    """Whether one matrix is both the embedding and the output."""
    named: Any = model
    return named.get_input_embeddings().weight is named.get_output_embeddings().weight


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """The widths that pruning changes; `groups` are key-value heads (all heads on GPT-NeoX)."""

    layers: int
    hidden: int
    groups: int
    ffn: int


def shape_of(model: PreTrainedModel) -> Shape:
    """The shape of a model."""
    config = model.config
    groups = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return Shape(layers=config.num_hidden_layers, hidden=config.hidden_size, groups=groups, ffn=config.intermediate_size)


def heads_of_groups(model: PreTrainedModel, groups: Sequence[int]) -> list[int]:
    """Indices of the query heads that belong to these groups."""
    share = int(model.config.num_attention_heads) // shape_of(model).groups
    return [group * share + head for group in groups for head in range(share)]


def reshape_config(model: PreTrainedModel, shape: Shape, *, layers: Sequence[int]) -> Any:
    """A copy of the config in another shape: the `layers` that stay, uniform widths, the head size as it was."""
    old: Any = model.config
    config = type(old).from_dict(old.to_dict())
    share = int(old.num_attention_heads) // shape_of(model).groups
    config.num_hidden_layers, config.hidden_size, config.intermediate_size = shape.layers, shape.hidden, shape.ffn
    config.num_attention_heads = shape.groups * share
    if architecture_of(model).own_head_size:
        config.num_key_value_heads = shape.groups
        config.head_dim = getattr(old, "head_dim", None) or old.hidden_size // old.num_attention_heads
    if getattr(old, "layer_types", None):  # qwen3 says of every layer how it attends
        config.layer_types = [old.layer_types[index] for index in layers]
    return config


def check_linear_names(model: nn.Module, wanted: Sequence[str], *, key: str) -> None:
    """UserError naming the first of `wanted` that is no linear layer of the model; PEFT passes over some of them in silence."""
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    missing = sorted(set(wanted) - names)
    if missing:
        raise UserError(f"{key}: {missing[0]!r} is no linear layer of this model; it has {', '.join(sorted(names))}")


def lora_targets(model: PreTrainedModel, wanted: Sequence[str], *, key: str) -> list[str]:
    """Names of the linear layers that get an adapter: `wanted` when it names any, else every linear layer of a decoder block."""
    if wanted:
        check_linear_names(model, wanted, key=key)
        return list(wanted)
    names = {name.rsplit(".", 1)[-1] for name, module in layers_of(model).named_modules() if isinstance(module, nn.Linear)}
    return sorted(names)
