"""Hugging Face folder -> one GGUF file, by the official `gguf` package: no compiler, no torch, one tensor in memory at a time."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize, quant_shape_to_byte_shape
from numpy.typing import NDArray

from medllm.data.prompts import Prompts
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE, copy_tokenizer, refuse_quantized
from medllm.quantize import QuantizeResult
from medllm.quantize.gguf_architectures import architecture_of
from medllm.quantize.gguf_tokenizer import add_tokenizer
from medllm.quantize.gguf_types import ERROR_BOUNDS, FILE_TYPES, byte_count, fitting_type, to_bytes
from medllm.quantize.safetensors_folder import SafetensorsFolder

Importance = Mapping[str, NDArray[np.float32]]
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor of the file by its GGUF name, and the tensor of the folder it is made from."""

    name: str
    source: str
    shape: tuple[int, ...]


class GgufSource:
    """A Hugging Face folder that has been read far enough to know every tensor of its GGUF."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where llama.cpp has no counterpart of the model, or the folder does not fit together."""
        self.folder = folder
        refuse_quantized(folder, verb="quantised again")
        self.config = _config(folder)
        self.architecture = architecture_of(self.config, where=str(folder / "config.json"))
        self.weights = SafetensorsFolder(folder)
        self._names = gguf.get_tensor_name_map(self.architecture.arch, int(self.config["num_hidden_layers"]))
        self.tensors = self._tensors()

    def name(self, source: str) -> str | None:
        """GGUF name of a tensor, as the folder or as transformers calls it."""
        found: str | None = self._names.get_name(source, try_suffixes=(".weight", ".bias"))
        return found

    def read(self, tensor: Tensor) -> NDArray[np.float32]:
        """The weights in float32 and llama.cpp's row order."""
        return self.architecture.reorder(tensor.source, self.weights.read(tensor.source))

    def importance(self, tensor: Tensor, importance: Importance) -> NDArray[np.float32] | None:
        """Weights of the input channels; an embedding that is the output matrix too is weighed as that."""
        tied = tensor.name == EMBEDDING and all(other.name != OUTPUT for other in self.tensors)
        return importance.get(OUTPUT if tied else tensor.name)

    def _equal(self, one: Tensor, other: Tensor) -> bool:
        return bool(np.array_equal(self.weights.read(one.source), self.weights.read(other.source)))

    def _tensors(self) -> list[Tensor]:
        tensors = []
        for source in self.weights.names:
            if source.endswith(self.architecture.skip):
                continue
            name = self.name(source)
            if name is None:
                raise UserError(f"tensor {source} of the model has no place in a {self.architecture.arch.name} GGUF; use a stock model")
            tensors.append(Tensor(name=name, source=source, shape=self.weights.shape(source)))
        embedding = next((tensor for tensor in tensors if tensor.name == EMBEDDING), None)
        rows = int(self.config["vocab_size"])
        if embedding is None or embedding.shape[0] != rows:
            found = f"{embedding.shape[0]} rows" if embedding else "no matrix"
            raise UserError(f"{self.folder}: config.json says vocab_size={rows}, the embedding has {found}; use the model's own config")
        output = next((tensor for tensor in tensors if tensor.name == OUTPUT), None)
        if output and self.config.get("tie_word_embeddings") and self._equal(output, embedding):
            tensors.remove(output)  # some checkpoints store the embedding twice; transformers ties the two where they are equal
        if self.architecture.needs_output and all(tensor.name != OUTPUT for tensor in tensors):
            tensors.append(Tensor(name=OUTPUT, source=embedding.source, shape=embedding.shape))  # tied: llama.cpp wants its own copy here
        return tensors


def write_gguf(
    source: GgufSource, target: Path, *, scheme: str, file_type: Type, wanted: Mapping[str, Type], importance: Importance
) -> QuantizeResult:
    """Write model.gguf, tokenizer and prompt: each matrix in its type of `wanted` (by GGUF name), norms and biases in f32.

    A width that the type's block does not divide gets a stand-in, named in the result. `importance` (by GGUF name) weighs input channels.
    Raises UserError on a tokenizer llama.cpp cannot reproduce, RuntimeError when the written file lacks or distorts a tensor.
    """
    types = {tensor.name: fitting_type(tensor.shape, wanted.get(tensor.name, Type.F32)) for tensor in source.tensors}
    writer = GGUFWriter(None, gguf.MODEL_ARCH_NAMES[source.architecture.arch])
    source.architecture.describe(writer)
    writer.add_file_type(FILE_TYPES[file_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    eos_token = Prompts.load(source.folder).template.eos_token
    add_tokenizer(writer, source.folder, vocab_size=int(source.config["vocab_size"]), eos_token=eos_token)
    copy_tokenizer(source.folder, target)
    path = target / GGUF_FILE
    _write(writer, path, source, types, importance)
    _verify(path, source, types)
    elements = sum(int(np.prod(tensor.shape)) for tensor in source.tensors)
    return QuantizeResult(
        scheme=scheme,
        bits_per_weight=round(8 * sum(byte_count(tensor.shape, types[tensor.name]) for tensor in source.tensors) / elements, 4),
        bytes=path.stat().st_size,
        tensors=dict(sorted(Counter(kind.name.lower() for kind in types.values()).items())),
        fallbacks=[
            f"{tensor.name}: {wanted[tensor.name].name.lower()} cannot hold a width of {tensor.shape[-1]}, "
            f"kept in {types[tensor.name].name.lower()}"
            for tensor in source.tensors
            if len(tensor.shape) > 1 and types[tensor.name] is not wanted[tensor.name]
        ],
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: no config.json; expected a Hugging Face model folder")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def _write(writer: GGUFWriter, path: Path, source: GgufSource, types: Mapping[str, Type], importance: Importance) -> None:
    for tensor in source.tensors:
        kind = types[tensor.name]
        # the writer reads the logical shape back from the byte shape of a block type
        blocks = kind not in (Type.F32, Type.F16)
        shape = quant_shape_to_byte_shape(tensor.shape, kind) if blocks else tensor.shape
        dtype = np.dtype(np.uint8) if blocks else np.dtype(np.float16 if kind is Type.F16 else np.float32)
        writer.add_tensor_info(tensor.name, shape, dtype, byte_count(tensor.shape, kind), raw_dtype=kind)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in source.tensors:
        writer.write_tensor_data(to_bytes(source.read(tensor), types[tensor.name], source.importance(tensor, importance)))
    writer.close()


def _verify(path: Path, source: GgufSource, types: Mapping[str, Type]) -> None:
    written = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    for tensor in source.tensors:
        kind = types[tensor.name]
        if tensor.name not in written:
            raise RuntimeError(f"{path}: a layer was skipped: {tensor.name}")
        error = _relative_error(source.read(tensor), dequantize(written[tensor.name].data, kind))
        if not error <= ERROR_BOUNDS[kind]:  # `not <=`: a NaN fails too
            raise RuntimeError(f"{path}: {tensor.name} lost {error:.3g} in {kind.name}, over {ERROR_BOUNDS[kind]}")


def _relative_error(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    norm = float(np.linalg.norm(expected))
    return float(np.linalg.norm(expected - found.reshape(expected.shape))) / norm if norm else float(np.abs(found).max())
