"""A random prompt of valid token ids, the same for every model."""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from medllm.errors import UserError


def usable_ids(folders: Iterable[Path]) -> list[int]:
    """Ordinary token ids (no special or added token) that every model of `folders` has, sorted."""
    shared: set[int] | None = None
    seen: set[str] = set()
    for folder in folders:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UserError(f"{path}: missing; a model folder needs its tokenizer, run the stage that writes it (dvc repro)")
        text = path.read_text(encoding="utf-8")
        if text not in seen:
            seen.add(text)
            ids = _ordinary_ids(json.loads(text))
            shared = ids if shared is None else shared & ids
    if not shared:
        raise UserError("benchmark: the tokenizers of the models share no token id; give models with one tokenizer")
    return sorted(shared)


def _ordinary_ids(tokenizer: dict[str, object]) -> set[int]:
    model, added = tokenizer["model"], tokenizer["added_tokens"]
    assert isinstance(model, dict)
    assert isinstance(added, list)
    vocabulary = model["vocab"]  # BPE and WordPiece: token -> id; Unigram: a list in id order
    ids = set(vocabulary.values()) if isinstance(vocabulary, dict) else set(range(len(vocabulary)))
    return ids - {token["id"] for token in added}


def random_prompt(ids: Sequence[int], *, length: int, seed: str) -> list[int]:
    """A prompt of `length` ids; the same for the same seed."""
    return random.Random(seed).choices(ids, k=length)
