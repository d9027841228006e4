"""The packaged champion in MLflow's registry: a version points at the package, and the gates alone move the alias `champion`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.layout import ARTIFACTS, PREPARED
from pipeline.lock import Lock, lock_key, output, stage_keys
from pipeline.record import read_json
from pipeline.store import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
WEIGHTS_TAG = "medllm.weights_sha256"
PACKAGE = ARTIFACTS / "package"
_WEIGHTS = "model/model.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether the gates let a model become the champion, and why."""

    passed: bool
    reason: str


def judge(report: Mapping[str, Any], model: str) -> Judgement:
    """Every gate of this model in compare.json says pass, nothing that it was made from failed, and it was chosen by the rule."""
    verdicts = {gate["metric"]: gate["verdict"] for gate in report["gates"] if gate["model"] == model}
    short = [f"{metric}: {verdict}" for metric, verdict in sorted(verdicts.items()) if verdict != "pass"]
    if not verdicts:
        return Judgement(passed=False, reason="no gate judged it")
    if short:
        return Judgement(passed=False, reason=f"not every gate passed ({', '.join(short)})")
    if report["models"][model]["disqualified"]:
        return Judgement(passed=False, reason="a model that it was made from failed its gate")
    if report["last_resort"]:
        return Judgement(passed=False, reason="the last resort: no model met the rule")
    if os.environ.get("DVC_EXP_NAME"):  # its package is not the one of the workspace, and of two queue workers the last would win
        return Judgement(passed=False, reason="an experiment: promote it, and `dvc repro` moves the alias")
    return Judgement(passed=True, reason=f"every gate passed ({', '.join(sorted(verdicts))})")


def _tags(manifest: Mapping[str, Any], lock: Lock, judgement: Judgement) -> dict[str, str]:
    data, package = output(lock, PREPARED.as_posix()), output(lock, PACKAGE.as_posix())
    return {
        WEIGHTS_TAG: manifest["files"][_WEIGHTS],
        "medllm.model": manifest["name"],
        "medllm.chain": " > ".join(entry["name"] for entry in reversed(manifest["chain"])),
        "medllm.mode": manifest["mode"],
        "data.md5": data.md5 if data else "",
        "dvc.package_md5": package.md5 if package else "",  # the folder is overwritten by the next package; DVC's cache keeps this one
        "dvc.lock_sha256": lock_key(stage_keys(lock)),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "medllm.gates": "pass" if judgement.passed else "held back",
        "medllm.reason": judgement.reason,
    }


def _version(client: "MlflowClient", name: str, run_id: str, tags: Mapping[str, str]) -> "ModelVersion":
    """The version with these weights; there is one whatever graph or prompt they were packaged with."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Packaged champions of `dvc repro`; champion moves when every gate passes.")
    known = client.search_model_versions(f"name = '{name}' and tags.`{WEIGHTS_TAG}` = '{tags[WEIGHTS_TAG]}'")
    if known:
        for key, value in tags.items():
            client.set_model_version_tag(name, str(known[0].version), key, value)
        return known[0]
    # in the real workspace, not in the copy that `dvc exp run --queue` works in and removes; a reference, the weights are not copied
    source = (store().parent / PACKAGE.name).as_uri()
    return client.create_model_version(name, source, run_id=run_id, tags=dict(tags), await_creation_for=0)


def register(client: "MlflowClient", name: str, run_id: str, lock: Lock, report: Mapping[str, Any]) -> str:
    """Register artifacts/package once by the hash of its weights and set the aliases; a line about what was done."""
    path = PACKAGE / "manifest.json"
    if not path.is_file():
        return f"{path}: missing, so nothing was registered"
    manifest = read_json(path)
    if manifest["name"] != report["champion"]:
        other = f"holds {manifest['name']}, but the champion is {report['champion']}"
        return f"{path}: {other}, so nothing was registered; run dvc repro package"
    judgement = judge(report, manifest["name"])
    version = str(_version(client, name, run_id, _tags(manifest, lock, judgement)).version)
    client.set_registered_model_alias(name, CHALLENGER, version)
    if judgement.passed:
        client.set_registered_model_alias(name, CHAMPION, version)
    return f"registered {name} version {version} ({manifest['name']}) as {CHAMPION if judgement.passed else CHALLENGER}: {judgement.reason}"
