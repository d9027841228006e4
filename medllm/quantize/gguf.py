"""Hugging Face folder -> one GGUF file, by the official `gguf` package: no compiler, no torch, one tensor in memory at a time."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quant_shape_to_byte_shape, quantize
from numpy.typing import NDArray

from medllm.data.prompts import Prompts
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE, copy_tokenizer
from medllm.quantize import QuantizeResult
from medllm.quantize.gguf_architectures import Architecture, architecture_of
from medllm.quantize.gguf_tokenizer import add_tokenizer
from medllm.quantize.safetensors_folder import SafetensorsFolder

Scheme = Literal["f16", "q8_0", "q4_0"]
_TYPES = {"f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}
_FILE_TYPES = {"f16": LlamaFileType.MOSTLY_F16, "q8_0": LlamaFileType.MOSTLY_Q8_0, "q4_0": LlamaFileType.MOSTLY_Q4_0}
_BLOCK = 32  # width of a Q8_0 or Q4_0 block
_HEAD = ("token_embd.weight", "output.weight")
# largest relative Frobenius error of a tensor after the round trip. Q8_0 cannot exceed sqrt(32)/254; Q4_0 is near 0.07 on Gaussian weights
_ERROR_BOUNDS = {Type.F32: 0.0, Type.F16: 1e-3, Type.Q8_0: 0.023, Type.Q4_0: 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    name: str
    source: str
    shape: tuple[int, ...]
    type: Type
    fallback: bool


def quantize_gguf(source: Path, target: Path, *, scheme: Scheme, head_scheme: Scheme) -> QuantizeResult:
    """Write model.gguf, tokenizer and prompt: weights in `scheme`, embedding and output in `head_scheme`, norms and biases in f32.

    Widths that are not a multiple of 32 fall back to f16 and are named in the result. Raises UserError on an architecture or
    tokenizer llama.cpp cannot reproduce, RuntimeError when the written file lacks or distorts a tensor.
    """
    for knob, value in (("scheme", scheme), ("head_scheme", head_scheme)):
        if value not in _TYPES:
            raise UserError(f"quantize.{knob}: {value!r} is unknown; use one of {', '.join(_TYPES)}")
    config_file = source / "config.json"
    if not config_file.is_file():
        raise UserError(f"{source}: no config.json; expected a Hugging Face model folder")
    config = json.loads(config_file.read_text(encoding="utf-8"))
    architecture, weights = architecture_of(config, where=str(config_file)), SafetensorsFolder(source)
    tensors = _plan(weights, architecture, layers=int(config["num_hidden_layers"]), body=_TYPES[scheme], head=_TYPES[head_scheme])

    writer = GGUFWriter(None, gguf.MODEL_ARCH_NAMES[architecture.arch])
    architecture.describe(writer)
    writer.add_file_type(_FILE_TYPES[scheme])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_tokenizer(writer, source, vocab_size=int(config["vocab_size"]), eos_token=Prompts.load(source).template.eos_token)
    copy_tokenizer(source, target)
    path = target / GGUF_FILE
    _write(writer, path, tensors, weights, architecture)
    _verify(path, tensors, weights, architecture)
    elements = sum(int(np.prod(t.shape)) for t in tensors)
    return QuantizeResult(
        scheme=scheme,
        bits_per_weight=round(8 * sum(_nbytes(t) for t in tensors) / elements, 4),
        bytes=path.stat().st_size,
        tensors=dict(sorted(Counter(t.type.name.lower() for t in tensors).items())),
        fallbacks=[f"{t.name}: {t.shape[-1]} is not a multiple of {_BLOCK}, kept in f16" for t in tensors if t.fallback],
    )


def _plan(weights: SafetensorsFolder, architecture: Architecture, *, layers: int, body: Type, head: Type) -> list[_Tensor]:
    names = gguf.get_tensor_name_map(architecture.arch, layers)
    tensors = []
    for source in weights.names:
        if source.endswith(architecture.skip):
            continue
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise UserError(f"tensor {source} of the model has no place in a {architecture.arch.name} GGUF; use a stock model")
        tensors.append(_typed(name, source, weights.shape(source), head if name in _HEAD else body))
    if architecture.needs_output and not any(t.name == "output.weight" for t in tensors):
        embedding = next(t for t in tensors if t.name == "token_embd.weight")  # tied: llama.cpp wants its own copy here
        tensors.append(_typed("output.weight", embedding.source, embedding.shape, head))
    return tensors


def _typed(name: str, source: str, shape: tuple[int, ...], wanted: Type) -> _Tensor:
    if len(shape) == 1:
        return _Tensor(name=name, source=source, shape=shape, type=Type.F32, fallback=False)
    fallback = wanted is not Type.F16 and shape[-1] % _BLOCK != 0
    return _Tensor(name=name, source=source, shape=shape, type=Type.F16 if fallback else wanted, fallback=fallback)


def _nbytes(tensor: _Tensor) -> int:
    return int(np.prod(quant_shape_to_byte_shape(tensor.shape, tensor.type)))


def _write(writer: GGUFWriter, path: Path, tensors: list[_Tensor], weights: SafetensorsFolder, architecture: Architecture) -> None:
    for tensor in tensors:
        # the writer reads the logical shape back from the byte shape of a block type
        blocks = tensor.type not in (Type.F32, Type.F16)
        shape = quant_shape_to_byte_shape(tensor.shape, tensor.type) if blocks else tensor.shape
        dtype = np.dtype(np.uint8) if blocks else np.dtype(np.float16 if tensor.type is Type.F16 else np.float32)
        writer.add_tensor_info(tensor.name, shape, dtype, _nbytes(tensor), raw_dtype=tensor.type)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(quantize(architecture.reorder(tensor.source, weights.read(tensor.source)), tensor.type))
    writer.close()


def _verify(path: Path, tensors: list[_Tensor], weights: SafetensorsFolder, architecture: Architecture) -> None:
    written = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    for tensor in tensors:
        if tensor.name not in written:
            raise RuntimeError(f"{path}: a layer was skipped: {tensor.name}")
        expected = architecture.reorder(tensor.source, weights.read(tensor.source))
        found = dequantize(written[tensor.name].data, tensor.type)
        error = _relative_error(expected, found)
        if not error <= _ERROR_BOUNDS[tensor.type]:  # `not <=`: a NaN fails too
            raise RuntimeError(f"{path}: {tensor.name} lost {error:.3g} in {tensor.type.name}, over {_ERROR_BOUNDS[tensor.type]}")


def _relative_error(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    norm = float(np.linalg.norm(expected))
    return float(np.linalg.norm(expected - found.reshape(expected.shape))) / norm if norm else float(np.abs(found).max())
