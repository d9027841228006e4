"""dvc.lock and the metric files as MLflow runs: one parent run a pipeline, one child a stage; running it twice adds nothing."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from pipeline.inputs import inputs_sha256
from pipeline.layout import METRICS
from pipeline.record import read_json
from pipeline.tracking import INPUTS_TAG, STAGE_TAG, connect, flat_params

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINING = ("fetch_base", "finetune", "distill", "rescue")  # stages that open live runs
PARENT_TAG, LOCK_TAG, STAGE_KEY_TAG = "mlflow.parentRunId", "dvc.lock_sha256", "dvc.stage_sha256"


def read_lock(path: Path) -> dict[str, Any]:
    """Entries of dvc.lock by stage (command, inputs, parameters, outputs), this stage's own left out."""
    stages: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
    stages.pop("track", None)
    return dict(sorted(stages.items()))


def stage_keys(lock: Mapping[str, Any]) -> dict[str, str]:
    """Hash of each stage's entry."""
    return {name: hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest() for name, entry in lock.items()}


def _parents(command: str) -> list[str]:
    """Models that a command starts from: the values of source= and teacher=."""
    return [word.split("=", 1)[1] for word in command.split() if word.startswith(("source=", "teacher="))]


def _numbers(content: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}{key}": float(value) for key, value in content.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def stage_metrics(stage: str) -> dict[str, float]:
    """Numbers of the stage's metric file; names as in the file."""
    group, _, item = stage.partition("@")
    path = METRICS / group / f"{item}.json" if item else METRICS / f"{group}.json"
    return _numbers(read_json(path)) if path.is_file() else {}


def champion_metrics() -> dict[str, float]:
    """Measures and ratios of the champion, for the parent run."""
    report = read_json(METRICS / "compare.json")
    row = report["models"][report["champion"]]
    return _numbers({**row["metrics"], **row["ratios"]}, "champion.")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _run_tags(name: str) -> dict[str, str]:
    return {
        "dvc.exp_name": name,
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "mlflow.source.git.commit": _git("rev-parse", "HEAD"),
        "git.dirty": str(bool(_git("status", "--porcelain"))).lower(),
        "medllm.champion": read_json(METRICS / "compare.json")["champion"],
    }


def _mirror_stage(client: "MlflowClient", experiment: str, parent: str, stage: str, key: str, node: Any, inputs: str) -> None:
    """One child run: the live run with these inputs where the stage had one. A stage that was mirrored before is only named."""
    known = client.search_runs([experiment], f"tags.`{STAGE_KEY_TAG}` = '{key}'")
    if known:
        client.set_tag(parent, f"stage.{stage.replace('@', ':')}", f"cached {known[0].info.run_id}")
        return
    live = client.search_runs([experiment], f"tags.`{INPUTS_TAG}` = '{inputs}' and attributes.status = 'FINISHED'", max_results=1)
    adopted = bool(live) and PARENT_TAG not in live[0].data.tags
    child = live[0].info.run_id if adopted else client.create_run(experiment, run_name=stage, tags={STAGE_TAG: stage}).info.run_id
    client.set_tag(child, PARENT_TAG, parent)
    client.set_tag(child, STAGE_KEY_TAG, key)
    if not adopted and isinstance(node, dict):
        for param, value in flat_params(node).items():
            client.log_param(child, param, value)
    for metric, number in stage_metrics(stage).items():
        client.log_metric(child, metric, number)
    client.set_terminated(child)
    client.set_tag(parent, f"stage.{stage.replace('@', ':')}", f"run {child}")


def mirror(cfg: DictConfig) -> None:
    """Write what is not there yet."""
    client, experiment = connect(cfg.experiment_name)
    lock = read_lock(Path("dvc.lock"))
    keys = stage_keys(lock)
    whole = hashlib.sha256("".join(keys.values()).encode()).hexdigest()
    if client.search_runs([experiment], f"tags.`{LOCK_TAG}` = '{whole}'"):
        print(f"already tracked: {whole[:12]}")  # noqa: T201
        return
    name = os.environ.get("DVC_EXP_NAME") or f"repro-{_git('rev-parse', '--short', 'HEAD') or 'nocommit'}-{whole[:6]}"
    parent = client.create_run(experiment, run_name=name, tags=_run_tags(name)).info.run_id
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    for key, value in flat_params({str(key): value for key, value in container.items()}).items():
        client.log_param(parent, key, value)
    for key, number in champion_metrics().items():
        client.log_metric(parent, key, number)
    for stage, key in keys.items():
        group = stage.partition("@")[0]
        node = cfg.get("model" if group == "fetch_base" else group)
        which = re.search(r" node=(\S+)", lock[stage]["cmd"])
        node = node[which[1]] if which else node
        inputs = inputs_sha256(node, cfg.seed, _parents(lock[stage]["cmd"])) if group in TRAINING else ""
        knobs = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else None
        _mirror_stage(client, experiment, parent, stage, key, knobs, inputs)
    # the mark comes last: an interrupted track is done again
    client.set_tag(parent, LOCK_TAG, whole)
    client.set_terminated(parent)
    print(f"tracked {name}: {len(keys)} stages, inputs by {INPUTS_TAG}")  # noqa: T201
