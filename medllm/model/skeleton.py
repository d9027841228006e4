"""Names and sizes of a model's weights, from its config alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from medllm.errors import UserError
from medllm.model.architecture import ARCHITECTURES

# transformers 5 has one name for the output matrix of a GPT-NeoX in memory and another one in files
_STORED = {"gpt_neox": {"lm_head.weight": "embed_out.weight"}}
# causal masks and rotary tables, which transformers before 4.40 wrote among the weights
BUFFERS = (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")


def stored_parameters(config: Any) -> dict[str, Tensor]:
    """Parameters of the causal LM of a transformers config by their names in files, on the meta device; tied ones once."""
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        skeleton = auto.from_config(config)
    names = _STORED.get(config.model_type, {})
    return {names.get(name, name): parameter for name, parameter in skeleton.named_parameters()}


def read_config(folder: Path) -> Any:
    """config.json as transformers reads it. UserError when it has no such architecture of its own; code beside the weights is not run."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except ValueError as error:
        raise UserError(f"{folder / 'config.json'}: not an architecture of this transformers ({str(error).splitlines()[0]})") from error


def check_weights(folder: Path) -> int:
    """Number of parameters in model*.safetensors. UserError when a weight that the config asks for is missing or of another size.

    transformers would draw a missing one at random with no more than a warning.
    """
    found = _sizes(folder)
    config = read_config(folder)
    if config.model_type not in ARCHITECTURES:  # other architectures may be stored under names of their own
        return sum(_count(size) for name, size in found.items() if not name.endswith(BUFFERS))
    wanted = {name: tuple(parameter.shape) for name, parameter in stored_parameters(config).items()}
    for name, size in wanted.items():
        if name not in found:
            raise UserError(f"{folder}: the weights hold no {name}; the checkpoint is not whole, get it again")
        if found[name] != size:
            raise UserError(f"{folder}: {name} is {found[name]}, config.json says {size}; weights and config.json are of two models")
    return sum(_count(size) for size in wanted.values())


def _sizes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    sizes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as tensors:
                sizes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{path}: not a whole safetensors file ({error}); get it again") from error
    return sizes


def _count(size: tuple[int, ...]) -> int:
    total = 1
    for extent in size:
        total *= extent
    return total
