"""Log-probabilities of given text on llama.cpp: its last hidden states times the output matrix, in numpy.

llama.cpp's completions give probabilities of generated tokens only. The vectors of a pooling-free `/embedding` are the
states after the last norm; times the (dequantised) output matrix they are the logits, within 0.006 on f16.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from medllm.engines.llamacpp_engine import LlamaServer, checked

_STEP = 256  # the context grows in these steps, so that few lengths mean few reloads
_ROWS = 128  # positions times vocabulary held at once
_AHEAD = 2  # requests under way
_SMALL_BYTES = 64 * 2**20

_Block = tuple[int, NDArray[np.float32]]  # (i, log-probabilities (rows, vocabulary) of the tokens from i on)


class LogprobReader:
    """A context that returns hidden states, and the output matrix of the same GGUF in float32 (vocabulary, hidden)."""

    def __init__(self, path: Path, *, threads: int) -> None:
        reader = GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        end = reader.get_field("tokenizer.ggml.eos_token_id")
        self.end_ids: frozenset[int] = frozenset() if end is None else frozenset({int(end.contents())})
        head = tensors.get("output.weight", tensors["token_embd.weight"])  # tied models keep one matrix
        self._matrix: NDArray[np.float32] = np.ascontiguousarray(dequantize(head.data, head.tensor_type), dtype=np.float32)
        # of a small model the answers take as long to write out and read as to compute: a core is left to that
        self._path, self._threads = path, threads if path.stat().st_size > _SMALL_BYTES else max(1, threads - 1)
        self._context = 0
        self._server: LlamaServer | None = None

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See Engine.token_logprobs."""
        values: list[list[float]] = []
        for ids, blocks in self._scored(sequences, [1] * len(sequences)):
            values.append([])
            for start, scores in blocks:
                values[-1] += scores[np.arange(len(scores)), ids[start : start + len(scores)]].tolist()
        return values

    def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[NDArray[np.float32]]:
        """See Engine.distributions."""
        return [np.concatenate([scores for _, scores in blocks]) for _, blocks in self._scored(sequences, starts)]

    def _scored(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> Iterator[tuple[Sequence[int], Iterator[_Block]]]:
        """Each sequence with its blocks of log-probabilities.

        While one answer is written out and read, the context computes the next: one slot, so always one sequence at a time.
        """
        server = self._fitting(max((len(ids) for ids in sequences), default=0))
        with ThreadPoolExecutor(_AHEAD) as pool:
            found = pool.map(lambda ids, start: _states(server, ids, start), sequences, starts)
            for ids, start, states in zip(sequences, starts, found, strict=True):
                yield ids, self._blocks(states, start)

    def _blocks(self, states: NDArray[np.float32], first: int) -> Iterator[_Block]:
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


def _states(server: LlamaServer, ids: Sequence[int], first: int) -> NDArray[np.float32]:
    """Hidden states that predict the tokens from `first` to the last, (len(ids) - first, hidden)."""
    if len(ids) <= first:
        return np.empty((0, 0), dtype=np.float32)
    # half a megabyte of digits for ninety tokens: the standard reader takes longer over it than the model
    answer: Any = checked(orjson.loads(server.request_bytes("POST", "/embedding", {"content": list(ids)})))
    return np.asarray(answer[0]["embedding"], dtype=np.float32)[first - 1 : -1]
