"""The scale (and minimum) of a block of weights by search: the weighted squared error decides, not the largest weight.

Blocks stand in columns, `[block size, blocks]`, so that every numpy pass runs over contiguous memory. A candidate is never multiplied
out: with the least-squares scale its error is known from three sums.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_SOLVABLE = 1e-6  # below this share the determinant is rounding noise


def symmetric_scales(blocks: Array, weights: Array | None, *, levels: int, shifts: Array) -> Array:
    """Scale `s [blocks]` with x ~ s * q, q in [-levels, levels - 1]: llama.cpp's make_qx_quants.

    Candidates put the largest weight of the block on the level -(levels + shift); the least-squares scale of the best one is returned.
    """
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=0)[None], axis=0)[0]
    per_level = np.divide(-1, peak, out=np.zeros_like(peak), where=peak != 0)
    scale: Array = np.zeros_like(peak)
    best, q = np.zeros_like(peak), np.empty_like(blocks)
    for shift in shifts:
        np.multiply(blocks, per_level * (levels + shift), out=q)
        _round_into(q, -levels, levels - 1)
        weighted = q if weights is None else weights * q
        xq, qq = _dot(weighted, blocks), _dot(weighted, q)
        candidate = np.divide(xq, qq, out=np.zeros_like(xq), where=qq > 0)
        better = xq * candidate > best  # by so much the squared error is below that of a zero block
        best, scale = np.where(better, xq * candidate, best), np.where(better, candidate, scale)
    return scale


def affine_scales(blocks: Array, weights: Array | None, *, levels: int, shifts: Array) -> tuple[Array, Array]:
    """Scale and minimum `(s, m) [blocks]`, both >= 0, with x ~ s * q - m, q in [0, levels]: llama.cpp's make_qkx2_quants."""
    low = np.minimum(blocks.min(axis=0), 0)
    span = blocks.max(axis=0) - low
    per_level = np.divide(1, span, out=np.zeros_like(span), where=span > 0)
    shifted, weighted_blocks = blocks - low, blocks if weights is None else weights * blocks
    total = np.full_like(low, len(blocks)) if weights is None else weights.sum(axis=0)
    x = weighted_blocks.sum(axis=0)
    # where no candidate has a solution (all weights alike), the plain span remains
    best, scale, minimum, q = np.full_like(low, -np.inf), span / np.float32(levels), -low, np.empty_like(blocks)
    for shift in shifts:
        np.multiply(shifted, per_level * (levels + shift), out=q)
        _round_into(q, 0, levels)
        weighted = q if weights is None else weights * q
        sum_q, qq, xq = weighted.sum(axis=0), _dot(weighted, q), _dot(weighted_blocks, q)
        determinant = total * qq - sum_q * sum_q
        solvable = determinant > _SOLVABLE * total * qq
        slope = np.divide(total * xq - x * sum_q, determinant, out=np.zeros_like(x), where=solvable)
        offset = np.divide(qq * x - sum_q * xq, determinant, out=np.zeros_like(x), where=solvable)
        slope = np.where(offset > 0, np.divide(xq, qq, out=np.zeros_like(x), where=qq > 0), slope)  # a minimum above zero is not storable
        offset = np.minimum(offset, 0)
        gain = slope * xq + offset * x
        better = solvable & (gain > best)
        best, scale, minimum = np.where(better, gain, best), np.where(better, slope, scale), np.where(better, -offset, minimum)
    return scale, minimum


def _dot(first: Array, second: Array) -> Array:
    products: Array = np.einsum("kn,kn->n", first, second)
    return products


def _round_into(q: Array, low: int, high: int) -> None:
    np.rint(q, out=q)
    np.clip(q, low, high, out=q)
