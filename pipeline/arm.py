"""Where the predictions of one arm of an A/B test are."""

import re
import subprocess
import sys
from pathlib import Path

from medllm.errors import UserError
from pipeline.layout import PREDICTIONS

_SUFFIX = ".jsonl"


def arm_file(arm: str, scratch: Path) -> Path:
    """The file of a model of this workspace, of a path, or of <experiment or git revision>:<model>, which is fetched into `scratch`."""
    if arm.endswith(_SUFFIX):
        return Path(arm)
    revision, colon, model = arm.rpartition(":")
    if colon:
        return _fetched(revision, model, scratch / f"{arm_label(arm)}{_SUFFIX}")
    path = PREDICTIONS / f"{model}{_SUFFIX}"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in PREDICTIONS.glob(f"*{_SUFFIX}"))) or "none"
        raise UserError(f"{path}: no predictions of a model {model!r}; there are {known}; or name a {_SUFFIX} file or <revision>:<model>")
    return path


def arm_label(arm: str) -> str:
    """Name of an arm in file names: a file is named by itself and its folder."""
    path = Path(arm)
    parts = (path.parent.name, path.stem) if arm.endswith(_SUFFIX) else (arm,)
    return re.sub(r"[^\w.-]+", "_", "_".join(part for part in parts if part))


def _fetched(revision: str, model: str, target: Path) -> Path:
    """Out of DVC's cache, as that revision's dvc.lock has it."""
    source = (PREDICTIONS / f"{model}{_SUFFIX}").as_posix()
    if not revision or not model:
        raise UserError(f"{revision}:{model}: give both, as in my-experiment:student_gguf_q4_0")
    command = [sys.executable, "-m", "dvc", "get", ".", source, f"--rev={revision}", f"--out={target}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "dvc get failed").removeprefix("ERROR: ")
        raise UserError(
            f"{revision}:{model}: {source} is not to be had there ({told}); dvc exp show and git log list the revisions, "
            f"dvc.lock their models, dvc pull fetches what the cache lacks"
        )
    return target
