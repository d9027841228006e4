"""Who may learn from what: official split or one by hash, duplicates, clusters, held-out facts, calibration set."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medllm.data.staging import AIHUB_PREFIX, Note
from medllm.errors import UserError

Split = Literal["train", "validation"]

TRAIN_KINDS = ("qa", "choice", "solution", "chat")
_CALIBRATION_KINDS = ("qa", "choice", "solution")
CORPUS_KINDS = ("passage_choice", "solution", "dialogue", "statement")
LEAK_REASONS = (
    "held_out_fact", "copy_of_test_item", "near_duplicate_of_test_question", "near_duplicate_of_test_text", "cluster_of_test_item",
    "passage_of_test_item",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of every note, by its number: its part, its cluster (the first id of it; "" for a cluster of one), why it is dropped."""

    parts: Sequence[Split]
    clusters: Sequence[str]
    dropped: Mapping[int, str]
    hashed: Sequence[str]

    def kept(self, part: str) -> list[int]:
        """Numbers of one part that are not dropped, in the order of ids."""
        return [number for number, own in enumerate(self.parts) if own == part and number not in self.dropped]


def decide(notes: Sequence[Note], near: Iterable[tuple[int, int]], *, test_share: float) -> Decision:
    """Split and drop. Notes and pairs are by number, the notes in the order of their ids.

    Official validation is the test set. A set of no official split (none of its items is validation) is split by the hash of its
    clusters, `test_share` of them to the test set. A training item goes when it copies a test item or shares its cluster, its passage, its
    fact (if that is held out), or when it says the same as an earlier one.
    """
    pairs = sorted((min(pair), max(pair)) for pair in near)
    clusters = _clusters(notes, pairs)
    hashed = _without_split(notes)
    parts = [
        _part(cluster or note.id, test_share) if note.dataset in hashed else note.split
        for note, cluster in zip(notes, clusters, strict=True)
    ]
    dropped = _copies(notes, parts)
    test = [number for number, part in enumerate(parts) if part == "validation" and number not in dropped]
    reasons = _TestSide(notes, test, pairs, clusters)
    passages: set[bytes] = set()
    for number, note in enumerate(notes):
        if parts[number] == "train" and number not in dropped:
            reason = reasons.why(number) or ("passage_twice" if note.passage and note.passage in passages else "")
            passages.add(note.passage)
            if reason:
                dropped[number] = reason
    for first, second in pairs:
        kept = {first, second}.isdisjoint(dropped) and parts[first] == parts[second] == "train"
        if kept and _says_the_same(notes[first], notes[second]):
            dropped[second] = "near_duplicate"
    return Decision(parts=parts, clusters=clusters, dropped=dropped, hashed=sorted(hashed))


def _without_split(notes: Sequence[Note]) -> set[str]:
    """Sets that come without a validation part. AI Hub's always have one: there it was not downloaded."""
    splits: dict[str, set[str]] = defaultdict(set)
    for note in notes:
        splits[note.dataset].add(note.split)
    return {dataset for dataset, found in splits.items() if found == {"train"} and not dataset.startswith(AIHUB_PREFIX)}


def _part(cluster: str, test_share: float) -> Split:
    """By the hash of the cluster alone, so that one more item moves no other."""
    place = int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:8], "big") / 2**64
    return "validation" if place < test_share else "train"


def _clusters(notes: Sequence[Note], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Items that are alike, have one passage or are put together by their source, and what is alike to those: id of the first.

    "" for an item alone.
    """
    parent = list(range(len(notes)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[tuple[str, str] | bytes, int] = {}
    for number, note in enumerate(notes):
        shared: list[tuple[str, str] | bytes] = [note.exact]
        if note.cluster:
            shared.append((note.dataset, note.cluster))
        if note.passage:
            shared.append(note.passage)
        for key in shared:
            low, high = sorted((root(number), root(first.setdefault(key, number))))
            parent[high] = low
    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    roots = [root(number) for number in range(len(notes))]
    sizes = Counter(roots)
    return [notes[top].id if sizes[top] > 1 else "" for top in roots]


def _copies(notes: Sequence[Note], parts: Sequence[str]) -> dict[int, str]:
    """All but the first of every set of copies in a part. One question about two facts (one lay word, two terms) is kept for both."""
    seen: set[tuple[str, bytes, str]] = set()
    dropped: dict[int, str] = {}
    for number, note in enumerate(notes):
        key = (parts[number], note.exact, note.fact_id)
        if key in seen:
            dropped[number] = "duplicate"
        seen.add(key)
    return dropped


class _TestSide:
    """Everything about the test set that a training item may not share."""

    def __init__(self, notes: Sequence[Note], test: Sequence[int], pairs: Iterable[tuple[int, int]], clusters: Sequence[str]) -> None:
        inside = set(test)
        self._notes, self._cluster_of = notes, clusters
        self._facts = {notes[number].fact_id for number in test if notes[number].held_out == "fact"} - {""}
        self._copies = {notes[number].exact for number in test}
        self._passages = {notes[number].passage for number in test} - {b""}
        self._clusters = {clusters[number] for number in test} - {""}
        self._near = {b if a in inside else a for a, b in pairs if (a in inside) != (b in inside)}

    def why(self, number: int) -> str:
        """Why a training item has to go, or ""."""
        note = self._notes[number]
        if note.held_out == "fact" or note.fact_id in self._facts:
            return "held_out_fact"
        if note.exact in self._copies:
            return "copy_of_test_item"
        if note.passage in self._passages:
            return "passage_of_test_item"
        if number in self._near:
            return "near_duplicate_of_test_question" if note.asks else "near_duplicate_of_test_text"
        return "cluster_of_test_item" if self._cluster_of[number] in self._clusters else ""


def _says_the_same(one: Note, other: Note) -> bool:
    return (one.kind, one.fact_id, one.answer, one.options) == (other.kind, other.fact_id, other.answer, other.options)


def choose_calibration(notes: Sequence[Note], train: Iterable[int], *, count: int, seed: int) -> list[int]:
    """`count` of the training questions, the roles taking turns, in an order by hash. UserError: there are fewer."""
    queues: dict[str, list[int]] = defaultdict(list)
    asked = [number for number in train if notes[number].kind in _CALIBRATION_KINDS]
    for number in sorted(asked, key=lambda number: hashlib.sha256(f"{seed}:{notes[number].id}".encode()).hexdigest()):
        queues[notes[number].role].append(number)
    if count > len(asked):
        raise UserError(f"data.num_calibration={count}, but there are {len(asked)} training items; lower it")
    turns = sorted((place, role) for role, queue in queues.items() for place in range(len(queue)))
    return [queues[role][place] for place, role in turns[:count]]
