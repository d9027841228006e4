"""What commands that run for hours share: one at a time, ended with their children, counts on the command line."""

import argparse
import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from medllm.errors import UserError
from pipeline.layout import ARTIFACTS


@contextmanager
def alone(name: str) -> Iterator[None]:
    """UserError while another process holds this name. The lock of one that was killed is gone with it."""
    path = ARTIFACTS / ".locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{name}: another process is running it; wait for it, or give this one another name") from None
        yield


def end_like_ctrl_c() -> None:
    """A kill and a closed terminal interrupt this process as Ctrl-C does, so that it ends its children."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)


def positive(word: str) -> int:
    """A number of at least 1, for argparse."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number
