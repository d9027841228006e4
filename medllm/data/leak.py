"""The gate that no held-out fact is stated in any training text."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from medllm.data.aihub.options import squeeze
from medllm.data.key import KeyRow
from medllm.data.records import Record
from medllm.errors import UserError

_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+|\n+")
# what may follow a noun when it stands for itself and is not the front of a longer word (가려움 in 가려움증)
_PARTICLES = (
    "은|는|이|가|을|를|의|에|으로|로|과|와|도|만|란|라|인|일|임|입|까지|부터|보다|처럼|때|나|든|랑|마다|밖에|뿐|조차|요|여|였|한테|께|대로|같|하"
)  # fmt: skip


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


def find_leaks(records: Iterable[Record], facts: Iterable[HeldOutFact]) -> Iterator[tuple[str, str]]:
    """(record id, fact id) where a text states a held-out fact: its sentence, or its subject and an answer in one sentence."""
    watched = [(fact, _whole_word((fact.subject,)), _whole_word(fact.must)) for fact in facts]
    wordings = {_bare(sentence): fact.fact_id for fact, _, _ in watched for sentence in fact.sentences}
    nameless = [(_bare(sentence), fact.fact_id) for fact, _, _ in watched if not fact.subject for sentence in fact.sentences]
    for record in records:
        for sentence in _sentences(record):
            bare = _bare(sentence)
            if bare in wordings:
                yield record.id, wordings[bare]
            for fact, subject, must in watched:
                if fact.subject and fact.must and fact.subject in sentence and subject.search(sentence) and must.search(sentence):
                    yield record.id, fact.fact_id
            for wording, fact_id in nameless:
                if wording in bare:
                    yield record.id, fact_id


def check_leaks(records: Iterable[Record], facts: Iterable[HeldOutFact]) -> None:
    """UserError naming the first record and fact, and how many there are."""
    leaks = sorted(set(find_leaks(records, facts)))
    if leaks:
        record_id, fact_id = leaks[0]
        raise UserError(
            f"{record_id}: this training text states the held-out fact {fact_id} ({len(leaks)} such texts); hold out another fact"
        )


def _sentences(record: Record) -> Iterator[str]:
    """A question counts as one sentence with its right answer, each part of running text as its own."""
    if record.question:
        yield f"{record.question} {record.answer}"
    yield from filter(None, _SENTENCE_END.split(record.text))


def _whole_word(terms: Iterable[str]) -> re.Pattern[str]:
    choice = "|".join(sorted(map(re.escape, terms), key=len, reverse=True))
    return re.compile(rf"(?<![가-힣A-Za-z0-9])(?:{choice})(?=$|[^가-힣A-Za-z0-9]|{_PARTICLES})")


def _bare(sentence: str) -> str:
    return squeeze(sentence).strip(".!?\"'")
