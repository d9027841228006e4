"""Everything that measures, compares and packages."""

from dataclasses import field
from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Load, Natural, Positive, Share, Text


@dataclass
class EvaluateProtocol:
    """conf/evaluate/protocol.yaml."""

    _target_: str = "medllm.evaluate.protocol.evaluate_model"
    max_items: dict[str, Count] = MISSING
    max_new_tokens: dict[str, Count] = MISSING
    max_turns: Count = MISSING
    max_unanswered_share: Share = MISSING


@dataclass
class BenchmarkDecode:
    """conf/benchmark/decode.yaml."""

    _target_: str = "medllm.benchmark.run_benchmark"
    prompt_tokens: Count = MISSING
    answer_tokens: Count = MISSING
    rounds: Count = MISSING
    warmup_rounds: Natural = MISSING
    fp32_baseline: bool = MISSING
    compile_baseline: bool = MISSING
    bandwidth_mib: Count = MISSING
    load: Load = field(default_factory=Load)


@dataclass
class ComparePaired:
    """conf/compare/paired.yaml."""

    _target_: str = "medllm.compare.compare"
    baseline_a: Text = MISSING
    baseline_b: Text = MISSING
    margins: dict[str, Share] = MISSING
    max_kl_nats: Positive = MISSING
    max_flip_rate: Share = MISSING
    num_resamples: Count = MISSING
    goals: dict[str, float] = MISSING


@dataclass
class ReportPage:
    """conf/report/page.yaml."""

    _target_: str = "medllm.report.write_report"
    examples: Natural = MISSING


@dataclass
class PackageFolder:
    """conf/package/folder.yaml."""

    _target_: str = "medllm.package.manifest.build_package"
    mode: Annotated[str, Field(pattern="^(demo|production)$")] = MISSING
    min_grounded_accuracy: Share = MISSING
