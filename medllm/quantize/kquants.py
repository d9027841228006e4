"""Q4_K, Q5_K, Q6_K and Q4_0 in numpy: llama.cpp's block layouts, scales by search, with or without importance weights.

The official `gguf` package reads the K types and writes none of them; its Q4_0 takes the scale from the largest weight alone.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from numpy.typing import NDArray

from medllm.quantize.scale_search import affine_scales, symmetric_scales

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
_CHUNK = 1 << 18  # weights quantised at once by a thread: near the cache, and some tens of MB in all
_SYMMETRIC_SHIFTS = np.linspace(-3, 1, 13, dtype=np.float32)
_AFFINE_SHIFTS = np.linspace(-2, 2, 13, dtype=np.float32)
_TINY = 1e-30
_LARGEST_6, _LARGEST_8 = 63, 127  # 6-bit scales of Q4_K and Q5_K, signed 8-bit scales of Q6_K


def encode(rows: Array, kind: Type, importance: Array | None) -> Bytes:
    """Weights `[rows, width]` as bytes `[rows, bytes of a row]`; the width is a multiple of the type's block.

    `importance [width]` is the weight of each input channel in the squared error (its mean squared activation); None weighs all alike.
    """
    packed = ENCODERS[kind]
    block, size = GGML_QUANT_SIZES[kind]
    count, width = rows.shape
    step = max(1, _CHUNK // width)
    if importance is not None:
        importance = (importance / max(float(importance.mean()), _TINY)).astype(np.float32)  # sums near 1 keep their digits

    def chunk(start: int) -> Bytes:
        part = np.ascontiguousarray(rows[start : start + step], dtype=np.float32)
        weights = None if importance is None else np.broadcast_to(importance, part.shape).reshape(-1, block)
        return packed(part.reshape(-1, block), weights).reshape(len(part), width // block * size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets go of the interpreter lock inside a pass
        return np.concatenate(list(pool.map(chunk, range(0, count, step))))


def _columns(blocks: Array, weights: Array | None, size: int) -> tuple[Array, Array | None]:
    """Both as `[size, blocks]`, the way the search wants them."""
    return _turned(blocks, size), None if weights is None else _turned(weights, size)


def _turned(values: Array, size: int) -> Array:
    return np.ascontiguousarray(values.reshape(-1, size).T)


def _half_up(values: Array) -> Array:
    """The next float16 that is not smaller, as float32: the largest block of a super-block still fits its integer scale."""
    half = values.astype(np.float16)
    return np.where(half < values, np.nextafter(half, np.float16(np.inf)), half).astype(np.float32)


def _integers(values: Array, unit: Array, low: int, high: int) -> NDArray[np.int16]:
    ratio = np.divide(values, unit, out=np.zeros_like(values), where=unit != 0)
    return np.clip(np.rint(ratio), low, high).astype(np.int16)


def _half_bytes(values: Array) -> Bytes:
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8)


def _q4_0(blocks: Array, weights: Array | None) -> Bytes:
    """Float16 scale, then 16 bytes: weight i in the low, weight i + 16 in the high half."""
    scales = symmetric_scales(*_columns(blocks, weights, 32), levels=8, shifts=_SYMMETRIC_SHIFTS)
    scales = scales.astype(np.float16).astype(np.float32)
    q = (_integers(blocks, scales[:, None], -8, 7) + 8).astype(np.uint8)
    return np.concatenate([_half_bytes(scales), q[:, :16] | q[:, 16:] << 4], axis=1)


def _affine(blocks: Array, weights: Array | None, levels: int) -> tuple[Bytes, NDArray[np.uint8]]:
    """Head of a Q4_K or Q5_K super-block (both float16 units, 8 scales and 8 minima in 12 bytes) and its integers `[n, 8, 32]`."""
    scales, minima = affine_scales(*_columns(blocks, weights, 32), levels=levels, shifts=_AFFINE_SHIFTS)
    scales, minima = scales.reshape(-1, 8), minima.reshape(-1, 8)
    unit, unit_min = (_half_up(values.max(axis=1, keepdims=True) / _LARGEST_6) for values in (scales, minima))
    s, m = _integers(scales, unit, 0, _LARGEST_6), _integers(minima, unit_min, 0, _LARGEST_6)
    x = blocks.reshape(-1, 8, 32)
    q = _integers(x + (unit_min * m)[..., None], np.broadcast_to((unit * s)[..., None], x.shape), 0, levels).astype(np.uint8)
    s, m = s.astype(np.uint8), m.astype(np.uint8)
    first = s[:, :4] | s[:, 4:] >> 4 << 6
    second = m[:, :4] | m[:, 4:] >> 4 << 6
    third = s[:, 4:] & 15 | m[:, 4:] << 4
    return np.concatenate([_half_bytes(unit), _half_bytes(unit_min), first, second, third], axis=1), q


def _low_halves(q: NDArray[np.uint8]) -> Bytes:
    """Low four bits of `[n, 8, 32]`: sub-blocks 2i and 2i + 1 share 32 bytes."""
    packed: Bytes = np.bitwise_or(q[:, ::2] & 15, q[:, 1::2] << 4).astype(np.uint8, copy=False)
    return packed.reshape(len(q), 128)


def _q4_k(blocks: Array, weights: Array | None) -> Bytes:
    head, q = _affine(blocks, weights, 15)
    return np.concatenate([head, _low_halves(q)], axis=1)


def _q5_k(blocks: Array, weights: Array | None) -> Bytes:
    head, q = _affine(blocks, weights, 31)
    fifth = np.bitwise_or.reduce(q >> 4 << np.arange(8, dtype=np.uint8)[:, None], axis=1)  # bit i of byte j: weight j of sub-block i
    return np.concatenate([head, fifth, _low_halves(q)], axis=1)


def _q6_k(blocks: Array, weights: Array | None) -> Bytes:
    """Low four bits, high two bits, 16 signed scales of 16 weights each, float16 unit."""
    scales = symmetric_scales(*_columns(blocks, weights, 16), levels=32, shifts=_SYMMETRIC_SHIFTS).reshape(-1, 16)
    unit = _half_up(np.abs(scales).max(axis=1, keepdims=True) / _LARGEST_8)
    s = _integers(scales, unit, -_LARGEST_8, _LARGEST_8)
    x = blocks.reshape(-1, 16, 16)
    q = _integers(x, np.broadcast_to((unit * s)[..., None], x.shape), -32, 31) + 32
    quarters = q.astype(np.uint8).reshape(-1, 2, 4, 32)  # both halves of the super-block as four runs of 32
    low = quarters[:, :, :2] & 15 | quarters[:, :, 2:] << 4
    high = np.bitwise_or.reduce(quarters >> 4 << np.arange(0, 8, 2, dtype=np.uint8)[:, None], axis=2)
    return np.concatenate([low.reshape(-1, 128), high.reshape(-1, 64), s.astype(np.int8).view(np.uint8), _half_bytes(unit)], axis=1)


ENCODERS: dict[Type, Callable[[Array, Array | None], Bytes]] = {
    Type.Q4_0: _q4_0,
    Type.Q4_K: _q4_k,
    Type.Q5_K: _q5_k,
    Type.Q6_K: _q6_k,
}
