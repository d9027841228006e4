"""Read bandwidth of the memory, as a worker that takes its turn: `python -m medllm.benchmark.bandwidth --threads N --mib M`.

Each thread reads its share of an array of M MiB, which is far larger than any cache, and keeps nothing but a running OR of its 64-bit
words: no arithmetic that could be slower than the memory. A sample is the fastest of three passes, in bytes per second. The protocol is
that of medllm.benchmark.worker.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

PROBE = "memory bandwidth"  # its name among the workers
_PASSES = 3
_MIB = 1 << 20


def bandwidth_command(*, threads: int, mib: int) -> list[str]:
    """Command line of the probe."""
    return [sys.executable, "-m", "medllm.benchmark.bandwidth", "--threads", str(threads), "--mib", str(mib)]


def bandwidth_reader(*, threads: int, mib: int) -> Callable[[], float]:
    """A function that measures, in bytes per second. Every page is written first: pages never written are all the same page of zeros."""
    array: NDArray[np.uint64] = np.arange(mib * _MIB // 8, dtype=np.uint64)
    shares = np.array_split(array, threads)
    pool = ThreadPoolExecutor(threads)

    def read() -> float:
        start = time.perf_counter()
        for _ in pool.map(np.bitwise_or.reduce, shares):  # numpy lets go of the interpreter lock here
            pass
        return float(array.nbytes / (time.perf_counter() - start))

    return lambda: max(read() for _ in range(_PASSES))


def serve(*, threads: int, mib: int, commands: TextIO, replies: TextIO) -> None:
    """Answer the first line with the size read, every other with a sample."""

    def reply(row: dict[str, Any]) -> None:
        replies.write(json.dumps(row) + "\n")
        replies.flush()

    reply({})
    if not commands.readline():
        return
    measure = bandwidth_reader(threads=threads, mib=mib)
    reply({"bytes_read": mib * _MIB})
    for _ in commands:
        reply({"bandwidth_bytes_per_s": measure()})


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="read bandwidth of the memory, JSON lines on stdin and stdout")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--mib", type=int, required=True)
    arguments = parser.parse_args()
    serve(threads=arguments.threads, mib=arguments.mib, commands=sys.stdin, replies=sys.stdout)


if __name__ == "__main__":
    main()
