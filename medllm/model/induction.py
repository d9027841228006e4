"""A start for the tiny base that can already copy from its context.

Pretrained models copy what they were shown: heads of an early layer write down the token before, heads of the next layer look for the place
where the same words stood and take the token after them (induction heads; Olsson et al. 2022, arXiv 2209.11895). A large model finds this
circuit after billions of tokens; the tiny base, with its few hundred thousand, never does and then answers from memory only. So the circuit
is written into the initial weights (mimetic initialization; Trockman & Kolter 2023, arXiv 2305.09828) and the rest is learned as usual.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medllm.errors import UserError

# Attention logits: large enough to make a planted head look at one place among a few hundred, measured on random text.
_POSITION_GAIN = 6.5
_MATCH_GAIN = 2.0
_WRITE_GAIN = 1.0
_COPY_GAIN = 6.0
_OTHER_OUTPUTS = 0.1  # of the unplanted output projections: their noise would drown the written words
_FINAL_NORM = 0.05  # unit embeddings that are also the output embedding need small logits at the start


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    """Sizes of a GPT-NeoX attention layer."""

    hidden: int
    count: int
    rotary: int

    @property
    def size(self) -> int:
        return self.hidden // self.count

    @property
    def plain(self) -> int:
        """Dimensions of a head that carry no position."""
        return self.size - self.rotary

    def rows(self, head: int) -> tuple[slice, slice, slice]:
        """Rows of query, key and value of a head in the fused query_key_value."""
        start = 3 * self.size * head
        return tuple(slice(start + part * self.size, start + (part + 1) * self.size) for part in range(3))  # type: ignore[return-value]


def plant_induction(model: Any, *, seed: int) -> None:
    """Write the circuit into the first two layers of an untrained GPT-NeoX with tied embeddings, and keep training from undoing it.

    Layer 1: head i looks i tokens back and writes that token's embedding into a subspace of its own. Layer 2: head i compares the last i
    tokens with those before every earlier place, by content alone, and hands on the token found there. The last head of both layers is left
    as it is. UserError: fewer than two layers or heads, or a width that does not hold the subspaces.
    """
    heads = _Heads(
        hidden=model.config.hidden_size, count=model.config.num_attention_heads,
        rotary=int(model.config.hidden_size // model.config.num_attention_heads * model.config.rope_parameters["partial_rotary_factor"]),
    )  # fmt: skip
    planted = heads.count - 1
    if len(model.gpt_neox.layers) < 2 or not planted or heads.plain < 1 or heads.plain * heads.count > heads.hidden:
        raise UserError(
            "model.plant_induction needs two layers, two heads and partial rotary embeddings; set it to false in conf/model/tiny.yaml"
        )
    generator = torch.Generator().manual_seed(seed)
    basis: Tensor = torch.linalg.qr(torch.randn(heads.hidden, heads.hidden, generator=generator))[0]
    values: Tensor = torch.linalg.qr(torch.randn(heads.hidden, heads.hidden, generator=generator))[0]
    words = basis[: heads.plain]
    backs = [basis[heads.plain * (i + 1) : heads.plain * (i + 2)] for i in range(planted)]
    with torch.no_grad():
        _quiet(model, torch.cat(backs))
        _look_back(model.gpt_neox.layers[0].attention, heads, words, backs, theta=model.config.rope_parameters["rope_theta"])
        _match(model.gpt_neox.layers[1].attention, heads, words, backs, values)
    for layer in model.gpt_neox.layers[:2]:
        _freeze(layer.attention, heads, planted)


def _quiet(model: Any, written: Tensor) -> None:
    """Unit embeddings outside of the written subspaces, and nothing else loud in the residual stream."""
    embeddings = model.gpt_neox.embed_in.weight
    embeddings.normal_()
    embeddings -= embeddings @ written.T @ written
    model.gpt_neox.final_layer_norm.weight.fill_(_FINAL_NORM)
    for layer in model.gpt_neox.layers:
        layer.mlp.dense_4h_to_h.weight.mul_(_OTHER_OUTPUTS)
        layer.attention.dense.weight.mul_(_OTHER_OUTPUTS)


def _look_back(attention: Any, heads: _Heads, words: Tensor, backs: list[Tensor], *, theta: float) -> None:
    """Heads whose attention depends on the distance alone: query and key are constant (biases) and only turned by RoPE."""
    weight, bias, out = attention.query_key_value.weight, attention.query_key_value.bias, attention.dense.weight
    half = heads.rotary // 2
    angles = theta ** (-torch.arange(0, heads.rotary, 2) / heads.rotary)
    for head, back in enumerate(backs):
        query, key, value = heads.rows(head)
        bias[query][:half] = _POSITION_GAIN * torch.cos((head + 1) * angles)
        bias[query][half : heads.rotary] = -_POSITION_GAIN * torch.sin((head + 1) * angles)
        bias[key][:half] = _POSITION_GAIN
        weight[query] *= _OTHER_OUTPUTS
        weight[key] *= _OTHER_OUTPUTS
        weight[value] = 0
        weight[value][: heads.plain] = words
        column = head * heads.size
        out[:, column : column + heads.size] = 0
        out[:, column : column + heads.plain] = _WRITE_GAIN * back.T


def _match(attention: Any, heads: _Heads, words: Tensor, backs: list[Tensor], values: Tensor) -> None:
    """Heads that find where the last 1, 2, ... tokens stood before; the dimensions without position are shared among those tokens."""
    weight, out = attention.query_key_value.weight, attention.dense.weight
    for head in range(len(backs)):
        query, key, value = heads.rows(head)
        share = heads.plain // (head + 1)
        here = torch.cat([source[:share] for source in (words, *backs[:head])])
        there = torch.cat([source[:share] for source in backs[: head + 1]])
        for rows, side in ((query, here), (key, there)):
            weight[rows] = 0
            weight[rows][heads.rotary : heads.rotary + len(side)] = _MATCH_GAIN * side
        column = slice(head * heads.size, (head + 1) * heads.size)
        weight[value] = values[column]  # each head hands on other dimensions of the token
        out[:, column] = _COPY_GAIN * values[column].T


def _freeze(attention: Any, heads: _Heads, planted: int) -> None:
    """No gradient reaches the planted heads while the base is trained; later steps train all weights."""
    rows, columns = 3 * heads.size * planted, heads.size * planted
    for parameter in (attention.query_key_value.weight, attention.query_key_value.bias):
        parameter.register_hook(lambda gradient: _without(gradient, slice(rows)))
    attention.dense.weight.register_hook(lambda gradient: _without(gradient, (slice(None), slice(columns))))


def _without(gradient: Tensor, part: Any) -> Tensor:
    kept = gradient.clone()
    kept[part] = 0
    return kept
