"""The prepare_data stage: archives -> adapters -> clean, masked, deduplicated, leak-proof records.

Two passes, so that memory does not grow with the texts: the first reads, masks and stages every item and remembers a note of it, the
second writes the output files in the order of ids. What was written is then read again by the leak gates.
"""

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from medllm.data.atomic import replaced_folder
from medllm.data.describe import Written, describe
from medllm.data.gates import check_written
from medllm.data.intake import OtherFile, Rejected, read_items
from medllm.data.key import KeyRow, read_key
from medllm.data.leak import held_out_facts
from medllm.data.parallel import SecondProcess
from medllm.data.paraphrase import suspect
from medllm.data.pii import PII_DUTY
from medllm.data.records import Record
from medllm.data.split import CORPUS_KINDS, TRAIN_KINDS, Decision, choose_calibration, decide
from medllm.data.staging import Batch, Staging, archive_of, take_batch
from medllm.data.tally import BadItem, Tally
from medllm.errors import UserError

_LOG = logging.getLogger(__name__)
_BATCH = 256
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare_data(
    raw: Path, out: Path, *, max_bad_share: float, num_calibration: int, similarity: float, document_similarity: float, test_share: float,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Write corpus, train, test, calibration and quarantine (.jsonl) to `out`, whole or not at all, and return the data report.

    `max_bad_share`: share of broken items of a set above which nothing is written. `similarity`: character 3-gram Jaccard from which two
    questions count as one; `document_similarity`: the same for 5-grams of running text. `test_share`: of the clusters of a set without a
    validation part. UserError: unreadable archives, nothing read, too many bad items, a leak, a full disk.
    """
    key = read_key(raw)
    with _disk_full_named(out), replaced_folder(out) as folder, SecondProcess() as second:
        with (folder / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine, Staging(folder / "staging.jsonl") as staging:
            tally = Tally(quarantine=quarantine)
            _read(raw, key, staging, tally, second)
            tally.check(max_bad_share)
            near = staging.near(similarity=similarity, document_similarity=document_similarity)
            decision = decide(staging.notes, near, test_share=test_share)
            counts = _write(folder, staging, decision, raw, num_calibration=num_calibration, seed=seed)
            _account(staging, decision, tally)
            paraphrases = suspect(
                staging.notes, decision.kept("train"), decision.kept("validation"), lambda number: staging.record(number).question
            )
        gates = check_written(folder, held_out_facts(key), second, similarity=similarity, document_similarity=document_similarity)
    for dataset in sorted(staging.owing):
        _LOG.warning("%s: %s", dataset, PII_DUTY)
    return describe(
        notes=staging.notes,
        decision=decision,
        written=Written(counts=counts, gates=gates, paraphrases=paraphrases),
        tally=tally,
        pii=staging.pii,
        unused_key_rows=len(key.keys() - {note.id for note in staging.notes}),
    )


@contextmanager
def _disk_full_named(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise UserError(f"{out}: the disk is full ({error.strerror}), nothing was written; free some space and run again") from error


def _read(raw: Path, key: Mapping[str, KeyRow], staging: Staging, tally: Tally, second: SecondProcess) -> None:
    """Pass 1. UserError: nothing to read."""
    for batch in second.map(take_batch, _batches(raw, key, tally)):
        _stage(batch, staging, tally)
    if not tally.read:
        raise UserError(f"{raw}: no item found; put the archives or tables there as they were downloaded")
    staging.close_reading()


def _batches(raw: Path, key: Mapping[str, KeyRow], tally: Tally) -> Iterator[list[Record]]:
    """Records, enriched by the key, a few at a time; everything else is counted."""
    batch: list[Record] = []
    for item in read_items(raw):
        if isinstance(item, OtherFile):
            tally.other_files[item.suffix] += 1
            continue
        if isinstance(item, Rejected):
            tally.read[item.dataset, item.archive] += 1
            if item.bad:
                tally.refuse(BadItem(dataset=item.dataset, archive=item.archive, file=item.file, item=item.item, reason=item.reason))
            else:
                tally.drop(item.dataset, item.archive, item.reason)
            continue
        tally.read[item.dataset, archive_of(item.provenance)] += 1
        batch.append(key[item.id].enrich(item) if item.id in key else item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _stage(batch: Batch, staging: Staging, tally: Tally) -> None:
    for note, same in staging.add(batch):
        if same:
            tally.drop(note.dataset, note.archive, "same_file_twice")
        else:
            item = note.id.partition(":")[2]
            tally.refuse(
                BadItem(dataset=note.dataset, archive=note.archive, file=note.file, item=item, reason="id_of_another_item")
            )


def _write(folder: Path, staging: Staging, decision: Decision, raw: Path, *, num_calibration: int, seed: int) -> dict[str, int]:
    """Pass 2: the four files; records in each. UserError: no question of a part was kept, or too few for the calibration set."""
    train = [number for number in decision.kept("train") if staging.notes[number].kind in TRAIN_KINDS]
    test = decision.kept("validation")
    for name, numbers in (("Training", train), ("Validation", test)):
        if not numbers:
            raise UserError(f"{raw}: no question item of the {name} part was kept; download that part of the set too")
    corpus = [number for number in decision.kept("train") if staging.notes[number].kind in CORPUS_KINDS]
    calibration = choose_calibration(staging.notes, train, count=num_calibration, seed=seed)
    files = {"corpus": corpus, "train": train, "test": test, "calibration": calibration}
    for name, numbers in files.items():
        with (folder / f"{name}.jsonl").open("wb") as file:
            file.writelines(_line(staging, number, decision, as_text=name == "corpus") for number in numbers)
    return {name: len(numbers) for name, numbers in files.items()}


def _line(staging: Staging, number: int, decision: Decision, *, as_text: bool) -> bytes:
    """A record as it goes into its file: with its part and its cluster, in the corpus as running text."""
    note, part, cluster = staging.notes[number], decision.parts[number], decision.clusters[number]
    if note.split == part and cluster in ("", note.cluster) and not (as_text and not note.only_text):
        return staging.line(number)
    record = staging.record(number)
    texts = _as_text(record) if as_text else {}
    return replace(record, source_split=part, cluster=cluster or note.cluster, **texts).to_json().encode("utf-8") + b"\n"


def _as_text(record: Record) -> dict[str, Any]:
    """The fields of the record as running text: a passage without its question, a problem followed by its solution."""
    text = record.text or record.passage or f"{record.question} {record.answer}"
    return {"text": text, "question": "", "answer": "", "options": (), "answer_index": None, "passage": "", "must": (), "context": ()}


def _account(staging: Staging, decision: Decision, tally: Tally) -> None:
    """Every note is kept or dropped; UserError when the sum is not what was read."""
    for number, note in enumerate(staging.notes):
        reason = decision.dropped.get(number)
        if reason:
            tally.drop(note.dataset, note.archive, reason)
        else:
            tally.kept[note.dataset, note.archive] += 1
    tally.balance()
