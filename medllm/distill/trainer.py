"""The trainer of a distillation: alpha * divergence + (1 - alpha) * cross-entropy + hidden_weight * distance of hidden states."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medllm.batches import IGNORED
from medllm.distill.cache import TeacherLogits
from medllm.distill.hidden import HiddenStates
from medllm.distill.losses import Loss
from medllm.training import FixedOrderTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised. `logits` is None when alpha is 0, `hidden` when hidden_weight is. Logits past `vocabulary` are of padding rows."""

    loss: Loss
    alpha: float
    temperature: float
    vocabulary: int
    logits: TeacherLogits | None
    hidden: HiddenStates | None
    hidden_weight: float

    def token_loss(self, logits_NV: Tensor, labels_N: Tensor, keys: Tensor) -> Tensor:
        """alpha * divergence + (1 - alpha) * cross-entropy over the loss tokens of the examples `keys`."""
        total = (1 - self.alpha) * torch.nn.functional.cross_entropy(logits_NV.float(), labels_N)
        if self.logits is not None:
            values, ids = (rows.to(logits_NV.device) for rows in self.logits.rows(keys.tolist()))
            total = total + self.alpha * self.loss(logits_NV, values, ids, temperature=self.temperature)
        return total


class DistillTrainer(FixedOrderTrainer):
    """Trainer whose loss looks up the cached teacher logits by example key."""

    def __init__(self, *args: Any, objective: Objective, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._aim: Objective = objective

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The objective on one batch, padded or packed."""
        labels, keys = inputs.pop("labels"), inputs.pop("keys")
        hidden = self._aim.hidden
        with hidden.watched() if hidden else nullcontext() as states:
            outputs = model(**inputs)
        chosen = labels[:, 1:] != IGNORED
        logits_NV = outputs.logits[:, :-1][chosen][:, : self._aim.vocabulary]
        total = self._aim.token_loss(logits_NV, labels[:, 1:][chosen], keys)
        if hidden and states:
            real = inputs.get("attention_mask", torch.ones_like(labels)).bool()
            total = total + self._aim.hidden_weight * hidden.distance(states, inputs, real)
        return (total, outputs) if return_outputs else total
