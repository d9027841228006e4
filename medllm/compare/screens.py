"""Cheap screens before any test: how far the next-token distributions and the single answers moved from the teacher's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medllm.compare.lineage import descendants
from medllm.compare.rows import GATE_TASK, Row
from medllm.errors import UserError
from medllm.statistics.divergence import kl_divergence, top1_agreement
from medllm.statistics.paired import flips


def screen_models(
    rows: Mapping[str, Row], *, teacher: str, screens: Path, max_kl_nats: float, max_flip_rate: float
) -> dict[str, dict[str, Any]]:
    """{model: kl_to_teacher_nats, top1_agreement, flip_rate, positions, suspicious} for the teacher and everything made from it.

    `screens` holds <model>.npy as medllm.evaluate.screen writes them. Models with another tokenizer have no common vocabulary: their
    distributions are None. A suspicious model is named in the report, never disqualified: its gates decide. UserError: a file is missing.
    """
    reference = _read(screens, teacher)
    found: dict[str, dict[str, Any]] = {}
    for name in [teacher, *descendants(teacher, rows)]:
        row = rows[name]
        ours = _read(screens, name)
        changed = flips(row.scores(GATE_TASK)[0], rows[teacher].scores(GATE_TASK)[0])
        same = row.metrics.get("tokenizer_sha256") == rows[teacher].metrics.get("tokenizer_sha256") and len(ours) == len(reference)
        kl = kl_divergence(reference, ours) if same else None
        found[name] = {
            "kl_to_teacher_nats": kl, "top1_agreement": top1_agreement(reference, ours) if same else None, "flip_rate": changed.rate,
            "positions": len(reference), "suspicious": kl is None or not kl <= max_kl_nats or changed.rate > max_flip_rate,
        }  # fmt: skip
    return found


def _read(screens: Path, name: str) -> Any:
    path = screens / f"{name}.npy"
    if not path.is_file():
        raise UserError(f"missing row: {path}; run `dvc repro evaluate@{name}`")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: no array of log-probabilities ({error}); run `dvc repro --force evaluate@{name}`") from error
    if found.ndim != 2 or 0 in found.shape:
        raise UserError(f"{path}: shape {found.shape}, not (positions, vocabulary); run `dvc repro --force evaluate@{name}`")
    return found
