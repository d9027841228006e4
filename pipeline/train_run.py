"""What the training stages share: checkpoints keyed by their inputs and the code, a check of the disk, and a live MLflow run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

import medllm
from medllm.errors import UserError
from medllm.training import LogFunction
from pipeline.inputs import code_sha256, inputs_sha256
from pipeline.layout import ARTIFACTS, model_dir
from pipeline.tracking import live_run

# a checkpoint holds fp32 weights and two Adam moments, 12 bytes a parameter; the old one goes when the new one is whole; the model takes 2
_BYTES_PER_BF16_BYTE = 13
_LEAST_FREE_BYTES = 200 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRun:
    """Where checkpoints go and whom to tell about losses."""

    checkpoints: Path
    on_log: LogFunction


def check_disk(parents: list[str]) -> None:
    """UserError before anything is trained when the results would not fit."""
    source = sum(path.stat().st_size for name in parents for path in model_dir(name).glob("*.safetensors"))
    needed = max(_LEAST_FREE_BYTES, _BYTES_PER_BF16_BYTE * source)
    ARTIFACTS.mkdir(exist_ok=True)
    free = shutil.disk_usage(ARTIFACTS).free
    if free < needed:
        shortage = f"{free / 2**20:.0f} MiB free, this stage may need {needed / 2**20:.0f} MiB"
        raise UserError(f"{ARTIFACTS}: {shortage}; free some space and run dvc repro again")


@contextmanager
def train_run(stage: str, node: DictConfig, *, seed: int, parents: list[str], experiment_name: str) -> Iterator[TrainRun]:
    """Checks first, then a live run; the checkpoints are removed when the stage succeeds and kept for the next try when it does not."""
    check_disk(parents)
    key = inputs_sha256(node, seed, parents)
    code = code_sha256(Path(medllm.__file__).parent)
    checkpoints = ARTIFACTS / ".ckpt" / f"{stage.replace('@', '_')}-{key[:16]}-{code[:16]}"
    with live_run(stage, key, node, experiment_name=experiment_name) as on_log:
        yield TrainRun(checkpoints=checkpoints, on_log=on_log)
    for done_with in checkpoints.parent.glob(f"{stage.replace('@', '_')}-*"):  # of earlier inputs too
        shutil.rmtree(done_with)
