"""Where things are, relative to the repository root."""

import os
from pathlib import Path

KNOWLEDGE = Path("data/knowledge")
EVALUATION = Path("data/evaluation")
RAW = Path("data/raw")
PREPARED = Path("data/prepared")
ARTIFACTS = Path("artifacts")
METRICS = ARTIFACTS / "metrics"
PREDICTIONS = ARTIFACTS / "predictions"
SCREENS = ARTIFACTS / "screens"
RESULTS = ARTIFACTS / "results"  # what the report shows
SEARCHES = ARTIFACTS / "searches"
PUBLIC = ARTIFACTS / "public"


def _in_stage() -> bool:
    return bool(os.environ.get("DVC_STAGE"))


def output_root() -> Path:
    """artifacts/ inside a DVC stage, artifacts/adhoc/ for a run by hand, so that such a run never touches tracked outputs."""
    return ARTIFACTS if _in_stage() else ARTIFACTS / "adhoc"


def raw_dir(name: str) -> Path:
    """Where raw archives are written."""
    return RAW / name if _in_stage() else output_root() / "raw" / name


def prepared_dir() -> Path:
    """Where prepared data are written."""
    return PREPARED if _in_stage() else output_root() / "prepared"


def model_dir(name: str) -> Path:
    """Where a model is read from."""
    return ARTIFACTS / "models" / name


def target_dir(name: str) -> Path:
    """Where a model is written."""
    return output_root() / "models" / name


def metrics_file(name: str) -> Path:
    """Where a stage writes its metrics; `name` may hold a folder ("evaluate/base")."""
    return output_root() / "metrics" / f"{name}.json"
