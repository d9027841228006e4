"""Hidden-state transfer: a pruned student keeps to the teacher's channels in the layers that were kept.

TinyBERT (Jiao et al. 2020, arXiv 1909.10351) and Minitron (Muralidharan et al. 2024, arXiv 2407.14679), without a projection: the pruning
map says which channel is which.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from medllm.calibration import hooked
from medllm.errors import UserError
from medllm.model.architecture import layers_of
from medllm.model.folder import PRUNE_MAP_FILE


def _kept(found: Mapping[str, Sequence[int]], name: str, *, ours: int, theirs: int, where: str) -> list[int]:
    kept = list(found.get(name, range(theirs)))
    if len(kept) != ours or not all(0 <= index < theirs for index in kept):
        raise UserError(
            f"{where}: the student has {ours} {name}, {len(kept)} of the {theirs} of the teacher were kept; hidden_weight needs a student "
            "pruned from this teacher, set it to 0"
        )
    return kept


class HiddenStates:
    """The teacher, run live beside the student, and the distance between the outputs of their layers."""

    def __init__(self, teacher: PreTrainedModel, student: PreTrainedModel, folder: Path) -> None:
        """`folder` is the student's: its prune_map.json says which layers and channels of the teacher it has (all, when it says none)."""
        path = folder / PRUNE_MAP_FILE
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        where = str(path) if path.is_file() else f"{folder}, which has no {PRUNE_MAP_FILE}"
        theirs, ours = layers_of(teacher), layers_of(student)
        self._layers = _kept(found, "layers", ours=len(ours), theirs=len(theirs), where=where)
        sizes = int(student.config.hidden_size), int(teacher.config.hidden_size)
        self._channels = torch.tensor(_kept(found, "hidden", ours=sizes[0], theirs=sizes[1], where=where))
        self._teacher: Any = teacher.requires_grad_(False)
        self._teacher_modules, self._student_modules = [theirs[i] for i in self._layers], list(ours)

    @contextmanager
    def watched(self) -> Iterator[list[Tensor]]:
        """Outputs [rows, width, hidden] of the student's layers while it runs, not when checkpointing runs them again."""
        with _watched(self._student_modules) as outputs:
            yield outputs

    def distance(self, outputs: Sequence[Tensor], inputs: Mapping[str, Tensor], real: Tensor) -> Tensor:
        """Mean squared error of RMS-normalised hidden states over layers, `real` tokens [rows, width] and channels: 0 to 4."""
        device = outputs[0].device
        if self._teacher.device != device:
            self._teacher.to(device)
            self._channels = self._channels.to(device)
        with torch.no_grad(), _watched(self._teacher_modules) as wanted:
            self._teacher.base_model(**inputs, use_cache=False)
        pairs = zip(outputs, wanted, strict=True)
        errors = [(_normalised(found[real]) - _normalised(state[real][:, self._channels])).square().mean() for found, state in pairs]
        return torch.stack(errors).mean()


def _normalised(states: Tensor) -> Tensor:
    return torch.nn.functional.rms_norm(states.float(), states.shape[-1:], eps=1e-6)


@contextmanager
def _watched(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    outputs: list[Tensor] = []
    with hooked(modules, lambda _, inputs, output: outputs.append(output)):
        yield outputs
