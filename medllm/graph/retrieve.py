"""Facts for a question: the graph picks the candidates by the names in it, the asked relation and BM25 over morphemes put them in order."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from medllm.graph.link import Linker, Mention
from medllm.graph.morphemes import content_morphemes
from medllm.graph.store import Graph, GraphFact

if TYPE_CHECKING:
    from numpy.typing import NDArray

# (cue, relations it asks for, weight). A question can hold several cues ("이 증상은 어느 과에서 보나요"); the more telling one weighs more.
_CUES: tuple[tuple[re.Pattern[str], tuple[str, ...], int], ...] = tuple(
    (re.compile(pattern), relations, weight)
    for pattern, relations, weight in (
        (r"의학\s?용어|정식\s?(?:명칭|이름)|의학적으로|전문\s?용어|뭐라고|무어라고|쉬운\s?말", ("term",), 6),
        (r"주의|조심|부작용|먹어도|써도|복용해도|피해야", ("drug_caution",), 6),
        (r"(?:어느|무슨|어떤|어디|몇)\s?과|진료\s?과|[는은한]\s과[를는가로에]", ("department", "symptom_department"), 5),
        (r"왜\s|왜\?|목적|(?:무엇|뭐|뭘|어떤\s?것|무얼)(?:을|를)?\s?(?:보|확인|알)", ("test_purpose", "procedure_purpose"), 4),
        (r"(?:무슨|어떤|다른)\s?(?:병|질환)|병일|병이\s?있", ("symptom",), 5),
        (r"계열|종류|분류|무슨\s?약|어떤\s?약", ("drug_class",), 4),
        (r"검사|확인|진단|뭘로|[뭘을]\s?(?:찍|재)", ("test", "test_purpose"), 3),
        (r"수술|시술", ("procedure_purpose",), 3),
        (r"증상|증세|불편|어디가|징후|신호|변화|변해|나타나|느껴|느끼", ("symptom",), 2),
        (r"병원|진료|예약|상담|찾아|담당|접수|어디(?:로|에|서|를|\s가|\s데려)|봐\s?주", ("department", "symptom_department"), 1),
    )
)
# How each relation is asked about: what a fact is filed under besides its own sentence and the names of its subject.
_WHERE = (
    "어느 과에서 진료를 받나요? 무슨 과 병원으로 가서 누구에게 보여야 하나요? 어디에 예약하고 어떤 의사를 찾아가나요? "
    "담당 진료과를 알려 주세요."
)
_ASKED = {
    "department": _WHERE,
    "symptom_department": _WHERE,
    "symptom": "어떤 증상이 나타나나요? 증세와 징후, 신호는? 걸리면 몸이 어디가 아프고 불편하고 무엇을 느끼나요? 어떻게 알아차리나요?",
    "test": "어떤 검사로 진단하고 확인하나요? 무엇을 찍어 봐야 알 수 있나요? 무슨 검사를 받나요? 어떤 방법으로 판정하고 밝혀내나요?",
    "test_purpose": "왜 하나요? 받는 이유와 목적은? 무엇을 보고 확인하나요? 이 검사로 무엇을 알게 되고 결과는 어디에 쓰이나요?",
    "procedure_purpose": "왜 하나요? 받는 이유와 목적은? 무엇을 위한 시술이나 수술인가요? 어떤 경우에 하고 무엇을 고치나요?",
    "drug_class": "어떤 계열의 약인가요? 무슨 종류의 성분이고 어떻게 분류되며 어디에 속하나요? 무슨 약인가요?",
    "drug_caution": "주의할 점은? 조심하고 피해야 할 것과 부작용은? 먹어도 괜찮고 안전한가요? 복용할 때 위험한 것은?",
    "term": "의학 용어로 무엇이라고 하나요? 정식 명칭과 전문적인 이름은? 의사는 뭐라고 부르고 차트에 어떻게 적나요? 병원에서 쓰는 표현은?",
}  # fmt: skip
_DIRECT, _SYNONYM, _NEIGHBOUR, _SIMILAR = 0, 1, 2, 3
_PENALTY = (0.0, 0.5, 4.0, 4.0)  # what a distance takes off the weight of the relation: a far fact needs a clear cue
_MIN_SHARED = 2  # words that a fact must share with a question whose names do not lead to it


def index_morphemes(text: str, *, relation: str, names: Sequence[str]) -> tuple[str, ...]:
    """The words under which a fact is filed: of its sentence, of how its relation is asked about, and of all names of its subject."""
    return (*_words(text), *_asked_words(relation), *(word for name in names for word in _words(name)))


@lru_cache
def _asked_words(relation: str) -> tuple[str, ...]:
    return tuple(_words(_ASKED[relation]))


@lru_cache
def _asking_words() -> frozenset[str]:
    return frozenset(word for relation in _ASKED for word in _asked_words(relation))


def _words(text: str) -> list[str]:
    return [morpheme.form for morpheme in content_morphemes(text) if morpheme.form]


class Retriever:
    """Retrieval over one graph."""

    def __init__(self, graph: Graph) -> None:
        """File the facts by subject node and the neighbours of every node; the first question that needs BM25 builds its index."""
        self.linker = Linker(graph)
        self._graph = graph
        self._facts: defaultdict[str, list[int]] = defaultdict(list)
        self._synonyms: defaultdict[str, set[str]] = defaultdict(set)
        self._neighbours: defaultdict[str, set[str]] = defaultdict(set)
        for index, fact in enumerate(graph.facts):
            self._facts[fact.node].append(index)
        for edge in graph.edges:
            links = self._synonyms if edge.relation == "synonym" else self._neighbours
            links[edge.source].add(edge.target)
            links[edge.target].add(edge.source)

    def facts_for(self, question: str, *, limit: int) -> list[GraphFact]:
        """At most `limit` facts, best first; [] when the question says nothing of what the graph knows.

        Candidates are the facts of the nodes named in the question, then of their synonyms and of names inside names, then of their
        neighbours in the graph as far as their relation is asked for; where these do not answer, facts that share the question's words
        besides those of asking. Order: asked relation less the penalty of that distance, BM25, fact id.
        """
        question = unicodedata.normalize("NFC", question)
        mentions = self.linker.link(question)
        rest = _without(question, mentions)
        weights = _relation_weights(rest)
        distances = self._named(question, mentions, weights)
        facts = self._graph.facts
        if not any(weights.get(facts[index].relation) for index in distances):
            for index in self._sharing(question, mentions):
                if not mentions or weights.get(facts[index].relation):
                    distances.setdefault(index, _SIMILAR)
        if not distances:
            return []
        scores = self._scores(_words(rest) if mentions else _words(question))

        def order(index: int) -> tuple[Any, ...]:
            fact = facts[index]
            return _PENALTY[distances[index]] - weights.get(fact.relation, 0), -round(float(scores[index]), 6), fact.id

        return [facts[index] for index in sorted(distances, key=order)[:limit]]

    def _named(self, question: str, mentions: Sequence[Mention], weights: dict[str, int]) -> dict[int, int]:
        """Index of every candidate fact with its distance from the named nodes."""
        distances: dict[int, int] = {}
        named = [mention.node_id for mention in mentions]
        close = [*(other for node in named for other in self._synonyms[node]), *(self.linker.parts(question) if mentions else ())]
        near = [other for node in (*named, *close) for other in self._neighbours[node]]
        for distance, nodes in ((_DIRECT, named), (_SYNONYM, close), (_NEIGHBOUR, near)):
            for index in (index for node in nodes for index in self._facts[node]):
                fact = self._graph.facts[index]
                if distance < _NEIGHBOUR or weights.get(fact.relation, 0):
                    distances.setdefault(index, distance)
        return distances

    def _sharing(self, question: str, mentions: Sequence[Mention]) -> list[int]:
        """Index of every fact that has enough words of the question, or all words of a name in it."""
        words = {word for word in _words(question) if word in self._vocabulary} - _asking_words()
        names = [set(_words(mention.surface)) for mention in mentions]
        found = []
        for index, fact in enumerate(self._graph.facts):
            if len(words.intersection(fact.morphemes)) >= _MIN_SHARED or any(name and name.issubset(fact.morphemes) for name in names):
                found.append(index)
        return found

    @cached_property
    def _index(self) -> Any:
        """The BM25 index of all facts: milliseconds from the stored morphemes, so it is not stored itself."""
        import bm25s

        index = bm25s.BM25()
        index.index([list(fact.morphemes) for fact in self._graph.facts], show_progress=False)
        return index

    def _scores(self, words: list[str]) -> "NDArray[Any] | list[float]":
        known = [word for word in words if word in self._vocabulary]
        return self._index.get_scores(known) if known else [0.0] * len(self._graph.facts)

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        return frozenset(word for fact in self._graph.facts for word in fact.morphemes)


def _without(question: str, mentions: Iterable[Mention]) -> str:
    """The question without the names: they are no cues ("소변검사" does not ask for a test)."""
    spans = [(mention.start, mention.end) for mention in mentions]
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(question)]
    return " ".join(question[start:end] for start, end in zip(starts, ends, strict=True))


def _relation_weights(rest: str) -> dict[str, int]:
    """Weight of every relation asked for."""
    weights: dict[str, int] = {}
    for pattern, relations, weight in _CUES:
        if pattern.search(rest):
            for relation in relations:
                weights[relation] = max(weight, weights.get(relation, 0))
    return weights
