"""Cutting: the same model without some layers, hidden channels, groups of heads and FFN channels."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from medllm.model.architecture import Axes, Axis, Shape, axes_of, heads_of_groups, reshape_config
from medllm.model.folder import PRUNE_MAP_FILE
from medllm.prune.importance import Importance


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Indices that stay, in their old order: layers and hidden channels; groups and FFN channels by layer of the `source` shape."""

    source: Shape
    layers: Sequence[int]
    hidden: Sequence[int]
    groups: Mapping[int, Sequence[int]]
    ffn: Mapping[int, Sequence[int]]

    @property
    def shape(self) -> Shape:
        """The shape that is left."""
        first = self.layers[0]
        return Shape(layers=len(self.layers), hidden=len(self.hidden), groups=len(self.groups[first]), ffn=len(self.ffn[first]))

    def index(self, axis: Axis, layer: int | None, size: int) -> Tensor:
        """Which of the `size` entries along this axis stay; a group is a block of neighbours."""
        if layer is None or axis == "hidden":
            return torch.tensor(self.hidden)
        if axis == "ffn":
            return torch.tensor(self.ffn[layer])
        block = size // self.source.groups
        return (torch.tensor(self.groups[layer])[:, None] * block + torch.arange(block)).flatten()

    def moved(self, name: str, layer: int) -> str:
        """The name of a module or weight of this layer in the smaller model."""
        return name.replace(f".{layer}.", f".{self.layers.index(layer)}.", 1)


def whole(shape: Shape, layers: Sequence[int]) -> Kept:
    """These layers at full width."""
    groups, ffn = list(range(shape.groups)), list(range(shape.ffn))
    return Kept(
        source=shape, layers=list(layers), hidden=list(range(shape.hidden)), groups=dict.fromkeys(layers, groups),
        ffn=dict.fromkeys(layers, ffn),
    )  # fmt: skip


def top(scores: Tensor, keep: int) -> list[int]:
    """Indices of the `keep` highest scores, in their old order; of equals the first stay."""
    return sorted(torch.sort(scores, descending=True, stable=True).indices[:keep].tolist())


def choose(importance: Importance, source: Shape, shape: Shape, layers: Sequence[int]) -> Kept:
    """What stays in this shape: the most important of every layer, and of the hidden channels that all layers share."""
    return Kept(
        source=source, layers=list(layers), hidden=top(importance.hidden, shape.hidden),
        groups={index: top(importance.groups[index], shape.groups) for index in layers},
        ffn={index: top(importance.ffn[index], shape.ffn) for index in layers},
    )  # fmt: skip


def _cut(value: Tensor, axes: Axes, kept: Kept, layer: int | None) -> Tensor:
    for dim, axis in enumerate(axes):
        if axis is not None:
            value = value.index_select(dim, kept.index(axis, layer, value.shape[dim]))
    return value.clone()


def cut(model: PreTrainedModel, kept: Kept) -> PreTrainedModel:
    """A new float32 model of the same stock class in the shape that is left; the old one stays as it is."""
    weights = model.state_dict()
    smaller: dict[str, Tensor] = {}
    for name, layer, axes in axes_of(model):
        if layer is None:
            smaller[name] = _cut(weights[name], axes, kept, None)
        elif layer in kept.layers:
            smaller[kept.moved(name, layer)] = _cut(weights[name], axes, kept, layer)
    stock: Any = type(model)
    config = reshape_config(model, kept.shape, layers=kept.layers)
    made: Any = stock.from_pretrained(None, config=config, state_dict=smaller, dtype=torch.float32)
    made.generation_config = copy.deepcopy(model.generation_config)
    result: PreTrainedModel = made.eval()
    return result


def save_map(target: Path, model: PreTrainedModel, kept: Kept) -> None:
    """Kept indices for hidden-state transfer: "layers", "hidden", and "layer.<i>.ffn" and "layer.<i>.heads" (query heads), where <i> is a
    kept layer by its number in the source."""  # fmt: skip
    rows: dict[str, list[int]] = {"layers": list(kept.layers), "hidden": list(kept.hidden)}
    for index in kept.layers:
        rows[f"layer.{index}.ffn"] = list(kept.ffn[index])
        rows[f"layer.{index}.heads"] = heads_of_groups(model, kept.groups[index])
    (target / PRUNE_MAP_FILE).write_text(json.dumps(rows, sort_keys=True) + "\n", encoding="utf-8")
