"""Who may learn from what: official split, held-out facts, calibration set."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from medllm.data.aihub.options import squeeze
from medllm.data.dedup import leaking, unique
from medllm.data.records import Record
from medllm.errors import UserError

TRAIN_KINDS = ("qa", "choice", "solution")
LEAK_REASONS = ("held_out_fact", "copy_of_test_item", "near_duplicate_of_test_question", "passage_of_test_item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A record that was read and is in no output file."""

    record: Record
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The output files, and what was left out of them."""

    corpus: list[Record]
    train: list[Record]
    test: list[Record]
    dropped: list[Dropped]


def split_records(records: Iterable[Record], *, similarity: float) -> Parts:
    """Official validation is the test set; the rest is training unless it copies a test item or belongs to a held-out fact.

    Running text goes to the corpus, question items to train; worked solutions go to both, in the corpus as text.
    """
    pools: dict[str, list[Record]] = {"train": [], "validation": []}
    for record in sorted(records, key=lambda record: record.id):
        pools[record.source_split].append(record)
    test, test_copies = unique(pools["validation"])
    candidates, copies = unique(pools["train"])
    dropped = [Dropped(record=record, reason="duplicate") for record in (*test_copies, *copies)]
    reasons = _reasons(candidates, test, similarity=similarity)
    dropped += [Dropped(record=record, reason=reasons[record.id]) for record in candidates if record.id in reasons]
    kept = [record for record in candidates if record.id not in reasons]
    return Parts(
        corpus=[_as_text(record) for record in kept if record.kind not in ("qa", "choice")],
        train=[record for record in kept if record.kind in TRAIN_KINDS],
        test=test,
        dropped=dropped,
    )


def _reasons(candidates: Sequence[Record], test: Sequence[Record], *, similarity: float) -> dict[str, str]:
    """Why a training record may not be trained on, by id."""
    copies, near = leaking(candidates, test, similarity=similarity)
    held_out = {record.fact_id for record in test if record.held_out == "fact"} - {""}
    test_passages = {squeeze(record.passage) for record in test} - {""}
    passages: set[str] = set()
    reasons: dict[str, str] = {}
    for record in candidates:
        passage = squeeze(record.passage)
        if record.held_out == "fact" or record.fact_id in held_out:
            reasons[record.id] = "held_out_fact"
        elif record.eval_only:
            reasons[record.id] = "eval_only"
        elif record.id in copies:
            reasons[record.id] = "copy_of_test_item"
        elif record.id in near:
            reasons[record.id] = "near_duplicate_of_test_question"
        elif passage and passage in test_passages:
            reasons[record.id] = "passage_of_test_item"
        elif passage and passage in passages:
            reasons[record.id] = "passage_twice"
        passages.add(passage)
    return reasons


def _as_text(record: Record) -> Record:
    """The record as running text: a passage without its question, a problem followed by its solution."""
    text = record.text or record.passage or f"{record.question} {record.answer}"
    return replace(record, text=text, question="", answer="", options=(), answer_index=None, passage="", must=(), context=())


def hash_order(records: Iterable[Record], *, seed: int) -> list[Record]:
    """Records in a random order that one more record does not change."""
    return sorted(records, key=lambda record: hashlib.sha256(f"{seed}:{record.id}".encode()).hexdigest())


def choose_calibration(train: Iterable[Record], *, count: int, seed: int) -> list[Record]:
    """`count` training items, the roles taking turns. UserError: there are fewer."""
    queues: dict[str, list[Record]] = defaultdict(list)
    for record in hash_order(train, seed=seed):
        queues[record.role].append(record)
    total = sum(map(len, queues.values()))
    if count > total:
        raise UserError(f"data.num_calibration={count}, but there are {total} training items; lower it")
    turns = sorted((place, role) for role, queue in queues.items() for place in range(len(queue)))
    return [queues[role][place] for place, role in turns[:count]]
