"""Stream the files of AI Hub downloads without unpacking: folders, zip, zip in zip, and .zip.partN that belong together."""

import io
import re
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import IO

from medllm.errors import UserError

_PART = re.compile(r"(?P<stem>.+\.zip)\.part(?P<number>\d+)", re.IGNORECASE)
_OTHER_ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".egg", ".alz")
_SPOOL_BYTES = 64 * 2**20
# what zipfile and the seekable parts raise on truncated, cut or scrambled archives
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file. `archive` is its folder or archive (inner ones after "!"), relative to raw. `read()` works until the next member."""

    archive: str
    name: str
    read: Callable[[], bytes]

    @property
    def folders(self) -> list[str]:
        """Names of the folders and archives around the file, outermost first."""
        return [part for part in re.split(r"[/!]", f"{self.archive}/{self.name}") if part][:-1]


class _Parts(io.RawIOBase):
    """Files read as if they were one, with seek."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack) -> None:
        self._files = [stack.enter_context(path.open("rb")) for path in paths]
        self._sizes = [path.stat().st_size for path in paths]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: sum(self._sizes)}[whence]
        if start + offset < 0:
            raise ValueError("seek before the start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        offset = self._at
        for file, size in zip(self._files, self._sizes, strict=True):
            if offset < size:
                file.seek(offset)
                data = file.read(min(len(buffer), size - offset))
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            offset -= size
        return 0


def read_members(root: Path) -> Iterator[Member]:
    """Yield every file below `root` in a fixed order, archives opened. UserError: nothing there, or an archive that cannot be read."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; put the AI Hub archives there, or run the stage that writes it (dvc repro make_sample)")
    files = sorted((_nfc(path.relative_to(root).as_posix()), path) for path in root.rglob("*") if path.is_file())
    files = [(name, path) for name, path in files if not _is_litter(name)]
    if not files:
        raise UserError(f"{root}: the folder is empty; put the AI Hub archives there")
    parts: dict[str, list[tuple[int, Path]]] = {}
    for name, path in files:
        if match := _PART.fullmatch(name):
            parts.setdefault(match["stem"], []).append((int(match["number"]), path))
        elif name.lower().endswith(_OTHER_ARCHIVES):
            raise UserError(f"{path}: this kind of archive is not read; unpack it in place and remove it")
        elif name.lower().endswith(".zip"):
            yield from _zip_members(name, [path])
        else:
            folder, _, file_name = name.rpartition("/")
            yield Member(archive=folder, name=file_name, read=path.read_bytes)
    for name, numbered in sorted(parts.items()):
        # parts are numbered 0, 1, 2 or by byte offset, so only the first can be checked by name
        numbered.sort()
        if numbered[0][0] != 0:
            raise UserError(f"{numbered[0][1]}: {name}.part0 is missing; download all parts again")
        yield from _zip_members(name, [path for _, path in numbered])


def _zip_members(name: str, paths: Sequence[Path]) -> Iterator[Member]:
    with ExitStack() as stack:
        yield from _members(name, io.BufferedReader(_Parts(paths, stack)), stack)


def _members(archive: str, file: IO[bytes], stack: ExitStack) -> Iterator[Member]:
    try:
        opened = stack.enter_context(zipfile.ZipFile(file))
    except _BROKEN as error:
        raise UserError(f"{archive}: not a whole zip archive ({error}); download it again, with all its parts") from error
    for info in opened.infolist():
        name = _member_name(info, archive)
        if info.is_dir() or _is_litter(name):
            continue
        if info.flag_bits & 0x1:
            raise UserError(f"{archive}: {name} is encrypted; unpack the archive with its password and put the plain files there")
        if name.lower().endswith(".zip"):
            with ExitStack() as inner:
                spool = inner.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES))
                _copy(opened, info, archive, spool)
                yield from _members(f"{archive}!{name}", spool, inner)
        elif name.lower().endswith(_OTHER_ARCHIVES) or _PART.fullmatch(name):
            raise UserError(f"{archive}: holds {name}, a kind of archive that is not read inside a zip; unpack it in place")
        else:
            yield Member(archive=archive, name=name, read=lambda info=info: _read(opened, info, archive))  # type: ignore[misc]


def _read(opened: zipfile.ZipFile, info: zipfile.ZipInfo, archive: str) -> bytes:
    try:
        return opened.read(info)
    except _BROKEN as error:
        raise _damaged(archive, info, error) from error


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, archive: str, target: IO[bytes]) -> None:
    try:
        with opened.open(info) as source:
            copyfileobj(source, target)
    except _BROKEN as error:
        raise _damaged(archive, info, error) from error
    target.seek(0)


def _damaged(archive: str, info: zipfile.ZipInfo, error: Exception) -> UserError:
    return UserError(f"{archive}: {_member_name(info, archive)} cannot be read ({error}); download the archive again, with all its parts")


def _member_name(info: zipfile.ZipInfo, archive: str) -> str:
    """Readable NFC name. AI Hub archives carry names in cp949 without saying so, and some start with "/"."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:  # not declared UTF-8: zipfile has read the bytes as cp437
        raw = name.encode("cp437")
        for encoding in ("utf-8", "cp949"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    name = _nfc(name).replace("\\", "/").lstrip("/")
    if ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{archive}: member {name!r} points outside the archive; do not use this file")
    return name


def _is_litter(name: str) -> bool:
    """Files that macOS and editors leave: hidden names and __MACOSX."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/"))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
