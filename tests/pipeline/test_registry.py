"""Which champion may carry the alias."""

from typing import Any

import pytest

from pipeline.registry import Judgement, judge

MODEL = "student_gguf_q4_0"


def report(verdicts: dict[str, str], *, disqualified: bool = False) -> dict[str, Any]:
    gates = [{"model": MODEL, "metric": metric, "verdict": verdict} for metric, verdict in verdicts.items()]
    others = [{"model": "student", "metric": "accuracy", "verdict": "fail"}]
    return {"gates": [*gates, *others], "champion": MODEL, "models": {MODEL: {"disqualified": disqualified}}}


@pytest.mark.parametrize(("verdicts", "disqualified", "expected"), [
    ({"accuracy": "pass", "safety": "pass"}, False, Judgement(passed=True, reason="every gate passed (accuracy, safety)")),
    ({"accuracy": "pass", "safety": "fail"}, False, Judgement(passed=False, reason="not every gate passed (safety: fail)")),
    ({"b": "cannot_tell", "a": "fail"}, True, Judgement(passed=False, reason="not every gate passed (a: fail, b: cannot_tell)")),
    ({"accuracy": "not_measured"}, False, Judgement(passed=False, reason="not every gate passed (accuracy: not_measured)")),
    ({"accuracy": "pass"}, True, Judgement(passed=False, reason="a model that it was made from failed its gate")),
    ({}, False, Judgement(passed=False, reason="no gate judged it")),
])  # fmt: skip
def test_only_a_model_that_passed_every_gate_is_promoted(verdicts: dict[str, str], disqualified: bool, expected: Judgement) -> None:
    assert judge(report(verdicts, disqualified=disqualified), MODEL) == expected
