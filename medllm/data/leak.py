"""The gates on what prepare_data has written: no test question, and no held-out fact, in any training text."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from medllm.data.aihub.options import squeeze
from medllm.data.key import KeyRow
from medllm.data.records import Record
from medllm.errors import UserError

_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+|\n+")
# what may follow a noun when it stands for itself and is not the front of a longer word (가려움 in 가려움증)
_PARTICLES = (
    "은|는|이|가|을|를|의|에|으로|로|과|와|도|만|란|라|인|일|임|입|까지|부터|보다|처럼|때|나|든|랑|마다|밖에|뿐|조차|요|여|였|한테|께|대로|같|하"
)  # fmt: skip
_HEAD = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutFact:
    """A fact of the open-book test: its subject ("" when the key does not say), the terms that answer it, sentences that state it."""

    fact_id: str
    subject: str
    must: tuple[str, ...]
    sentences: tuple[str, ...]


def held_out_facts(key: Mapping[str, KeyRow]) -> list[HeldOutFact]:
    """The held-out facts of a key file. Context about other facts is left aside: a sentence states the fact if it has its terms."""
    facts: dict[str, HeldOutFact] = {}
    for row in key.values():
        if row.fields.get("held_out") == "fact":
            must, context = row.fields.get("must", ()), row.fields.get("context", ())
            stated = tuple(text for text in context if row.subject in text and (not must or any(term in text for term in must)))
            fact_id = str(row.fields.get("fact_id", ""))
            facts[f"{fact_id}\x1f{must}"] = HeldOutFact(fact_id=fact_id, subject=row.subject, must=must, sentences=stated)
    return [facts[name] for name in sorted(facts)]


class _Index(Generic[T]):
    """Which of many words occur in a text, at the cost of its length: words are looked up by their first two characters."""

    def __init__(self, pairs: Iterable[tuple[str, T]]) -> None:
        self._words: dict[str, list[tuple[str, T]]] = defaultdict(list)
        for word, value in pairs:
            self._words[word[:_HEAD]].append((word, value))

    def within(self, text: str) -> Iterator[T]:
        if self._words:
            heads = {text[i : i + _HEAD] for i in range(len(text))} | set(text)
            for head in heads & self._words.keys():
                for word, value in self._words[head]:
                    if word in text:
                        yield value


class FactWatch:
    """Finds statements of held-out facts: a sentence of theirs, or a subject and an answer in one sentence."""

    def __init__(self, facts: Iterable[HeldOutFact]) -> None:
        facts = list(facts)
        self._by_wording = {_bare(sentence): fact.fact_id for fact in facts for sentence in fact.sentences}
        self._by_subject = _Index(
            (fact.subject, (fact.fact_id, _whole_word((fact.subject,)), _whole_word(fact.must)))
            for fact in facts
            if fact.subject and fact.must
        )
        self._nameless = _Index((_bare(sentence), fact.fact_id) for fact in facts if not fact.subject for sentence in fact.sentences)
        self._idle = not facts

    def stated(self, record: Record) -> set[str]:
        """Ids of the held-out facts that a record states."""
        found: set[str] = set()
        for sentence in () if self._idle else _sentences(record):
            bare = _bare(sentence)
            if bare in self._by_wording:
                found.add(self._by_wording[bare])
            named = self._by_subject.within(sentence)
            found.update(fact_id for fact_id, subject, must in named if subject.search(sentence) and must.search(sentence))
            found.update(self._nameless.within(bare))
        return found


def refuse_statements(leaks: Iterable[tuple[str, str]]) -> None:
    """UserError naming the first (record id, fact id), and how many there are."""
    ordered = sorted(set(leaks))
    if ordered:
        record_id, fact_id = ordered[0]
        raise UserError(
            f"{record_id}: this training text states the held-out fact {fact_id} ({len(ordered)} such texts); hold out another fact"
        )


def refuse_questions(leaks: Iterable[tuple[str, str]]) -> None:
    """UserError naming the first (training id, test id) that are alike, and how many there are."""
    ordered = sorted(set(leaks))
    if ordered:
        trained, tested = ordered[0]
        raise UserError(
            f"{trained}: this training item is in text a copy of the test item {tested} ({len(ordered)} such pairs); "
            "run prepare_data again, and report it if it stays"
        )


def _sentences(record: Record) -> Iterator[str]:
    """A question counts as one sentence with its right answer, each part of running text as its own.

    In a chat each part of a turn counts, and the last part of a turn with the first of the next: where a question meets its answer.
    """
    if record.question:
        yield f"{record.question} {record.answer}"
    last = ""
    for text in (record.text, *(text for _, text in record.messages)):
        parts = list(filter(None, _SENTENCE_END.split(text)))
        if last and parts:
            yield f"{last} {parts[0]}"
        yield from parts
        last = parts[-1] if parts else ""


def _whole_word(terms: Iterable[str]) -> re.Pattern[str]:
    choice = "|".join(sorted(map(re.escape, terms), key=len, reverse=True))
    return re.compile(rf"(?<![가-힣A-Za-z0-9])(?:{choice})(?=$|[^가-힣A-Za-z0-9]|{_PARTICLES})")


def _bare(sentence: str) -> str:
    return squeeze(sentence).strip(".!?\"'")
