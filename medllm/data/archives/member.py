"""One file of a raw folder, and one entry of the folder or archive that holds it."""

import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from medllm.errors import UserError

MAX_ITEM_BYTES = 64 * 2**20  # of one JSON file, table row or line; a larger one is rejected unread as too_large
# what zipfile, tarfile and the decompressors raise on truncated, cut or scrambled archives
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, OverflowError,
    OSError,
)  # fmt: skip


def reason(error: Exception) -> str:
    """The text of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a folder or archive: NFC `name`, `size` in bytes.

    `open` gives its bytes from the start with the archive's checksum tested at the end; `view` gives them with cheap seeks and no
    checksum, for archives in archives. `check` raises one of BROKEN when the entry's two headers disagree. `skip`: a folder or litter.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
    view: Callable[[], IO[bytes]]
    check: Callable[[], None] = lambda: None
    skip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file. `archive` is its folder or archive (inner ones after "!"), relative to raw; usable until the next member is asked for."""

    archive: str
    name: str
    size: int
    raw_open: Callable[[], IO[bytes]]
    packed: bool

    @property
    def folders(self) -> list[str]:
        """Names of the folders and archives around the file, outermost first."""
        return [part for part in re.split(r"[/!]", f"{self.archive}/{self.name}") if part][:-1]

    @property
    def path(self) -> str:
        """Where the file is, relative to raw: "archive!name", or "folder/name" for a file that is not packed."""
        return f"{self.archive}{'!' if self.packed else '/'}{self.name}".lstrip("/")

    def read(self) -> bytes:
        """All bytes. UserError: damaged. Ask for `size` first: a member may claim any size."""
        try:
            with self.raw_open() as file:
                data = file.read(self.size + 1)  # a bounded read, so that a false size cannot fill the memory
        except BROKEN as error:
            raise self._damaged(error) from error
        if len(data) != self.size:
            raise self._damaged(EOFError(f"{len(data)} bytes instead of {self.size}"))
        return data

    def open(self) -> IO[bytes]:
        """The bytes as a buffered stream, to read in pieces. UserError at the damaged place."""
        try:
            return io.BufferedReader(_Checked(self.raw_open(), self._damaged), buffer_size=2**16)
        except BROKEN as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        if not self.packed:
            return UserError(f"{self.path}: cannot be read ({reason(error)}); copy the file again")
        return UserError(f"{self.archive}: {self.name} cannot be read ({reason(error)}); download the archive again, with all its parts")


class _Checked(io.RawIOBase):
    """A stream whose errors are UserErrors."""

    def __init__(self, file: IO[bytes], damaged: Callable[[Exception], UserError]) -> None:
        self._file, self._damaged = file, damaged

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except BROKEN as error:
            raise self._damaged(error) from error

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except BROKEN as error:
            raise self._damaged(error) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
