"""Log-probabilities of given text on llama.cpp: its last hidden states times the output matrix, in numpy.

llama.cpp's completions give probabilities of generated tokens only. The vectors of a pooling-free `/embedding` are the
states after the last norm; times the (dequantised) output matrix they are the logits, within 0.006 on f16.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from medllm.engines.llamacpp_engine import LlamaServer

_STEP = 256  # the context grows in these steps, so that few lengths mean few reloads
_ROWS = 128  # positions times vocabulary held at once


class LogprobReader:
    """A context that returns hidden states, and the output matrix of the same GGUF in float32 (vocabulary, hidden)."""

    def __init__(self, path: Path, *, threads: int) -> None:
        tensors = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
        head = tensors.get("output.weight", tensors["token_embd.weight"])  # tied models keep one matrix
        self._matrix: NDArray[np.float32] = np.ascontiguousarray(dequantize(head.data, head.tensor_type), dtype=np.float32)
        self._path, self._threads = path, threads
        self._context = 0
        self._server: LlamaServer | None = None

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See Engine.token_logprobs."""
        longest = max((len(ids) for ids in sequences), default=0)
        return [self._sequence(list(ids), longest) if len(ids) > 1 else [] for ids in sequences]

    def _sequence(self, ids: list[int], longest: int) -> list[float]:
        answer: Any = self._fitting(longest).request("POST", "/embedding", {"content": ids})
        states = np.asarray(answer[0]["embedding"], dtype=np.float32)[:-1]
        values: list[float] = []
        for start in range(0, len(states), _ROWS):
            logits = states[start : start + _ROWS] @ self._matrix.T
            rows = np.arange(len(logits))
            logits -= logits.max(axis=1, keepdims=True)
            chosen = logits[rows, ids[start + 1 : start + 1 + len(rows)]]
            values += (chosen - np.log(np.exp(logits).sum(axis=1))).tolist()
        return values

    def _fitting(self, longest: int) -> LlamaServer:
        if self._server is None or longest > self._context:
            self._server = None  # free the smaller one first
            self._context = -(-longest // _STEP) * _STEP
            self._server = LlamaServer(self._path, threads=self._threads, context=self._context, hidden_states=True)
        return self._server
