"""Exact and near duplicates of items.

Korean copies differ in spacing, so texts are compared without it: word shingles give 0.18 for a sentence that space-free character
3-grams give 1.0. Near-duplicate stems are only looked for inside a fact, or among equal answers: questions about different facts share
their wording on purpose ("고혈압은 어느 과에서 보나요?", "저혈압은 ...").
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

from medllm.data.aihub.options import squeeze
from medllm.data.records import Record

_GRAM = 3
# a maths problem with another number is another problem, however alike they read
_STEM_KINDS = ("qa", "choice", "passage_choice")


def exact_key(record: Record) -> str:
    """Equal for copies of an item, whatever their spacing and the order of their options.

    Maths problems also need equal answers: with the figure gone, a twelfth of the questions read the same.
    """
    if record.text:
        return squeeze(record.text)
    last = record.must if record.kind == "solution" else ()
    return "\x1f".join(map(squeeze, (record.question, record.passage, *sorted(record.options), *last)))


def unique(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """First of every set of copies, and the rest. One question about two facts (one lay word, two terms) is kept for both."""
    seen: set[tuple[str, str]] = set()
    kept: list[Record] = []
    copies: list[Record] = []
    for record in records:
        key = (exact_key(record), record.fact_id)
        (copies if key in seen else kept).append(record)
        seen.add(key)
    return kept, copies


@lru_cache(maxsize=200_000)
def stem_grams(text: str) -> frozenset[str]:
    """Character 3-grams of a text without spaces, punctuation and case."""
    letters = "".join(c for c in unicodedata.normalize("NFC", text).casefold() if unicodedata.category(c)[0] not in "ZPC")
    return frozenset(letters[i : i + _GRAM] for i in range(max(1, len(letters) - _GRAM + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over that of the union."""
    common = len(left & right)
    return common / (len(left) + len(right) - common)


def _block(record: Record) -> tuple[str, ...]:
    """Only records of one block can be near-duplicates: same kind and same fact, or without a fact the same answer and passage."""
    if record.fact_id:
        return (record.kind, "fact", record.fact_id)
    return (record.kind, "answer", squeeze(" ".join(record.must) or record.answer), squeeze(record.passage))


def leaking(train: Sequence[Record], test: Iterable[Record], *, similarity: float) -> tuple[set[str], set[str]]:
    """Ids of training records that copy a test record, and of those whose question is a near-duplicate (3-gram Jaccard >= `similarity`)."""
    tests = list(test)
    exact = {exact_key(record) for record in tests}
    blocks: dict[tuple[str, ...], set[frozenset[str]]] = defaultdict(set)
    for record in tests:
        if record.kind in _STEM_KINDS:
            blocks[_block(record)].add(stem_grams(record.question))
    copies = {record.id for record in train if exact_key(record) in exact}
    near = set()
    for record in train:
        if record.id in copies or record.kind not in _STEM_KINDS:
            continue
        grams = stem_grams(record.question)
        for other in blocks.get(_block(record), ()):
            # the sizes alone bound the similarity from above
            if min(len(grams), len(other)) >= similarity * max(len(grams), len(other)) and jaccard(grams, other) >= similarity:
                near.add(record.id)
                break
    return copies, near
