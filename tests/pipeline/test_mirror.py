"""What `track` writes: each stage once with what it was run with, named by what differs, and the champion's package in the registry."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from paper_pipeline import CHAMPION, COMMANDS, CONFIG, DEFAULT, judged, locked, packaged, write

from pipeline import store
from pipeline.inputs import inputs_sha256
from pipeline.mirror import LOCK_TAG, PARENT_TAG, differences, mirror
from pipeline.tracking import STAGE_TAG, connect, live_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real workspace of every test, which works in a copy as `dvc exp run` does: a database takes seconds to make and to open."""
    from mlflow import MlflowClient

    def make(path: Path) -> None:
        MlflowClient(f"sqlite:///{path}").search_experiments()

    root = tmp_path_factory.mktemp("made")
    store.prepared(root / "artifacts" / "mlflow", make)
    return root


@pytest.fixture(autouse=True)
def workspace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished pipeline in small, in an experiment of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(made))
    for name in ("DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store, "PROBE_SECONDS", 0.2)
    for name in ("data/prepared/corpus.jsonl", "data/prepared/train.jsonl"):
        write(name, "")
    lineage = {"name": CHAMPION, "parent": "pruned", "step": "quantize", "method": "gguf_q4_0", "data_sha256": "cc"}
    write(f"artifacts/models/{CHAMPION}/lineage.json", lineage)
    write(f"artifacts/metrics/quantize/{CHAMPION}.json", {"bits": 4.5, "scheme": "q4_0", "tied": True})
    locked()
    judged()
    packaged("weights-1")
    return made


def here() -> str:
    """Name of the experiment and of the registered model."""
    return Path.cwd().name


def track(config: dict[str, Any] | None = None) -> None:
    named = {"experiment_name": here()}
    mirror(OmegaConf.create((config or CONFIG) | named), OmegaConf.create(DEFAULT | named), COMMANDS)


def runs() -> dict[str, Any]:
    """Runs by stage; the parent under "". Each stage has one."""
    client, experiment = connect(here())
    found = client.search_runs([experiment])
    by_stage = {run.data.tags.get(STAGE_TAG, ""): run for run in found}
    assert len(by_stage) == len(found), sorted(run.info.run_name for run in found)
    return by_stage


def aliases() -> dict[str, str]:
    """Aliases of the registered model and the weights that they stand for."""
    client, _ = connect(here())
    found = client.search_model_versions(f"name = '{here()}'")
    weights = {str(version.version): version.tags["medllm.weights_sha256"] for version in found}
    return {alias: weights[str(version)] for alias, version in client.get_registered_model(here()).aliases.items()}


def test_a_stage_carries_the_knobs_of_its_own_node() -> None:
    track()
    found = runs()
    assert found.keys() - {""} == COMMANDS.keys()  # what dvc.lock keeps of another wiring is left out
    knobs = {name: run.data.params for name, run in found.items()}
    assert knobs["quantize@student_gguf_q4_0"] == {"scheme": "q4_0"}
    assert knobs["finetune@teacher"] == {"rank": "4"}
    assert knobs["prune"] == {"ratio": "0.3"}
    assert knobs[""]["quantize.gguf_f16.scheme"] == "f16"
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert {run.data.tags[PARENT_TAG] for name, run in found.items() if name} == {found[""].info.run_id}


def test_runs_can_be_told_apart_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "less-pruned")
    track()
    found = runs()
    assert found[""].info.run_name == "less-pruned · prune.ratio=0.3"
    assert found["prune"].info.run_name == "prune · ratio=0.3"
    assert found["finetune@teacher"].info.run_name == "finetune@teacher"
    tags = found[""].data.tags
    assert {key: tags[key] for key in ("dvc.exp_name", "medllm.champion", "data.name", "data.md5", "target.size", "target.cost")} == {
        "dvc.exp_name": "less-pruned", "medllm.champion": CHAMPION, "data.name": "sample", "data.md5": "aa.dir",
        "target.size": "pass", "target.cost": "fail",
    }  # fmt: skip
    assert tags[f"gate.{CHAMPION}.safety"] == "pass"
    assert found[""].data.metrics == {"champion.bytes": 7.0, "champion.bytes_to_a": 0.5}
    made = found["quantize@student_gguf_q4_0"]
    assert made.data.metrics == {"bits": 4.5, "model_bytes": 70.0}  # numbers only
    for stage in ("quantize@student_gguf_q4_0", "evaluate@student_gguf_q4_0"):
        tags = found[stage].data.tags
        assert [tags[f"medllm.{key}"] for key in ("model", "parent", "step", "method")] == [CHAMPION, "pruned", "quantize", "gguf_q4_0"]
    inputs = {name: [(i.dataset.name, i.dataset.digest, i.tags[0].value) for i in run.inputs.dataset_inputs] for name, run in found.items()}
    assert {name: seen for name, seen in inputs.items() if seen} == {
        "": [("sample", "aa", "pipeline")], "finetune@teacher": [("sample", "aa", "training")],
        "evaluate@student_gguf_q4_0": [("sample", "aa", "evaluation")],
    }  # fmt: skip


