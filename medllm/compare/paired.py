"""Everything that artifacts/metrics/compare.json says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medllm.compare.breakdown import by_department, detectable_effects, emergency_entry
from medllm.compare.champion import choose_champion
from medllm.compare.gates import disqualified, floor_gate, run_gates
from medllm.compare.ratios import all_ratios, compression_of
from medllm.compare.red_flags import Emergencies
from medllm.compare.rows import Row, check_same_conditions, read_metrics, read_rows
from medllm.compare.screens import screen_models
from medllm.compare.targets import goal_of, judge_targets
from medllm.errors import UserError
from medllm.statistics.intervals import CONFIDENCE

_CONDITIONS = ("device", "threads", "prompt_tokens", "answer_tokens", "rounds")


def compare(
    models: Sequence[str],
    *,
    metrics: Path,
    predictions: Path,
    screens: Path,
    models_folder: Path,
    rules: Path,
    messages: Path,
    margins: Mapping[str, float],
    max_kl_nats: float,
    max_flip_rate: float,
    goals: Mapping[str, float],
    seed: int,
    num_resamples: int,
    baseline_a: str,
    baseline_b: str,
) -> dict[str, Any]:
    """Compare `models` by `metrics`/{evaluate,benchmark}/<m>.json, `predictions`/<m>.jsonl, `screens`/<m>.npy and their lineages.

    `margins` are the losses of accuracy (shares) that gates accept, `goals` one number per target, `rules` the red flags of the package,
    `messages` the first messages that they are held against; `max_kl_nats` and `max_flip_rate` are the limits of the screens.
    Returns the content of compare.json.
    Raises UserError on a missing row, rows from different devices, unpaired items, an empty test set or an unknown metric.
    """
    for name in (baseline_a, baseline_b):
        if name not in models:
            raise UserError(f"compare: baseline {name!r} is not among the models ({', '.join(models)}); add it to the list or name another")
    rows = read_rows(models, metrics=metrics, predictions=predictions, models_folder=models_folder)
    a, b = rows[baseline_a], rows[baseline_b]
    if not b.deployable:
        raise UserError(f"compare.baseline_b: {baseline_b!r} is not a GGUF model; name the unquantised GGUF of {baseline_a!r}")
    emergencies = Emergencies.of(a, rules=rules, messages=messages)
    gates = run_gates(rows, teacher=baseline_a, emergencies=emergencies, margins=margins, num_resamples=num_resamples, seed=seed)
    out = disqualified(gates, rows)
    champion = choose_champion(rows, gates, out, answer_ms=goal_of("answer_time", goals), last_resort=baseline_b)
    best = rows[champion.name]
    if emergencies.n:
        gates.append(floor_gate(best, emergencies, floor=goal_of("emergencies", goals)))
    return {
        "baselines": {"a": baseline_a, "b": baseline_b},
        "champion": champion.name,
        "champion_rule": champion.rule,
        "last_resort": champion.last_resort,
        "conditions": {
            **_conditions(a),
            "margins": dict(margins),
            "screens": {"max_kl_nats": max_kl_nats, "max_flip_rate": max_flip_rate},
            "num_resamples": num_resamples,
            "seed": seed,
        },
        "targets": judge_targets(
            rows, best=best, a=a, b=b, disqualified=out, emergencies=emergencies, goals=goals, num_resamples=num_resamples, seed=seed
        ),
        "gates": [gate.as_dict() for gate in gates],
        "detectable": detectable_effects(best, a, margins=margins),
        "emergencies": emergency_entry(best, a, emergencies),
        "departments": by_department(rows, names=(a.name, best.name)),
        "screens": screen_models(rows, teacher=a.name, screens=screens, max_kl_nats=max_kl_nats, max_flip_rate=max_flip_rate),
        "models": {name: _model_entry(row, rows, a=a, b=b, out=out) for name, row in rows.items()},
        "extra_rows": _extra_rows(metrics / "benchmark", a=a, b=b),
    }


def _conditions(a: Row) -> dict[str, Any]:
    """Of the measurements; read_rows made sure that all rows share them."""
    return {**{key: a.metrics[key] for key in _CONDITIONS}, "protocol_version": a.metrics["protocol_version"], "confidence": CONFIDENCE}


def _model_entry(row: Row, rows: Mapping[str, Row], *, a: Row, b: Row, out: set[str]) -> dict[str, Any]:
    compression = compression_of(row, rows)
    return {
        "metrics": row.metrics,
        "ratios": all_ratios(row, a=a, b=b),
        "lineage": {"parent": row.lineage.parent, "step": row.lineage.step, "method": row.lineage.method},
        "deployable": row.deployable,
        "disqualified": row.name in out,
        "compression": compression,
        "compression_gain": None if compression is None else compression["gain"],
    }


def _extra_rows(benchmark: Path, *, a: Row, b: Row) -> dict[str, Any]:
    """Baseline A in fp32 or compiled, timed beside it but no model of its own: no lineage, no quality."""
    found = {}
    for name in (f"{a.name}_fp32", f"{a.name}_compiled"):
        path = benchmark / f"{name}.json"
        if path.is_file():
            values = read_metrics(path, command="dvc repro benchmark")
            check_same_conditions({a.name: a.metrics, name: values}, _CONDITIONS)
            row = Row(name=name, metrics=values, answers={}, lineage=a.lineage, deployable=False)
            found[name] = {"metrics": values, "ratios": all_ratios(row, a=a, b=b)}
    return found
