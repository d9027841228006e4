import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a predictions file: scores by task; two items share a cluster. `change` edits the rows."""

    def made(name: str, scores: Mapping[str, Sequence[int]], change: Callable[[list[dict[str, Any]]], object] | None = None) -> Path:
        rows: list[dict[str, Any]] = [
            {"item_id": f"{task}_{i}", "task": task, "cluster": f"fact_{i // 2}", "score": score, "prompt_sha256": f"p{i}", "output": "네"}
            for task, values in scores.items() for i, score in enumerate(values)
        ]  # fmt: skip
        if change:
            change(rows)
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return made
