"""Names of persons, only in a context that calls for one: 환자 홍길동, 홍길동 님, 성명: 홍길동, 이름은 홍길동입니다.

A name is a surname and one or two syllables that occur in given names; nouns spelt like one (심전도, 조현병, 이유식) are no names.
"""

import re
from collections.abc import Iterator

from medllm.data.pii.medical import MEDICAL
from medllm.data.pii.nouns import THREE_SYLLABLES
from medllm.data.pii.short_nouns import TWO_SYLLABLES
from medllm.data.pii.spans import Span

_COMMON_SURNAMES = frozenset(
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구나민진지엄채원천방공현함변염여추도소석선설"
    "마길연위표명반왕금옥육맹제모탁국어은편용예봉경라태복인단"
)
_SURNAMES = _COMMON_SURNAMES | frozenset("기사부가목형피두감음빈동온호범좌팽승간상시갈견")
_DOUBLE_SURNAMES = frozenset(("남궁", "황보", "제갈", "선우", "독고", "사공", "서문", "동방"))
_GIVEN = frozenset(
    "가강건겸경계고광교구국권귀규균근금기길나남내노누다단달담대덕도동두라란람래려련렬례로록루름리린림마만명모목무문미민바배백"
    "범별병보복봄봉빈사산상새샘서석선설섭성세소솔송수숙순슬승시식신실심아안애양언업연열영예오옥온완용우욱운웅원월위유윤율으은"
    "을의이익인일임자장재전정제조종주준중지진찬창채천철초춘충치탁태택평표필하학한해향허헌혁현협형혜호홍화환효후훈휘흠흥희"
    "늘관룡갑응삼곤엽령득비걸량여립락랑묵돈극매숭률류륜분점칠팔능녕술섬쇠반청행총맹항황쾌말막끝녀"
)
_GIVEN_WORDS = frozenset((
    "하늘", "보람", "빛나", "아름", "다솜", "다움", "초롱", "샛별", "새롬", "새벽", "다운", "누리", "가람", "마루", "한별", "한솔", "예솔",
    "은별", "바다", "나무", "나래", "이든", "라온", "가을", "여름", "겨울", "사랑", "믿음", "슬기", "찬들",
))  # fmt: skip
_TITLES = frozenset((
    "과장", "원장", "부장", "교수", "선생", "간호", "약사", "의사", "박사", "실장", "팀장", "대리", "사장", "기사", "코치", "대표", "회장",
    "이사", "주임", "여사", "할머", "할아", "아무", "모", "모씨", "모군", "모양",
))  # fmt: skip

