"""Write a Hugging Face byte-level BPE into GGUF, so that stock llama.cpp splits text exactly as the training tokenizer."""

import json
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from medllm.errors import UserError

# options of a BPE model that llama.cpp does not have
_PLAIN = {"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "byte_fallback": False}


def pre_type(tokenizer: dict[str, Any], *, where: str) -> str:
    """llama.cpp's name of the pre-tokenizer; a tokenizer without an exact counterpart is refused, never guessed."""
    model, pre = tokenizer["model"], tokenizer.get("pre_tokenizer") or {}
    odd = [key for key, plain in _PLAIN.items() if model.get(key) not in (plain, "") and model.get("type") == "BPE"]
    if model.get("type") != "BPE" or odd:
        raise UserError(f"{where}: not a plain byte-level BPE ({', '.join(odd) or model.get('type')}); llama.cpp cannot reproduce it")
    if tokenizer.get("normalizer"):
        raise UserError(f"{where}: normalizer {tokenizer['normalizer']['type']!r} is unknown to llama.cpp; use a tokenizer without one")
    gpt2 = pre.get("type") == "ByteLevel" and not pre.get("add_prefix_space") and pre.get("use_regex", True)
    if not gpt2:
        raise UserError(f"{where}: pre-tokenizer {pre.get('type')!r} is not GPT-2's byte-level split without prefix space; use that")
    return "gpt-2"


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
