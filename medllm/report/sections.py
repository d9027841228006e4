"""Training and timing sections from the flat metrics of other stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medllm.report import format as fmt
from medllm.report.tables import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A labelled share of the longest bar."""

    label: str
    text: str
    share: float


def step_tables(step_metrics: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """One table a step: whatever it measured, sorted by name."""
    return [
        Table(columns=[step, "값"], rows=[Row(label=key, cells=[fmt.plain(value)]) for key, value in fmt.flatten(metrics)])
        for step, metrics in step_metrics.items()
    ]


def stage_bars(stage_seconds: Mapping[str, float]) -> list[Bar]:
    """Seconds by stage in the given order."""
    longest = max(stage_seconds.values(), default=0.0)
    return [Bar(label=name, text=f"{s:,.1f} s", share=s / longest if longest else 0.0) for name, s in stage_seconds.items()]