def test_without_an_experiment_a_pipeline_is_named_after_its_champion() -> None:
    track(DEFAULT)
    assert runs()[""].info.run_name.endswith(f" · {CHAMPION}")
    assert runs()["prune"].info.run_name == "prune"


@pytest.mark.parametrize(("params", "named"), [
    ({"prune.ratio": "0.2"}, "prune.ratio=0.2"),
    ({"prune._target_": "medllm.prune.depth.prune_depth", "prune.blocks": "3"}, "prune=prune_depth"),
    ({"_target_": "medllm.prune.depth.prune_depth"}, "prune_depth"),
    ({"conf_sha": "b", "models": "[x]"}, ""),
    ({}, ""),
])  # fmt: skip
def test_differences_name_options_and_values(params: dict[str, str], named: str) -> None:
    default = {
        "prune.ratio": "0.25", "prune._target_": "medllm.prune.width.prune_width", "prune.axes": "[ffn]", "conf_sha": "a", "models": "[]",
        "_target_": "medllm.prune.width.prune_width",
    }  # fmt: skip
    assert differences(default | params, default) == named
    many = {f"knob{i}": str(i) for i in range(50)}
    assert len(differences(many, dict.fromkeys(many, "x"))) < 100


def test_twice_adds_nothing() -> None:
    track()
    first = runs()
    track()
    assert {name: run.info.run_id for name, run in runs().items()} == {name: run.info.run_id for name, run in first.items()}
    client, _ = connect(here())
    assert len(client.search_model_versions(f"name = '{here()}'")) == 1


def test_stages_that_another_pipeline_ran_are_named_and_not_repeated() -> None:
    track()
    first = runs()
    lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
    lock["stages"]["prune"]["params"] = {"params.yaml": {"prune": {"ratio": 0.2}}}
    write("dvc.lock", yaml.safe_dump(lock))
    track(CONFIG | {"prune": {"ratio": 0.2}})
    client, experiment = connect(here())
    found = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    assert len(found) == len(first) + 2  # a parent and one stage
    (parent,) = [run for run in found if LOCK_TAG in run.data.tags and run.info.run_id != first[""].info.run_id]
    assert parent.data.tags["stage.quantize:student_gguf_q4_0"] == f"cached {first['quantize@student_gguf_q4_0'].info.run_id}"
    assert parent.data.tags["stage.prune"].startswith("run ")


