"""What a review is about: the content of a row, and whether a clinician accepted it as it is now."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from medllm.data.knowledge.cells import read_lines, typed_values
from medllm.data.knowledge.facts import Knowledge
from medllm.data.knowledge.tables import Review
from medllm.errors import UserError

# In the order of a review: what can hurt most comes first.
REVIEWED_TABLES: Final = ("redflags", "drugs", "diseases", "symptoms", "tests", "departments", "terms", "kcd")
SCENARIOS: Final = "scenarios"  # a JSONL file beside the tables; reviewed in the same way
REVIEWS_FILE: Final = "reviews.csv"
REVIEW_COLUMNS: Final = [column.name for column in fields(Review)]


def content_sha256(row: Any, knowledge: Knowledge) -> str:
    """Hash of all that a row says but `reviewed`. What it refers to counts by id and name: a department renamed is another statement."""
    content: dict[str, Any] = {}
    for column in fields(row):
        refers, value = column.metadata.get("refers"), getattr(row, column.name)
        if refers and refers != "sources":
            rows: Mapping[str, Any] = getattr(knowledge, refers)
            value = [[key, rows[key].name] for key in ([value] if isinstance(value, str) else value) if key]
        if column.name != "reviewed":
            content[column.name] = value
    return json_sha256(content)


def json_sha256(content: Any) -> str:
    """Hash of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def read_reviews(folder: Path) -> dict[tuple[str, str], Review]:
    """Reviews by (table, row id); none when nobody has reviewed. UserError with file:line on a broken line or a row reviewed twice."""
    path = folder / REVIEWS_FILE
    if not path.exists():
        return {}
    reviews: dict[tuple[str, str], Review] = {}
    for line, cells in read_lines(path, REVIEW_COLUMNS):
        review = Review(**typed_values(Review, cells, {}, f"{path}:{line}"))
        if review.table not in (*REVIEWED_TABLES, SCENARIOS):
            raise UserError(f"{path}:{line}: column table: {review.table!r}; write one of {', '.join((*REVIEWED_TABLES, SCENARIOS))}")
        if (review.table, review.id) in reviews:
            raise UserError(f"{path}:{line}: {review.table} {review.id} is there twice; keep its last review")
        reviews[review.table, review.id] = review
    return reviews


def with_reviews(knowledge: Knowledge, reviews: Mapping[tuple[str, str], Review], places: Mapping[str, Mapping[str, str]]) -> Knowledge:
    """The same tables with `reviewed` as the reviews have it: true for a row whose present content was accepted.

    `places` gives "file:line" by table and row id. UserError where a table says true by itself.
    """
    tables: dict[str, Any] = {}
    for table in REVIEWED_TABLES:
        rows = {}
        for key, row in getattr(knowledge, table).items():
            review = reviews.get((table, key))
            accepted = review is not None and review.verdict == "accept" and review.content_sha256 == content_sha256(row, knowledge)
            if row.reviewed and not accepted:
                raise UserError(
                    f"{places[table][key]}: reviewed is true, but {REVIEWS_FILE} holds no accepting review of what the row says now; "
                    "write false (python -m pipeline.review import adds reviews)"
                )
            rows[key] = row if row.reviewed == accepted else replace(row, reviewed=accepted)
        tables[table] = MappingProxyType(rows)
    return replace(knowledge, **tables)
