"""Self-data distillation (Thangarasa et al. 2024, arXiv 2410.09982): the student learns the answers in the teacher's own words.

The teacher answers the training question itself; an answer that is not right, or that does not end, is replaced by the reference.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from medllm.batches import compute_device
from medllm.data.answers import TermScorer
from medllm.data.examples import answer_text, question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record
from medllm.model.folder import load_model, model_sha256

_ROOM = 2  # an answer may be this many times as long as the longest reference of its batch
_Asked = tuple[int, list[int], int]  # record, prompt, tokens of the reference


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfData:
    """The records to train on, how many answers the teacher wrote and how many of them were kept."""

    records: list[Record]
    written: int
    kept: int


def self_answered(
    teacher: Path, records: Sequence[Record], folder: Path, *, roles: Sequence[str], max_tokens: int, batch_rows: int, dtype: torch.dtype
) -> SelfData:
    """Records of these roles with the teacher's greedy answer wherever it holds what a right one must and ends; chats stay as they are.

    Batches already in `folder` are kept, those of other inputs are thrown away; the teacher is loaded only when one is missing.
    """
    prompts, scorer = Prompts.load(teacher), TermScorer.of(records)
    batches = list(_batches(records, prompts, roles=roles, max_tokens=max_tokens, batch_rows=batch_rows))
    folder = folder / _key(teacher, records, batches)
    for stale in folder.parent.glob("*"):
        if stale != folder:
            shutil.rmtree(stale)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:06d}.json" for number in range(len(batches))]
    runner: Any = None
    result, written, kept = list(records), 0, 0
    for batch, path in zip(batches, files, strict=True):
        if not path.is_file():
            runner = runner or load_model(teacher, dtype=dtype).to(compute_device())  # type: ignore[arg-type]
            _save(path, _generate(runner, [prompt for _, prompt, _ in batch], _ROOM * max(room for _, _, room in batch), prompts.eos_id))
        for (i, _, _), answer in zip(batch, json.loads(path.read_text(encoding="utf-8")), strict=True):
            written += 1
            text = prompts.decode(answer) if answer is not None else ""
            judged = replace(records[i], answer=answer_text(records[i]))  # of a choice without terms its right option counts
            if text.strip() and scorer.right(judged, text):
                kept += 1
                result[i] = _reworded(records[i], text)
    return SelfData(records=result, written=written, kept=kept)


def _reworded(record: Record, answer: str) -> Record:
    """A plain question with this answer; options and passage become part of its text, as the model sees them."""
    return replace(record, kind="qa", question=question_text(record), answer=answer, options=(), answer_index=None, passage="")


def _batches(
    records: Sequence[Record], prompts: Prompts, *, roles: Sequence[str], max_tokens: int, batch_rows: int
) -> Iterator[list[_Asked]]:
    """Questions that fit, in batches of similar length of the reference answer; which question is in which batch is fixed."""
    asked: list[_Asked] = []
    for i, record in enumerate(records):
        if record.role in roles and record.kind != "chat":
            ids, start = prompts.answered(question_text(record), answer_text(record))
            if len(ids) <= max_tokens:
                asked.append((i, ids[:start], len(ids) - start))
    asked.sort(key=lambda item: (item[2], len(item[1])))
    return (asked[first : first + batch_rows] for first in range(0, len(asked), batch_rows))


def _key(teacher: Path, records: Sequence[Record], batches: Sequence[Sequence[_Asked]]) -> str:
    digest = hashlib.sha256(model_sha256(teacher).encode())
    for batch in batches:
        digest.update(json.dumps(batch).encode())
    for record in records:
        digest.update(record.to_json().encode())
    return digest.hexdigest()[:16]


@torch.inference_mode()
def _generate(runner: Any, asked: Sequence[Sequence[int]], room: int, end: int) -> list[list[int] | None]:
    """Greedy answers without their end token, padded on the left; None where no end came."""
    width = max(len(prompt) for prompt in asked)
    ids = torch.tensor([[end] * (width - len(prompt)) + list(prompt) for prompt in asked], device=runner.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in asked], device=runner.device)
    room = min(room, int(runner.config.max_position_embeddings) - width)
    if room < 1:
        return [None] * len(asked)
    output = runner.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=room, do_sample=False, num_beams=1, eos_token_id=end, pad_token_id=end
    )
    answers = output[:, width:].tolist()
    return [answer[: answer.index(end)] if end in answer else None for answer in answers]


def _save(path: Path, answers: list[list[int] | None]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(answers), encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105
