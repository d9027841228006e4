"""GGUF with weights rounded by GPTQ: the same file, size and speed as plain Q4_0 or Q8_0, other codes."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader
from gguf.quants import dequantize
from torch import Tensor, nn

from medllm.calibration import calibration_batches
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE, load_model
from medllm.quantize import QuantizeResult
from medllm.quantize.gguf_types import Scheme, fitting_type, scheme_type
from medllm.quantize.gguf_writer import EMBEDDING, OUTPUT, GgufSource, write_gguf
from medllm.quantize.gptq import GRIDS, Order, Rounded, round_weights
from medllm.quantize.layerwise import quantise_in_turn


def quantize_gguf_gptq(
    source: Path, prepared: Path, target: Path, *, scheme: Literal["q4_0", "q8_0"], head_scheme: Scheme, damping: float, order: Order,
    batch_rows: int, max_tokens: int,
) -> QuantizeResult:  # fmt: skip
    """Write model.gguf, tokenizer and prompt as `quantize_gguf` does, the codes chosen by GPTQ on data/prepared/calibration.jsonl.

    The linear layers of the decoder get GPTQ; so does the output matrix, unless it is tied to the embedding or `head_scheme` is another
    type. UserError on a knob, an empty calibration set or a model that cannot be written, RuntimeError when the file does not hold exactly
    the weights that were chosen.
    """
    _check(scheme, damping, order)
    body, head = scheme_type(scheme, knob="scheme"), scheme_type(head_scheme, knob="head_scheme")
    opened = GgufSource(source)
    wanted = {tensor.name: head if tensor.name in (EMBEDDING, OUTPUT) else body for tensor in opened.tensors}
    rounded: dict[str, Rounded] = {}
    model = load_model(source)

    def quantise(name: str, layer: nn.Linear, hessian: Tensor) -> None:
        tensor = str(opened.name(f"{name}.weight"))
        grid = GRIDS.get(fitting_type(tuple(layer.weight.shape), wanted[tensor]))
        if grid is None:  # a width without blocks of 32, or a head of another type: the writer takes it as it is
            return
        found = round_weights(layer.weight, hessian, grid, damping=damping, order=order, name=name)
        rounded[tensor] = found
        layer.weight.copy_(torch.from_numpy(found.weights()))

    quantise_in_turn(model, calibration_batches(prepared, source, batch_rows=batch_rows, max_tokens=max_tokens), quantise)
    result = write_gguf(opened, target, scheme=scheme, file_type=body, wanted=wanted, importance={})
    _put(target / GGUF_FILE, opened, rounded)
    return result


def _check(scheme: str, damping: float, order: str) -> None:
    if scheme not in ("q4_0", "q8_0"):
        raise UserError(f"quantize.scheme: {scheme!r} has no GPTQ grid; use q4_0 or q8_0")
    if not 0 < damping < 1:
        raise UserError(f"quantize.damping: {damping} of the mean diagonal; use more than 0 and less than 1")
    if order not in ("stored", "activation"):
        raise UserError(f"quantize.order: {order!r} is unknown; use stored or activation")


def _put(path: Path, source: GgufSource, rounded: dict[str, Rounded]) -> None:
    """Replace the plain codes in the file, and read them back."""
    reorder: Any = source.architecture.reorder  # moves whole rows, of bytes as of weights
    origin = {tensor.name: tensor.source for tensor in source.tensors}
    file = GGUFReader(path, "r+")
    for tensor in file.tensors:
        if tensor.name in rounded:
            tensor.data[:] = reorder(origin[tensor.name], rounded[tensor.name].packed(Type(tensor.tensor_type)))
    file.data.flush()
    written = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    for name, found in rounded.items():
        expected = reorder(origin[name], found.weights())
        if not np.array_equal(dequantize(written[name].data, written[name].tensor_type), expected):
            raise RuntimeError(f"{path}: {name} does not hold the weights that GPTQ chose")
