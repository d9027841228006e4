"""Content morphemes of Korean text by kiwipiepy: endings and particles go, negation stays with its predicate.

The analyser is loaded with the first text (0.7 s and 230 MB of memory on a 2-core machine; it reads 5,000 short sentences a second).
"cong" is the smallest and fastest model that the package brings: cong-global takes 20 MB more and a third of the speed. Its lists of proper
names and typing errors are left out: they hold no term of the tables.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from medllm.data.sentences import shared_kiwi

NEGATED = "!"
_REPEATED = re.compile(r"(.+)\1")  # 지끈지끈 -> 지끈
_SUFFIX = re.compile(r"(?<=..)(?:거리|대|이)$")  # 콜록거리다, 콜록대다, 반짝이다 -> 콜록, 반짝


def _forms(*words: str) -> frozenset[str]:
    return frozenset(form for line in words for form in line.split())


# Different words for one thing, in tables and text alike: 오줌 = 소변. Only forms that stand for the same in every table name.
_SAME = {
    form: same
    for same, forms in {
        "소변": "오줌", "변": "대변", "생리": "월경 달거리", "아이": "애 아기 애기 소아", "배": "복부", "보": "누 싸",
        "살": "체중 몸무게", "빠지": "줄 감소 줄어들", "찌": "늘 증가 불 늘어나",
        "아프": "통증 아픔",
        "자주": "잦", "나": "나오 생기 있 오르 올라오", "붓": "부종 붓기 부기 부어오르 부풀 부풀어오르", "힘들": "어렵 곤란",
        "저하": "떨어지 감퇴 나빠지", "파열": "찢어지 터지", "비대": "커지", "떨": "떨리", "돌": "도", "지리": "새", "몸": "온몸 전신",
        "다리": "하지", "팔": "상지", "얼굴": "안면", "가슴": "흉부", "콩팥": "신장", "쓸개": "담낭", "허파": "폐",
        "빨갛": "빨개지 붉 붉어지 벌겋 벌개지 충혈", "노랗": "노래지 누렇 누래지", "하얗": "하얘지 허옇 희", "거멓": "까매지 까맣 검",
        "간지럽": "가렵 근지럽 근질", "저리": "저릿 저릿저릿 저림",
    }.items()
    for form in forms.split()
}  # fmt: skip
_VERBS = _forms("줄 늘 불 누 싸 도 새 희 검")  # the same only as verbs: 불 is fire too
# Of these forms nouns too say something of the noun before them: 허리 통증.
_SAID = _forms("아프 붓 저하 파열 비대 빨갛 노랗 빠지 찌 힘들")
# What a text may say for the words of a name, though a name does not mean it: who says 머리가 지끈거리다 means 머리가 아프다.
_LIKE = dict.fromkeys(("쑤시", "욱신", "결리", "지끈", "시큰", "뻐근", "아리"), "아프")
# Nouns that say when, where exactly or how much: they may stand between a subject and its predicate (배 쪽이 어제부터 아파요).
_BETWEEN = _forms(
    "어제 오늘 그제 그저께 요즘 요새 최근 아침 점심 저녁 밤 새벽 낮 며칠 전 후 이후 동안 내내 때 정도 매일 종일 하루 가끔 항상 평소 이번",
    "지난주 주말 조금 약간 쪽 부위 부분 주변 근처 전체 안쪽 바깥쪽 뒤쪽 앞쪽 가운데 아래 아래쪽 위쪽 한쪽 양쪽 오른쪽 왼쪽 증상 상태",
)
_FILLER_NOUN = _forms("느낌")
_LIKENED = _forms("듯 듯이 만큼 지경 정도")  # 깨질 듯이 아프다: what stands before them only compares
_PLAIN_ADVERB = _forms("자꾸 계속 잘 좀 막 갑자기 아주 매우 정말 진짜 또 계속해서 꽤 점점 다 더 늘 조금 자꾸만")
_CONTENT = _forms("NNG NNP NNB NR XR XPN SL SN VV VA VCN MAG MM IC")
_PREDICATE = frozenset(("VV", "VA", "VCN", "XR"))
_EMPTY_SUFFIX = _forms("들 님 씩 쯤 째")
_SKIPPABLE = _forms("NNB NR SN SL MM MAG IC")
_LIGHT = frozenset(("하", "되", "시키", "거리"))  # they only make a verb of the word before: 소화가 되다 = 소화되다


@dataclass(frozen=True, slots=True, kw_only=True)
class Morpheme:
    """A content morpheme: `form` is its canonical stem, text[start:end] where it stands.

    `negated`: "안 아프다", "아프지 않다". `changed`: the form is another word of the same meaning. `skippable`: a phrase may be read
    over it; `filler`: a name says the same without it. `modifies`: it has the ending of "막힌 코". `topic`: 은, 는 or 도 follows.
    `ends`: no phrase goes on here.
    """

    form: str
    start: int
    end: int
    predicate: bool = False
    adjective: bool = False
    negated: bool = False
    changed: bool = False
    skippable: bool = False
    filler: bool = False
    modifies: bool = False
    topic: bool = False
    ends: bool = False

    @property
    def key(self) -> str:
        """The stem with its negation: "!아프"."""
        return NEGATED * self.negated + self.form

    @property
    def like(self) -> str:
        """The key of a word that this one implies (지끈거리다: 아프), "" when there is none."""
        return NEGATED * self.negated + _LIKE[self.form] if self.predicate and self.form in _LIKE else ""


def content_morphemes(text: str) -> list[Morpheme]:
    """Content morphemes of an NFC text in order, offsets in that text; a sentence end, comma or "와/과" gives one with `ends`."""
    found: list[Morpheme] = []
    before = ["", ""]  # the two tokens before, particles left out after an ending: "-지(는) 않다"
    negate = False
    for token in shared_kiwi().tokenize(text):
        tag = token.tag.partition("-")[0]
        if token.form in _LIKENED and found and found[-1].modifies:
            found[-1] = replace(found[-1], skippable=True)
        negates = token.form in ("안", "못", "않", "못하")
        if negates and before[-1] == "지/EC":
            _change(found, negated=True)
        elif negates and tag == "MAG":
            negate = True
        elif tag in ("XSV", "XSA") or (tag in ("VV", "VA") and token.form in _LIGHT):
            # of "검사를 하다" the noun stays a noun
            _change(found, negated=negate, predicate=negate or tag in ("XSV", "XSA") or (bool(found) and found[-1].skippable))
            negate = False
        elif tag in _CONTENT or (tag == "XSN" and token.form not in _EMPTY_SUFFIX):
            _append(found, _morpheme(token, tag, negate))
            negate = negate and not found[-1].predicate
        elif tag == "ETM" and found:
            found[-1] = replace(found[-1], modifies=True)
        elif tag == "JX" and token.form in ("은", "는", "도") and found:
            found[-1] = replace(found[-1], topic=True)
        elif tag in ("SF", "JC", "SSO", "SSC", "SB", "SP"):
            found.append(Morpheme(form="", start=token.start, end=token.end, ends=True))
            negate = False
        if tag != "JX":
            before.append(f"{token.form}/{tag}")
    return found


def _change(found: list[Morpheme], *, negated: bool, predicate: bool = False) -> None:
    """The last word that is no adverb becomes a predicate (답답+하다, 소화가 잘 안 되다), or a negated one."""
    at = len(found) - 1
    while predicate and negated and at > 0 and found[at].skippable:
        at -= 1
    if at >= 0 and not found[at].ends:
        last = found[at]
        form = _SAME.get(last.form, last.form)  # of 지끈지끈하다; the adverb alone is none of these words
        found[at] = replace(
            last, form=form, changed=last.changed or form != last.form, negated=last.negated != negated,
            predicate=last.predicate or predicate,
            adjective=last.adjective or predicate,
            skippable=last.skippable and not predicate, filler=last.filler and not predicate,
        )  # fmt: skip


def _append(found: list[Morpheme], morpheme: Morpheme) -> None:
    """A word said twice is one: 저릿 저릿."""
    if found and found[-1].form == morpheme.form:
        found[-1] = replace(found[-1], end=morpheme.end)
    else:
        found.append(morpheme)


def _morpheme(token: Any, tag: str, negate: bool) -> Morpheme:
    predicate = tag in _PREDICATE
    form = token.form.lower()
    if predicate and len(form) > 1:
        form = form.removesuffix("하")
    repeated = _REPEATED.fullmatch(form)
    form = _SUFFIX.sub("", repeated[1] if repeated and len(form) > 2 else form)
    same = form if tag in ("MAG", "XPN", "NR") or (form in _VERBS and not predicate) else _SAME.get(form, form)
    return Morpheme(
        form=same, start=token.start, end=token.end, predicate=predicate or same in _SAID, adjective=tag in ("VA", "XR"),
        negated=negate and predicate, changed=same != form,
        skippable=tag in _SKIPPABLE or token.form in _BETWEEN or token.form in _FILLER_NOUN,
        filler=tag == "NNB" or token.form in _FILLER_NOUN or (tag == "MAG" and (repeated is not None or token.form in _PLAIN_ADVERB)),
    )  # fmt: skip
