"""The fixed Korean texts. No model writes, changes or shortens any of them."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from medllm.safety.redflags import RedFlag

EMERGENCY_NUMBER: Final = "119"  # fire and ambulance, 24 h
CRISIS_NUMBER: Final = "109"  # suicide prevention line since 2024-01-01, 24 h (the older 1393 is gone)
WELFARE_NUMBER: Final = "129"  # health and welfare line: clinics that are open
PLAN_FLAGS: Final = frozenset({"RF59", "RF60"})  # crisis rules about a plan, means or a wound: stronger than a wish, so 119 comes first

# the numbers are in every answer because the rules miss some emergencies
NOTICE: Final = (
    "※ AI가 생성한 일반 건강정보로 진단·처방이 아니며 전문의의 검수를 받지 않았습니다. "
    f"응급이면 {EMERGENCY_NUMBER}, 죽고 싶은 마음이 들면 {CRISIS_NUMBER}에 전화하십시오."
)

_CRISIS_LINE: Final = f"힘든 마음은 자살예방 상담전화 {CRISIS_NUMBER}에서 24시간 이야기하실 수 있습니다."


def emergency_text(flag: "RedFlag") -> str:
    """Level 119: call now. The crisis number follows when the text also spoke of suicide."""
    parts = [f"지금 바로 {EMERGENCY_NUMBER}에 전화하십시오. 말씀하신 내용은 응급일 수 있습니다({flag.name}).", flag.advice]
    if flag.crisis:
        parts.append(_CRISIS_LINE)
    return _join(*parts, NOTICE)


def crisis_text(flag: "RedFlag") -> str:
    """Level crisis: somebody to talk to; with a plan, means or a wound 119 comes first."""
    if flag.id in PLAN_FLAGS:
        call = f"지금 바로 {EMERGENCY_NUMBER}에 전화하거나 가까운 응급실로 가십시오. 자살예방 상담전화 {CRISIS_NUMBER}도 24시간 연결됩니다."
    else:
        call = f"지금 자살예방 상담전화 {CRISIS_NUMBER}에 전화하십시오(24시간). 당장 위험하다고 느끼면 {EMERGENCY_NUMBER}에 전화하십시오."
    return _join("말씀해 주셔서 고맙습니다. 많이 힘드셨겠습니다.", call, flag.advice, NOTICE)


def er_text(flag: "RedFlag") -> str:
    """Level er: an emergency room today, now; 119 when it gets worse."""
    call = f"지금 바로 가까운 응급실에서 진료를 받으십시오. 말씀하신 내용은 급히 확인해야 하는 신호일 수 있습니다({flag.name})."
    return _join(call, flag.advice, f"더 심해지거나 혼자 움직이기 어려우면 {EMERGENCY_NUMBER}에 전화하십시오.", NOTICE)


def red_flag_text(flag: "RedFlag") -> str:
    """The text of the flag's level."""
    return {"119": emergency_text, "crisis": crisis_text, "er": er_text}[flag.level](flag)


def unknown_text() -> str:
    """For what the package knows nothing about: says so, and where to turn."""
    return _join(
        "죄송합니다. 제가 가진 자료로는 답을 드릴 수 없는 질문입니다.",
        "몸이 불편하시면 가까운 병원·의원의 가정의학과 또는 내과에서 상담하십시오. "
        f"문을 연 병원은 보건복지상담 {WELFARE_NUMBER}에서 알려 드리며, 응급이면 바로 {EMERGENCY_NUMBER}에 전화하십시오.",
        NOTICE,
    )


def long_text(limit: int) -> str:
    """For a question of more than `limit` characters."""
    return _join(
        f"질문이 너무 깁니다. {limit}자 이내로 줄여서 다시 물어봐 주십시오. 응급이면 바로 {EMERGENCY_NUMBER}에 전화하십시오.", NOTICE
    )


def _join(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
