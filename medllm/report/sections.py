"""Data, training and timing sections from the flat metrics of other stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medllm.errors import UserError
from medllm.report import format as fmt
from medllm.report.format import need
from medllm.report.pictures import MIX_GOAL
from medllm.report.tables import Row, Table

_WHERE = "data report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A labelled share of the longest bar."""

    label: str
    text: str
    share: float


def _shares(counts: Mapping[str, float], where: str) -> dict[str, float]:
    total = sum(counts.values())
    if total <= 0:
        raise UserError(f"{where}: no records; run prepare_data again")
    return {role: count / total for role, count in counts.items()}


def mixes(data_report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Role shares by records and by characters."""
    keys = {"by records": "records_by_role", "by characters": "characters_by_role"}
    return {label: _shares(need(data_report, key, _WHERE), f"{_WHERE}: {key}") for label, key in keys.items()}


def role_table(data_report: Mapping[str, Any]) -> Table:
    """Records and characters by role beside the brief's 20/30/50."""
    records, characters = need(data_report, "records_by_role", _WHERE), need(data_report, "characters_by_role", _WHERE)
    shares = mixes(data_report)
    rows = [
        Row(
            label=role,
            cells=[
                fmt.plain(records.get(role)),
                fmt.percent(shares["by records"].get(role)),
                fmt.plain(characters.get(role)),
                fmt.percent(shares["by characters"].get(role)),
                fmt.percent(MIX_GOAL.get(role), 0),
            ],
        )
        for role in [*MIX_GOAL, *sorted(set(records) - set(MIX_GOAL))]
    ]
    return Table(columns=["역할", "레코드", "비율", "글자", "비율", "목표"], rows=rows)


def _counts(head: str, name: str, value: Any) -> Table:
    pairs = fmt.flatten(value) if isinstance(value, Mapping) else [(name, value)]
    return Table(columns=[head, "수"], rows=[Row(label=key, cells=[fmt.plain(count)]) for key, count in pairs])


def data_tables(data_report: Mapping[str, Any]) -> list[Table]:
    """Records by set, what was dropped and why, duplicates, and what is held out."""
    held = {key: need(data_report, key, _WHERE) for key in ("held_out_forms", "held_out_facts")}
    return [
        _counts("데이터 세트", "records", need(data_report, "records_by_set", _WHERE)),
        _counts("제외 사유", "dropped", need(data_report, "dropped", _WHERE)),
        _counts("중복 제거", "duplicates", need(data_report, "duplicates", _WHERE)),
        _counts("보류 (held out)", "held_out", held),
    ]


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


def data_view(prepared: Mapping[str, Any]) -> dict[str, Any]:
    """The counts that the report shows, out of the full data report of prepare_data (medllm.data.describe)."""
    held = need(prepared, "held_out", _WHERE)
    mix = need(prepared, "mix", _WHERE)
    return {
        "records_by_set": {name: need(row, "kept", f"{_WHERE}: sets.{name}") for name, row in need(prepared, "sets", _WHERE).items()},
        "records_by_role": need(need(prepared, "counts", _WHERE), "role", f"{_WHERE}: counts"),
        "characters_by_role": {role: need(row, "characters", f"{_WHERE}: mix.{role}") for role, row in mix.items()},
        "dropped": need(prepared, "dropped", _WHERE),
        "duplicates": need(prepared, "duplicates", _WHERE),
        "held_out_forms": need(held, "items_held_out_form", f"{_WHERE}: held_out"),
        "held_out_facts": need(held, "items_held_out_fact", f"{_WHERE}: held_out"),
    }
