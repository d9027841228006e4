"""Quality gates: may this model be used in place of the one it was made from?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medllm.compare.lineage import ancestors, descendants, with_descendants
from medllm.compare.red_flags import Emergencies
from medllm.compare.rows import Metrics, Row, prefix_of
from medllm.errors import UserError
from medllm.statistics.intervals import wilson_interval
from medllm.statistics.multiple import holm
from medllm.statistics.noninferiority import Verdict, items_needed, judge
from medllm.statistics.paired import Difference, flips, mcnemar_p, paired_difference

# They always look bad before recovery; what is made from them is gated instead.
_BEFORE_RECOVERY = frozenset({"prune", "distill"})
# Accuracy that a compressed model must keep of the teacher's, and what the teacher must keep of the base's: tasks of each.
AGAINST_TEACHER: Mapping[str, tuple[str, ...]] = {"accuracy_answer": ("answer",), "accuracy_grounded": ("grounded",)}
AGAINST_BASE: Mapping[str, tuple[str, ...]] = {"accuracy_general": ("passage", "interview")}
# What training and compression may not touch at all: held against the parent.
TOKENIZER, END_TOKEN = "tokenizer", "end_token"
RED_FLAGS_LOST = "red_flags_lost"
RED_FLAG_FLOOR = "red_flag_sensitivity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One question about one model. `disqualifies` names the model and its descendants when it failed.

    `items_needed`: with how many items it could be told, where it cannot. `p_value` is McNemar's, `p_holm` corrected over all paired gates
    of the run; both None where nothing was paired. `note` says in Korean what differs, where it is no number.
    """

    model: str
    step: str
    metric: str
    reference: str
    margin: float
    difference: Difference
    verdict: Verdict
    items_needed: int | None = None
    p_value: float | None = None
    p_holm: float | None = None
    lost: int = 0
    won: int = 0
    disqualifies: tuple[str, ...] = ()
    note: str = ""

    @property
    def admits(self) -> bool:
        """Passed, or undecided with a point estimate within the margin."""
        return self.verdict == "pass" or (self.verdict == "cannot_tell" and self.difference.estimate >= -self.margin)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        found = self.difference
        return {
            "model": self.model, "step": self.step, "metric": self.metric, "reference": self.reference, "margin": self.margin,
            "estimate": found.estimate, "interval": [found.low, found.high], "n": found.n, "clusters": found.clusters,
            "verdict": self.verdict, "admits": self.admits, "items_needed": self.items_needed, "p_value": self.p_value,
            "p_holm": self.p_holm, "lost": self.lost, "won": self.won, "disqualifies": list(self.disqualifies), "note": self.note,
        }  # fmt: skip


def compare_answers(model: Row, reference: Row, *tasks: str, num_resamples: int, seed: int) -> Difference:
    """Paired difference of the two models' scores over some tasks."""
    ours, clusters = model.scores(*tasks)
    theirs, _ = reference.scores(*tasks)
    return paired_difference(ours, theirs, clusters, num_resamples=num_resamples, seed=seed)


def run_gates(
    rows: Mapping[str, Row], *, teacher: str, emergencies: Emergencies, margins: Mapping[str, float], num_resamples: int, seed: int
) -> list[Gate]:
    """All gates of the teacher and of every model made from it; before recovery a model is held to its tokenizer and end token alone."""
    check_margins(margins)
    base = ancestors(teacher, rows)
    exempt = set(base)
    gates: list[Gate] = []
    for name, row in rows.items():
        if name in exempt:
            continue
        gates += _identity_gates(row, rows)
        if row.lineage.step in _BEFORE_RECOVERY:
            continue
        questions = AGAINST_BASE if name == teacher else AGAINST_TEACHER
        reference = rows[base[-1]] if name == teacher and base else rows[teacher]
        if reference is not row:
            gates += [
                _paired_gate(row, reference, metric, tasks, margin=margins[metric], num_resamples=num_resamples, seed=seed)
                for metric, tasks in questions.items()
                if row.scores(*tasks)[0]
            ]
        if name != teacher and emergencies.n:
            gates.append(_red_flag_gate(row, rows[teacher], emergencies))
    gates = _corrected(gates)
    return [replace(gate, disqualifies=(gate.model, *descendants(gate.model, rows))) if gate.verdict == "fail" else gate for gate in gates]


def floor_gate(best: Row, emergencies: Emergencies, *, floor: float) -> Gate:
    """Rules + champion as packaged reach the absolute floor, and miss no 119. All models share the rules, so it disqualifies none."""
    got = len(emergencies.got(best))
    low, high = wilson_interval(got, emergencies.n)
    missed = emergencies.missed(best, "119")
    difference = Difference(
        estimate=got / emergencies.n - floor, low=low - floor, high=high - floor, n=emergencies.n, clusters=emergencies.n
    )
    return Gate(
        model=best.name, step="package", metric=RED_FLAG_FLOOR, reference="", margin=0.0, difference=difference,
        verdict="pass" if got >= floor * emergencies.n and not missed else "fail", lost=len(missed), note=", ".join(missed),
    )  # fmt: skip


