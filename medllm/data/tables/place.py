"""Set and part of a table, from the names of its folders and its file."""

import re
from typing import Literal

from medllm.data.aihub.item import RejectedError
from medllm.data.archives import Member

Split = Literal["train", "validation"]
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "validation", "eval": "validation",
}  # fmt: skip
_SAYS_NOTHING = {"data", "raw", "dataset", "datasets", "default", "korean", "jsonl", "csv", "parquet", *_SPLITS}


def split_of(member: Member) -> Split:
    """The part that the file or its nearest folder names (dev, test and validation are all held out); train when none does."""
    for name in (member.name, *reversed(member.folders)):
        for word in re.split(r"[^a-z]+", name.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return "train"


def split_named(value: object) -> Split:
    """The part that a row or a source file names. Rejected: another word."""
    if not isinstance(value, str) or value.strip().lower() not in _SPLITS:
        raise RejectedError("unknown_split")
    return _SPLITS[value.strip().lower()]


def table_name(member: Member) -> str:
    """The nearest folder or archive whose name says something, else the file's stem without its part and shard words."""
    for folder in reversed(member.folders):
        if (name := slug(re.sub(r"\.(zip|tar)$", "", folder, flags=re.IGNORECASE))) and name not in _SAYS_NOTHING:
            return name
    stem = slug(member.name.rpartition("/")[2].rpartition(".")[0])
    words = [word for word in re.split(r"[_-]", stem) if word not in _SPLITS and word != "of" and not word.isdigit()]
    return "_".join(words) or "table"


def slug(text: str) -> str:
    """Letters and digits of any script in lower case, everything else as one underscore."""
    return re.sub(r"[\W_]+", "_", text.lower()).strip("_")
