"""Names that are said as sentences: "가슴이 아픔" of a table is found in "가슴이 너무 아프셔서", "소화가 안 됨" in "소화도 잘 안되고".

A phrase is the stems of a name without particles, endings and fillers, as one string: the analyser may cut a text elsewhere than the name
(소변보다, 소변 보다). It is read morpheme by morpheme; adverbs, numbers, and nouns of time and place may stand between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medllm.graph.morphemes import Morpheme, content_morphemes

_MAX_SKIPPED = 3  # skippable morphemes before each part of a phrase
_SHORTEST = 2  # letters, or morphemes
_TOO_COMMON = frozenset(("아프",))
_SHORTEST_NOUN = 3  # of a noun in -ㅁ: 땀 or 구름 is no verb
_FINALS, _MIEUM, _BIEUP = 28, 16, 17  # of a Hangul syllable: final consonants, ㅁ, ㅂ


def phrases_of(name: str) -> set[str]:
    """The phrases of a name; none for a plain noun, which is found as written, and a lone common verb, which says too little.

    A name like "피 섞인 기침" is also said as "기침에 피가 섞임", and a noun like 어지럼증 or 코골이 as its verb (어지럽다, 코를 골다).
    """
    morphemes = [morpheme for morpheme in content_morphemes(name) if not morpheme.ends]
    essential = [morpheme for morpheme in morphemes if not morpheme.filler]
    if len(essential) == 1 and essential[0].predicate and len(essential[0].form) < _SHORTEST:
        essential = morphemes[: morphemes.index(essential[0]) + 1]  # 빙빙 도는 느낌: without its adverb it would be any turning
    if not any("가" <= char <= "힣" for morpheme in essential for char in morpheme.form):
        return set()
    if not _is_nominal(name, essential[-1]):
        return set()
    if len(essential) == 1:
        return {essential[0].key} if _says_enough(essential[0]) else _verb_of(name)
    if not (" " in name or any(morpheme.predicate for morpheme in essential)):
        return _verb_of(name)
    return {"".join(morpheme.key for morpheme in order) for order in _orders(essential)}


def _is_nominal(name: str, last: Morpheme) -> bool:
    """A name ends in a noun, a root, -ㅁ or -기: "밥 먹고 나서" is an adverb."""
    if not last.predicate or (last.end == len(name) and not last.modifies):
        return True
    return name[-1] == "기" or ("가" <= name[-1] <= "힣" and (ord(name[-1]) - ord("가")) % _FINALS == _MIEUM)


def _says_enough(only: Morpheme) -> bool:
    """Whether one word is a name: an adjective (메스껍다), a verb with 하다 (토하다) or a long one (접질리다); 걸리다 is not."""
    length = only.end - only.start
    if not only.predicate or only.changed or only.form in _TOO_COMMON or length < _SHORTEST:
        return False
    return only.adjective or length > len(only.form) or length > _SHORTEST


def _orders(morphemes: list[Morpheme]) -> Iterator[list[Morpheme]]:
    """The name as it is, and its last relative clause as a sentence: N1 V-ㄴ N2 -> N1 N2 V, N2 N1 V."""
    yield morphemes
    verbs = [at for at, morpheme in enumerate(morphemes[:-1]) if morpheme.modifies]
    if not verbs:
        return
    before, verb, after = morphemes[: verbs[-1]], morphemes[verbs[-1]], morphemes[verbs[-1] + 1 :]
    # of two words the verb alone must tell much: "먹던 약" is not said as "약을 먹다"
    tells = verb.adjective or (not verb.changed and len(after[0].form) >= _SHORTEST)
    plain = not any(morpheme.predicate and not morpheme.changed for morpheme in after)
    if plain and (before or len(after) > 1 or tells):
        yield from ([*before, *after, verb], [*after, *before, verb])


def _verb_of(noun: str) -> set[str]:
    """어지럼증 -> 어지럽, 코골이 -> 코골: the verb from which a noun in -ㅁ or -이 is made, if the analyser knows one."""
    stem = noun.removesuffix("증")
    if len(stem) < _SHORTEST_NOUN or not "가" <= stem[-1] <= "힣":
        return set()
    verbs = [stem[:-1]] if stem[-1] == "이" else []
    if (ord(stem[-1]) - ord("가")) % _FINALS == _MIEUM:
        open_end = chr(ord(stem[-1]) - _MIEUM)
        verbs = [stem[:-1] + open_end, stem[:-1] + chr(ord(open_end) + _BIEUP)]
    for verb in verbs:
        found = content_morphemes(verb + "다")
        if found and found[-1].predicate and found[-1].end == len(verb) and all(map(_is_plain, found)):
            return {"".join(morpheme.key for morpheme in found)}
    return set()


def _is_plain(morpheme: Morpheme) -> bool:
    return not (morpheme.ends or morpheme.negated or morpheme.skippable)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A phrase read so far: its last morpheme, how many letters were read over, whether it has a predicate, whether it is torn apart."""

    last: int
    key: str
    skipped: int
    says: bool
    loose: bool


class Phrases:
    """A set of phrases, each with the id of its node."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        """`nodes`: phrase -> node id."""
        self._nodes = nodes
        self._begins = {phrase[:length] for phrase in nodes for length in range(1, len(phrase) + 1)}

    def find(self, text: str) -> Iterator[tuple[int, int, str, int]]:
        """(start, end, node id, letters read over) of the phrases in an NFC text; they may overlap. No phrases: no analysis."""
        morphemes = content_morphemes(text) if self._nodes else []
        for first, morpheme in enumerate(morphemes):
            if morpheme.key in self._begins:
                for read in self._readings(morphemes, first):
                    if read.last > first or morpheme.predicate:
                        yield morpheme.start, morphemes[read.last].end, self._nodes[read.key], read.skipped
            if morpheme.modifies and first + 1 < len(morphemes):  # 막힌 코 = 코가 막힘
                key = morphemes[first + 1].key + morpheme.key
                if key in self._nodes:
                    yield morpheme.start, morphemes[first + 1].end, self._nodes[key], 0

    def _readings(self, morphemes: Sequence[Morpheme], first: int) -> Iterator[_Reading]:
        """Every phrase that begins with this morpheme; nouns alone are one only with nothing, and no topic particle, between them."""
        begin = morphemes[first]
        reading = [_Reading(last=first, key=begin.key, skipped=0, says=begin.predicate, loose=False)]
        while reading:
            read = reading.pop()
            if read.key in self._nodes and (read.says or not read.loose):
                yield read
            for following in self._following(morphemes, read.last):
                between = morphemes[read.last + 1 : following]
                skipped = read.skipped + sum(morpheme.end - morpheme.start for morpheme in between)
                loose = read.loose or bool(between) or morphemes[read.last].topic
                says = read.says or morphemes[following].predicate
                for said, cost in ((morphemes[following].key, 0), (morphemes[following].like, 1)):
                    if said and read.key + said in self._begins:
                        reading.append(_Reading(last=following, key=read.key + said, skipped=skipped + cost, says=says, loose=loose))

    @staticmethod
    def _following(morphemes: Sequence[Morpheme], at: int) -> Iterator[int]:
        """Where the phrase can go on: at the next morpheme, or behind skippable ones and one other predicate (배가 고프고 아파요)."""
        predicates = 0
        for following in range(at + 1, min(len(morphemes), at + 2 + _MAX_SKIPPED)):
            morpheme = morphemes[following]
            if morpheme.ends:
                return
            yield following
            predicates += morpheme.predicate and not morpheme.skippable
            if not morpheme.skippable and (not morpheme.predicate or predicates > 1):
                return
