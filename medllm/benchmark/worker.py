"""One model in one process: `python -m medllm.benchmark.worker <folder> --threads N`, JSON lines on stdin and stdout.

First line out: the engine is imported. Then a reply to each line in:
{"load": true}: memory and load time (memory after one token, so that the weights are in);
{"prompt": [ids], "answer_tokens": n}: one sample, the first token alone where n is 1;
{"prompts": [[ids]], "answer_tokens": n, "users": u}: arrival times of every token with u users; {"memory": true}: resident set now;
{"finish": true}: peak memory.
End of input ends the worker, so that it cannot outlive a killed parent.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from medllm.benchmark.memory import peak_rss_bytes, rss_bytes, rss_parts

if TYPE_CHECKING:
    from medllm.engines.protocol import Engine

_FIRST_TOKENS = 3
_TRIES = 3
_ANY_TOKEN = 0  # every vocabulary has it


def measure(engine: "Engine", prompt: Sequence[int], *, answer_tokens: int) -> dict[str, Any]:
    """One prompt answered from scratch each time: with one token (time to first token), then with `answer_tokens` of them.

    The times between tokens are those of an answer handed out token by token. Where that slows an engine down, the answer is timed once
    more without it, for the decode rate is that of the engine.

    The end token is not obeyed, so that every model of a round does the same work, also one that would end its answer at once. The
    decode rate is that of the tokens after the first. The first token is the median of three, for on a tiny model one hiccup outlasts a
    whole answer; an answer of one token is timed once, for it alone is asked for where prompts are long. RuntimeError when the long
    answer took no longer than the short one, several times over.
    """
    if answer_tokens == 1:
        return {"ttft_s": _seconds(engine, prompt, tokens=1)}
    for _ in range(_TRIES):
        ttft_s = statistics.median(_seconds(engine, prompt, tokens=1) for _ in range(_FIRST_TOKENS))
        arrivals = engine.timed([prompt], max_new_tokens=answer_tokens, users=1)[0]
        answer_s = _seconds(engine, prompt, tokens=answer_tokens) if engine.stream_costs else arrivals[-1]
        if answer_s > ttft_s:
            rate = (answer_tokens - 1) / (answer_s - ttft_s)
            gaps = [after - before for before, after in pairwise(arrivals)]
            return {"ttft_s": ttft_s, "answer_s": answer_s, "decode_tokens_per_s": rate, "inter_token_s": gaps}
    raise RuntimeError(
        f"{answer_tokens} tokens took {answer_s:.4f} s and the first alone {ttft_s:.4f} s, {_TRIES} times: the machine is too busy to time "
        f"this model; stop other work on it, or raise benchmark.answer_tokens"
    )


def _seconds(engine: "Engine", prompt: Sequence[int], *, tokens: int) -> float:
    """Wall time of one answer of exactly `tokens`."""
    start = time.perf_counter()
    engine.generate([prompt], max_new_tokens=tokens, ignore_eos=True)
    return time.perf_counter() - start


def measure_load(engine: "Engine", prompts: Sequence[Sequence[int]], *, answer_tokens: int, users: int) -> dict[str, Any]:
    """All `prompts` answered by `users` at once: wall time of the whole, and the arrivals of each answer's tokens after its sending."""
    start = time.perf_counter()
    arrivals = engine.timed(prompts, max_new_tokens=answer_tokens, users=users)
    return {"seconds": time.perf_counter() - start, "arrivals_s": arrivals}


def import_engine(folder: Path) -> None:
    """Import what the model of `folder` needs, so that memory before and after it differ by the model alone."""
    import medllm.engines
    from medllm.model.folder import GGUF_FILE

    if (folder / GGUF_FILE).is_file():
        import xllamacpp  # noqa: F401

        return
    if (folder / medllm.engines.OPENVINO_FILE).is_file():
        from medllm.engines.openvino_engine import import_openvino

        import_openvino()
        return
    import transformers

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in config["architectures"]:
        getattr(transformers, name)  # transformers imports its modelling code on this access
    if "quantization_config" in config:
        import bitsandbytes  # noqa: F401


def open_model(folder: Path, threads: int, dtype: str | None, *, compiled: bool) -> "Engine":
    """The engine of the pipeline."""
    from medllm.engines import open_engine

    return open_engine(folder, threads=threads, dtype=dtype, compiled=compiled)


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
        engine.generate([[_ANY_TOKEN]], max_new_tokens=1, ignore_eos=True)
        ready_s = time.perf_counter() - start
        memory = {"rss_import_bytes": rss_import, "rss_after_load_bytes": rss_bytes()}
        reply({"engine": engine.name, "dtype": engine.dtype, "load_s": load_s, "ready_s": ready_s, **memory})
        for line in commands:
            command = json.loads(line)
            if command.get("finish"):
                reply({"peak_rss_bytes": peak_rss_bytes()})
            elif command.get("memory"):
                reply(rss_parts())
            elif "users" in command:
                reply(measure_load(engine, command["prompts"], answer_tokens=command["answer_tokens"], users=command["users"]))
            else:
                reply(measure(engine, command["prompt"], answer_tokens=command["answer_tokens"]))
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
    parser.add_argument("--compiled", action="store_true")
    arguments = parser.parse_args()
    serve(
        lambda: open_model(arguments.folder, arguments.threads, arguments.dtype, compiled=arguments.compiled),
        lambda: import_engine(arguments.folder),
        commands=sys.stdin,
        replies=private_stdout(),
    )


if __name__ == "__main__":
    main()
