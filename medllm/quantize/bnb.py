"""bitsandbytes LLM.int8 and NF4 on CPU: linear layers of the decoder become 8 or 4 bit, embedding and output stay 16 bit."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from medllm.errors import UserError
from medllm.model.bnb_layers import hush, quantized_layers, refuse_narrow
from medllm.model.folder import copy_tokenizer, refuse_quantized, weight_bytes
from medllm.quantize import QuantizeResult
from medllm.quantize.reload_check import check_reload, probe_logits

_COMPUTE = {"bf16": torch.bfloat16, "fp32": torch.float32}
_HEADS = ("lm_head", "embed_out")


def quantize_bnb(
    source: Path, prepared: Path, target: Path, *, scheme: Literal["int8", "nf4"], compute_dtype: Literal["bf16", "fp32"]
) -> QuantizeResult:
    """Quantise every linear layer but the output, save, and reload to prove that the saved folder answers the same.

    What stays unquantised is kept in `compute_dtype`. Raises UserError on an unknown knob or widths NF4 cannot take,
    RuntimeError when a layer was skipped or the reloaded logits differ.
    """
    del prepared  # not calibrated
    if scheme not in ("int8", "nf4"):
        raise UserError(f"quantize.scheme: {scheme!r} is unknown to bitsandbytes; use int8 or nf4")
    if compute_dtype not in _COMPUTE:
        raise UserError(f"quantize.compute_dtype: {compute_dtype!r} is unknown; use one of {', '.join(_COMPUTE)}")
    refuse_quantized(source, verb="quantised again")
    dtype = _COMPUTE[compute_dtype]
    eligible = _linear_widths(source)
    if scheme == "nf4":
        refuse_narrow(source, eligible, instead=", prune to such")
    model = _load(source, dtype=dtype, quantization_config=_settings(scheme, dtype))
    done = quantized_layers(model)
    skipped = sorted(set(eligible) - set(done))
    if not done or skipped:
        raise RuntimeError(f"{source}: a layer was skipped by bitsandbytes: {', '.join(skipped[:3]) or 'all of them'}")
    model.save_pretrained(target)
    copy_tokenizer(source, target)
    check_reload(probe_logits(model), probe_logits(_load(target, dtype="auto")), target)
    others = Counter(str(p.dtype).removeprefix("torch.") for name, p in model.named_parameters() if not _belongs(name, done))
    size = weight_bytes(target)
    return QuantizeResult(
        scheme=scheme,
        bits_per_weight=round(8 * size / _parameter_count(source), 4),
        bytes=size,
        tensors=dict(sorted({scheme: len(done), **others}.items())),
    )


def _settings(scheme: str, dtype: torch.dtype) -> Any:
    config: Any = BitsAndBytesConfig
    if scheme == "int8":
        return config(load_in_8bit=True)
    return config(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _load(folder: Path, **knobs: Any) -> Any:
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    hush()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, device_map={"": "cpu"}, attn_implementation="eager", **knobs)
    return model.eval()


def _skeleton(folder: Path) -> Any:
    from transformers import AutoConfig

    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):  # shapes without memory
        return auto.from_config(AutoConfig.from_pretrained(folder))


def _linear_widths(folder: Path) -> dict[str, int]:
    """Input width of each linear layer that has to be quantised: all but the output matrix."""
    layers = _skeleton(folder).named_modules()
    return {name: m.in_features for name, m in layers if isinstance(m, torch.nn.Linear) and name.rpartition(".")[2] not in _HEADS}


def _parameter_count(folder: Path) -> int:
    return sum(p.numel() for p in _skeleton(folder).parameters())


def _belongs(parameter: str, layers: Collection[str]) -> bool:
    return parameter.endswith(".weight") and parameter.removesuffix(".weight") in layers
