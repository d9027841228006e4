"""Quality gates: may this model be used in place of the teacher?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from medllm.compare.lineage import ancestors, descendants, with_descendants
from medllm.compare.rows import Row, accuracy_name
from medllm.statistics import Difference, paired_difference

GateVerdict = Literal["pass", "fail", "cannot_tell"]
# They always look bad before recovery; what is made from them is gated instead.
_BEFORE_RECOVERY = frozenset({"prune", "distill"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Result for one model; `disqualifies` names the model and its descendants when it failed."""

    model: str
    metric: str
    margin: float
    difference: Difference
    verdict: GateVerdict
    disqualifies: tuple[str, ...]

    @property
    def admits(self) -> bool:
        """Passed, or undecided with a point estimate within the margin."""
        return self.verdict == "pass" or (self.verdict == "cannot_tell" and self.difference.estimate >= -self.margin)


def judge(difference: Difference, *, margin: float) -> GateVerdict:
    """Fail when the whole interval of (model - teacher) is below -margin, pass when none of it is, else cannot tell."""
    if difference.high < -margin:
        return "fail"
    return "pass" if difference.low >= -margin else "cannot_tell"


def compare_answers(model: Row, reference: Row, *, num_resamples: int, seed: int) -> Difference:
    """Paired difference of the two models' answers, items in sorted order."""
    items = sorted(reference.scores.score)
    return paired_difference(
        [model.scores.score[item] for item in items],
        [reference.scores.score[item] for item in items],
        [reference.scores.cluster[item] for item in items],
        num_resamples=num_resamples,
        seed=seed,
    )


def run_gates(rows: Mapping[str, Row], *, teacher: str, margin: float, num_resamples: int, seed: int) -> list[Gate]:
    """Gate every model but the teacher, its ancestors, and the steps before recovery."""
    exempt = {teacher, *ancestors(teacher, rows)}
    gates = []
    for name, row in rows.items():
        if name in exempt or row.lineage.step in _BEFORE_RECOVERY:
            continue
        difference = compare_answers(row, rows[teacher], num_resamples=num_resamples, seed=seed)
        verdict = judge(difference, margin=margin)
        gates.append(
            Gate(
                model=name,
                metric=accuracy_name(row.metrics),
                margin=margin,
                difference=difference,
                verdict=verdict,
                disqualifies=(name, *descendants(name, rows)) if verdict == "fail" else (),
            )
        )
    return gates


def disqualified(gates: list[Gate], rows: Mapping[str, Row]) -> set[str]:
    """Models whose gate failed, and everything made from them."""
    return with_descendants((gate.model for gate in gates if gate.verdict == "fail"), rows)
