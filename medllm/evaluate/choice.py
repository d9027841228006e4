"""Multiple choice: options in shuffled order; the likeliest one as the answer, or the one that the model writes."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from medllm.data.answers import squeeze
from medllm.data.records import Record
from medllm.engines import Engine

_NUMBER = re.compile(r"\s*(?:정답은?|답은?)?\s*[:：]?\s*([1-9①②③④⑤⑥⑦⑧⑨])(?=\s*$|[.,)번입이]|(?<=[①②③④⑤⑥⑦⑧⑨]))(?![.,]\d)")
_CIRCLED = "①②③④⑤⑥⑦⑧⑨"


def shuffled(record: Record) -> Record:
    """The same question with its options in an order drawn from its id: AI Hub's own order favours some positions."""
    order = list(range(len(record.options)))
    random.Random(hashlib.sha256(record.id.encode()).hexdigest()).shuffle(order)
    assert record.answer_index is not None
    return replace(record, options=tuple(record.options[i] for i in order), answer_index=order.index(record.answer_index))


def choose(
    engine: Engine, prompts: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]], *, context: int, per_token: bool
) -> list[int]:
    """Index of the likeliest option after each prompt, by the sum of its token log-probabilities; all in token ids, options by prompt.

    `per_token` takes their mean, for options of very different length: a sum favours the shortest. What does not fit into `context`
    goes: of an option what is over half of it, of a prompt its beginning.
    """
    cut = [[option[: context // 2] for option in group] for group in options]
    starts = [context - max(map(len, group)) for group in cut]
    shown = [prompt[-start:] for prompt, start in zip(prompts, starts, strict=True)]
    picks: list[int] = []
    for prompt, group in zip(shown, cut, strict=True):  # one question at a time: whole distributions are large
        found = engine.distributions([[*prompt, *option] for option in group], [len(prompt)] * len(group))
        values = [[float(row[token]) for row, token in zip(rows, option, strict=True)] for rows, option in zip(found, group, strict=True)]
        mine = [sum(one) / len(one) if per_token else sum(one) for one in values]
        picks.append(mine.index(max(mine)))
    return picks


def read_choice(output: str, options: Sequence[str]) -> int | None:
    """The option that a written answer names: by its text, else by its number at the start; None when it names none or several."""
    text, found = squeeze(output), []
    for at in sorted(range(len(options)), key=lambda at: -len(squeeze(options[at]))):  # the longest first: 외과 is part of 정형외과
        if squeeze(options[at]) in text:
            found.append(at)
            text = text.replace(squeeze(options[at]), "|")
    if found:
        return found[0] if len(found) == 1 else None
    number = _NUMBER.match(output)
    if number is None:
        return None
    at = _CIRCLED.index(number[1]) if number[1] in _CIRCLED else int(number[1]) - 1
    return at if at < len(options) else None


def chance(records: Sequence[Record]) -> float:
    """Expected accuracy of a random pick."""
    return sum(1 / len(record.options) for record in records) / len(records)


def majority(records: Sequence[Record]) -> float:
    """Accuracy of always taking the position that is right most often."""
    return Counter(record.answer_index for record in records).most_common(1)[0][1] / len(records)
