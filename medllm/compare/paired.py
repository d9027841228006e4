"""Everything that artifacts/metrics/compare.json says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medllm.compare.champion import choose_champion
from medllm.compare.gates import Gate, disqualified, run_gates
from medllm.compare.ratios import all_ratios, compression_of
from medllm.compare.rows import Row, check_same_conditions, read_metrics, read_rows
from medllm.compare.targets import judge_targets
from medllm.errors import UserError
from medllm.statistics import CONFIDENCE

_CONDITIONS = ("device", "threads", "prompt_tokens", "answer_tokens", "rounds")


def compare(
    models: Sequence[str],
    *,
    metrics: Path,
    predictions: Path,
    models_folder: Path,
    margin: float,
    goals: Mapping[str, float],
    seed: int,
    num_resamples: int,
    baseline_a: str,
    baseline_b: str,
) -> dict[str, Any]:
    """Compare `models` by `metrics`/{evaluate,benchmark}/<m>.json, `predictions`/<m>.jsonl and `models_folder`/<m>/lineage.json.

    `margin` is the loss of accuracy (share) that a gate accepts, `goals` one number per target. Returns the content of compare.json.
    Raises UserError on a missing row, rows from different devices, unpaired items, an empty test set or an unknown metric.
    """
    for name in (baseline_a, baseline_b):
        if name not in models:
            raise UserError(f"compare: baseline {name!r} is not among the models ({', '.join(models)}); add it to the list or name another")
    rows = read_rows(models, metrics=metrics, predictions=predictions, models_folder=models_folder)
    a, b = rows[baseline_a], rows[baseline_b]
    if not b.deployable:
        raise UserError(f"compare.baseline_b: {baseline_b!r} is not a GGUF model; name the unquantised GGUF of {baseline_a!r}")
    gates = run_gates(rows, teacher=baseline_a, margin=margin, num_resamples=num_resamples, seed=seed)
    out = disqualified(gates, rows)
    champion = choose_champion(rows, gates, out, last_resort=baseline_b)
    best = rows[champion.name]
    return {
        "baselines": {"a": baseline_a, "b": baseline_b},
        "champion": champion.name,
        "champion_rule": champion.rule,
        "conditions": {**_conditions(a), "margin": margin, "num_resamples": num_resamples, "seed": seed},
        "targets": judge_targets(rows, best=best, a=a, b=b, disqualified=out, goals=goals, num_resamples=num_resamples, seed=seed),
        "gates": [_gate_entry(gate) for gate in gates],
        "models": {name: _model_entry(row, rows, a=a, b=b, out=out) for name, row in rows.items()},
        "extra_rows": _extra_rows(metrics / "benchmark", a=a, b=b),
    }


def _conditions(a: Row) -> dict[str, Any]:
    """Of the measurements; read_rows made sure that all rows share them."""
    return {**{key: a.metrics[key] for key in _CONDITIONS}, "protocol_version": a.metrics["protocol_version"], "confidence": CONFIDENCE}


def _gate_entry(gate: Gate) -> dict[str, Any]:
    difference = gate.difference
    return {
        "model": gate.model,
        "metric": gate.metric,
        "margin": gate.margin,
        "estimate": difference.estimate,
        "interval": [difference.low, difference.high],
        "n": difference.n,
        "clusters": difference.clusters,
        "verdict": gate.verdict,
        "admits": gate.admits,
        "disqualifies": list(gate.disqualifies),
    }


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
    """Baseline A in fp32, timed beside it but no model of its own: no lineage, no quality."""
    name = f"{a.name}_fp32"
    path = benchmark / f"{name}.json"
    if not path.is_file():
        return {}
    values = read_metrics(path, command="dvc repro benchmark")
    check_same_conditions({a.name: a.metrics, name: values}, _CONDITIONS)
    row = Row(name=name, metrics=values, scores=a.scores, lineage=a.lineage, deployable=False)
    return {name: {"metrics": values, "ratios": all_ratios(row, a=a, b=b)}}
