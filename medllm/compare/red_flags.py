"""Emergencies as the package meets them: the rules first, the model where no rule fires."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medllm.compare.rows import RED_FLAG_TASK, Item, Row
from medllm.safety.redflags import LEVELS, RedFlags

_SAFE: Final = "safe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergencies:
    """What the rules say to each sentence, the same for all models. `flagged`: level of the flag by item id, "" for none."""

    levels: Mapping[str, str]
    flagged: Mapping[str, str]

    @classmethod
    def of(cls, row: Row, rules: Path) -> "Emergencies":
        """Check the sentences of task red_flag by the rules of redflags.csv."""
        found = RedFlags.load(rules)
        items: Mapping[str, Item] = row.answers.get(RED_FLAG_TASK, {})
        flags = {name: found.check(item.text) for name, item in sorted(items.items())}
        return cls(
            levels={name: item.level for name, item in items.items()},
            flagged={name: "" if flag is None else flag.level for name, flag in flags.items()},
        )

    @property
    def n(self) -> int:
        """Emergencies among the sentences."""
        return len(self._emergencies)

    @property
    def false_alarms(self) -> tuple[int, int]:
        """(safe sentences at which a rule fires, safe sentences)."""
        safe = [name for name, level in self.levels.items() if level == _SAFE]
        return sum(bool(self.flagged[name]) for name in safe), len(safe)

    def got(self, row: Row) -> set[str]:
        """Emergencies that the package with this model gets: a rule of at least the level, or, where no rule fires, the model's words."""
        return {name for name in self._emergencies if self._by_rule(name) or (not self.flagged[name] and self._by_model(row, name))}

    def by_rules(self) -> set[str]:
        """Emergencies that the rules get alone: also with the model dead."""
        return {name for name in self._emergencies if self._by_rule(name)}

    def missed(self, row: Row, level: str) -> list[str]:
        """Emergencies of a level that the package misses."""
        return sorted(name for name in self._emergencies - self.got(row) if self.levels[name] == level)

    def changed(self, row: Row, reference: Row) -> tuple[list[str], list[str]]:
        """(emergencies that only the reference gets, those that only the model gets)."""
        ours, theirs = self.got(row), self.got(reference)
        return sorted(theirs - ours), sorted(ours - theirs)

    @property
    def _emergencies(self) -> set[str]:
        return {name for name, level in self.levels.items() if level != _SAFE}

    def _by_rule(self, name: str) -> bool:
        flag = self.flagged[name]
        return bool(flag) and LEVELS.index(flag) >= LEVELS.index(self.levels[name])

    def _by_model(self, row: Row, name: str) -> bool:
        return bool(row.answers[RED_FLAG_TASK][name].score)
