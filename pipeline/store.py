"""The sqlite file behind MLflow: made by one process at a time, and asked whether it answers before anything waits for it."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROBE_SECONDS = 3.0  # MLflow itself would wait 20 s for each statement
_CREATE_SECONDS = 120.0  # another worker migrates a new database in 2 to 40 s
_POLL_SECONDS = 0.1


class StoreDownError(OSError):
    """The store cannot be written now; the message is one line and says what to do."""


def store() -> Path:
    """Folder of the sqlite store. DVC_ROOT is the real workspace even when `dvc exp run` works in a copy."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve() / "artifacts" / "mlflow"


@contextlib.contextmanager
def exclusive(lock: Path, *, seconds: float) -> Iterator[None]:
    """One process at a time, by a lock that the kernel drops when its holder dies. StoreDownError when it is not free in time."""
    import fcntl

    deadline = time.monotonic() + seconds
    with lock.open("w", encoding="utf-8") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise StoreDownError(f"{lock}: held by another process for {seconds:.0f} s") from error
                time.sleep(_POLL_SECONDS)
        yield


def probe(database: Path) -> None:
    """Change a page and take it back. StoreDownError when it stays locked, is read-only, full, away or no database."""
    try:
        opened = sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=PROBE_SECONDS, isolation_level=None)
        with contextlib.closing(opened) as connection:
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:  # locked, read-only, full, away: it may come back
        raise StoreDownError(f"{database}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreDownError(f"{database}: {error}; move it away, `dvc repro -f -s track` makes a new one") from error


def prepared(folder: Path, make: Callable[[Path], None]) -> Path:
    """The database, made by `make` at the first use under another name, so that nobody ever sees half of its tables."""
    database = folder / "mlflow.db"
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_there(database):
        with exclusive(folder / "create.lock", seconds=_CREATE_SECONDS):
            if not _is_there(database):
                partial = folder / "mlflow.db.partial"
                partial.unlink(missing_ok=True)  # of a process that was killed
                make(partial)
                os.replace(partial, database)  # noqa: PTH105
    probe(database)
    return database


def _is_there(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0
