"""AI Hub 인터뷰 진행 멀티턴: group interviews, the other half of the baseline check."""

from medllm.data.aihub.item import AIHUB_LICENCE, INTERVIEW, RawItem, RejectedError, field, list_field, text_field
from medllm.data.records import Record

ASKED, ANSWERED = "질문자: ", "답변자: "


def read_interview(item: RawItem) -> Record:
    """A dialogue as lines, every answer of a group on its own; placeholders such as @COMPANY stay."""
    text_field(field(field(item.row, "interview_info"), "topic"), "topic")
    lines: list[str] = []
    for turn in list_field(item.row, "script"):
        lines.append(ASKED + _line(text_field(field(turn, "question_info"), "question_context")))
        lines += [ANSWERED + _line(text_field(answer, "answer_context")) for answer in list_field(turn, "answer_info")]
    if not lines:
        raise RejectedError("empty:script")
    return Record(
        id=f"{INTERVIEW}:{item.stem}", dataset=INTERVIEW, role="baseline_check", kind="dialogue", source_split=item.split,
        text="\n".join(lines), licence=AIHUB_LICENCE,
    )  # fmt: skip


def _line(text: str) -> str:
    return " ".join(text.split())
