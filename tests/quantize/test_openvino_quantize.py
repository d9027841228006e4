"""OpenVINO folders: near their source on every architecture, the same bytes each time, and a broken one never gets through."""

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.quantize import openvino
from medllm.quantize.openvino import quantize_openvino

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="extra `peers` is not installed")  # no import: it would report
SEQUENCES = [[(step * 11 + 5) % 570 + 2 for step in range(24)], [9, 8, 7]]


@pytest.fixture
def source(request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path) -> Path:
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config, set_seed

    if request.param == "neox":
        return tiny_folder
    shape: dict[str, Any] = {
        "vocab_size": 600, "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.1, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    config: Any = LlamaConfig(**shape) if request.param == "llama" else Qwen3Config(**shape, head_dim=64, tie_word_embeddings=True)
    set_seed(3)
    folder = tmp_path / request.param
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        shutil.copyfile(tiny_folder / name, folder / name)
    return folder


@pytest.mark.parametrize(("source", "weights", "bound", "bits", "rounded"), [
    ("neox", "f16", 0.02, 16, 0), ("llama", "f16", 0.02, 16, 0), ("qwen3", "f16", 0.02, 16, 0), ("qwen3", "int8", 0.4, 8, 15),
], indirect=["source"])  # fmt: skip
def test_saved_model_stays_near_its_source(weights: Any, bound: float, bits: int, rounded: int, source: Path, tmp_path: Path) -> None:
    result = quantize_openvino(source, Path("unused"), tmp_path / weights, weights=weights)
    assert result.scheme == weights
    assert result.bits_per_weight == pytest.approx(bits, abs=0.5)
    assert result.bytes == (tmp_path / weights / "openvino_model.bin").stat().st_size
    assert result.tensors.get("int8", 0) == rounded
    engine, reference = open_engine(tmp_path / weights, threads=1), open_engine(source, threads=1, dtype="fp32")
    assert engine.dtype == weights
    pairs = zip(engine.token_logprobs(SEQUENCES), reference.token_logprobs(SEQUENCES), strict=True)
    assert max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True)) < bound
    if weights == "f16":
        assert engine.generate(SEQUENCES, max_new_tokens=12) == reference.generate(SEQUENCES, max_new_tokens=12)


def test_same_bytes_each_time(tiny_folder: Path, tmp_path: Path) -> None:
    for name in ("a", "elsewhere"):
        quantize_openvino(tiny_folder, Path("unused"), tmp_path / name, weights="int8")
    one, other = ({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / n).iterdir()} for n in ("a", "elsewhere"))
    assert one == other
    assert {"openvino_model.xml", "openvino_model.bin", "config.json", "tokenizer.json", "prompt.json"} <= set(one)


def test_a_model_that_answers_otherwise_is_refused(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openvino._TOLERANCE, "int8", 0.0001)
    with pytest.raises(RuntimeError, match="logits differ from the source"):
        quantize_openvino(tiny_folder, Path("unused"), tmp_path / "x", weights="int8")


def test_wrong_knobs_and_quantised_sources_are_refused(tiny_folder: Path, quantised_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="int3"):
        quantize_openvino(tiny_folder, Path("unused"), tmp_path / "x", weights="int3")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"already quantised \(bitsandbytes\)"):
        quantize_openvino(quantised_folder, Path("unused"), tmp_path / "x", weights="f16")
    assert not (tmp_path / "x").exists()
