"""A worker around an engine that needs no model: `python fake_worker.py <behaviour>`; used by test_worker.py."""

import os
import sys
import time
from collections.abc import Sequence

from medllm.benchmark.worker import private_stdout, serve


class FakeEngine:
    """10 ms for the prompt and 1 ms a token; would end every answer at once if the end token were obeyed."""

    name, dtype, threads, stream_costs = "fake", "f16", 1, False

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.stream_costs = behaviour == "streams slowly"
        self.ballast = b"x" * 30_000_000

    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, ignore_eos: bool = False) -> list[list[int]]:
        loading = len(prompts[0]) == 1
        if not loading and self.behaviour == "dies":
            raise ValueError("the weights are gone")
        if not loading and self.behaviour == "hangs":
            time.sleep(60)
        disturbed = self.behaviour == "disturbed" and max_new_tokens == 1
        count = max_new_tokens if ignore_eos else 0
        time.sleep(0.2 if disturbed else 0.01 + 0.001 * count)
        return [list(range(count)) for _ in prompts]

    def timed(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, users: int) -> list[list[float]]:
        start = time.perf_counter()
        for first in range(0, len(prompts), users):
            self.generate(prompts[first : first + users], max_new_tokens=max_new_tokens, ignore_eos=True)
        spent = (time.perf_counter() - start) * users / len(prompts)
        slower = 1.5 if self.stream_costs else 1
        return [[slower * spent * (number + 1) / max_new_tokens for number in range(max_new_tokens)] for _ in prompts]

    def close(self) -> None:
        self.ballast = b""


def open_fake() -> FakeEngine:
    os.write(1, b"llama.cpp writes what it likes to stdout\n")
    return FakeEngine(sys.argv[1])


serve(open_fake, lambda: None, commands=sys.stdin, replies=private_stdout())
