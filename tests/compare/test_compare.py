import json

import pytest
from paper_run import GOALS, MODELS, N, Workspace

from medllm.compare.targets import TARGETS
from medllm.errors import UserError
from medllm.statistics.intervals import wilson_interval


def test_a_good_run(workspace: Workspace) -> None:
    workspace.write()
    result = workspace.compare()
    assert result["champion"] == "student_gguf_q4_0"
    assert result == workspace.compare()
    json.dumps(result, allow_nan=False)
    assert result["baselines"] == {"a": "teacher", "b": "teacher_gguf_f16"}
    assert list(result["models"]) == list(MODELS)
    assert {gate["model"] for gate in result["gates"]} == set(MODELS) - {"base"}
    assert all(gate["verdict"] == "pass" for gate in result["gates"])
    assert not any(entry["disqualified"] for entry in result["models"].values())
    entry = result["models"]["student_gguf_q4_0"]
    assert entry["deployable"]
    assert entry["lineage"] == {"parent": "student", "step": "quantize", "method": "test"}
    assert entry["ratios"]["bytes_to_a"] == pytest.approx(0.24)
    assert entry["ratios"]["decode_to_b"] == pytest.approx(1.5)
    assert result["extra_rows"]["teacher_fp32"]["ratios"]["decode_to_a"] == pytest.approx(0.5)


def test_targets_of_a_good_run(workspace: Workspace) -> None:
    workspace.write()
    targets = workspace.compare()["targets"]
    assert tuple(targets) == TARGETS
    unmeasured = {name for name, target in targets.items() if target["verdict"] == "not_measured"}
    assert unmeasured == {"medical_accuracy", "staff_workload", "service_24h"}
    assert all(targets[name]["value"] is None and targets[name]["note"] for name in unmeasured)
    assert {target["verdict"] for name, target in targets.items() if name not in unmeasured} == {"pass"}
    assert targets["size"]["value"] == pytest.approx(0.24)
    assert targets["size"]["value_b"] == pytest.approx(240 / 1010)
    assert targets["size_int8"]["value"] == pytest.approx(0.4)
    assert targets["size_int8"]["note"] == "student_gguf_q8_0 모델의 값입니다."
    assert targets["decode_speed"]["value"] == pytest.approx(15)
    assert targets["decode_speed"]["interval"] == pytest.approx([13.5, 16.5])
    assert targets["decode_speed"]["value_b"] == pytest.approx(1.5)
    assert targets["sample_accuracy_answer"]["interval"] == pytest.approx(wilson_interval(386, N))
    assert targets["sample_accuracy_vs_teacher"]["value"] == pytest.approx(-2 / N)
    assert targets["answer_time"]["value"] == pytest.approx(66_000 / 4500)
    assert targets["cost"]["value"] == pytest.approx(300 / 4500)


@pytest.mark.parametrize(("name", "goal"), [("size", 0.2), ("decode_speed", 20.0), ("sample_accuracy_answer", 0.99), ("decode_vs_b", 2.0)])
def test_a_missed_goal_fails(workspace: Workspace, name: str, goal: float) -> None:
    workspace.write()
    assert workspace.compare(goals={**GOALS, name: goal})["targets"][name]["verdict"] == "fail"


def test_a_ruined_student_leaves_a_quantised_teacher(workspace: Workspace) -> None:
    for name in [name for name in MODELS if name.startswith("student")]:
        parent, step, _, *rest = MODELS[name]
        # One of the children looks well by itself: it must fall with its parent all the same.
        workspace.rows[name] = (parent, step, 0.97 if name == "student_gguf_q4_0" else 0.10, *rest)
    workspace.write()
    result = workspace.compare()
    assert result["champion"] == "teacher_gguf_q4_0"
    assert {name for name, entry in result["models"].items() if entry["disqualified"]} == {n for n in MODELS if n.startswith("student")}
    gate = next(g for g in result["gates"] if (g["model"], g["metric"]) == ("student", "sample_accuracy_answer"))
    assert gate["verdict"] == "fail"
    assert set(gate["disqualifies"]) == {name for name in MODELS if name.startswith("student")}
    assert "실격" in result["targets"]["size_int8"]["note"]


