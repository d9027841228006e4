"""Which champion may carry the alias."""

from typing import Any

import pytest

from pipeline.registry import Judgement, judge

MODEL = "student_gguf_q4_0"


def report(verdicts: dict[str, str], *, disqualified: bool = False) -> dict[str, Any]:
    gates = [{"model": MODEL, "metric": metric, "verdict": verdict} for metric, verdict in verdicts.items()]
    others = [{"model": "student", "metric": "accuracy", "verdict": "fail"}]
    return {"gates": [*gates, *others], "champion": MODEL, "last_resort": False, "models": {MODEL: {"disqualified": disqualified}}}


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


def test_neither_a_last_resort_nor_an_experiment_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = report({"accuracy": "pass"})
    assert judge(passed, MODEL).passed
    assert judge(passed | {"last_resort": True}, MODEL).reason == "the last resort: no model met the rule"
    monkeypatch.setenv("DVC_EXP_NAME", "ten")
    assert not judge(passed, MODEL).passed
