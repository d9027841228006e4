"""A GGUF holds every weight of its source, answers like it, and splits text like its tokenizer."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize

from medllm.data.prompts import Prompts
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.quantize.gguf import quantize_gguf

SEQUENCES = [[(7 * start + step * (start + 3)) % 570 + 2 for step in range(20 + start)] for start in range(4)]


def _worst_difference(first: Path, second: Path) -> float:
    engines = open_engine(first, threads=1), open_engine(second, threads=1, dtype="fp32")
    found, wanted = (engine.token_logprobs(SEQUENCES) for engine in engines)
    return max(abs(a - b) for x, y in zip(found, wanted, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize(
    ("scheme", "head", "counts", "bits"),
    [
        ("f16", "f16", {"f16": 10, "f32": 18}, (16, 16.3)),
        ("q8_0", "q8_0", {"q8_0": 10, "f32": 18}, (8.5, 8.8)),
        ("q4_0", "q8_0", {"q4_0": 8, "q8_0": 2, "f32": 18}, (4.5, 6.5)),
        ("q4_0", "f16", {"q4_0": 8, "f16": 2, "f32": 18}, (4.5, 9.0)),
    ],
)
def test_counts_and_sizes(
    scheme: str, head: str, counts: dict[str, int], bits: tuple[float, float], tiny_folder: Path, tmp_path: Path
) -> None:
    hashes = set()
    for name in ("first", "second"):
        result = quantize_gguf(tiny_folder, tmp_path / name, scheme=scheme, head_scheme=head)  # type: ignore[arg-type]
        written = tmp_path / name / "model.gguf"
        hashes.add(hashlib.sha256(written.read_bytes()).hexdigest())
        assert result.tensors == counts
        assert bits[0] <= result.bits_per_weight <= bits[1]
        assert result.bytes == written.stat().st_size
        assert result.fallbacks == []
        assert {path.name for path in written.parent.iterdir()} >= {"model.gguf", "tokenizer.json", "prompt.json"}
    assert len(hashes) == 1


def test_pruned_widths_and_fallback(make_neox: Callable[..., Path], tmp_path: Path) -> None:
    pruned = make_neox(hidden=192, layers=1, ffn=192, seed=1)
    assert quantize_gguf(pruned, tmp_path / "f16", scheme="f16", head_scheme="f16").fallbacks == []
    assert _worst_difference(tmp_path / "f16", pruned) < 0.02
    odd = make_neox(ffn=200, seed=2)  # only the layer that reads 200 values cannot be cut into blocks of 32
    result = quantize_gguf(odd, tmp_path / "q8", scheme="q8_0", head_scheme="q8_0")
    assert [line.split(":")[0] for line in result.fallbacks] == ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]
    assert result.tensors["f16"] == 2
    assert _worst_difference(tmp_path / "q8", odd) < 0.3


@pytest.mark.parametrize("kind", ["llama", "qwen3", "tied_neox", "sequential_neox"])
def test_other_architectures_answer_like_transformers(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, Qwen3Config, set_seed

    shape = {
        "vocab_size": 600, "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 256, "initializer_range": 0.1, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    config = {
        "llama": lambda: LlamaConfig(**shape, num_key_value_heads=1, rope_theta=50000.0),
        "qwen3": lambda: Qwen3Config(**shape, num_key_value_heads=1, head_dim=32, tie_word_embeddings=True),
        "tied_neox": lambda: GPTNeoXConfig(**shape, tie_word_embeddings=True),
        "sequential_neox": lambda: GPTNeoXConfig(**shape, use_parallel_residual=False),
    }[kind]()
    set_seed(3)
    source = tmp_path / "source"
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        shutil.copyfile(tiny_folder / name, source / name)
    quantize_gguf(source, tmp_path / "gguf", scheme="f16", head_scheme="f16")
    assert _worst_difference(tmp_path / "gguf", source) < 0.02


def _lines(count: int) -> list[str]:
    """Varied Korean lines, the same on every run: words, jamo, symbols, emoji, spaces and what looks like control tokens."""
    pick = random.Random(11)
    odd = [
        "ㅋㅋㅋ", "ㅠㅠ", "ㄱㄴㄷ", "\u1100\u1161\u11a8", "①②", "㎎/㎗", "℃", "½", "½컵", "😀", "👩\u200d⚕\ufe0f", "🇰🇷",
        "<|endoftext|>", "<|pad|>", "<|end", "</s>", "[PAD3]", "\t", "\n", "\n\n", "  ", "   ", "\u3000", "\u00a0", "\u200b",
        "\ufeff", "\r\n", "don't", "I'LL", "it's", "HbA1c", "mg/dL", "CT·MRI", "12.5", "1,000", "１２", "119", "２형", "(1)",
        "『』", "…", "—", "~", "!!", "??", "漢字", "かな", "é", "e\u0301", "\U0001d4b3", "\U0010ffff", "\u0663", "Ⅳ기", "_", "''",
        "'s", "'가",
    ]  # fmt: skip
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(pick.randint(1, 9)):
            roll = pick.random()
            if roll < 0.5:
                parts.append("".join(chr(pick.randint(0xAC00, 0xD7A3)) for _ in range(pick.randint(1, 4))))
            elif roll < 0.6:
                parts.append(chr(pick.choice([pick.randint(0x20, 0x2FFF), pick.randint(0x3000, 0xABFF), pick.randint(0x1F300, 0x1FAFF)])))
            else:
                parts.append(pick.choice(odd))
            parts.append(pick.choice(["", "", " ", " ", "  ", ". ", ","]))
        lines.append("".join(parts))
    return lines


def test_llamacpp_splits_text_like_the_training_tokenizer(tiny_folder: Path, tiny_gguf: dict[str, Path]) -> None:
    from medllm.engines.llamacpp_engine import LlamaCppEngine

    encoder, engine = Prompts.load(tiny_folder), LlamaCppEngine(tiny_gguf["q8_0"], threads=1)
    lines = _lines(10_000)
    assert len(set(lines)) > 9_500
    wrong = [line for line in lines if engine.tokenize(line) != encoder.text(line)]
    assert wrong == []


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer.json", {"normalizer": {"type": "NFC"}}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True, "trim_offsets": True}}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": []}}),
        ("config.json", {"model_type": "bert"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"vocab_size": 100}),
        ("config.json", {"rope_parameters": {"rope_type": "yarn"}}),
    ],
)
def test_what_llamacpp_cannot_reproduce_is_refused(file: str, change: dict[str, object], tiny_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_folder, source)
    content = json.loads((source / file).read_text(encoding="utf-8"))
    (source / file).write_text(json.dumps({**content, **change}), encoding="utf-8")
    with pytest.raises(UserError) as error:
        quantize_gguf(source, tmp_path / "target", scheme="q8_0", head_scheme="q8_0")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "target" / "model.gguf").exists()


def test_unknown_scheme_and_missing_weights_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="q3_k"):
        quantize_gguf(tiny_folder, tmp_path / "x", scheme="q3_k", head_scheme="f16")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"config\.json"):
        quantize_gguf(tmp_path, tmp_path / "x", scheme="f16", head_scheme="f16")


def test_a_lost_or_damaged_tensor_is_found(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = GGUFWriter.write_tensor_data

    def damaged(self: GGUFWriter, tensor: np.ndarray, *rest: object) -> None:
        write(self, np.zeros_like(tensor) if tensor.dtype == np.uint8 else tensor, *rest)

    monkeypatch.setattr(GGUFWriter, "write_tensor_data", damaged)
    with pytest.raises(RuntimeError, match="lost"):
        quantize_gguf(tiny_folder, tmp_path / "x", scheme="q8_0", head_scheme="q8_0")


def test_weights_come_back_from_the_file(tiny_folder: Path, tiny_gguf: dict[str, Path]) -> None:
    # independent of the writer's own reorder: the fused matrix of head h starts at row h*3*64 in the source
    from safetensors.torch import load_file

    source = load_file(tiny_folder / "model.safetensors")["gpt_neox.layers.1.attention.query_key_value.weight"].float().numpy()
    tensor = next(t for t in GGUFReader(tiny_gguf["f16"] / "model.gguf").tensors if t.name == "blk.1.attn_qkv.weight")
    fused = dequantize(tensor.data, tensor.tensor_type)
    for part in range(3):
        for head in range(2):
            wanted = source[(head * 3 + part) * 64 : (head * 3 + part + 1) * 64]
            assert np.allclose(fused[part * 128 + head * 64 : part * 128 + (head + 1) * 64], wanted, atol=1e-3)