def test_a_disqualified_fallback_still_leaves_a_champion(workspace: Workspace) -> None:
    for name, (parent, step, _, *rest) in MODELS.items():
        if name not in ("base", "teacher"):
            workspace.rows[name] = (parent, step, 0.1, *rest)
    workspace.write()
    result = workspace.compare()
    assert result["champion"] == "teacher_gguf_f16"
    assert "규칙을 만족하는 모델이 없어" in result["champion_rule"]
    assert "(teacher_gguf_f16)" in result["champion_rule"]


@pytest.mark.parametrize(("accuracy", "admits"), [(0.955, True), (0.9475, False)])
def test_undecided_gates_go_by_the_point_estimate(workspace: Workspace, accuracy: float, admits: bool) -> None:
    parent, step, _, *rest = MODELS["student_gguf_q4_0"]
    workspace.rows["student_gguf_q4_0"] = (parent, step, accuracy, *rest)
    workspace.write()
    result = workspace.compare()
    gate = next(g for g in result["gates"] if (g["model"], g["metric"]) == ("student_gguf_q4_0", "sample_accuracy_answer"))
    assert gate["verdict"] == "cannot_tell"
    assert not gate["disqualifies"]
    assert result["champion"] == ("student_gguf_q4_0" if admits else "teacher_gguf_q4_0")


def test_ties_go_to_accuracy_then_name(workspace: Workspace) -> None:
    for name, accuracy in (("teacher_gguf_q4_0", 0.97), ("student_gguf_q8_0", 0.97), ("student_gguf_q4_0", 0.965)):
        parent, step, _, _, rate, dtype = MODELS[name]
        workspace.rows[name] = (parent, step, accuracy, 240, rate, dtype)
    workspace.write()
    assert workspace.compare()["champion"] == "student_gguf_q8_0"


def test_what_the_report_prints_is_polite_korean(workspace: Workspace) -> None:
    workspace.write()
    result = workspace.compare()
    texts = [result["champion_rule"], *(target["note"] for target in result["targets"].values())]
    sentences = [sentence for text in texts for sentence in text.removesuffix(".").split(". ")]
    assert all(sentence.endswith(("니다", "십시오")) for sentence in sentences)


def test_compression_gain_is_against_the_same_engine(workspace: Workspace) -> None:
    parent, step, accuracy, _, rate, dtype = MODELS["teacher_gguf_q8_0"]
    workspace.rows["teacher_gguf_q8_0"] = (parent, step, accuracy, 1010, rate, dtype)
    workspace.write()
    models = workspace.compare()["models"]
    assert models["student_gguf_q4_0"]["compression"]["against"] == "student_gguf_f16"
    assert models["pruned"]["compression"]["against"] == "teacher"
    assert models["student_bnb_int8"]["compression"]["against"] == "student"
    gains = {name: entry["compression_gain"] for name, entry in models.items()}
    assert gains == {
        "base": None,
        "teacher": None,
        "pruned": True,
        "distilled": None,
        "student": None,
        "teacher_gguf_f16": None,  # a change of engine, not a compression
        "teacher_gguf_q8_0": False,  # not smaller than f16
        "teacher_gguf_q4_0": True,
        "student_gguf_f16": None,
        "student_gguf_q8_0": True,
        "student_gguf_q4_0": True,
        "student_bnb_int8": False,  # smaller, but slower
    }


def test_other_data_judge_medical_accuracy(workspace: Workspace) -> None:
    workspace.prefix = ""
    workspace.write()
    with pytest.raises(UserError, match="'medical_accuracy' was measured"):
        workspace.compare()
    targets = workspace.compare(goals={**GOALS, "medical_accuracy": 0.9})["targets"]
    assert targets["medical_accuracy"]["verdict"] == "pass"
    assert targets["sample_accuracy_answer"]["verdict"] == "not_measured"


def test_random_weights_have_no_quality(workspace: Workspace) -> None:
    workspace.write()
    base = workspace.models / "base" / "lineage.json"
    base.write_text(json.dumps({**json.loads(base.read_text(encoding="utf-8")), "notes": {"random_weights": True}}), encoding="utf-8")
    targets = workspace.compare()["targets"]
    for name in ("sample_accuracy_answer", "sample_accuracy_vs_teacher", "medical_accuracy"):
        assert (targets[name]["verdict"], targets[name]["value"]) == ("not_measured", None)
    assert targets["size"]["verdict"] == "pass"
