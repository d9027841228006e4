"""Reading drills: questions whose answer stands only in the facts given with them.

A small model trained on true facts answers from memory and never looks at what it is given. Here subjects (and most objects) are invented,
so that memory cannot help and nothing false about a real disease or drug is ever stated (entity substitution: Longpre et al. 2021, arXiv
2109.05052). They are not medical items: they belong to the Korean reading part.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from medllm.data.knowledge import Fact, Knowledge, Relation
from medllm.data.sample.forms import FORMS, answer, fill, statement
from medllm.data.sample.items import ChatItem

DATASET = "reading"
_QUESTIONS, _FACTS = 3, 3
_INVENTED_OBJECTS = 0.8  # the rest are objects of the tables, so that their words are copied too
_SYLLABLES = (
    "가거고구그기나너노누니다더도두드디라러로루르리마머모무미바버보부비사서소수스시아어오우이자저조주지차초추치카코쿠키타토투티파포푸피하호후희"
    "강경공관광군금길남담덕동란람량련명문민방백범병봉산상석선설성송순식신심안양연영용운원윤은인임장재전정종준중진창천철청춘충태택평학한해향"
    "현형혜홍환황훈"
)
# how an invented name of each kind ends, so that it looks like one: (subjects, objects)
_ENDINGS: dict[Relation, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "department": (("병", "증", "염", "증후군", ""), ("과",)),
    "symptom": (("병", "증", "염", "증후군"), ("통", " 부종", " 저하", "감")),
    "test": (("병", "증", "염", ""), (" 검사", " 촬영", "경")),
    "symptom_department": (("통", "감", "증", ""), ("과",)),
    "drug_class": (("민", "정", "린", "신", "졸", "핀"), (" 계열 약", "제", " 차단제")),
    "test_purpose": ((" 검사", "검사", " 촬영"), ("의 상태", " 기능", "의 농도", "의 모양")),
    "procedure_purpose": (("술", " 수술", " 시술"), ("의 제거", "의 교체", "의 치료")),
    "term": (("", "기", "이"), ("증", "통", " 골절", "염")),
}
_OF_ONE_SUBJECT: tuple[Relation, ...] = ("department", "symptom", "test")


class _Inventor:
    """Draws invented facts; `objects` are the real ones by relation."""

    def __init__(self, objects: Mapping[Relation, Sequence[str]], rng: random.Random) -> None:
        self._objects, self._rng = objects, rng
        self._words = sorted({word for names in objects.values() for name in names for word in name.split()})

    def _syllables(self, lengths: Sequence[int]) -> str:
        return "".join(self._rng.choice(_SYLLABLES) for _ in range(self._rng.choice(lengths)))

    def subject(self, relation: Relation) -> str:
        return self._syllables((2, 2, 3, 3, 4)) + self._rng.choice(_ENDINGS[relation][0])

    def _object(self, relation: Relation, subject: str) -> str:
        """A real object, or words that never stood together: real ones, invented ones, sometimes the subject again."""
        if self._rng.random() > _INVENTED_OBJECTS:
            return self._rng.choice(self._objects[relation])
        ending = self._rng.choice(_ENDINGS[relation][1])
        if ending == "과":
            return self._syllables((1, 2, 2, 3)) + ending
        words = [self._word() for _ in range(self._rng.choice((1, 1, 2, 2, 3, 4, 5)))]
        if len(words) > 2 and self._rng.random() < 0.2:
            words[self._rng.randrange(len(words) - 1)] = subject
        return " ".join(words) + ending

    def _word(self) -> str:
        return self._rng.choice(self._words) if self._rng.random() < 0.5 else self._syllables((1, 2, 2, 3))

    def fact(self, relation: Relation, subject: str = "") -> Fact:
        subject = subject or self.subject(relation)
        return Fact(
            id=f"{relation}:invented", relation=relation, subject=subject, object=self._object(relation, subject),
            subject_type="invented", object_type="invented", source="invented",
        )  # fmt: skip

    def facts(self) -> list[Fact]:
        """About one subject, or of one relation, or of any: what a retriever may bring along."""
        draw = self._rng.random()
        if draw < 0.5:
            subject = self.subject("department")
            return [self.fact(relation, subject) for relation in self._rng.sample(_OF_ONE_SUBJECT, len(_OF_ONE_SUBJECT))]
        if draw < 0.75:
            relation = self._rng.choice(list(_ENDINGS))
            return [self.fact(relation) for _ in range(self._rng.randint(2, _FACTS))]
        return [self.fact(self._rng.choice(list(_ENDINGS))) for _ in range(self._rng.randint(1, _FACTS))]


def reading_items(knowledge: Knowledge, count: int, *, seed: int) -> Iterator[ChatItem]:
    """`count` drills: a few invented facts as the system message, then questions in training wordings with their answers."""
    rng = random.Random(f"{seed}:reading")
    objects: dict[Relation, list[str]] = defaultdict(list)
    for fact in knowledge.facts():
        if fact.object not in objects[fact.relation]:
            objects[fact.relation].append(fact.object)
    inventor = _Inventor(objects, rng)
    for number in range(1, count + 1):
        facts = inventor.facts()
        messages = [("system", "\n".join(map(statement, facts)))]
        for fact in rng.sample(facts, min(_QUESTIONS, len(facts))):
            messages += [("user", fill(rng.choice(FORMS[fact.relation].train), fact)), ("assistant", answer(fact))]
        key: dict[str, object] = {"role": "baseline_check", "form": DATASET}
        yield ChatItem(dataset=DATASET, item_id=f"reading_{number:05d}", messages=tuple(messages), key=key)
