"""The leak gates, on the files as they were written: whatever the split decided, they read it again."""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medllm.data.aihub.options import squeeze
from medllm.data.dedup import Sketch, digest, exact_key, sketch
from medllm.data.leak import FactWatch, HeldOutFact, refuse_questions, refuse_statements
from medllm.data.near import Neighbours, Signed, sign
from medllm.data.parallel import SecondProcess
from medllm.data.records import Record, parse_record, read_records

_BATCH = 256
TRAINING_FILES = ("corpus", "train")
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the gates keep of some lines: ids, the keys of item and passage, signatures; the records where facts are watched."""

    ids: list[str]
    keys: list[tuple[bytes, ...]]
    signed: list[Signed]


def look(lines: Sequence[bytes]) -> Looked:
    """Read lines as records and sign them."""
    records = [_record(line) for line in lines]
    return Looked(
        ids=[record.id for record in records],
        keys=[tuple(digest(text) for text in (exact_key(record), squeeze(record.passage)) if text) for record in records],
        signed=sign([sketch(record) for record in records]),
    )


def check_written(
    folder: Path, facts: Sequence[HeldOutFact], second: SecondProcess, *, similarity: float, document_similarity: float
) -> dict[str, tuple[int, int]]:
    """(checked, found) of every gate over corpus, train and test (.jsonl) of `folder`. UserError naming the first leak."""
    with ExitStack() as stack:
        written = _Written({name: folder / f"{name}.jsonl" for name in ("test", *TRAINING_FILES)}, stack)
        for looked in second.map(look, written.batches(["test"])):
            written.keep_test(looked)
        tests = len(written.ids)
        copies = [pair for looked in second.map(look, written.batches(TRAINING_FILES)) for pair in written.keep_training(looked)]
        near = written.neighbours.pairs(
            written.sketch, similarity=similarity, document_similarity=document_similarity, wanted=lambda low, high: low < tests <= high
        )
        refuse_questions([*copies, *((written.ids[high], written.ids[low]) for low, high in near)])
        trained = len(written.ids) - tests
    refuse_statements(_statements(folder, facts) if facts else ())
    return {"test_items_in_training_texts": (trained, 0), "held_out_facts_in_training_texts": (trained if facts else 0, 0)}


def _statements(folder: Path, facts: Sequence[HeldOutFact]) -> Iterator[Pair]:
    """(record id, fact id) of training texts that state a held-out fact."""
    watch = FactWatch(facts)
    for name in TRAINING_FILES:
        for record in read_records(folder / f"{name}.jsonl"):
            yield from ((record.id, fact_id) for fact_id in sorted(watch.stated(record)))


class _Written:
    """Records of the written files by running number: ids and signatures in memory, texts read again when two look alike."""

    def __init__(self, paths: dict[str, Path], stack: ExitStack) -> None:
        self.ids: list[str] = []
        self.neighbours = Neighbours()
        self._paths = paths
        self._files = {name: stack.enter_context(path.open("rb")) for name, path in paths.items()}
        self._places: list[tuple[int, str, array[int]]] = []  # first number, file, offsets; in the order of reading
        self._keys: dict[bytes, str] = {}

    def batches(self, names: Iterable[str]) -> Iterator[list[bytes]]:
        """Lines of some files, a few at a time."""
        first = len(self.ids)
        for name in names:
            offsets = array("Q")
            self._places.append((first, name, offsets))
            with self._paths[name].open("rb") as file:
                lines = _located(file, offsets)
                while batch := list(islice(lines, _BATCH)):
                    yield batch
            first += len(offsets)

    def keep_test(self, looked: Looked) -> None:
        """Remember the items and passages of the test set."""
        self._number(looked)
        for record_id, keys in zip(looked.ids, looked.keys, strict=True):
            for key in keys:
                self._keys.setdefault(key, record_id)

    def keep_training(self, looked: Looked) -> list[Pair]:
        """(id, test id) of records that equal a test item or hold its passage."""
        self._number(looked)
        found = zip(looked.ids, looked.keys, strict=True)
        return [(record_id, self._keys[key]) for record_id, keys in found for key in keys if key in self._keys]

    def _number(self, looked: Looked) -> None:
        first = len(self.ids)
        self.ids += looked.ids
        self.neighbours.add(looked.signed, range(first, len(self.ids)))

    def sketch(self, number: int) -> Sketch | None:
        """The sketch of a record that was kept."""
        first, name, offsets = next(place for place in reversed(self._places) if place[0] <= number)
        file = self._files[name]
        file.seek(offsets[number - first])
        return sketch(_record(file.readline()))


def _located(file: Iterable[bytes], offsets: "array[int]") -> Iterator[bytes]:
    offset = 0
    for line in file:
        offsets.append(offset)
        offset += len(line)
        yield line


def _record(line: bytes) -> Record:
    row = json.loads(line)
    return parse_record(row, where=str(row.get("id", "")))
