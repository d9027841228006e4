"""Multiple choice: a fixed shuffle that keeps the answer, and the likeliest option."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from medllm.data.examples import question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record
from medllm.engines import open_engine
from medllm.evaluate.choice import chance, choose, majority, read_choice, shuffled


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
    asked = [prompts.question(question_text(row)) for row in rows]
    picks = choose(engine, asked, [[prompts.text(option) for option in row.options] for row in rows], context=256, per_token=False)
    for row, start, pick in zip(rows, asked, picks, strict=True):
        scores = []
        for option in row.options:
            values = engine.token_logprobs([start + prompts.text(option)])[0]
            scores.append(sum(values[-len(prompts.text(option)) :]))
        assert scores[pick] == max(scores)
        assert len(set(scores)) == len(scores)
    # too long a passage loses its beginning, not its question
    options = [[prompts.text(option) for option in row.options] for row in rows]
    longer = [prompts.text("긴 지문입니다. " * 60) + start for start in asked]
    room = min(map(len, asked)) + max(len(option) for group in options for option in group)
    cut, whole = (choose(engine, given[:1], options[:1], context=room, per_token=False) for given in (longer, asked))
    assert cut == whole
    # a sum favours short options, a mean does not
    short, long = prompts.text("내과"), prompts.text("내과" * 12)
    assert choose(engine, asked[:1], [[short, long]], context=256, per_token=False) == [0]
    values = [engine.token_logprobs([asked[0] + option])[0][len(asked[0]) - 1 :] for option in (short, long)]
    means = [sum(one) / len(one) for one in values]
    assert choose(engine, asked[:1], [[short, long]], context=256, per_token=True) == [means.index(max(means))]


OPTIONS = ("외과", "정형외과", "내과", "MRI 검사", "119")


@pytest.mark.parametrize(
    ("output", "pick"),
    [
        ("정형외과입니다.", 1),
        ("정형 외과", 1),
        ("외과입니다.", 0),
        ("진료과는 외과나 정형외과입니다.", None),
        ("2) 정형외과", 1),
        ("2번입니다.", 1),
        ("정답은 3", 2),
        ("③ 내과", 2),
        ("③", 2),
        ("3.5 mg/dL입니다", None),
        ("2 회입니다", None),
        ("1) 내과", 2),  # its text is believed before its number
        ("9", None),
        ("mri검사를 합니다", 3),
        ("119", 4),  # no number of an option, but its text
        ("모르겠습니다", None),
        ("", None),
    ],
)
def test_written_choices_are_read(output: str, pick: int | None) -> None:
    assert read_choice(output, OPTIONS) == pick