def test_a_track_that_was_cut_off_is_gone_on_with(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    whole = MlflowClient.set_terminated
    left = [0, 1, 3]

    def cut(client: Any, run_id: str, *rest: Any) -> None:
        if not times:
            raise KeyboardInterrupt
        times.pop()
        whole(client, run_id, *rest)

    for many in left:
        times = [None] * many
        monkeypatch.setattr(MlflowClient, "set_terminated", cut)
        with pytest.raises(KeyboardInterrupt):
            track()
    monkeypatch.setattr(MlflowClient, "set_terminated", whole)
    track()
    found = runs()  # one of each
    assert found.keys() - {""} == COMMANDS.keys()
    assert {run.info.status for run in found.values()} == {"FINISHED"}


def trained(before: Callable[[int], None] = lambda step: None, *, first: int = 0) -> None:
    node: DictConfig = OmegaConf.create(CONFIG["finetune"]["teacher"])
    with live_run("finetune@teacher", inputs_sha256(node, 13, ["base"]), node, experiment_name=here()) as log:
        for step in range(first, 4):
            before(step)
            log({"loss": 1.0 / (step + 1)}, step)


def curve() -> list[tuple[int, float]]:
    client, _ = connect(here())
    history = client.get_metric_history(runs()["finetune@teacher"].info.run_id, "loss")
    return sorted((metric.step, metric.value) for metric in history)


def test_a_live_run_is_adopted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trained()
    before = runs()["finetune@teacher"].info.run_id
    track()
    track()
    assert runs()["finetune@teacher"].info.run_id == before
    assert curve() == [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.25)]
    locked("other.dir")  # another pipeline whose training had the same inputs has a run of its own
    track()
    client, experiment = connect(here())
    assert len(client.search_runs([experiment], f"tags.`{STAGE_TAG}` = 'finetune@teacher'")) == 2


def test_what_the_store_missed_is_caught_up_with(workspace: Path) -> None:
    with closing(sqlite3.connect(workspace / "artifacts" / "mlflow" / "mlflow.db", timeout=30)) as other:
        trained(lambda step: other.execute("BEGIN EXCLUSIVE") and None if step == 2 else None)
    track()
    client, experiment = connect(here())
    found = client.search_runs([experiment], f"tags.`{STAGE_TAG}` = 'finetune@teacher'")
    assert sorted(run.info.status for run in found) == ["FINISHED", "KILLED"]  # nobody waits for the one that was never closed
    (kept,) = [run for run in found if run.info.status == "FINISHED"]
    history = client.get_metric_history(kept.info.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.25)]


def test_a_training_that_was_resumed_has_its_whole_curve() -> None:
    def stop(step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(stop)
    trained(first=2)
    track()
    client, experiment = connect(here())
    found = client.search_runs([experiment], f"tags.`{STAGE_TAG}` = 'finetune@teacher' and attributes.status = 'FINISHED'")
    assert len(found) == 1
    assert sorted(metric.step for metric in client.get_metric_history(found[0].info.run_id, "loss")) == [0, 1, 2, 3]


def test_the_registry_points_at_the_package_and_copies_nothing(workspace: Path) -> None:
    track()
    client, _ = connect(here())
    (version,) = client.search_model_versions(f"name = '{here()}'")
    assert version.source == (workspace / "artifacts" / "package").as_uri()
    assert version.run_id == runs()[""].info.run_id
    expected = {
        "medllm.weights_sha256": "weights-1", "medllm.model": CHAMPION, "medllm.chain": f"base > pruned > {CHAMPION}", "data.md5": "aa.dir",
        "dvc.lock_sha256": runs()[""].data.tags[LOCK_TAG],
    }  # fmt: skip
    assert expected.items() <= version.tags.items()
    assert sorted(path.name for path in (workspace / "artifacts" / "mlflow").iterdir()) == ["create.lock", "mlflow.db", "track.lock"]


def test_the_gates_alone_move_the_champion() -> None:
    track()
    assert aliases() == {"champion": "weights-1", "challenger": "weights-1"}
    packaged("weights-2")
    judged("cannot_tell")
    track()
    assert aliases() == {"champion": "weights-1", "challenger": "weights-2"}
    client, _ = connect(here())
    reason = client.get_model_version_by_alias(here(), "challenger").tags["medllm.reason"]
    assert reason == "not every gate passed (safety: cannot_tell)"
    judged()
    track()  # judged again, as after a change of compare: the same version moves up
    assert aliases() == {"champion": "weights-2", "challenger": "weights-2"}
    assert len(client.search_model_versions(f"name = '{here()}'")) == 2


def test_a_package_of_another_champion_is_not_registered(capsys: pytest.CaptureFixture[str]) -> None:
    judged(champion="teacher_gguf_f16")
    track()
    assert f"holds {CHAMPION}, but the champion is teacher_gguf_f16" in capsys.readouterr().out
    client, _ = connect(here())
    assert list(client.search_registered_models(f"name = '{here()}'")) == []
