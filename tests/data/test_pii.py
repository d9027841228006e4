import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medllm.data.knowledge import Knowledge
from medllm.data.particles import attach
from medllm.data.pii import LABELS, PII_DUTY, Span, find_pii, mask_pii, mask_record
from medllm.data.records import Record

LABELLED = Path(__file__).parent / "pii.jsonl"

POSITIVES = {
    "resident_number": [
        "주민번호 900101-1234567입니다", "9001011234567", "040229–3123456", "외국인등록번호 850707 5123456", "900101 - 1******",
        "주민등록번호 8801011234567",
    ],
    "phone": [
        "연락처는 010-1234-5678", "01012345678로", "016 123 4567", "010ㅡ1234ㅡ5678", "병원 02-123-4567", "(031) 123-4567",
        "+82-10-1234-5678", "010.1234.5678", "02)123-4567", "전화번호 0212345678", "공일공-일이삼사-오육칠팔", "0507-1234-5678",
    ],
    "email": [
        "문의 hong.gildong@example.co.kr로", "hong(at)naver.com", "_under_@mail.example.com으로",
    ],
    "address": [
        "서울특별시 강남구 테헤란로 152에 삽니다", "서울시 서초구 반포대로 58, 101동 1203호",
        "경기도 수원시 영통구 광교중앙로 140번길 22", "부산 해운대구 우동 1234-5번지", "전남 순천시 해룡면 신대리 123",
        "역삼동 123-45번지", "래미안아파트 101동 1203호", "강원도 춘천시 두루봉로 93-8 인데요", "주소: 행복로 12",
    ],
    "chart_number": [
        "차트번호: 12345678", "등록번호 00123456", "MRN 1234567", "환자번호는 2023-12345", "병록번호:A1234567",
    ],
    "insurance_number": [
        "건강보험증 번호 1-2345678901", "보험증번호: 12345678901",
    ],
    "card": [
        "카드 4111 1111 1111 1111", "4111-1111-1111-1111",
    ],
    "passport": [
        "여권번호 M12345678", "M123A4567", "여권은 S12345678입니다",
    ],
    "driving_licence": [
        "면허 11-12-123456-12", "서울 12-123456-12",
    ],
    "name": [
        "환자 홍길동(45세)이 내원", "김철수 님의 결과", "박영희 씨는", "보호자 최민정이 동의", "주치의 강동원", "남궁민 환자",
        "황보관 님", "허준 님", "홍길동님", "제 이름은 홍길동입니다", "성명: 홍 길동", "성함이 이서연이세요?", "저는 김지훈이라고 합니다",
        "저희 아들 김민준이 열이 나요", "이름: 박하늘", "Patient name: Hong Gil-dong", "환자 Kim Chul-soo", "환자: 홍형준이요",
        "서말숙(78/F)", "저 안태민 인데요", "성함이 어떻게 되세요? 장하은이요", "옥혜경 어머님", "김민수 교수에게", "김영희(여/35)",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in POSITIVES.items() for text in texts])
def test_personal_data_are_masked(kind: str, text: str) -> None:
    masked, hits = mask_pii(text)
    assert dict(hits) == {kind: 1}
    assert LABELS[kind] in masked
    assert not re.search(r"\d{3}", masked)
    assert "@" not in masked


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, 3일, 57세, 500 mg", "KCD J18.9, E11.9", "qa 20010123456789", "2024-01-02", "119, 109, 1393, 1577-0199, 1588-1234",
        "$1010+1234=2244$", "@COMPANY @company의 @product1", "901332-1234567", "0.01012345678", "2010-1234-56789", "HbA1c 6.5 %",
        "EDI 641900010", "8801234567893", "검체번호 230115-1234567", "임상시험 등록번호 KCT0001234", "사업자등록번호 123-45-67890",
        "4111 1111 1111 1112", "logo@2x.png", "제2024-0123-4567호", "서울 강남구에 있는 병원", "강남구 병원으로 3일 뒤",
        "대조군 치료로 12", "경구로 500mg", "3병동 501호", "병원은 3층에 있습니다", "운동 30분", "하루 3리터", "환자 보호자",
        "고혈압 환자", "담당 의사", "이 환자", "김 과장님", "김과장님", "원장님 말씀", "날씨와 아저씨, 글씨", "홍화씨", "섭씨 38도",
        "주치의 선생님", "환자 심전도에서", "환자 주호소는", "환자 전원이", "전이성 암 환자", "조현병 환자", "심해진 환자", "방문한 환자",
        "여성인 환자", "아이 이유식을", "김모 씨", "환자 나이는 65세이며 환자 주증상은 기침이다. 환자 전신 상태는 양호하다.",
        "어머니 유전자가 전달된다. 아이 성장판이 닫혔다. 아들 이유식을 시작했다.",
        "본인 부담금은 30%입니다. 본인 동의가 필요합니다. 본인 확인 후 수령",
        "저는 임신 12주 입니다. 저 고민이 있어요. 저 이명이 있는데요. 저는 신경통인데 괜찮을까요?",
        "교수 임용, 과장 진료, 원장 인사말, 환자 권리, 환자 인권, 환자 고통",
        "남편 정관수술 후, 아내 제왕절개 후, 딸 성조숙증 검사, 딸 예방접종, 아이 예방주사",
        "서울 종로구에서 3번 출구로 5분, 강남역 11번 출구 길 건너 2층", "신장 175cm 체중 70kg 환자 신장은 작다 환자 안면은 창백",
        "임상시험 등록번호 NCT01234567, 품목허가번호 201234567, 의사 면허번호 12345",
        "선생님 안녕하세요 우리 아이 기침 문의드립니다. 안녕하세요 유방암 환자입니다. 안녕하세요 임산부입니다. 안녕하세요 정신과 인데요",
        "의사 한마디로 설명, 환자 하나하나, 환자 모두가, 환자 전부를, 환자 노력이, 환자 신뢰도가, 환자 만족도",
        "아기 수면 교육, 아기 황달이 심해요, 아기 변비, 산모 유두가, 산모 모유가, 산모 진통이, 산모 양수가",
        "환자는 Acute Kidney Injury", "균 이름은 Escherichia coli", "이름: Augmentin Duo",
        "병의 이름은 고혈압입니다",
        "약 이름은 아스피린", "저는 임산부입니다", "저는 고혈압입니다", "여성 환자(여/45)", "정해진 양", "표현은 의사들은",
        "보호자 동의가",
    ],
)  # fmt: skip
def test_medical_text_is_left_alone(text: str) -> None:
    assert mask_pii(text) == (text, Counter())


