"""The result of an A/B test as lines for a terminal."""

from collections.abc import Mapping
from typing import Any

_HEAD = ("task", "n", "clusters", "a", "b", "b - a", "95 % interval", "p", "p Holm", "lost", "won", "verdict", "A/A")


def table(result: Mapping[str, Any]) -> list[str]:
    """Head, one line a task, and what the verdicts leave open."""
    tasks: Mapping[str, Mapping[str, Any]] = result["tasks"]
    cells = [_HEAD, *(_cells(task, entry) for task, entry in tasks.items())]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    for task, entry in tasks.items():
        if entry["verdict"] == "cannot_tell":
            needed = entry["items_needed"]
            lines.append(f"{task}: {'no number of' if needed is None else f'about {needed:,}'} items like these would tell")
        if not entry["self_test"]["holds"]:
            lines.append(f"{task}: the A/A self-test tells {entry['self_test']['rate']:.1%} of equal pairs apart; do not trust its verdict")
    return lines


def _cells(task: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = entry["interval"]
    return (
        task, str(entry["n"]), str(entry["clusters"]), f"{entry['a']:.3f}", f"{entry['b']:.3f}", f"{entry['difference']:+.3f}",
        f"[{low:+.3f}, {high:+.3f}]", f"{entry['p']:.3f}", f"{entry['p_holm']:.3f}", str(entry["flips"]["lost"]),
        str(entry["flips"]["won"]), entry["verdict"], f"{entry['self_test']['rate']:.1%}",
    )  # fmt: skip
