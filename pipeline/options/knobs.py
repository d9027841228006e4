"""What the options share: number types with their ranges, and the nested dataclasses."""

from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]


@dataclass
class Schedule:
    """medllm.training.Schedule."""

    _target_: str = "medllm.training.Schedule"
    num_epochs: Positive = MISSING
    batch_tokens: Count = MISSING
    learning_rate: Positive = MISSING
    warmup_ratio: Share = MISSING
    weight_decay: Annotated[float, Field(ge=0)] = MISSING
    precision: Annotated[str, Field(pattern="^(fp32|bf16)$")] = MISSING
    optimizer: Annotated[str, Field(pattern="^(adamw|adamw_8bit)$")] = MISSING
    gradient_checkpointing: bool = MISSING
    packing: bool = MISSING
    checkpoint_steps: Natural = MISSING


@dataclass
class Template:
    """medllm.data.prompts.Template."""

    _target_: str = "medllm.data.prompts.Template"
    name: Text = MISSING
    question: str = MISSING
    facts: str = MISSING
    eos_token: Text = MISSING


@dataclass
class Function:
    """A function named by its dotted path, handed over as it is."""

    _target_: str = "hydra.utils.get_method"
    path: Text = MISSING


@dataclass
class Load:
    """medllm.benchmark.load.Load."""

    _target_: str = "medllm.benchmark.load.Load"
    models: list[str] = MISSING
    users: list[Count] = MISSING
    answers_per_user: Count = MISSING
    prompt_lengths: list[Count] = MISSING
    answer_lengths: list[Annotated[int, Field(ge=2)]] = MISSING
    rounds: Count = MISSING
    answer_budget_ms: Positive = MISSING
    price_per_hour_krw: Positive = MISSING
