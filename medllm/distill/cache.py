"""Teacher logits on disk, so that teacher and student never share memory: a few entries a token, in shards that survive a kill."""

import hashlib
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medllm.batches import IGNORED, collate, compute_device
from medllm.data.examples import Example
from medllm.model.folder import load_model, model_sha256

_MASS = 1 - 1e-4  # entries are kept until they hold this much of the teacher's probability
_SHARD_EXAMPLES = 128  # what a kill costs at most
_KEY_FILE = "key.txt"
_FORMAT = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """Arrays of one shard, memory-mapped: `values` float16 and `ids` of all entries, `counts` of entries and log `rests` by token."""

    values: np.ndarray
    ids: np.ndarray
    counts: np.ndarray
    rests: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "_Shard":
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.__slots__})

    def save(self, folder: Path) -> None:
        """Whole or not at all."""
        partial = folder.with_name(f"{folder.name}.partial")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        for name in self.__slots__:
            np.save(partial / f"{name}.npy", getattr(self, name))
        partial.rename(folder)


class TeacherLogits:
    """Log-probabilities of all loss tokens by example, read from disk as they are asked for."""

    def __init__(self, folder: Path, examples: Sequence[Example]) -> None:
        """Open a finished cache of these examples."""
        self._shards: list[_Shard] = []
        self._places: dict[int, tuple[int, slice, slice]] = {}  # by example key: shard, its tokens, their entries
        for number, rows in enumerate(_shards(examples)):
            shard = _Shard.open(_shard_folder(folder, number))
            ends = np.concatenate([[0], np.cumsum(shard.counts, dtype=np.int64)])
            token = 0
            for i in rows:
                after = token + len(examples[i].targets)
                self._places[examples[i].key] = (number, slice(token, after), slice(int(ends[token]), int(ends[after])))
                token = after
            self._shards.append(shard)
        self.tokens = sum(len(shard.counts) for shard in self._shards)
        self.entries = sum(len(shard.values) for shard in self._shards)
        self.bytes = sum(path.stat().st_size for path in folder.glob("*/*.npy"))

    def rows(self, keys: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Log-probabilities [N, K + 1] and ids [N, K] of the loss tokens of these examples in turn, as medllm.distill.losses takes them."""
        places = [(self._shards[shard], tokens, entries) for shard, tokens, entries in (self._places[key] for key in keys)]
        counts = torch.from_numpy(np.concatenate([shard.counts[tokens] for shard, tokens, _ in places]).astype(np.int64))
        filled = torch.arange(int(counts.max())) < counts[:, None]
        values = torch.full((len(counts), filled.shape[1] + 1), -math.inf)
        ids = torch.zeros(filled.shape, dtype=torch.long)
        values[:, :-1][filled] = torch.from_numpy(np.concatenate([shard.values[entries] for shard, _, entries in places])).float()
        ids[filled] = torch.from_numpy(np.concatenate([shard.ids[entries] for shard, _, entries in places]).astype(np.int64))
        values[:, -1] = torch.from_numpy(np.concatenate([shard.rests[tokens] for shard, tokens, _ in places])).float()
        return values, ids


def _shards(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Indices by shard, similar lengths together."""
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    return (order[first : first + _SHARD_EXAMPLES] for first in range(0, len(order), _SHARD_EXAMPLES))


def _shard_folder(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def _key(teacher: Path, examples: Sequence[Example], knobs: Sequence[float]) -> str:
    """Identity of what is cached: the teacher's weights, the tokens, the knobs."""
    digest = hashlib.sha256(repr((_FORMAT, _MASS, _SHARD_EXAMPLES, *knobs, model_sha256(teacher))).encode())
    for example in examples:
        digest.update(repr((list(example.ids), example.scored, example.key)).encode())
    return digest.hexdigest()


def _opened(folder: Path, key: str) -> None:
    """Make `folder` a cache of this key; what another key left there goes."""
    marker = folder / _KEY_FILE
    if marker.is_file() and marker.read_text(encoding="utf-8") == key:
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    marker.write_text(key, encoding="utf-8")


def entries_of(logprobs_NV: Tensor, *, top_k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fewest largest entries that hold 0.9999 of the mass, `top_k` at most: values and ids [entries], counts and log rests [N]."""
    top = logprobs_NV.topk(min(top_k, logprobs_NV.shape[-1]), dim=-1)
    before = top.values.exp().cumsum(-1) - top.values.exp()
    kept = before < _MASS
    kept[:, 0] = True
    # an entry left out marks itself in place of what it would have marked: scatter needs an id everywhere
    inside = torch.zeros_like(logprobs_NV, dtype=torch.bool).scatter_(-1, torch.where(kept, top.indices, top.indices[:, :1]), True)
    rests = logprobs_NV.masked_fill(inside, -math.inf).logsumexp(dim=-1)
    return top.values[kept], top.indices[kept], kept.sum(-1), rests


@torch.inference_mode()
def _shard(runner: Any, examples: Sequence[Example], *, top_k: int, temperature: float, batch_rows: int, vocabulary: int) -> _Shard:
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for first in range(0, len(examples), batch_rows):
        rows = examples[first : first + batch_rows]
        batch = collate([list(rows)])
        inputs = {name: batch[name].to(runner.device) for name in ("input_ids", "attention_mask")}
        logits = runner(**inputs, use_cache=False).logits
        # row by row and place by place, so the order of TeacherLogits; a token is predicted one place before it
        chosen = logits[:, :-1][batch["labels"][:, 1:].to(logits.device) != IGNORED][:, :vocabulary]
        parts.append(entries_of(torch.log_softmax(chosen.float() / temperature, dim=-1), top_k=top_k))
    values, ids, counts, rests = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return _Shard(
        values=values.astype(np.float16), ids=ids.astype(np.min_scalar_type(vocabulary - 1)),
        counts=counts.astype(np.min_scalar_type(min(top_k, vocabulary))), rests=rests.astype(np.float16),
    )  # fmt: skip


def cache_logits(
    teacher: Path, examples: Sequence[Example], folder: Path, *, top_k: int, temperature: float, batch_rows: int, vocabulary: int,
    dtype: torch.dtype,
) -> TeacherLogits:  # fmt: skip
    """Run the teacher once over all loss tokens; only rows below `vocabulary` of its logits count.

    Shards already in `folder` are kept, and the teacher is loaded only when one is missing; a cache of other inputs is thrown away.
    """
    _opened(folder, _key(teacher, examples, [top_k, temperature, vocabulary]))
    missing = [(number, rows) for number, rows in enumerate(_shards(examples)) if not _shard_folder(folder, number).is_dir()]
    runner: Any = load_model(teacher, dtype=dtype).to(compute_device()) if missing else None  # type: ignore[arg-type]
    for number, rows in missing:
        shard = _shard(
            runner, [examples[i] for i in rows], top_k=top_k, temperature=temperature, batch_rows=batch_rows, vocabulary=vocabulary
        )
        shard.save(_shard_folder(folder, number))
    return TeacherLogits(folder, examples)
