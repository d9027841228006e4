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
        said = any(squeeze(term) in text for term in record.must or (record.answer,))
        if record.must and (found := self._found(record, text)) is not None:
            said = bool(found & {squeeze(term) for term in record.must})
        return said and not self.wrong_terms(record, output)

    def wrong_terms(self, record: Record, output: str) -> set[str]:
        """Terms of the question's relation that the output holds and should not; empty where none are known."""
        found = self._found(record, squeeze(output)) if record.must else None
        if not found:
            return set()
        asked = self._found(record, squeeze(record.question)) or set()
        return found - {squeeze(term) for term in record.must} - asked

    def _found(self, record: Record, squeezed: str) -> set[str] | None:
        """Terms of the relation in a squeezed text; None when the relation has none."""
        pattern = self._patterns.get(record.fact_id.partition(":")[0])
        return None if pattern is None else set(pattern.findall(squeezed))
