"""The data report: flat metrics and nested tables, counts only."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from medllm.data.records import Record
from medllm.data.split import LEAK_REASONS, Parts
from medllm.data.tally import Tally

# the mix that the brief asks for: baseline check, distillation, medical
BRIEF_MIX = {"baseline_check": 0.2, "distillation": 0.3, "medical": 0.5}


def describe(
    *, parts: Parts, records: Sequence[Record], calibration: Sequence[Record], tally: Tally, pii: Mapping[str, int], unused_key_rows: int
) -> dict[str, Any]:
    """Report of one prepared folder; `records` are all that adapters accepted."""
    dropped_ids = {dropped.record.id for dropped in parts.dropped}
    kept = [record for record in records if record.id not in dropped_ids]
    reasons = Counter(reason for counts in tally.dropped.values() for reason in counts.elements())
    characters = _characters(kept)
    total = sum(characters.values())
    shares = {role: round(characters[role] / total, 4) if total else 0.0 for role in BRIEF_MIX}
    return {
        "items_read": sum(tally.read.values()),
        "items_kept": len(kept),
        "items_dropped": sum(reasons.values()),
        "items_bad": len(tally.bad),
        "corpus_records": len(parts.corpus),
        "train_records": len(parts.train),
        "test_records": len(parts.test),
        "calibration_records": len(calibration),
        "duplicates": reasons["duplicate"],
        "leaks_removed": sum(reasons[reason] for reason in LEAK_REASONS),
        "pii_hits": sum(pii.values()),
        "key_rows_unused": unused_key_rows,
        **{f"share_{role}": share for role, share in shares.items()},
        "sets": tally.table(),
        "counts": {name: _count(kept, lambda record, name=name: getattr(record, name)) for name in ("role", "kind", "source_split")},
        "by_set_kind_split": _count(kept, lambda record: f"{record.dataset}/{record.kind}/{record.source_split}"),
        "mix": {role: {"characters": characters[role], "share": shares[role], "brief": share} for role, share in BRIEF_MIX.items()},
        "dropped": dict(sorted(reasons.items())),
        "pii": dict(sorted(pii.items())),
        "held_out": _held_out(parts),
        "answer_positions": _positions(kept),
        "other_files": dict(sorted(tally.other_files.items())),
    }


def _count(records: Iterable[Record], of: Callable[..., str]) -> dict[str, int]:
    return dict(sorted(Counter(map(of, records)).items()))


def _characters(records: Iterable[Record]) -> Counter[str]:
    """Characters by role of what may be trained on (official Training part)."""
    characters: Counter[str] = Counter()
    for record in records:
        if record.source_split == "train":
            texts = (record.passage, record.question, *record.options, record.answer, record.text)
            characters[record.role] += sum(map(len, texts))
    return characters


def _held_out(parts: Parts) -> dict[str, int]:
    def facts(records: Iterable[Record], held_out: str) -> set[str]:
        return {record.fact_id for record in records if record.fact_id and record.held_out == held_out}

    return {
        "facts_trained": len({record.fact_id for record in (*parts.train, *parts.corpus)} - {""}),
        "facts_with_held_out_form": len(facts(parts.test, "form")),
        "facts_held_out": len(facts(parts.test, "fact")),
        "items_held_out_form": sum(record.held_out == "form" for record in parts.test),
        "items_held_out_fact": sum(record.held_out == "fact" for record in parts.test),
    }


def _positions(records: Iterable[Record]) -> dict[str, list[int]]:
    """Right answers by position (first to last), for each set and split: "always the third" must not pay."""
    places: dict[str, Counter[int]] = {}
    for record in records:
        if record.answer_index is not None:
            places.setdefault(f"{record.dataset}/{record.source_split}", Counter())[record.answer_index] += 1
    return {name: [counts[place] for place in range(max(counts) + 1)] for name, counts in sorted(places.items())}
