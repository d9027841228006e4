"""Records on paper, and what the split decides about them."""

from typing import Any

from medllm.data.dedup import sketch
from medllm.data.minhash import STEM_GRAM, grams, letters
from medllm.data.near import Neighbours, sign
from medllm.data.records import Record
from medllm.data.split import decide
from medllm.data.staging import Note, take_batch


def stem_grams(text: str) -> frozenset[str]:
    """What two stems are compared by."""
    return grams(letters(text), STEM_GRAM)


def record(record_id: str, **fields: Any) -> Record:
    """A question with an answer, unless `fields` make it something else."""
    defaults: dict[str, Any] = {"id": record_id, "dataset": "aihub_x", "role": "medical", "kind": "qa", "source_split": "train"}
    shape = {} if fields.keys() & {"text", "messages"} else {"question": "물음", "answer": "답"}
    if "options" in fields:
        shape |= {"kind": "choice", "answer_index": 0, "answer": fields["options"][0]}
    return Record(**{**defaults, **shape, **fields})


def notes_of(*records: Record) -> list[Note]:
    return take_batch(sorted(records, key=lambda one: one.id)).notes


def decided(*records: Record, similarity: float = 0.7, test_share: float = 0.2) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """(part, reason, cluster) of every record by id, with signatures and verification as in the stage."""
    ordered = sorted(records, key=lambda one: one.id)
    near = Neighbours()
    near.add(sign([sketch(one) for one in ordered]), range(len(ordered)))
    pairs = near.pairs(
        lambda number: sketch(ordered[number]), similarity=similarity, document_similarity=0.8, wanted=lambda low, high: True
    )
    decision = decide(notes_of(*ordered), pairs, test_share=test_share)
    ids = [one.id for one in ordered]
    return (
        dict(zip(ids, decision.parts, strict=True)),
        {ids[number]: reason for number, reason in decision.dropped.items()},
        {name: cluster for name, cluster in zip(ids, decision.clusters, strict=True) if cluster},
    )
