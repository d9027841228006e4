"""Mirror dvc.lock and the metric files to MLflow: one parent run a pipeline, one child a stage; running it twice adds nothing."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from pipeline.entry import entrypoint
from pipeline.layout import METRICS
from pipeline.record import read_json
from pipeline.tracking import INPUTS_TAG, STAGE_TAG, connect, flat_params, warn

PARENT_TAG, LOCK_TAG, STAGE_KEY_TAG = "mlflow.parentRunId", "dvc.lock_sha256", "dvc.stage_sha256"


def stage_keys(lock: Path) -> dict[str, str]:
    """Hash of each stage's entry in dvc.lock (command, inputs, parameters, outputs), this stage's own left out."""
    stages: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    stages.pop("track", None)
    return {name: hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest() for name, entry in sorted(stages.items())}


def stage_metrics(stage: str) -> dict[str, float]:
    """Numbers of the stage's metric file; names as in the file."""
    group, _, item = stage.partition("@")
    names = {"finetune": f"finetune/{item}", "quantize": f"quantize/{item}", "evaluate": f"evaluate/{item}"}
    path = METRICS / f"{names.get(group, group)}.json"
    content = read_json(path) if path.is_file() else {}
    return {key: float(value) for key, value in content.items() if isinstance(value, (int, float)) and not isinstance(value, bool)}


def champion_metrics() -> dict[str, float]:
    """Measures and ratios of the champion, for the parent run."""
    report = read_json(METRICS / "compare.json")
    row = report["models"][report["champion"]]
    numbers = {**row["metrics"], **row["ratios"]}
    return {f"champion.{key}": float(value) for key, value in numbers.items() if isinstance(value, (int, float)) and not isinstance(value, bool)}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def track(cfg: DictConfig) -> None:
    """Write what is not there yet."""
    client, experiment = connect(cfg.experiment_name)
    keys = stage_keys(Path("dvc.lock"))
    whole = hashlib.sha256("".join(keys.values()).encode()).hexdigest()
    if client.search_runs([experiment], f"tags.`{LOCK_TAG}` = '{whole}'"):
        print(f"already tracked: {whole[:12]}")  # noqa: T201
        return
    name = os.environ.get("DVC_EXP_NAME") or f"repro-{_git('rev-parse', '--short', 'HEAD') or 'nocommit'}-{whole[:6]}"
    champion = read_json(METRICS / "compare.json")["champion"]
    tags = {
        "dvc.exp_name": name, "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""), "mlflow.source.git.commit": _git("rev-parse", "HEAD"),
        "git.dirty": str(bool(_git("status", "--porcelain"))).lower(), "medllm.champion": champion,
    }  # fmt: skip
    parent = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    params = flat_params({str(key): value for key, value in container.items()})
    for key, value in params.items():
        client.log_param(parent, key, value)
    for key, number in champion_metrics().items():
        client.log_metric(parent, key, number)
    for stage, key in keys.items():
        known = client.search_runs([experiment], f"tags.`{STAGE_KEY_TAG}` = '{key}'")
        if known:
            client.set_tag(parent, f"stage.{stage}", f"cached {known[0].info.run_id}")
            continue
        live = client.search_runs(
            [experiment], f"tags.`{STAGE_TAG}` = '{stage}' and tags.`medllm.live` = 'true' and attributes.status = 'FINISHED'", max_results=1
        )
        adopted = bool(live) and PARENT_TAG not in live[0].data.tags
        child = live[0].info.run_id if adopted else client.create_run(experiment, run_name=stage, tags={STAGE_TAG: stage}).info.run_id
        client.set_tag(child, PARENT_TAG, parent)
        client.set_tag(child, STAGE_KEY_TAG, key)
        group = stage.partition("@")[0]
        if not adopted and group in container and isinstance(container[group], dict):
            for param, value in flat_params(container[group]).items():
                client.log_param(child, param, value)
        for metric, number in stage_metrics(stage).items():
            client.log_metric(child, metric, number)
        client.set_terminated(child)
        client.set_tag(parent, f"stage.{stage}", f"run {child}")
    # the mark comes last: an interrupted track is done again
    client.set_tag(parent, LOCK_TAG, whole)
    client.set_terminated(parent)
    print(f"tracked {name}: {len(keys)} stages, inputs by {INPUTS_TAG}")  # noqa: T201


@entrypoint
def main(cfg: DictConfig) -> None:
    """dvc.lock + metrics -> MLflow; a failure is said and does not fail the pipeline."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        track(cfg)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        warn("tracking", error)


if __name__ == "__main__":
    main()
