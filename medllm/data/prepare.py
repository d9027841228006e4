"""The prepare_data stage: archives -> adapters -> clean, masked, deduplicated, leak-proof records."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medllm.data.aihub.item import RejectedError, hint_of, parse_item
from medllm.data.aihub.read import read_item
from medllm.data.archives import Member, read_members
from medllm.data.atomic import replaced_folder
from medllm.data.clean import mask_record
from medllm.data.describe import describe
from medllm.data.key import KEY_FILE, KeyRow, read_key
from medllm.data.leak import check_leaks, held_out_facts
from medllm.data.records import Record, write_records
from medllm.data.split import choose_calibration, split_records
from medllm.data.tally import UNKNOWN_SET, Tally
from medllm.errors import UserError


def prepare_data(raw: Path, out: Path, *, max_bad_share: float, num_calibration: int, seed: int, similarity: float) -> dict[str, Any]:
    """Write corpus, train, test, calibration and quarantine (.jsonl) to `out`, whole or not at all, and return the data report.

    `max_bad_share`: share of broken items of a set above which nothing is written. `similarity`: character 3-gram Jaccard from which a
    training question counts as a copy of a test question. UserError: unreadable archives, nothing read, too many bad items, a leak.
    """
    key = read_key(raw)
    tally = Tally()
    pii: Counter[str] = Counter()
    records: dict[str, Record] = {}
    for record in read_raw(raw, key, tally):
        masked, hits = mask_record(record)
        records[record.id] = masked
        pii += hits
    tally.check(max_bad_share)
    parts = split_records(records.values(), similarity=similarity)
    for dropped in parts.dropped:
        tally.drop(dropped.record.dataset, dropped.reason)
    for name, rows in (("Training", parts.train), ("Validation", parts.test)):
        if not rows:
            raise UserError(f"{raw}: no question item of the {name} part was kept; download that part of the set too")
    check_leaks([*parts.corpus, *parts.train], held_out_facts(key))
    calibration = choose_calibration(parts.train, count=num_calibration, seed=seed)
    with replaced_folder(out) as folder:
        for name, rows in (("corpus", parts.corpus), ("train", parts.train), ("test", parts.test), ("calibration", calibration)):
            write_records(folder / f"{name}.jsonl", rows)
        tally.write_quarantine(folder / "quarantine.jsonl")
    return describe(
        parts=parts,
        records=list(records.values()),
        calibration=calibration,
        tally=tally,
        pii=pii,
        unused_key_rows=len(key.keys() - records.keys()),
    )


def read_raw(raw: Path, key: Mapping[str, KeyRow], tally: Tally) -> Iterator[Record]:
    """Records of all archives below `raw`, enriched by the key; the rest is counted in `tally`. UserError: nothing to read."""
    seen: dict[str, Record] = {}
    for member in read_members(raw):
        if member.name == KEY_FILE and not member.archive:
            continue
        if not member.name.lower().endswith(".json"):
            tally.other_files[Path(member.name).suffix.lower()] += 1
            continue
        record = _read(member, tally)
        if record is None:
            continue
        if record.id in seen:
            if record == seen[record.id]:
                tally.drop(record.dataset, "same_file_twice")
            else:
                tally.quarantine(record.dataset, "id_of_another_item", member, record.id.partition(":")[2])
            continue
        seen[record.id] = record
        yield key[record.id].enrich(record) if record.id in key else record
    if not tally.read:
        raise UserError(f"{raw}: no AI Hub item (.json) found; put the archives there as they were downloaded")


def _read(member: Member, tally: Tally) -> Record | None:
    """The record of a file, or None when it was rejected; either way it is counted once."""
    data = member.read()
    row: dict[str, Any] = {}
    try:
        item = parse_item(member, data)
        row = item.row
        record = read_item(item)
    except RejectedError as error:
        dataset = hint_of(member) or UNKNOWN_SET
        tally.read[dataset] += 1
        if error.bad:
            name = member.name.rpartition("/")[2].removesuffix(".json")
            tally.quarantine(dataset, error.reason, member, str(row.get("qa_id", row.get("c_id", name))))
        else:
            tally.drop(dataset, error.reason)
        return None
    tally.read[record.dataset] += 1
    return record
