"""The data report: flat metrics and nested tables, counts only."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medllm.data.aihub.published import PUBLISHED
from medllm.data.paraphrase import Suspicion
from medllm.data.split import LEAK_REASONS, Decision
from medllm.data.staging import Note
from medllm.data.tally import Tally

# the mix that the brief asks for: baseline check, distillation, medical
BRIEF_MIX = {"baseline_check": 0.2, "distillation": 0.3, "medical": 0.5}
_QUANTILES = (5, 50, 95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Records in each output file, what the gates on them looked at (name -> checked, found), and suspected paraphrases."""

    counts: Mapping[str, int]
    gates: Mapping[str, tuple[int, int]]
    paraphrases: Suspicion


def describe(
    *, notes: Sequence[Note], decision: Decision, written: Written, tally: Tally, pii: Mapping[tuple[str, str], int], unused_key_rows: int
) -> dict[str, Any]:
    """Report of one prepared folder; `notes` are of all records that adapters accepted, `pii` counts by (set, kind)."""
    kept = [number for number in range(len(notes)) if number not in decision.dropped]
    rows = [notes[number] for number in kept]
    reasons = tally.reasons()
    characters = _characters(notes, kept, decision)
    total = sum(characters.values())
    shares = {role: round(characters[role] / total, 4) if total else 0.0 for role in BRIEF_MIX}
    return {
        "items_read": tally.read.total(),
        "items_kept": tally.kept.total(),
        "items_dropped": reasons.total(),
        "items_bad": tally.bad.total(),
        **{f"{name}_records": written.counts[name] for name in ("corpus", "train", "test", "calibration")},
        "duplicates": reasons["duplicate"],
        "near_duplicates": reasons["near_duplicate"],
        "leaks_removed": sum(reasons[reason] for reason in LEAK_REASONS),
        "pii_hits": sum(pii.values()),
        "key_rows_unused": unused_key_rows,
        **{f"share_{role}": share for role, share in shares.items()},
        "sets": tally.table(),
        "archives": tally.archives(),
        "published": published(notes, tally),
        "counts": {
            "role": _count(rows, lambda note: note.role),
            "kind": _count(rows, lambda note: note.kind),
            "source_split": dict(sorted(Counter(decision.parts[number] for number in kept).items())),
        },
        "by_set_kind_split": dict(sorted(Counter(f"{notes[n].dataset}/{notes[n].kind}/{decision.parts[n]}" for n in kept).items())),
        "split_by_hash": list(decision.hashed),
        "mix": {role: {"characters": characters[role], "share": shares[role], "brief": share} for role, share in BRIEF_MIX.items()},
        "lengths": _lengths(rows),
        "clusters": _clusters(decision, notes),
        "dropped": dict(sorted(reasons.items())),
        "pii": _sums((kind, count) for (_, kind), count in pii.items()),
        "pii_by_set": {name: _sums((kind, n) for (own, kind), n in pii.items() if own == name) for name in sorted({own for own, _ in pii})},
        "held_out": _held_out(notes, kept, decision),
        "leakage": _leakage(notes, kept, decision, written.gates),
        "paraphrases": asdict(written.paraphrases),
        **_positions(notes, kept, decision),
        "other_files": dict(sorted(tally.other_files.items())),
    }


def published(notes: Iterable[Note], tally: Tally) -> dict[str, dict[str, object]]:
    """Items read, without the source texts, beside the count that the publisher gives, where there is one."""
    texts = Counter(note.dataset for note in notes if note.kind == "statement")
    reads: Counter[str] = Counter()
    for (dataset, _), count in tally.read.items():
        reads[dataset] += count
    rows: dict[str, dict[str, object]] = {}
    for dataset in sorted(reads):
        if (known := PUBLISHED.get(dataset)) is not None and known.total:
            read = reads[dataset] - texts[dataset]
            rows[dataset] = {
                "read": read, "published": known.total, "share": round(read / known.total, 4), "unit": known.unit,
                "confidence": known.confidence,
            }  # fmt: skip
    return rows


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, count in pairs:
        total[name] += count
    return dict(sorted(total.items()))


