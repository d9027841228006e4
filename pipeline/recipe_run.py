"""One recipe at one seed, in a clone of the repository that shares its DVC cache; the user's workspace stays as it is.

A clone rather than `dvc exp run --temp` or `--queue`: those leave experiment refs in the user's repository, write their MLflow runs into
the user's artifacts, and give back commits instead of files.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from medllm.compare.recipe_rows import Record, read_row
from medllm.errors import UserError
from pipeline.compose import PARAMS
from pipeline.layout import ARTIFACTS, METRICS

_CALLERS = ("DVC_", "GIT_", "MLFLOW_")  # a stage or hook that called us must not reach into the clone


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`recipe` is "default", the name of a file of conf/experiment, or several joined by "+", applied in that order."""

    recipe: str
    seed: int

    @property
    def overrides(self) -> list[str]:
        """What -S gets."""
        names = self.recipe.split("+")
        experiment = [] if self.recipe == "default" else [f"experiment={names[0] if len(names) == 1 else '[' + ','.join(names) + ']'}"]
        return [*experiment, f"seed={self.seed}"]

    @property
    def name(self) -> str:
        """For folders and logs."""
        return f"{self.recipe}-{self.seed}"


@dataclass(slots=True, kw_only=True)
class Runner:
    """Runs jobs of one commit of `root`; `work` holds clones while they run, and a log of each. `stop` ends what runs."""

    root: Path
    commit: str
    work: Path
    cache: Path
    threads: int | None
    models: Sequence[str]
    finals: Sequence[str]
    teacher: str
    stopped: bool = False
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def run(self, job: Job) -> tuple[list[Record], Record]:
        """(rows, items by hash) of a job; a model that was not built or evaluated is a row with an error."""
        clone, log = self.work / job.name, self.work / f"{job.name}.log"
        self.work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(clone, ignore_errors=True)
        log.unlink(missing_ok=True)
        try:
            models, error = self._exp_run(job, clone, log)
            return _rows(job, clone / ARTIFACTS, models, commit=self.commit, error=error)
        finally:
            shutil.rmtree(clone, ignore_errors=True)

    def stop(self) -> None:
        """End the running commands and everything that they started."""
        self.stopped = True
        for process in list(self._running):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.killpg(process.pid, signal.SIGTERM)

    def _exp_run(self, job: Job, clone: Path, log: Path) -> tuple[list[str], str]:
        """Models asked for, and the one line that says what went wrong ("" when nothing did)."""
        setup = [
            (self.root, ["git", "clone", "--quiet", "--shared", "--no-checkout", str(self.root), str(clone)]),
            (clone, ["git", "checkout", "--quiet", "--detach", self.commit]),
            (clone, [sys.executable, "-m", "dvc", "cache", "dir", "--local", str(self.cache)]),
            (clone, [sys.executable, "-m", "pipeline.compose", *self._overrides(job)]),
        ]
        for folder, command in setup:
            if not self._succeeds(command, folder, log):
                return list(self.models or self.finals), error_line(log, clone)
        # the committed metrics are those of another run: whatever is there afterwards is of this one
        shutil.rmtree(clone / METRICS, ignore_errors=True)
        chain = OmegaConf.select(OmegaConf.load(clone / PARAMS), "chain")
        models = list(self.models) or [self.teacher, *on_chain(chain), *self.finals]
        command = [sys.executable, "-m", "dvc", "exp", "run", "--keep-going"]
        command += [word for one in self._overrides(job) for word in ("-S", one)] + [f"evaluate@{name}" for name in models]
        return models, "" if self._succeeds(command, clone, log) else error_line(log, clone)

    def _overrides(self, job: Job) -> list[str]:
        return [*job.overrides, *([] if self.threads is None else [f"threads={self.threads}"])]

    def _succeeds(self, command: Sequence[str], folder: Path, log: Path) -> bool:
        if self.stopped:
            raise KeyboardInterrupt
        with log.open("ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            process = subprocess.Popen(
                command, cwd=folder, env=self._environment(folder), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,  # so that a stage dies with the dvc that started it
            )  # fmt: skip
            self._running.add(process)
            try:
                code = process.wait()
            finally:
                self._running.discard(process)
        if self.stopped:
            raise KeyboardInterrupt
        return code == 0

    def _environment(self, folder: Path) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_CALLERS)}
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return {
            **kept,
            **threads,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # dvc.yaml says `python`
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp" / "site"),  # locks and indexes go with the clone
        }


def on_chain(chain: Mapping[str, Any]) -> list[str]:
    """The trained models between the teacher and what is quantised, in the order of the recipe."""
    made_from = {"pruned": chain["prune"], "distilled": chain["distill"], "student": chain["student"], **chain["rescue"]}
    trained: list[str] = []
    name = chain["quantize"]
    while name in made_from and name not in trained:
        trained.insert(0, name)
        name = made_from[name]
    return trained


def _rows(job: Job, artifacts: Path, models: Sequence[str], *, commit: str, error: str) -> tuple[list[Record], Record]:
    rows: list[Record] = []
    items: Record = {}
    for model in models:
        row: dict[str, Any] = {"recipe": job.recipe, "seed": job.seed, "model": model, "commit": commit, "error": ""}
        try:
            read, new = read_row(artifacts, model)
        except UserError as missing:
            rows.append(row | {"error": error or str(missing)})
        else:
            rows.append(row | read)
            items |= new
    return rows, items


def error_line(log: Path, clone: Path) -> str:
    """What a stage said in its one line, else the name of its exception, else what DVC or git said; no path of this machine."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    for pattern in (r"error: ", r"(?:\w+\.)*\w*(?:Error|Exception|Exit): ", r"(?:ERROR|fatal): ", ""):
        found = [line for line in lines if re.match(pattern, line)]
        if found:
            return found[-1].replace(f"{clone}{os.sep}", "").replace(str(clone), ".").removeprefix("error: ")
    return "no output"
