"""The importance matrix: how much an error in each input channel of a matrix matters, by the activations that meet it."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medllm.calibration import calibrate, calibration_batches
from medllm.model.folder import load_model
from medllm.quantize.gguf_writer import EMBEDDING, GgufSource

_FLOOR = 1e-3  # of a matrix' mean: a channel that calibration never woke still keeps its shape


def activation_importance(source: GgufSource, prepared: Path, *, batch_rows: int, max_tokens: int) -> dict[str, NDArray[np.float32]]:
    """Mean squared input `[width]` of every linear layer over data/prepared/calibration.jsonl, by GGUF name (llama.cpp's imatrix).

    UserError when there is no calibration item.
    """
    batches = calibration_batches(prepared, source.folder, batch_rows=batch_rows, max_tokens=max_tokens)
    model = load_model(source.folder)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    squares = [torch.zeros(module.in_features, dtype=torch.float64) for module in linear.values()]

    def see(index: int, inputs: torch.Tensor, _output: torch.Tensor) -> None:
        squares[index] += inputs.double().square().sum(dim=0).cpu()

    tokens = calibrate(model, batches, list(linear.values()), see)
    found = {EMBEDDING: np.ones(int(model.config.hidden_size), dtype=np.float32)}  # a row is looked up whole
    for name, total in zip(linear, squares, strict=True):
        mean = (total / tokens).numpy()
        found[str(source.name(f"{name}.weight"))] = np.maximum(mean, _FLOOR * mean.mean()).astype(np.float32)
    return found
