"""The baseline check on interviews: which of several answers belongs to the dialogue so far? (response selection)"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

from medllm.data.records import Record

ASKED, ANSWERED = "질문자: ", "답변자: "  # as medllm.data.aihub.interview writes them
_OPTIONS = 4


def interview_items(dialogues: Sequence[Record]) -> list[Record]:
    """A multiple-choice record for every answered question: the dialogue up to it, its answer, and answers of other dialogues.

    No options can be drawn where fewer than four dialogues are there: no items. The wrong answers are drawn by hash. An item may be
    passed on when all dialogues that it quotes may.
    """
    if len(dialogues) < _OPTIONS:
        return []
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    answers = {
        dialogue.id: [line.removeprefix(ANSWERED) for line in dialogue.text.split("\n") if line.startswith(ANSWERED)]
        for dialogue in dialogues
    }
    items: list[Record | None] = []
    for dialogue in dialogues:
        lines = dialogue.text.split("\n")
        for at, (question, answer) in enumerate(pairwise(lines)):
            if question.startswith(ASKED) and answer.startswith(ANSWERED):
                items.append(_item(by_id, dialogue.id, lines[: at + 1], answer.removeprefix(ANSWERED), answers))
    return [item for item in items if item is not None]


def _item(
    dialogues: Mapping[str, Record], own: str, before: Sequence[str], answer: str, answers: Mapping[str, Sequence[str]]
) -> Record | None:
    def order(other: str) -> str:
        return hashlib.sha256(f"{own}:{len(before)}:{other}".encode()).hexdigest()

    usable = [name for name in sorted(answers, key=order) if name != own and answers[name] and answer not in answers[name]]
    quoted = usable[: _OPTIONS - 1]
    if len(quoted) < _OPTIONS - 1:  # an answer like "네." is in all the others too
        return None
    dialogue = dialogues[own]
    return Record(
        id=f"{own}:{len(before)}", dataset=dialogue.dataset, role=dialogue.role, kind="choice", source_split=dialogue.source_split,
        question="\n".join([*before, ANSWERED.rstrip()]), options=(answer, *(min(answers[name], key=order) for name in quoted)),
        answer=answer, answer_index=0, cluster=own, licence=dialogue.licence, eval_only=dialogue.eval_only,
        redistributable=all(dialogues[name].redistributable for name in (own, *quoted)),
    )  # fmt: skip
