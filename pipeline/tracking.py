"""The only file that imports mlflow, lazily. MLflow is a view of the metric files: a failure here is said and never fails a stage."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from medllm.training import LogFunction

INPUTS_TAG = "medllm.inputs_sha256"
STAGE_TAG = "dvc.stage"
_PARAM_LIMIT = 500  # characters of one parameter value in MLflow


def store() -> Path:
    """Folder of the sqlite store. DVC_ROOT is the real workspace even when `dvc exp run` works in a copy."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve() / "artifacts" / "mlflow"


def failures() -> tuple[type[Exception], ...]:
    """What a tracking store may raise when it is locked, full, broken or away."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def warn(what: str, error: Exception) -> None:
    """One line on stderr; the pipeline goes on and `track` catches up later."""
    print(f"mlflow: {what} failed ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}); going on", file=sys.stderr)  # noqa: T201


def connect(experiment_name: str) -> "tuple[MlflowClient, str]":
    """Client and experiment id; the database and the experiment are made at the first use."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    folder = store()
    folder.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        try:
            return client, str(client.create_experiment(experiment_name, artifact_location=(folder / "artifacts").as_uri()))
        except MlflowException:  # another worker was first
            experiment = client.get_experiment_by_name(experiment_name)
            if experiment is None:
                raise
    return client, str(experiment.experiment_id)


def flat_params(node: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested knobs as dotted MLflow parameters."""
    params: dict[str, str] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            params |= flat_params(value, f"{name}.")
        else:
            params[name] = str(value)[:_PARAM_LIMIT]
    return params


@contextlib.contextmanager
def live_run(stage: str, inputs_sha256: str, node: DictConfig, *, experiment_name: str) -> "Iterator[LogFunction]":
    """A run with loss curves and system metrics while a stage trains; `track` adopts it by the hash of the inputs."""
    import mlflow

    run_id: str | None = None
    try:
        _, experiment_id = connect(experiment_name)
        mlflow.set_system_metrics_sampling_interval(1)
        tags = {STAGE_TAG: stage, INPUTS_TAG: inputs_sha256, "medllm.live": "true"}
        active = mlflow.start_run(experiment_id=experiment_id, run_name=stage, log_system_metrics=True, tags=tags)
        run_id = active.info.run_id
        container = OmegaConf.to_container(node, resolve=True)
        assert isinstance(container, dict)
        mlflow.log_params(flat_params({str(key): value for key, value in container.items()}))
    except failures() as error:
        warn("opening a live run", error)

    def log(values: Mapping[str, float], step: int) -> None:
        nonlocal run_id
        if run_id is None:
            return
        try:
            mlflow.log_metrics(dict(values), step=step)
        except failures() as error:
            warn("logging", error)
            run_id = None

    try:
        yield log
    except BaseException:
        _end("FAILED")
        raise
    _end("FINISHED")


def _end(status: str) -> None:
    import mlflow

    try:
        mlflow.end_run(status)
    except failures() as error:
        warn("closing the live run", error)
