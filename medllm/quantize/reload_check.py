"""What was saved must answer as what was in memory."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PROBE = 16  # tokens


@torch.inference_mode()
def probe_logits(model: Any) -> Tensor:
    """Logits [1, 16, vocabulary] of the first sixteen token ids."""
    ids = torch.arange(_PROBE).remainder(model.config.vocab_size)[None]
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits.float()


def check_reload(before: Tensor, after: Tensor, folder: Path) -> None:
    """RuntimeError when the logits of the model in memory and of the one read back from `folder` differ at all."""
    if not torch.equal(before, after):
        raise RuntimeError(f"{folder}: reloaded logits differ by {(before - after).abs().max().item():.3g}; the saved folder is broken")
