"""Multiple choice: options in shuffled order, the option whose text is likeliest as the answer."""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from medllm.data.examples import question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record
from medllm.engines import Engine


def shuffled(record: Record) -> Record:
    """The same question with its options in an order drawn from its id: AI Hub's own order favours some positions."""
    order = list(range(len(record.options)))
    random.Random(hashlib.sha256(record.id.encode()).hexdigest()).shuffle(order)
    assert record.answer_index is not None
    return replace(record, options=tuple(record.options[i] for i in order), answer_index=order.index(record.answer_index))


def choose(engine: Engine, prompts: Prompts, records: Sequence[Record]) -> list[int]:
    """Index of the option with the highest sum of token log-probabilities after the prompt, for each record."""
    sequences: list[list[int]] = []
    starts: list[int] = []
    for record in records:
        prompt = prompts.question(question_text(record))
        sequences += [prompt + prompts.text(option) for option in record.options]
        starts += [len(prompt)] * len(record.options)
    scores = [sum(values[start - 1 :]) for values, start in zip(engine.token_logprobs(sequences), starts, strict=True)]
    picks: list[int] = []
    for record in records:
        mine, scores = scores[: len(record.options)], scores[len(record.options) :]
        picks.append(mine.index(max(mine)))
    return picks


def chance(records: Sequence[Record]) -> float:
    """Expected accuracy of a random pick."""
    return sum(1 / len(record.options) for record in records) / len(records)


def majority(records: Sequence[Record]) -> float:
    """Accuracy of always taking the position that is right most often."""
    return Counter(record.answer_index for record in records).most_common(1)[0][1] / len(records)
