"""Records -> token sequences with the place where the loss starts. No torch here: evaluation uses it too."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medllm.data.prompts import Prompts, render_choice
from medllm.data.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Token ids of one sequence, and the position from which the loss counts. `key` finds cached teacher logits again."""

    ids: Sequence[int]
    loss_from: int = 0
    key: int = -1


def question_text(record: Record) -> str:
    """The question as the model sees it: options numbered, passage first."""
    question = render_choice(record.question, record.options) if record.options else record.question
    return f"{record.passage}\n{question}" if record.passage else question


def answer_text(record: Record) -> str:
    """The right answer as the model should say it: the option's text, or the answer itself."""
    return record.options[record.answer_index] if record.options and record.answer_index is not None else record.answer


def _draw(record_id: str, seed: int) -> random.Random:
    return random.Random(hashlib.sha256(f"{seed}:{record_id}".encode()).hexdigest())


def qa_examples(
    records: Iterable[Record], prompts: Prompts, *, roles: Sequence[str], grounded_share: float, num_distractors: int, max_tokens: int,
    seed: int,
) -> list[Example]:  # fmt: skip
    """Question-answer sequences of these roles with the loss on the answer; a share of those that carry facts is also seen open-book.

    An open-book copy has the fact among `num_distractors` other facts in random order. Sequences over `max_tokens` are left out.
    """
    rows = [record for record in records if record.role in roles]
    statements = sorted({fact for record in rows for fact in record.context})
    sequences: list[tuple[list[int], int]] = []
    for record in rows:
        question, answer = question_text(record), answer_text(record)
        rng = _draw(record.id, seed)
        sequences.append(prompts.answered(question, answer))
        if record.context and rng.random() < grounded_share:
            others = [fact for fact in rng.sample(statements, min(len(statements), num_distractors + 1)) if fact not in record.context]
            facts = [*record.context, *others[:num_distractors]]
            rng.shuffle(facts)
            sequences.append(prompts.answered(question, answer, facts=facts))
    kept = [(ids, start) for ids, start in sequences if len(ids) <= max_tokens]
    return [Example(ids=ids, loss_from=start, key=number) for number, (ids, start) in enumerate(kept)]
