"""Every pruning method with knobs for the miniatures."""

from collections.abc import Callable
from typing import Any

from medllm.prune import importance
from medllm.prune.combined import prune_combined
from medllm.prune.depth import prune_depth
from medllm.prune.plan import PruneResult
from medllm.prune.width import prune_width

SET: dict[str, Any] = {"batch_rows": 8, "max_tokens": 128, "sample_tokens": 400}
WIDTH: dict[str, Any] = {**SET, "round_to": 64, "importance": importance.activation, "ridge": 0.01, "seed": 0}
ALL = ["ffn", "heads", "hidden"]
PRUNERS: dict[str, Callable[..., PruneResult]] = {
    "ffn": lambda *paths, **knobs: prune_width(*paths, **{**WIDTH, "axes": ["ffn"], **knobs}),
    "heads": lambda *paths, **knobs: prune_width(*paths, **{**WIDTH, "axes": ["heads"], **knobs}),
    "width": lambda *paths, **knobs: prune_width(*paths, **{**WIDTH, "axes": ALL, **knobs}),
    "depth": lambda *paths, **knobs: prune_depth(*paths, **{**SET, "metric": "block_influence", "iterative": False, "ridge": 0.1, **knobs}),
    "combined": lambda *paths, **knobs: prune_combined(
        *paths, **{**WIDTH, "axes": ALL, "metric": "block_influence", "budget": "parameters", "candidates": 3, **knobs}
    ),
}  # fmt: skip
RATIOS = {"ffn": 0.25, "heads": 0.33, "width": 0.4, "depth": 0.22, "combined": 0.4}
TOLERANCE = 0.08
