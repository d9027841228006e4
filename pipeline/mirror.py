"""dvc.lock and the metric files as MLflow runs: one parent run a pipeline, one child a stage; running it twice adds nothing."""

import os
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from medllm.model.folder import LINEAGE_FILE, read_lineage
from pipeline.curves import Point, curve_file, now, read
from pipeline.inputs import inputs_sha256
from pipeline.layout import METRICS, PREPARED, model_dir
from pipeline.lock import Lock, lock_key, output, read_lock, reads, stage_keys, words
from pipeline.record import read_json
from pipeline.registry import register
from pipeline.store import exclusive, store
from pipeline.tracking import INPUTS_TAG, STAGE_TAG, connect, knobs, write, write_dataset

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TRAINING = ("fetch_base", "finetune", "distill", "rescue")  # stages that open live runs
PARENT_TAG, LOCK_TAG, STAGE_KEY_TAG = "mlflow.parentRunId", "dvc.lock_sha256", "dvc.stage_sha256"
_CONTEXTS = dict.fromkeys(TRAINING, "training") | {"evaluate": "evaluation"}
_NAME_LENGTH = 90
_TRACK_SECONDS = 300.0  # another worker's `track` takes a few seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One entry of dvc.lock and the part of the configuration that it was run with."""

    name: str
    key: str
    entry: Mapping[str, Any]
    params: dict[str, str]
    title: str
    inputs: str  # of a training, else ""

    @property
    def model(self) -> str:
        """The model that it makes or looks at."""
        given = words(self.entry["cmd"])
        return given.get("target") or given.get("source") or ("base" if self.name == "fetch_base" else "")


