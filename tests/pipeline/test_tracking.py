"""Live runs: what they hold, and that a training neither fails nor waits for a store that is away."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pipeline import store
from pipeline.curves import curve_file, read
from pipeline.tracking import INPUTS_TAG, connect, live_run

ROOT = Path(__file__).resolve().parents[2]
NODE = OmegaConf.create({"rank": 4, "schedule": {"learning_rate": 0.1}})
STEPS = 3
WORKER = """
import sys, time
from omegaconf import OmegaConf
from pipeline.tracking import live_run
with live_run(sys.argv[1], sys.argv[1], OmegaConf.create({"rank": 4}), experiment_name="test") as log:
    for step in range(3):
        log({"loss": 1.0 / (step + 1), "learning_rate": 0.1, "grad_norm": 2.0}, step)
        time.sleep(0.6)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store that two workers of a queue opened at the same moment, before there was one; and what they said."""
    root = tmp_path_factory.mktemp("made")
    starting = [
        subprocess.Popen([sys.executable, "-c", WORKER, name], cwd=root, env=_environment(root), stderr=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    return root, [process.communicate(timeout=300)[1] for process in starting]


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "DVC_ROOT": str(root), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def workspace(made: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That repository, while this process works in another folder, as an experiment does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(made[0]))
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(store, "PROBE_SECONDS", 0.2)
    return made[0]


@pytest.fixture
def own(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with a store of its own, to break."""
    shutil.copytree(workspace / "artifacts" / "mlflow", tmp_path / "artifacts" / "mlflow")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def train(inputs: str, *, before: Callable[[int], None] = lambda step: None) -> None:
    with live_run("finetune@teacher", inputs, NODE, experiment_name="test") as log:
        for step in range(STEPS):
            before(step)
            log({"loss": 1.0 / (step + 1)}, step)


def steps_of(inputs: str) -> tuple[str, list[int]]:
    """Status and steps of the live run with these inputs."""
    client, experiment = connect("test")
    (run,) = client.search_runs([experiment], f"tags.`{INPUTS_TAG}` = '{inputs}'")
    return run.info.status, sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "loss"))


def test_two_workers_make_one_database_and_both_curves_arrive(
    made: tuple[Path, list[str]], workspace: Path, subtests: pytest.Subtests
) -> None:
    assert made[1] == ["", ""]  # neither a failure nor the chatter of the migrations
    assert sorted(path.name for path in (made[0] / "artifacts" / "mlflow").iterdir()) == ["create.lock", "mlflow.db"]
    for name in ("first", "second"):
        with subtests.test(name):
            assert steps_of(name) == ("FINISHED", [0, 1, 2])
    client, experiment = connect("test")
    run = client.search_runs([experiment], f"tags.`{INPUTS_TAG}` = 'first'")[0]
    assert run.data.params == {"rank": "4"}
    assert {"loss", "learning_rate", "grad_norm", "steps_per_s"} <= set(run.data.metrics)
    assert any(metric.startswith("system/") for metric in run.data.metrics)
    assert 0.0 < run.data.metrics["steps_per_s"] < 1 / 0.6


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with closing(sqlite3.connect(root / "artifacts" / "mlflow" / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def _corrupt(root: Path) -> AbstractContextManager[None]:
    (root / "artifacts" / "mlflow" / "mlflow.db").write_bytes(b"no database" * 1000)
    return nullcontext()


def _torn(root: Path) -> AbstractContextManager[None]:
    """The header is whole, every other page is not."""
    path = root / "artifacts" / "mlflow" / "mlflow.db"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    return nullcontext()


def _away(root: Path) -> AbstractContextManager[None]:
    shutil.rmtree(root / "artifacts" / "mlflow")
    (root / "artifacts" / "mlflow").touch()
    return nullcontext()


def _a_folder(root: Path) -> AbstractContextManager[None]:
    path = root / "artifacts" / "mlflow" / "mlflow.db"
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    return nullcontext()


def _newer(root: Path) -> AbstractContextManager[None]:
    with closing(sqlite3.connect(root / "artifacts" / "mlflow" / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    return nullcontext()


DOWN: dict[str, tuple[Callable[[Path], AbstractContextManager[None]], str]] = {
    "locked": (_locked, "database is locked"),
    "corrupt": (_corrupt, "file is not a database; move it away"),
    "torn": (_torn, "malformed"),
    "away": (_away, "File exists"),
    "a folder": (_a_folder, "unable to open database file"),
    "newer": (_newer, "of another MLflow version; move it away or run"),
}


@pytest.mark.parametrize("case", DOWN)
def test_a_training_goes_on_without_its_store(case: str, own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    down, told = DOWN[case]
    with down(own):
        started = time.monotonic()
        train("inputs")
        assert time.monotonic() - started < 10
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mlflow: opening a live run failed (")
    assert told in line
    assert [(point.step, point.values["loss"]) for point in read(curve_file("inputs"))] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_a_store_that_goes_away_is_waited_for_once(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(workspace / "artifacts" / "mlflow" / "mlflow.db", timeout=30)) as other:
        train(Path.cwd().name, before=lambda step: other.execute("BEGIN EXCLUSIVE") and None if step == 1 else None)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" failed ")[0] for line in lines] == ["mlflow: logging", "mlflow: closing the live run"]
    assert steps_of(Path.cwd().name) == ("RUNNING", [0])
    assert [point.step for point in read(curve_file(Path.cwd().name))] == [0, 1, 2]


def test_a_curve_that_cannot_be_kept_is_said_once(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    timings = curve_file("any").parent.parent
    timings.parent.mkdir(parents=True)
    timings.touch()
    train(Path.cwd().name)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mlflow: keeping the curve failed (")
    assert steps_of(Path.cwd().name) == ("FINISHED", [0, 1, 2])


def test_a_failed_training_is_a_failed_run(workspace: Path) -> None:
    def fail(step: int) -> None:
        if step == 2:
            raise RuntimeError("loss is nan")

    with pytest.raises(RuntimeError, match="loss is nan"):
        train(Path.cwd().name, before=fail)
    assert steps_of(Path.cwd().name) == ("FAILED", [0, 1])


def test_a_line_that_was_cut_off_is_left_out_and_the_last_word_counts(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text('[1, 5, {"loss": 2.0}]\n[0, 4, {"loss": 3.0}]\n[1, 6, {"loss": 1.0}]\n[1, 7, {"tokens_per_s": 9.0}]\n[2, 8, {"lo')
    assert [(point.step, point.milliseconds, point.values) for point in read(path)] == [
        (0, 4, {"loss": 3.0}), (1, 7, {"loss": 1.0, "tokens_per_s": 9.0}),
    ]  # fmt: skip


def test_one_process_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    with store.exclusive(lock, seconds=0.0), pytest.raises(store.StoreDownError, match="held by another process"):  # noqa: SIM117
        with store.exclusive(lock, seconds=0.2):
            pass
    with store.exclusive(lock, seconds=0.0):
        pass


def test_half_a_database_is_never_seen(tmp_path: Path) -> None:
    def killed(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    def whole(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE runs (id)")

    def again(path: Path) -> None:
        raise AssertionError(path)

    with pytest.raises(KeyboardInterrupt):
        store.prepared(tmp_path, killed)
    assert not (tmp_path / "mlflow.db").exists()
    made: Any = store.prepared(tmp_path, whole)
    assert store.prepared(tmp_path, again) == made == tmp_path / "mlflow.db"
    (tmp_path / "mlflow.db").write_bytes(b"")  # a worker that was killed while it opened it
    store.prepared(tmp_path, whole)
