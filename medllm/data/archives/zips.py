"""The entries of a zip. Its list of members must be whole and fill the file: a cut archive may end in the list of an inner one."""

import io
import struct
import zipfile
from contextlib import ExitStack
from typing import IO

from medllm.data.archives.member import BROKEN, Entry, reason
from medllm.data.archives.names import inside, is_litter, zip_name
from medllm.data.archives.streams import inflate, join_ranges
from medllm.errors import UserError

_END, _END_SIZE, _MAX_COMMENT = b"PK\x05\x06", 22, 2**16
_LOCATOR, _LOCATOR_SIZE, _END64, _END64_SIZE = b"PK\x06\x07", 20, b"PK\x06\x06", 56
_ENCRYPTED = 0x1


def zip_entries(archive: str, file: IO[bytes], stack: ExitStack) -> list[Entry]:
    """Entries in the order of their bytes, so that a compressed archive is read forward. UserError: damaged, cut off, encrypted."""
    try:
        opened = stack.enter_context(zipfile.ZipFile(file))
        _check_end(file, len(opened.infolist()))
    except BROKEN as error:
        raise UserError(f"{archive}: not a whole zip archive ({reason(error)}); download it again, with all its parts") from error
    return [_entry(archive, file, opened, info) for info in sorted(opened.infolist(), key=lambda info: info.header_offset)]


def _entry(archive: str, file: IO[bytes], opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    name = inside(zip_name(info), archive)
    skip = info.is_dir() or is_litter(name)
    if info.flag_bits & _ENCRYPTED and not skip:
        raise UserError(f"{archive}: {name} is encrypted; unpack the archive with its password and put the plain files there")
    return Entry(
        name=name, size=info.file_size, skip=skip, open=lambda: opened.open(info), view=lambda: _view(file, opened, info),
        check=lambda: opened.open(info).close(),
    )  # fmt: skip


def _view(file: IO[bytes], opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """A stored member is a range of the file; a compressed one is read again from its start on a step back."""
    opened.open(info).close()  # tests the local header, which says where the data start
    if info.compress_type != zipfile.ZIP_STORED:
        return inflate(lambda: opened.open(info), info.file_size)
    if info.file_size != info.compress_size:
        raise zipfile.BadZipFile("two sizes for a stored member")
    file.seek(info.header_offset + 26)
    name_size, extra_size = struct.unpack("<2H", file.read(4))
    start = info.header_offset + 30 + name_size + extra_size
    return join_ranges([(file, start, info.file_size)], owned=False)


def _check_end(file: IO[bytes], num_listed: int) -> None:
    """BadZipFile unless the list of members is complete, starts where it should and ends the file. zipfile checks none of the three."""
    size = file.seek(0, io.SEEK_END)
    tail_start = file.seek(max(0, size - _END_SIZE - _MAX_COMMENT - _LOCATOR_SIZE - _END64_SIZE))
    tail = file.read()
    at = tail.rfind(_END)
    _, _, _, _, total, list_size, list_start, comment_size = struct.unpack_from("<4s4H2LH", tail, at)
    if at + _END_SIZE + comment_size != len(tail):
        raise zipfile.BadZipFile("it goes on after its end, or was cut")
    end = tail_start + at
    locator = at - _LOCATOR_SIZE
    if tail[max(0, locator) : at].startswith(_LOCATOR):
        _, _, record, _ = struct.unpack_from("<4sLQL", tail, locator)
        if record < tail_start or not tail.startswith(_END64, record - tail_start):
            raise zipfile.BadZipFile("its end is damaged, or bytes are missing")
        total, list_size, list_start = struct.unpack_from("<3Q", tail, record - tail_start + 32)
        end = record
    if list_start + list_size != end:
        raise zipfile.BadZipFile("bytes are missing in it")
    if total != num_listed:
        raise zipfile.BadZipFile(f"it lists {num_listed} of {total} members")
