"""Which adapter reads a row: by its columns, whatever the file is called."""

from collections.abc import Callable

from medllm.data.aihub.item import RejectedError
from medllm.data.records import Record
from medllm.data.tables.chat import read_chat
from medllm.data.tables.exam import KOMEDQA, KORMEDMCQA, LETTERS, read_komedqa, read_kormedmcqa, read_question_answer
from medllm.data.tables.item import TableRow

# first match wins: the columns that a row must have, the adapter, and the set that the columns name ("": that of the file)
_SHAPES: tuple[tuple[frozenset[str], Callable[[TableRow], Record], str], ...] = (
    (frozenset({"subject", "year", "period", "q_number", "question", "answer", *LETTERS}), read_kormedmcqa, KORMEDMCQA),
    (frozenset({"qa_id", "domain", "q_type", "question", "answer"}), read_komedqa, KOMEDQA),
    (frozenset({"messages"}), read_chat, ""),
    (frozenset({"question", "answer"}), read_question_answer, ""),
)


def dataset_of(item: TableRow) -> str:
    """The set that the row's columns name, else that of its file."""
    return next((dataset for columns, _, dataset in _SHAPES if dataset and columns <= item.row.keys()), item.dataset)


def read_row(item: TableRow) -> Record:
    """The record of a row. RejectedError: no adapter knows its columns, the file says it is another set's, or the adapter refuses it."""
    for columns, adapter, dataset in _SHAPES:
        if columns <= item.row.keys():
            if not dataset and KORMEDMCQA in item.dataset.replace("_", ""):
                raise RejectedError("wrong_set")  # without its own columns it would slip past eval_only
            return adapter(item)
    raise RejectedError("unknown_shape")
