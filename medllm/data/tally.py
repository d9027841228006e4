"""Accounting: every item that was read is kept, or dropped for a stated reason; by set and by archive."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from medllm.errors import UserError

UNKNOWN_SET = "unknown"
Place = tuple[str, str]  # set, archive


@dataclass(frozen=True, slots=True, kw_only=True)
class BadItem:
    """A broken item: one line of quarantine.jsonl, without its text."""

    dataset: str
    archive: str
    file: str
    item: str
    reason: str

    def to_json(self) -> str:
        """One line, keys in field order."""
        row = {name: getattr(self, name) for name in ("dataset", "archive", "file", "item", "reason")}
        return json.dumps(row, ensure_ascii=False)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts by set and archive, each taken where it happens. Broken items go to `quarantine` as they come."""

    quarantine: TextIO
    read: Counter[Place] = field(default_factory=Counter)
    kept: Counter[Place] = field(default_factory=Counter)
    dropped: dict[Place, Counter[str]] = field(default_factory=dict)
    bad: Counter[Place] = field(default_factory=Counter)
    other_files: Counter[str] = field(default_factory=Counter)
    _first: dict[str, BadItem] = field(default_factory=dict)

    def drop(self, dataset: str, archive: str, reason: str) -> None:
        """One item is not kept."""
        self.dropped.setdefault((dataset, archive), Counter())[reason] += 1

    def refuse(self, item: BadItem) -> None:
        """One broken item: dropped, and listed by file."""
        self.drop(item.dataset, item.archive, item.reason)
        self.bad[item.dataset, item.archive] += 1
        self._first.setdefault(item.dataset, item)
        self.quarantine.write(item.to_json() + "\n")

    def check(self, max_bad_share: float) -> None:
        """UserError naming the first bad item of a set with too many; items of no known set count against all that was read."""
        for dataset, first in sorted(self._first.items()):
            bad = _of_set(self.bad, dataset)
            read = self.read.total() if dataset == UNKNOWN_SET else _of_set(self.read, dataset)
            if bad > max_bad_share * read:
                raise UserError(
                    f"{first.archive}/{first.file}: item {first.item}: {first.reason}; {bad} of {read} of {dataset} are bad "
                    f"({bad / read:.1%}, data.max_bad_share allows {max_bad_share:.1%}); repair the archive or raise the share"
                )

    def balance(self) -> None:
        """UserError when an item was lost: read = kept + dropped, in every archive."""
        for place in self._places():
            read, kept, dropped = self.read[place], self.kept[place], self.dropped.get(place, Counter()).total()
            if read != kept + dropped:
                raise UserError(
                    f"{place[1]}: {read} items of {place[0]} were read, but {kept} kept and {dropped} dropped; report this fault of medllm"
                )

    def table(self) -> dict[str, dict[str, object]]:
        """Rows by set: read, kept, bad, dropped by reason; read = kept + dropped."""
        return {dataset: self._row([place for place in self._places() if place[0] == dataset]) for dataset, _ in self._places()}

    def archives(self) -> dict[str, dict[str, dict[str, object]]]:
        """The same rows by archive or folder, grouped by set."""
        rows: dict[str, dict[str, dict[str, object]]] = {}
        for dataset, archive in self._places():
            rows.setdefault(dataset, {})[archive] = self._row([(dataset, archive)])
        return rows

    def reasons(self) -> Counter[str]:
        """Dropped items by reason."""
        return sum(self.dropped.values(), Counter())

    def _places(self) -> list[Place]:
        return sorted(self.read.keys() | self.kept.keys() | self.dropped.keys())

    def _row(self, places: list[Place]) -> dict[str, object]:
        dropped = sum((self.dropped.get(place, Counter()) for place in places), Counter[str]())
        counts = {name: sum(getattr(self, name)[place] for place in places) for name in ("read", "kept", "bad")}
        return {**counts, "dropped": dict(sorted(dropped.items()))}


def _of_set(counts: Counter[Place], dataset: str) -> int:
    return sum(count for (own, _), count in counts.items() if own == dataset)