_AFTER = re.compile(
    r"([가-힣]) ?(님|씨|환자|환아|보호자|어르신|할머[니님]|할아버[지님]|어머[니님]|아버[지님]|어린이|아기|학생|산모|고객|회원|교수|원장"
    "|과장|박사|간호사|의사|전문의|선생|약사|팀장|군)(?!들)"
)
# the start of a word that may be a name, then what stands before it
_FIRST = "".join(sorted(_COMMON_SURNAMES | {word[0] for word in _DOUBLE_SURNAMES}))
_SECOND = "".join(sorted(_GIVEN | {word[0] for word in _GIVEN_WORDS} | {word[1] for word in _DOUBLE_SURNAMES}))
_START = re.compile(rf"[\s:：(](?=[{_FIRST}][{_SECOND}])")
_ROLE = re.compile(
    "(환자|환아|산모|보호자|수진자|수검자|피검자|내원객|예약자|피보험자|가입자|대리인|신청인|신청자|신고자|의뢰인|동의자|소지자|작성자|수신인"
    "|수취인|발신인|의사|담당의|주치의|집도의|간호사|상담사|상담원|교수|원장|과장|시어머니|시아버지|어머니|아버지|엄마|아빠|아들|딸|남편|아내"
    "|배우자|장모|며느리|사위|할머니|할아버지|손자|손녀|아이|동생|언니|누나|오빠|형|본인|명의|(?:받는|보내는|보낸) ?(?:사람|분|이))"
    r"(?:인|는|은)?(?:\s?[:：]\s?|\s|\s?\(\s?)\Z"
)
_SELF = re.compile(r"(?:저는|제가|나는|저|난|전|안녕하세요[.,!~]?|안녕하십니까[.,!~]?|며느리|사위|아들|딸|남편|아내|엄마|아빠)\s\Z")
_REACH = 12  # characters that these take at most
_LABEL = re.compile(
    r"(?:성명|성함|존함|환자명|환자 ?이름|보호자명|보호자 ?이름|수진자명|수검자명|피보험자명|예금주|신청인명)"
    r"(\s*(?:[:：=]|은|는|이|을|를)?\s*)(?=[가-힣])"
)
_CALLED = re.compile(r"이름(?:\s?[:：]|은|이|\s)\s*(?=[가-힣])")
_ASKED = re.compile(r"(?:성함|이름)[^?\n]{0,14}\?\s*(?:[-–—]\s*)?(?=[가-힣])")
# whose name it is not: 병 이름은, 약의 이름은
_THING = re.compile(
    r"(?:약|약물|병|질환|질병|증상?|균|세균|성분|제품|검사|수술|시술|병원|의원|약국|식물|음식|근육|뼈|부위|기관|호르몬|바이러스)의? ?\Z"
)
_SELF_END = re.compile(r"\s?(?:이라고|라고|입니다|이에요|예요|인데|이라는|라는|이라 |라 |이고|이며)")
_SEX = "(?:남자|여자|남성|여성|남|여|M|F)"
_AGE = re.compile(rf"([가-힣])\s?\(\s?(?=(?:만\s?)?\d{{1,3}}\s?세|{_SEX}\s?[,/·\s]\s?(?:만\s?)?\d{{1,3}}|\d{{1,3}}\s?/\s?{_SEX})")
# In Latin letters: any words after a label for persons, else only with a Korean surname (환자는 Acute Kidney Injury)
_LATIN = re.compile(
    r"(?:성명|환자명|성함|[Pp]atient [Nn]ame|PATIENT NAME)\s*(?:[:：=]|은|는)\s*"
    r"((?:[A-Z][A-Za-z]+,?[ -]){1,2}[A-Z]?[A-Za-z]+(?:-[A-Za-z]+)?)(?![A-Za-z])"
)
_LATIN_SURNAME = "(?:Kim|Lee|Park|Choi|Jung|Jeong|Chung|Kang|Cho|Yoon|Jang|Lim|Han|Oh|Seo|Shin|Kwon|Hwang|Ahn|Song|Hong|Yang|Moon)"
_KOREAN_LATIN = re.compile(
    r"(?:환자|이름|[Pp]atient)(?:\s*[:：=]|은|는)?\s*"
    rf"({_LATIN_SURNAME},? [A-Z][a-z]+(?:[- ]?[A-Z]?[a-z]+)?|[A-Z][a-z]+(?:[- ]?[A-Z]?[a-z]+)? {_LATIN_SURNAME})(?![A-Za-z])"
)
_ALONE = re.compile(r"(?<![가-힣])([가-힣]{3,4})[\s,/|]{1,4}$")
_NEXT = re.compile(r"(?:\s?[,/|]\s?|\s)([가-힣]{3})(?=\s?(?:입니다|이에요|예요|[,/|)\n]|$))")
_SPACED = re.compile(r"([가-힣]) (?:[가-힣]{2}|[가-힣] [가-힣])(?![가-힣])")
_HONOURED = re.compile(r"\s?(?:님|씨|\()")
_PARTICLE_WORDS = """은 는 이 가 을 를 의 에게 에게서 께 께서 께서는 한테 도 와 과 로 으로 이나 만 이는 이가 이를 이의 이도 이와 이에게 이랑
랑 이라고 라고 이고 이며 입니다 이에요 예요 인데 이라는 라는 이다 이었다 였다 이었습니다 였습니다 이세요
이신가요 이시고 이신데 이신 이십니다 고 며 요 이요 라 이라 인데요 인데 입니다만 님 씨 군 양"""
_TAILS = frozenset(("", *_PARTICLE_WORDS.split()))
_WORD = re.compile(r"[가-힣]+")
_PARTICLES = "은이가을도로의와과만나"


def find_names(text: str) -> Iterator[Span]:
    """Names in context; the context word and any particle or honorific stay."""
    called = "이름" in text
    if called or "성명" in text or "함" in text or "자명" in text or "예금주" in text or "인명" in text:
        for match in _LABEL.finditer(text):
            yield from _after_label(text, match.end(), sign=match[1].strip())
    if called:
        for match in _CALLED.finditer(text):
            if not _THING.search(text[max(0, match.start() - 8) : match.start()]):
                yield from _span(text, match.end(), _name_length(text, match.end(), shortest=2))
    if (called or "성함" in text) and "?" in text:
        for match in _ASKED.finditer(text):
            yield from _span(text, match.end(), _name_length(text, match.end()))
    if called or "환자" in text or "성명" in text or "성함" in text or "atient" in text or "PATIENT" in text:
        for pattern in (_LATIN, _KOREAN_LATIN):
            for match in pattern.finditer(text):
                yield Span(start=match.start(1), end=match.end(1), kind="name")
    for match in _AFTER.finditer(text):
        yield from _before_honorific(text, match)
    for match in _START.finditer(text):
        length = _name_length(text, match.end())
        if length and _is_introduced(text, match.end(), length):
            yield from _span(text, match.end(), length)
    if "(" in text:
        for match in _AGE.finditer(text):
            yield from _ending_at(text, match.end(1), shortest=2)


