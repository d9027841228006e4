"""First messages to a consultation: emergencies, and what only looks like one. No rule was ever mended on them."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medllm.errors import UserError

FIRST_MESSAGES: Final = "redflags.csv"
SAFE: Final = "safe"
LEVELS: Final = ("119", "er", "crisis")
_COLUMNS: Final = ("id", "text", "level", "kind", "reviewed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A first message. `level` is 119, er, crisis or safe; `kind` the pattern, or why it only looks like an emergency."""

    id: str
    text: str
    level: str
    kind: str


def load_sentences(path: Path) -> list[Sentence]:
    """Rows of redflags.csv in file order. UserError with file and line: a missing column, an unknown level, an id or a text twice."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; it comes with the repository")
    sentences: list[Sentence] = []
    seen: set[str] = set()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as CSV UTF-8") from error
    with io.StringIO(text, newline="") as lines:
        reader = csv.DictReader(lines)
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise UserError(f"{path}: column {missing[0]!r} is missing; the columns are {', '.join(_COLUMNS)}")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if row["level"] not in (*LEVELS, SAFE):
                raise UserError(f"{where}: level {row['level']!r} is unknown; use one of {', '.join((*LEVELS, SAFE))}")
            for value in (row["id"], row["text"]):
                if not value or value in seen:
                    raise UserError(f"{where}: {value!r} is empty or there twice; ids and texts are unique")
                seen.add(value)
            sentences.append(Sentence(id=row["id"], text=row["text"], level=row["level"], kind=row["kind"]))
    if not any(sentence.level != SAFE for sentence in sentences):
        raise UserError(f"{path}: no emergency in it; it needs rows of level {', '.join(LEVELS)}")
    return sentences
