"""One raw AI Hub item: where it came from, what its folder says about it, and typed access to its fields."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from medllm.data.archives import Member
from medllm.data.clean import clean_text

ESSENTIAL, SPECIALIST, MATHS, KOREAN, INTERVIEW = "aihub_71875", "aihub_71874", "aihub_71859", "aihub_71857", "aihub_interview"
AIHUB_LICENCE = "AI Hub terms of use (no redistribution)"

# words of the download folder (spaces and underscores squeezed out) that name the set
_HINTS = (
    (ESSENTIAL, ("71875", "필수의료")),
    (SPECIALIST, ("71874", "전문의학지식")),
    (MATHS, ("71859", "수학교과문제")),
    (KOREAN, ("71857", "국어교과지문")),
    (INTERVIEW, ("인터뷰진행", "소비자이해")),
)
_HALF = re.compile("[\ud800-\udfff]")  # half of a character, which JSON can escape and UTF-8 cannot hold
_SPLIT_OF_ARCHIVE = re.compile(r"(?P<part>[TV])[SL]_")


class RejectedError(Exception):
    """An item that is not kept. `bad`: broken, so quarantined and counted against max_bad_share; else left out by rule."""

    def __init__(self, reason: str, *, bad: bool = True) -> None:
        """`reason` is a short slug, `missing:answer` or `no_solution`."""
        super().__init__(reason)
        self.reason, self.bad = reason, bad


@dataclass(frozen=True, slots=True, kw_only=True)
class RawItem:
    """A parsed JSON object. `hint` is the set that the folder names ("" when it names none), `stem` the file name without suffix."""

    row: dict[str, Any]
    hint: str
    split: Literal["train", "validation"]
    stem: str

    def text(self, key: str) -> str:
        """A text field, cleaned. Rejected when missing, of another type, or empty."""
        return text_field(self.row, key)

    def integer(self, key: str) -> int:
        """An integer field. Rejected when missing or of another type."""
        value = field(self.row, key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RejectedError(f"wrong_type:{key}")
        return value


def field(row: object, key: str) -> Any:
    """`row[key]`. Rejected when `row` is no object or has no such key."""
    if not isinstance(row, dict):
        raise RejectedError(f"wrong_type:parent_of_{key}")
    if key not in row:
        raise RejectedError(f"missing:{key}")
    return row[key]


def text_field(row: object, key: str, *, empty: bool = False) -> str:
    """A text field of a nested object, cleaned; `empty` allows nothing to be left."""
    value = field(row, key)
    if not isinstance(value, str):
        raise RejectedError(f"wrong_type:{key}")
    if _HALF.search(value):
        raise RejectedError(f"broken_character:{key}")
    cleaned = clean_text(value)
    if not cleaned and not empty:
        raise RejectedError(f"empty:{key}")
    return cleaned


def list_field(row: object, key: str) -> list[Any]:
    """A list field of a nested object."""
    value = field(row, key)
    if not isinstance(value, list):
        raise RejectedError(f"wrong_type:{key}")
    return value


def hint_of(member: Member) -> str:
    """The set that the folders around a file name, or ""."""
    path = re.sub(r"[ _]", "", "/".join(member.folders))
    return next((dataset for dataset, words in _HINTS if any(word in path for word in words)), "")


def _split_of(member: Member) -> Literal["train", "validation"]:
    """Official part, from the nearest TL_/TS_/VL_/VS_ archive or Training/Validation folder."""
    for folder in reversed(member.folders):
        if match := _SPLIT_OF_ARCHIVE.match(folder):
            return "train" if match["part"] == "T" else "validation"
        for word, split in (("training", "train"), ("validation", "validation")):
            if word in folder.lower():
                return split  # type: ignore[return-value]
    raise RejectedError("neither_training_nor_validation")


def parse_item(member: Member, data: bytes) -> RawItem:
    """Decode a JSON file; AI Hub's come with and without a byte order mark."""
    try:
        row = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RejectedError("not_utf8") from error
    except (ValueError, RecursionError) as error:  # RecursionError: nested a thousand deep
        raise RejectedError("not_json") from error
    if not isinstance(row, dict):
        raise RejectedError("unknown_shape")
    stem = member.name.rpartition("/")[2].rpartition(".")[0]
    return RawItem(row=row, hint=hint_of(member), split=_split_of(member), stem=stem)
