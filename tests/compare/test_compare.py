import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.compare import compare
from medllm.compare.metrics import METRICS, find_metric
from medllm.compare.targets import TARGETS
from medllm.errors import UserError
from medllm.model.folder import Lineage
from medllm.statistics import wilson_interval

N = 400
GOALS = {
    "size_int8": 0.6,
    "size": 0.5,
    "decode_speed": 2.0,
    "peak_memory": 0.25,
    "resident_weights": 0.5,
    "sample_accuracy_answer": 0.9,
    "sample_accuracy_vs_teacher": -0.02,
    "decode_vs_b": 1.0,
    "answer_time": 3000.0,
    "cost": 0.5,
}
# name: parent, step, accuracy, bytes, decode tokens/s, dtype
MODELS: dict[str, tuple[str | None, str, float, int, float, str]] = {
    "base": (None, "fetch_base", 0.05, 1000, 300, "bf16"),
    "teacher": ("base", "finetune", 0.97, 1000, 300, "bf16"),
    "pruned": ("teacher", "prune", 0.02, 750, 330, "bf16"),
    "distilled": ("pruned", "distill", 0.50, 750, 330, "bf16"),
    "student": ("distilled", "finetune", 0.97, 750, 330, "bf16"),
    "teacher_gguf_f16": ("teacher", "quantize", 0.97, 1010, 3000, "f16"),
    "teacher_gguf_q8_0": ("teacher", "quantize", 0.97, 540, 3600, "q8_0"),
    "teacher_gguf_q4_0": ("teacher", "quantize", 0.965, 320, 3900, "q4_0"),
    "student_gguf_f16": ("student", "quantize", 0.97, 760, 3500, "f16"),
    "student_gguf_q8_0": ("student", "quantize", 0.97, 400, 4200, "q8_0"),
    "student_gguf_q4_0": ("student", "quantize", 0.965, 240, 4500, "q4_0"),
    "student_bnb_int8": ("student", "quantize", 0.97, 500, 60, "int8"),
}


class Workspace:
    """Metric files, predictions and model folders of a whole run."""

    def __init__(self, root: Path) -> None:
        self.metrics, self.predictions, self.models = root / "metrics", root / "predictions", root / "models"
        self.rows = dict(MODELS)
        self.prefix = "sample_"

    def write(self) -> None:
        for name, (parent, step, accuracy, size, rate, dtype) in self.rows.items():
            right = round(accuracy * N)
            self.write_json(self.metrics / "evaluate" / f"{name}.json", self.evaluated(right))
            self.write_json(self.metrics / "benchmark" / f"{name}.json", self.timed(size, rate, dtype))
            rows = [
                {"item_id": f"q{i}", "task": "answer", "cluster": f"f{i // 2}", "output": "", "score": int(i < right)} for i in range(N)
            ]
            rows.append({"item_id": "c0", "task": "choice", "cluster": "f0", "output": "", "score": 1})
            self.predictions.mkdir(parents=True, exist_ok=True)
            (self.predictions / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            folder = self.models / name
            folder.mkdir(parents=True, exist_ok=True)
            Lineage(name=name, parent=parent, step=step, method="test").save(folder)
            if "gguf" in name:
                (folder / "model.gguf").write_bytes(b"GGUF")
        self.write_json(self.metrics / "benchmark" / "teacher_fp32.json", self.timed(1000, 150, "fp32"))

    def evaluated(self, right: int) -> dict[str, Any]:
        low, high = wilson_interval(right, N)
        accuracy = {"": right / N, "_n": N, "_low": low, "_high": high}
        return {
            **{f"{self.prefix}accuracy_answer{key}": value for key, value in accuracy.items()},
            f"{self.prefix}accuracy_choice": 1.0,
            "bits_per_byte": 0.5,
            "protocol_version": 1,
        }

    def timed(self, size: int, rate: float, dtype: str) -> dict[str, Any]:
        quick = rate >= 1000
        figures = {"bytes": size, "peak_rss_bytes": 40_000 if quick else 400_000, "resident_weight_bytes": size}
        for letter, other in (("a", 300), ("b", 3000)):
            figures |= {f"decode_ratio_to_{letter}{key}": rate / other * factor for key, factor in (("", 1), ("_low", 0.9), ("_high", 1.1))}
        conditions = {"device": "Test CPU, 2 threads", "threads": 2, "prompt_tokens": 32, "answer_tokens": 64, "rounds": 5}
        answer = {"answer_ms_p50": 64_000 / rate, "answer_ms_p95": 66_000 / rate}
        return {
            **figures,
            **conditions,
            **answer,
            "decode_tokens_per_s": rate,
            "dtype": dtype,
            "engine": "llama.cpp" if quick else "transformers",
        }

    @staticmethod
    def write_json(path: Path, values: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    def change(self, kind: str, name: str, **values: Any) -> None:
        path = self.metrics / kind / f"{name}.json"
        self.write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **values})

    def compare(self, **changes: Any) -> dict[str, Any]:
        knobs: dict[str, Any] = {"margin": 0.02, "goals": GOALS, "seed": 0, "num_resamples": 200}
        folders = {"metrics": self.metrics, "predictions": self.predictions, "models_folder": self.models}
        return compare(list(self.rows), **folders, baseline_a="teacher", baseline_b="teacher_gguf_f16", **{**knobs, **changes})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_good_run(workspace: Workspace) -> None:
    workspace.write()
    result = workspace.compare()
    assert result["champion"] == "student_gguf_q4_0"
    assert result == workspace.compare()
    json.dumps(result, allow_nan=False)
    assert result["baselines"] == {"a": "teacher", "b": "teacher_gguf_f16"}
    assert list(result["models"]) == list(MODELS)
    assert {gate["model"] for gate in result["gates"]} == set(MODELS) - {"base", "teacher", "pruned", "distilled"}
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
    assert unmeasured == {"medical_accuracy", "staff_workload", "service_24h", "emergencies"}
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
    gate = next(gate for gate in result["gates"] if gate["model"] == "student")
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
    gate = next(gate for gate in result["gates"] if gate["model"] == "student_gguf_q4_0")
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


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("sample_accuracy_answer_low", "accuracy_answer"),
        ("bits_per_byte", "bits_per_byte"),
        ("decode_ratio_to_a_high", "decode_ratio_to_a"),
    ],
)
def test_metric_names(name: str, plain: str) -> None:
    assert find_metric(name, where="x") is METRICS[plain]
