"""Pass 1: every item is masked and written to a staging file; what stays in memory of it is a note without text, and a signature."""

import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from medllm.data.aihub.options import squeeze
from medllm.data.dedup import answer_key, digest, exact_key, options_key, sketch
from medllm.data.near import Neighbours, Signed, sign
from medllm.data.pii import mask_record
from medllm.data.records import Record, parse_record

AIHUB_PREFIX = "aihub_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the decisions and the report need of a record: flags, lengths and 16-byte digests, no text."""

    id: str
    dataset: str
    role: str
    kind: str
    split: Literal["train", "validation"]
    archive: str
    file: str
    fact_id: str
    held_out: str
    cluster: str
    eval_only: bool
    content: bytes
    exact: bytes
    answer: bytes
    passage: bytes
    characters: int
    options: bytes
    answer_index: int | None
    asks: bool
    only_text: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some records after masking: their lines, notes and signatures, PII hits by (set, kind), sets whose hits must be reported."""

    lines: list[bytes]
    notes: list[Note]
    pii: Counter[tuple[str, str]]
    owing: set[str]
    signed: list[Signed]


def archive_of(provenance: str) -> str:
    """The archive, or the folder of a plain file, of `<archive>!<member>` and `<folder>/<file>`."""
    return provenance.rpartition("!" if "!" in provenance else "/")[0]


def characters_of(record: Record) -> int:
    """Characters of everything a model could learn from."""
    texts = (record.passage, record.question, *record.options, record.answer, record.text, *(text for _, text in record.messages))
    return sum(map(len, texts))


def take_batch(records: Sequence[Record]) -> Batch:
    """Mask, sign and note a batch of records: the costly part of pass 1, and free of state, so that another process may do it."""
    masked: list[Record] = []
    pii: Counter[tuple[str, str]] = Counter()
    owing: set[str] = set()
    for record in records:
        clean, hits = mask_record(record)
        masked.append(clean)
        if hits:
            pii.update({(record.dataset, kind): count for kind, count in hits.items()})
            if record.dataset.startswith(AIHUB_PREFIX) and not record.redistributable:
                owing.add(record.dataset)
    lines = [record.to_json().encode("utf-8") + b"\n" for record in masked]
    return Batch(
        lines=lines,
        notes=[_note(record) for record in masked],
        pii=pii,
        owing=owing,
        signed=sign([sketch(record) for record in masked]),
    )


def _content(record: Record) -> bytes:
    """Equal for one item found in two places."""
    turns = (f"{role}:{text}" for role, text in record.messages)
    texts = (record.question, record.answer, record.passage, record.text, str(record.answer_index), *record.options, *turns)
    return digest("\x1f".join(texts))


def _note(record: Record) -> Note:
    archive = archive_of(record.provenance)
    return Note(
        id=record.id, dataset=record.dataset, role=record.role, kind=record.kind, split=record.source_split, archive=archive,
        file=record.provenance[len(archive) + bool(archive) :], fact_id=record.fact_id, held_out=record.held_out, cluster=record.cluster,
        eval_only=record.eval_only, content=_content(record), exact=digest(exact_key(record)), answer=answer_key(record),
        passage=digest(squeeze(record.passage)) if record.passage else b"", characters=characters_of(record), options=options_key(record),
        answer_index=record.answer_index, asks=bool(record.question or record.messages),
        only_text=bool(record.text) and not (record.question or record.answer or record.options or record.must or record.context),
    )  # fmt: skip


class Staging:
    """The staging file and the notes of its records. A context manager; the file is deleted at the end."""

    def __init__(self, path: Path) -> None:
        self.notes: list[Note] = []
        self.pii: Counter[tuple[str, str]] = Counter()
        self.owing: set[str] = set()
        self._path = path
        self._offsets = array("Q")
        self._by_id: dict[str, int] = {}
        self._neighbours = Neighbours()
        self._file = path.open("w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink()

    def add(self, batch: Batch) -> list[tuple[Note, bool]]:
        """Write a batch. Returns the notes of records whose id was there before, each with whether it is the same item."""
        twice: list[tuple[Note, bool]] = []
        numbers = array("q")
        for note, line in zip(batch.notes, batch.lines, strict=True):
            first = self._by_id.get(note.id)
            if first is not None:
                twice.append((note, self.notes[first].content == note.content))
                numbers.append(-1)
                continue
            number = self._by_id[note.id] = len(self.notes)
            numbers.append(number)
            self.notes.append(note)
            self._offsets.append(self._file.tell())
            self._file.write(line)
        self._neighbours.add(batch.signed, numbers)
        self.pii += batch.pii
        self.owing |= batch.owing
        return twice

    def close_reading(self) -> None:
        """Number everything by id from here on, so that the order of the archives does not matter."""
        order = sorted(range(len(self.notes)), key=lambda number: self.notes[number].id)
        place = array("q", [0]) * len(order)
        for new, old in enumerate(order):
            place[old] = new
        self.notes = [self.notes[old] for old in order]
        self._offsets = array("Q", (self._offsets[old] for old in order))
        self._neighbours.renumber(place)
        self._by_id.clear()

    def record(self, number: int) -> Record:
        """The masked record of a note, read back from disk."""
        self._file.seek(self._offsets[number])
        note = self.notes[number]
        return parse_record(json.loads(self._file.readline()), where=note.id)

    def line(self, number: int) -> bytes:
        """Its line, as it will stand in train.jsonl or test.jsonl."""
        self._file.seek(self._offsets[number])
        return self._file.readline()

    def near(self, *, similarity: float, document_similarity: float) -> list[tuple[int, int]]:
        """Pairs of notes whose texts are alike. The signatures are forgotten after it."""
        pairs = self._neighbours.pairs(
            lambda number: sketch(self.record(number)),
            similarity=similarity, document_similarity=document_similarity, wanted=lambda low, high: True,
        )  # fmt: skip
        found = sorted(pairs)
        self._neighbours = Neighbours()
        return found
