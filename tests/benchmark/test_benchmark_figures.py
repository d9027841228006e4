import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

from medllm.benchmark.bandwidth import PROBE
from medllm.benchmark.device import cpu_name, device_name
from medllm.benchmark.prompts import random_prompt, usable_ids
from medllm.benchmark.summary import summarise
from medllm.benchmark.weights import Weights, read_weights
from medllm.errors import UserError


def test_parameters_of_safetensors(tmp_path: Path) -> None:
    save_file({"a.weight": np.zeros((8, 4), np.float16), "a.bias": np.zeros(8, np.float16)}, tmp_path / "model-1.safetensors")
    save_file({"b.weight": np.zeros((3, 5), np.float32)}, tmp_path / "model-2.safetensors")
    for dtype, resident in ((None, 40 * 2 + 15 * 4), ("bf16", 55 * 2), ("fp32", 55 * 4)):
        assert read_weights(tmp_path, dtype=dtype) == Weights(parameters=55, resident_bytes=resident, bytes_per_token=resident)


def test_parameters_of_bitsandbytes_are_logical(tmp_path: Path) -> None:
    tensors = {
        "four.weight": np.zeros((16, 1), np.uint8),  # 8 x 4 in 4 bit
        "four.weight.absmax": np.zeros(1, np.float32),
        "four.weight.quant_map": np.zeros(16, np.float32),
        "four.weight.nested_absmax": np.zeros(1, np.float32),
        "four.weight.nested_quant_map": np.zeros(256, np.float32),
        "four.weight.quant_state.bitsandbytes__nf4": np.zeros(90, np.uint8),
        "eight.weight": np.zeros((8, 4), np.int8),
        "eight.SCB": np.zeros(8, np.float32),
        "eight.weight_format": np.zeros(1, np.uint8),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    stored = sum(tensor.nbytes for tensor in tensors.values())
    assert read_weights(tmp_path, dtype="nf4") == Weights(parameters=64, resident_bytes=stored, bytes_per_token=stored)


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0])
def test_parameters_of_gguf_are_logical(tmp_path: Path, kind: gguf.GGMLQuantizationType) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "gptneox")
    weights = np.ones((6, 64), np.float32)
    writer.add_tensor("blk.0.weight", gguf.quants.quantize(weights, kind), raw_dtype=kind)
    writer.add_tensor("rope_freqs.weight", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    blocks = {"F16": 128, "Q8_0": 68, "Q4_0": 36}[kind.name]  # bytes of a row of 64
    stored = 6 * blocks + 32 * 4
    assert read_weights(tmp_path, dtype=None) == Weights(parameters=6 * 64, resident_bytes=stored, bytes_per_token=stored)


@pytest.mark.parametrize(
    ("tensors", "read"),
    [
        ({"gpt_neox.embed_in.weight": 40, "a.weight": 12, "embed_out.weight": 40}, 52),
        ({"model.embed_tokens.weight": 40, "a.weight": 12}, 52),  # one matrix for both ends is read as the output
        ({"token_embd.weight": 40, "blk.0.attn_output.weight": 12}, 52),  # tied: that is no output matrix
    ],
)
def test_a_token_reads_all_weights_but_the_input_embedding(tmp_path: Path, tensors: dict[str, int], read: int) -> None:
    save_file({name: np.zeros(size, np.float16) for name, size in tensors.items()}, tmp_path / "model.safetensors")
    assert read_weights(tmp_path, dtype=None).bytes_per_token == 2 * read


def test_no_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        read_weights(tmp_path, dtype=None)


def _tokenizer(folder: Path, vocabulary: object, added: list[int]) -> Path:
    folder.mkdir()
    values = {"model": {"vocab": vocabulary}, "added_tokens": [{"id": number} for number in added]}
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_prompts_use_ordinary_ids_that_all_models_have(tmp_path: Path) -> None:
    first = _tokenizer(tmp_path / "a", {f"t{i}": i for i in range(10)}, [0, 1])
    second = _tokenizer(tmp_path / "b", [[f"t{i}", -1.0] for i in range(8)], [7])
    ids = usable_ids([first, second, first])
    assert ids == [2, 3, 4, 5, 6]
    prompt = random_prompt(ids, length=12, seed="1:0")
    assert prompt == random_prompt(ids, length=12, seed="1:0")
    assert prompt != random_prompt(ids, length=12, seed="1:1")
    assert len(prompt) == 12
    assert set(prompt) <= set(ids)
    with pytest.raises(UserError, match=r"tokenizer\.json: missing"):
        usable_ids([tmp_path])


def test_ratios_are_of_the_same_round() -> None:
    # The machine slows down by ten in round 2; models twice as fast as their baseline stay so in every round.
    def sample(rate: float) -> dict[str, object]:
        return {"ttft_s": 1 / rate, "answer_s": 11 / rate, "decode_tokens_per_s": rate, "inter_token_s": [1 / rate] * 9 + [2 / rate]}

    def probe(slow: float) -> dict[str, float]:
        return {"bandwidth_bytes_per_s": 10_000 / slow}

    slows = (1, 10, 1.2)
    rounds = [{"a": sample(100 / slow), "b": sample(400 / slow), "c": sample(800 / slow), PROBE: probe(slow)} for slow in slows]
    figures = summarise(rounds, baseline_a="a", baseline_b="b", prompt_tokens=20, bytes_read={"a": 50, "b": 20, "c": 5})
    assert list(figures) == ["a", "b", "c"]
    assert [figures["c"][f"bandwidth_share{key}"] for key in ("_low", "", "_high")] == pytest.approx([0.4] * 3)
    assert (figures["a"]["bytes_read_per_token"], figures["a"]["bandwidth_share"]) == (50, pytest.approx(0.5))
    assert figures["a"]["inter_token_ms_p50"] == pytest.approx(12)  # over all 30 gaps: ten of 10 ms, ten of 100, ten of 12, but for one
    assert figures["a"]["inter_token_ms_p99"] == pytest.approx(100 + 0.71 * 100)
    assert {name: figures[name]["decode_ratio_to_a"] for name in "abc"} == pytest.approx({"a": 1, "b": 4, "c": 8})
    assert [figures["c"][f"decode_ratio_to_b{key}"] for key in ("_low", "", "_high")] == pytest.approx([2, 2, 2])
    slow, middle, fast = 10, 100 / 1.2, 100
    assert figures["a"]["decode_tokens_per_s"] == pytest.approx(middle)
    assert figures["a"]["decode_tokens_per_s_low"] == pytest.approx(slow + 0.2 * (middle - slow))
    assert figures["a"]["decode_tokens_per_s_high"] == pytest.approx(middle + 0.8 * (fast - middle))
    assert figures["a"]["ttft_ms_p50"] == pytest.approx(12)
    assert figures["a"]["prefill_tokens_per_s"] == pytest.approx(20 / 0.012)
    assert figures["a"]["answer_ms_p50"] == pytest.approx(11 * 12)
    assert figures["a"]["answer_ms_p95"] == pytest.approx(11 * (12 + 0.9 * (100 - 12)))


@pytest.mark.parametrize(
    ("text", "name"), [("processor: 0\nmodel name\t: Test  CPU @ 2GHz\n", "Test CPU @ 2GHz"), ("processor: 0\n", None)]
)
def test_cpu_name(tmp_path: Path, text: str, name: str | None) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    assert cpu_name(path) == name if name else cpu_name(path)
    assert device_name(threads=1).endswith(", 1 thread")
    assert device_name(threads=2).endswith(", 2 threads")
