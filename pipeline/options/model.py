"""Where the base comes from."""

from dataclasses import field
from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Schedule, Share, Template, Text


@dataclass
class ModelTiny:
    """conf/model/tiny.yaml."""

    _target_: str = "medllm.model.tiny.train_tiny"
    hidden_size: Count = MISSING
    num_layers: Count = MISSING
    num_heads: Count = MISSING
    ffn_size: Count = MISSING
    vocab_size: Count = MISSING
    context_length: Count = MISSING
    block_tokens: Count = MISSING
    statement_repeats: Count = MISSING
    plant_induction: bool = MISSING
    prompt: Template = field(default_factory=Template)
    schedule: Schedule = field(default_factory=Schedule)


@dataclass
class Shape:
    """medllm.model.random_weights.Shape."""

    _target_: str = "medllm.model.random_weights.Shape"
    architecture: Annotated[str, Field(pattern="^(gpt_neox|llama|qwen3)$")] = MISSING
    hidden_size: Count = MISSING
    num_layers: Count = MISSING
    num_heads: Count = MISSING
    num_kv_heads: Count = MISSING
    head_size: Count = MISSING
    ffn_size: Count = MISSING
    vocab_size: Count = MISSING
    context_length: Count = MISSING
    rotary_share: Share = MISSING
    tied: bool = MISSING


@dataclass
class ModelPretrained:
    """conf/model/{local,polyglot_ko_1_3b,...}.yaml."""

    _target_: str = "medllm.model.pretrained.fetch_pretrained"
    source: Text = MISSING
    revision: str | None = MISSING
    licence: str = MISSING
    weights: Annotated[str, Field(pattern="^(pretrained|random)$")] = MISSING
    context_length: Count = MISSING
    shape: Shape | None = MISSING
    prompt: Template = field(default_factory=Template)
