"""Bytes, memory, load, first token and decode of every model, measured in turns so that ratios are paired."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medllm.benchmark.round_robin import run_benchmark

__all__ = ["run_benchmark"]


def __getattr__(name: str) -> Any:
    # Late, because the worker imports this package too, and what it imports is part of the memory that it measures.
    if name == "run_benchmark":
        from medllm.benchmark.round_robin import run_benchmark

        return run_benchmark
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
