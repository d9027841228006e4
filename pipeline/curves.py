"""Curves of a training as lines in a file beside MLflow: a store that was away, or a run that was cut off, loses nothing."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.layout import output_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a training said at one step; `milliseconds` since 1970."""

    step: int
    milliseconds: int
    values: dict[str, float]


def curve_file(inputs_sha256: str) -> Path:
    """Where the curve of a training with these inputs is kept, next to the wall times: git and DVC know neither."""
    return output_root() / "timings" / "curves" / f"{inputs_sha256}.jsonl"


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def append(path: Path, point: Point) -> None:
    """One line a step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps([point.step, point.milliseconds, point.values]) + "\n")


def read(path: Path) -> list[Point]:
    """Points by step, the last of each step and name; the line that a kill cut in half is left out."""
    found: dict[int, tuple[int, Mapping[str, float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            step, milliseconds, values = json.loads(line)
        except ValueError:
            continue
        found[step] = (milliseconds, {**found.get(step, (0, {}))[1], **values})
    return [Point(step=step, milliseconds=found[step][0], values=dict(found[step][1])) for step in sorted(found)]
