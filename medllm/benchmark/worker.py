"""One model in one process: `python -m medllm.benchmark.worker <folder> --threads N`, JSON lines on stdin and stdout.

First line out: the engine is imported. Then a reply to each line in:
{"load": true}: memory and load time (memory after one token, so that the weights are in);
{"prompts": [[ids]], "answer_tokens": n}: one sample; {"finish": true}: peak memory.
End of input ends the worker, so that it cannot outlive a killed parent.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from medllm.benchmark.memory import peak_rss_bytes, rss_bytes

if TYPE_CHECKING:
    from medllm.engines.protocol import Engine

_MIN_SHARE = 0.5
_ANY_TOKEN = 0  # every vocabulary has it


def measure(engine: "Engine", prompts: Sequence[Sequence[int]], *, answer_tokens: int) -> dict[str, Any]:
    """One streamed answer: time to first token and decode rate (tokens after the first / time after the first).

    An answer that ends before half of `answer_tokens` is too short to time: the next prompt of the list is tried, and when all are
    short the longest answer counts. `prompt` (index) and `tokens` say what happened.
    """
    best: dict[str, Any] = {"tokens": 0}
    for index, prompt in enumerate(prompts):
        sample = _stream_once(engine, prompt, answer_tokens=answer_tokens)
        if sample["tokens"] > best["tokens"]:
            best = {**sample, "prompt": index}
        if best["tokens"] >= max(2, _MIN_SHARE * answer_tokens):
            break
    if best["tokens"] < 2:
        raise RuntimeError(f"no prompt of {len(prompts)} gave 2 tokens; the model ends every answer at once and its decode cannot be timed")
    return best


def _stream_once(engine: "Engine", prompt: Sequence[int], *, answer_tokens: int) -> dict[str, Any]:
    tokens, first, last = 0, 0.0, 0.0
    start = time.perf_counter()
    for _ in engine.stream(prompt, max_new_tokens=answer_tokens):
        last = time.perf_counter()
        tokens += 1
        if tokens == 1:
            first = last
    rate = (tokens - 1) / (last - first) if tokens > 1 else 0.0
    return {"tokens": tokens, "ttft_s": first - start, "decode_tokens_per_s": rate}


def import_engine(folder: Path) -> None:
    """Import what the model of `folder` needs, so that memory before and after it differ by the model alone."""
    import medllm.engines  # noqa: F401
    from medllm.model.folder import GGUF_FILE

    if (folder / GGUF_FILE).is_file():
        import xllamacpp  # noqa: F401

        return
    import transformers

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in config["architectures"]:
        getattr(transformers, name)  # transformers imports its modelling code on this access
    if "quantization_config" in config:
        import bitsandbytes  # noqa: F401


def open_model(folder: Path, threads: int, dtype: str | None) -> "Engine":
    """The engine of the pipeline."""
    from medllm.engines import open_engine

    return open_engine(folder, threads=threads, dtype=dtype)


def serve(open_it: "Callable[[], Engine]", import_it: Callable[[], None], *, commands: TextIO, replies: TextIO) -> None:
    """Import, load when told, then answer commands until the input ends."""

    def reply(row: dict[str, Any]) -> None:
        replies.write(json.dumps(row) + "\n")
        replies.flush()

    import_it()
    rss_import = rss_bytes()
    reply({"rss_import_bytes": rss_import})
    if not commands.readline():  # the parent gave up before it was this worker's turn
        return
    start = time.perf_counter()
    engine = open_it()
    load_s = time.perf_counter() - start
    try:
        # Mapped weights come into memory when they are first used: without this token a bf16 folder looks almost free.
        list(engine.stream([_ANY_TOKEN], max_new_tokens=1))
        ready_s = time.perf_counter() - start
        memory = {"rss_import_bytes": rss_import, "rss_after_load_bytes": rss_bytes()}
        reply({"engine": engine.name, "dtype": engine.dtype, "load_s": load_s, "ready_s": ready_s, **memory})
        for line in commands:
            command = json.loads(line)
            if command.get("finish"):
                reply({"peak_rss_bytes": peak_rss_bytes()})
            else:
                reply(measure(engine, command["prompts"], answer_tokens=command["answer_tokens"]))
    finally:
        engine.close()


def private_stdout() -> TextIO:
    """The real stdout for replies; file descriptor 1 becomes stderr, so that C++ logs of an engine cannot break the protocol."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="benchmark worker: one model, JSON lines on stdin and stdout")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", default=None)
    arguments = parser.parse_args()
    serve(
        lambda: open_model(arguments.folder, arguments.threads, arguments.dtype),
        lambda: import_engine(arguments.folder),
        commands=sys.stdin,
        replies=private_stdout(),
    )


if __name__ == "__main__":
    main()
