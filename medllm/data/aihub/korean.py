"""AI Hub 71857 (국어 교과 지문형 문제): reading comprehension, half of the baseline check."""

from medllm.data.aihub.item import AIHUB_LICENCE, KOREAN, RawItem, RejectedError
from medllm.data.aihub.options import CIRCLED, merge_marked, split_mark
from medllm.data.aihub.school import class_texts, required, source_name
from medllm.data.records import Record


def read_passage_question(item: RawItem) -> Record:
    """A passage, a question and its options in the order of their marks. Without the passage the question means nothing: no_passage."""
    texts = class_texts(item)
    question, right = required(texts, "문항"), required(texts, "정답")
    if "지문" not in texts:
        raise RejectedError("no_passage", bad=False)
    if split_mark(right, CIRCLED)[0] is None:
        raise RejectedError("written_answer", bad=False)
    merged = merge_marked(right, required(texts, "오답"))
    if merged is None:
        raise RejectedError("options_not_rebuilt")
    options, index = merged
    return Record(
        id=f"{KOREAN}:{source_name(item)}", dataset=KOREAN, role="baseline_check", kind="passage_choice", source_split=item.split,
        passage=texts["지문"], question=question, answer=options[index], options=options, answer_index=index, licence=AIHUB_LICENCE,
    )  # fmt: skip
