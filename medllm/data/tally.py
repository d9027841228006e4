"""Accounting: every item that was read is kept, or dropped for a stated reason."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from medllm.data.archives import Member
from medllm.errors import UserError

UNKNOWN_SET = "unknown"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts by set. `bad` are broken items: row of quarantine.jsonl, in reading order."""

    read: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[dict[str, str]] = field(default_factory=list)
    other_files: Counter[str] = field(default_factory=Counter)

    def drop(self, dataset: str, reason: str) -> None:
        """One item of a set is not kept."""
        self.dropped.setdefault(dataset, Counter())[reason] += 1

    def quarantine(self, dataset: str, reason: str, member: Member, item: str) -> None:
        """One broken item: dropped, and listed by file."""
        self.drop(dataset, reason)
        self.bad.append({"dataset": dataset, "archive": member.archive, "file": member.name, "item": item, "reason": reason})

    def check(self, max_bad_share: float) -> None:
        """UserError naming the first bad item of a set with too many; items of no known set count against all that was read."""
        for dataset, bad in sorted(Counter(row["dataset"] for row in self.bad).items()):
            read = sum(self.read.values()) if dataset == UNKNOWN_SET else self.read[dataset]
            if bad > max_bad_share * read:
                first = next(row for row in self.bad if row["dataset"] == dataset)
                raise UserError(
                    f"{first['archive']}/{first['file']}: item {first['item']}: {first['reason']}; {bad} of {read} of {dataset} are bad "
                    f"({bad / read:.1%}, data.max_bad_share allows {max_bad_share:.1%}); repair the archive or raise the share"
                )

    def write_quarantine(self, path: Path) -> None:
        """One line an item, without its text."""
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.bad), encoding="utf-8")

    def table(self) -> dict[str, dict[str, object]]:
        """Rows by set: read, kept, bad, dropped by reason; read = kept + dropped."""
        bad = Counter(row["dataset"] for row in self.bad)
        rows: dict[str, dict[str, object]] = {}
        for dataset, read in sorted(self.read.items()):
            dropped = dict(sorted(self.dropped.get(dataset, Counter()).items()))
            rows[dataset] = {"read": read, "kept": read - sum(dropped.values()), "bad": bad[dataset], "dropped": dropped}
        return rows
