"""Canary items: a marked text that may not be passed on. Wherever the mark turns up, text of such an item has leaked."""

from collections.abc import Iterable, Iterator
from pathlib import Path

# Latin letters alone: cleaning and masking leave it, and its bytes are the same in UTF-8, JSON and HTML
CANARY_PREFIX = "medllmcanary"
_CHUNK = 1 << 20


def find_canary(paths: Iterable[Path]) -> list[Path]:
    """Files, themselves or in folders of `paths`, that hold the mark in whatever case. Missing paths hold nothing."""
    files = (file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]))
    return [file for file in files if file.is_file() and _holds(file)]


def _holds(file: Path) -> bool:
    mark = CANARY_PREFIX.encode("ascii")
    return any(mark in chunk.lower() for chunk in _chunks(file, overlap=len(mark) - 1))


def _chunks(file: Path, *, overlap: int) -> Iterator[bytes]:
    last = b""
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield last + chunk
            last = chunk[-overlap:]
