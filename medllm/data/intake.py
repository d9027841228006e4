"""Every item of a raw folder, whatever it came as: a record, or why it is none. Nothing that was read is left uncounted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medllm.data.aihub.item import RejectedError, hint_of, parse_item
from medllm.data.aihub.read import read_item
from medllm.data.archives import MAX_ITEM_BYTES, Member, read_members
from medllm.data.archives.names import nfc
from medllm.data.key import KEY_FILE
from medllm.data.records import Record
from medllm.data.tables.item import TableRow
from medllm.data.tables.place import slug, split_of, table_name
from medllm.data.tables.read import dataset_of, read_row
from medllm.data.tables.rows import read_rows
from medllm.data.tables.source import Source, read_sources
from medllm.data.tally import UNKNOWN_SET
from medllm.errors import UserError

_TABLES = (".jsonl", ".csv", ".parquet")
_MAX_NAME = 80  # characters of an item's id in the quarantine: a broken id may be any text


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An item that is no record. `bad`: broken, for the quarantine; else left out by rule. `item`: its id, or "row 17" of a table."""

    dataset: str
    archive: str
    file: str
    item: str
    reason: str
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFile:
    """A file that holds no items: a picture, a manual."""

    archive: str
    file: str

    @property
    def suffix(self) -> str:
        """".png", in lower case."""
        return Path(self.file).suffix.lower()


Outcome = Record | Rejected | OtherFile


def read_items(raw: Path) -> Iterator[Outcome]:
    """One outcome for every item and every other file below `raw`, in a fixed order and constant memory.

    UserError: an archive or table that cannot be read to its end, or a source file that is wrong.
    """
    sources, taken = read_sources(raw)
    for member in read_members(raw, without=[KEY_FILE, *taken]):
        kind = Path(member.name).suffix.lower()
        if kind in _TABLES:
            yield from _table(member)
        elif kind == ".json":
            yield _json_item(member)
        else:
            yield OtherFile(archive=member.archive, file=member.name)
    for source in sources:
        yield from _source(source)


def _json_item(member: Member) -> Record | Rejected:
    stem = member.name.rpartition("/")[2].rpartition(".")[0]
    row: dict[str, Any] = {}
    try:
        if member.size > MAX_ITEM_BYTES:
            raise RejectedError("too_large")
        item = parse_item(member, member.read())
        row = item.row
        return _record(lambda: read_item(item), member.path)
    except RejectedError as error:
        name = str(row.get("qa_id", row.get("c_id", stem)))
        return _rejected(error, hint_of(member) or UNKNOWN_SET, member.archive, member.name, name)


def _table(member: Member) -> Iterator[Record | Rejected]:
    hint = hint_of(member)  # AI Hub delivers no tables, so one in its folder is of another set
    name, split, stem = table_name(member), split_of(member), slug(member.path.rpartition(".")[0])
    for number, row in read_rows(member):
        if isinstance(row, RejectedError):
            yield _rejected(row, hint or name, member.archive, member.name, f"row {number}")
            continue
        item = TableRow(row=row, dataset=name, place=f"{stem}-{number}", split=split)
        try:
            if hint:
                raise RejectedError("wrong_set")
            yield _record(lambda item=item: read_row(item), f"{member.path}:{number}")  # type: ignore[misc]
        except RejectedError as error:
            yield _rejected(error, hint or dataset_of(item), member.archive, member.name, f"row {number}")


def _source(source: Source) -> Iterator[Record | Rejected]:
    for item in source.rows():
        try:
            yield _record(lambda item=item: read_row(item), f"{source.file}:{item.place}")  # type: ignore[misc]
        except RejectedError as error:
            yield _rejected(error, dataset_of(item), "", source.file, f"row {item.place}")


def _record(adapt: Callable[[], Record], provenance: str) -> Record:
    """The adapter's record with its provenance; one that the schema refuses is rejected."""
    try:
        return replace(adapt(), provenance=provenance)
    except UserError as error:
        raise RejectedError("refused_by_schema") from error


def _rejected(error: RejectedError, dataset: str, archive: str, file: str, item: str) -> Rejected:
    return Rejected(dataset=dataset, archive=archive, file=file, item=nfc(item)[:_MAX_NAME], reason=error.reason, bad=error.bad)
