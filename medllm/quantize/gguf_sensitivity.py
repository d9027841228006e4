"""How much the model's answers move when one matrix alone loses its low bits: the mean KL divergence of next-token distributions."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from medllm.batches import IGNORED
from medllm.calibration import Batch, forward, on_device

Array = NDArray[np.float32]
_DIGITS = 4  # kept of a divergence: the last bits of a matrix product depend on the machine, the order of matrices should not


@torch.inference_mode()
def divergences(
    model: PreTrainedModel, batches: Sequence[Batch], parameters: Mapping[str, nn.Parameter], round_trip: Callable[[str, Array], Array]
) -> dict[str, float]:
    """KL(model || model with `round_trip(name, weights)` in place of one parameter), in nats a scored token, for every parameter."""
    found = {}
    with on_device(model) as device:
        moved = [{key: value.to(device) for key, value in batch.items()} for batch in batches]
        reference = [_log_probs(model, batch) for batch in moved]
        tokens = sum(len(rows) for rows in reference)
        for name, parameter in parameters.items():
            original = parameter.detach().clone()
            parameter.copy_(torch.from_numpy(round_trip(name, original.cpu().numpy())))
            total = sum(_divergence(wanted, _log_probs(model, batch)) for wanted, batch in zip(reference, moved, strict=True))
            parameter.copy_(original)
            found[name] = float(f"{total / tokens:.{_DIGITS}g}")
    return found


def _log_probs(model: PreTrainedModel, batch: Batch) -> Tensor:
    """[scored tokens, vocabulary]: the distributions that the answers were drawn from."""
    scored = batch["labels"][:, 1:] != IGNORED
    return torch.log_softmax(forward(model, batch)[:, :-1][scored].float(), dim=-1)


def _divergence(wanted: Tensor, found: Tensor) -> float:
    return float(torch.nn.functional.kl_div(found, wanted, log_target=True, reduction="sum"))
