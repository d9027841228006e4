"""Blocks of llama.cpp's types: the official reader gets the weights back, with less error than llama.cpp's own rounding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from medllm.quantize import kquants
from medllm.quantize.gguf import quantize_gguf
from medllm.quantize.gguf_types import to_bytes
from medllm.quantize.kquants import ENCODERS, encode
from medllm.quantize.scale_search import affine_scales, symmetric_scales

Array = NDArray[np.float32]
kinds = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in sorted(ENCODERS)])


def _gaussian(rows: int = 96, width: int = 1024, *, std: float = 1.0) -> Array:
    return (np.random.default_rng(5).standard_normal((rows, width)) * std).astype(np.float32)


def _loss(weights: Array, kind: Type, importance: Array | None, *, weighed_by: Array | None = None) -> float:
    error = (weights - dequantize(encode(weights, kind, importance), kind)) ** 2
    by = np.ones(weights.shape[1], dtype=np.float32) if weighed_by is None else weighed_by
    return float(np.sqrt((by * error).sum() / (by * weights**2).sum()))


@pytest.mark.parametrize("std", [30.0, 0.02, 1e-4])
@pytest.mark.parametrize(
    ("kind", "bound"),  # what llama.cpp's reference loses on Gaussian weights: Q4_0 0.0859, Q4_K 0.0717, Q6_K 0.018
    [(Type.Q4_0, 0.0815), (Type.Q4_K, 0.0717), (Type.Q5_K, 0.0365), (Type.Q6_K, 0.0175)],
)
def test_gaussian_weights_come_back_within_the_reference(kind: Type, bound: float, std: float) -> None:
    assert 0.8 * bound < _loss(_gaussian(std=std), kind, None) < bound


@kinds
def test_importance_moves_the_error_to_where_it_matters_less(kind: Type) -> None:
    weights = _gaussian()
    importance = np.random.default_rng(6).lognormal(0, 1.5, weights.shape[1]).astype(np.float32)
    assert _loss(weights, kind, importance, weighed_by=importance) < 0.9 * _loss(weights, kind, None, weighed_by=importance)
    assert np.array_equal(encode(weights, kind, importance), encode(weights, kind, importance * 2.0**-20))  # only its shape counts
    assert np.array_equal(encode(weights, kind, np.ones_like(importance)), encode(weights, kind, None))


@kinds
def test_blocks_without_a_spread_come_back(kind: Type) -> None:
    rows = np.zeros((5, 512), dtype=np.float32)
    rows[1], rows[2], rows[3, 7], rows[4] = 3.0, -0.125, 5.0, np.linspace(2, 2.01, 512)
    assert np.allclose(dequantize(encode(rows, kind, None), kind), rows, rtol=5e-3)


@kinds
def test_chunks_and_threads_change_nothing(kind: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _gaussian(37)
    whole = encode(weights, kind, None)
    monkeypatch.setattr(kquants, "_CHUNK", 1)
    monkeypatch.setattr(kquants.os, "cpu_count", lambda: 5)
    assert np.array_equal(encode(weights, kind, None), whole)


@kinds
def test_integers_reach_the_whole_range(kind: Type) -> None:
    """A matrix that is already on the grid of its type stays what it is: every bit of the layout is in its place."""
    grid = dequantize(encode(_gaussian(64), kind, None), kind)
    again = dequantize(encode(grid, kind, None), kind)
    assert float(np.linalg.norm(again - grid) / np.linalg.norm(grid)) < 0.2 * _loss(_gaussian(64), kind, None)


def test_q4_0_without_importance_is_llamacpps_own() -> None:
    weights = _gaussian(8)
    assert np.array_equal(to_bytes(weights, Type.Q4_0, None), quantize(weights, Type.Q4_0))
    assert not np.array_equal(to_bytes(weights, Type.Q4_0, np.ones(1024, dtype=np.float32)), quantize(weights, Type.Q4_0))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_search_finds_scales_that_a_fine_grid_cannot_beat_by_much(weighted: bool) -> None:
    blocks = np.ascontiguousarray(_gaussian(8, 32).T)
    weights = np.random.default_rng(7).uniform(0.1, 3, blocks.shape).astype(np.float32) if weighted else None
    by = 1 if weights is None else weights
    shifts = np.linspace(-3, 1, 13, dtype=np.float32)
    scale = symmetric_scales(blocks, weights, levels=8, shifts=shifts)
    grid = np.linspace(0.6, 1.4, 400)[:, None, None] * scale
    errors = (by * (blocks - grid * np.clip(np.rint(blocks / grid), -8, 7)) ** 2).sum(axis=1)
    found = (by * (blocks - scale * np.clip(np.rint(blocks / scale), -8, 7)) ** 2).sum(axis=0)
    assert found.sum() < 1.03 * errors.min(axis=0).sum()
    slope, minimum = affine_scales(blocks, weights, levels=15, shifts=shifts + 1)
    assert (slope > 0).all()
    assert (minimum >= 0).all()
    q = np.clip(np.rint((blocks + minimum) / slope), 0, 15)
    plain_slope = (blocks.max(axis=0) - blocks.min(axis=0)) / 15
    plain = plain_slope * np.clip(np.rint((blocks - blocks.min(axis=0)) / plain_slope), 0, 15) + blocks.min(axis=0)
    assert (by * (blocks - (slope * q - minimum)) ** 2).sum() < 0.97 * (by * (blocks - plain) ** 2).sum()


def test_activations_are_measured_once_for_every_input_channel(
    make_neox: Callable[..., Path], small_prepared: Path, tmp_path: Path
) -> None:
    import torch

    from medllm.calibration import calibration_batches
    from medllm.model.folder import load_model
    from medllm.quantize.gguf_importance import activation_importance
    from medllm.quantize.gguf_writer import GgufSource

    source = make_neox(hidden=256, layers=1, ffn=256)
    found = activation_importance(GgufSource(source), small_prepared, batch_rows=5, max_tokens=128)
    assert set(found) == {"token_embd.weight", "output.weight"} | {
        f"blk.0.{part}.weight" for part in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    }
    model: Any = load_model(source)
    total, tokens = torch.zeros(256), 0
    for batch in calibration_batches(small_prepared, source, batch_rows=1, max_tokens=128):
        hidden = model.gpt_neox(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        total, tokens = total + hidden[0].detach().square().sum(dim=0), tokens + hidden.shape[1]
    assert np.allclose(found["output.weight"], (total / tokens).numpy(), rtol=1e-3)
    digests = set()
    for importance in ("none", "activations"):
        result = quantize_gguf(
            source, small_prepared, tmp_path / importance, scheme="q4_k", sensitive_scheme="q4_k", head_scheme="q4_0",
            importance=importance, batch_rows=8, max_tokens=128,
        )  # fmt: skip
        assert result.tensors == {"f32": 10, "q4_0": 2, "q4_k": 4}
        digests.add((tmp_path / importance / "model.gguf").read_bytes())
    assert len(digests) == 2
