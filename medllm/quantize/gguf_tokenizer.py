"""Write a Hugging Face byte-level BPE into GGUF, so that stock llama.cpp splits text exactly as the training tokenizer."""

import json
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from medllm.errors import UserError

# options of a BPE model that llama.cpp does not have
_PLAIN = {"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "byte_fallback": False}
_BYTES = {"type": "ByteLevel", "add_prefix_space": False}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Pre-tokenizer and ignore_merges of tokenizer.json -> llama.cpp's name of that pair; each is compared on thousands of lines by a test.
_KNOWN = (
    ("gpt-2", False, {**_BYTES, "use_regex": True}),
    ("llama-bpe", True, rf"{_WORDS}\p{{N}}{{1,3}}{_REST}"),  # Llama 3 and its Korean descendants
    ("qwen2", False, rf"{_WORDS}\p{{N}}{_REST}"),  # Qwen 2 to 3
)


def pre_type(tokenizer: dict[str, Any], *, where: str) -> str:
    """llama.cpp's name of the pre-tokenizer; a tokenizer without an exact counterpart is refused, never guessed."""
    model, pre = tokenizer["model"], tokenizer.get("pre_tokenizer") or {}
    # files of tokenizers before 0.13 leave out options that were not there yet
    odd = [key for key, plain in _PLAIN.items() if model.get(key) not in (plain, "", None) and model.get("type") == "BPE"]
    if model.get("type") != "BPE" or odd:
        raise UserError(f"{where}: not a plain byte-level BPE ({', '.join(odd) or model.get('type')}); llama.cpp cannot reproduce it")
    if tokenizer.get("normalizer"):
        raise UserError(f"{where}: normalizer {tokenizer['normalizer']['type']!r} is unknown to llama.cpp; use a tokenizer without one")
    for name, ignore_merges, wanted in _KNOWN:
        if _split(pre) == wanted and bool(model.get("ignore_merges")) == ignore_merges:
            return name
    known = ", ".join(name for name, _, _ in _KNOWN)
    raise UserError(f"{where}: pre-tokenizer {pre.get('type')!r} splits text unlike any that was checked against llama.cpp ({known})")


def _split(pre: dict[str, Any]) -> dict[str, Any] | str:
    """What decides the split: the options of a byte-level one, or the pattern of a split by pattern before the bytes."""
    if pre.get("type") == "ByteLevel":
        return {key: value for key, value in {"use_regex": True, "add_prefix_space": True, **pre}.items() if key != "trim_offsets"}
    parts = pre.get("pretokenizers", [])
    if [part.get("type") for part in parts] != ["Split", "ByteLevel"]:
        return ""
    split, last = parts
    whole = split.get("behavior") == "Isolated" and not split.get("invert") and _split(last) == {**_BYTES, "use_regex": False}
    return str(split["pattern"].get("Regex", "")) if whole else ""


def add_tokenizer(writer: GGUFWriter, folder: Path, *, vocab_size: int, eos_token: str) -> None:
    """Write vocabulary (padded to the embedding rows), token types, merges and special ids of tokenizer.json."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    pre = pre_type(tokenizer, where=str(path))
    tokens, types = _tokens(tokenizer, vocab_size=vocab_size, where=str(path))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # older files keep a merge as "a b", newer ones as ["a", "b"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]])
    for name, add in (("bos_token", writer.add_bos_token_id), ("pad_token", writer.add_pad_token_id)):
        token = _configured(folder, name)
        if token in tokens:
            add(tokens.index(token))
    writer.add_eos_token_id(tokens.index(eos_token))
    writer.add_add_bos_token(False)  # prompts arrive as ids; llama.cpp must not put anything before them


def _tokens(tokenizer: dict[str, Any], *, vocab_size: int, where: str) -> tuple[list[str], list[int]]:
    entries = {int(index): (token, TokenType.NORMAL) for token, index in tokenizer["model"]["vocab"].items()}
    for added in tokenizer.get("added_tokens", []):
        entries[int(added["id"])] = (added["content"], TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    if max(entries) >= vocab_size:
        raise UserError(f"{where}: token id {max(entries)} does not fit the {vocab_size} embedding rows; use the model's own tokenizer")
    rows = [entries.get(index, (f"[PAD{index}]", TokenType.UNUSED)) for index in range(vocab_size)]
    return [token for token, _ in rows], [int(kind) for _, kind in rows]


def _configured(folder: Path, key: str) -> str | None:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return None
    value: Any = json.loads(path.read_text(encoding="utf-8")).get(key)
    token: str | None = value["content"] if isinstance(value, dict) else value  # old files keep the whole added token
    return token