def check_margins(margins: Mapping[str, float]) -> None:
    """UserError for a margin of no gate, and for a gate without one."""
    wanted = {*AGAINST_TEACHER, *AGAINST_BASE}
    if odd := sorted(set(margins) ^ wanted):
        fault = "has no margin" if odd[0] in wanted else "is no gated metric"
        raise UserError(f"compare.margins: {odd[0]!r} {fault}; the gated metrics are {', '.join(sorted(wanted))}")


def disqualified(gates: Iterable[Gate], rows: Mapping[str, Row]) -> set[str]:
    """Models whose gate failed, and everything made from them."""
    return with_descendants((gate.model for gate in gates if gate.verdict == "fail"), rows)


def _paired_gate(
    row: Row, reference: Row, metric: str, tasks: Sequence[str], *, margin: float, num_resamples: int, seed: int
) -> Gate:
    difference = compare_answers(row, reference, *tasks, num_resamples=num_resamples, seed=seed)
    ours, theirs = row.scores(*tasks)[0], reference.scores(*tasks)[0]
    changed, verdict = flips(ours, theirs), judge(difference, margin=margin)
    return Gate(
        model=row.name, step=row.lineage.step, metric=prefix_of(row.metrics) + metric, reference=reference.name, margin=margin,
        difference=difference, verdict=verdict, items_needed=items_needed(difference, margin=margin) if verdict == "cannot_tell" else None,
        p_value=mcnemar_p(ours, theirs), lost=changed.lost, won=changed.won,
    )  # fmt: skip


def _red_flag_gate(row: Row, teacher: Row, emergencies: Emergencies) -> Gate:
    """One-sided and without a margin: not one emergency that rules + teacher get may be lost."""
    lost, won = emergencies.changed(row, teacher)
    nothing_to_lose = "" if emergencies.got(teacher) - emergencies.by_rules() else "규칙 말고 teacher가 잡는 것이 없어 잃을 것도 없습니다."
    low, high = wilson_interval(len(lost), emergencies.n)
    n = emergencies.n
    difference = Difference(estimate=0.0 - len(lost) / n, low=0.0 - high, high=0.0 - low, n=n, clusters=n)
    return Gate(
        model=row.name, step=row.lineage.step, metric=RED_FLAGS_LOST, reference=teacher.name, margin=0.0, difference=difference,
        verdict="fail" if lost else "pass", lost=len(lost), won=len(won), note=", ".join(lost) or nothing_to_lose,
    )  # fmt: skip


def _identity_gates(row: Row, rows: Mapping[str, Row]) -> list[Gate]:
    """Tokenizer and end tokens, as the engine has them, are those of the parent."""
    parent = rows.get(row.lineage.parent or "")
    if parent is None:
        return []
    return [_identity_gate(row, parent, TOKENIZER, _changed_tokenizer), _identity_gate(row, parent, END_TOKEN, _changed_end)]


def _identity_gate(row: Row, parent: Row, metric: str, changed: Callable[[Metrics, Metrics], str]) -> Gate:
    note = changed(row.metrics, parent.metrics)
    estimate = 0.0 - bool(note)
    return Gate(
        model=row.name, step=row.lineage.step, metric=metric, reference=parent.name, margin=0.0,
        difference=Difference(estimate=estimate, low=estimate, high=estimate, n=1, clusters=1),
        verdict="fail" if note else "pass", note=note,
    )  # fmt: skip


def _changed_tokenizer(ours: Metrics, theirs: Metrics) -> str:
    new, old = ours.get("tokenizer_sha256"), theirs.get("tokenizer_sha256")
    return "" if new == old else f"{old} → {new}"


def _changed_end(ours: Metrics, theirs: Metrics) -> str:
    """A GGUF holds one end token where a Hugging Face folder may hold several: fewer are fine, as long as the trained one stays."""
    trained, own, parents = str(ours.get("end_token")), _words(ours.get("end_tokens")), _words(theirs.get("end_tokens"))
    lost = trained in parents and trained not in own
    if trained != str(theirs.get("end_token")) or lost or own - parents - {trained}:
        return f"{theirs.get('end_token')} ({theirs.get('end_tokens')}) → {trained} ({ours.get('end_tokens')})"
    return ""


def _words(value: Any) -> set[str]:
    return set(str(value or "").split())


def _corrected(gates: Sequence[Gate]) -> list[Gate]:
    """Holm's correction over all paired gates of this run."""
    corrected = holm({f"{gate.model} {gate.metric}": gate.p_value for gate in gates if gate.p_value is not None})
    return [replace(gate, p_holm=corrected.get(f"{gate.model} {gate.metric}")) for gate in gates]