def _count(notes: Iterable[Note], of: Callable[[Note], str]) -> dict[str, int]:
    return dict(sorted(Counter(map(of, notes)).items()))


def _characters(notes: Sequence[Note], kept: Iterable[int], decision: Decision) -> Counter[str]:
    """Characters by role of what may be trained on."""
    characters: Counter[str] = Counter()
    for number in kept:
        if decision.parts[number] == "train":
            characters[notes[number].role] += notes[number].characters
    return characters


def _lengths(notes: Iterable[Note]) -> dict[str, dict[str, int]]:
    """Characters of an item (all its texts), percentiles by set and kind."""
    lengths: dict[str, list[int]] = {}
    for note in notes:
        lengths.setdefault(f"{note.dataset}/{note.kind}", []).append(note.characters)
    return {name: {f"p{q}": _percentile(sorted(values), q) for q in _QUANTILES} for name, values in sorted(lengths.items())}


def _percentile(ordered: Sequence[int], q: int) -> int:
    """Nearest rank."""
    return ordered[max(0, -(-q * len(ordered) // 100) - 1)]


def _clusters(decision: Decision, notes: Sequence[Note]) -> dict[str, int]:
    """Clusters of two and more items that were read; those of multiple choice share a stem."""
    sizes = Counter(filter(None, decision.clusters))
    choice = {name for name, note in zip(decision.clusters, notes, strict=True) if name and note.kind == "choice"}
    return {
        "clusters": len(sizes), "items_in_clusters": sizes.total(), "largest": max(sizes.values(), default=0),
        "stem_clusters_of_choice": len(choice),
    }  # fmt: skip


def _held_out(notes: Sequence[Note], kept: Sequence[int], decision: Decision) -> dict[str, int]:
    def facts(part: str, held_out: str | None) -> list[str]:
        return [notes[n].fact_id for n in kept if decision.parts[n] == part and held_out in (None, notes[n].held_out)]

    return {
        "facts_trained": len(set(facts("train", None)) - {""}),
        "facts_with_held_out_form": len(set(facts("validation", "form")) - {""}),
        "facts_held_out": len(set(facts("validation", "fact")) - {""}),
        "items_held_out_form": len(facts("validation", "form")),
        "items_held_out_fact": len(facts("validation", "fact")),
    }


def _leakage(
    notes: Sequence[Note], kept: Sequence[int], decision: Decision, gates: Mapping[str, tuple[int, int]]
) -> dict[str, dict[str, int]]:
    """What the gates looked at and found. Held-out forms ask about trained facts by design: those are counted, and no leak."""
    trained = {notes[number].fact_id for number in kept if decision.parts[number] == "train"} - {""}
    forms = [notes[number].fact_id for number in kept if notes[number].held_out == "form"]
    shared = {"held_out_forms_of_trained_facts_by_design": (len(forms), sum(fact in trained for fact in forms))}
    return {name: {"checked": checked, "found": found} for name, (checked, found) in {**gates, **shared}.items()}


def _positions(notes: Sequence[Note], kept: Iterable[int], decision: Decision) -> dict[str, dict[str, Any]]:
    """Right answers by position (first to last) for each set and split, and what "always the third" would score: it must not pay."""
    places: dict[str, Counter[int]] = {}
    for number in kept:
        index = notes[number].answer_index
        if index is not None:
            places.setdefault(f"{notes[number].dataset}/{decision.parts[number]}", Counter())[index] += 1
    ordered = sorted(places.items())
    return {
        "answer_positions": {name: [counts[place] for place in range(max(counts) + 1)] for name, counts in ordered},
        "best_constant_guess": {name: round(max(counts.values()) / counts.total(), 4) for name, counts in ordered},
    }
