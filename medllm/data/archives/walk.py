"""Walk a raw folder and every archive in it, to any sensible depth, in a fixed order."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from medllm.data.archives.member import BROKEN, Entry, Member, reason
from medllm.data.archives.names import is_litter, nfc
from medllm.data.archives.parts import join_parts
from medllm.data.archives.tars import tar_entries
from medllm.data.archives.zips import zip_entries
from medllm.errors import UserError

_NOT_READ = re.compile(r"\.(tgz|gz|bz2|xz|zst|7z|rar|egg|alz|z\d\d|zip\.\d{3})$", re.IGNORECASE)
_INERT = re.compile(r"\.(png|jpe?g|gif|bmp|tiff?|txt|md|pdf|xml|html?|xlsx?|docx?|pptx?|hwpx?|log|py)$", re.IGNORECASE)
_ITEMS = re.compile(r"\.(json|jsonl|csv|parquet)$", re.IGNORECASE)
_ZIP_START = b"PK\x03\x04"
_MAX_DEPTH = 6  # folders deliver two; a zip that holds itself has no end


def read_members(root: Path, *, without: Collection[str] = ()) -> Iterator[Member]:
    """Yield every file below `root` in a fixed order, archives opened, but for the folders and files in `without` (relative, NFC).

    UserError: nothing there, an archive that is damaged, cut off or encrypted, a part that is missing, a kind that is not read.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; put your archives or tables there, or run dvc repro make_sample")
    entries = [_file(name, path) for name, path in sorted((nfc(p.relative_to(root).as_posix()), p) for p in root.rglob("*") if p.is_file())]
    entries = [entry for entry in entries if not is_litter(entry.name)]
    if not entries:
        raise UserError(f"{root}: the folder is empty; put your archives or tables there")
    kept = [entry for entry in entries if not any(entry.name == place or entry.name.startswith(f"{place}/") for place in without)]
    yield from _members("", kept, packed=False, depth=0)


def _file(name: str, path: Path) -> Entry:
    return Entry(name=name, size=path.stat().st_size, open=lambda: path.open("rb"), view=lambda: path.open("rb"))


def _members(archive: str, entries: Sequence[Entry], *, packed: bool, depth: int) -> Iterator[Member]:
    for entry in join_parts(archive, entries):
        path = f"{archive}!{entry.name}" if packed else entry.name
        if not _ITEMS.search(entry.name):
            _check(path, entry)
        if entry.skip:
            continue
        if entry.name.lower().endswith((".zip", ".tar")):
            yield from _opened(path, entry, depth=depth + 1)
        elif packed:
            yield Member(archive=archive, name=entry.name, size=entry.size, raw_open=entry.open, packed=True)
        else:
            folder, _, name = entry.name.rpartition("/")
            yield Member(archive=folder, name=name, size=entry.size, raw_open=entry.open, packed=False)


def _opened(path: str, entry: Entry, *, depth: int) -> Iterator[Member]:
    if depth > _MAX_DEPTH:
        raise UserError(f"{path}: more than {_MAX_DEPTH} archives inside each other; unpack it in place and remove it")
    list_entries = zip_entries if entry.name.lower().endswith(".zip") else tar_entries
    with ExitStack() as stack:
        try:
            file = stack.enter_context(entry.view())
        except BROKEN as error:
            raise UserError(f"{path}: cannot be read ({reason(error)}); download the archive again, with all its parts") from error
        yield from _members(path, list_entries(path, file, stack), packed=True, depth=depth)


def _check(path: str, entry: Entry) -> None:
    """UserError: the entry is an archive of a kind that is not read or under another name, or its name is damaged."""
    if not entry.skip and _NOT_READ.search(entry.name):
        raise UserError(f"{path}: this kind of archive is not read; unpack it in place and remove it")
    try:
        entry.check()
        if _INERT.search(entry.name) or entry.name.lower().endswith((".zip", ".tar")):
            return
        with entry.open() as file:
            start = file.read(len(_ZIP_START))
    except BROKEN as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); download the archive again, with all its parts") from error
    if start == _ZIP_START:
        raise UserError(f"{path}: a zip archive under another name; name it .zip (its parts .zip.part0, .zip.part1, ...)")
