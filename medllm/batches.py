"""Examples as padded tensors. Imports torch alone: calibration and teacher logits need no Trainer."""

import torch
from torch import Tensor

from medllm.data.examples import Example

IGNORED = -100


def compute_device() -> torch.device:
    """The GPU when there is one; training, teacher logits and calibration run there."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def collate(batch: list[list[Example]]) -> dict[str, Tensor]:
    """Right-pad one token-budget batch: input_ids, attention_mask, labels, all [rows, width]; labels are IGNORED outside the loss."""
    rows = [example for part in batch for example in part]
    width = max(len(example.ids) for example in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for row, example in enumerate(rows):
        length = len(example.ids)
        input_ids[row, :length] = torch.tensor(example.ids)
        mask[row, :length] = 1
        targets = example.targets
        labels[row, targets] = input_ids[row, targets]
    keys = torch.tensor([example.key for example in rows])
    return {"input_ids": input_ids, "attention_mask": mask, "labels": labels, "keys": keys}


def collate_packed(batch: list[list[Example]]) -> dict[str, Tensor]:
    """One row without padding: input_ids, position_ids, labels, all [1, tokens].

    Positions restart at every example, and there is no attention mask: with neither mask nor KV cache, transformers takes the restarts for
    the borders that attention must not cross. The first token of an example is never predicted, so no loss crosses one either.
    """
    rows = [example for part in batch for example in part]
    input_ids = torch.tensor([[token for example in rows for token in example.ids]])
    position_ids = torch.cat([torch.arange(len(example.ids)) for example in rows])[None]
    labels = torch.full_like(input_ids, IGNORED)
    start = 0
    for example in rows:
        targets = [start + place for place in example.targets]
        labels[0, targets] = input_ids[0, targets]
        start += len(example.ids)
    return {"input_ids": input_ids, "position_ids": position_ids, "labels": labels, "keys": torch.tensor([example.key for example in rows])}
