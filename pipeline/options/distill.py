"""Distillation."""

from dataclasses import field
from typing import Annotated, Any

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Function, Natural, Positive, Schedule, Share


@dataclass
class DistillLogits:
    """conf/distill/*.yaml and conf/rescue/*.yaml. `student` is the name of a model of the chain, or an option of conf/model."""

    _target_: str = "medllm.distill.logits.distill_logits"
    student: Any = MISSING
    alpha: Share = MISSING
    temperature: Positive = MISSING
    top_k: Count = MISSING
    hidden_weight: Annotated[float, Field(ge=0)] = MISSING
    self_data: bool = MISSING
    fake_quantize: Annotated[str, Field(pattern="^(none|q4_0|q8_0)$")] = MISSING
    trainable: Annotated[str, Field(pattern="^(full|lora)$")] = MISSING
    lora_rank: Count = MISSING
    lora_targets: list[str] = MISSING
    roles: list[str] = MISSING
    grounded_share: Share = MISSING
    reading_share: Share = MISSING
    consultation_share: Share = MISSING
    num_distractors: Natural = MISSING
    max_tokens: Count = MISSING
    batch_rows: Count = MISSING
    schedule: Schedule = field(default_factory=Schedule)
    loss: Function = field(default_factory=Function)
