"""Which adapter reads an item: by the keys of the record, checked against the set that the folder names."""

from collections.abc import Callable

from medllm.data.aihub.interview import read_interview
from medllm.data.aihub.item import ESSENTIAL, INTERVIEW, KOREAN, MATHS, SPECIALIST, RawItem, RejectedError
from medllm.data.aihub.korean import read_passage_question
from medllm.data.aihub.maths import read_problem
from medllm.data.aihub.medical import read_question, read_statement
from medllm.data.records import Record

_MEDICAL = (ESSENTIAL, SPECIALIST)


def _shape(item: RawItem) -> tuple[Callable[[RawItem], Record], tuple[str, ...]]:
    """The adapter for the record's keys, and the sets that have such records."""
    if "qa_id" in item.row:
        return read_question, _MEDICAL
    if "c_id" in item.row:
        return read_statement, _MEDICAL
    if "script" in item.row:
        return read_interview, (INTERVIEW,)
    blocks = item.row.get("learning_data_info")
    if isinstance(blocks, list):  # the sibling set 71855 has an object here
        names = {block.get("class_name") for block in blocks if isinstance(block, dict)}
        if any(isinstance(name, str) and name.endswith("(텍스트)") for name in names):
            return read_problem, (MATHS,)
        return read_passage_question, (KOREAN,)
    raise RejectedError("unknown_shape")


def read_item(item: RawItem) -> Record:
    """The record of an item. RejectedError: no adapter knows its shape, the folder is of another set, or the adapter refuses it."""
    adapter, datasets = _shape(item)
    if item.hint and item.hint not in datasets:
        raise RejectedError("wrong_set")
    return adapter(item)
