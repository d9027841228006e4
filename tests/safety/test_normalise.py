"""Views of one text."""

import pytest

from medllm.safety.normalise import clean, compose, plain, readable, unable, views


@pytest.mark.parametrize(
    ("letters", "text"),
    [
        ("ㅈㅜㄱㄱㅗ ㅅㅣㅍㅇㅓ", "죽고 싶어"),
        ("ㅇㅣㄺㅇㅓ", "읽어"),
        ("ㅇㅣㄹㄱㅇㅓ", "읽어"),
        ("ㅇㅣㄹㄱㅓ", "일거"),
        ("ㄱㅏㅂㅅㅇㅣ", "값이"),
        ("ㄱㅗㅏㅇㅣㄹ", "과일"),
        ("ㄱㅏㄲㅏ", "가까"),
        ("ㅋㅋ ㅠㅠ", "ㅋㅋ ㅠㅠ"),
        ("ㅅㅏ ㅈㅏ", "사 자"),
        ("", ""),
    ],
)
def test_compose(letters: str, text: str) -> None:
    assert compose(letters) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("주ㄱ고 싶어", "죽고싶어"),
        ("자.살", "자살"),
        ("자 살", "자살"),
        ("자^살", "자살"),
        ("쟈살", "자살"),
        ("죽1고", "죽고"),
        ("wnrrh tlvdj", "죽고 싶어"),
        ("WNRRH TLVDJ", "죽고 싶어"),
        ("아파아아아아", "아파아"),
        ("숨을... 못... 쉬어요", "숨을못쉬어요"),
        ("\uffa1\uffc2", "가"),
        ("１１９", "119"),
        ("38.2도", "38.2도"),
        ("아파요.숨이", "아파요\n숨이"),
    ],
)
def test_view_is_there(text: str, seen: str) -> None:
    assert any(seen in view for view in views(text)), views(text)


def test_views_are_few_and_distinct() -> None:
    for text in ["", "   ", "😭😭", "가나다", "A man 가나다 ㅋㅋㅋ. 죽ㄱ고! wnrrh\u200b"]:
        found = views(text)
        assert len(found) == len(set(found)) <= 9


def test_readable_keeps_text_and_drops_the_invisible() -> None:
    assert readable("두\u200b통\ufe0f\u202e이\u3164\x00 A①\n") == "두통이 A①\n"
    assert readable("\ud800두통") == "두통"
    assert clean("ｍｇ ①") == "mg 1"


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("숨을 쉴 수가 없어요", "숨을 못 쉬어요"),
        ("숨을쉴수없어요", "숨을못 쉬어요"),
        ("눈을 뜨지를 못해요", "눈을 못 뜨해요"),
        ("걸을 수 없어요", "못 걷어요"),
        ("몸을 움직일수가없어요", "몸을 못 움직이어요"),
        ("그럴 리 없어요", "그럴 리 없어요"),
        ("먹은 수가 없어요", "먹은 수가 없어요"),
    ],
)
def test_inability_is_said_in_one_way(text: str, short: str) -> None:
    assert unable(text) == short


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        ("숨을 몬 쉬고 의식이 업어요", "숨을 못 쉬고 의식이 없어요"),
        ("가심이 아픈디 오른짝 팔도 저리다", "가슴이 아픈데 오른쪽 팔도 저리다"),
        ("쓰러져 잇는데 토햇어요", "쓰러져 있는데 토했어요"),
        ("저수지에 드갈라고 허고 있다", "저수지에 들어갈라고 하고 있다"),
        ("레몬 먹는 법", "레몬 먹는 법"),
        ("잇몸과 햇빛", "잇몸과 햇빛"),
        ("어디 아파요", "어디 아파요"),
    ],
)
def test_dialect_and_misspellings_become_standard(text: str, standard: str) -> None:
    assert plain(text) == standard
