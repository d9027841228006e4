"""Quantisation."""

from typing import Annotated

from omegaconf import MISSING
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Positive

Scheme = Annotated[str, Field(pattern="^(f16|q8_0|q6_k|q5_k|q4_k|q4_0)$")]
Importance = Annotated[str, Field(pattern="^(none|activations)$")]


@dataclass
class QuantizeGguf:
    """conf/quantize/gguf_*.yaml but gguf_mixed.yaml."""

    _target_: str = "medllm.quantize.gguf.quantize_gguf"
    scheme: Scheme = MISSING
    sensitive_scheme: Scheme = MISSING
    head_scheme: Scheme = MISSING
    importance: Importance = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class QuantizeGgufMixed:
    """conf/quantize/gguf_mixed.yaml."""

    _target_: str = "medllm.quantize.gguf_mixed.quantize_gguf_mixed"
    low_scheme: Scheme = MISSING
    high_scheme: Scheme = MISSING
    bits_per_weight: Positive = MISSING
    importance: Importance = MISSING
    num_rows: Count = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class QuantizeGgufGptq:
    """conf/quantize/gguf_gptq_*.yaml."""

    _target_: str = "medllm.quantize.gguf_gptq.quantize_gguf_gptq"
    scheme: Annotated[str, Field(pattern="^(q4_0|q8_0)$")] = MISSING
    head_scheme: Scheme = MISSING
    damping: Annotated[float, Field(gt=0, lt=1)] = MISSING
    order: Annotated[str, Field(pattern="^(stored|activation)$")] = MISSING
    batch_rows: Count = MISSING
    max_tokens: Count = MISSING


@dataclass
class QuantizeOptimumGptq:
    """conf/quantize/optimum_gptq_*.yaml."""

    _target_: str = "medllm.quantize.optimum_gptq.quantize_optimum_gptq"
    scheme: Annotated[str, Field(pattern="^(gptq_int4|gptq_int8)$")] = MISSING
    group_size: Count = MISSING
    damping: Annotated[float, Field(gt=0, lt=1)] = MISSING
    max_tokens: Count = MISSING


@dataclass
class QuantizeBnb:
    """conf/quantize/bnb_*.yaml."""

    _target_: str = "medllm.quantize.bnb.quantize_bnb"
    scheme: Annotated[str, Field(pattern="^(int8|nf4)$")] = MISSING
    compute_dtype: Annotated[str, Field(pattern="^(fp32|bf16)$")] = MISSING


@dataclass
class QuantizeOpenvino:
    """conf/quantize/openvino_*.yaml."""

    _target_: str = "medllm.quantize.openvino.quantize_openvino"
    weights: Annotated[str, Field(pattern="^(f16|int8)$")] = MISSING
