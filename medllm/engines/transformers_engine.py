"""Hugging Face folders on stock transformers: the quality reference and baseline A (eager attention, KV cache, inference mode)."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from medllm.data.prompts import Prompts
from medllm.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_MAX_BATCH_TOKENS = 4096  # padded tokens of a batch: bounds the KV cache and the logits
_SMALL_CACHE_BYTES = 64 * 2**20  # a KV cache of this size is no burden: a tiny model decodes a larger batch in as many steps


class TransformersEngine:
    """Greedy decoding and log-probabilities of a Hugging Face folder."""

    name = "transformers"
    stream_costs = False

    def __init__(self, folder: Path, *, threads: int, dtype: str | None = None, compiled: bool = False) -> None:
        """`dtype` is bf16 (default) or fp32; a bitsandbytes folder loads as it was saved. Sets torch's thread count for the process.

        `compiled` runs the model through torch.compile: a minute at the first prompt, and a C++ compiler on the machine.
        """
        config_file = folder / "config.json"
        if not config_file.is_file():
            raise UserError(f"{folder}: neither model.gguf nor config.json; expected a model folder")
        quantization = json.loads(config_file.read_text(encoding="utf-8")).get("quantization_config")
        if quantization and dtype is not None:
            raise UserError(f"{folder}: dtype {dtype!r} cannot be chosen for a quantised folder; leave dtype out")
        if dtype is not None and dtype not in _DTYPES:
            raise UserError(f"dtype {dtype!r} is unknown to the transformers engine; use one of {', '.join(_DTYPES)}")
        self.threads = threads
        self.dtype = _quantized_name(quantization) if quantization else dtype or "bf16"
        torch.set_num_threads(threads)
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # else a line for every int8 product: "inputs will be cast"
        kind = "auto" if quantization else _DTYPES[self.dtype]
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation="eager")
        self._model = model.eval()
        if compiled:
            self._model.forward = torch.compile(self._model.forward, dynamic=True)
        self._ends = {Prompts.load(folder).eos_id, *self.end_ids()}

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, ignore_eos: bool = False) -> list[list[int]]:
        """See Engine.generate. Prompts of similar length share a batch, padded on the left."""
        ends: set[int] = set() if ignore_eos else self._ends
        answers: list[list[int]] = [[] for _ in prompts]
        for batch in _batches(prompts, extra=max_new_tokens, most=self._answer_tokens()):
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
        """See Engine.stream."""
        steps = self._steps([prompt], max_new_tokens)
        while True:
            with torch.inference_mode():  # entered for each token: a generator must not leave the mode on for its caller
                tokens = next(steps, None)
            if tokens is None or tokens[0] in self._ends:
                return
            yield tokens[0]

    @torch.inference_mode()
    def timed(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, users: int) -> list[list[float]]:
        """See Engine.timed."""
        arrivals: list[list[float]] = []
        for first in range(0, len(prompts), users):
            batch = prompts[first : first + users]
            start = time.perf_counter()
            seconds = [time.perf_counter() - start for _ in self._steps(batch, max_new_tokens)]
            arrivals += [seconds.copy() for _ in batch]
        return arrivals

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See Engine.token_logprobs."""
        values: list[list[float]] = [[] for _ in sequences]
        for i, scores in self._scored(sequences, [1] * len(sequences)):
            values[i] = scores.gather(1, torch.tensor(sequences[i][1:])[:, None])[:, 0].tolist()
        return values

    def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> "list[NDArray[np.float32]]":
        """See Engine.distributions."""
        found = {i: scores.numpy() for i, scores in self._scored(sequences, starts)}
        return [found[i] for i in range(len(sequences))]

    def end_ids(self) -> frozenset[int]:
        """See Engine.end_ids."""
        configured = self._model.generation_config.eos_token_id
        return frozenset([configured] if isinstance(configured, int) else configured or [])

    def _scored(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """(i, log-probabilities (len - start, vocabulary)) of each sequence that is longer than its start.

        Batches are padded on the right, which causal attention never sees.
        """
        for batch in _batches(sequences, extra=0, most=_MAX_BATCH_TOKENS):
            width = len(sequences[batch[0]])
            if width < 2:  # the longest of the batch
                continue
            ids = torch.tensor([[*sequences[i], *[0] * (width - len(sequences[i]))] for i in batch])
            with torch.inference_mode():  # not around the yield: see stream
                logits = self._model(input_ids=ids, use_cache=False).logits
                ends = [len(sequences[i]) - 1 for i in batch]
                scores = [
                    torch.log_softmax(logits[row, starts[i] - 1 : end].float(), dim=-1)
                    for row, (i, end) in enumerate(zip(batch, ends, strict=True))
                ]
            yield from ((i, found) for i, found in zip(batch, scores, strict=True) if len(found))

    def close(self) -> None:
        """See Engine.close."""
        self._model = None

    def _answer_tokens(self) -> int:
        """Padded tokens of a batch that answers."""
        config = self._model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        token_bytes = 2 * self._model.dtype.itemsize * config.num_hidden_layers * heads * head_size
        return int(max(_MAX_BATCH_TOKENS, _SMALL_CACHE_BYTES // token_bytes))

    def _steps(self, prompts: Sequence[Sequence[int]], count: int) -> Iterator[list[int]]:
        """The next token of every prompt, `count` times; past its end a prompt keeps giving tokens of no meaning."""
        width = max(len(prompt) for prompt in prompts)
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        mask = (torch.arange(width) >= width - lengths[:, None]).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = None
        for step in range(count):
            output = self._model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            cache = output.past_key_values
            ids = output.logits[:, -1].argmax(dim=-1, keepdim=True)
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
            positions = (lengths + step)[:, None]
            yield ids[:, 0].tolist()


def _batches(sequences: Sequence[Sequence[int]], *, extra: int, most: int) -> Iterator[list[int]]:
    """Indices in batches, longest first: within a batch the first is the widest."""
    batch: list[int] = []
    for i in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        if batch and (len(batch) + 1) * (len(sequences[batch[0]]) + extra) > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _quantized_name(quantization: dict[str, Any]) -> str:
    if quantization.get("load_in_8bit"):
        return "int8"
    return str(quantization.get("bnb_4bit_quant_type", quantization.get("quant_method", "quantised")))
