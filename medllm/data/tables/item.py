"""One row of a table: what its file says about it, and the fields that every adapter gives its record."""

from dataclasses import dataclass
from typing import Any

from medllm.data.aihub.item import RejectedError, text_field
from medllm.data.tables.place import Split, split_named


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """`place` is the file and row that make an id where the row has none ("train-17"); the rest holds where the row does not say it."""

    row: dict[str, Any]
    dataset: str
    place: str
    split: Split
    licence: str = ""
    redistributable: bool = False
    eval_only: bool = False

    def text(self, key: str) -> str:
        """A text column, cleaned. Rejected when missing, of another type, or empty."""
        return text_field(self.row, key)

    def integer(self, key: str) -> int:
        """A whole-number column; CSV holds it as text."""
        value = self.row.get(key)
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RejectedError(f"wrong_type:{key}" if key in self.row else f"missing:{key}")
        return value

    def has(self, key: str) -> bool:
        """A column that is there and says something."""
        return self.row.get(key) not in (None, "")

    @property
    def item_id(self) -> str:
        """The row's own id, or its place."""
        return str(self.row["id"]).strip() if self.has("id") else self.place

    def terms(self) -> dict[str, Any]:
        """`source_split`, `licence`, `redistributable` and `eval_only` of the record. Rejected: a value that is none of the allowed."""
        split = split_named(self.row["split"]) if self.has("split") else self.split
        licence = next((self.text(key) for key in ("licence", "license") if self.has(key)), self.licence)
        free = self.row["redistributable"] if self.has("redistributable") else self.redistributable
        free = {"true": True, "false": False}.get(free.strip().lower(), free) if isinstance(free, str) else free
        if not isinstance(free, bool):
            raise RejectedError("wrong_type:redistributable")
        split = "validation" if self.eval_only else split
        return {"source_split": split, "licence": licence, "redistributable": free, "eval_only": self.eval_only}
