"""The weight types a GGUF can be written in: their names in conf/, what stands in for them on odd widths, and how weights become bytes."""

from typing import Literal

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quant_shape_to_byte_shape, quantize
from numpy.typing import NDArray

from medllm.errors import UserError
from medllm.quantize.kquants import ENCODERS, encode

Scheme = Literal["f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0"]
SCHEMES = {"f16": Type.F16, "q8_0": Type.Q8_0, "q6_k": Type.Q6_K, "q5_k": Type.Q5_K, "q4_k": Type.Q4_K, "q4_0": Type.Q4_0}
FILE_TYPES = {
    Type.F16: LlamaFileType.MOSTLY_F16, Type.Q8_0: LlamaFileType.MOSTLY_Q8_0, Type.Q6_K: LlamaFileType.MOSTLY_Q6_K,
    Type.Q5_K: LlamaFileType.MOSTLY_Q5_K_M, Type.Q4_K: LlamaFileType.MOSTLY_Q4_K_M, Type.Q4_0: LlamaFileType.MOSTLY_Q4_0,
}  # fmt: skip
# what holds a width that the type's block does not divide: the nearest number of bits with a block of 32, then 16 bits
_NARROWER = {
    Type.Q6_K: Type.Q8_0, Type.Q5_K: Type.Q5_0, Type.Q4_K: Type.Q4_0, Type.Q8_0: Type.F16, Type.Q5_0: Type.F16, Type.Q4_0: Type.F16,
}  # fmt: skip
# largest relative Frobenius error of a tensor after the round trip: twice and more what Gaussian weights lose; Q8_0 cannot exceed its bound
ERROR_BOUNDS = {
    Type.F32: 0.0, Type.F16: 1e-3, Type.Q8_0: 0.023, Type.Q6_K: 0.06, Type.Q5_0: 0.1, Type.Q5_K: 0.1, Type.Q4_K: 0.2, Type.Q4_0: 0.2,
}  # fmt: skip


def scheme_type(scheme: str, *, knob: str) -> Type:
    """The type of a scheme; UserError naming the known ones."""
    if scheme not in SCHEMES:
        raise UserError(f"quantize.{knob}: {scheme!r} is unknown; use one of {', '.join(SCHEMES)}")
    return SCHEMES[scheme]


def fitting_type(shape: tuple[int, ...], wanted: Type) -> Type:
    """The type a tensor gets: f32 for norms and biases, `wanted` for a matrix, or the first stand-in whose block divides its width."""
    if len(shape) == 1:
        return Type.F32
    while shape[-1] % GGML_QUANT_SIZES[wanted][0]:
        wanted = _NARROWER[wanted]
    return wanted


def weighs_importance(kind: Type) -> bool:
    """Whether the scales of this type are searched, so that an importance matrix changes them."""
    return kind in ENCODERS


def byte_count(shape: tuple[int, ...], kind: Type) -> int:
    """Bytes of a tensor in this type."""
    return int(np.prod(quant_shape_to_byte_shape(shape, kind)))


def to_bytes(tensor: NDArray[np.float32], kind: Type, importance: NDArray[np.float32] | None) -> NDArray[np.generic]:
    """A tensor as it stands in the file; `importance [width]` weighs its input channels where the type searches its scales.

    Q4_0 without importance is llama.cpp's own rounding, bit for bit: what quantisation-aware training trained for.
    """
    if kind in ENCODERS and not (kind is Type.Q4_0 and importance is None):
        return encode(tensor, kind, importance)
    stored: NDArray[np.generic] = quantize(tensor, kind)
    return stored
