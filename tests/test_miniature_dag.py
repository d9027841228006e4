"""The whole DAG once, through DVC, on conf/experiment/miniature.yaml, in a copy of the working tree."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medllm.data.canary import find_canary

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "conf", "medllm", "pipeline", "data/knowledge", "data/evaluation", "data/.gitignore", "artifacts/.gitignore", "artifacts/results",
    ".dvc/config", "dvc.yaml", ".dvcignore",
)  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def run(where: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    environment.pop("DVC_STAGE", None)
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("dag") / "repository"
    for name in COPIED:
        source, target = ROOT / name, where / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for command in (("git", "init", "-q"), ("git", "add", "-A"), (sys.executable, "-m", "pipeline.compose", "experiment=miniature")):
        assert run(where, *command).returncode == 0
    first = run(where, "dvc", "repro")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    return where


def test_every_model_is_compared_and_a_champion_packaged(finished: Path) -> None:
    compare = json.loads((finished / "artifacts/metrics/compare.json").read_text(encoding="utf-8"))
    models = set(compare["models"])
    assert compare["champion"] in models
    assert {path.name for path in (finished / "artifacts/models").iterdir()} == models
    assert compare["targets"]["medical_accuracy"]["verdict"] == "not_measured"
    manifest = json.loads((finished / "artifacts/package/manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == compare["champion"]
    assert manifest["tokenizer_lines_compared"] >= 10_000


def test_a_second_repro_does_nothing(finished: Path) -> None:
    again = run(finished, "dvc", "repro")
    assert again.returncode == 0
    assert "Data and pipelines are up to date" in again.stdout + again.stderr


def test_mlflow_has_one_parent_and_a_child_for_each_stage_once(finished: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished / 'artifacts/mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("medllm")
    assert experiment is not None
    assert run(finished, "dvc", "repro", "-f", "-s", "track").returncode == 0  # twice adds nothing
    runs = client.search_runs([experiment.experiment_id], max_results=200)
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    stages = [r.data.tags["dvc.stage"] for r in children]
    assert len(parents) == 1
    assert len(stages) == len(set(stages)) > 30
    teacher = next(r for r in children if r.data.tags["dvc.stage"] == "finetune@teacher")
    assert "loss" in teacher.data.metrics  # the live run was adopted
    assert any(name.startswith("system/") for name in teacher.data.metrics)


def test_what_may_not_be_passed_on_is_in_the_data_and_nowhere_else(finished: Path) -> None:
    artifacts = finished / "artifacts"
    assert find_canary([finished / "data" / "prepared"])
    shown = [artifacts / name for name in ("metrics", "predictions", "report", "mlflow", "timings", "graph", "package")]
    assert all(folder.is_dir() for folder in shown)
    assert find_canary([*shown, finished / "dvc.lock"]) == []


def test_chat_answers_from_the_package_and_report_works_offline(finished: Path) -> None:
    answer = run(finished, sys.executable, "-m", "medllm.chat", "--once", "당뇨병은 어느 과에서 진료하나요?")
    assert answer.returncode == 0, answer.stderr
    assert "전문의" in answer.stdout
    page = (finished / "artifacts/report/index.html").read_text(encoding="utf-8").replace("http://www.w3.org", "")
    assert "http://" not in page
    assert "https://" not in page
