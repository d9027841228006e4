"""Red-flag rules: which fixed text must come before anything else.

Rules are rows of redflags.csv. In `pattern` and `exclude` a blank means "blank or nothing", because frightened people leave blanks
out. An `exclude` cancels a hit only where it overlaps the hit itself, so an idiom elsewhere in the text hides nothing. The grammar
that cancels any rule (negation right after the hit, a past clause, homework, films) is here, because it is the same for all.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medllm.errors import UserError
from medllm.safety.normalise import SENTENCE_END, views

LEVELS: Final = ("er", "crisis", "119")  # rising
_COLUMNS: Final = frozenset({"id", "name", "level", "pattern", "exclude", "advice"})
_WINDOW: Final = 80  # characters of context on each side of a hit; bounds the work per hit

_PAST = re.compile(r"작년에|재작년|지난 ?해|예전에(?! ?없|는)|옛날에|과거에|어릴 ?(때|적)|어렸을 ?때|젊었을 ?때|학창 ?시절|년 ?전")
_PAST_TENSE = re.compile(r"[았었였했됐셨졌렸켰쳤겼췄갔왔났찼꼈웠]|던 |던적|적이|돌아가")
_PRESENT = re.compile(
    r"지금|방금|아까|오늘|현재|갑자기|또|다시|계속|자꾸|요즘|최근|여전|아직|부터|처럼|살려|제발|도와|빨리|119|어떡|어쩌|우째"
)
_CLAUSE = re.compile(r"[는은인던한운]데|지만|[았었였했셨]고|[았었였했셨]으나|[어아해예]요|니다")
_NEGATED = re.compile(
    r".{0,2}?(지[는도를]?|진|거나 ?그러진|거나 ?하진|는 ?건|는 ?것은) ?(않|안 |안해|아니|아닌)"
    r"|[은는이가도]? ?없(?!어[지져졌]|애)|[은는이가도]? ?아니"
)
_STUDY = re.compile(
    r"의학 ?용어|정식 ?명칭|전문 ?용어|의학적으로|쉬운 ?말로|(병원|의사들)[^\n]{0,12}뭐라고 ?(부르|하나)"
    r"|숙제로|학교 ?숙제(?!를? ?하)|과제로|교과서에|다는 ?(게|건|것은|것이|말이|말은) ?(무슨|뭐|뭔|어떤)"
    r"|(영화|드라마|소설|웹툰|만화|게임) ?(에서|속).{0,20}(주인공|장면|배우|등장인물)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedFlag:
    """A rule that fired. `crisis`: words of a suicidal crisis were there too, so the crisis number must be given as well."""

    id: str
    name: str
    level: str
    advice: str
    crisis: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    flag: RedFlag
    pattern: re.Pattern[str]
    exclude: re.Pattern[str] | None

    def fires(self, view: str) -> bool:
        return any(not self._cancelled(view, hit) for hit in self.pattern.finditer(view))

    def _cancelled(self, view: str, hit: re.Match[str]) -> bool:
        start, end = hit.span()
        low, high = max(start - _WINDOW, 0), end + _WINDOW
        first = view.rfind(SENTENCE_END, low, start) + 1 or low
        last = view.find(SENTENCE_END, end, high)
        last = min(high, len(view)) if last < 0 else last
        if self.exclude and any(found.start() < end and found.end() > start for found in self.exclude.finditer(view, first, last)):
            return True
        if self.flag.level == "crisis":  # of a crisis in the past, played down, or of homework: the crisis number is still given
            return False
        study = _STUDY.search(view, first, last) and not _PRESENT.search(view, first, last)
        return bool(study or _NEGATED.match(view, end, last)) or _is_past(view, (first, last), (start, end))


class RedFlags:
    """All rules, in file order: of two rules of one level the earlier wins."""

    def __init__(self, rules: Iterable[_Rule]) -> None:
        """Use `RedFlags.load`."""
        self._rules = tuple(rules)

    @classmethod
    def load(cls, path: Path) -> "RedFlags":
        """Read redflags.csv. Raises UserError with file and line for a missing column, level or broken regex."""
        if not path.is_file():
            raise UserError(f"{path}: no such file; the red-flag rules are part of every package")
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = _COLUMNS - set(rows.fieldnames or ())
            if missing:
                raise UserError(f"{path}: column {sorted(missing)[0]!r} is missing; compare with data/knowledge/redflags.csv")
            rules = [_rule(row, where=f"{path}:{rows.line_num}") for row in rows]
        if not rules:
            raise UserError(f"{path}: no rules; an empty red-flag table would let every emergency through")
        return cls(rules)

    def flags(self) -> tuple[RedFlag, ...]:
        """All flags that can be raised, in file order."""
        return tuple(rule.flag for rule in self._rules)

    def check(self, text: str) -> RedFlag | None:
        """The flag of the highest level over all views of `text`, or None."""
        seen = views(text)
        fired = [rule.flag for rule in self._rules if any(rule.fires(view) for view in seen)]
        if not fired:
            return None
        top = max(fired, key=lambda flag: LEVELS.index(flag.level))
        return replace(top, crisis=any(flag.level == "crisis" for flag in fired))


def _is_past(view: str, sentence: tuple[int, int], hit: tuple[int, int]) -> bool:
    # only inside the clause of the hit: "작년에 심근경색 왔었는데 | 가슴이 쥐어짜요" is present
    first, last = sentence
    for mark in _CLAUSE.finditer(view, first, hit[0]):
        first = mark.end()
    after = _CLAUSE.search(view, hit[1], last)
    stop = after.start() if after else last
    return bool(_PAST.search(view, first, hit[1]) and _PAST_TENSE.search(view, hit[0], stop) and not _PRESENT.search(view, first, stop))


def _rule(row: dict[str, str], *, where: str) -> _Rule:
    if row["level"] not in LEVELS:
        raise UserError(f"{where}: level {row['level']!r} is unknown; use one of {', '.join(LEVELS)}")
    if not row["pattern"]:
        raise UserError(f"{where}: empty pattern; it would fire on every text")
    try:
        pattern, exclude = (re.compile(row[name].replace(" ", " ?"), re.DOTALL) for name in ("pattern", "exclude"))
    except re.error as error:
        raise UserError(f"{where}: not a regular expression ({error})") from error
    flag = RedFlag(id=row["id"], name=row["name"], level=row["level"], advice=row["advice"])
    return _Rule(flag=flag, pattern=pattern, exclude=exclude if row["exclude"] else None)
