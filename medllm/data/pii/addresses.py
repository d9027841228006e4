"""Street addresses (도로명, 지번) down to the house: a province, city or district alone names no one."""

import re
from collections.abc import Iterator

from medllm.data.pii.districts import DISTRICTS
from medllm.data.pii.spans import Span

_METROPOLIS = r"(?:서울특별시|서울시|(?:부산|대구|인천|광주|대전|울산)(?:광역시|시)|세종(?:특별자치시|시)|(?:강원|제주|전북)특별자치도)"
_PROVINCE = (
    rf"(?:{_METROPOLIS}\s?|(?:경기|강원|제주|충청[북남]|전라[북남]|경상[북남])도\s?"
    r"|(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|제주|[충전경][북남])\s)"
)
_TOWN = r"(?:[가-힣]{1,6}\d{0,2}(?:동|가|읍|면|리)(?:\d가)?)"
_ROAD = r"(?:[가-힣][가-힣A-Za-z\d·.]{0,10}?(?:대로|(?<!으)로|길)(?:\s?\d{1,4}(?:번|번안|가|나|다|라)?길)?)"
# A count is no house number: 강남구 병원으로 3일, 역삼동 2층에서
_UNIT = (
    r"(?:일|개월|개|명|년|월|시간|시|분|초|회|살|세|주(?![진소민치])|차|정|알|캡슐|mg|㎎|g|ml|mL|cc|kg|cm|km|㎞|m|%|℃|도|원|만|천|배|곳|건|단계|병상"
    r"|인(?!데|지)|위|호선|등급)"
)
_HOUSE = rf"(?:\d{{1,4}}(?:-\d{{1,4}})?(?:번지)?(?![,.%:/~-]?\d| ?{_UNIT}))"
_BUILDING = (
    r"(?:아파트|빌라|오피스텔|빌|빌리지|타워|빌딩|맨션|연립|주택|하이츠|캐슬|자이|푸르지오|래미안|힐스테이트|아이파크|더샵|팰리스|원룸|고시원|기숙사)"
)
_HOME = rf"(?:[가-힣A-Za-z\d]{{1,14}}{_BUILDING})"
_FLOOR = r"(?:(?:지하\s?)?B?\d{1,3}층)"
_DOOR = rf"(?:(?:제?\d{{1,4}}|[가-힣A-Z])동\s?(?:{_FLOOR}\s?)?(?:제?\d{{1,4}}호)?|(?:{_FLOOR}\s?)?제?B?\d{{1,4}}호|{_FLOOR})"
_NOTE = r"(?:,?\s?\([가-힣\d,\s]{2,20}\))?"
_REST = rf"{_NOTE}(?:,?\s?(?:{_HOME}|[가-힣A-Za-z\d]{{2,10}}(?=\s?\d{{1,4}}동\s?\d{{1,4}}호)))?(?:,?\s?{_DOOR}){{0,2}}{_NOTE}"
_ZIP = r"(?:[(\[]?(?:우\s?)?\d{5}[)\]]?\s)?"
_DISTRICT = f"(?:{'|'.join(sorted(DISTRICTS, key=lambda name: (-len(name), name)))})"
_AREA = rf"(?:{_PROVINCE}(?:[가-힣]{{1,5}}[시군구]\s?){{0,2}}|{_DISTRICT}\s?(?:[가-힣]{{1,5}}구\s?)?|[가-힣]{{1,4}}시\s[가-힣]{{1,4}}구\s)"
_PLACE = (
    rf"(?:(?:{_TOWN}\s?){{0,2}}?{_ROAD}\s?(?:지하\s?)?{_HOUSE}|{_TOWN}(?:\s?{_TOWN})?\s?(?:산\s?)?{_HOUSE}"
    rf"|(?:{_TOWN}\s?){{0,2}}{_HOME},?\s?{_DOOR})"
)
_FULL = re.compile(rf"{_ZIP}(?<![가-힣]){_AREA}{_PLACE}{_REST}")
# Without a district only what cannot be anything else: a flat, a 번지, or whatever follows the word 주소
_FLAT = re.compile(
    rf"(?<![가-힣\d])(?:{_ROAD}\s?{_HOUSE},?\s?|{_TOWN}\s)?(?:{_HOME},?\s?)?\d{{1,4}}동\s?\d{{2,4}}호"
    rf"|(?<![가-힣])(?:{_TOWN}\s?){{1,2}}(?:산\s?)?\d{{1,4}}(?:-\d{{1,4}})?번지{_REST}"
    rf"|(?<![가-힣]){_ROAD}\s?{_HOUSE},?\s(?:{_HOME},?\s?)?{_DOOR}"
    rf"|(?<![가-힣]){_HOME},?\s?\d{{1,4}}동\s?\d{{1,4}}호"
)
_NAMED = re.compile(
    r"(?:주소지?|거주지|주거지|자택|본적|사는 곳|배송지)\s*(?:는|은|가|이|:|：)?\s*" rf"((?:[가-힣\d]{{1,8}}\s){{0,4}}?{_PLACE}{_REST})"
)
_HINT = re.compile(r"[로길동리가읍면] ?(?:산 ?|지하 ?)?\d|\d(?:동 ?\d|번지|호)|[가-힣A-Z]동 ?\d{1,4}호")


def find_addresses(text: str) -> Iterator[Span]:
    """Addresses with at least a house number or a flat; the particle after one stays."""
    if not _HINT.search(text):
        return
    for pattern in (_FULL, _NAMED, _FLAT):
        for match in pattern.finditer(text):
            group = match.lastindex or 0
            yield Span(start=match.start(group), end=match.end(group), kind="address")
