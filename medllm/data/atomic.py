"""Write a folder whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder of the same name beside `out`; it takes the place of `out` on success.

    On an error it is deleted and `out` stays as it was.
    """
    partial, old = (out.parent / f".{out.name}.{word}" / out.name for word in ("partial", "old"))
    for left_over in (partial.parent, old.parent):
        if left_over.exists():
            shutil.rmtree(left_over)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            old.parent.mkdir()
            out.rename(old)
        partial.rename(out)
        if old.exists():
            shutil.rmtree(old.parent)
    finally:
        shutil.rmtree(partial.parent)
