"""What an A/B test says, task by task."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from medllm.ab.arms import Pairs, pair, read_arm
from medllm.ab.null import self_test
from medllm.errors import UserError
from medllm.statistics.intervals import CONFIDENCE
from medllm.statistics.multiple import holm
from medllm.statistics.noninferiority import items_needed, judge
from medllm.statistics.paired import Difference, flips, mcnemar_p, paired_difference

Verdict = Literal["better", "worse", "equivalent", "cannot_tell"]


def ab_test(
    predictions_a: Path, predictions_b: Path, *, tasks: list[str], margin: float, num_resamples: int, num_experiments: int, seed: int
) -> dict[str, Any]:
    """Hold B against A on the same items: {"sha256", "conditions", "tasks": {task: shares, B - A, tests, flips, verdict, self_test}}.

    `margin` is the difference (share) that does not matter, `num_experiments` the pairs of the A/A self-test, drawn from A's scores.
    The p values are McNemar's, by Holm over `tasks`; they take items as independent, the interval and the verdict do not.
    Raises UserError on a missing file, a bad line, a task without items, and items that cannot be paired.
    """
    if not tasks:
        raise UserError("ab.tasks: no task; name at least one")
    a, b = read_arm(predictions_a), read_arm(predictions_b)
    pairs = {task: pair(a, b, task) for task in tasks}
    p_values = {task: mcnemar_p(one.b, one.a) for task, one in pairs.items()}
    adjusted = holm(p_values)
    knobs = {"num_resamples": num_resamples, "seed": seed}
    return {
        "sha256": {"a": a.sha256, "b": b.sha256},
        "conditions": {"margin": margin, "confidence": CONFIDENCE, "num_experiments": num_experiments, **knobs},
        "tasks": {
            task: {
                **_task_entry(one, margin=margin, **knobs),
                "p": p_values[task],
                "p_holm": adjusted[task],
                "self_test": _self_test_entry(one, num_experiments=num_experiments, **knobs),
            }
            for task, one in pairs.items()
        },
    }


def verdict_of(difference: Difference, *, margin: float) -> Verdict:
    """Equivalent when neither is worse than the other by more than the margin, else better or worse when the interval leaves 0 out."""
    if judge(difference, margin=margin) == judge(_mirrored(difference), margin=margin) == "pass":
        return "equivalent"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "cannot_tell"


def items_to_tell(difference: Difference, *, margin: float) -> int | None:
    """Items, clustered alike, at which the same estimate would get a verdict; `n` when it has one, None when no number would do."""
    if verdict_of(difference, margin=margin) != "cannot_tell":
        return difference.n
    mirrored = _mirrored(difference)
    apart = items_needed(difference if difference.estimate < 0 else mirrored, margin=0.0)
    # An estimate beyond the margin fails on one side, which takes more items than telling it from 0.
    alike = [items_needed(side, margin=margin) for side in (difference, mirrored)]
    ways = [apart, None if None in alike else max(one for one in alike if one is not None)]
    return min((way for way in ways if way is not None), default=None)


def _mirrored(difference: Difference) -> Difference:
    """A - B."""
    return replace(difference, estimate=-difference.estimate, low=-difference.high, high=-difference.low)


def _task_entry(pairs: Pairs, *, margin: float, num_resamples: int, seed: int) -> Mapping[str, Any]:
    difference = paired_difference(pairs.b, pairs.a, pairs.clusters, num_resamples=num_resamples, seed=seed)
    changed = flips(pairs.b, pairs.a)
    return {
        "n": difference.n,
        "clusters": difference.clusters,
        "a": fmean(pairs.a),
        "b": fmean(pairs.b),
        "difference": difference.estimate,
        "interval": [difference.low, difference.high],
        "flips": {"lost": changed.lost, "won": changed.won, "rate": changed.rate},
        "verdict": verdict_of(difference, margin=margin),
        "items_needed": items_to_tell(difference, margin=margin),
    }


def _self_test_entry(pairs: Pairs, *, num_resamples: int, num_experiments: int, seed: int) -> Mapping[str, Any]:
    found = self_test(pairs.a, pairs.clusters, num_resamples=num_resamples, num_experiments=num_experiments, seed=seed)
    return {
        "false_positives": found.false_positives,
        "rate": found.rate,
        "interval": [found.low, found.high],
        "nominal": round(1 - CONFIDENCE, 12),
        "holds": found.holds,
    }
