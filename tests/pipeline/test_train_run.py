"""What a training stage does around the training: checks the disk first, keeps checkpoints of a failure, tells MLflow if it can."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from omegaconf import OmegaConf

import medllm
from medllm.errors import UserError
from pipeline.train_run import inputs_sha256, train_run

NODE = OmegaConf.create({"rank": 4, "schedule": {"num_epochs": 1.0}})
MODEL = "base"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository root with prepared data and one parent; a file where the MLflow store should be, so that tracking fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    (tmp_path / "data" / "prepared").mkdir(parents=True)
    for name in ("corpus.jsonl", "train.jsonl"):
        (tmp_path / "data" / "prepared" / name).write_text("{}\n", encoding="utf-8")
    parent = tmp_path / "artifacts" / "models" / MODEL
    parent.mkdir(parents=True)
    (parent / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "artifacts" / "mlflow").touch()
    return tmp_path


def run(stage: str = "finetune@teacher", node: Any = NODE, seed: int = 1) -> Any:
    return train_run(stage, node, seed=seed, parents=[MODEL], experiment_name="test")


def test_too_small_a_disk_stops_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 10**6, 10**6))
    entered = False
    with pytest.raises(UserError, match=r"artifacts: 1 MiB free, this stage may need 200 MiB") as error, run():
        entered = True
    assert not entered
    assert "\n" not in str(error.value)


def test_the_need_grows_with_the_parent(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (workspace / "artifacts" / "models" / MODEL / "model.safetensors").open("wb") as stream:
        stream.truncate(50 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 0, 400 * 2**20))
    with pytest.raises(UserError, match="400 MiB free, this stage may need 650 MiB"), run():
        pass


def test_checkpoints_stay_on_failure_and_go_on_success(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="loss is nan"), run() as failed:  # noqa: PT012
        failed.checkpoints.mkdir(parents=True)
        (failed.checkpoints / "checkpoint-4").touch()
        raise RuntimeError("loss is nan")
    assert (failed.checkpoints / "checkpoint-4").is_file()
    with pytest.raises(KeyboardInterrupt), run() as stopped:
        raise KeyboardInterrupt
    assert stopped.checkpoints == failed.checkpoints
    with run() as again:
        assert again.checkpoints == failed.checkpoints
        assert (again.checkpoints / "checkpoint-4").is_file()
        again.on_log({"loss": 1.0}, 1)
    assert not again.checkpoints.exists()
    assert "mlflow: opening a live run failed" in capsys.readouterr().err  # said, and nothing failed for it
    with run():
        pass  # a stage that saves no checkpoints


def test_other_inputs_are_another_training(workspace: Path) -> None:
    parents = [MODEL]
    first = inputs_sha256(NODE, 1, parents)
    assert first == inputs_sha256(OmegaConf.create(OmegaConf.to_container(NODE)), 1, parents)
    seen = {first, inputs_sha256(NODE, 2, parents), inputs_sha256(OmegaConf.create({"rank": 8}), 1, parents), inputs_sha256(NODE, 1, [])}
    (workspace / "data" / "prepared" / "train.jsonl").write_text('{"id": "1"}\n', encoding="utf-8")
    seen.add(inputs_sha256(NODE, 1, parents))
    (workspace / "artifacts" / "models" / MODEL / "model.safetensors").write_bytes(b"others")
    seen.add(inputs_sha256(NODE, 1, parents))
    assert len(seen) == 6


def test_other_code_is_another_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a checkpoint of other code holds is not gone on from; files that are no source do not count, nor does where the package is."""
    with run() as real, run() as again:
        assert real.checkpoints == again.checkpoints
    package = tmp_path / "elsewhere" / "medllm"
    shutil.copytree(Path(medllm.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(medllm, "__file__", str(package / "__init__.py"))
    (package / "notes.txt").touch()
    source = package / "prune" / "refit.py"
    seen, text = [], source.read_text(encoding="utf-8")
    for change in (text, text + "# changed\n", text):
        source.write_text(change, encoding="utf-8")
        with run() as found:
            seen.append(found.checkpoints)
    assert seen[0] == seen[2] == real.checkpoints != seen[1]
    source.rename(source.with_name("fit.py"))
    with run() as renamed:
        assert renamed.checkpoints not in seen


def test_two_stages_never_share_checkpoints() -> None:
    with run("finetune@teacher") as first, run("finetune@student") as second:
        assert first.checkpoints != second.checkpoints
        assert "@" not in first.checkpoints.name
