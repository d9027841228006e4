"""The fixed texts: numbers, notice, and no contradiction with their level."""

import re
from pathlib import Path

import pytest

from medllm.safety import messages
from medllm.safety.redflags import RedFlag, RedFlags

RULES = Path(__file__).parents[2] / "data" / "knowledge" / "redflags.csv"
FLAGS = RedFlags.load(RULES).flags()
TEXTS = [messages.red_flag_text(flag) for flag in FLAGS] + [messages.unknown_text(), messages.long_text(500)]


def _without_notice(text: str) -> str:
    return text.replace(messages.NOTICE, "")


def test_numbers_of_korea() -> None:
    assert messages.EMERGENCY_NUMBER == "119"
    assert messages.CRISIS_NUMBER == "109"
    assert messages.WELFARE_NUMBER == "129"


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.id)
def test_text_fits_its_level(flag: RedFlag) -> None:
    text = _without_notice(messages.red_flag_text(flag))
    first = text.splitlines()[0 if flag.level != "crisis" else 1]
    expected = {"119": "119", "crisis": "119" if flag.id in messages.PLAN_FLAGS else "109", "er": "응급실"}[flag.level]
    assert re.search(r"119|109|응급실", first)[0] == expected  # type: ignore[index]
    assert ("109" in text) == (flag.level == "crisis")
    assert "119" in text
    assert flag.advice in text
    assert not re.search(r"지켜보|괜찮|안심", text)


def test_emergency_in_a_crisis_gives_both_numbers() -> None:
    flag = RedFlag(id="x", name="출혈", level="119", advice="", crisis=True)
    assert "109" in _without_notice(messages.emergency_text(flag))


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_carries_the_notice_and_is_polite(text: str) -> None:
    assert text.count(messages.NOTICE) == 1
    assert not re.search(r"1393|1339", text)
    for line in text.splitlines():
        assert re.search(r"(니다|십시오|시오)[.)]?(\(.*\)\.)?$", line), line


def test_notice_says_what_the_answer_is_not() -> None:
    for part in ("AI", "진단·처방이 아니", "전문의", "119", "109"):
        assert part in messages.NOTICE
    assert "\n" not in messages.NOTICE


def test_unknown_text_names_where_to_turn() -> None:
    for part in ("병원·의원", "가정의학과", "내과", "119", "129"):
        assert part in _without_notice(messages.unknown_text())
