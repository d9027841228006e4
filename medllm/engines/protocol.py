"""What every inference engine offers. Engines receive and return token ids; text is the business of medllm.data.prompts."""

from collections.abc import Iterator, Sequence
from typing import Protocol


class Engine(Protocol):
    """A loaded model. All decoding is greedy, all methods keep the order of their input."""

    name: str
    dtype: str
    threads: int

    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, ignore_eos: bool = False) -> list[list[int]]:
        """New ids for each prompt; the end-of-text token ends an answer and is left out.

        With `ignore_eos` (for timing) every answer is exactly `max_new_tokens` long: up to the end it is the same answer, after it an
        engine may keep the end token like any other (transformers) or take the next best instead (llama.cpp).
        """
        ...

    def stream(self, prompt: Sequence[int], *, max_new_tokens: int) -> Iterator[int]:
        """New ids one at a time, as soon as each is known; stop iterating to stop the work."""
        ...

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """log p(ids[i+1] | ids[:i+1]), natural logarithm: len(ids) - 1 values for each sequence."""
        ...

    def close(self) -> None:
        """Free the model. The engine must not be used afterwards."""
        ...
