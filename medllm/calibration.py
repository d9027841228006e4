"""The calibration pass: forward activations of a model over data/prepared/calibration.jsonl, for pruning and quantisation."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from medllm.batches import IGNORED, collate, compute_device
from medllm.data.examples import qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.errors import UserError

Batch = dict[str, Tensor]
_LOG = logging.getLogger(__name__)


def calibration_batches(prepared: Path, source: Path, *, batch_rows: int, max_tokens: int) -> list[Batch]:
    """Padded batches of data/prepared/calibration.jsonl through the prompt template of `source`; half of the facts are seen open-book too.

    Without open-book prompts, what is pruned would be chosen, and fitted, as if copying from a passage were of no use.
    """
    prompts = Prompts.load(source)
    path = prepared / "calibration.jsonl"
    examples = qa_examples(
        read_records(path), prompts, roles=("medical", "distillation", "baseline_check"), grounded_share=0.5,
        reading_share=1.0, consultation_share=1.0, num_distractors=1, max_tokens=max_tokens, seed=0,
    )  # fmt: skip
    if not examples:
        raise UserError(f"{path}: no calibration item of at most {max_tokens} tokens; raise data.num_calibration or the max_tokens knob")
    return [collate([examples[i : i + batch_rows]]) for i in range(0, len(examples), batch_rows)]


def packed(batches: Iterable[Batch], *, batch_rows: int) -> list[Batch]:
    """The same sequences with little padding: as many as fit, one after the other, in rows as wide as the longest of them.

    `position_ids` restart at every sequence, which is where attention stops; `attention_mask` still says what is padding.
    """
    rows: list[list[dict[str, Tensor]]] = []
    sequences = [
        {"input_ids": ids[mask.bool()], "labels": labels[mask.bool()], "position_ids": torch.arange(int(mask.sum()))}
        for batch in batches
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
    ]
    sequences.sort(key=lambda sequence: -len(sequence["labels"]))
    width = len(sequences[0]["labels"])
    free: list[int] = []
    for sequence in sequences:
        length = len(sequence["labels"])
        place = next((number for number, room in enumerate(free) if room >= length), len(free))
        if place == len(free):
            free.append(width)
            rows.append([])
        free[place] -= length
        rows[place].append(sequence)
    values = {"input_ids": 0, "labels": IGNORED, "position_ids": 0}
    whole = {
        key: torch.stack([pad(torch.cat([part[key] for part in row]), (0, room), value=none) for row, room in zip(rows, free, strict=True)])
        for key, none in values.items()
    }
    whole["attention_mask"] = torch.stack([(torch.arange(width) < width - room).long() for room in free])
    return [{key: value[i : i + batch_rows] for key, value in whole.items()} for i in range(0, len(rows), batch_rows)]


def forward(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Logits [rows, width, vocabulary] of a batch, padded or packed, that is on the model's device."""
    runner: Any = model
    borders = "position_ids" if "position_ids" in batch else "attention_mask"  # given both, transformers would ignore the borders
    logits: Tensor = runner(input_ids=batch["input_ids"], use_cache=False, **{borders: batch[borders]}).logits
    return logits


@contextmanager
def on_device(*models: PreTrainedModel) -> Iterator[torch.device]:
    """Models on the compute device for the length of a block; on the CPU again after it."""
    device = compute_device()
    movable: tuple[Any, ...] = models
    try:
        for model in movable:
            model.to(device)
        yield device
    finally:
        for model in movable:
            model.to("cpu")


@contextmanager
def hooked(modules: Sequence[nn.Module], call: Callable[[int, Tensor, Tensor], None]) -> Iterator[None]:
    """`call(index, input, output)` after every forward of these modules, for the length of a block."""

    def hook(index: int) -> Callable[..., None]:
        return lambda module, args, output: call(index, args[0], output[0] if isinstance(output, tuple) else output)

    handles = [module.register_forward_hook(hook(i)) for i, module in enumerate(modules)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def fits(work: Callable[[], None], *, rows: int) -> bool:
    """Do the work; False, with a warning, when memory ran out, and UserError when there are no rows left to halve."""
    try:
        work()
        return True
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
    if rows == 1:
        raise UserError("calibration: out of memory with a batch of one sequence; lower the max_tokens knob or take a bigger machine")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    _LOG.warning("calibration: out of memory with %d sequences a batch; going on with %d", rows, rows // 2)
    return False


def over_batches(batches: Iterable[Batch], device: torch.device, step: Callable[[Batch, int], None]) -> None:
    """`step(part, number of its first row)` for all rows, in order; what does not fit into memory goes again in halves.

    A step that fails half way is repeated with fewer rows: it must count what it saw only when it has seen all.
    """
    limit, seen = 0, 0
    for batch in batches:
        rows, start = len(batch["input_ids"]), 0
        while start < rows:
            count = min(limit or rows, rows - start)
            part = {key: value[start : start + count].to(device) for key, value in batch.items()}
            first = seen + start
            if fits(lambda part=part, first=first: step(part, first), rows=count):  # type: ignore[misc]
                start += count
            else:
                limit = count // 2
        seen += rows


@torch.inference_mode()
def calibrate(
    model: PreTrainedModel, batches: Iterable[Batch], watch: Sequence[nn.Module], see: Callable[[int, Tensor, Tensor], None]
) -> int:
    """One forward pass; `see(index, inputs, output)` is called for every watched module with tensors [tokens, width]. Returns tokens.

    The tensors, without padding, are on the compute device. Each module sees each row once, however often a batch had to be halved for
    memory, as long as `see` allocates what it needs before it adds to its sums.
    """
    tokens, first, last = 0, 0, 0
    mask = torch.zeros(0)
    done = [0] * len(watch)

    def call(index: int, inputs: Tensor, output: Tensor) -> None:
        if done[index] <= first:  # else an earlier try, which failed further down, has counted these rows
            see(index, inputs[mask], output[mask])
            done[index] = last

    def step(part: Batch, number: int) -> None:
        nonlocal tokens, first, last, mask
        mask = part["attention_mask"].bool()
        first, last = number, number + len(mask)
        forward(model, part)
        tokens += int(mask.sum())

    with on_device(model) as device, hooked(watch, call):
        over_batches(batches, device, step)
    return tokens
