"""Log-probabilities of given text on llama.cpp: its last hidden states times the output matrix, in numpy.

llama.cpp's completions give probabilities of generated tokens only. The vectors of a pooling-free `/embedding` are the
states after the last norm; times the (dequantised) output matrix they are the logits, within 0.006 on f16.
"""

from collections.abc import Iterator, Sequence
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
        reader = GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        end = reader.get_field("tokenizer.ggml.eos_token_id")
        self.end_ids: frozenset[int] = frozenset() if end is None else frozenset({int(end.contents())})
        head = tensors.get("output.weight", tensors["token_embd.weight"])  # tied models keep one matrix
        self._matrix: NDArray[np.float32] = np.ascontiguousarray(dequantize(head.data, head.tensor_type), dtype=np.float32)
        self._path, self._threads = path, threads
        self._context = 0
        self._server: LlamaServer | None = None

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See Engine.token_logprobs."""
        longest = max((len(ids) for ids in sequences), default=0)
        values: list[list[float]] = []
        for ids in sequences:
            values.append([])
            for start, scores in self._blocks(ids, first=1, longest=longest):
                values[-1] += scores[np.arange(len(scores)), ids[start : start + len(scores)]].tolist()
        return values

    def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[NDArray[np.float32]]:
        """See Engine.distributions."""
        longest = max((len(ids) for ids in sequences), default=0)
        return [
            np.concatenate([scores for _, scores in self._blocks(ids, first=start, longest=longest)])
            for ids, start in zip(sequences, starts, strict=True)
        ]

    def _blocks(self, ids: Sequence[int], *, first: int, longest: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(i, log-probabilities of the tokens from i on, some rows at a time) from token `first` to the last."""
        if len(ids) <= first:
            return
        answer: Any = self._fitting(longest).request("POST", "/embedding", {"content": list(ids)})
        states = np.asarray(answer[0]["embedding"], dtype=np.float32)[first - 1 : -1]
        for start in range(0, len(states), _ROWS):
            logits = states[start : start + _ROWS] @ self._matrix.T
            logits -= logits.max(axis=1, keepdims=True)
            yield first + start, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def _fitting(self, longest: int) -> LlamaServer:
        if self._server is None or longest > self._context:
            self._server = None  # free the smaller one first
            self._context = -(-longest // _STEP) * _STEP
            self._server = LlamaServer(self._path, threads=self._threads, context=self._context, hidden_states=True)
        return self._server
