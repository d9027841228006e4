"""A second process that takes what work it can; results come in the order of the work, so their bytes do not depend on it.

Not multiprocessing: its spawned processes import the caller's main module again, and a fork would copy the threads of the MinHash library
in whatever state they are.
"""

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from medllm.errors import UserError

T = TypeVar("T")
R = TypeVar("R")
_START_AFTER = 8  # pieces of work; before that a process would cost more than it saves (half a second)
_AHEAD = 2  # pieces that wait for it or are with it; the rest is done here
_MOST_WAITING = 32  # finished pieces in memory behind one that is not
_CODE = "import sys; sys.path[:] = {path!r}; from medllm.data.parallel import serve; serve()"


class SecondProcess:
    """A context manager; the process starts when there is enough to do and a second core, and is there for every `map` after that."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._started: Future[int] | None = None
        # one thread that sends a piece and waits for its result: pipes of two processes that both write would lock
        self._thread = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._process is not None:
            self._process.communicate()

    def map(self, work: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
        """`work` of every piece, in order. Work and pieces are pickled; UserError when the process was killed."""
        waiting: deque[R | Future[R]] = deque()
        for number, piece in enumerate(pieces):
            running = sum(isinstance(item, Future) and not item.done() for item in waiting)
            if running < _AHEAD and self._ready(number):
                waiting.append(self._thread.submit(self._call, work, piece))
            else:
                waiting.append(work(piece))
            while waiting and (len(waiting) > _MOST_WAITING or not isinstance(waiting[0], Future) or waiting[0].done()):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())

    def _ready(self, number: int) -> bool:
        """Whether the process has started: until then all is done here."""
        if self._process is None and number >= _START_AFTER and (os.cpu_count() or 1) > 1:
            command = [sys.executable, "-c", _CODE.format(path=sys.path)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._started = self._thread.submit(self._call, len, "")
        return self._started is not None and self._started.done()

    def _call(self, work: Callable[[T], R], piece: T) -> R:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((work, piece), self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            result, error = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError) as broken:
            raise UserError("the second process of prepare_data was killed; free some memory and run again") from broken
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


def _result(item: "R | Future[R]") -> R:
    return item.result() if isinstance(item, Future) else item


def serve() -> None:
    """What the second process does until it is killed or its input ends: read work and a piece, write result and error."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints may not get between the results
    while True:
        try:
            work, piece = pickle.load(source)
        except (EOFError, KeyboardInterrupt):
            return
        pickle.dump(_outcome(work, piece), target, protocol=pickle.HIGHEST_PROTOCOL)
        target.flush()


def _outcome(work: Callable[[Any], Any], piece: Any) -> tuple[Any, Exception | None]:
    try:
        return work(piece), None
    except Exception as error:  # noqa: BLE001  it is raised again in the first process
        return None, error
