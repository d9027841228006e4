"""OpenVINO folders, as medllm.quantize.openvino writes them: a peer to measure against. Imports neither torch nor transformers."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medllm.data.prompts import Prompts
from medllm.engines import OPENVINO_FILE
from medllm.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_BATCH_TOKENS = 4096  # padded tokens of a batch: bounds the KV cache and the logits
# OpenVINO would take bf16 and an 8-bit cache where the processor has them: other answers on other machines.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16"}
_ONE_AT_A_TIME = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}


def import_openvino() -> Any:
    """The package, kept from reporting to Google Analytics when it is imported. UserError when it is not installed."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it takes a stub of its own instead
    try:
        import openvino
    except ImportError as error:
        raise UserError('openvino is not installed; pip install -e ".[peers]"') from error
    return openvino


class OpenVinoEngine:
    """Greedy decoding and log-probabilities of an OpenVINO folder, in float32 with a KV cache of 16 bits."""

    name = "openvino"
    stream_costs = False

    def __init__(self, folder: Path, *, threads: int) -> None:
        """UserError without openvino, or when the file is not one that medllm wrote."""
        openvino = import_openvino()
        self.path, self.threads = folder / OPENVINO_FILE, threads
        core = openvino.Core()
        try:
            graph = core.read_model(self.path)
            facts = {name: graph.get_rt_info(["medllm", name]).astype(str) for name in ("weights", "end_ids")}
            compiled = core.compile_model(graph, "CPU", {**_EXACT, **_ONE_AT_A_TIME, "INFERENCE_NUM_THREADS": threads})
        except RuntimeError as error:
            raise UserError(f"{self.path}: OpenVINO cannot load it; write it again with quantize") from error
        self.dtype = facts["weights"]
        self._configured = frozenset(map(int, facts["end_ids"].split()))
        self._ends = {Prompts.load(folder).eos_id, *self._configured}
        self._vocabulary = int(compiled.output("logits").partial_shape[2].get_length())
        self._compiled: Any = compiled
        self._request: Any = compiled.create_infer_request()

    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, ignore_eos: bool = False) -> list[list[int]]:
        """See Engine.generate. Prompts of similar length share a batch, padded on the left; an ignored end token is kept."""
        ends: set[int] = set() if ignore_eos else self._ends
        answers: list[list[int]] = [[] for _ in prompts]
        for batch in _batches(prompts, extra=max_new_tokens):
            running = set(batch)
            for tokens in self._steps([prompts[i] for i in batch], max_new_tokens):
                for i, token in zip(batch, tokens, strict=True):
                    if i in running and token in ends:
                        running.discard(i)
                    elif i in running:
                        answers[i].append(token)
                if not running:
                    break
        return answers

    def stream(self, prompt: Sequence[int], *, max_new_tokens: int) -> Iterator[int]:
        """See Engine.stream. With a cache of its own, so that other calls may come between two tokens."""
        for (token,) in self._steps([prompt], max_new_tokens, request=self._open().create_infer_request()):
            if token in self._ends:
                return
            yield token

    def timed(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, users: int) -> list[list[float]]:
        """See Engine.timed. Batches of `users` in the order given."""
        arrivals: list[list[float]] = []
        for first in range(0, len(prompts), users):
            batch = prompts[first : first + users]
            start = time.perf_counter()
            seconds = [time.perf_counter() - start for _ in self._steps(batch, max_new_tokens)]
            arrivals += [seconds.copy() for _ in batch]
        return arrivals

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See Engine.token_logprobs."""
        values: list[list[float]] = []
        for ids in sequences:
            scores = self._scored(ids, 1)
            values.append(scores[np.arange(len(scores)), list(ids[1:])].tolist())
        return values

    def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> "list[NDArray[np.float32]]":
        """See Engine.distributions."""
        return [self._scored(ids, start) for ids, start in zip(sequences, starts, strict=True)]

    def end_ids(self) -> frozenset[int]:
        """See Engine.end_ids."""
        return self._configured

    def close(self) -> None:
        """See Engine.close."""
        self._compiled = self._request = None

    def _open(self) -> Any:
        if self._compiled is None:
            raise RuntimeError(f"{self.path}: the engine is closed")
        return self._compiled

    def _scored(self, ids: Sequence[int], start: int) -> "NDArray[np.float32]":
        """Log-probabilities (len - start, vocabulary) of one sequence."""
        if len(ids) <= start:
            return np.zeros((0, self._vocabulary), np.float32)
        row = np.array([ids], np.int64)
        self._open()
        self._request.reset_state()
        logits = self._logits(self._request, row, np.ones_like(row), np.arange(len(ids))[None], np.arange(start - 1, len(ids) - 1))[0]
        logits -= logits.max(axis=1, keepdims=True)
        scores: NDArray[np.float32] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return scores

    def _steps(self, prompts: Sequence[Sequence[int]], count: int, *, request: Any = None) -> Iterator[list[int]]:
        """The next token of every prompt, `count` times; past its end a prompt keeps giving tokens of no meaning."""
        width = max(len(prompt) for prompt in prompts)
        lengths = np.array([len(prompt) for prompt in prompts])
        ids = np.array([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], np.int64)
        mask = np.zeros((len(prompts), width + count), np.int64)
        mask[:, width:] = 1
        mask[:, :width] = np.arange(width) >= width - lengths[:, None]
        positions = (mask[:, :width].cumsum(axis=1) - 1).clip(min=0)
        self._open()
        request = request or self._request
        request.reset_state()
        for step in range(count):
            logits = self._logits(request, ids, mask[:, : width + step], positions, np.array([ids.shape[1] - 1]))
            ids = logits[:, -1].argmax(axis=-1)[:, None]
            positions = (lengths + step)[:, None]
            yield ids[:, 0].tolist()

    def _logits(
        self, request: Any, ids: "NDArray[np.int64]", mask: "NDArray[np.int64]", positions: "NDArray[np.int64]", kept: "NDArray[np.int64]"
    ) -> "NDArray[np.float32]":
        """(batch, kept, vocabulary) after `ids` (batch, new), which the cache then holds too."""
        if not 0 <= ids.min() <= ids.max() < self._vocabulary:  # OpenVINO itself would look up something
            raise UserError(f"{self.path}: token ids {ids.min()} to {ids.max()} of a vocabulary of {self._vocabulary}; check the tokenizer")
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "kept": kept}
        inputs["beam_idx"] = np.arange(len(ids), dtype=np.int32)
        logits: NDArray[np.float32] = request.infer(inputs)["logits"].copy()
        return logits


def _batches(sequences: Sequence[Sequence[int]], *, extra: int) -> Iterator[list[int]]:
    """Indices in batches, longest first: within a batch the first is the widest."""
    batch: list[int] = []
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        if batch and (len(batch) + 1) * (len(sequences[batch[0]]) + extra) > _MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