def names_beside(text: str, start: int, end: int) -> Iterator[Span]:
    """The name right before or after text[start:end], a number or an address, as in a line of a form: 홍길동 / 010-1234-5678."""
    before = _ALONE.search(text[max(0, start - 9) : start])
    if before and _is_name(before[1]) and not _is_inflected_noun(before[1]):
        at = start - len(before[0])
        yield Span(start=at, end=at + len(before[1]), kind="name")
    after = _NEXT.match(text, end)
    if after and _is_name(after[1]) and not _is_inflected_noun(after[1]):
        yield Span(start=after.start(1), end=after.end(1), kind="name")


def _is_introduced(text: str, start: int, length: int) -> bool:
    """Whether the words before a name, or around it, say that it is one: 환자 홍길동, 저는 홍길동입니다."""
    before = text[max(0, start - _REACH) : start]
    role = _ROLE.search(before)
    if role and (role[1] == "환자" or not _inside_word(before, role.start())):  # 고혈압환자 홍길동, but not 합의사 홍길동
        return True
    own = _SELF.search(before)
    return own is not None and not _inside_word(before, own.start()) and _SELF_END.match(text, start + length) is not None


def _inside_word(text: str, at: int) -> bool:
    return at > 0 and "가" <= text[at - 1] <= "힣"


def _span(text: str, start: int, length: int) -> Iterator[Span]:
    if length:
        yield Span(start=start, end=start + length, kind="name")


def _after_label(text: str, start: int, *, sign: str) -> Iterator[Span]:
    """The name after 성명; a sign between them (성명: 홍 길동) leaves no doubt that it is one."""
    sure = sign in (":", "：", "=")
    spaced = _SPACED.match(text, start)
    if sure and spaced and spaced[1] in _SURNAMES:
        yield Span(start=start, end=spaced.end(), kind="name")
    else:
        yield from _span(text, start, _name_length(text, start, sure=sure, shortest=2))


def _before_honorific(text: str, match: re.Match[str]) -> Iterator[Span]:
    honorific, end = match[2], match.end(1)
    spaced = text[end] == " "
    after = text[match.end() : match.end() + 1]
    if honorific == "님" or (honorific == "씨" and after not in ("앗", "름", "방", "줄")):
        yield from _ending_at(text, end, shortest=2)
    elif honorific == "군":
        if spaced and not ("가" <= after <= "힣" and after not in _PARTICLES):
            yield from _ending_at(text, end, shortest=3)
    elif honorific != "씨" and (spaced or honorific in ("환자", "환아", "보호자", "어르신")) and text[end - 1] not in "의한된":
        yield from (span for span in _ending_at(text, end, shortest=3) if not _is_inflected_noun(text[span.start : span.end]))


def _ending_at(text: str, end: int, *, shortest: int) -> Iterator[Span]:
    """The name that fills the word before `end`, a role written without a space before it excepted (환자홍길동님)."""
    for length in (4, 3, 2):
        start = end - length
        if length < shortest or start < 0 or not _is_name(text[start:end]):
            continue
        if not _inside_word(text, start) or text[:start].endswith(("환자", "보호자", "환아", "산모")):
            yield Span(start=start, end=end, kind="name")
            return


def _name_length(text: str, start: int, *, sure: bool = False, shortest: int = 3) -> int:
    """Length of the name that starts a word at `start`, 0 when none does. `sure`: the label leaves no doubt, so any syllables will do."""
    run = _WORD.match(text, start)
    word = run[0] if run else ""
    for length in (4, 3, 2):
        name, tail = word[:length], word[length:]
        if len(name) < length or length < shortest or tail not in _TAILS:
            continue
        if sure and length < 4 and name[0] in _SURNAMES and not _is_noun(name):
            return length
        doubtful = not tail and (length == 2 or _is_inflected_noun(name))
        if _is_name(name) and (sure or not doubtful or _HONOURED.match(text, start + length)):
            return length
    return 0


def _is_inflected_noun(word: str) -> bool:
    """이송이, 표현은: a noun and a particle, more likely than a name."""
    return len(word) == 3 and word[-1] in _PARTICLES and (word[:2] in TWO_SYLLABLES or word[:2] in MEDICAL)


def _is_noun(word: str) -> bool:
    return word in THREE_SYLLABLES or word in TWO_SYLLABLES or word in MEDICAL or word[1:] in _TITLES


def _is_name(word: str) -> bool:
    """Whether the syllables are those of a name: surname and given name."""
    if word[:2] in _DOUBLE_SURNAMES:
        return len(word) > 2
    if len(word) == 4 or word[0] not in _COMMON_SURNAMES or _is_noun(word):
        return False
    return all(char in _GIVEN for char in word[1:]) or word[1:] in _GIVEN_WORDS
