"""Everything that the model writes itself: closed-book and grounded answers, written choices, worked solutions, consultations."""

import re
from collections.abc import Sequence

from medllm.data.answers import TermScorer, squeeze
from medllm.data.examples import question_text
from medllm.data.prompts import Prompts, Turn
from medllm.data.records import Record
from medllm.engines import Engine
from medllm.errors import UserError
from medllm.evaluate.choice import read_choice
from medllm.evaluate.rows import Row, prediction
from medllm.evaluate.terms import EntityScorer
from medllm.evaluate.wording import wording

# Of a consultation the oldest turns go when it is longer, so that its answer has room in a context of 512.
_TALK_TOKENS = 240
_FINAL = re.compile(r"정답[은:：]?\s*")
_LATEX = re.compile(r"[\s$,]|\\(?:left|right|,|;|!)")


class Writer:
    """Generates and marks; one engine, one tokenizer."""

    def __init__(self, engine: Engine, prompts: Prompts, *, context: int) -> None:
        """`context` is how many tokens prompt and answer may take together."""
        self._engine, self._prompts, self._context = engine, prompts, context
        self.cut = 0  # prompts whose beginning did not fit

    def outputs(self, asked: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[tuple[str, bool]]:
        """(text, whether the model itself ended it) for each prompt."""
        room = self._context - max_new_tokens
        if room < 1:
            raise UserError(f"evaluate.max_new_tokens: {max_new_tokens} leave no room in a context of {self._context}; lower them")
        self.cut += sum(len(ids) > room for ids in asked)
        answers = self._engine.generate([ids[-room:] for ids in asked], max_new_tokens=max_new_tokens)
        return [(self._prompts.decode(ids), len(ids) < max_new_tokens) for ids in answers]

    def answers(
        self, records: Sequence[Record], scorer: TermScorer, entities: EntityScorer, *, task: str, max_new_tokens: int
    ) -> list[Row]:
        """Short answers, grounded ones with their facts in the prompt.

        `contradicted`: a term was said that is wrong here. `entity`, for terminology: the same thing was named, by any of its names.
        """
        asked = [self._prompts.question(question_text(r), facts=r.context if task == "grounded" else ()) for r in records]
        rows = []
        for record, ids, (output, ended) in zip(records, asked, self.outputs(asked, max_new_tokens=max_new_tokens), strict=True):
            marks = wording(output, given=[question_text(record), *record.context, *record.must], ended=ended)
            marks["contradicted"] = int(bool(scorer.wrong_terms(record, output)))
            if (entity := entities.right(record, output)) is not None:
                marks["entity"] = int(entity)
            rows.append(prediction(record, task, ids, output, scorer.right(record, output), **marks))
        return rows

    def choices(self, records: Sequence[Record], *, max_new_tokens: int) -> list[Row]:
        """The same questions as the scored choice, answered in writing. `unread`: the answer names no option, or several."""
        asked = [self._prompts.question(question_text(record)) for record in records]
        rows = []
        for record, ids, (output, _) in zip(records, asked, self.outputs(asked, max_new_tokens=max_new_tokens), strict=True):
            pick = read_choice(output, record.options)
            rows.append(prediction(record, "choice_written", ids, output, pick == record.answer_index, unread=int(pick is None)))
        return rows

    def solutions(self, records: Sequence[Record], *, max_new_tokens: int) -> list[Row]:
        """Worked solutions; right when what follows the last "정답:" is the final answer. Without that mark nothing was answered."""
        asked = [self._prompts.question(question_text(record)) for record in records]
        rows = []
        for record, ids, (output, ended) in zip(records, asked, self.outputs(asked, max_new_tokens=max_new_tokens), strict=True):
            final = final_answer(output)
            right = final is not None and final in {_plain(term) for term in record.must}
            rows.append(prediction(record, "solution", ids, output, right, unread=int(final is None), unended=int(not ended)))
        return rows

    def advice(self, records: Sequence[Record], *, max_new_tokens: int) -> list[Row]:
        """The last answer of consultations whose earlier turns are given; right when it holds a `must` term (진료과, 119, 109)."""
        asked, given = [], []
        for record in records:
            texts = [text for _, text in record.messages]
            history = [Turn(question=question, answer=answer) for question, answer in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
            while history and len(self._prompts.question(texts[-2], history=history)) > _TALK_TOKENS:
                history = history[1:]
            asked.append(self._prompts.question(texts[-2], history=history))
            given.append(texts)
        rows = []
        for record, ids, texts, (output, ended) in zip(
            records, asked, given, self.outputs(asked, max_new_tokens=max_new_tokens), strict=True
        ):
            right = any(squeeze(term) in squeeze(output) for term in record.must)
            rows.append(prediction(record, "scenario", ids, output, right, **wording(output, given=texts, ended=ended)))
        return rows


def final_answer(solution: str) -> str | None:
    """What follows the last "정답" on its line, without LaTeX marks, blanks and commas; None without one."""
    parts = _FINAL.split(solution)
    return _plain(parts[-1].split("\n")[0].rstrip(". ")) if len(parts) > 1 else None


def _plain(term: str) -> str:
    return squeeze(_LATEX.sub("", term))
