"""GPTQ: the file holds what was chosen, the chosen weights answer better than plain rounding, and every architecture gets through."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

from medllm.calibration import calibrate, calibration_batches
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.model.folder import load_model
from medllm.quantize.gguf_gptq import quantize_gguf_gptq
from medllm.quantize.gptq import GRIDS, round_weights
from medllm.quantize.layerwise import quantise_in_turn

KNOBS: dict[str, Any] = {"damping": 0.01, "order": "stored", "batch_rows": 8, "max_tokens": 128}
SEQUENCES = [[(step * 11 + 5) % 570 + 2 for step in range(24)], [9, 8, 7]]


def _problem(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [48, 96] and inputs [300, 96] that go together, as activations do."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(300, 12, generator=draw) @ torch.randn(12, 96, generator=draw) + 0.2 * torch.randn(300, 96, generator=draw)
    return torch.randn(48, 96, generator=draw), inputs


def _loss(inputs: torch.Tensor, weights: torch.Tensor, found: np.ndarray) -> float:
    return float((inputs @ (weights - torch.from_numpy(found)).T).norm() / (inputs @ weights.T).norm())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", ["stored", "activation"])
@pytest.mark.parametrize("kind", list(GRIDS))
def test_outputs_are_closer_than_by_plain_rounding_and_bytes_are_those_of_gguf(kind: Type, order: Any, seed: int) -> None:
    weights, inputs = _problem(seed)
    found = round_weights(weights, inputs.T @ inputs, GRIDS[kind], damping=0.01, order=order, name="x")
    plain = dequantize(quantize(weights.numpy(), kind), kind)
    assert _loss(inputs, weights, found.weights()) < 0.6 * _loss(inputs, weights, plain)
    assert np.array_equal(dequantize(found.packed(kind), kind), found.weights())
    assert found.codes.min() >= GRIDS[kind].low
    assert found.codes.max() <= GRIDS[kind].high


@pytest.mark.parametrize("kind", list(GRIDS))
def test_inputs_that_do_not_go_together_leave_the_nearest_codes(kind: Type) -> None:
    weights, _ = _problem(0)
    found = round_weights(weights, torch.eye(96), GRIDS[kind], damping=0.01, order="stored", name="x")
    away = np.abs(found.weights() - weights.numpy()) / np.repeat(found.scales.astype(np.float32), 32, axis=1)
    inside = (found.codes > GRIDS[kind].low) & (found.codes < GRIDS[kind].high)
    assert np.abs(away[inside]).max() < 0.501


def test_singular_dead_and_broken_hessians() -> None:
    weights, inputs = _problem(1)
    inputs[:, 40:] = inputs[:, :56]  # rank 40 of 96
    inputs[:, 7] = 0
    hessian = inputs.T @ inputs
    for damping in (1e-2, 1e-16):  # the second is lost in float64 and has to grow
        found = round_weights(weights, hessian, GRIDS[Type.Q4_0], damping=damping, order="stored", name="x").weights()
        assert np.isfinite(found).all()
        assert np.abs(found[:, 7] - weights.numpy()[:, 7]).max() < 1
    zero = round_weights(torch.zeros(4, 96), hessian, GRIDS[Type.Q4_0], damping=0.01, order="stored", name="x")
    assert not zero.weights().any()
    hessian[3, 3] = torch.nan
    with pytest.raises(RuntimeError, match=r"attention\.dense"):
        round_weights(weights, hessian, GRIDS[Type.Q4_0], damping=0.01, order="stored", name="attention.dense")


def _random(kind: str, target: Path, tokenizer: Path) -> Path:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, Qwen3Config, set_seed

    shape: dict[str, Any] = {
        "vocab_size": 600, "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 256, "initializer_range": 0.15, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    config: Any = {
        "gpt_neox": lambda: GPTNeoXConfig(**shape),
        "llama": lambda: LlamaConfig(**shape, num_key_value_heads=1),
        "qwen3": lambda: Qwen3Config(**shape, num_key_value_heads=1, head_dim=32, tie_word_embeddings=True),
    }[kind]()
    set_seed(3)
    AutoModelForCausalLM.from_config(config).save_pretrained(target)
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        shutil.copyfile(tokenizer / name, target / name)
    return target


@pytest.mark.parametrize(
    ("kind", "scheme", "head", "bound", "counts"),
    [
        ("gpt_neox", "q8_0", "q8_0", 0.4, {"q8_0": 10, "f32": 18}),
        ("llama", "q4_0", "f16", 3.0, {"q4_0": 14, "f16": 2, "f32": 5}),
        ("qwen3", "q4_0", "q6_k", 3.0, {"q4_0": 14, "q8_0": 1, "f32": 9}),  # tied; 128 is too narrow for q6_k
    ],
)
def test_every_architecture_answers_like_its_source(
    kind: str, scheme: Any, head: Any, bound: float, counts: dict[str, int], tiny_tokenizer: Path, small_prepared: Path, tmp_path: Path
) -> None:
    source = _random(kind, tmp_path / "source", tiny_tokenizer)
    result = quantize_gguf_gptq(source, small_prepared, tmp_path / "gguf", scheme=scheme, head_scheme=head, **KNOBS)
    assert result.tensors == counts
    engine, reference = open_engine(tmp_path / "gguf", threads=1), open_engine(source, threads=1, dtype="fp32")
    pairs = zip(engine.token_logprobs(SEQUENCES), reference.token_logprobs(SEQUENCES), strict=True)
    assert max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True)) < bound


def test_the_file_answers_better_than_plain_rounding_and_is_the_same_twice(
    tiny_folder: Path, small_prepared: Path, tmp_path: Path
) -> None:
    from medllm.quantize.gguf import quantize_gguf

    plain: dict[str, Any] = {"sensitive_scheme": "q4_0", "importance": "none", "batch_rows": 8, "max_tokens": 128}
    quantize_gguf(tiny_folder, small_prepared, tmp_path / "plain", scheme="q4_0", head_scheme="q4_0", **plain)
    for name in ("first", "second"):
        quantize_gguf_gptq(tiny_folder, small_prepared, tmp_path / name, scheme="q4_0", head_scheme="q4_0", **KNOBS)
    files = {name: (tmp_path / name / "model.gguf").read_bytes() for name in ("plain", "first", "second")}
    assert files["first"] == files["second"] != files["plain"]
    assert len(files["first"]) == len(files["plain"])
    batches = calibration_batches(small_prepared, tiny_folder, batch_rows=8, max_tokens=128)
    sequences = [row[: int(mask.sum())].tolist() for b in batches for row, mask in zip(b["input_ids"], b["attention_mask"], strict=True)]
    wanted = np.concatenate(open_engine(tiny_folder, threads=1, dtype="fp32").token_logprobs(sequences))
    moved = [
        float(np.abs(np.concatenate(open_engine(tmp_path / name, threads=1).token_logprobs(sequences)) - wanted).mean())
        for name in ("plain", "first")
    ]
    assert moved[1] < 0.9 * moved[0]


@pytest.mark.parametrize("kind", ["gpt_neox", "llama"])
def test_every_layer_sees_the_changes_before_it_and_none_after(
    kind: str, tiny_tokenizer: Path, small_prepared: Path, tmp_path: Path
) -> None:
    source = _random(kind, tmp_path / "source", tiny_tokenizer)
    batches = calibration_batches(small_prepared, source, batch_rows=8, max_tokens=128)
    seen: dict[str, torch.Tensor] = {}

    def halve(name: str, layer: torch.nn.Linear, hessian: torch.Tensor) -> None:
        seen[name] = hessian.clone()
        layer.weight.mul_(0.5)

    quantise_in_turn(load_model(source), batches, halve)
    replayed = load_model(source)
    linear = {name: module for name, module in replayed.named_modules() if isinstance(module, torch.nn.Linear)}
    assert sorted(seen) == sorted(linear)
    for name, found in seen.items():  # a whole forward pass for each, instead of block by block
        total = torch.zeros_like(found)

        def add(_: int, rows: torch.Tensor, __: torch.Tensor, total: torch.Tensor = total) -> None:
            total.add_(rows.double().T @ rows.double())

        calibrate(replayed, batches, [linear[name]], add)
        assert torch.allclose(total, found, rtol=1e-4, atol=1e-2), name
        with torch.no_grad():
            linear[name].weight.mul_(0.5)


def test_what_cannot_be_done_is_refused(
    make_neox: Callable[..., Path], tiny_folder: Path, small_prepared: Path, tmp_path: Path
) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("q4_k", {"scheme": "q4_k"}), ("int4", {"head_scheme": "int4"}), ("damping", {"damping": 0.0}), ("random", {"order": "random"}),
        ("calibration", {"max_tokens": 1}),
    ]  # fmt: skip
    for message, change in wrong:
        with pytest.raises(UserError, match=message):
            quantize_gguf_gptq(tiny_folder, small_prepared, tmp_path / "x", **{"scheme": "q4_0", "head_scheme": "q8_0", **KNOBS, **change})
    assert not (tmp_path / "x").exists()
    odd = make_neox(layers=1, ffn=200, seed=2)  # only the layer that reads 200 values has no blocks of 32
    result = quantize_gguf_gptq(odd, small_prepared, tmp_path / "odd", scheme="q4_0", head_scheme="q8_0", **KNOBS)
    assert [line.split(":")[0] for line in result.fallbacks] == ["blk.0.ffn_down.weight"]
    assert result.tensors["q4_0"] == 3
