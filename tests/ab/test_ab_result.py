import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medllm.ab import ab_test
from medllm.ab.table import table
from medllm.ab.verdicts import items_to_tell, verdict_of
from medllm.statistics.paired import Difference, mcnemar_p

Write = Callable[..., Path]
KNOBS: dict[str, Any] = {"margin": 0.02, "num_resamples": 500, "num_experiments": 200, "seed": 3}


def _difference(estimate: float, low: float, high: float) -> Difference:
    return Difference(estimate=estimate, low=low, high=high, n=400, clusters=100)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "verdict", "needed"),
    [
        (0.0, -0.01, 0.01, "equivalent", 400),
        (0.01, 0.005, 0.015, "equivalent", 400),  # another, but not by what matters
        (0.05, 0.01, 0.09, "better", 400),
        (-0.05, -0.09, -0.01, "worse", 400),
        (0.0, -0.04, 0.04, "cannot_tell", 1600),  # half as wide: equivalent
        (0.04, -0.04, 0.12, "cannot_tell", 1600),  # half as wide: better
        (-0.04, -0.12, 0.04, "cannot_tell", 1600),
        (0.015, -0.015, 0.045, "cannot_tell", 1600),  # apart at 0.015, sooner than alike at 0.005
        (0.005, -0.025, 0.035, "cannot_tell", 1600),  # alike at 0.015, sooner than apart at 0.005
    ],
)
def test_verdicts(estimate: float, low: float, high: float, verdict: str, needed: int) -> None:
    difference = _difference(estimate, low, high)
    assert verdict_of(difference, margin=0.02) == verdict
    assert items_to_tell(difference, margin=0.02) == pytest.approx(needed, abs=1)


def test_without_a_margin_equal_models_are_never_told() -> None:
    assert items_to_tell(_difference(0.0, -0.04, 0.04), margin=0.0) is None


def test_result_of_two_tasks(write: Write) -> None:
    source = np.random.default_rng(0)
    a = {"answer": source.integers(0, 2, 300).tolist(), "choice": [1, 0] * 20}
    b = {"answer": [max(score, i % 3 == 0) * 1 for i, score in enumerate(a["answer"])], "choice": a["choice"]}
    # The order of the rows is the writer's business.
    paths = write("a", a), write("b", b, change=lambda rows: rows.reverse())
    result = ab_test(*paths, tasks=["answer", "choice"], **KNOBS)
    assert result == ab_test(*paths, tasks=["answer", "choice"], **KNOBS)
    answer, choice = result["tasks"]["answer"], result["tasks"]["choice"]
    won = sum(b["answer"]) - sum(a["answer"])
    assert (answer["n"], answer["clusters"], answer["verdict"]) == (300, 150, "better")
    assert answer["difference"] == pytest.approx(answer["b"] - answer["a"]) == pytest.approx(won / 300)
    assert answer["flips"] == {"lost": 0, "won": won, "rate": pytest.approx(won / 300)}
    assert answer["p"] == mcnemar_p(b["answer"], a["answer"])
    assert answer["p_holm"] == pytest.approx(2 * answer["p"])
    assert (choice["verdict"], choice["flips"]["rate"], choice["p_holm"]) == ("cannot_tell", 0, 1)
    assert choice["items_needed"] > 40
    json.dumps(result, allow_nan=False)
    assert result["sha256"]["a"] == hashlib.sha256(paths[0].read_bytes()).hexdigest() != result["sha256"]["b"]
    lines = table(result)
    assert [line.split()[0] for line in lines] == ["task", "answer", "choice", "choice:"]
    assert "items like these would tell" in lines[-1]


def test_the_arms_are_not_mixed_up(write: Write) -> None:
    a, b = write("a", {"answer": [1] * 60}), write("b", {"answer": [0, 1] * 30})
    forth, back = (ab_test(*paths, tasks=["answer"], **KNOBS)["tasks"]["answer"] for paths in ((a, b), (b, a)))
    assert (forth["verdict"], back["verdict"], forth["difference"], back["difference"]) == ("worse", "better", -0.5, 0.5)
    assert (forth["flips"]["lost"], forth["flips"]["won"]) == (back["flips"]["won"], back["flips"]["lost"]) == (30, 0)
    assert forth["interval"][0] == pytest.approx(-back["interval"][1], abs=0.1)
