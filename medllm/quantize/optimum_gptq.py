"""optimum's GPTQQuantizer: 4 or 8 bits in GPTQ's own file format, read by plain transformers where gptqmodel is installed.

It needs the package `gptqmodel`, which pip refuses beside the pins of medllm: 7.6.0 wants numpy 2.2.6, 7.7.0 wants torch 2.14.1 and
pyarrow 26. On a CPU it runs with torch 2.13 and transformers 5.23 in an environment of its own that has numpy 2.2.6.
"""

from pathlib import Path
from typing import Any, Literal

import torch

from medllm.calibration import calibration_batches
from medllm.errors import UserError
from medllm.model.folder import copy_tokenizer, load_model, refuse_quantized, weight_bytes
from medllm.quantize import QuantizeResult
from medllm.quantize.reload_check import check_reload, probe_logits

_BITS = {"gptq_int4": 4, "gptq_int8": 8}


def quantize_optimum_gptq(
    source: Path, prepared: Path, target: Path, *, scheme: Literal["gptq_int4", "gptq_int8"], group_size: int, damping: float,
    max_tokens: int,
) -> QuantizeResult:  # fmt: skip
    """Quantise the linear layers of the decoder on data/prepared/calibration.jsonl, save, and reload to prove it.

    Embedding and output stay as they are, in float32. UserError on a knob, an empty calibration set or without gptqmodel, RuntimeError
    when the saved folder answers otherwise.
    """
    if scheme not in _BITS:
        raise UserError(f"quantize.scheme: {scheme!r} is unknown to optimum's GPTQ; use one of {', '.join(_BITS)}")
    refuse_quantized(source, verb="quantised again")
    quantizer_class = _quantizer_class()
    # one row a batch: optimum counts padding as if it were text
    batches = calibration_batches(prepared, source, batch_rows=1, max_tokens=max_tokens)
    model: Any = load_model(source)
    odd = [name for name, layer in _linear(model) if layer.in_features % group_size]
    if odd:
        raise UserError(f"quantize.group_size: {group_size} does not divide the input width of {odd[0]}; use a divisor of it")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    quantizer = quantizer_class(
        bits=_BITS[scheme], group_size=group_size, damp_percent=damping, sym=True, desc_act=False, backend="torch",
        dataset=[{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches],
    )  # fmt: skip
    model = quantizer.quantize_model(model)
    before = probe_logits(model)
    # optimum 2.3 writes the calibration text into config.json, and "gptq_v2" beside weights that its save() turns back into "gptq"
    quantizer.dataset = None
    model.config.quantization_config |= {"dataset": None, "format": "gptq", "backend": "torch"}
    quantizer.save(model, str(target))
    copy_tokenizer(source, target)
    check_reload(before, probe_logits(_reloaded(target)), target)
    size = weight_bytes(target)
    layers = sum(hasattr(module, "qweight") for module in model.modules())
    return QuantizeResult(scheme=scheme, bits_per_weight=round(8 * size / parameters, 4), bytes=size, tensors={scheme: layers})


def _quantizer_class() -> Any:
    from optimum.utils import is_gptqmodel_available

    if not is_gptqmodel_available():
        raise UserError("quantize: optimum needs gptqmodel==7.6.0, in an environment of its own; here use gguf_gptq_q4_0 or gguf_gptq_q8_0")
    from optimum.gptq import GPTQQuantizer

    return GPTQQuantizer


def _linear(model: Any) -> list[tuple[str, torch.nn.Linear]]:
    """What optimum quantises: by its own rule all linear layers of the decoder, not the output."""
    from optimum.gptq.utils import get_block_name_with_pattern, get_layers

    return list(get_layers(model, prefix=get_block_name_with_pattern(model)).items())


def _reloaded(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    return auto.from_pretrained(folder, device_map={"": "cpu"}).eval()
