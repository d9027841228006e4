"""Tokenizers of other bases: those that llama.cpp has split text the same way there; those it has not are refused, never guessed."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from hydra.utils import call

from medllm.data.prompts import Prompts, Template
from medllm.errors import UserError
from medllm.model.pretrained import fetch_pretrained
from medllm.model.random_weights import Shape, write_random
from medllm.package.tokenizer_check import check_tokenizers
from medllm.quantize.gguf_tokenizer import pre_type
from pipeline.compose import compose

EOS, PAD = "<|endoftext|>", "<|pad|>"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {"llama-bpe": (WORDS + r"\p{N}{1,3}" + REST, True), "qwen2": (WORDS + r"\p{N}" + REST, False)}


def texts(count: int) -> list[str]:
    """Varied lines in which words, figures, punctuation and line ends meet."""
    pick = random.Random(5)
    pieces = [
        "혈압 120/80 mmHg", "열이 38.5도", "1,000mg", "don't", "I'LL", "119", "２０２６", "\n\n", "\r\n", " ", "   ", "\t", "...", "!?",
        "漢字", "🙂", "½정", "①②", "_", "e\u0301",
    ]  # fmt: skip
    return [
        "".join(
            pick.choice(pieces) if pick.random() < 0.6 else "".join(chr(pick.randint(0xAC00, 0xD7A3)) for _ in range(pick.randint(1, 4)))
            for _ in range(pick.randint(1, 9))
        )
        for _ in range(count)
    ]


def write_tokenizer(folder: Path, pattern: str, *, ignore_merges: bool) -> None:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_only])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=[EOS, PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts(2000), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, bos_token=EOS, pad_token=PAD).save_pretrained(folder)
    Template(name="p", question="{question}\n", facts="{facts}\n", eos_token=EOS).save(folder)


@pytest.mark.parametrize("name", PATTERNS)
def test_other_known_tokenizers_split_the_same_in_llamacpp(name: str, tmp_path: Path) -> None:
    from medllm.engines.llamacpp_engine import LlamaCppEngine

    pattern, ignore_merges = PATTERNS[name]
    write_tokenizer(tmp_path / "tokenizer", pattern, ignore_merges=ignore_merges)
    shape = Shape(
        architecture="llama", hidden_size=64, num_layers=1, num_heads=1, num_kv_heads=1, head_size=64, ffn_size=64, vocab_size=1536,
        context_length=512, rotary_share=1.0, tied=False,
    )  # fmt: skip
    write_random(tmp_path / "model", shape=shape, tokenizer_from=tmp_path / "tokenizer", seed=0)
    node = compose().quantize.gguf_f16
    assert node.scheme == "f16"
    call(node, tmp_path / "model", tmp_path / "unused", tmp_path / "gguf")
    assert GGUFReader(tmp_path / "gguf" / "model.gguf").get_field("tokenizer.ggml.pre").contents() == name
    engine = LlamaCppEngine(tmp_path / "gguf", threads=1)
    assert check_tokenizers(Prompts.load(tmp_path / "model").text, engine.tokenize, texts(1500), count=3000, seed=1) == 3000
    engine.close()


def split(pattern: str, **byte_level: Any) -> dict[str, Any]:
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False, **byte_level}
    first = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [first, last]}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


@pytest.mark.parametrize(
    ("pre", "model", "more", "said"),
    [
        (split(PATTERNS["qwen2"][0]), {}, {"normalizer": {"type": "NFC"}}, "normalizer 'NFC'"),
        (split(PATTERNS["qwen2"][0], add_prefix_space=True), {}, {}, "unlike any"),
        (split(PATTERNS["qwen2"][0], use_regex=True), {}, {}, "unlike any"),
        (split(r"\p{N}{1,2}|\s+"), {}, {}, "unlike any"),
        (split(PATTERNS["llama-bpe"][0]), {}, {}, "unlike any"),  # llama.cpp ignores merges with this one
        (BYTE_LEVEL, {"ignore_merges": True}, {}, "unlike any"),
        ({"type": "ByteLevel"}, {}, {}, "unlike any"),  # a prefix space is what an old file means by saying nothing
        (None, {}, {}, "unlike any"),
        ({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}, {}, {}, "unlike any"),
        ({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}, {}, {}, "unlike any"),
        (BYTE_LEVEL, {"byte_fallback": True}, {}, "byte_fallback"),
        (BYTE_LEVEL, {"type": "Unigram"}, {}, "Unigram"),
    ],
)
def test_an_unknown_one_is_refused_in_one_line(pre: Any, model: dict[str, Any], more: dict[str, Any], said: str) -> None:
    tokenizer = {"model": {"type": "BPE", "vocab": {}, "merges": [], **model}, "pre_tokenizer": pre, **more}
    with pytest.raises(UserError, match=said) as error:
        pre_type(tokenizer, where="here")
    assert "\n" not in str(error.value)


def test_what_old_files_leave_out_is_plain() -> None:
    model = {"type": "BPE", "vocab": {}, "merges": []}
    assert pre_type({"model": model, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}, where="here") == "gpt-2"


def test_a_base_with_any_tokenizer_can_be_fetched(tmp_path: Path) -> None:
    """Training and the transformers engine need no counterpart in llama.cpp."""
    write_tokenizer(tmp_path / "tokenizer", r"\p{N}{1,2}|\s+", ignore_merges=False)
    shape = Shape(
        architecture="qwen3", hidden_size=64, num_layers=1, num_heads=2, num_kv_heads=1, head_size=64, ffn_size=64, vocab_size=1536,
        context_length=512, rotary_share=1.0, tied=True,
    )  # fmt: skip
    write_random(tmp_path / "model", shape=shape, tokenizer_from=tmp_path / "tokenizer", seed=0)
    result = fetch_pretrained(
        tmp_path, tmp_path / "base", source=str(tmp_path / "model"), revision=None, licence="none", weights="pretrained",
        context_length=512, shape=None, prompt=Prompts.load(tmp_path / "model").template, seed=0, checkpoints=tmp_path,
    )  # fmt: skip
    assert result.parameters > 0
    with pytest.raises(UserError, match="unlike any"):
        pre_type(json.loads((tmp_path / "base" / "tokenizer.json").read_text(encoding="utf-8")), where="here")
