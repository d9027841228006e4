"""Weights are used as llama.cpp reads them back, and trained as if they were not."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize

from medllm.distill.fake_quantize import FakeScheme, fake_quantized, round_trip
from medllm.model.folder import load_model

TYPES = {"q4_0": gguf.GGMLQuantizationType.Q4_0, "q8_0": gguf.GGMLQuantizationType.Q8_0}
schemes = pytest.mark.parametrize("scheme", ["q4_0", "q8_0"])


@schemes
@pytest.mark.parametrize("scale", [1e-9, 1e-3, 0.02, 100.0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_round_trip_is_that_of_gguf_bit_for_bit(scheme: FakeScheme, scale: float) -> None:
    weight = scale * torch.randn(64, 96, generator=torch.Generator().manual_seed(1))
    weight[::2] = weight[::2].bfloat16().float()  # where halves and ties are common
    weight[3], weight[4, :32], weight[5, :16], weight[5, 16:32] = 0.0, scale, scale, -scale
    assert np.array_equal(dequantize(quantize(weight.numpy(), TYPES[scheme]), TYPES[scheme]), round_trip(weight, scheme).numpy())


def test_a_width_without_whole_blocks_stays_in_float16() -> None:
    weight = torch.randn(4, 40)
    assert torch.equal(round_trip(weight, "q4_0"), weight.half().float())


@schemes
def test_the_model_sees_what_its_gguf_holds(scheme: FakeScheme, tiny_folder: Path, tiny_gguf: dict[str, Path]) -> None:
    written = {tensor.name: tensor for tensor in gguf.GGUFReader(tiny_gguf[scheme] / "model.gguf").tensors}
    weights = load_model(tiny_folder).state_dict()
    for ours, theirs in (("attention.dense", "attn_output"), ("mlp.dense_h_to_4h", "ffn_up"), ("mlp.dense_4h_to_h", "ffn_down")):
        tensor = written[f"blk.1.{theirs}.weight"]
        found = dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(found, round_trip(weights[f"gpt_neox.layers.1.{ours}.weight"], scheme).numpy()), theirs
    fused = round_trip(weights["gpt_neox.layers.1.attention.query_key_value.weight"], scheme).numpy()
    tensor = written["blk.1.attn_qkv.weight"]  # rows go elsewhere in the file, blocks lie along the width
    found = dequantize(tensor.data, tensor.tensor_type)
    assert sorted(found.tolist()) == sorted(fused.tolist())


@schemes
def test_gradients_go_straight_through_and_weights_stay_plain(scheme: FakeScheme, tiny_folder: Path) -> None:
    model: Any = load_model(tiny_folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with fake_quantized(model, scheme):
        seen = model(input_ids=torch.tensor([[5, 6, 7]])).logits
        seen.square().mean().backward()
        assert {name for name, _ in model.named_parameters()} <= set(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    rounded: Any = load_model(tiny_folder)
    with torch.no_grad():
        for module in rounded.modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
                module.weight.copy_(round_trip(module.weight, scheme))
    wanted = rounded(input_ids=torch.tensor([[5, 6, 7]])).logits
    wanted.square().mean().backward()
    assert torch.equal(seen, wanted)
    for (name, ours), theirs in zip(model.named_parameters(), rounded.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6), name
    with torch.inference_mode():
        plain = load_model(tiny_folder)(input_ids=torch.tensor([[5, 6, 7]])).logits
        assert torch.equal(model(input_ids=torch.tensor([[5, 6, 7]])).logits, plain)
