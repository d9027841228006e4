"""Terminology by entity: an answer is right when it names the same thing, by whichever of its names."""

from dataclasses import replace
from pathlib import Path

from medllm.data.answers import squeeze
from medllm.data.records import Record
from medllm.evaluate.rows import relation_of
from medllm.graph.link import Linker
from medllm.graph.store import Graph


class EntityScorer:
    """Names of the terminology dictionary; descriptions ("열이 나다") are left out, so that no morphological analyser is loaded."""

    def __init__(self, graph: Path) -> None:
        """`graph` is the folder of graph.json."""
        names = replace(Graph.load(graph), phrases={})
        self._linker = Linker(names)
        self._kinds = {node.id: node.kind for node in names.nodes.values()}

    def right(self, record: Record, output: str) -> bool | None:
        """The output names the entity of the reference in other words than the question, and no other of its kind.

        None where the question does not ask for a term, or the reference is not wholly a name of the dictionary.
        """
        terms = record.must or (record.answer,)
        wanted = {mention.node_id for term in terms for mention in self._linker.link(term) if squeeze(mention.surface) == squeeze(term)}
        if relation_of(record) not in ("term", "") or not wanted:
            return None
        kinds = {self._kinds[node] for node in wanted}
        question = squeeze(record.question)
        said = {
            mention.node_id
            for mention in self._linker.link(output)
            if squeeze(mention.surface) not in question and self._kinds[mention.node_id] in kinds  # to repeat the question names nothing
        }
        return bool(said & wanted) and not said - wanted
