"""Personal numbers by their shape and borders, by a check digit where one is reliable, else only after the word that names them."""

import re
from collections.abc import Iterator

from medllm.data.pii.spans import Span

_DASH = r"(?: ?[-–—‐‑−ㅡ] ?| )"
_IS = r"(?:\s*\(?(?:No\.?|번호)?\)?\s*(?:는|은|가|이|를|을|에|로|:|：|=|#|-|→)?\s*)"  # what may stand between the word and the number

# The check digit of 주민번호 is not used: numbers since October 2020 do not carry it. The seventh digit names century and sex.
_RESIDENT = re.compile(
    r"(?<!\d)(?<!\d[-.])(?P<year>\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"(?P<gap>{_DASH}?)(?P<sex>[1-8])(?:\d{{6}}|[*xX●○]{{6}})(?![\d*]|-\d)"
)
_THIS_CENTURY = 40  # seventh digits 3, 4, 7, 8 are of people born since 2000, so their year is below this
_OTHER_NUMBER = re.compile(
    r"(?:바코드|코드|품번|품목|송장|운송장|주문|접수|문서|승인|제조|허가|시리얼|일련|로트|LOT|Lot|lot|ISBN|DOI|GTIN|타임스탬프|timestamp|모델|제품"
    r"|관리|계약|거래|영수증|견적|예산|계좌|사업자|법인|특허|과제|논문|검체|qa_id|QA)\s*(?:번호|명|No\.?)?\s*(?:는|은|가|이|:|：|=|#)?\s*\Z"
)
_REACH = 16  # characters before a number in which such a word is looked for

_SEPARATOR = r"(?:\s?[-–—‐‑−ㅡ.·]\s?|\s)"
_AREA = r"0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50\d)"
_SPOKEN = "[공영일이삼사오육칠팔구]"
_PHONE = re.compile(
    r"(?<![\d+])(?<!\d[-.])(?<!제)(?:"
    rf"(?:\(01[016789]\)|01[016789]\)?){_SEPARATOR}?\d{{3,4}}{_SEPARATOR}?\d{{4}}"  # mobile
    # landline; 1588-.... and its like are of firms, also after an area code
    rf"|(?:\({_AREA}\)\s?|{_AREA}(?:\)\s?|{_SEPARATOR}))(?!1[568]\d\d{_SEPARATOR})\d{{3,4}}{_SEPARATOR}\d{{4}}"
    r")(?!\d|-\d|호)"
    rf"|(?<!\d)(?:\+|00)?82\)?{_SEPARATOR}?(?:\(0\)\s?)?0?(?:1[016789]|2|[3-6][1-5]|70){_SEPARATOR}\d{{3,4}}{_SEPARATOR}?\d{{4}}(?!\d|-\d)"
    r"|(?<!\d)\+8210\d{8}(?!\d)"
)
_SPOKEN_PHONE = re.compile(rf"공일[공영일육칠팔구][-\s]?{_SPOKEN}{{3,4}}[-\s]?{_SPOKEN}{{4}}")
_NAMED_PHONE = re.compile(rf"(?:전화|연락처|휴대폰|핸드폰|휴대전화|폰|Tel|TEL|tel|H\.?P|Phone|phone|Mobile){_IS}(0\d{{8,10}})(?!\d)")

_CARD = re.compile(r"(?<![\d-])(?:[3-69]\d{3}([- ]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([- ]?)\d{6}\2\d{5})(?![\d-])")

_INSURANCE = re.compile(
    r"(?:(?:건강\s?보험증?|의료\s?보험증?|(?<![가-힣])증)\s?(?:의\s?)?(?:등록\s?)?번호"
    r"|(?:건강\s?보험증|건보증|의료\s?보험증|보험증|의료급여증)(?:\s?번호)?)"
    rf"{_IS}(\d{{11}}|\d{{1,2}}-\d{{9,10}}|\d{{4}}[- ]\d{{4}}[- ]\d{{3}})(?!\d)"
)
_VALUE = r"([A-Za-z]{0,3}-?\d{4,12}(?:-\d{1,6})*)(?![\dA-Za-z])"
_CHART = re.compile(
    r"(?:차트|챠트|환자\s?등록|등록|환자\s?고유|환자|병록|병력|의무\s?기록|진료\s?기록|진료|진찰권|진료카드|내원|입원)"
    rf"\s?(?:번호|[Nn][Oo]\.?|ID){_IS}{_VALUE}"
)
# a 등록번호 of these is of no patient
_REGISTERED = re.compile(r"(?:사업자|법인|특허|상표|품목|시험|연구|약품|기기|제품|차량|주민|외국인|목록)\s?\Z")
_LATIN_CHART = re.compile(
    r"(?<![A-Za-z])(?:MRN|(?:Chart|Hosp(?:ital)?|Patient|Pt|Reg)\.?\s?(?:No|ID|Number|#)|환자\s?ID|PID)"
    rf"(?:\.|:|：|=|#|은|는|이|가|\s)*{_VALUE}",
    re.IGNORECASE,
)
_TRIAL = re.compile(r"(?:NCT|KCT|CT)\d", re.IGNORECASE)  # registration of a clinical trial, not of a person
_PASSPORT = re.compile(r"(?<![A-Za-z\d])(?:M\d{8}|M\d{3}[A-Z]\d{4})(?![A-Za-z\d])")
_NAMED_PASSPORT = re.compile(
    r"(?:여권|passport)[^\d\n]{0,12}?(?<![A-Za-z])([A-Za-z]{1,2}\d{7,8}|[A-Za-z]\d{3}[A-Za-z]\d{4})(?![A-Za-z\d])", re.IGNORECASE
)
_REGION = "(?:서울|부산|대구|인천|광주|대전|울산|경기|강원|충북|충남|전북|전남|경북|경남|제주)"
_LICENCE = re.compile(
    rf"(?<![\d-])(?:(?:1[1-9]|2[0-8]|{_REGION}[- ]?\d\d)-\d\d-\d{{6}}-\d\d|{_REGION}[- ]?\d\d-\d{{6}}-\d\d)(?![\d-])"
)
_NAMED_LICENCE = re.compile(rf"면허\s?(?:증\s?)?(?:번호)?{_IS}((?:1[1-9]|2[0-8])[- ]?\d\d[- ]?\d{{6}}[- ]?\d\d)(?!\d)")

