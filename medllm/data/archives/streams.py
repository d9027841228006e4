"""Archives in archives as seekable files in constant memory: ranges of other files, and compressed members."""

import io
from collections.abc import Callable, Sequence
from typing import IO

_BUFFER_BYTES = 2**16
_CHUNK_BYTES = 2**18
_END_BYTES = 4 * 2**20  # the list of members at the end of a zip is read first: kept, so that it costs no second pass


def join_ranges(ranges: Sequence[tuple[IO[bytes], int, int]], *, owned: bool) -> IO[bytes]:
    """Byte ranges (file, start, size) of other files as one file. `owned` files are closed with it."""
    return io.BufferedReader(_Ranges(ranges, owned), buffer_size=_BUFFER_BYTES)


def inflate(open_member: Callable[[], IO[bytes]], size: int) -> IO[bytes]:
    """A compressed member of `size` bytes as a seekable file: forward by reading on, backward by starting again.

    The member is read once to its end at first, which tests its checksum; its last 4 MiB stay in memory.
    """
    return io.BufferedReader(_Inflated(open_member, size), buffer_size=_BUFFER_BYTES)


class _Seekable(io.RawIOBase):
    """Position and size of a file that is read in `readinto`."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        if target < 0:
            raise OSError("seek before the start")  # what zipfile expects of a file too short to hold a directory
        self._at = target
        return target


class _Ranges(_Seekable):
    def __init__(self, ranges: Sequence[tuple[IO[bytes], int, int]], owned: bool) -> None:
        super().__init__(sum(size for _, _, size in ranges))
        self._ranges, self._owned = ranges, owned

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        offset = self._at
        for file, start, size in self._ranges:
            if offset < size:
                file.seek(start + offset)
                data = file.read(min(len(buffer), size - offset))
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            offset -= size
        return 0

    def close(self) -> None:
        if self._owned and not self.closed:
            for file, _, _ in self._ranges:
                file.close()
        super().close()


class _Inflated(_Seekable):
    def __init__(self, open_member: Callable[[], IO[bytes]], size: int) -> None:
        super().__init__(size)
        self._open = open_member
        self._end_start = max(0, size - _END_BYTES)
        self._stream, self._stream_at = open_member(), 0
        self._skip_to(self._end_start)
        chunks = []
        while chunk := self._stream.read(_CHUNK_BYTES):
            chunks.append(chunk)
            self._stream_at += len(chunk)
        if self._stream_at != size:
            raise EOFError("ends early")
        self._end = b"".join(chunks)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at >= self._end_start:
            first = self._at - self._end_start
            data = self._end[first : first + len(buffer)]
        else:
            if self._at < self._stream_at:
                self._stream.close()
                self._stream, self._stream_at = self._open(), 0
            self._skip_to(self._at)
            data = self._stream.read(min(len(buffer), self._end_start - self._at))
            self._stream_at += len(data)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def _skip_to(self, target: int) -> None:
        while self._stream_at < target:
            skipped = len(self._stream.read(min(_CHUNK_BYTES, target - self._stream_at)))
            if not skipped:
                raise EOFError("ends early")
            self._stream_at += skipped
