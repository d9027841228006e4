"""The parent's end of a worker: start, ask, stop, always without leaving a process behind."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_STOP_SECONDS = 5.0


def worker_command(folder: Path, *, threads: int, dtype: str | None, compiled: bool = False) -> list[str]:
    """Command line of the worker of one model folder."""
    command = [sys.executable, "-m", "medllm.benchmark.worker", str(folder), "--threads", str(threads)]
    return command + (["--dtype", dtype] if dtype else []) + (["--compiled"] if compiled else [])


def worker_environment(*, threads: int) -> dict[str, str]:
    """This environment with thread pools of the size under test, no network, and no GPU: the device named in the figures is the CPU."""
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    fixed = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": path}
    return {**os.environ, **pools, **fixed}


class Worker:
    """A worker process (see medllm.benchmark.worker); use as a context manager. `loaded` is its reply to `load`."""

    def __init__(self, name: str, command: Sequence[str], *, environment: dict[str, str]) -> None:
        self.name = name
        # A file, not a pipe: nobody reads it while the worker runs, and a full pipe would stop the worker.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment, encoding="utf-8"
        )
        self.loaded: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def wait_imported(self) -> None:
        """Wait until the engine is imported; until then a load beside it would be disturbed."""
        self._read()

    def load(self) -> None:
        """Load the model."""
        self.loaded = self.ask(load=True)

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command and wait for its reply; RuntimeError with the worker's last stderr line when it died."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._death()
        row: dict[str, Any] = json.loads(line)
        return row

    def _death(self) -> RuntimeError:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", errors="replace").strip().splitlines()
        return RuntimeError(f"benchmark worker of {self.name!r} ended with exit code {code}: {lines[-1] if lines else 'nothing on stderr'}")

    def _stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()  # end of input: the worker closes its engine and leaves
            self._process.wait(timeout=_STOP_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass  # busy or already dead; killed below
        finally:
            self._process.kill()  # does nothing to a process that was waited for
            self._process.wait()
            self._process.stdout.close()
            self._errors.close()
