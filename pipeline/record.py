"""What every stage leaves behind: flat metrics (in git) and wall times (never in an artifact)."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pipeline.layout import metrics_file, output_root


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Sorted keys, whole or not at all. ASCII only: DVC takes a metrics file for binary when too much of its start is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105


def read_json(path: Path) -> dict[str, Any]:
    """Content of a metrics file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def flat(result: Any) -> dict[str, Any]:
    """A result dataclass as flat metrics; nested ones are joined by their field names, wall seconds are left out."""
    metrics: dict[str, Any] = {}
    for key, value in asdict(result).items():
        if isinstance(value, dict):
            metrics |= {f"{key}_{name}": inner for name, inner in value.items() if isinstance(inner, (int, float))}
        elif isinstance(value, (int, float, str)):
            metrics[key] = value
    return {key: value for key, value in metrics.items() if not key.endswith("seconds")}


@contextmanager
def recorded(name: str) -> Iterator[dict[str, Any]]:
    """Collect the metrics of a stage; they are written when it succeeds. Its wall seconds go to artifacts/timings."""
    metrics: dict[str, Any] = {}
    started = time.perf_counter()
    yield metrics
    if metrics:
        write_json(metrics_file(name), metrics)
    write_json(output_root() / "timings" / f"{name}.json", {"seconds": round(time.perf_counter() - started, 2)})


def speed(training: Any) -> dict[str, float]:
    """Tokens per second of a training, for logs."""
    assert is_dataclass(training)
    values: Any = training
    return {"tokens_per_s": values.tokens / values.seconds, "train_seconds": values.seconds}
