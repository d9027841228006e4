"""GPTQ (Frantar et al. 2022, arXiv 2210.17323) onto the grids of llama.cpp's Q4_0 and Q8_0: rounding that knows what the inputs look like.

Plain rounding makes the error of each weight small. GPTQ makes the error of the layer's output small: the columns are rounded in turn,
and what one loses is put into those still to come, as far as their inputs go together (H = X^T X).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from torch import Tensor

from medllm.quantize.scale_search import symmetric_scales

Order = Literal["stored", "activation"]
BLOCK = 32  # weights of a row that share a float16 scale, in both types
_SHIFTS = np.linspace(-3, 1, 13, dtype=np.float32)  # candidates of the Q4_0 scale, as in the plain encoder
_MORE_DAMPING, _TRIES = 10.0, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Weights are scale * code with low <= code <= high; `searched` scales are the best of several, else the largest weight sets them."""

    low: int
    high: int
    searched: bool

    def scales(self, block: Tensor, importance: Tensor) -> Tensor:
        """Scale [rows, 1] of `block` [rows, 32], exact in float16; `importance` [32] weighs the error of each column."""
        if self.searched:
            weights = np.broadcast_to(importance.float().cpu().numpy()[:, None], block.T.shape)
            columns = np.ascontiguousarray(block.float().cpu().numpy().T)
            found = torch.from_numpy(symmetric_scales(columns, weights, levels=self.high + 1, shifts=_SHIFTS)).to(block)
        else:
            found = block.abs().amax(dim=1) / self.high
        return found.half().to(block.dtype)[:, None]

    def codes(self, weights: Tensor, scales: Tensor) -> Tensor:
        """Nearest codes; a block of zeros has scale 0 and codes 0."""
        return torch.where(scales == 0, 0, weights / scales).round().clamp(self.low, self.high)


GRIDS = {Type.Q4_0: Grid(low=-8, high=7, searched=True), Type.Q8_0: Grid(low=-127, high=127, searched=False)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """`codes` [rows, columns] int8 and `scales` [rows, columns / 32] float16."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float16]

    def weights(self) -> NDArray[np.float32]:
        """What llama.cpp reads back: exact in float32."""
        scales = np.repeat(self.scales.astype(np.float32), BLOCK, axis=1)
        return scales * self.codes.astype(np.float32)

    def packed(self, kind: Type) -> NDArray[np.uint8]:
        """The bytes of the rows in a GGUF: per block a scale, then the codes (Q4_0: code i low, code i + 16 high in byte i)."""
        rows, columns = self.codes.shape
        blocks = self.codes.reshape(rows, columns // BLOCK, BLOCK)
        if kind is Type.Q4_0:
            shifted = (blocks + 8).astype(np.uint8)
            stored = shifted[..., : BLOCK // 2] | shifted[..., BLOCK // 2 :] << 4
        else:
            stored = np.ascontiguousarray(blocks).view(np.uint8)
        scales = np.ascontiguousarray(self.scales)[..., None].view(np.uint8)
        return np.concatenate([scales, stored], axis=-1).reshape(rows, -1)


def round_weights(weight: Tensor, hessian: Tensor, grid: Grid, *, damping: float, order: Order, name: str) -> Rounded:
    """Round `weight` [rows, columns] for inputs with `hessian` [columns, columns] = X^T X (any factor); columns are a multiple of 32.

    `damping` is the share of the mean diagonal added to it. `order=activation` takes the columns by falling input energy, with scales
    fixed before. RuntimeError when the Hessian is not finite or stays singular. `name` is for messages.
    """
    left = weight.detach().double().clone()
    if not bool(torch.isfinite(hessian).all() and torch.isfinite(left).all()):
        raise RuntimeError(f"{name}: weights or calibration activations are not finite; the model is broken")
    turn = torch.arange(left.shape[1], device=left.device)
    if order == "activation":
        turn = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    upper = _inverse_factor(hessian[turn][:, turn], damping=damping, name=name)
    importance = upper.diagonal() ** -2  # an error e in a column costs e^2 times this, the later columns' answer to it included
    fixed = None
    if order == "activation":
        back = torch.argsort(turn)
        blocks = zip(torch.split(left, BLOCK, dim=1), torch.split(importance[back], BLOCK), strict=True)
        fixed = torch.cat([grid.scales(block, weights).expand(-1, BLOCK) for block, weights in blocks], dim=1)[:, turn]
    codes, scales = _sweep(left[:, turn], upper, importance, grid, fixed)
    back = torch.argsort(turn)
    return Rounded(codes=codes[:, back].to(torch.int8).cpu().numpy(), scales=scales[:, back][:, ::BLOCK].half().cpu().numpy())


def _sweep(left: Tensor, upper: Tensor, importance: Tensor, grid: Grid, fixed: Tensor | None) -> tuple[Tensor, Tensor]:
    """Codes and scales, both [rows, columns]; `left` is used up. Errors reach the block at once, the columns behind it block by block."""
    codes, scales = torch.zeros_like(left), torch.zeros_like(left) if fixed is None else fixed
    for start in range(0, left.shape[1], BLOCK):
        end = start + BLOCK
        block, factor = left[:, start:end], upper[start:end, start:end]
        if fixed is None:
            scales[:, start:end] = grid.scales(block, importance[start:end])
        errors = torch.zeros_like(block)
        for i in range(BLOCK):
            scale = scales[:, start + i]
            codes[:, start + i] = grid.codes(block[:, i], scale)
            errors[:, i] = (block[:, i] - scale * codes[:, start + i]) / factor[i, i]
            block[:, i + 1 :] -= errors[:, i, None] * factor[i, i + 1 :]
        left[:, end:] -= errors @ upper[start:end, end:]
    return codes, scales


def _inverse_factor(hessian: Tensor, *, damping: float, name: str) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped Hessian; a singular one gets ten times the damping, a few times."""
    matrix = hessian.double()
    matrix = matrix + torch.diag((matrix.diagonal() == 0).double())  # an input that was never awake: its weights are rounded on their own
    mean = float(matrix.diagonal().mean())
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    for attempt in range(_TRIES):
        lower, failed = torch.linalg.cholesky_ex(matrix + eye * (mean * damping * _MORE_DAMPING**attempt))
        if not int(failed):
            upper: Tensor
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not int(failed):
                return upper
    raise RuntimeError(f"{name}: the Hessian stays singular at damping {damping * _MORE_DAMPING ** (_TRIES - 1):g}; raise quantize.damping")
