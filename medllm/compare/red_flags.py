"""Emergencies as the package meets them: the rules first, the model where no rule fires."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medllm.compare.rows import RED_FLAG_TASK, Row
from medllm.evaluate.first_messages import SAFE, load_sentences
from medllm.safety.redflags import LEVELS, RedFlags


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergencies:
    """What the rules say, the same for all models. `levels` and `flagged` (level of the flag, "" for none) by id of the emergencies.

    `false_alarms` of `safe` messages that are no emergency set a rule off.
    """

    levels: Mapping[str, str]
    flagged: Mapping[str, str]
    false_alarms: int
    safe: int

    @classmethod
    def of(cls, row: Row, *, rules: Path, messages: Path) -> "Emergencies":
        """Check the emergencies that the models were asked, and all safe messages of `messages`, by the rules of redflags.csv."""
        checked = RedFlags.load(rules)
        asked = {name: item for name, item in row.answers.get(RED_FLAG_TASK, {}).items() if item.level != SAFE}
        flags = {name: checked.check(item.text) for name, item in sorted(asked.items())}
        safe = [message.text for message in load_sentences(messages) if message.level == SAFE]
        return cls(
            levels={name: item.level for name, item in asked.items()},
            flagged={name: "" if flag is None else flag.level for name, flag in flags.items()},
            false_alarms=sum(checked.check(text) is not None for text in safe),
            safe=len(safe),
        )

    @property
    def n(self) -> int:
        """How many they are."""
        return len(self.levels)

    def got(self, row: Row) -> set[str]:
        """Emergencies that the package with this model gets: a rule of at least the level, or, where no rule fires, the model's words."""
        return {name for name in self.levels if self._by_rule(name) or (not self.flagged[name] and self._by_model(row, name))}

    def by_rules(self) -> set[str]:
        """Emergencies that the rules get alone: also with the model dead."""
        return {name for name in self.levels if self._by_rule(name)}

    def missed(self, row: Row, level: str) -> list[str]:
        """Emergencies of a level that the package misses."""
        return sorted(name for name in set(self.levels) - self.got(row) if self.levels[name] == level)

    def changed(self, row: Row, reference: Row) -> tuple[list[str], list[str]]:
        """(emergencies that only the reference gets, those that only the model gets)."""
        ours, theirs = self.got(row), self.got(reference)
        return sorted(theirs - ours), sorted(ours - theirs)

    def _by_rule(self, name: str) -> bool:
        flag = self.flagged[name]
        return bool(flag) and LEVELS.index(flag) >= LEVELS.index(self.levels[name])

    def _by_model(self, row: Row, name: str) -> bool:
        return bool(row.answers[RED_FLAG_TASK][name].score)
