"""One dataclass a config option, found by its `_target_`: the knobs of that function, their types and ranges. No torch here.

Fields have no defaults: values live in conf/ alone. Ranges are checked by pydantic when a stage reads params.yaml.
"""

from dataclasses import field
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
class SampleFacts:
    """conf/sample/facts.yaml."""

    _target_: str = "medllm.data.sample.generate.make_sample"
    num_trained_facts: Count = MISSING
    num_heldout_facts: Count = MISSING
    num_maths: Count = MISSING
    num_reading: Natural = MISSING


@dataclass
class DataAihub:
    """conf/data/*.yaml: any folder of archives and tables under data/raw/<name>."""

    _target_: str = "medllm.data.prepare.prepare_data"
    name: Text = MISSING
    metric_prefix: str = MISSING
    max_bad_share: Share = MISSING
    num_calibration: Count = MISSING
    similarity: Share = MISSING
    document_similarity: Share = MISSING
    test_share: Share = MISSING


@dataclass
class GraphDictionary:
    """conf/graph/dictionary.yaml."""

    _target_: str = "medllm.graph.build.write_graph"


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
class ModelPretrained:
    """conf/model/{local,polyglot_ko_1_3b,...}.yaml."""

    _target_: str = "medllm.model.pretrained.fetch_pretrained"
    source: Text = MISSING
    revision: str | None = MISSING
    licence: str = MISSING
    prompt: Template = field(default_factory=Template)


@dataclass
class FinetuneLora:
    """conf/finetune/lora.yaml."""

    _target_: str = "medllm.finetune.lora.finetune_lora"
    rank: Count = MISSING
    alpha: Count = MISSING
    dropout: Share = MISSING
    target_modules: list[str] = MISSING
    roles: list[str] = MISSING
    grounded_share: Share = MISSING
    reading_share: Share = MISSING
    consultation_share: Share = MISSING
    num_distractors: Natural = MISSING
    max_tokens: Count = MISSING
    schedule: Schedule = field(default_factory=Schedule)


Ratio = Annotated[float, Field(gt=0, lt=0.9)]


@dataclass
class PruneFfn:
    """conf/prune/ffn.yaml."""

    _target_: str = "medllm.prune.ffn.prune_ffn"
    ratio: Ratio = MISSING
    tolerance: Share = MISSING
    round_to: Count = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class PruneHeads:
    """conf/prune/heads.yaml."""

    _target_: str = "medllm.prune.heads.prune_heads"
    ratio: Ratio = MISSING
    tolerance: Share = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class PruneDepth:
    """conf/prune/depth.yaml."""

    _target_: str = "medllm.prune.depth.prune_depth"
    ratio: Ratio = MISSING
    tolerance: Share = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class DistillLogits:
    """conf/distill/forward_kl.yaml."""

    _target_: str = "medllm.distill.logits.distill_logits"
    alpha: Share = MISSING
    temperature: Positive = MISSING
    top_k: Count = MISSING
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


@dataclass
class QuantizeGguf:
    """conf/quantize/gguf_*.yaml."""

    _target_: str = "medllm.quantize.gguf.quantize_gguf"
    scheme: Annotated[str, Field(pattern="^(f16|q8_0|q4_0)$")] = MISSING
    head_scheme: Annotated[str, Field(pattern="^(f16|q8_0|q4_0)$")] = MISSING


@dataclass
class QuantizeBnb:
    """conf/quantize/bnb_*.yaml."""

    _target_: str = "medllm.quantize.bnb.quantize_bnb"
    scheme: Annotated[str, Field(pattern="^(int8|nf4)$")] = MISSING
    compute_dtype: Annotated[str, Field(pattern="^(fp32|bf16)$")] = MISSING


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
