import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medllm.data.clean import clean_text, mask_pii, mask_record
from medllm.data.records import Record


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (unicodedata.normalize("NFD", "고혈압"), "고혈압"),
        ("가\u200b나\ufeff다\u3164라\u00ad마", "가나다라마"),
        ("가\u00a0나\u3000다\t라", "가 나 다 라"),
        ("물음?  \n1) 가  \r\n2) 나", "물음?\n1) 가\n2) 나"),
        ("  가   나 \n\n\n\n 다  ", "가 나\n\n다"),
        ("① 5 ㎎ ½ $\\frac{1}{2}x^{2}$ @company의 BP 120/80", "① 5 ㎎ ½ $\\frac{1}{2}x^{2}$ @company의 BP 120/80"),
        ("가\x00나\x07", "가나"),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "  " not in once
    assert once == once.strip()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("주민번호 900101-1234567입니다", "resident_number"),
        ("9001011234567", "resident_number"),
        ("040229–3123456", "resident_number"),
        ("연락처는 010-1234-5678", "phone"),
        ("01012345678로", "phone"),
        ("016 123 4567", "phone"),
        ("병원 02-123-4567", "phone"),
        ("(031) 123-4567", "phone"),
        ("+82-10-1234-5678", "phone"),
        ("문의 hong.gildong@example.co.kr로", "email"),
    ],
)
def test_personal_data_are_masked(text: str, kind: str) -> None:
    masked, hits = mask_pii(text)
    assert dict(hits) == {kind: 1}
    assert not any(char.isdigit() for char in masked)
    assert "@" not in masked


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, 3일, 57세, 500 mg", "KCD J18.9", "qa 20010123456789", "2024-01-02", "119, 1393, 1577-0199", "$1010+1234=2244$",
        "@COMPANY @company의 @product1", "901332-1234567", "0.01012345678", "2010-1234-56789",
    ],
)  # fmt: skip
def test_medical_text_is_left_alone(text: str) -> None:
    assert mask_pii(text) == (text, {})


def test_every_text_field_of_a_record_is_masked() -> None:
    phone = "010-1234-5678"
    record = Record(
        id="x:1", dataset="x", role="medical", kind="choice", source_split="train", question=phone, answer=phone, options=(phone, "가"),
        passage=phone, text=phone, must=(phone,), context=(phone,),
    )  # fmt: skip
    masked, hits = mask_record(record)
    assert hits["phone"] == 7
    assert phone not in masked.to_json()
    assert masked.options[1] == "가"
