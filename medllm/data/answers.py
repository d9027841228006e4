"""Does a generated answer hold the right term and no wrong one?"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from medllm.data.records import Record


def squeeze(text: str) -> str:
    """Text without blanks and in lower case: spacing of Korean medical compounds is free ("당화 혈색소")."""
    return "".join(text.split()).casefold()


class TermScorer:
    """Knows every term that could be the answer to a question of one relation, so that it can tell a wrong one."""

    def __init__(self, terms: Mapping[str, Iterable[str]]) -> None:
        """`terms` by relation."""
        self._patterns = {
            # the longest term first, so that "정형외과" is not read as "외과"
            relation: re.compile("|".join(re.escape(t) for t in sorted({squeeze(t) for t in words}, key=lambda t: (-len(t), t))))
            for relation, words in terms.items()
        }

    @classmethod
    def of(cls, records: Iterable[Record]) -> "TermScorer":
        """Collect the answer terms of each relation (the part of fact_id before ':')."""
        terms: dict[str, set[str]] = defaultdict(set)
        for record in records:
            if record.fact_id and record.must:
                terms[record.fact_id.partition(":")[0]].update(record.must)
        return cls(terms)

    def right(self, record: Record, output: str) -> bool:
        """True when a `must` term is there and no other term of the relation is, save those that the question itself names.

        Without `must` the whole reference answer has to be there.
        """
        text = squeeze(output)
        must = {squeeze(term) for term in record.must or (record.answer,)}
        pattern = self._patterns.get(record.fact_id.partition(":")[0])
        if pattern is None or not record.must:
            return any(term in text for term in must)
        found = set(pattern.findall(text))
        asked = set(pattern.findall(squeeze(record.question)))
        return bool(found & must) and not found - must - asked
