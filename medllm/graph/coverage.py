"""How much of the dictionary a model has seen: which nodes are named in the training text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from medllm.data.records import Record, read_records
from medllm.graph.link import Linker
from medllm.graph.store import Graph

_TRAINING = ("corpus.jsonl", "train.jsonl")


def term_coverage(graph: Graph, prepared: Path) -> dict[str, Any]:
    """Nodes, and those that the corpus or a training item of data/prepared names literally; what is missing by kind.

    Inflected wordings do not count: a model learns a name from the name.
    """
    linker = Linker(replace(graph, phrases={}))
    seen = {
        mention.node_id
        for name in _TRAINING
        for record in read_records(prepared / name)
        for text in _texts(record)
        for mention in linker.link(text)
    }
    missing = Counter(node.kind for node in graph.nodes.values() if node.id not in seen)
    return {
        "names": len(graph.nodes),
        "in_training_text": len(seen),
        "share": round(len(seen) / len(graph.nodes), 4),
        "missing_by_kind": dict(sorted(missing.items())),
    }


def _texts(record: Record) -> Iterator[str]:
    yield from filter(None, (record.text, record.passage, record.question, record.answer, *record.options))
    yield from (text for _, text in record.messages)
