"""The only file that imports mlflow, lazily. MLflow is a view of the metric files: a failure here is said and never fails a stage."""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pipeline.curves import Point, append, curve_file, now
from pipeline.store import prepared, probe, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    from medllm.training import LogFunction
    from pipeline.lock import Output

INPUTS_TAG = "medllm.inputs_sha256"
STAGE_TAG = "dvc.stage"
_PARAM_LIMIT = 500  # characters of one parameter value in MLflow
_AT_ONCE = 100  # parameters, tags or metrics in one call


def failures() -> tuple[type[Exception], ...]:
    """What a tracking store may raise when it is locked, full, broken, of another version or away."""
    if "mlflow" not in sys.modules:  # seconds to import, and nothing of it was reached
        return (OSError,)
    _quieten()
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, CommandError, OSError


def _quieten() -> None:
    """They tell in tracebacks and progress lines what `warn` says in one."""
    for name, level in (("mlflow.store", logging.CRITICAL), ("mlflow.system_metrics", logging.CRITICAL), ("alembic", logging.WARNING)):
        logging.getLogger(name).setLevel(level)


def warn(what: str, error: Exception) -> None:
    """One line on stderr; the pipeline goes on and `track` catches up later."""
    text = (str(error).splitlines() or [""])[0]
    if "database schema" in text:
        text = f"{store() / 'mlflow.db'}: of another MLflow version; move it away or run `mlflow db upgrade sqlite:///artifacts/mlflow/mlflow.db`"
    print(f"mlflow: {what} failed ({type(error).__name__}: {text}); going on", file=sys.stderr)  # noqa: T201


def _client(database: Path) -> "MlflowClient":
    from mlflow import MlflowClient

    uri = f"sqlite:///{database}"
    return MlflowClient(uri, registry_uri=uri)


def _make(database: Path) -> None:
    _client(database).search_experiments()


def connect(experiment_name: str) -> "tuple[MlflowClient, str]":
    """Client and experiment id; the database and the experiment are made at the first use."""
    _quieten()
    client = _client(prepared(store(), _make))
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        try:
            return client, str(client.create_experiment(experiment_name, artifact_location=(store() / "artifacts").as_uri()))
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


def knobs(node: DictConfig) -> dict[str, str]:
    """`flat_params` of a part of the configuration."""
    container = OmegaConf.to_container(node, resolve=True)
    assert isinstance(container, dict)
    return flat_params({str(key): value for key, value in container.items()})


def write(client: "MlflowClient", run_id: str, *, params: Mapping[str, str], points: Sequence[Point], tags: Mapping[str, str]) -> None:
    """Parameters, metrics and tags of a run in few transactions; writing the same again changes nothing but the history of the metrics."""
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(name, value, at.milliseconds, at.step) for at in points for name, value in at.values.items()]
    listed = [Param(key, value) for key, value in params.items()]
    marks = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, max(len(metrics), len(listed), len(marks)), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        client.log_batch(run_id, metrics=metrics[part], params=listed[part], tags=marks[part])


def write_dataset(client: "MlflowClient", run_id: str, name: str, data: "Output", *, context: str) -> None:
    """What a run read, named by the hash that DVC's cache has it under. Once a run: MLflow knows equal ones."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name, digest=data.md5.removesuffix(".dir"), source_type="local", source=json.dumps({"uri": data.path}),
        profile=json.dumps({"num_files": data.num_files, "num_bytes": data.num_bytes}),
    )  # fmt: skip
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


class _Live:
    """An open run. A store that stops answering is waited for once, a few seconds; `track` fills in what it missed."""

    def __init__(self, client: "MlflowClient", run_id: str, monitor: "SystemMetricsMonitor") -> None:
        self.client, self.run_id, self.monitor = client, run_id, monitor
        self.answers = True
        self.started = time.monotonic()

    def log(self, point: Point) -> None:
        if not self.answers:
            return
        # every second at first, every minute after an hour: a long run would fill the database with them
        self.monitor.sampling_interval = max(1.0, (time.monotonic() - self.started) / 60)
        try:
            probe(store() / "mlflow.db")
            write(self.client, self.run_id, params={}, points=[point], tags={})
        except failures() as error:
            warn("logging", error)
            self.answers = False

    def close(self, status: str) -> None:
        try:
            probe(store() / "mlflow.db")
            self.monitor.finish()
            self.client.set_terminated(self.run_id, status)
        except failures() as error:
            warn("closing the live run", error)


def _open(stage: str, inputs_sha256: str, node: DictConfig, *, experiment_name: str) -> _Live | None:
    try:
        client, experiment = connect(experiment_name)
        tags = {STAGE_TAG: stage, INPUTS_TAG: inputs_sha256, "medllm.live": "true"}
        run_id = client.create_run(experiment, run_name=stage, tags=tags).info.run_id
        write(client, run_id, params=knobs(node), points=[], tags={})
    except failures() as error:
        warn("opening a live run", error)
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, sampling_interval=1, tracking_uri=f"sqlite:///{store() / 'mlflow.db'}")
    monitor.start()
    return _Live(client, run_id, monitor)


@contextlib.contextmanager
def live_run(stage: str, inputs_sha256: str, node: DictConfig, *, experiment_name: str) -> "Iterator[LogFunction]":
    """A run with loss curves and system metrics while a stage trains; `track` adopts it by the hash of the inputs."""
    live = _open(stage, inputs_sha256, node, experiment_name=experiment_name)
    kept: Path | None = curve_file(inputs_sha256)
    last: tuple[int, int] | None = None

    def log(values: Mapping[str, float], step: int) -> None:
        nonlocal kept, last
        at = now()
        paced = dict(values)
        if "loss" in values:
            if last and step > last[0] and at > last[1]:
                paced["steps_per_s"] = 1000 * (step - last[0]) / (at - last[1])
            last = (step, at)
        point = Point(step=step, milliseconds=at, values=paced)
        try:
            if kept:
                append(kept, point)
        except OSError as error:
            kept = None
            warn("keeping the curve", error)
        if live:
            live.log(point)

    status = "FAILED"
    try:
        yield log
        status = "FINISHED"
    finally:
        if live:
            live.close(status)
