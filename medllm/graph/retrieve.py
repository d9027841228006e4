"""Facts for a question: what the graph states about the names in it, the relation that was asked for first."""

import re
import unicodedata
from collections import defaultdict

from medllm.graph.link import Linker, Mention
from medllm.graph.store import Graph, GraphFact

# (cue, relations it asks for, weight). A question can hold several cues ("이 증상은 어느 과에서 보나요"); the more telling one weighs more.
_CUES: tuple[tuple[re.Pattern[str], tuple[str, ...], int], ...] = tuple(
    (re.compile(pattern), relations, weight)
    for pattern, relations, weight in (
        (r"의학\s?용어|정식\s?(?:명칭|이름)|의학적으로|전문\s?용어|뭐라고|무어라고|쉬운\s?말", ("term",), 6),
        (r"(?:어느|무슨|어떤|어디|몇)\s?과|진료\s?과|[는은한]\s과[를는가로에]", ("department", "symptom_department"), 5),
        (r"왜\s|왜\?|목적|(?:무엇|뭐|뭘|어떤\s?것|무얼)(?:을|를)?\s?(?:보|확인|알)", ("test_purpose",), 4),
        (r"계열|종류|분류|무슨\s?약|어떤\s?약", ("drug_class",), 4),
        (r"검사|확인|진단", ("test", "test_purpose"), 3),
        (r"증상|증세|불편|어디가", ("symptom",), 2),
        (r"병원|진료|예약|상담|찾아", ("department", "symptom_department"), 1),
    )
)


class Retriever:
    """Retrieval over one graph."""

    def __init__(self, graph: Graph) -> None:
        """Index the facts by subject node; synonym nodes share their facts."""
        self._linker = Linker(graph)
        self._facts: defaultdict[str, list[GraphFact]] = defaultdict(list)
        self._synonyms: defaultdict[str, set[str]] = defaultdict(set)
        for fact in graph.facts:
            self._facts[fact.node].append(fact)
        for edge in graph.edges:
            if edge.relation == "synonym":
                self._synonyms[edge.source].add(edge.target)
                self._synonyms[edge.target].add(edge.source)

    def facts_for(self, question: str, *, limit: int) -> list[GraphFact]:
        """At most `limit` facts about the names in the question, the asked relation first, ties by fact id; [] when nothing is named."""
        mentions = self._linker.link(question)
        subjects = {node_id for mention in mentions for node_id in (mention.node_id, *self._synonyms[mention.node_id])}
        weights = _relation_weights(question, mentions)
        facts = [fact for node_id in subjects for fact in self._facts[node_id]]
        return sorted(facts, key=lambda fact: (-weights.get(fact.relation, 0), fact.id))[:limit]


def _relation_weights(question: str, mentions: list[Mention]) -> dict[str, int]:
    """Weight of every relation asked for; the names themselves are no cues ("소변검사" does not ask for a test)."""
    question, spans = unicodedata.normalize("NFC", question), [(mention.start, mention.end) for mention in mentions]
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(question)]
    question = " ".join(question[start:end] for start, end in zip(starts, ends, strict=True))
    weights: dict[str, int] = {}
    for pattern, relations, weight in _CUES:
        if pattern.search(question):
            for relation in relations:
                weights[relation] = max(weight, weights.get(relation, 0))
    return weights
