"""Several users at once, and several prompt and answer lengths, for a few models in turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medllm.benchmark.process import Worker
from medllm.benchmark.prompts import random_prompt
from medllm.benchmark.turns import in_turn
from medllm.engines.llamacpp_engine import CONTEXT
from medllm.errors import UserError

_WARM_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Knobs. With no `models` nothing is timed.

    Each of `users` sends `answers_per_user` prompts, one after the other; each of `prompt_lengths` is answered with each of
    `answer_lengths`, one at a time. `answer_budget_ms` is for the 95th percentile of answer times, `price_per_hour_krw` for the machine.
    """

    models: Sequence[str]
    users: Sequence[int]
    answers_per_user: int
    prompt_lengths: Sequence[int]
    answer_lengths: Sequence[int]
    rounds: int
    answer_budget_ms: float
    price_per_hour_krw: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing to time: `users` at once, `answers` in all."""

    prompt_tokens: int
    answer_tokens: int
    users: int
    answers: int


Timings = dict[str, dict[Cell, dict[str, Any]]]  # of a round by model and cell, as the worker replied


def check_load(load: Load, *, models: Mapping[str, Any], baseline_a: str) -> None:
    """UserError on knobs that cannot be timed."""
    if not load.models:
        return
    for name in (baseline_a, *load.models):
        if name not in models or name not in load.models:
            raise UserError(f"benchmark.load.models: {name!r} must be in it and among the models ({', '.join(models)}); change one of them")
    for key, least in (("users", 1), ("prompt_lengths", 1), ("answer_lengths", 2)):
        values = getattr(load, key)
        if not values or min(values) < least:
            raise UserError(f"benchmark.load.{key}: {list(values)} is empty or too small; use {least} or more")
    for key in ("answers_per_user", "rounds"):
        if getattr(load, key) < 1:
            raise UserError(f"benchmark.load.{key}: {getattr(load, key)} is too small; use 1 or more")
    longest = max(load.prompt_lengths) + max(load.answer_lengths)
    if longest > CONTEXT:
        raise UserError(f"benchmark.load: prompts and answers of together {longest} tokens do not fit {CONTEXT}; use shorter ones")


def user_cells(load: Load, *, prompt_tokens: int, answer_tokens: int) -> list[Cell]:
    """One for each number of users, the most first: an engine then opens once for all of them."""
    return [
        Cell(prompt_tokens=prompt_tokens, answer_tokens=answer_tokens, users=users, answers=users * load.answers_per_user)
        for users in sorted(load.users, reverse=True)
    ]


def length_cells(load: Load) -> list[Cell]:
    """One for each pair of a prompt and an answer length."""
    pairs = [(prompt, answer) for prompt in load.prompt_lengths for answer in load.answer_lengths]
    return [Cell(prompt_tokens=prompt, answer_tokens=answer, users=1, answers=1) for prompt, answer in pairs]


def time_load(
    workers: Mapping[str, Worker], load: Load, ids: Sequence[int], *, prompt_tokens: int, answer_tokens: int, seed: int
) -> Iterator[Timings]:
    """`load.rounds` rounds, after a short answer in every cell to warm up. Within a round the models take turns at each cell."""
    if not load.models:
        return
    cells = [*user_cells(load, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens), *length_cells(load)]
    for cell in cells:
        for name in load.models:
            workers[name].ask(prompts=_prompts(ids, cell, seed=f"{seed}:warm"), answer_tokens=_WARM_TOKENS, users=cell.users)
    for number in range(load.rounds):
        timings: Timings = {name: {} for name in load.models}
        for turn, cell in enumerate(cells):
            prompts = _prompts(ids, cell, seed=f"{seed}:{number}:{turn}")
            for name in in_turn(load.models, number + turn):
                timings[name][cell] = workers[name].ask(prompts=prompts, answer_tokens=cell.answer_tokens, users=cell.users)
        yield timings


def _prompts(ids: Sequence[int], cell: Cell, *, seed: str) -> list[list[int]]:
    return [random_prompt(ids, length=cell.prompt_tokens, seed=f"load:{seed}:{answer}") for answer in range(cell.answers)]
