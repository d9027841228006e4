"""A GGUF holds every weight of its source, answers like it, and splits text like its tokenizer."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize

from medllm.data.prompts import Prompts
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.quantize.gguf import is_sensitive

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
    scheme: str, head: str, counts: dict[str, int], bits: tuple[float, float], tiny_folder: Path, plain_gguf: Callable[..., Any],
    tmp_path: Path,
) -> None:  # fmt: skip
    hashes = set()
    for name in ("first", "second"):
        result = plain_gguf(tiny_folder, tmp_path / name, scheme, head_scheme=head)
        written = tmp_path / name / "model.gguf"
        hashes.add(hashlib.sha256(written.read_bytes()).hexdigest())
        assert result.tensors == counts
        assert bits[0] <= result.bits_per_weight <= bits[1]
        assert result.bytes == written.stat().st_size
        assert result.fallbacks == []
        assert {path.name for path in written.parent.iterdir()} >= {"model.gguf", "tokenizer.json", "prompt.json"}
    assert len(hashes) == 1


def test_pruned_widths_and_fallback(make_neox: Callable[..., Path], plain_gguf: Callable[..., Any], tmp_path: Path) -> None:
    pruned = make_neox(hidden=192, layers=1, ffn=192, seed=1)
    assert plain_gguf(pruned, tmp_path / "f16", "f16").fallbacks == []
    assert _worst_difference(tmp_path / "f16", pruned) < 0.02
    odd = make_neox(ffn=200, seed=2)  # only the layer that reads 200 values cannot be cut into blocks of 32
    result = plain_gguf(odd, tmp_path / "q8", "q8_0")
    assert [line.split(":")[0] for line in result.fallbacks] == ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]
    assert result.tensors["f16"] == 2
    assert _worst_difference(tmp_path / "q8", odd) < 0.3


@pytest.mark.parametrize(
    ("scheme", "width", "types"),
    [
        ("q4_k", 256, {"q4_k"}),
        ("q6_k", 192, {"q8_0"}),
        ("q5_k", 192, {"q5_0"}),
        ("q4_k", 192, {"q4_0"}),
        ("q4_k", 200, {"f16"}),
    ],
)
def test_a_width_without_whole_blocks_falls_back_and_says_so(
    scheme: str, width: int, types: set[str], make_neox: Callable[..., Path], plain_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    result = plain_gguf(make_neox(hidden=256, layers=1, ffn=width), tmp_path / "x", scheme)  # ffn_down alone reads `width` values
    assert set(result.tensors) == {"f32", scheme, *types}
    told = [] if types == {scheme} else [f"blk.0.ffn_down.weight: {scheme} cannot hold a width of {width}, kept in {types.pop()}"]
    assert result.fallbacks == told


def _random_model(kind: str, folder: Path, tokenizer_from: Path) -> Path:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, Qwen3Config, set_seed

    shape = {
        "vocab_size": 600, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 256, "initializer_range": 0.06, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    config = {
        "neox": lambda: GPTNeoXConfig(**shape),
        "llama": lambda: LlamaConfig(**shape, num_key_value_heads=2, rope_theta=50000.0),
        "qwen3": lambda: Qwen3Config(**shape, num_key_value_heads=2, head_dim=64, tie_word_embeddings=True),
        "tied_neox": lambda: GPTNeoXConfig(**shape, tie_word_embeddings=True),
        "sequential_neox": lambda: GPTNeoXConfig(**shape, use_parallel_residual=False),
    }[kind]()
    set_seed(3)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        shutil.copyfile(tokenizer_from / name, folder / name)
    return folder


@pytest.mark.parametrize("kind", ["neox", "llama", "qwen3", "tied_neox", "sequential_neox"])
def test_other_architectures_answer_like_transformers(
    kind: str, tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    """llama.cpp on the file against transformers on the folder: in 16 bits, and with the weights of each K type as they come back."""
    source = _random_model(kind, tmp_path / "source", tiny_folder)
    plain_gguf(source, tmp_path / "f16", "f16")
    assert _worst_difference(tmp_path / "f16", source) < 0.02
    for scheme in ("q4_0", "q4_k", "q5_k", "q6_k") if kind in ("neox", "llama", "qwen3") else ():
        assert set(plain_gguf(source, tmp_path / scheme, scheme).tensors) == {"f32", scheme}
        same = _dequantised(tmp_path / scheme, source, tmp_path / f"{scheme}_hf")
        # llama.cpp rounds activations to 8 bits where weights are blocks: not the same, but far from what the wrong layout gives
        assert _worst_difference(tmp_path / scheme, same) < 0.25


def _dequantised(folder: Path, source: Path, target: Path) -> Path:
    """The Hugging Face folder with the weights of the GGUF, put back into the order of transformers."""
    from safetensors.numpy import save_file

    from medllm.quantize.gguf_writer import GgufSource

    opened = GgufSource(source)
    written = {tensor.name: tensor for tensor in GGUFReader(folder / "model.gguf").tensors}
    weights = {}
    for tensor in opened.tensors:
        found = dequantize(written[tensor.name].data, written[tensor.name].tensor_type).reshape(tensor.shape)
        rows = np.arange(tensor.shape[0], dtype=np.float32)
        order = opened.architecture.reorder(tensor.source, rows[:, None] if len(tensor.shape) > 1 else rows).ravel().astype(int)
        weights[tensor.source] = np.empty_like(found)
        weights[tensor.source][order] = found
    shutil.copytree(source, target)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


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


@pytest.mark.parametrize(("spare", "fits"), [(30, True), (-1, False)])
def test_spare_embedding_rows_are_padding_and_missing_ones_are_refused(
    spare: int, fits: bool, tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    from medllm.engines.llamacpp_engine import LlamaCppEngine
    from medllm.model.folder import load_model

    model: Any = load_model(tiny_folder)
    rows = Prompts.load(tiny_folder).tokenizer.get_vocab_size() + spare
    model.resize_token_embeddings(rows, mean_resizing=False)
    source = tmp_path / "source"
    shutil.copytree(tiny_folder, source)
    model.save_pretrained(source)
    if not fits:
        with pytest.raises(UserError, match=f"the {rows} embedding rows"):
            plain_gguf(source, tmp_path / "x", "f16")
        return
    plain_gguf(source, tmp_path / "x", "f16")
    assert _worst_difference(tmp_path / "x", source) < 0.02
    assert LlamaCppEngine(tmp_path / "x", threads=1).tokenize("감기는 12.5") == Prompts.load(tiny_folder).text("감기는 12.5")
    changed = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (source / "config.json").write_text(json.dumps({**changed, "vocab_size": 700}), encoding="utf-8")
    with pytest.raises(UserError, match="vocab_size=700"):
        plain_gguf(source, tmp_path / "y", "f16")


def test_a_lost_or_damaged_tensor_is_found(
    tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GGUFWriter.write_tensor_data

    def damaged(self: GGUFWriter, tensor: np.ndarray, *rest: object) -> None:
        write(self, np.zeros_like(tensor) if tensor.dtype == np.uint8 else tensor, *rest)

    monkeypatch.setattr(GGUFWriter, "write_tensor_data", damaged)
    with pytest.raises(RuntimeError, match="lost"):
        plain_gguf(tiny_folder, tmp_path / "x", "q8_0")


def test_the_spared_layers_are_those_of_llamacpp() -> None:
    # use_more_bits of llama.cpp for 24 layers: the first and last eighth, and every third between
    spared = [layer for layer in range(24) if is_sensitive(f"blk.{layer}.ffn_down.weight", 24)]
    assert spared == [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]
    assert not any(is_sensitive(f"blk.0.{name}.weight", 24) for name in ("attn_q", "attn_k", "attn_output", "ffn_up"))


def test_sensitive_matrices_get_their_own_scheme(make_neox: Callable[..., Path], plain_gguf: Callable[..., Any], tmp_path: Path) -> None:
    result = plain_gguf(make_neox(hidden=256, layers=4, ffn=256), tmp_path / "x", "q4_k", sensitive_scheme="q6_k", head_scheme="q8_0")
    assert result.tensors == {"f32": 34, "q4_k": 12, "q6_k": 4, "q8_0": 2}
    types = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "x" / "model.gguf").tensors}
    spared = {f"blk.{layer}.{part}.weight" for layer in (2, 3) for part in ("attn_qkv", "ffn_down")}
    assert {name for name, kind in types.items() if kind == "Q6_K"} == spared
    assert {name for name, kind in types.items() if kind == "Q8_0"} == {"token_embd.weight", "output.weight"}


def test_without_calibration_no_torch_is_imported(tiny_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from medllm.quantize.gguf import quantize_gguf; "
        "quantize_gguf(Path(sys.argv[1]), Path('unused'), Path(sys.argv[2]), scheme='q4_k', sensitive_scheme='q6_k', "
        "head_scheme='q8_0', importance='none', batch_rows=1, max_tokens=8); print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny_folder, tmp_path / "x"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
