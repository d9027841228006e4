"""A clinician's review of data/knowledge: `python -m pipeline.review export|import [file=review.xlsx] [all=true]`.

The file is artifacts/adhoc/review.xlsx when none is named. export writes the rows that nobody reviewed as they are now (all=true: every
row) into an Excel workbook, a sheet a table; the reviewer fills in reviewer, date, verdict (accept, change or reject) and note. import
merges the filled rows into data/knowledge/reviews.csv.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from medllm.data.knowledge.content import REVIEWS_FILE
from medllm.data.knowledge.review import export_review, import_review
from medllm.errors import UserError
from pipeline.layout import KNOWLEDGE, output_root
from pipeline.messages import one_line_errors

_USAGE = "python -m pipeline.review export|import [file=<name>.xlsx] [all=true]"


def _settings(words: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """key=value words; UserError on any other."""
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    wrong = [word for word in words if word.partition("=")[0] not in known or "=" not in word]
    if wrong or settings.get("all", "true") not in ("true", "false"):
        raise UserError(f"{wrong[0] if wrong else 'all=' + settings['all']}: not understood here; call {_USAGE}")
    return settings


def review(words: Sequence[str]) -> str:
    """Run one command line; returns what was done."""
    command = words[0] if words else "no command"
    if command not in ("export", "import"):
        raise UserError(f"{command}: not understood here; call {_USAGE}")
    settings = _settings(words[1:], ("file", "all") if command == "export" else ("file",))
    path = Path(settings.get("file") or output_root() / "review.xlsx")
    if command == "export":
        return f"{path}: {_counts(export_review(KNOWLEDGE, path, everything=settings.get('all') == 'true'))} to review"
    return f"{KNOWLEDGE / REVIEWS_FILE}: {_counts(import_review(KNOWLEDGE, path))} merged"


def _counts(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values())} rows ({', '.join(f'{name} {count}' for name, count in counts.items())})"


def main() -> None:
    """Review from the repository root."""
    if any(word in ("-h", "--help") for word in sys.argv[1:]):
        print(__doc__)  # noqa: T201
        return
    with one_line_errors(UserError, OSError):
        print(review(sys.argv[1:]))  # noqa: T201


if __name__ == "__main__":
    main()
