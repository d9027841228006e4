from collections.abc import Callable

import pytest
from paper_run import GOALS, MODELS, Workspace

from medllm.errors import UserError

BAD: dict[str, tuple[Callable[[Workspace], object], str]] = {
    "no evaluate row": (
        lambda w: (w.metrics / "evaluate" / "student.json").unlink(),
        r"evaluate.student\.json.*dvc repro evaluate@student",
    ),
    "no benchmark row": (lambda w: (w.metrics / "benchmark" / "pruned.json").unlink(), r"benchmark.pruned\.json.*dvc repro benchmark"),
    "no predictions": (lambda w: (w.predictions / "base.jsonl").unlink(), r"base\.jsonl.*dvc repro evaluate@base"),
    "other device": (
        lambda w: w.change("benchmark", "student", device="Other CPU, 2 threads"),
        "device differs: base .*student 'Other CPU",
    ),
    "other device fp32": (lambda w: w.change("benchmark", "teacher_fp32", device="Other CPU"), "device differs: teacher "),
    "other protocol": (lambda w: w.change("evaluate", "student", protocol_version=2), "protocol_version differs"),
    "unknown metric": (lambda w: w.change("evaluate", "student", fluency=1.0), r"unknown metric 'fluency'.*student\.json"),
    "empty test set": (lambda w: w.change("evaluate", "student", sample_accuracy_grounded_n=0), r"empty test set.*student\.json"),
    "not a number": (lambda w: w.change("evaluate", "student", bits_per_byte=float("nan")), r"not a number.*bits_per_byte"),
    "no answers": (lambda w: (w.predictions / "student.jsonl").write_text("", encoding="utf-8"), r"no predictions.*student\.jsonl"),
    "stale metrics": (lambda w: w.change("evaluate", "student", sample_accuracy_answer=0.5), "'student' disagree"),
    "mixed data": (lambda w: _rename(w, "student"), "sample data and some on other"),
}


def _rename(workspace: Workspace, name: str) -> None:
    path = workspace.metrics / "evaluate" / f"{name}.json"
    path.write_text(path.read_text(encoding="utf-8").replace("sample_accuracy", "accuracy"), encoding="utf-8")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(workspace: Workspace, case: str) -> None:
    breaks, message = BAD[case]
    workspace.write()
    breaks(workspace)
    with pytest.raises(UserError, match=message) as caught:
        workspace.compare()
    assert "\n" not in str(caught.value)


def test_other_items_cannot_be_paired(workspace: Workspace) -> None:
    workspace.write()
    path = workspace.predictions / "student.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"q7"', '"other"'), encoding="utf-8")
    with pytest.raises(UserError, match="'base' and 'student' are over different items"):
        workspace.compare()


@pytest.mark.parametrize(
    ("goals", "message"),
    [({**GOALS, "speed": 2.0}, "'speed' is unknown"), ({k: v for k, v in GOALS.items() if k != "size"}, "'size' was measured")],
)
def test_goals_name_every_target_and_no_other(workspace: Workspace, goals: dict[str, float], message: str) -> None:
    workspace.write()
    with pytest.raises(UserError, match=message):
        workspace.compare(goals=goals)


def test_circular_lineage_is_refused(workspace: Workspace) -> None:
    workspace.rows["pruned"] = ("student", *MODELS["pruned"][1:])
    workspace.rows["student"] = (*MODELS["student"][:2], 0.1, *MODELS["student"][3:])
    workspace.write()
    with pytest.raises(UserError, match="circle"):
        workspace.compare()


def test_a_baseline_must_be_in_the_list(workspace: Workspace) -> None:
    del workspace.rows["teacher_gguf_f16"]
    workspace.write()
    with pytest.raises(UserError, match="baseline 'teacher_gguf_f16'"):
        workspace.compare()
