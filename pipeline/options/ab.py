"""The offline A/B test."""

from omegaconf import MISSING
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Share


@dataclass
class AbPaired:
    """conf/ab/paired.yaml."""

    _target_: str = "medllm.ab.ab_test"
    tasks: list[str] = MISSING
    margin: Share = MISSING
    num_resamples: Count = MISSING
    num_experiments: Count = MISSING
