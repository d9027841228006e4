"""Names that mean something else in everyday Korean, told apart by the words around them: 신장 is a kidney, in "신장 175cm" a height."""

import re

_NEAR_LETTERS = 18  # on both sides
_RIEUL = "".join(map(chr, range(ord("갈"), ord("힣") + 1, 28)))  # syllables in -ㄹ
# The name does not mean the medical thing when this stands right before it, ...
_BEFORE = {
    "가래": r"(?:병원|응급실|의원|집|학교|[내외안]과)(?:에|로|으로)? ?",  # told to go; a spade
    "감기": r"(?:눈|머리|머릿결|태엽|테이프|붕대)(?:을|를|이|만|도)? ?(?:(?:스르르|저절로|자꾸|매일|꼭|안|못) )?",  # wash, close
    "관장": r"(?:업무|사무|행정|정책|전반|전체)(?:를|을)? ?",  # be in charge of
    "기미": rf"(?<!얼)(?![볼살팔발])[{_RIEUL}] ",  # 나아질 기미: a sign of
    "동상": r"이순신|세종대왕|장군|동|청",  # statue
    "두통": r"(?<![가-힣])(?:생수|물|김치|콜라|페인트|우유|막걸리|세제|기름)(?:를|을)? ?",  # two barrels
    "연식": r"(?:\d년?|(?<!일)차|차량|오래된)(?:의)? ?",  # model year
    "치루": r"(?:식|시험|값|대가|선거|행사|잔치|경기|전쟁|수능|장례|면접|일|전)(?:을|를|도|만) ?(?:잘 |다 |무사히 )?",  # hold, go through
}
# ... right after it, ...
_AFTER = {
    "가래": r"떡|침",
    "감기": r" (?:싫|귀찮)",
    "경부": r" ?(?:고속|선|라인)|운하",  # motorway
    "고창": r"군|읍",
    "관장": r"하는 (?:부서|부처|기관|업무|사무|곳|장관)|님|이 (?:바뀌|퇴임|취임)| (?:부서|업무|기관)",  # a director
    "골수": r"팬|분자|당원| (?:지지|팬)",
    "기미": r"(?:가|도|조차|는)? ?(?:전혀 |좀처럼 |조금도 )?(?:보이[지질] ?않|안 보|엿보|감지)|를 (?:알아|채)",
    "대변": r"인|하|해|혁",  # spokesman
    "대장": r"님|간|장이|정|균|부",  # captain
    "동상": r"이몽| (?:앞|옆|건립|철거)",
    "멍": r" ?때|을 때|하니|청",  # space out
    "미간": r"행",
    "미란": r" ?(?:씨|님|언니|누나|이[가는랑])",  # a given name
    "발치": r"에(?:서|다가?|는)? (?:두|놓|둔|누|눕|앉|서 있|자[고요던는]|강아지|고양이|이불|담요|쌓|있는|걸)",  # foot of a bed
    "발열": r" ?(?:조끼|내의|내복|장갑|패드|매트|소재|체)",  # heat of a device
    "발진": r" ?(?:하|준비|했|사고)",  # launch
    "복수": r"하|를 (?:하|다짐|꿈)|심|극|형|혈전|의 (?:답|정답|선택|응답|후보|사람|기관|항목|업체|병원|질문)| ?(?:전공|응답|정답|선택|국적)"
    r"|로 (?:선택|응답|고르)",  # revenge, plural
    "비만": r" (?:오[면는고기]|온다|올[까지]|와[서도요]|왔|내[리린릴려렸])",  # only rain
    "비장": r"하|한|함|의 (?:무기|각오|카드)|미",  # grim
    "사시": r"사철|미|는 ?(?:곳|데|동네|집|분|지역|까닭|이유|어머|아버|부모|할머|할아|삼촌|이모|고모|장모|시어|아파트|주소|댁)"
    r"|나요|던|준비|합격",  # all seasons; live
    "산재": r"해(?!요|서 ?보험)|하[는여고]|한 |된 ",  # be scattered
    "생리": r"학| ?현상",
    "설사": r" (?:그렇|그런|아니라)",  # even if
    "성대": r"하|한|히|하게|모사| ?(?:캠퍼스|학생)",  # splendid
    "수지": r"가 (?:맞|안 맞)|맞|타산|구|역| ?(?:씨|님|언니|누나)",  # balance, a name
    "수포": r"로 (?:돌아|끝)|자",  # come to nothing
    "식도": r"락",
    "신장": r"(?:이|은|은요)? ?(?:\d{3}|몇 ?(?:cm|센티)|제한|순)|과 (?:체중|몸무게)|이 (?:크신|큰 편)",  # height
    "실명": r" ?(?:제|인증|확인|으로|공개|거론|계좌)|을 (?:밝|공개|쓰|적)",  # real name
    "연식": r"이 ?(?:좀 |꽤 |너무 )?(?:오래|되|된|짧|다르|좋)| ?(?:변경|차량|자동차)",
    "안과": r" ?밖",  # inside and outside
    "암": r"만 |튼|묵|기|컷|컸|시장",  # however much
    "오심": r"(?:을|이|은)? ?(?:판정|논란)",  # wrong call of a referee
    "외래": r"어|종|문화|식물",
    "원시": r" ?(?:인|시대|림|사회|적|코드|자료|부족|데이터)",  # primitive
    "월경": r"하는 새",  # cross a border
    "유치": r"원|하|한|해|장|전|를 위|권|찬란|위원|뽕",  # childish, host, detain
    "이관": r" ?(?:하|되|된|한|받|절차|업무)",  # transfer
    "이명": r"박",
    "이자": r"율|가 (?:싸|비싸|높|낮|붙|얼마|밀|연체|오르|올|나오|나왔|\d)"
    r"|[를는도] ?(?:[\d만천백십억 ]*원(?:을|씩)? ?|못 |안 |매달 |다 |꼬박꼬박 )?(?:내|갚|받|냈|낸|물어)"
    r"|소득|카야| ?(?:부담|계산|비용|납부|연체)",  # interest
    "인두": r"로 (?:지|다)|질|판",
    "정관": r"[을이은]? ?(?:변경|개정|제정|작성)|에 (?:따|명시|규정|적|나와)|장|상",  # articles of incorporation
    "척추": r"동물| ?역할",
    "초음파": r" ?(?:세척|가습|칫솔|센서|미용)",
    "치열": r"하|한|할|했|해|히|함",  # fierce
    "코로나": r" ?(?:맥주|방전)",
    "통풍": r"이 ?(?:잘 ?(?:되|안)|안 ?(?:되|돼)|되)|을 (?:자주 |잘 )?(?:시|하)|구|시트|창|용| ?(?:잘 )?되는",  # ventilation
    "파행": r"을 겪|으로 (?:치달|끝)| ?운영",
    "편도": r" ?(?:\d+ ?(?:시간|분|원|만|천|차로)|[한두세네] ?시간|[일이삼] ?차로|항공|요금|티켓|승차|비행|열차|기차|표(?!면)|거리)"
    r"|로 (?:예매|예약|끊|사|다녀|왔)|[은는이가]? ?(?:얼마(?!나)|몇 ?(?:시간|분|원|만)(?!째))",  # one way
    "폐": r"를 ?(?:\S+ ?)?(?:끼|안 끼)|가 (?:많았|되지|될까)| ?끼[치쳐쳤]",  # be a nuisance
    "풍진": r" ?(?:세상|세월)",  # this dusty world
    "풍치": r" ?(?:좋|있|를 감상)",  # scenery
    "피로": r" (?:쓰(?!러)|쓴|썼|적|물들|얼룩|범벅|맺)|연",  # with blood
    "한진": r"택배|그룹|해운|칼",
    "해마": r"다",  # sea horse; every year
    "화병": r"에 (?:꽂|꽃|물|담|장미)|의 꽃|을 (?:깨|샀|사|선물)",  # a vase
    "혼수": r"품|용품| ?(?:장만|준비|가전)|를 (?:장만|준비|마련)",  # trousseau
    "홍역": r"을 (?:치르|치렀|앓듯)",  # go through an ordeal
    "화상": r" ?(?:회의|통화|수업|채팅|면접|면회|강의|진료|캠|연결)",  # video
}
# ... or near it.
_NEAR = {
    "가래": r"농기구",
    "경부": r"고속도로|휴게소",
    "고창": r"전북|여행",
    "골수": r"팬",
    "관장": r"박물관|미술관|도서관|체육관|부처|소관",
    "기침": r"아침상|문안",  # get up
    "대장": r"골목|부대|기병|군인|출납|육군|해군|공군|군대",
    "동상": r"광장|기념|청동|세운|건립|건학|이순신|동상을 세",
    "반점": r"짜장|짬뽕|중국집|배달",  # Chinese restaurant
    "발열": r"휴대폰|핸드폰|스마트폰|노트북|배터리|컴퓨터|충전|기기|그래픽",
    "발진": r"급발진|우주선|로켓|함대|차량|전투기",
    "복수": r"영화|드라마|원수|당한|배신|단수|전공",
    "사마귀": r"곤충|벌레|풀숲|잡았",  # mantis
    "사시": r"고시",
    "성대": r"축제|잔치|환영|모창",
    "수지": r"무역|경상|흑자|적자|용인|배우|가수",
    "스케일링": r"데이터|이미지|서버|그래프|변수|모델|해상도",
    "식도": r"칼[을로이]|식칼|주방|부엌",
    "신장": r"\d{3} ?(?:cm|센티)|신장개업",
    "실명": r"가명|익명|본명|닉네임",
    "역류": r"하수구|변기|배수구|하수|강물",
    "연식": r"주행거리|중고차|자동차|차량",
    "오심": r"심판|판정|주심|경기|선수|축구|야구|리그",
    "월경": r"분계선|국경|휴전선",
    "유치": r"올림픽|투자|기업|월드컵|박람회|고객",
    "이관": r"업무|부서|서류|소관",
    "이명": r"필명|본명|작가|별명",
    "이자": r"은행|대출|적금|예금|금리|원금|갚|저축|카드",
    "인두": r"납땜|다리미",
    "정관": r"주주|법인|회사|총회",
    "초음파": r"세척기|가습기",
    "초음파검사": r"용접|비파괴",
    "치열": r"경쟁|접전|공방",
    "통풍": r"환기|습기",
    "파행": r"국회|회의|의회",
    "편도": r"왕복|비행기|항공권|고속버스|기차표|KTX|ktx|톨게이트",
    "풍치": r"경치|정자|절경",
    "한진": r"택배|주식|그룹",
    "해마": r"바다|수족관|물고기",
    "화병": r"꽃|장미|튤립|도자기|꽂",
    "혼수": r"신혼|결혼|예단",
}
# The same for names said as sentences, in all their endings: what they open with, what is near them.
_SAID = (
    (re.compile(r"소리"), re.compile(r"엔진|스피커|마이크|모터|배기|냉장고|세탁기|청소기|벨소리")),
    (re.compile(r"말이? ?(?:\S+ )?늦"), re.compile(r"답장|답변|회신|카톡|메일")),
)
_CUES = {
    name: (
        re.compile(f"(?:{_BEFORE[name]})$") if name in _BEFORE else None,
        re.compile(_AFTER[name]) if name in _AFTER else None,
        re.compile(_NEAR[name]) if name in _NEAR else None,
    )
    for name in (*_BEFORE, *_AFTER, *_NEAR)
}


def other_sense_said(text: str, start: int, end: int) -> bool:
    """Whether the sentence text[start:end], in lower case, tells of a thing and not of a person: "엔진 소리가 작게" is no hearing loss."""
    begin = max(0, start - _NEAR_LETTERS)
    around = text[begin:start] + " " + text[end : end + _NEAR_LETTERS]
    return any(said.match(text, start, end) and near.search(around) for said, near in _SAID)


def other_sense(text: str, start: int, end: int) -> bool:
    """Whether the name text[start:end], in lower case, means its everyday homonym here."""
    cues = _CUES.get(text[start:end])
    if cues is None:
        return False
    before, after, near = cues
    begin = max(0, start - _NEAR_LETTERS)
    return bool(
        (before and before.search(text, begin, start))
        or (after and after.match(text, end))
        or (near and near.search(text[begin:start] + " " + text[end : end + _NEAR_LETTERS]))
    )
