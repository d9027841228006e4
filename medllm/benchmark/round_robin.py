"""Measure all models in turns: fresh workers, kept alive, one sample each per round, order rotated."""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.benchmark.bandwidth import PROBE, bandwidth_command
from medllm.benchmark.device import device_name
from medllm.benchmark.kv_cache import bytes_read_per_token
from medllm.benchmark.load import Load, Timings, check_load, time_load
from medllm.benchmark.load_summary import summarise_load
from medllm.benchmark.process import Worker, worker_command
from medllm.benchmark.prompts import random_prompt, usable_ids
from medllm.benchmark.summary import summarise
from medllm.benchmark.turns import in_turn, start_workers
from medllm.benchmark.weights import Weights, read_weights
from medllm.errors import UserError
from medllm.model.folder import model_bytes, weight_bytes

FP32_SUFFIX = "_fp32"
COMPILED_SUFFIX = "_compiled"

Samples = dict[str, dict[str, Any]]
OnRound = Callable[[int, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    folder: Path
    dtype: str | None
    compiled: bool = False


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
    compile_baseline: bool,
    bandwidth_mib: int,
    load: Load,
    seed: int,
    on_round: OnRound | None = None,
) -> dict[str, dict[str, Any]]:
    """One flat metrics dict per model of `models`, plus `<baseline_a>_fp32` and `<baseline_a>_compiled` (torch.compile) when asked for.

    Ratios to both baselines are taken within a round, and so is the share of the memory bandwidth, read over `bandwidth_mib`.
    `on_round(number, samples by model)` is called after each timed round, and then after each of `load.rounds`.
    Raises UserError on a missing baseline, folder or compiler, RuntimeError when a worker dies.
    """
    check_baselines(models, baseline_a, baseline_b)
    check_load(load, models=models, baseline_a=baseline_a)
    for key, value, least in (("rounds", rounds, 1), ("answer_tokens", answer_tokens, 2), ("bandwidth_mib", bandwidth_mib, 1)):
        if value < least:
            raise UserError(f"benchmark.{key}: {value} is too small; use at least {least}")
    rows = _rows(models, baseline_a=baseline_a, fp32=fp32_baseline, compiled=compile_baseline, warmup_rounds=warmup_rounds)
    lengths = {"prompt_tokens": prompt_tokens, "answer_tokens": answer_tokens}
    ids = usable_ids(models.values())
    commands = {name: _command(row, threads=threads) for name, row in rows.items()}
    commands[PROBE] = bandwidth_command(threads=threads, mib=bandwidth_mib)
    tell = on_round or (lambda number, samples: None)
    timed: list[Samples] = []
    under_load: list[Timings] = []
    with ExitStack() as stack:
        workers = start_workers(commands, threads=threads, stack=stack)
        for number in range(-warmup_rounds, rounds):
            prompt = random_prompt(ids, length=prompt_tokens, seed=f"{seed}:{number}")
            samples = _round(workers, number, prompt=prompt, answer_tokens=answer_tokens)
            if number >= 0:
                timed.append(samples)
                tell(number, {name: sample for name, sample in samples.items() if name != PROBE})
        # before the load: what many users take is not what one answer takes
        memory = {name: {**workers[name].loaded, **workers[name].ask(finish=True)} for name in rows}
        for timings in time_load(workers, load, ids, seed=seed, **lengths):
            under_load.append(timings)
            tell(rounds + len(under_load) - 1, timings)
    weights = {name: read_weights(row.folder, dtype=memory[name]["dtype"]) for name, row in rows.items()}
    read = {name: bytes_read_per_token(row.folder, weights[name], **lengths) for name, row in rows.items()}
    speed = summarise(timed, baseline_a=baseline_a, baseline_b=baseline_b, prompt_tokens=prompt_tokens, bytes_read=read)
    loads = summarise_load(under_load, load, baseline_a=baseline_a, **lengths)
    conditions: dict[str, Any] = {"threads": threads, **lengths, "rounds": rounds, "device": device_name(threads=threads)}
    static = {name: _static(row.folder, weights[name], memory[name]) for name, row in rows.items()}
    return {name: {**conditions, **static[name], **speed[name], **loads.get(name, {})} for name in rows}


def _rows(models: Mapping[str, Path], *, baseline_a: str, fp32: bool, compiled: bool, warmup_rounds: int) -> dict[str, _Row]:
    """Baseline A is bf16 by definition; every other model runs as it was saved."""
    rows = {name: _Row(folder=folder, dtype="bf16" if name == baseline_a else None) for name, folder in models.items()}
    if fp32:
        rows[baseline_a + FP32_SUFFIX] = _Row(folder=models[baseline_a], dtype="fp32")
    if compiled:
        compiler = os.environ.get("CXX", "g++")  # what torch.compile takes
        if shutil.which(compiler) is None:
            raise UserError(f"benchmark.compile_baseline: no C++ compiler {compiler!r} for torch.compile; install one or set it to false")
        if warmup_rounds == 0:
            raise UserError("benchmark.compile_baseline: needs a round in which to compile; set benchmark.warmup_rounds to 1 or more")
        rows[baseline_a + COMPILED_SUFFIX] = _Row(folder=models[baseline_a], dtype="bf16", compiled=True)
    return rows


def check_baselines(models: Mapping[str, Path], *baselines: str) -> None:
    """UserError when one of `baselines` is not measured."""
    for name in baselines:
        if name not in models:
            raise UserError(f"benchmark: baseline {name!r} is not among the models ({', '.join(models)}); add it or name another")


def _command(row: _Row, *, threads: int) -> list[str]:
    return worker_command(row.folder, threads=threads, dtype=row.dtype, compiled=row.compiled)


def _round(workers: Mapping[str, Worker], number: int, *, prompt: list[int], answer_tokens: int) -> Samples:
    return {name: workers[name].ask(prompt=prompt, answer_tokens=answer_tokens) for name in in_turn(workers, number)}


def _static(folder: Path, weights: Weights, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the files, and of the memory after loading.

    `resident_weight_bytes` is computed from the file (the tensors in the dtype they run in), not measured. `load_growth_bytes` is what
    the process really grew by: weights, KV cache, buffers, and library code first used. Apart, because the KV cache is reserved at once
    by one engine and not by the other.
    """
    return {
        **loaded,
        "bytes": model_bytes(folder),
        "weight_bytes": weight_bytes(folder),
        "parameters": weights.parameters,
        "resident_weight_bytes": weights.resident_bytes,
        "load_growth_bytes": loaded["rss_after_load_bytes"] - loaded["rss_import_bytes"],
    }
