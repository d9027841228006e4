"""Every training stage, killed with SIGKILL after its first checkpoint and run again: the same loss curve, the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from medllm.training import newest_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ROOT = Path(__file__).resolve().parents[2]
SHORT = "schedule.batch_tokens=128", "schedule.checkpoint_steps=3"
# stage, its knobs, the wiring, the model it writes
STAGES = [
    ("fetch_base", "model", [], "base"),
    ("finetune", "finetune.teacher", ["node=teacher", "source=base", "target=teacher"], "teacher"),
    ("distill", "distill", ["teacher=teacher", "source=pruned", "target=distilled"], "distilled"),
    ("finetune", "finetune.student", ["node=student", "source=distilled", "target=student"], "student"),
]


@pytest.fixture(scope="module")
def repository(small_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("killed") / "repository"
    for name in ("conf", "medllm", "pipeline"):
        shutil.copytree(ROOT / name, where / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(small_prepared, where / "data" / "prepared")
    subprocess.run([sys.executable, "-m", "pipeline.compose", "experiment=miniature"], cwd=where, check=True, capture_output=True)
    return where


def start(where: Path, stage: str, knobs: str, wiring: list[str]) -> "subprocess.Popen[bytes]":
    overrides = [f"{knobs}.{change}" for change in (*SHORT, f"schedule.num_epochs={0.05 if stage == 'fetch_base' else 0.3}")]
    command = [sys.executable, "-m", f"pipeline.{stage}", *wiring, *overrides]
    environment = {**os.environ, "DVC_STAGE": stage, "DVC_ROOT": str(where), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = (where / f"{stage}.log").open("ab")
    return subprocess.Popen(command, cwd=where, env=environment, stdout=log, stderr=log, start_new_session=True)


def finish(where: Path, *stage: Any) -> None:
    process = start(where, *stage)
    assert process.wait(timeout=600) == 0, (where / f"{stage[0]}.log").read_text(encoding="utf-8")[-3000:]


def kill_after_the_first_checkpoint(where: Path, *stage: Any) -> int:
    """SIGKILL to the whole process group; the step of the checkpoint that the next run starts from."""
    process = start(where, *stage)
    while not checkpoints(where):  # whole ones: where files are slow, half of one can be seen, which the next run would not trust
        assert process.poll() is None, "it ended without a checkpoint"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return max(checkpoints(where))


def checkpoints(where: Path) -> list[int]:
    """Steps that a run can go on from."""
    folders = [newest_checkpoint(folder) for folder in where.glob("artifacts/.ckpt/*")]
    return [int(folder.name.split("-")[1]) for folder in folders if folder]


def curves(where: Path) -> list[dict[int, float]]:
    """The losses by step of every live run, the oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{where / 'artifacts/mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("medllm")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [{metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")} for run in runs]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outputs(where: Path, model: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    return contents(where / "artifacts" / "models" / model), contents(where / "artifacts" / "metrics")


@pytest.mark.parametrize("stage", STAGES, ids=[model for *_, model in STAGES])
def test_a_killed_stage_ends_as_an_undisturbed_one(stage: tuple[str, str, list[str], str], repository: Path) -> None:
    *command, model = stage
    shutil.rmtree(repository / "artifacts" / "mlflow", ignore_errors=True)
    finish(repository, *command)
    expected = outputs(repository, model)
    if model == "base":
        shutil.copytree(repository / "artifacts" / "models" / model, repository / "artifacts" / "models" / "pruned")
    shutil.rmtree(repository / "artifacts" / "models" / model)
    cut = kill_after_the_first_checkpoint(repository, *command)
    assert not (repository / "artifacts" / "models" / model).exists()
    finish(repository, *command)
    assert outputs(repository, model) == expected
    assert list((repository / "artifacts" / ".ckpt").iterdir()) == []
    unbroken, killed, resumed = curves(repository)
    assert min(resumed) > cut, f"it did not resume: {(repository / f'{command[0]}.log').read_text(encoding='utf-8')[-2000:]}"
    assert {step: loss for step, loss in killed.items() if step <= cut} | resumed == unbroken
    assert len(unbroken) > 10
