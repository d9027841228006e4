"""Suspected paraphrases of test questions in the training set: a figure of the data report, not a gate.

Copies are found by their characters; a paraphrase shares neither (Korean paraphrases have a median 3-gram Jaccard of 0.15). Without a
downloaded model what is left is the answer and the content words: a training question with the answer of a test question, and a fifth of
the content morphemes of the shorter one. On tests/data/paraphrases.jsonl, pairs written to have no wording in common and look-alikes about
another thing, the words alone have recall 0.30 and precision 0.23: the figure says that there is something to look at, never that there is
nothing. Two questions with facts in the key are left aside: with one fact they are paraphrases by design, with two they are none.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from medllm.data.sentences import morphemes
from medllm.data.staging import Note

_CONTENT_TAGS = ("NNG", "NNP", "VV", "VA", "XR", "SL", "SN", "MAG")
# verbs and nouns of asking, which any two questions share
_ASKING = frozenset("하 되 있 없 나오 알 주 보 어떻 어떤 좋 받 걸리 때 경우 것 다음 옳 알맞".split())  # noqa: SIM905
_OVERLAP = 0.2
_MOST_PAIRS = 20_000  # looked at; with more, those first by hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Pairs of a test and a training question with one answer, those looked at, those that share their words too."""

    pairs: int
    checked: int
    suspected: int


def content_words(text: str) -> frozenset[str]:
    """Nouns, verbs, adjectives, adverbs, foreign words and numbers, in their canonical form."""
    return frozenset(m.form for m in morphemes(text) if m.tag in _CONTENT_TAGS and m.form not in _ASKING)


def look_alike(left: frozenset[str], right: frozenset[str]) -> bool:
    """Whether the shorter of two questions has a fifth of its content words in the other."""
    return bool(left and right) and len(left & right) >= _OVERLAP * min(len(left), len(right))


def suspect(
    notes: Sequence[Note], train: Sequence[int], test: Sequence[int], question_of: Callable[[int], str]
) -> Suspicion:  # fmt: skip
    """Count suspected paraphrases; `question_of` reads the question of a note. Multiple choice counts by the text of its answer."""
    by_answer: dict[bytes, list[int]] = defaultdict(list)
    for number in train:
        if notes[number].answer and notes[number].kind in ("qa", "choice"):
            by_answer[notes[number].answer].append(number)
    pairs = [
        (trained, tested)
        for tested in test
        if notes[tested].kind in ("qa", "choice")
        for trained in by_answer.get(notes[tested].answer, ())
        if not (notes[tested].fact_id and notes[trained].fact_id)
    ]
    looked = sorted(pairs, key=lambda pair: _place(notes[pair[0]].id, notes[pair[1]].id))[:_MOST_PAIRS]

    @cache
    def words(number: int) -> frozenset[str]:
        return content_words(question_of(number))

    suspected = sum(look_alike(words(trained), words(tested)) for trained, tested in looked)
    return Suspicion(pairs=len(pairs), checked=len(looked), suspected=suspected)


def _place(trained: str, tested: str) -> bytes:
    return hashlib.sha256(f"{trained}\x1f{tested}".encode()).digest()
