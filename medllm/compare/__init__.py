"""Hold every model against the baselines: paired tests, gates, targets and the champion."""

from medllm.compare.paired import compare

__all__ = ["compare"]
