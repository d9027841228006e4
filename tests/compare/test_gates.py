"""Planted regressions: each is caught by the gate that is there for it, and named; an untouched copy passes."""

import numpy as np
import pytest
from paper_run import MARGINS, MODELS, N, Workspace

from medllm.errors import UserError

BROKEN = "student_gguf_q4_0"


@pytest.fixture
def copies(workspace: Workspace) -> Workspace:
    """A run in which the smallest model answers exactly as its teacher does."""
    parent, step, _, *rest = MODELS[BROKEN]
    workspace.rows[BROKEN] = (parent, step, 0.97, *rest)
    workspace.write()
    return workspace


def failed(result: dict, model: str = BROKEN) -> dict:
    return {gate["metric"]: gate for gate in result["gates"] if gate["model"] == model and gate["verdict"] == "fail"}


def test_an_untouched_copy_passes_every_gate(copies: Workspace) -> None:
    result = copies.compare()
    mine = {gate["metric"]: gate["verdict"] for gate in result["gates"] if gate["model"] == BROKEN}
    assert mine == dict.fromkeys(
        ["sample_accuracy_answer", "sample_accuracy_grounded", "red_flags_lost", "tokenizer", "end_token", "red_flag_sensitivity"], "pass"
    )
    assert result["champion"] == BROKEN
    assert not result["screens"][BROKEN]["suspicious"]
    assert result["targets"]["emergencies"]["verdict"] == "pass"


