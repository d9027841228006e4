"""bitsandbytes folders: every linear layer is quantised, the saved folder reloads and stays near its source."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.quantize.bnb import quantize_bnb

SEQUENCES = [[(step * 11 + 5) % 570 + 2 for step in range(24)], [9, 8, 7]]


@pytest.mark.parametrize(("scheme", "bound"), [("int8", 0.4), ("nf4", 3.0)])
def test_quantised_folder_reloads(scheme: str, bound: float, tiny_folder: Path, tmp_path: Path) -> None:
    result = quantize_bnb(tiny_folder, Path("unused"), tmp_path / scheme, scheme=scheme, compute_dtype="bf16")  # type: ignore[arg-type]
    assert result.tensors == {"bfloat16": 20, scheme: 8}
    assert result.bytes < (tiny_folder / "model.safetensors").stat().st_size * 0.75
    assert result.bits_per_weight < 12
    engine, source = open_engine(tmp_path / scheme, threads=1), open_engine(tiny_folder, threads=1, dtype="fp32")
    assert engine.dtype == scheme
    pairs = zip(engine.token_logprobs(SEQUENCES), source.token_logprobs(SEQUENCES), strict=True)
    assert max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True)) < bound
    assert len(engine.generate(SEQUENCES, max_new_tokens=3)) == 2
    with pytest.raises(UserError, match="dtype"):
        open_engine(tmp_path / scheme, threads=1, dtype="fp32")


@pytest.mark.parametrize("scheme", ["int8", "nf4"])
@pytest.mark.parametrize(("kind", "layers"), [("llama", 14), ("qwen3", 14)])
def test_grouped_queries_and_tied_heads(kind: str, layers: int, scheme: Any, tiny_tokenizer: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config, set_seed

    shape: dict[str, Any] = {
        "vocab_size": 600, "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.1, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    config: Any = LlamaConfig(**shape) if kind == "llama" else Qwen3Config(**shape, head_dim=64, tie_word_embeddings=True)
    set_seed(3)
    source = tmp_path / "source"
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        shutil.copyfile(tiny_tokenizer / name, source / name)
    result = quantize_bnb(source, Path("unused"), tmp_path / scheme, scheme=scheme, compute_dtype="fp32")
    assert result.tensors[scheme] == layers
    engine, reference = open_engine(tmp_path / scheme, threads=1), open_engine(source, threads=1, dtype="fp32")
    pairs = zip(engine.token_logprobs(SEQUENCES), reference.token_logprobs(SEQUENCES), strict=True)
    assert max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True)) < (0.4 if scheme == "int8" else 3.0)


@pytest.mark.parametrize("scheme", ["int8", "nf4"])
def test_a_quantised_source_is_refused(scheme: Any, quantised_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"already quantised \(bitsandbytes\), so it cannot be quantised again; take student") as error:
        quantize_bnb(quantised_folder, Path("unused"), tmp_path / "x", scheme=scheme, compute_dtype="bf16")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_wrong_knobs_and_widths_are_refused(make_neox: Callable[..., Path], tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="64"):
        quantize_bnb(make_neox(layers=1, ffn=160), Path("unused"), tmp_path / "x", scheme="nf4", compute_dtype="bf16")
    with pytest.raises(UserError, match="int4"):
        quantize_bnb(tiny_folder, Path("unused"), tmp_path / "x", scheme="int4", compute_dtype="bf16")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="fp8"):
        quantize_bnb(tiny_folder, Path("unused"), tmp_path / "x", scheme="int8", compute_dtype="fp8")  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()
