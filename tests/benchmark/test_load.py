from dataclasses import replace
from typing import Any

import pytest

from medllm.benchmark.load import Cell, Load, Timings, length_cells, user_cells
from medllm.benchmark.load_summary import summarise_load

LOAD = Load(
    models=["a", "s"], users=[1, 4], answers_per_user=2, prompt_lengths=[10, 20], answer_lengths=[3, 5], rounds=2, answer_budget_ms=3000,
    price_per_hour_krw=360,
)  # fmt: skip
LENGTHS = {"prompt_tokens": 8, "answer_tokens": 3}
# seconds of an answer with (1, 4) users; all users of a model are answered side by side
ANSWER_S = {"a": (1.0, 2.0), "s": (0.5, 1.6)}


def timings(slow: float, answers: dict[str, tuple[float, float]]) -> Timings:
    """A round on a machine `slow` times slower: the first token takes half of an answer, the others share the rest."""

    def reply(cell: Cell, seconds: float) -> dict[str, Any]:
        steps = cell.answer_tokens - 1
        arrivals = [slow * seconds * (0.5 + 0.5 * step / steps) for step in range(steps + 1)]
        return {"seconds": slow * seconds * cell.answers / cell.users, "arrivals_s": [arrivals] * cell.answers}

    one_user = {name: {cell: reply(cell, one) for cell in length_cells(LOAD)} for name, (one, _) in answers.items()}
    users = {
        name: {cell: reply(cell, one if cell.users == 1 else many) for cell in user_cells(LOAD, **LENGTHS)}
        for name, (one, many) in answers.items()
    }
    return {name: {**one_user[name], **users[name]} for name in answers}


def figures(answers: dict[str, tuple[float, float]] = ANSWER_S, **changes: Any) -> dict[str, dict[str, Any]]:
    return summarise_load([timings(1, answers), timings(1.5, answers)], replace(LOAD, **changes), baseline_a="a", **LENGTHS)


def test_figures_by_users_and_by_lengths() -> None:
    row = figures()["s"]
    assert row["users_4_answers_per_s"] == pytest.approx((4 / 1.6 + 4 / 2.4) / 2)
    assert row["users_4_answers_per_s_low"] < row["users_4_answers_per_s"] < row["users_4_answers_per_s_high"]
    assert row["users_4_answer_ms_p95"] == pytest.approx(2400)
    assert row["users_1_ttft_ms_p50"] == pytest.approx(1000 * (0.25 + 0.375) / 2)
    assert [row[f"users_1_inter_token_ms_p{percent}"] for percent in (95, 99)] == pytest.approx([1000 * 0.75 / 4] * 2)
    assert row["prompt_20_ttft_ms_p95"] == pytest.approx(375)
    assert row["prompt_20_prefill_tokens_per_s"] == pytest.approx((20 / 0.25 + 20 / 0.375) / 2)
    assert row["prompt_20_answer_5_decode_tokens_per_s"] == pytest.approx((4 / 0.25 + 4 / 0.375) / 2)
    assert row["prompt_10_answer_3_answer_ms_p95"] == pytest.approx(500 + 0.95 * 250)
    assert (row["load_rounds"], row["answers_per_user"]) == (2, 2)


@pytest.mark.parametrize(
    ("budget_ms", "users", "ratio"),
    [
        (3000, (4, 4), 1.6 / 2),  # everything is in time: the best rates, 2 and 2.5 a second
        (2900, (1, 4), 1.6 / 4),  # A answers four users too slowly: one user, one answer a second
        (1500, (1, 1), 0.5),
    ],
)
def test_cost_at_equal_answer_time(budget_ms: float, users: tuple[int, int], ratio: float) -> None:
    found = figures(answer_budget_ms=budget_ms)
    assert (found["a"]["users_in_budget"], found["s"]["users_in_budget"]) == users
    assert found["a"]["cost_ratio_to_a"] == 1
    # the ratio is the same in every round, however slow
    assert [found["s"][f"cost_ratio_to_a{key}"] for key in ("_low", "", "_high")] == pytest.approx([ratio] * 3)
    for row in found.values():
        assert row["cost_per_1000_answers"] == pytest.approx(0.1 * 1000 / row["answers_per_s_in_budget"])  # 360 an hour: 0.1 a second
    dearer = figures(answer_budget_ms=budget_ms, price_per_hour_krw=720)["s"]
    assert dearer["cost_per_1000_answers"] == pytest.approx(2 * found["s"]["cost_per_1000_answers"])
    assert dearer["cost_ratio_to_a"] == found["s"]["cost_ratio_to_a"]


def test_more_users_count_only_when_they_get_more_answers() -> None:
    assert figures({"a": (1.0, 5.0), "s": (0.5, 1.6)}, answer_budget_ms=9000)["a"]["users_in_budget"] == 1


def test_a_model_that_misses_the_budget_is_not_served_and_not_free() -> None:
    found = figures(answer_budget_ms=800)
    ratios = ("cost_ratio_to_a", "cost_ratio_to_a_low", "cost_ratio_to_a_high")
    assert [found["a"][key] for key in ("users_in_budget", "answers_per_s_in_budget", "cost_per_1000_answers", *ratios)] == [None] * 6
    assert found["s"]["cost_per_1000_answers"] > 0
    assert [found["s"][key] for key in ratios] == [None] * 3  # nothing to divide by


def test_no_models_no_load() -> None:
    assert summarise_load([], replace(LOAD, models=[]), baseline_a="a", **LENGTHS) == {}
