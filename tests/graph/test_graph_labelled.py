"""Linking and retrieval on sentences and questions that were written and labelled apart from the code and its word lists."""

import json
import unicodedata
from pathlib import Path
from typing import Any

from medllm.graph.link import Linker, Mention, name_key
from medllm.graph.retrieve import Retriever
from medllm.graph.store import Graph

HERE = Path(__file__).parent


def _lines(name: str) -> list[dict[str, Any]]:
    with (HERE / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _gold(row: dict[str, Any]) -> list[tuple[int, int, str]]:
    """(start, end, name key) of the labelled entities; a surface that comes twice is labelled twice, in text order."""
    spans, begin = [], 0
    for entity in row["entities"]:
        start = row["text"].find(entity["surface"], begin)
        start = row["text"].index(entity["surface"]) if start < 0 else start
        spans.append((start, start + len(entity["surface"]), name_key(entity["name"])))
        begin = start + 1
    return spans


def _synonyms(graph: Graph) -> dict[str, set[str]]:
    """Keys of all names of every node and of the nodes that a synonym edge joins to it."""
    names = {node.id: {name_key(form) for form in node.names} for node in graph.nodes.values()}
    joined = [(edge.source, edge.target) for edge in graph.edges if edge.relation == "synonym"]
    others = {key: [b if a == key else a for a, b in joined if key in (a, b)] for key in names}
    return {key: own.union(*(names[other] for other in others[key])) for key, own in names.items()}


def _score(names: dict[str, set[str]], mentions: list[Mention], row: dict[str, Any]) -> tuple[int, int, int]:
    """Entities found, mentions, entities. One is found by a mention of its own that overlaps it and whose node has the label as a name.

    `optional` surfaces may be linked or not: the wider the tables, the more of a sentence is a name of something. A mention that finds no
    entity counts as wrong unless all of it lies in one of them.
    """
    left, gold = list(mentions), _gold(row)
    for start, end, name in gold:
        found = next((mention for mention in left if mention.start < end and start < mention.end and name in names[mention.node_id]), None)
        if found is not None:
            left.remove(found)
    right = len(mentions) - len(left)
    wrong = sum(not any(mention.surface in surface for surface in row.get("optional", ())) for mention in left)
    return right, right + wrong, len(gold)


def test_linking_f1(whole_graph: Graph) -> None:
    linker, names, rows = Linker(whole_graph), _synonyms(whole_graph), _lines("linking.jsonl")
    right = found = labelled = 0
    missed = []
    for row in rows:
        assert row["text"] == unicodedata.normalize("NFC", row["text"])
        scores = _score(names, linker.link(row["text"]), row)
        right, found, labelled = right + scores[0], found + scores[1], labelled + scores[2]
        if len(set(scores)) > 1:
            missed.append(row["text"])
    f1 = 2 * right / (found + labelled)
    print(f"linking: {len(rows)} sentences, precision {right / found:.4f}, recall {right / labelled:.4f}, F1 {f1:.4f}")  # noqa: T201
    assert len(rows) >= 300
    assert f1 >= 0.90, missed


def test_retrieval_recall_at_5(whole_retriever: Retriever) -> None:
    rows = _lines("retrieval.jsonl")
    missed = [row for row in rows if row["fact_id"] not in [fact.id for fact in whole_retriever.facts_for(row["question"], limit=5)]]
    recall = 1 - len(missed) / len(rows)
    print(f"retrieval: {len(rows)} questions, recall@5 {recall:.4f}")  # noqa: T201
    assert recall >= 0.95, missed
