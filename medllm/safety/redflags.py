"""Red-flag rules: which fixed text must come before anything else.

Rules are rows of redflags.csv. In `pattern` and `exclude` a blank means "blank or nothing", because frightened people leave blanks
out, and {word} a class of medllm.safety.words. A pattern is one or more ways to say it, " || " between them; a way is one expression,
or several with " && " between them that must all be there, in any order, near the first one. A denied or past part counts as absent,
so "머리를 부딪혔는데 토하지는 않았어요" has no second part. An `exclude` cancels a hit only where it overlaps the hit itself, so an
idiom elsewhere in the text hides nothing. The grammar that cancels any rule (negation after the hit, a past clause, homework, films,
"what if") is here, because it is the same for all.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medllm.errors import UserError
from medllm.safety.normalise import SENTENCE_END, views
from medllm.safety.words import WORDS, expand

LEVELS: Final = ("er", "crisis", "119")  # rising
_COLUMNS: Final = frozenset({"id", "name", "level", "pattern", "exclude", "advice"})
_WINDOW: Final = 80  # characters of context on each side of a hit; bounds the work per hit
_NEAR: Final = 60  # characters between the first part of a combination and another

_PAST = re.compile(
    r"작년|재작년|지난 ?해|예전에(?! ?없|는)|옛날에|과거에|어릴 ?(때|적)|어렸을 ?때|젊었을 ?때|학창 ?시절|[년해] ?전"
    r"|젊어서|젊을 ?(때|적)|오래 ?전|군대 ?(때|시절|있을 ?때|에서)|(초등|중|고등|대)학[교생] ?때|지난 ?(봄|여름|가을|겨울)|옛적"
)
_OTHER_SUBJECT = re.compile(f"[은는한던린된진온친신운인][ ]?{WORDS['who']}[이가께는은도]")
_PAST_TENSE = re.compile(r"[았었였했됐셨졌렸켰쳤겼췄갔왔났찼꼈웠]|던 |던적|적이|돌아가|흉터")
_PRESENT = re.compile(
    r"지금|방금|아까|오늘|현재|갑자기|또|다시|계속|자꾸|요즘|최근|여전|아직|부터|처럼|살려|제발|도와(?!야|주[는려면])|빨리|119|어떡|어쩌|우째"
)
_CLAUSE = re.compile(r"[는은인던한운]데|지만|[았었였했셨]고|[았었였했셨]으나|[어아해예대래]요|니다")
_AT_ALL = "(전혀 ?|하나도 ?|딱히 ?|아직 ?|거의 ?|한 ?번도 ?|별로 ?|특별히 ?)?"
_NEGATED = re.compile(
    r".{0,2}?(지[는도를]?|진|거나 ?그러진|거나 ?하진|는 ?건|는 ?것은) ?(않|안 |안해|아니|아닌)"
    r"|[은는이가도]? ?없(?!어[지져졌]|애)|[은는이가도]? ?아니"
    rf"|.{{0,4}}?(건|것[은도]|거는|적[은이도]|일은|증상[은도]|느낌은|데는|정도는|정도까지는) ?{_AT_ALL}(없|아니|아닌|않)"
    rf"|.{{0,4}}?게 ?{_AT_ALL}없"
    rf"|.{{0,3}}?(거나|이?나|든지|든가|하고|랑) ?[^\n]{{0,14}}?(건|것[은도]|그런 ?거|적[은도]|일은|증상[은도]|느낌은) ?{_AT_ALL}(없|아니)"
    rf"|.{{0,3}}?[고며] ?(뭐 ?)?[그이]런 ?(건|거|것[은도]?|증상[은도]?|일은|적[은도]) ?{_AT_ALL}(없|아니)"
    r"|.{0,3}?거나 ?[^\n]{0,14}?(지[는도를]?|진) ?(않|안 ?했|안 ?그)"
    r"|(이?나|및) ?(?!의식|반응|맥|호흡|대답|감각|숨|눈물|소변|핏기)[^\n]{1,8}?[은는도] ?없"
    r"| ?같은 ?(건|것은|거는?) ?(아니|없)"
)
_NEVER_SO = re.compile(r"(이렇게|이런|이만큼|이토록|이처럼|이 ?정도로)[^\n]{0,20}")  # "이렇게 아픈 적이 없어요" denies nothing
_LACKED = ("감각", "기운", "힘", "의식", "반응", "맥", "대답", "정신", "소변", "눈물", "핏기")  # their lack is the sign: "기운이 없어요"
_ASKED = re.compile(  # what is asked about, not told: "연기를 마시면 어떻게 하나요", "혈변과 치질은 어떻게 구분하나요"
    r".{0,5}?(?<!았으)(?<!었으)(?<!했으)(?<!셨으)(?<!켰으)면 ?(보통 ?|대개 ?)?(어떻게|어떤|왜|무슨|뭐|뭘|어디|몇|어느)"
    r"|(과|와|이?랑|하고) ?[^\n]{1,12}?(어떻게 ?)?(차이|구분|구별|다른 ?건|(다른|같은) ?(병|말|뜻)(이에|인가|이야|인지|입니|임)|달라)"
    r"|이?란 ?(무|뭐|어떤)"
    r"|.{0,2}?이?라(는|고) ?[^\n]{0,8}(말|병|용어|뜻|적혀)[^\n]{0,14}(뜻|무슨|뭐|뭔|같은 ?말)"
)
_STUDY = re.compile(
    r"의학 ?용어|정식 ?명칭|전문 ?용어|의학적으로|쉬운 ?말로|(병원|의사들)[^\n]{0,12}뭐라고 ?(부르|하나)"
    r"|국시 ?문제|시험 ?문제(로|에)|수행 ?평가로|교육 ?자료|예방 ?수칙|보드 ?게임 ?만드"
    r"|숙제로|학교 ?숙제(?!를? ?하)|과제로|교과서에|다는 ?(게|건|것은|것이|말이|말은) ?(무슨|뭐|뭔|어떤)"
    r"|(영화|드라마|소설|웹툰|만화|게임) ?(에서|속).{0,20}(주인공|장면|배우|등장인물)"
)
_REPORTED = re.compile(  # cancels what stands inside it: "뉴스에서 사람이 쓰러졌다던데"
    r"(뉴스|드라마|유튜브|영화|다큐|방송|신문|기사|소설|만화|웹툰|예능|책|인터넷|라디오|티비|tv)(를? ?보니까?|에서는?|에|속) ?[^\n]{0,40}?"
    r"(던데|다면서|다는데|다카|다고 ?(해|하던|하는데|들었|나[오와]|읽|봤)|나오던|장면|배웠)"
    r"|(주인공|배우|연예인|유명인|축구 ?선수|캐릭터)[이가는]? ?[^\n]{0,40}?(던데|더라|다는 ?(기사|뉴스|보도)|거 ?보셨)"
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
class _Way:
    parts: tuple[re.Pattern[str], ...]
    by_cost: tuple[re.Pattern[str], ...]  # the shortest first: the cheapest to miss


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    flag: RedFlag
    ways: tuple[_Way, ...]
    exclude: re.Pattern[str] | None

    def fires(self, view: str, there: dict[str, bool]) -> bool:
        """`there`: which expressions `view` is already known to have; shared by all rules and filled here."""
        return any(self._said(view, way, there) for way in self.ways)

    def _said(self, view: str, way: _Way, there: dict[str, bool]) -> bool:
        for part in way.by_cost:  # bounds the work on texts that repeat one part
            known = there.get(part.pattern)
            if known is None:
                known = there[part.pattern] = part.search(view) is not None
            if not known:
                return False
        for hit in way.parts[0].finditer(view):
            if self._cancelled(view, hit):
                continue
            low, high = max(hit.start() - _NEAR, 0), hit.end() + _NEAR
            if all(any(not self._cancelled(view, other) for other in part.finditer(view, low, high)) for part in way.parts[1:]):
                return True
        return False

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
        study = _STUDY.search(view, first, last) or _ASKED.match(view, end, last)
        reported = any(found.start() <= start < found.end() for found in _REPORTED.finditer(view, first, last))
        if (study or reported) and not _PRESENT.search(view, first, last):
            return True
        if _is_past(view, (first, last), (start, end)):
            return True
        denied = _NEGATED.match(view, end, last)
        if denied and hit[0].endswith(_LACKED) and "없" in denied[0][:3]:
            return False
        return bool(denied) and not _NEVER_SO.search(view, max(start - 24, first), end)


class RedFlags:
    """All rules, in file order: of two rules of one level the earlier wins, so causes (with their own advice) stand before mere signs."""

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
        """The first of `check_all`, or None."""
        return next(iter(self.check_all(text)), None)

    def check_all(self, text: str) -> tuple[RedFlag, ...]:
        """Every flag raised in some view of `text`: the highest level first, within a level in file order."""
        seen: list[tuple[str, dict[str, bool]]] = [(view, {}) for view in views(text)]
        fired = [rule.flag for rule in self._rules if any(rule.fires(view, there) for view, there in seen)]
        crisis = any(flag.level == "crisis" for flag in fired)
        return tuple(replace(flag, crisis=crisis) for flag in sorted(fired, key=lambda flag: -LEVELS.index(flag.level)))


def _is_past(view: str, sentence: tuple[int, int], hit: tuple[int, int]) -> bool:
    # only inside the clause of the hit: "작년에 심근경색 왔었는데 | 가슴이 쥐어짜요" is present
    first, last = sentence
    for mark in _CLAUSE.finditer(view, first, hit[0]):
        first = mark.end()
    after = _CLAUSE.search(view, hit[1], last)
    stop = after.start() if after else last
    past = _PAST.search(view, first, hit[1])
    if past and _OTHER_SUBJECT.search(view, past.end(), hit[1]):  # "3년 전 스텐트 넣은 아빠가 쓰러졌어요"
        return False
    return bool(past and _PAST_TENSE.search(view, hit[0], stop) and not _PRESENT.search(view, first, stop))


def _rule(row: dict[str, str], *, where: str) -> _Rule:
    if row["level"] not in LEVELS:
        raise UserError(f"{where}: level {row['level']!r} is unknown; use one of {', '.join(LEVELS)}")
    if not row["pattern"]:
        raise UserError(f"{where}: empty pattern; it would fire on every text")
    try:
        ways = tuple(_way(way, where=where) for way in row["pattern"].split(" || "))
        exclude = _compiled(row["exclude"], where=where) if row["exclude"] else None
    except re.error as error:
        raise UserError(f"{where}: not a regular expression ({error})") from error
    flag = RedFlag(id=row["id"], name=row["name"], level=row["level"], advice=row["advice"])
    return _Rule(flag=flag, ways=ways, exclude=exclude)


def _way(way: str, *, where: str) -> _Way:
    parts = tuple(_compiled(part, where=where) for part in way.split(" && "))
    return _Way(parts=parts, by_cost=tuple(sorted(parts, key=lambda part: len(part.pattern))))


def _compiled(part: str, *, where: str) -> re.Pattern[str]:
    if not part:
        raise UserError(f"{where}: empty part of a pattern; it would match everywhere")
    return re.compile(expand(part, where=where).replace(" ", " ?"), re.DOTALL)