def numbers(content: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a metric file."""
    return {
        f"{prefix}{key}": float(value) for key, value in content.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def stage_metrics(stage: str) -> dict[str, float]:
    """Numbers of the stage's metric file; names as in the file."""
    group, _, item = stage.partition("@")
    path = METRICS / group / f"{item}.json" if item else METRICS / f"{group}.json"
    return numbers(read_json(path)) if path.is_file() else {}


def differences(params: Mapping[str, str], default: Mapping[str, str]) -> str:
    """`prune.ratio=0.2, distill=jsd`: what is set otherwise than by default. Another option of a group counts as one difference."""
    found = []
    for key in sorted(params.keys() & default.keys() - {"conf_sha", "models"}):
        if params[key] != default[key]:
            group, option = key.removesuffix("_target_").removesuffix("."), params[key].rpartition(".")[2]
            of_option = f"{group}={option}" if group else option
            found.append(of_option if key.endswith("_target_") else f"{key}={params[key]}")
    text = ", ".join(found)
    return text if len(text) <= _NAME_LENGTH else f"{text[:_NAME_LENGTH]}…"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _node(cfg: DictConfig, stage: str, command: str) -> Any:
    group = stage.partition("@")[0]
    node = cfg.get({"fetch_base": "model", "peer": "quantize"}.get(group, group))
    part = words(command).get("node")
    return node.get(part) if part else node


def _stages(cfg: DictConfig, default: DictConfig, lock: Lock) -> list[_Stage]:
    found = []
    for (name, entry), key in zip(lock.items(), stage_keys(lock).values(), strict=True):
        node, usual = _node(cfg, name, entry["cmd"]), _node(default, name, entry["cmd"])
        params = knobs(node) if isinstance(node, DictConfig) else {}
        other = differences(params, knobs(usual)) if isinstance(usual, DictConfig) else ""
        parents = [value for word, value in words(entry["cmd"]).items() if word in ("source", "teacher")]
        found.append(
            _Stage(
                name=name, key=key, entry=entry, params=params, title=f"{name} · {other}" if other else name,
                inputs=inputs_sha256(node, cfg.seed, parents) if name.partition("@")[0] in TRAINING else "",
            )
        )  # fmt: skip
    return found


class _Mirror:
    """Writes into one experiment; `found` is the same run for the same tag, whatever became of the last try."""

    def __init__(self, client: "MlflowClient", experiment: str, lock: Lock, data_name: str) -> None:
        self.client, self.experiment, self.lock, self.data_name = client, experiment, lock, data_name

    def runs(self, tag: str, value: str) -> "list[Run]":
        """Runs with this tag, the finished ones first."""
        found = self.client.search_runs([self.experiment], f"tags.`{tag}` = '{value}'", order_by=["attributes.start_time DESC"])
        return sorted(found, key=lambda run: run.info.status != "FINISHED")

    def parent(self, cfg: DictConfig, default: DictConfig, key: str, report: Mapping[str, Any]) -> "tuple[str, bool]":
        """The run of the whole pipeline, and whether it was there and whole; one that was cut off is gone on with."""
        known = self.runs(LOCK_TAG, key)
        if known and known[0].info.status == "FINISHED":
            return known[0].info.run_id, True
        name = os.environ.get("DVC_EXP_NAME") or f"repro-{_git('rev-parse', '--short', 'HEAD') or 'nocommit'}-{key[:6]}"
        title = f"{name} · {differences(knobs(cfg), knobs(default)) or report['champion']}"
        run = known[0] if known else self.client.create_run(self.experiment, run_name=title, tags={LOCK_TAG: key})
        run_id = run.info.run_id
        champion = report["models"][report["champion"]]
        measured = numbers({**champion["metrics"], **champion["ratios"]}, "champion.")
        write(self.client, run_id, params=knobs(cfg), points=[_at_once(measured)], tags={**_run_tags(name, report), **self._data_tags()})
        self._write_dataset(run_id, "pipeline")
        return run_id, False

    def stage(self, stage: _Stage, parent: str) -> str:
        """One child run: the live run with these inputs where the stage had one. What a stage that was mirrored before gets is a name."""
        same = self.runs(STAGE_KEY_TAG, stage.key)
        if same and same[0].info.status == "FINISHED":
            return f"cached {same[0].info.run_id}"
        live = [run for run in self.runs(INPUTS_TAG, stage.inputs) if STAGE_KEY_TAG not in run.data.tags] if stage.inputs else []
        run = next(iter([*same, *(run for run in live if run.info.status == "FINISHED")]), None)
        if run is None:
            run = self.client.create_run(self.experiment, run_name=stage.title, tags={STAGE_TAG: stage.name, STAGE_KEY_TAG: stage.key})
        child = run.info.run_id
        points = [*self._missing(stage, child), _at_once(stage_metrics(stage.name) | self._model_bytes(stage.model))]
        write(self.client, child, params=stage.params, points=points, tags={PARENT_TAG: parent, **_lineage_tags(stage.model)})
        if reads(stage.entry, PREPARED.as_posix()):
            self._write_dataset(child, _CONTEXTS.get(stage.name.partition("@")[0], "input"))
        self.client.update_run(child, name=stage.title)
        self.client.set_terminated(child)
        self.client.set_tag(child, STAGE_KEY_TAG, stage.key)  # last: a live run without it was not adopted whole
        for cut_off in (run for run in live if run.info.status == "RUNNING" and run.info.run_id != child):
            self.client.set_terminated(cut_off.info.run_id, "KILLED")
        return f"run {child}"

    def _missing(self, stage: _Stage, child: str) -> list[Point]:
        """What the training said and the run does not hold: the store was away then, or the training went on from a checkpoint."""
        points = read(curve_file(stage.inputs)) if stage.inputs else []
        there = {metric.step for metric in self.client.get_metric_history(child, "loss")} if points else set()
        return [point for point in points if "loss" not in point.values or point.step not in there]

    def _model_bytes(self, model: str) -> dict[str, float]:
        found = output(self.lock, model_dir(model).as_posix())
        return {"model_bytes": float(found.num_bytes)} if found else {}

    def _data_tags(self) -> dict[str, str]:
        found = output(self.lock, PREPARED.as_posix())
        return {"data.name": self.data_name, "data.md5": found.md5} if found else {}

    def _write_dataset(self, run_id: str, context: str) -> None:
        found = output(self.lock, PREPARED.as_posix())
        if found and found.md5:
            write_dataset(self.client, run_id, self.data_name, found, context=context)


def _at_once(values: Mapping[str, float]) -> Point:
    return Point(step=0, milliseconds=now(), values=dict(values))


def _lineage_tags(model: str) -> dict[str, str]:
    folder = model_dir(model)
    if not model or not (folder / LINEAGE_FILE).is_file():
        return {}
    lineage = read_lineage(folder)
    return {
        "medllm.model": model, "medllm.parent": lineage.parent or "", "medllm.step": lineage.step, "medllm.method": lineage.method,
        "medllm.data_sha256": lineage.data_sha256,
    }  # fmt: skip


def _run_tags(name: str, report: Mapping[str, Any]) -> dict[str, str]:
    return {
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.name": name,
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "mlflow.source.git.commit": _git("rev-parse", "HEAD"),
        "git.dirty": str(bool(_git("status", "--porcelain"))).lower(),
        "medllm.champion": report["champion"],
        **{f"target.{goal}": target["verdict"] for goal, target in report["targets"].items()},
        **{f"gate.{gate['model']}.{gate['metric']}": gate["verdict"] for gate in report["gates"]},
    }


def mirror(cfg: DictConfig, default: DictConfig, stages: Collection[str]) -> None:
    """Write what is not there yet of these stages, and register the champion. `default` is the configuration without an experiment."""
    client, experiment = connect(cfg.experiment_name)
    lock = read_lock(Path("dvc.lock"), stages)
    key = lock_key(stage_keys(lock))
    report = read_json(METRICS / "compare.json")
    with exclusive(store() / "track.lock", seconds=_TRACK_SECONDS):
        writer = _Mirror(client, experiment, lock, cfg.data.name)
        parent, whole = writer.parent(cfg, default, key, report)
        if not whole:
            said = {f"stage.{stage.name.replace('@', ':')}": writer.stage(stage, parent) for stage in _stages(cfg, default, lock)}
            write(client, parent, params={}, points=[], tags=said)
            client.set_terminated(parent)  # last: an interrupted track is gone on with
        print(f"already tracked: {key[:12]}" if whole else f"tracked {key[:12]}: {len(lock)} stages, inputs by {INPUTS_TAG}")  # noqa: T201
        print(register(client, cfg.experiment_name, parent, lock, report))  # noqa: T201
