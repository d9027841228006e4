"""A worker around an engine that needs no model: `python fake_worker.py <behaviour>`; used by test_worker.py."""

import os
import sys
import time
from collections.abc import Iterator, Sequence

from medllm.benchmark.worker import private_stdout, serve


class FakeEngine:
    """Streams one token a millisecond; a prompt that starts with an odd id ends after `short` tokens."""

    name, dtype, threads = "fake", "f16", 1

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.ballast = b"x" * 30_000_000

    def stream(self, prompt: Sequence[int], *, max_new_tokens: int) -> Iterator[int]:
        if len(prompt) > 1 and self.behaviour == "dies":
            raise ValueError("the weights are gone")
        if len(prompt) > 1 and self.behaviour == "hangs":
            time.sleep(60)
        for token in range({"mute": 0, "brief": 3}.get(self.behaviour, 2) if prompt[0] % 2 else max_new_tokens):
            time.sleep(0.001)
            yield token

    def close(self) -> None:
        self.ballast = b""


def open_fake() -> FakeEngine:
    os.write(1, b"llama.cpp writes what it likes to stdout\n")
    return FakeEngine(sys.argv[1])


serve(open_fake, lambda: None, commands=sys.stdin, replies=private_stdout())
