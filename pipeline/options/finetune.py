"""Fine-tuning."""

from dataclasses import field
from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Natural, Schedule, Share


@dataclass
class FinetuneLora:
    """conf/finetune/lora.yaml."""

    _target_: str = "medllm.finetune.lora.finetune_lora"
    rank: Count = MISSING
    alpha: Count = MISSING
    dropout: Share = MISSING
    use_dora: bool = MISSING
    use_rslora: bool = MISSING
    base_precision: Annotated[str, Field(pattern="^(fp32|nf4|int8)$")] = MISSING
    target_modules: list[str] = MISSING
    roles: list[str] = MISSING
    grounded_share: Share = MISSING
    reading_share: Share = MISSING
    consultation_share: Share = MISSING
    num_distractors: Natural = MISSING
    max_tokens: Count = MISSING
    schedule: Schedule = field(default_factory=Schedule)
