"""`dvc exp run` in a clone of the repository that shares its DVC cache; the user's workspace stays as it is.

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
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
from omegaconf import OmegaConf

from medllm.errors import UserError
from pipeline.compose import PARAMS
from pipeline.layout import ARTIFACTS, METRICS

_CALLERS = ("DVC_", "GIT_", "MLFLOW_")  # a stage or hook that called us must not reach into the clone
_MARK = "MEDLLM_CLONE"  # in the environment of all that runs in a clone

_Job = TypeVar("_Job", bound=Hashable)
_Result = TypeVar("_Result")


def output_of(*command: str) -> str:
    """What a command prints; UserError with its last line when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command[:3])}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}; run from the repository root")
    return done.stdout.strip()


@dataclass(slots=True, kw_only=True)
class Clones:
    """Runs of one commit of `root`; `work` holds a clone of each while it runs, and its log. `stop` ends what runs."""

    root: Path
    commit: str
    work: Path
    cache: Path
    threads: int | None
    stopped: bool = False
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    @contextlib.contextmanager
    def run(self, name: str, overrides: Sequence[str], models: Callable[[Mapping[str, Any]], Sequence[str]]) -> Iterator[tuple[Path, str]]:
        """(artifacts, the one line that says what went wrong or "") of a run up to the evaluation of `models(chain)`."""
        clone, log = self.work / name, self.work / f"{name}.log"
        self.work.mkdir(parents=True, exist_ok=True)
        _end_what_runs_in(clone)
        shutil.rmtree(clone, ignore_errors=True)
        log.unlink(missing_ok=True)
        try:
            yield clone / ARTIFACTS, "" if self._exp_run(clone, log, overrides, models) else error_line(log, clone)
        finally:
            shutil.rmtree(clone, ignore_errors=True)

    def stop(self) -> None:
        """End the running commands and everything that they started."""
        self.stopped = True
        for process in list(self._running):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.killpg(process.pid, signal.SIGTERM)

    def _exp_run(self, clone: Path, log: Path, overrides: Sequence[str], models: Callable[[Mapping[str, Any]], Sequence[str]]) -> bool:
        changes = [*overrides, *([] if self.threads is None else [f"threads={self.threads}"])]
        setup = [
            (self.root, ["git", "clone", "--quiet", "--shared", "--no-checkout", str(self.root), str(clone)]),
            (clone, ["git", "checkout", "--quiet", "--detach", self.commit]),
            (clone, [sys.executable, "-m", "dvc", "cache", "dir", "--local", str(self.cache)]),
            (clone, [sys.executable, "-m", "pipeline.compose", *changes]),
        ]
        if not all(self._succeeds(command, folder, clone, log) for folder, command in setup):
            return False
        # the committed metrics are those of another run: whatever is there afterwards is of this one
        shutil.rmtree(clone / METRICS, ignore_errors=True)
        targets = [f"evaluate@{name}" for name in models(OmegaConf.select(OmegaConf.load(clone / PARAMS), "chain"))]
        said = [word for change in changes for word in ("-S", change)]
        return self._succeeds([sys.executable, "-m", "dvc", "exp", "run", "--keep-going", *said, *targets], clone, clone, log)

    def _succeeds(self, command: Sequence[str], folder: Path, clone: Path, log: Path) -> bool:
        if self.stopped:
            raise KeyboardInterrupt
        with log.open("ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            process = subprocess.Popen(
                command, cwd=folder, env=self._environment(clone), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,  # so that a stage dies with the dvc that started it
            )  # fmt: skip
            self._running.add(process)
            if self.stopped:  # stop() came between and did not see it
                os.killpg(process.pid, signal.SIGTERM)
            try:
                code = process.wait()
            finally:
                self._running.discard(process)
        if self.stopped:
            raise KeyboardInterrupt
        return code == 0

    def _environment(self, clone: Path) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_CALLERS)}
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return {
            **kept,
            **threads,
            _MARK: str(clone),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # dvc.yaml says `python`
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(clone / ".dvc" / "tmp" / "site"),  # locks and indexes go with the clone
        }


def _end_what_runs_in(clone: Path) -> None:
    """A caller ended by SIGKILL leaves DVC and its stage behind, which would go on in the folder that the next one uses."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended meanwhile, or is another user's
            if process.environ().get(_MARK) == str(clone):
                process.kill()
                process.wait(timeout=10)


def error_line(log: Path, clone: Path) -> str:
    """What a stage said in its one line, else the name of its exception, else what DVC or git said; no path of this machine."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    for pattern in (r"error: ", r"(?:\w+\.)*\w*(?:Error|Exception|Exit): ", r"(?:ERROR|fatal): ", ""):
        found = [line for line in lines if re.match(pattern, line)]
        if found:
            return found[-1].replace(f"{clone}{os.sep}", "").replace(str(clone), ".").removeprefix("error: ")
    return "no output"


def as_they_end(
    run_one: Callable[[_Job], _Result], jobs: Iterable[_Job], *, alike: Callable[[_Job], Hashable], at_once: int, stop: Callable[[], None]
) -> Iterator[tuple[_Job, _Result]]:
    """Results as they come. The first of the jobs that are `alike` trains what the others of them find in the cache, so they wait for it,
    and for no other. An interruption ends the jobs that run."""  # fmt: skip
    waiting: dict[Hashable, list[_Job]] = {}
    for job in jobs:
        waiting.setdefault(alike(job), []).append(job)
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            running = {pool.submit(run_one, of_kind[0]): of_kind[0] for of_kind in waiting.values()}
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job, result = running.pop(future), future.result()
                    running |= {pool.submit(run_one, other): other for other in waiting.pop(alike(job), [])[1:]}
                    yield job, result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
