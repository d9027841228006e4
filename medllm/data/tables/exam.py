"""Exam questions in columns: KorMedMCQA (options A to E), KoMedQA (AI Hub's fields as columns), and question/answer[/options]."""

import json
import re

from medllm.data.aihub.item import RejectedError, text_field
from medllm.data.aihub.medical import DOMAINS, split_question
from medllm.data.aihub.options import CIRCLED, NUMBERS, marked_parts, split_mark, squeeze
from medllm.data.records import Record
from medllm.data.tables.item import TableRow

KORMEDMCQA, KOMEDQA = "kormedmcqa", "komedqa"
_KORMEDMCQA_LICENCE = "CC BY-NC 2.0 (KorMedMCQA, arXiv 2403.01469)"
_HANGUL = re.compile("[가-힣]")
LETTERS = ("A", "B", "C", "D", "E")


def read_kormedmcqa(item: TableRow) -> Record:
    """sean0042/KorMedMCQA: `answer` 1 to 5. Every part of it, train too, is for evaluation alone: it is the exam itself."""
    if any(not item.has(letter) for letter in LETTERS):
        raise RejectedError("options_not_five")
    options = tuple(item.text(letter) for letter in LETTERS)
    number = item.integer("answer")
    if not 1 <= number <= len(options):
        raise RejectedError("answer_not_an_option")
    name = "-".join([item.text("subject"), *(str(item.integer(key)) for key in ("year", "period", "q_number"))])
    return Record(
        id=f"{KORMEDMCQA}:{name}", dataset=KORMEDMCQA, role="medical", kind="choice", source_split="validation",
        question=item.text("question"), answer=options[number - 1], options=options, answer_index=number - 1,
        licence=_KORMEDMCQA_LICENCE, redistributable=False, eval_only=True,
    )  # fmt: skip


def read_komedqa(item: TableRow) -> Record:
    """AI Hub's medical questions of all 17 departments as one table. Not redistributable unless a source file says so.

    The set is published under CC0, but a table that someone made of AI Hub's own files has the same columns.
    """
    q_type, domain = item.integer("q_type"), item.integer("domain")
    if not _HANGUL.search(item.text("question")):
        raise RejectedError("not_korean", bad=False)  # the set's English translation, under the same ids
    question, options, index, answer = split_question(q_type, item.text("question"), item.text("answer"))
    if domain not in DOMAINS:
        raise RejectedError("unknown_domain")
    return Record(
        id=f"{KOMEDQA}:{item.integer('qa_id')}", dataset=KOMEDQA, role="medical", kind="choice" if q_type == 1 else "qa",
        question=question, answer=answer, options=options, answer_index=index, department=DOMAINS[domain], **item.terms(),
    )  # fmt: skip


def read_question_answer(item: TableRow) -> Record:
    """`options` as a list, an object by label, or marked text; `answer` as the option's text, mark, letter or number (from 1)."""
    question = item.text("question")
    options = _options(item.row["options"]) if item.has("options") else ()
    answer, index = (item.text("answer"), None) if not options else _answer(item, options)
    return Record(
        id=f"{item.dataset}:{item.item_id}", dataset=item.dataset, role="medical", kind="choice" if options else "qa",
        question=question, answer=answer, options=options, answer_index=index, **item.terms(),
    )  # fmt: skip


def _options(value: object) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):  # CSV cells hold lists as JSON
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RejectedError("options_not_rebuilt") from error
    if isinstance(value, str):
        value = next((dict(parts) for style in (NUMBERS, CIRCLED) if len(parts := marked_parts(value, style, lines_only=False)[1]) > 1), [])
    if isinstance(value, dict):
        value = [text for _, text in sorted(value.items())]
    if not isinstance(value, list) or len(value) < 2:
        raise RejectedError("options_not_rebuilt")
    return tuple(text_field({"options": option}, "options") for option in value)


def _answer(item: TableRow, options: tuple[str, ...]) -> tuple[str, int]:
    """The option that the answer names: by its text first, since an option may itself be a number or a letter."""
    answer = str(item.row["answer"]) if isinstance(item.row.get("answer"), int) else item.text("answer")
    texts = [squeeze(option) for option in options]
    marks = (split_mark(answer, style) for style in (NUMBERS, CIRCLED))
    marked = next(((index, text) for index, text in marks if index is not None), None)
    if texts.count(squeeze(answer)) == 1:
        index = texts.index(squeeze(answer))
    elif marked is not None:
        index = marked[0]
        if marked[1] and index < len(texts) and squeeze(marked[1]) != texts[index]:
            raise RejectedError("answer_not_an_option")
    elif answer.isdecimal():
        index = int(answer) - 1
    else:
        index = LETTERS.index(answer.upper()) if answer.upper() in LETTERS else -1
    if not 0 <= index < len(options):
        raise RejectedError("answer_not_an_option")
    return options[index], index
