"""The frozen weights that an adapter is trained on: fp32, or NF4 and LLM.int8 by bitsandbytes (QLoRA, Dettmers et al. 2023, 2305.14314)."""

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from transformers import PreTrainedModel

from medllm.batches import compute_device
from medllm.errors import UserError
from medllm.model.bnb_layers import hush, quantized_layers, refuse_narrow
from medllm.model.folder import load_model

Precision = Literal["fp32", "nf4", "int8"]


def load_frozen(source: Path, *, base_precision: Precision, compute: torch.dtype) -> PreTrainedModel:
    """The model at `source`, its linear layers but the output in `base_precision` ("fp32", "nf4", "int8"), everything else in fp32.

    `compute` is the type that 4-bit weights are multiplied in. UserError when NF4 cannot take the widths.
    """
    if base_precision not in get_args(Precision):
        raise UserError(f"finetune.base_precision: {base_precision!r} is unknown; use one of {', '.join(get_args(Precision))}")
    if base_precision == "fp32":
        return load_model(source)
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    hush()
    config: Any = BitsAndBytesConfig
    settings = config(
        load_in_8bit=base_precision == "int8", load_in_4bit=base_precision == "nf4", bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=compute, bnb_4bit_use_double_quant=True,
    )  # fmt: skip
    auto: Any = AutoModelForCausalLM
    model: Any = auto.from_pretrained(source, dtype=torch.float32, quantization_config=settings, device_map={"": compute_device().type})
    if base_precision == "nf4":
        widths = {name: layer.in_features for name, layer in quantized_layers(model).items()}
        refuse_narrow(source, widths, instead="; take finetune.base_precision int8 or fp32")
    loaded: PreTrainedModel = model.eval()
    return loaded


def dequantised(model: PreTrainedModel) -> PreTrainedModel:
    """The same model in plain fp32 layers on the CPU: exactly the weights that a quantised layer trains with. In place."""
    plain: Any = model
    if not getattr(plain, "is_quantized", False):
        return model
    for layer in quantized_layers(model).values():
        layer.to("cpu")  # its own, as cpu() of the whole model leaves the scales of int8 where they were
    restored: PreTrainedModel = plain.dequantize(torch.float32).float()  # a bias was turned into the type of the activations
    return restored
