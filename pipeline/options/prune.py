"""Pruning."""

from dataclasses import field
from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Function, Natural, Positive, Share

Ratio = Annotated[float, Field(gt=0, lt=0.9)]


@dataclass
class PruneWidth:
    """conf/prune/{ffn,heads,width}.yaml."""

    _target_: str = "medllm.prune.width.prune_width"
    axes: list[str] = MISSING
    ratio: Ratio = MISSING
    tolerance: Share = MISSING
    round_to: Count = MISSING
    importance: Function = field(default_factory=Function)
    ridge: Positive | None = MISSING
    sample_tokens: Count = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING
    seed: Natural = MISSING


@dataclass
class PruneDepth:
    """conf/prune/depth.yaml."""

    _target_: str = "medllm.prune.depth.prune_depth"
    ratio: Ratio = MISSING
    tolerance: Share = MISSING
    metric: Annotated[str, Field(pattern="^(block_influence|angular_distance)$")] = MISSING
    iterative: bool = MISSING
    ridge: Positive | None = MISSING
    sample_tokens: Count = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class PruneCombined:
    """conf/prune/combined.yaml."""

    _target_: str = "medllm.prune.combined.prune_combined"
    axes: list[str] = MISSING
    budget: Annotated[str, Field(pattern="^(parameters|decode_bytes)$")] = MISSING
    ratio: Ratio = MISSING
    tolerance: Share = MISSING
    round_to: Count = MISSING
    candidates: Count = MISSING
    importance: Function = field(default_factory=Function)
    metric: Annotated[str, Field(pattern="^(block_influence|angular_distance)$")] = MISSING
    ridge: Positive | None = MISSING
    sample_tokens: Count = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING
    seed: Natural = MISSING
