"""Chat rows: {"messages": [{"role", "content"}, ...]} with optional id, licence, redistributable and split."""

from medllm.data.aihub.item import RejectedError, list_field, text_field
from medllm.data.records import Record
from medllm.data.tables.item import TableRow


def read_chat(item: TableRow) -> Record:
    """Turns from user to assistant, after at most one system message."""
    messages = tuple((text_field(turn, "role"), text_field(turn, "content")) for turn in list_field(item.row, "messages"))
    roles = [role for role, _ in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns:
        raise RejectedError("empty:messages")
    if turns != ["user", "assistant"] * (len(turns) // 2):
        raise RejectedError("turns_out_of_order")
    return Record(
        id=f"{item.dataset}:{item.item_id}", dataset=item.dataset, role="medical", kind="chat", messages=messages, **item.terms(),
    )  # fmt: skip
