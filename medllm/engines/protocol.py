"""What every inference engine offers. Engines receive and return token ids; text is the business of medllm.data.prompts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Engine(Protocol):
    """A loaded model. All decoding is greedy, all methods keep the order of their input."""

    name: str
    dtype: str
    threads: int
    stream_costs: bool
    """Whether an answer takes longer when its tokens are handed out one by one; if not, `timed` tells what `generate` takes."""

    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, ignore_eos: bool = False) -> list[list[int]]:
        """New ids for each prompt; the end-of-text token ends an answer and is left out.

        With `ignore_eos` (for timing) every answer is exactly `max_new_tokens` long: up to the end it is the same answer, after it an
        engine may keep the end token like any other (transformers) or take the next best instead (llama.cpp).
        """
        ...

    def stream(self, prompt: Sequence[int], *, max_new_tokens: int) -> Iterator[int]:
        """New ids one at a time, as soon as each is known; stop iterating to stop the work."""
        ...

    def timed(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, users: int) -> list[list[float]]:
        """Seconds from the sending of each prompt to the arrival of each of its tokens: exactly `max_new_tokens`, the end not obeyed.

        `users` prompts are under way at once, and a user sends the next one when his answer has ended: batched as they come in
        (llama.cpp), or in batches of `users` in the order given (transformers, which cannot let a prompt into a running batch).
        """
        ...

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """log p(ids[i+1] | ids[:i+1]), natural logarithm: len(ids) - 1 values for each sequence."""
        ...

    def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> "list[NDArray[np.float32]]":
        """log p(. | ids[:i]) over the whole vocabulary for i from start to the last token: (len(ids) - start, vocabulary) for each.

        Every start is at least 1. The vocabulary is that of the output matrix, which may be padded beyond the tokenizer's.
        """
        ...

    def end_ids(self) -> frozenset[int]:
        """Token ids that end an answer, as the saved model has them."""
        ...

    def close(self) -> None:
        """Free the model. The engine must not be used afterwards."""
        ...
