"""Rows of a JSONL, CSV or Parquet file, one after the other in constant memory."""

import codecs
import csv
import json
from collections.abc import Iterator
from typing import IO, Any

from medllm.data.aihub.item import RejectedError
from medllm.data.archives import MAX_ITEM_BYTES, Member
from medllm.errors import UserError

Row = dict[str, Any]
Numbered = Iterator[tuple[int, Row | RejectedError]]
_BATCH_ROWS = 256


def read_rows(member: Member) -> Numbered:
    """Number (the line in JSONL and CSV, from 1 in Parquet) and row, or why it is none. UserError: the file as a whole is broken."""
    kind = member.name.lower().rpartition(".")[2]
    with member.open() as file:
        yield from {"jsonl": _jsonl_rows, "csv": _csv_rows, "parquet": _parquet_rows}[kind](member, file)


def _jsonl_rows(_: Member, file: IO[bytes]) -> Numbered:
    number = 0
    while line := file.readline(MAX_ITEM_BYTES + 1):
        number += 1
        if len(line) > MAX_ITEM_BYTES:
            while not line.endswith(b"\n") and (line := file.readline(MAX_ITEM_BYTES)):
                continue
            yield number, RejectedError("too_large")
        elif line.strip() not in (b"", codecs.BOM_UTF8):
            yield number, _parsed(line)


def _parsed(line: bytes) -> Row | RejectedError:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return RejectedError("not_utf8")
    except (ValueError, RecursionError):
        return RejectedError("not_json")
    return row if isinstance(row, dict) else RejectedError("unknown_shape")


def _csv_rows(member: Member, file: IO[bytes]) -> Numbered:
    csv.field_size_limit(MAX_ITEM_BYTES)
    reader = csv.reader(codecs.getreader("utf-8-sig")(file), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) != len(header) or "" in header:
            raise UserError(f"{member.path}:1: a column has no name, or the name of another; write one name for each column")
        for cells in reader:
            if len(cells) == len(header):
                yield reader.line_num, dict(zip(header, cells, strict=True))
            elif cells:
                yield reader.line_num, RejectedError("wrong_number_of_cells")
    except csv.Error as error:
        raise UserError(f"{member.path}:{reader.line_num}: not readable as CSV ({error}); correct the quotes of this row") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{member.path}:{reader.line_num + 1}: not UTF-8; save the file as UTF-8") from error


def _parquet_rows(member: Member, file: IO[bytes]) -> Numbered:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    number = 0
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{member.path}: not readable as Parquet ({' '.join(str(error).split())}); download it again") from error
