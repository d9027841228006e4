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
