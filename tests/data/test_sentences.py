import pytest

from medllm.data.sentences import morphemes, shared_kiwi, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("머리가 아파요. 열은 38.5도예요! 괜찮을까요?", ["머리가 아파요.", "열은 38.5도예요!", "괜찮을까요?"]),
        ("첫 줄\n\n둘째 줄  ", ["첫 줄", "둘째 줄"]),
        ("혈압은 120/80 mmHg입니다. 코드는 J18.9입니다.", ["혈압은 120/80 mmHg입니다.", "코드는 J18.9입니다."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_split_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_morphemes_carry_stem_tag_and_place() -> None:
    text = "당뇨가 있으신 어머니께서"
    found = morphemes(text)
    assert [(m.form, m.tag) for m in found if m.tag in ("NNG", "VA", "VV")] == [("당뇨", "NNG"), ("있", "VA"), ("어머니", "NNG")]
    assert text[found[0].start : found[0].end] == "당뇨"


def test_one_analyser_for_the_process() -> None:
    assert shared_kiwi() is shared_kiwi()
