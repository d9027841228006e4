"""Teacher logits on disk, so that teacher and student never share memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from medllm.batches import collate, compute_device
from medllm.data.examples import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherLogits:
    """Memory-mapped log-probabilities of all loss tokens: values [tokens, k] float16, ids [tokens, k] int32, starts [examples + 1]."""

    values: np.ndarray
    ids: np.ndarray
    starts: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "TeacherLogits":
        """Open a finished cache."""
        return cls(
            values=np.load(folder / "values.npy", mmap_mode="r"), ids=np.load(folder / "ids.npy", mmap_mode="r"),
            starts=np.load(folder / "starts.npy"),
        )  # fmt: skip

    def rows(self, keys: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids [N, k] of the loss tokens of these examples, one example after the other."""
        spans = [slice(int(self.starts[key]), int(self.starts[key + 1])) for key in keys]
        values = torch.from_numpy(np.concatenate([self.values[span] for span in spans]))
        return values.float(), torch.from_numpy(np.concatenate([self.ids[span] for span in spans])).long()


@torch.inference_mode()
def cache_logits(
    teacher: PreTrainedModel, examples: Sequence[Example], folder: Path, *, top_k: int, temperature: float, batch_rows: int
) -> TeacherLogits:
    """Run the teacher once over all loss tokens. A finished cache (marked by done.json) is used as it is."""
    if (folder / "done.json").is_file():
        return TeacherLogits.load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    targets = [example.targets for example in examples]
    lengths = [len(places) for places in targets]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    width = min(top_k, int(teacher.config.vocab_size))
    shape = (int(starts[-1]), width)
    values = np.lib.format.open_memmap(folder / "values.npy", mode="w+", dtype=np.float16, shape=shape)
    ids = np.lib.format.open_memmap(folder / "ids.npy", mode="w+", dtype=np.int32, shape=shape)
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    runner: Any = teacher
    runner.to(compute_device())
    for first in range(0, len(order), batch_rows):
        rows = order[first : first + batch_rows]
        batch = collate([[examples[i] for i in rows]])
        inputs = {name: batch[name].to(runner.device) for name in ("input_ids", "attention_mask")}
        logits = runner(**inputs, use_cache=False).logits
        for row, i in enumerate(rows):
            before = torch.tensor(targets[i]) - 1  # a token is predicted one place before it
            logprobs = torch.log_softmax(logits[row, before].float() / temperature, dim=-1)
            top = logprobs.topk(width, dim=-1)
            values[starts[i] : starts[i + 1]] = top.values.half().cpu().numpy()
            ids[starts[i] : starts[i + 1]] = top.indices.int().cpu().numpy()
    values.flush()
    ids.flush()
    np.save(folder / "starts.npy", starts)
    (folder / "done.json").write_text(json.dumps({"tokens": shape[0], "top_k": width}) + "\n", encoding="utf-8")
    return TeacherLogits.load(folder)
