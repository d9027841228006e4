"""Everything that measures, compares and packages."""

from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Natural, Share, Text


@dataclass
class EvaluateProtocol:
    """conf/evaluate/protocol.yaml."""

    _target_: str = "medllm.evaluate.protocol.evaluate_model"
    max_answer_items: Count = MISSING
    max_paraphrase_items: Count = MISSING
    max_grounded_items: Count = MISSING
    max_scenario_items: Count = MISSING
    max_choice_items: Count = MISSING
    max_text_items: Count = MISSING
    max_new_tokens: Count = MISSING
    max_advice_tokens: Count = MISSING
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


@dataclass
class ComparePaired:
    """conf/compare/paired.yaml."""

    _target_: str = "medllm.compare.compare"
    baseline_a: Text = MISSING
    baseline_b: Text = MISSING
    margin: Share = MISSING
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
