"""Seeded generator of short school maths problems with worked solutions, shaped like AI Hub set 71859 (own texts, computed answers)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from medllm.data.sample.maths_families import FAMILIES, Draft
from medllm.errors import UserError

MARKS = "①②③④⑤"
_ATTEMPTS = 200  # draws of one family before it counts as used up
_T = TypeVar("_T")
_SCHOOLS = {"초등": "초등학교", "중등": "중학교", "고등": "고등학교"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MathsProblem:
    """One problem; formulae stand in `$..$`. `options` are plain (mark i belongs to option i) and empty for a written-answer problem."""

    id: str
    family: str
    school: str
    grade: str
    question: str
    answer: str
    solution: str
    options: tuple[str, ...]
    answer_mark: str


def _ask(stem: str, *, choice: bool) -> str:
    closed = (ord(stem[-1]) - 0xAC00) % 28 > 0  # the last syllable has a final consonant
    if choice:
        return f"{stem}{'은' if closed else '는'}?"
    return f"{stem}{'을' if closed else '를'} 구하시오."


def _shuffled_forever(rng: Random, values: Sequence[_T]) -> Iterator[_T]:
    """Endless blocks, each holding every value once: balanced, without a visible order."""
    while True:
        yield from rng.sample(values, len(values))


def _new_draft(draw: Callable[[Random], Draft], rng: Random, *, seen: set[str], family: str) -> Draft:
    for _ in range(_ATTEMPTS):
        draft = draw(rng)
        if draft.stem not in seen:
            seen.add(draft.stem)
            return draft
    raise UserError(f"maths problems: family {family} has no new question after {len(seen)} problems; lower sample.num_maths")


def problems(count: int, *, seed: int) -> list[MathsProblem]:
    """Draw `count` problems, no two with one question; two thirds are multiple choice with balanced answer positions.

    Every family comes equally often. Raises UserError when one of them runs out of new questions (after several thousand problems).
    """
    rng = Random(seed)
    families = _shuffled_forever(rng, list(FAMILIES))
    choices = _shuffled_forever(rng, (True, True, False))
    positions = _shuffled_forever(rng, range(len(MARKS)))
    found: list[MathsProblem] = []
    seen: set[str] = set()
    for number in range(900_001, 900_001 + count):
        family = next(families)
        level, year, draw = FAMILIES[family]
        draft = _new_draft(draw, rng, seen=seen, family=family)
        choice = next(choices)
        position = next(positions) if choice else 0
        wrong = rng.sample(draft.wrong, len(draft.wrong))
        found.append(
            MathsProblem(
                id=f"S3_{level}_{year}_{number}",
                family=family,
                school=_SCHOOLS[level],
                grade=f"{year}학년",
                question=_ask(draft.stem, choice=choice),
                answer=draft.answer,
                solution=draft.solution,
                options=(*wrong[:position], draft.answer, *wrong[position:]) if choice else (),
                answer_mark=MARKS[position] if choice else "",
            )
        )
    return found
