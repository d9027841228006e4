"""Figures of the load part: percentiles by users and by lengths, and what an answer costs where the answers are in time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from medllm.benchmark.load import Cell, Load, Timings, length_cells, user_cells
from medllm.benchmark.summary import Column, inter_token, percentiles, spread

_SECONDS_PER_HOUR = 3600
_ANSWERS = 1000


def summarise_load(
    rounds: Sequence[Timings], load: Load, *, baseline_a: str, prompt_tokens: int, answer_tokens: int
) -> dict[str, dict[str, Any]]:
    """Flat figures of each of `load.models`; percentiles are over all answers (or tokens) of a cell in all rounds."""
    by_users = user_cells(load, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens)[::-1]
    rates = {name: {cell: _rates(rounds, cell, name) for cell in by_users} for name in load.models}
    figures: dict[str, dict[str, Any]] = {}
    for name in load.models:
        figures[name] = _lengths(rounds, length_cells(load), name)
        for cell in by_users:
            arrivals = _arrivals(rounds, [cell], name)
            found = {**spread("answers_per_s", rates[name][cell]), **_first_token(arrivals), **_answer(arrivals)}
            figures[name] |= {f"users_{cell.users}_{key}": value for key, value in found.items()}
    best = {name: _best(figures[name], rates[name], budget_ms=load.answer_budget_ms) for name in load.models}
    for name, chosen in best.items():
        own, of_a = (_of(rates, model, best[model]) for model in (name, baseline_a))
        figures[name] |= {
            "load_rounds": load.rounds,
            "answers_per_user": load.answers_per_user,
            "answer_budget_ms": load.answer_budget_ms,
            "price_per_hour_krw": load.price_per_hour_krw,
            "users_in_budget": chosen.users if chosen else None,
            **_cost(own, of_a, price=load.price_per_hour_krw),
        }
    return figures


def _arrivals(rounds: Sequence[Timings], cells: Sequence[Cell], name: str) -> list[list[float]]:
    return [answer for timings in rounds for cell in cells for answer in timings[name][cell]["arrivals_s"]]


def _rates(rounds: Sequence[Timings], cell: Cell, name: str) -> Column:
    return np.array([cell.answers / timings[name][cell]["seconds"] for timings in rounds], dtype=np.float64)


def _of(rates: Mapping[str, Mapping[Cell, Column]], name: str, cell: Cell | None) -> Column | None:
    return None if cell is None else rates[name][cell]


def _first_token(arrivals: Sequence[Sequence[float]]) -> dict[str, float]:
    return percentiles("ttft_ms", 1000 * np.array([answer[0] for answer in arrivals]), 50, 95)


def _answer(arrivals: Sequence[Sequence[float]]) -> dict[str, float]:
    gaps = np.array([after - before for answer in arrivals for before, after in pairwise(answer)])
    return {**percentiles("answer_ms", 1000 * np.array([answer[-1] for answer in arrivals]), 50, 95), **inter_token(gaps)}


def _lengths(rounds: Sequence[Timings], cells: Sequence[Cell], name: str) -> dict[str, float]:
    row: dict[str, float] = {}
    for length in dict.fromkeys(cell.prompt_tokens for cell in cells):
        arrivals = _arrivals(rounds, [cell for cell in cells if cell.prompt_tokens == length], name)
        first = _first_token(arrivals)
        first["prefill_tokens_per_s"] = float(np.median([length / answer[0] for answer in arrivals]))
        row |= {f"prompt_{length}_{key}": value for key, value in first.items()}
    for cell in cells:
        arrivals = _arrivals(rounds, [cell], name)
        found = _answer(arrivals)
        found["decode_tokens_per_s"] = float(np.median([(len(answer) - 1) / (answer[-1] - answer[0]) for answer in arrivals]))
        row |= {f"prompt_{cell.prompt_tokens}_answer_{cell.answer_tokens}_{key}": value for key, value in found.items()}
    return row


def _best(row: Mapping[str, Any], rates: Mapping[Cell, Column], *, budget_ms: float) -> Cell | None:
    """The number of users at which most answers are given with their 95th percentile in time; None where one user already waits longer."""
    in_time = [cell for cell in rates if row[f"users_{cell.users}_answer_ms_p95"] <= budget_ms]
    return max(in_time, key=lambda cell: float(np.median(rates[cell])), default=None)


def _cost(own: Column | None, of_a: Column | None, *, price: float) -> dict[str, float | None]:
    """Of the best rate within the budget; the ratio is taken within rounds and needs no price. A model that cannot serve has no cost."""
    ratio = "cost_ratio_to_a"
    figures: dict[str, float | None] = dict.fromkeys(
        ("answers_per_s_in_budget", "cost_per_1000_answers", ratio, f"{ratio}_low", f"{ratio}_high")
    )
    if own is not None:
        rate = float(np.median(own))
        figures |= {"answers_per_s_in_budget": rate, "cost_per_1000_answers": price / _SECONDS_PER_HOUR * _ANSWERS / rate}
        if of_a is not None:
            figures |= spread(ratio, of_a / own)
    return figures