@pytest.mark.parametrize("seed", range(5))
def test_five_per_cent_of_broken_answers(copies: Workspace, seed: int) -> None:
    rows = copies.read_rows(BROKEN)
    right = [row for row in rows if row["task"] == "answer" and row["score"]]
    for at in np.random.default_rng(seed).choice(len(right), size=N // 20, replace=False):
        right[at]["score"] = 0
    copies.write_rows(BROKEN, rows)
    copies.change("evaluate", BROKEN, sample_accuracy_answer=(len(right) - N // 20) / N)
    result = copies.compare(seed=seed)
    gate = failed(result)["sample_accuracy_answer"]
    assert list(failed(result)) == ["sample_accuracy_answer"]
    assert gate["estimate"] == pytest.approx(-0.05)
    assert gate["interval"][1] < -0.02
    assert (gate["lost"], gate["won"], gate["reference"]) == (N // 20, 0, "teacher")
    assert gate["p_value"] <= gate["p_holm"] < 0.001
    assert gate["disqualifies"] == [BROKEN]
    assert result["champion"] != BROKEN


def test_a_lost_red_flag_answer(copies: Workspace) -> None:
    rows = copies.read_rows(BROKEN)
    next(row for row in rows if row["item_id"] == "em_41")["score"] = 0
    copies.write_rows(BROKEN, rows)
    result = copies.compare()
    gate = failed(result)["red_flags_lost"]
    assert list(failed(result)) == ["red_flags_lost"]
    assert (gate["lost"], gate["note"], gate["n"]) == (1, "em_41", 43)
    assert result["champion"] != BROKEN


def test_what_a_rule_gets_the_model_cannot_lose(copies: Workspace) -> None:
    rows = copies.read_rows(BROKEN)
    for row in rows:
        if row["task"] == "red_flag" and row["item_id"] not in ("em_41", "em_42"):
            row["score"] = 0
    copies.write_rows(BROKEN, rows)
    assert copies.compare()["champion"] == BROKEN


def test_a_removed_rule_misses_the_floor_of_the_package(copies: Workspace) -> None:
    copies.rules.write_text("\n".join(line for line in copies.rules.read_text(encoding="utf-8").splitlines() if "RF01" not in line) + "\n")
    result = copies.compare()
    gate = failed(result)["red_flag_sensitivity"]
    # em_0 is the only one that no model gets: nothing is lost to the teacher, and yet the floor is missed
    assert (gate["note"], gate["step"], gate["disqualifies"]) == ("em_0", "package", [])
    assert result["champion"] == BROKEN
    target = result["targets"]["emergencies"]
    assert (target["verdict"], target["value"]) == ("fail", pytest.approx(42 / 43))
    # the share alone would do: one missed 119 bars it
    assert copies.compare(goals={**_goals(), "emergencies": 0.5})["targets"]["emergencies"]["verdict"] == "fail"
    assert result["emergencies"]["levels"]["119"]["missed"] == ["em_0"]


def _goals() -> dict[str, float]:
    from paper_run import GOALS

    return dict(GOALS)


@pytest.mark.parametrize(
    ("metric", "key", "value"), [("tokenizer", "tokenizer_sha256", "beef"), ("end_token", "end_tokens", "<|pad|>")]
)
def test_a_swapped_tokenizer_or_end_token(copies: Workspace, metric: str, key: str, value: str) -> None:
    copies.change("evaluate", BROKEN, **{key: value})
    if metric == "tokenizer":  # other ids, other prompts: a matter for the gate, not a reason to give up
        rows = copies.read_rows(BROKEN)
        copies.write_rows(BROKEN, [{**row, "prompt_sha256": row["prompt_sha256"][::-1]} for row in rows])
    result = copies.compare()
    assert list(failed(result)) == [metric]
    assert value in failed(result)[metric]["note"]
    assert failed(result)[metric]["reference"] == "student"
    assert result["screens"][BROKEN]["suspicious"] is (metric == "tokenizer")
    assert result["champion"] != BROKEN


def test_a_failure_goes_down_the_chain(copies: Workspace) -> None:
    copies.change("evaluate", "student", end_tokens="<|pad|>")
    result = copies.compare()
    students = {name for name in MODELS if name.startswith("student")}
    assert set(failed(result, "student")["end_token"]["disqualifies"]) == students
    assert {name for name, entry in result["models"].items() if entry["disqualified"]} == students
    assert result["champion"] == "teacher_gguf_q4_0"


def test_other_prompts_of_one_tokenizer_are_not_paired(copies: Workspace) -> None:
    rows = copies.read_rows(BROKEN)
    rows[3]["prompt_sha256"] = "other"
    copies.write_rows(BROKEN, rows)
    with pytest.raises(UserError, match=r"different items .*'q3' of task 'answer'"):
        copies.compare()


def test_a_teacher_that_forgot_korean(copies: Workspace) -> None:
    rows = copies.read_rows("teacher")
    copies.write_rows("teacher", [{**row, "score": 0} if row["task"] == "passage" else row for row in rows])
    result = copies.compare()
    gate = failed(result, "teacher")["sample_accuracy_general"]
    assert (gate["reference"], gate["step"], gate["estimate"]) == ("base", "finetune", -0.5)
    assert set(gate["disqualifies"]) == set(MODELS) - {"base"}
    assert "규칙을 만족하는 모델이 없어" in result["champion_rule"]


def test_what_cannot_be_told_says_how_many_items_it_takes(copies: Workspace) -> None:
    rows = copies.read_rows(BROKEN)
    for row in rows:
        if row["item_id"] in ("g0", "g1", "g2", "g3"):
            row["score"] = 0
    copies.write_rows(BROKEN, rows)
    gate = next(gate for gate in copies.compare()["gates"] if (gate["model"], gate["metric"]) == (BROKEN, "sample_accuracy_grounded"))
    assert gate["verdict"] == "cannot_tell"
    assert gate["admits"]
    assert gate["items_needed"] > 100


def test_a_slow_model_is_no_champion(copies: Workspace) -> None:
    copies.change("benchmark", BROKEN, answer_ms_p95=3001.0)
    assert copies.compare()["champion"] != BROKEN


def test_screens_see_a_moved_distribution(copies: Workspace) -> None:
    moved = np.log(np.array([[0.93, *[0.01] * 7]] * 6))
    np.save(copies.screens / f"{BROKEN}.npy", moved.astype(np.float16))
    screen = copies.compare()["screens"][BROKEN]
    assert screen["kl_to_teacher_nats"] == pytest.approx(-np.log(8) - moved[0].mean(), abs=0.01)
    assert screen["suspicious"]
    (copies.screens / f"{BROKEN}.npy").unlink()
    with pytest.raises(UserError, match=r"student_gguf_q4_0\.npy; run `dvc repro evaluate@student_gguf_q4_0`"):
        copies.compare()


@pytest.mark.parametrize(
    ("margins", "message"),
    [({**MARGINS, "fluency": 0.1}, "'fluency' is no gated metric"), ({"accuracy_answer": 0.02}, "'accuracy_general' has no margin")],
)
def test_margins_name_every_gate_and_no_other(copies: Workspace, margins: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        copies.compare(margins=margins)


def test_departments_and_detectable_effects(copies: Workspace) -> None:
    result = copies.compare()
    assert result["departments"] == {"내과": {"n": 200, "teacher": 194, BROKEN: 194}, "외과": {"n": 200, "teacher": 194, BROKEN: 194}}
    assert 0 < result["detectable"]["accuracy_answer"]["minimum_detectable_effect"] < 0.03  # not one answer differs
    assert (result["emergencies"]["false_alarms"], result["emergencies"]["safe"]) == (1, 2)


def test_a_gguf_may_hold_fewer_end_tokens_than_the_folder_it_was_made_from(copies: Workspace) -> None:
    several = "<|endoftext|> <|im_end|>"
    for name in MODELS:
        if "gguf" not in name:
            copies.change("evaluate", name, end_tokens=several)
    assert copies.compare()["champion"] == BROKEN
    copies.change("evaluate", BROKEN, end_tokens="<|im_end|>")  # not the one that answers were trained with
    assert list(failed(copies.compare())) == ["end_token"]


def test_distillation_may_not_touch_the_tokenizer_either(copies: Workspace) -> None:
    copies.change("evaluate", "distilled", tokenizer_sha256="beef")
    result = copies.compare()
    assert "student" in failed(result, "distilled")["tokenizer"]["disqualifies"]
    assert result["champion"] == "teacher_gguf_q4_0"


def test_flips_that_cancel_out_in_a_cluster_are_no_fault(copies: Workspace) -> None:
    rows = {row["item_id"]: row for row in copies.read_rows(BROKEN)}
    right = next(name for name, row in rows.items() if row["task"] == "answer" and row["score"])
    twin = next(name for name, row in rows.items() if row["cluster"] == rows[right]["cluster"] and name != right)
    teacher = {row["item_id"]: row for row in copies.read_rows("teacher")}
    rows[right]["score"], rows[twin]["score"], teacher[right]["score"], teacher[twin]["score"] = 0, 1, 1, 0
    for name, changed in ((BROKEN, rows), ("teacher", teacher)):
        copies.write_rows(name, list(changed.values()))
        scores = [row["score"] for row in changed.values() if row["task"] == "answer"]
        copies.change("evaluate", name, sample_accuracy_answer=sum(scores) / len(scores))
    found = copies.compare()["detectable"]["accuracy_answer"]
    assert found["design_effect"] == 1.0
    assert found["minimum_detectable_effect"] > 0


def test_a_last_resort_says_so(copies: Workspace) -> None:
    assert copies.compare()["last_resort"] is False
    for name in MODELS:
        copies.change("benchmark", name, answer_ms_p95=4000.0)
    assert copies.compare()["last_resort"] is True


@pytest.mark.parametrize("served", ["model", "baseline"])
def test_cost_is_not_measured_where_somebody_misses_the_budget(copies: Workspace, served: str) -> None:
    users = 2 if served == "model" else None
    copies.change("benchmark", BROKEN, load_rounds=2, cost_ratio_to_a=None, users_in_budget=users, answer_budget_ms=3000)
    cost = copies.compare()["targets"]["cost"]
    assert (cost["value"], cost["verdict"]) == (None, "not_measured")
    assert ("기준 A" if served == "model" else "이 모델") in cost["note"]
