"""All models of one shape in one interleaved run: size, memory, first token, decode, and the share of the memory bandwidth used."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from medllm.benchmark.bandwidth import PROBE, bandwidth_command
from medllm.benchmark.device import device_name
from medllm.benchmark.kv_cache import bytes_read_per_token, kv_bytes_per_token
from medllm.benchmark.process import Worker, worker_command
from medllm.benchmark.prompts import random_prompt, usable_ids
from medllm.benchmark.round_robin import check_baselines
from medllm.benchmark.scale_verdicts import verdicts
from medllm.benchmark.summary import Column, spread
from medllm.benchmark.turns import in_turn, start_workers
from medllm.benchmark.weights import Weights, read_weights
from medllm.engines.llamacpp_engine import CONTEXT
from medllm.errors import UserError
from medllm.model.folder import model_bytes, weight_bytes

_PACKAGES = ("torch", "transformers", "xllamacpp", "gguf", "numpy")

Samples = dict[str, dict[str, float]]
OnRound = Callable[[int], None]


def run_scale(
    models: Mapping[str, Path],
    *,
    baseline_a: str,
    baseline_b: str,
    threads: int,
    prompt_lengths: Sequence[int],
    answer_tokens: int,
    rounds: int,
    warmup_rounds: int,
    bandwidth_mib: int,
    seed: int,
    on_round: OnRound,
) -> dict[str, Any]:
    """`conditions`, a flat row for each model, and the verdicts on the targets.

    The first of `prompt_lengths` is answered with `answer_tokens`, which gives the decode rate, the others with one token. Baseline A runs
    in bf16, every other model as it was saved. Raises UserError on knobs that do not fit, RuntimeError when a worker dies.
    """
    check_baselines(models, baseline_a, baseline_b)
    check_knobs(
        threads=threads, prompt_lengths=prompt_lengths, answer_tokens=answer_tokens, rounds=rounds, bandwidth_mib=bandwidth_mib
    )  # fmt: skip
    ids = usable_ids(models.values())
    dtypes = {baseline_a: "bf16"}
    commands = {name: worker_command(folder, threads=threads, dtype=dtypes.get(name)) for name, folder in models.items()}
    commands[PROBE] = bandwidth_command(threads=threads, mib=bandwidth_mib)
    timed: list[Samples] = []
    with ExitStack() as stack:
        workers = start_workers(commands, threads=threads, stack=stack)
        memory = {name: _loaded(workers[name]) for name in models}
        for number in range(-warmup_rounds, rounds):
            prompts = [random_prompt(ids, length=length, seed=f"{seed}:{number}") for length in prompt_lengths]
            timed.append({name: _sample(workers[name], prompts, answer_tokens=answer_tokens) for name in in_turn(workers, number)})
            on_round(number)
        for name in models:
            memory[name] |= workers[name].ask(memory=True) | workers[name].ask(finish=True)
    del timed[:warmup_rounds]
    rows = _rows(models, memory, timed, baselines=(baseline_a, baseline_b), lengths=prompt_lengths, answer_tokens=answer_tokens)
    conditions = _conditions(threads=threads, bandwidth_mib=bandwidth_mib, rounds=rounds, warmup_rounds=warmup_rounds)
    conditions |= {"prompt_tokens": list(prompt_lengths), "answer_tokens": answer_tokens, "batch": 1, "seed": seed}
    conditions |= {"baseline_a": baseline_a, "baseline_b": baseline_b}
    conditions |= spread("bandwidth_bytes_per_s", _column(timed, PROBE, "bandwidth_bytes_per_s"))
    return {"conditions": conditions, "rows": rows, "verdicts": verdicts(rows)}


def check_knobs(*, threads: int, prompt_lengths: Sequence[int], answer_tokens: int, rounds: int, bandwidth_mib: int) -> None:
    """UserError on a number that run_scale cannot work with."""
    given = {"threads": threads, "rounds": rounds, "bandwidth_mib": bandwidth_mib, "answer_tokens": answer_tokens}
    for key, value in given.items():
        least = 2 if key == "answer_tokens" else 1
        if value < least:
            raise UserError(f"scale: {key}={value} is too small; use at least {least}")
    if not prompt_lengths or min(prompt_lengths) < 1 or max(prompt_lengths) + answer_tokens > CONTEXT:
        raise UserError(f"scale: prompts of {list(prompt_lengths)} and {answer_tokens} new tokens do not fit {CONTEXT}; use other lengths")


def _loaded(worker: Worker) -> dict[str, Any]:
    parts = worker.ask(memory=True)
    return {**worker.loaded, **{f"{key.removesuffix('_bytes')}_after_load_bytes": value for key, value in parts.items()}}


def _sample(worker: Worker, prompts: Sequence[list[int]], *, answer_tokens: int) -> dict[str, float]:
    """One turn of a worker: an answer to the first prompt, one token after each of the others. The probe just measures."""
    first: dict[str, float] = worker.ask(prompt=prompts[0], answer_tokens=answer_tokens)
    if worker.name == PROBE:
        return first
    sample = {_ttft(len(prompts[0])): first.pop("ttft_s"), **first}
    for prompt in prompts[1:]:
        sample[_ttft(len(prompt))] = worker.ask(prompt=prompt, answer_tokens=1)["ttft_s"]
    return sample


def _ttft(length: int) -> str:
    return f"ttft_{length}_s"


def _column(timed: Sequence[Samples], name: str, key: str) -> Column:
    return np.array([samples[name][key] for samples in timed], dtype=np.float64)


def _rows(
    models: Mapping[str, Path], memory: Mapping[str, Mapping[str, Any]], timed: Sequence[Samples], *, baselines: tuple[str, str],
    lengths: Sequence[int], answer_tokens: int,
) -> list[dict[str, Any]]:  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    for name, folder in models.items():
        weights = read_weights(folder, dtype=memory[name]["dtype"])
        rows[name] = {
            "model": name, "baseline": dict(zip(baselines, "ab", strict=True)).get(name, ""), **memory[name],
            "bytes": model_bytes(folder), "weight_bytes": weight_bytes(folder), "parameters": weights.parameters,
            "resident_weight_bytes": weights.resident_bytes,
            **_kv(folder, engine=memory[name]["engine"], tokens=max(lengths) + answer_tokens),
        }  # fmt: skip
        rows[name] |= _speed(name, folder, weights, timed, baselines=baselines, lengths=lengths, answer_tokens=answer_tokens)
    for letter, baseline in zip("ab", baselines, strict=True):
        for row in rows.values():
            for key in ("bytes", "resident_weight_bytes", "peak_rss_bytes"):
                row[f"{key.removesuffix('_bytes')}_to_{letter}"] = row[key] / rows[baseline][key]
    return list(rows.values())


def _kv(folder: Path, *, engine: str, tokens: int) -> dict[str, int]:
    """KV cache of the longest use here; llama.cpp reserves it for its whole context when it loads."""
    per_token = kv_bytes_per_token(folder)
    return {"kv_bytes_per_token": per_token, "kv_cache_bytes": per_token * (CONTEXT if engine == "llama.cpp" else tokens)}


def _speed(
    name: str, folder: Path, weights: Weights, timed: Sequence[Samples], *, baselines: tuple[str, str], lengths: Sequence[int],
    answer_tokens: int,
) -> dict[str, Any]:  # fmt: skip
    """Medians and p10 to p90 over rounds; ratios and the share of the bandwidth are taken within a round."""
    rate = _column(timed, name, "decode_tokens_per_s")
    read = bytes_read_per_token(folder, weights, prompt_tokens=lengths[0], answer_tokens=answer_tokens)
    figures: dict[str, Any] = {
        "bytes_read_per_token": int(read),
        **spread("decode_tokens_per_s", rate),
        **spread("bandwidth_share", read * rate / _column(timed, PROBE, "bandwidth_bytes_per_s")),
    }
    for length in lengths:
        figures |= spread(f"ttft_{length}_ms", 1000 * _column(timed, name, _ttft(length)))
    for letter, baseline in zip("ab", baselines, strict=True):
        figures |= spread(f"decode_to_{letter}", rate / _column(timed, baseline, "decode_tokens_per_s"))
        for length in lengths:
            ratio = _column(timed, name, _ttft(length)) / _column(timed, baseline, _ttft(length))
            figures |= spread(f"ttft_{length}_to_{letter}", ratio)
    return figures


def _conditions(*, threads: int, bandwidth_mib: int, rounds: int, warmup_rounds: int) -> dict[str, Any]:
    return {
        "device": device_name(threads=threads), "threads": threads, "cores": os.cpu_count(), "rounds": rounds,
        "warmup_rounds": warmup_rounds, "python": platform.python_version(), **{name: version(name) for name in _PACKAGES},
        "bandwidth_method": f"running OR over {bandwidth_mib} MiB of 64-bit words in {threads} threads, the fastest of 3 passes each round",
    }  # fmt: skip