def test_masked_text_still_reads() -> None:
    text = "환자 홍길동(45세)의 연락처는 010-1234-5678이고 서울시 강남구 테헤란로 152에 거주합니다."
    assert mask_pii(text)[0] == "환자 [이름](45세)의 연락처는 [전화번호]이고 [주소]에 거주합니다."


def test_spans_are_in_order_and_apart() -> None:
    spans = find_pii("홍길동 님 010-1234-5678, hong@example.com, 900101-1234567")
    assert [span.kind for span in spans] == ["name", "phone", "email", "resident_number"]
    assert spans[0] == Span(start=0, end=3, kind="name")
    assert all(a.end <= b.start for a, b in pairwise(spans))


PIECES = [
    "환자 ", "홍길동", "김", "님", " 씨", "이름은 ", "성명: ", "010", "-", "1234", "5678", "900101", " ", "서울 강남구 ", "테헤란로 ",
    "12", "번지", "@", "hong", ".com", "[이름]", "[주소]", "차트번호 ", "(", ")", "M12345678", "4111", "동 ", "호", "입니다", "저는 ",
    "\n", "이", "은", "전화 ",
]  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=16).map("".join)))
def test_masking_twice_is_masking_once(text: str) -> None:
    masked, _ = mask_pii(text)
    assert mask_pii(masked) == (masked, Counter())


@given(st.text(alphabet="가나다라마바사아자차카타파하고혈압당뇨병증상통치료 .,?!abcXYZ", max_size=80))
def test_text_without_digits_or_contexts_is_unchanged(text: str) -> None:
    assert mask_pii(text) == (text, Counter())


def test_every_text_field_of_a_record_is_masked() -> None:
    phone = "010-1234-5678"
    record = Record(
        id="x:1", dataset="x", role="medical", kind="choice", source_split="train", question=phone, answer=phone, options=(phone, "가"),
        answer_index=0, passage=phone, text=phone, must=(phone,), context=(phone,), messages=(("user", phone), ("assistant", phone)),
    )  # fmt: skip
    masked, hits = mask_record(record)
    assert hits["phone"] == 9
    assert phone not in masked.to_json()
    assert masked.options[1] == "가"


def test_the_duty_names_who_is_told() -> None:
    assert "AI Hub" in PII_DUTY
    assert "신고" in PII_DUTY
    assert "\n" not in PII_DUTY


def test_recall_and_precision_on_the_labelled_set() -> None:
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert sum(bool(row["spans"]) for row in rows) >= 400
    assert sum(not row["spans"] for row in rows) >= 400
    wanted = found = right = 0
    missed, wrong = [], []
    for row in rows:
        spans = find_pii(row["text"])
        wanted += len(row["spans"])
        found += len(spans)
        hit = [any(s.kind == kind and s.start < end and start < s.end for s in spans) for start, end, kind in row["spans"]]
        good = [any(s.kind == kind and s.start < end and start < s.end for start, end, kind in row["spans"]) for s in spans]
        right += sum(hit)
        missed += [(row["text"], span) for span, ok in zip(row["spans"], hit, strict=True) if not ok]
        wrong += [(row["text"], span) for span, ok in zip(spans, good, strict=True) if not ok]
    print(f"recall {right / wanted:.4f} of {wanted}, precision {1 - len(wrong) / found:.4f} of {found}")  # noqa: T201
    assert right / wanted >= 0.99, missed
    assert 1 - len(wrong) / found >= 0.98, wrong


def test_no_name_of_the_tables_is_taken_for_a_person(whole_knowledge: Knowledge) -> None:
    tables = tuple(getattr(whole_knowledge, name) for name in ("departments", "symptoms", "tests", "drugs", "diseases", "terms"))
    rows = [row for table in tables for row in table.values()]
    names = {getattr(row, "name", "") or row.standard for row in rows} | {lay for row in rows for lay in getattr(row, "lay", ())}
    masked = set()
    for name in names:
        asked = f"{attach(name, '이라는/라는')} 말은 무엇인가요?"
        sentences = (f"{name} 환자는 어느 과로 가나요?", asked, f"환자는 {attach(name, '을/를')} 호소합니다.")
        masked |= {sentence for sentence in sentences if mask_pii(sentence)[1]}
    assert not masked
