"""Measure all models in turns: fresh workers, kept alive, one sample each per round, order rotated."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.benchmark.device import device_name
from medllm.benchmark.process import Worker, worker_command, worker_environment
from medllm.benchmark.prompts import random_prompt, usable_ids
from medllm.benchmark.summary import summarise
from medllm.benchmark.weights import read_weights
from medllm.errors import UserError
from medllm.model.folder import model_bytes, weight_bytes

FP32_SUFFIX = "_fp32"

Samples = dict[str, dict[str, Any]]
OnRound = Callable[[int, Samples], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    folder: Path
    dtype: str | None


def run_benchmark(
    models: Mapping[str, Path],
    *,
    baseline_a: str,
    baseline_b: str,
    threads: int,
    prompt_tokens: int,
    answer_tokens: int,
    rounds: int,
    warmup_rounds: int,
    fp32_baseline: bool,
    seed: int,
    on_round: OnRound | None = None,
) -> dict[str, dict[str, Any]]:
    """One flat metrics dict per model of `models`, plus `<baseline_a>_fp32` when `fp32_baseline`.

    Ratios to both baselines are taken within a round. `on_round(number, samples by model)` is called after each timed round.
    Raises UserError on a missing baseline or folder, RuntimeError when a worker dies.
    """
    check_baselines(models, baseline_a, baseline_b)
    for key, value, least in (("rounds", rounds, 1), ("answer_tokens", answer_tokens, 2)):
        if value < least:
            raise UserError(f"benchmark.{key}: {value} is too small; use at least {least}")
    # Baseline A is bf16 by definition; every other model runs as it was saved.
    rows = {name: _Row(folder=folder, dtype="bf16" if name == baseline_a else None) for name, folder in models.items()}
    if fp32_baseline:
        rows[baseline_a + FP32_SUFFIX] = _Row(folder=models[baseline_a], dtype="fp32")
    ids = usable_ids(models.values())
    timed: list[Samples] = []
    with ExitStack() as stack:
        workers = start_workers({name: _command(row, threads=threads) for name, row in rows.items()}, threads=threads, stack=stack)
        for number in range(-warmup_rounds, rounds):
            prompt = random_prompt(ids, length=prompt_tokens, seed=f"{seed}:{number}")
            timed.append(_round(workers, number, prompt=prompt, answer_tokens=answer_tokens))
            if number >= 0 and on_round is not None:
                on_round(number, timed[-1])
        memory = {name: {**worker.loaded, **worker.ask(finish=True)} for name, worker in workers.items()}
    del timed[:warmup_rounds]
    static = {name: _static(row.folder, memory[name]) for name, row in rows.items()}
    speed = summarise(timed, baseline_a=baseline_a, baseline_b=baseline_b, prompt_tokens=prompt_tokens)
    conditions: dict[str, Any] = {"threads": threads, "prompt_tokens": prompt_tokens, "answer_tokens": answer_tokens, "rounds": rounds}
    conditions["device"] = device_name(threads=threads)
    return {name: {**conditions, **static[name], **memory[name], **speed[name]} for name in rows}


def check_baselines(models: Mapping[str, Path], *baselines: str) -> None:
    """UserError when one of `baselines` is not measured."""
    for name in baselines:
        if name not in models:
            raise UserError(f"benchmark: baseline {name!r} is not among the models ({', '.join(models)}); add it or name another")


def _command(row: _Row, *, threads: int) -> list[str]:
    return worker_command(row.folder, threads=threads, dtype=row.dtype)


def start_workers(commands: Mapping[str, Sequence[str]], *, threads: int, stack: ExitStack) -> dict[str, Worker]:
    """Workers import side by side (seconds each), then load one after the other, so that no load time is disturbed."""
    environment = worker_environment(threads=threads)
    workers = {name: stack.enter_context(Worker(name, command, environment=environment)) for name, command in commands.items()}
    for worker in workers.values():
        worker.wait_imported()
    for worker in workers.values():
        worker.load()
    return workers


def _round(workers: Mapping[str, Worker], number: int, *, prompt: list[int], answer_tokens: int) -> Samples:
    return {name: workers[name].ask(prompt=prompt, answer_tokens=answer_tokens) for name in in_turn(workers, number)}


def in_turn(names: Iterable[str], number: int) -> list[str]:
    """The order of round `number`: rotated, so that no model always comes first."""
    ordered = list(names)
    shift = number % len(ordered)
    return ordered[shift:] + ordered[:shift]


def _static(folder: Path, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the files, and of the memory after loading.

    `resident_weight_bytes` is computed from the file (the tensors in the dtype they run in), not measured. `load_growth_bytes` is what
    the process really grew by: weights, KV cache, buffers, and library code first used. Apart, because the KV cache is reserved at once
    by one engine and not by the other.
    """
    weights = read_weights(folder, dtype=loaded["dtype"])
    return {
        "bytes": model_bytes(folder),
        "weight_bytes": weight_bytes(folder),
        "parameters": weights.parameters,
        "resident_weight_bytes": weights.resident_bytes,
        "load_growth_bytes": loaded["rss_after_load_bytes"] - loaded["rss_import_bytes"],
    }
