"""The entries of an uncompressed tar, as the AI Hub API sends them: ranges of the file."""

import tarfile
from contextlib import ExitStack
from typing import IO

from medllm.data.archives.member import BROKEN, Entry, reason
from medllm.data.archives.names import inside, is_litter, tar_name
from medllm.data.archives.streams import join_ranges
from medllm.errors import UserError


def tar_entries(archive: str, file: IO[bytes], stack: ExitStack) -> list[Entry]:
    """Entries in the order of the tar. UserError: damaged, cut off, compressed, or a link in it."""
    try:
        opened = stack.enter_context(tarfile.TarFile(fileobj=file, mode="r", encoding="utf-8", errors="surrogateescape"))
        infos = opened.getmembers()
        _check_end(file, opened.offset)
    except BROKEN as error:
        raise UserError(f"{archive}: not a whole tar archive ({reason(error)}); download it again") from error
    return [_entry(archive, file, info) for info in infos]


def _entry(archive: str, file: IO[bytes], info: tarfile.TarInfo) -> Entry:
    name = inside(tar_name(info.name), archive)
    if not info.isdir() and (not info.isfile() or info.issparse()):
        raise UserError(f"{archive}: {name} is a link or a device and not a file; unpack the archive and put the files there")

    def view() -> IO[bytes]:
        return join_ranges([(file, info.offset_data, info.size)], owned=False)

    return Entry(name=name, size=info.size, skip=info.isdir() or is_litter(name), open=view, view=view)


def _check_end(file: IO[bytes], at: int) -> None:
    """ReadError unless the tar ends in zeros only: tarfile takes a damaged header in the middle for the end."""
    file.seek(at)
    if len(block := file.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE or any(block):
        raise tarfile.ReadError("its end is missing, or a header in it is damaged")
    while block := file.read(2**16):
        if any(block):
            raise tarfile.ReadError("it goes on after its end")
