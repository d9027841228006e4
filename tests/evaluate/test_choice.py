"""Multiple choice: a fixed shuffle that keeps the answer, and the likeliest option."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from medllm.data.examples import question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record
from medllm.engines import open_engine
from medllm.evaluate.choice import chance, choose, majority, shuffled


def record(number: int, options: Sequence[str] = ("감기", "고혈압", "위염", "천식", "폐렴"), answer: int = 0) -> Record:
    return Record(
        id=f"set:{number}", dataset="set", role="medical", kind="choice", source_split="validation", question="알맞은 것은?",
        options=tuple(options), answer=options[answer], answer_index=answer,
    )  # fmt: skip


def test_the_shuffle_is_fixed_and_keeps_the_answer() -> None:
    rows = [record(number, answer=number % 5) for number in range(200)]
    mixed = [shuffled(row) for row in rows]
    assert mixed == [shuffled(row) for row in rows]
    for row, new in zip(rows, mixed, strict=True):
        assert sorted(new.options) == sorted(row.options)
        assert new.answer_index is not None
        assert new.options[new.answer_index] == row.answer
    assert len({new.options for new in mixed}) > 50
    # where the source always has the answer first, no position may be favoured any more
    assert majority([shuffled(replace(row, answer_index=0)) for row in rows]) < 0.35


def test_chance_and_majority() -> None:
    rows = [record(1, answer=2), record(2, answer=2), record(3, ("가", "나"), answer=0), record(4, answer=1)]
    assert chance(rows) == pytest.approx((0.2 + 0.2 + 0.5 + 0.2) / 4)
    assert majority(rows) == 0.5


def test_the_likeliest_option_is_chosen(tiny_folder: Path) -> None:
    prompts, engine = Prompts.load(tiny_folder), open_engine(tiny_folder, threads=1, dtype="fp32")
    rows = [record(1), record(2, ("혈액 검사", "내과"), answer=1), record(3, ("내과", "혈액 검사", "119"))]
    picks = choose(engine, prompts, rows)
    for row, pick in zip(rows, picks, strict=True):
        start = prompts.question(question_text(row))
        scores = []
        for option in row.options:
            values = engine.token_logprobs([start + prompts.text(option)])[0]
            scores.append(sum(values[-len(prompts.text(option)) :]))
        assert scores[pick] == max(scores)
        assert len(set(scores)) == len(scores)
    # the order of the options is part of the prompt; the pick is a text of this very record
    assert all(0 <= pick < len(row.options) for row, pick in zip(rows, picks, strict=True))