# Most text has none of these: cheap searches that save the others
_LONG = re.compile(r"\d(?:[^\w\n]{0,3}ㅡ?\d){6}")
_CODE = re.compile(r"\d{3}")
_NAMED = (
    ("driving_licence", _NAMED_LICENCE, ("면허",)),
    ("insurance_number", _INSURANCE, ("증번호", "증 번호", "보험", "건보", "급여증")),
    ("passport", _NAMED_PASSPORT, ("여권", "assport", "ASSPORT")),
    ("chart_number", _CHART, ("번호", "No", "NO", "ID")),
    ("chart_number", _LATIN_CHART, ("MRN", "mrn", "hart", "osp", "atient", "Pt", "PT", "Reg", "ID")),
    ("phone", _NAMED_PHONE, ("전화", "연락처", "폰", "el", "TEL", "HP", "H.P", "hone", "obile")),
)

_AT = r"(?:@|\s?[\[(]\s?(?:at|골뱅이|@)\s?[\])]\s?|\s?골뱅이\s?| at (?=(?:naver|gmail|daum|hanmail|kakao|nate)\b))"
_DOT = r"(?:\.|\s?[\[(](?:dot|점)[\])]\s?|\s점\s)"
_EMAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_](?:[A-Za-z0-9._%+-]*[A-Za-z0-9_%+-])?{_AT}(?:[A-Za-z0-9-]+{_DOT})+"
    r"(?!(?:png|jpe?g|gif|svg|webp)\b)[A-Za-z]{2,}"
)


def find_emails(text: str) -> Iterator[Span]:
    """E-mail addresses; an interview placeholder (@COMPANY) has nothing before its @."""
    if "@" in text or "골뱅이" in text or "at" in text:
        for match in _EMAIL.finditer(text):
            yield Span(start=match.start(), end=match.end(), kind="email")


def find_numbers(text: str) -> Iterator[Span]:
    """Numbers of persons, the surest kinds first."""
    if "공일" in text:
        for match in _SPOKEN_PHONE.finditer(text):
            yield Span(start=match.start(), end=match.end(), kind="phone")
    if not _CODE.search(text):
        return
    long = _LONG.search(text) is not None
    if long:
        yield from (span for span in _matches(_RESIDENT, "resident_number", text) if _is_resident(span, text))
        yield from _matches(_LICENCE, "driving_licence", text)
    yield from _named_numbers(text)
    yield from _matches(_PASSPORT, "passport", text)
    if long:
        yield from (span for span in _matches(_CARD, "card", text) if _luhn(text[span.start : span.end]))
        yield from _matches(_PHONE, "phone", text)


def _matches(pattern: re.Pattern[str], kind: str, text: str) -> Iterator[Span]:
    """What has the shape of `kind`, unless the word before says that it is something else."""
    for match in pattern.finditer(text):
        if not _OTHER_NUMBER.search(text[max(0, match.start() - _REACH) : match.start()]):
            yield Span(start=match.start(), end=match.end(), kind=kind)


def _named_numbers(text: str) -> Iterator[Span]:
    """Numbers that only the word before them tells from any other number; the word itself stays."""
    for kind, pattern, words in _NAMED:
        if not any(word in text for word in words):
            continue
        for match in pattern.finditer(text):
            if not _TRIAL.match(match[1]) and not _REGISTERED.search(text[max(0, match.start() - _REACH) : match.start()]):
                yield Span(start=match.start(1), end=match.end(1), kind=kind)


def _is_resident(span: Span, text: str) -> bool:
    match = _RESIDENT.match(text, span.start)
    if match is None or (match["sex"] in "3478" and int(match["year"]) >= _THIS_CENTURY):
        return False
    before = text[max(0, span.start - _REACH) : span.start]
    return bool(match["gap"]) or "등록번호" in before or "주민" in before or not _is_korean_barcode(match[0])


def _is_korean_barcode(digits: str) -> bool:
    """13 digits from 880 whose EAN-13 check digit is right: one in ten of the numbers of people born in 1988 would be, too."""
    if not digits.startswith("880") or not digits.isdigit():
        return False
    return sum(int(digit) * (1, 3)[at % 2] for at, digit in enumerate(digits)) % 10 == 0


def _luhn(number: str) -> bool:
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    return sum(digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(digits)) % 10 == 0
