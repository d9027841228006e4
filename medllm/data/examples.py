"""Records -> token sequences with the place where the loss starts. No torch here: evaluation uses it too."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from medllm.data.prompts import Prompts, render_choice
from medllm.data.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Token ids of one sequence and the half-open `scored` spans on which the loss counts (all of it by default).

    `key` finds cached teacher logits again.
    """

    ids: Sequence[int]
    scored: tuple[tuple[int, int], ...] | None = None
    key: int = -1

    @property
    def targets(self) -> list[int]:
        """Positions of `ids` that are predicted and scored; the first token has nothing before it."""
        spans = self.scored if self.scored is not None else ((0, len(self.ids)),)
        return [place for start, end in spans for place in range(max(start, 1), end)]


def question_text(record: Record) -> str:
    """The question as the model sees it: options numbered, passage first."""
    question = render_choice(record.question, record.options) if record.options else record.question
    return f"{record.passage}\n{question}" if record.passage else question


def answer_text(record: Record) -> str:
    """The right answer as the model should say it: the option's text, or the answer itself."""
    return record.options[record.answer_index] if record.options and record.answer_index is not None else record.answer


def _draw(record_id: str, seed: int) -> random.Random:
    return random.Random(hashlib.sha256(f"{seed}:{record_id}".encode()).hexdigest())


def open_book_only(record: Record) -> bool:
    """A reading drill: a chat whose system message holds the facts that the answers must come from."""
    return record.kind == "chat" and record.messages[0][0] == "system"


def chat_example(record: Record, prompts: Prompts, *, max_tokens: int, questions: bool = False) -> Example | None:
    """A conversation as one sequence, the loss on the answers, or from the first question on (`questions`).

    A system message stands where the facts stand. Of a conversation over `max_tokens` the last turns are left out; None: not even one fits.
    """
    turns = list(record.messages)
    facts = tuple(turns.pop(0)[1].split("\n")) if turns[0][0] == "system" else ()
    ids: list[int] = prompts.facts(facts)
    scored: list[tuple[int, int]] = []
    for (_, question), (_, answer) in zip(turns[::2], turns[1::2], strict=True):
        part, start = prompts.answered(question, answer)
        if len(ids) + len(part) > max_tokens:
            break
        scored.append((len(ids) + (0 if questions else start), len(ids) + len(part)))
        ids += part
    return Example(ids=ids, scored=tuple(scored)) if scored else None


def qa_examples(
    records: Iterable[Record], prompts: Prompts, *, roles: Sequence[str], grounded_share: float, reading_share: float,
    consultation_share: float, num_distractors: int, max_tokens: int, seed: int,
) -> list[Example]:  # fmt: skip
    """Question-answer sequences of these roles with the loss on the answers; a share of those that carry facts is also seen open-book.

    An open-book copy has the fact among `num_distractors` other facts in random order. Chats are one sequence each, a share of the reading
    drills and of the consultations. Sequences over `max_tokens` are left out.
    """
    rows = [record for record in records if record.role in roles]
    statements = sorted({fact for record in rows for fact in record.context})
    examples: list[Example | None] = []
    for record in rows:
        rng = _draw(record.id, seed)
        if record.kind == "chat":
            if rng.random() < (reading_share if open_book_only(record) else consultation_share):
                examples.append(chat_example(record, prompts, max_tokens=max_tokens))
            continue
        question, answer = question_text(record), answer_text(record)
        examples.append(_answered(prompts, question, answer, ()))
        if record.context and rng.random() < grounded_share:
            others = [fact for fact in rng.sample(statements, min(len(statements), num_distractors + 1)) if fact not in record.context]
            facts = [*record.context, *others[:num_distractors]]
            rng.shuffle(facts)
            examples.append(_answered(prompts, question, answer, facts))
    kept = [example for example in examples if example is not None and len(example.ids) <= max_tokens]
    return [replace(example, key=number) for number, example in enumerate(kept)]


def _answered(prompts: Prompts, question: str, answer: str, facts: Sequence[str]) -> Example:
    ids, start = prompts.answered(question, answer, facts=facts)
    return Example(ids=ids, scored=((start, len(ids)),))
