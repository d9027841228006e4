"""Count parameters and weight bytes from file headers; no weight is loaded and no torch imported."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from medllm.engines import OPENVINO_FILE
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE

# What bitsandbytes stores beside a weight (scales, code books): bytes of the model, not parameters.
_QUANT_STATE = (".SCB", ".weight_format", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")
_QUANT_STATE_PART = ".quant_state."
# Tables that llama.cpp keeps as tensors although the architecture computes them.
_GGUF_TABLES = ("rope_freqs", "rope_factors")
_ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "BOOL": 1,
}
_OPENVINO_BYTES = {"f16": 4, "int8": 1}  # its f32 arithmetic widens f16 weights once, at loading
_CAST_BYTES = {"bf16": 2, "fp32": 4}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_EMBEDDINGS = ("embed_in.weight", "embed_tokens.weight", "wte.weight", "token_embd.weight")
_OUTPUTS = ("lm_head.weight", "embed_out.weight", "output.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """`parameters` by logical shape; `resident_bytes` is what the tensors take in memory when the model runs in its dtype.

    `bytes_per_token` of them are read for each generated token: all but the input embedding, of which one row is read. A matrix that
    serves both ends is read as the output.
    """

    parameters: int
    resident_bytes: int
    bytes_per_token: int


def read_weights(folder: Path, *, dtype: str | None) -> Weights:
    """Weights of a model folder run in `dtype` ("bf16" and "fp32" cast every float tensor; anything else keeps what is stored)."""
    gguf_file = folder / GGUF_FILE
    if gguf_file.is_file():
        return _gguf_weights(gguf_file)
    if (folder / OPENVINO_FILE).is_file():
        return _openvino_weights(folder / OPENVINO_FILE)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: no *.safetensors and no {GGUF_FILE}; expected a model folder, run the stage that writes it (dvc repro)")
    return _safetensors_weights(files, cast_bytes=_CAST_BYTES.get(dtype or ""))


def _openvino_weights(path: Path) -> Weights:
    """What quantize noted in the file: `looked_up` are the parameters of an input embedding of its own."""
    facts: dict[str, str] = {}
    for _, element in ElementTree.iterparse(path):
        if element.tag == "medllm":
            facts = {child.tag: child.get("value", "") for child in element}
    if not facts:
        raise UserError(f"{path}: not written by medllm; write it again with quantize")
    parameters, looked_up, size = int(facts["parameters"]), int(facts["looked_up"]), _OPENVINO_BYTES[facts["weights"]]
    return Weights(parameters=parameters, resident_bytes=parameters * size, bytes_per_token=(parameters - looked_up) * size)


def _gguf_weights(path: Path) -> Weights:
    from gguf import GGUFReader

    tensors = GGUFReader(path).tensors
    sizes = {tensor.name: int(tensor.n_bytes) for tensor in tensors}
    return Weights(
        parameters=sum(int(tensor.n_elements) for tensor in tensors if not tensor.name.startswith(_GGUF_TABLES)),
        resident_bytes=sum(sizes.values()),
        bytes_per_token=_read(sizes),
    )


def _read(sizes: Mapping[str, int]) -> int:
    tied = not any(_is_one_of(name, _OUTPUTS) for name in sizes)
    return sum(size for name, size in sizes.items() if tied or not _is_one_of(name, _EMBEDDINGS))


def _safetensors_weights(files: list[Path], *, cast_bytes: int | None) -> Weights:
    from safetensors import safe_open

    shapes: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for path in files:
        with safe_open(path, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                view = tensors.get_slice(name)
                kind = view.get_dtype()
                shapes[name] = math.prod(view.get_shape())
                sizes[name] = shapes[name] * (cast_bytes if cast_bytes and kind in _FLOATS else _ITEM_BYTES[kind])
    # A 4-bit weight is a column of bytes, two parameters each; its quant_state tensor tells it from an ordinary one.
    packed = {name.partition(_QUANT_STATE_PART)[0] for name in shapes if _QUANT_STATE_PART in name}
    weights = {name: size for name, size in shapes.items() if not name.endswith(_QUANT_STATE) and _QUANT_STATE_PART not in name}
    return Weights(
        parameters=sum(size * (2 if name in packed else 1) for name, size in weights.items()),
        resident_bytes=sum(sizes.values()),
        bytes_per_token=_read(sizes),
    )


def _is_one_of(name: str, ends: tuple[str, ...]) -> bool:
    """By whole parts of the name: blk.0.attn_output.weight is no output.weight."""
    return any(name == end or name.endswith(f".{end}") for end in ends)
