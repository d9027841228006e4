"""AI Hub 71875 (필수의료 의학지식) and 71874 (전문 의학지식): questions and source texts, one schema for both sets."""

from medllm.data.aihub.item import AIHUB_LICENCE, ESSENTIAL, SPECIALIST, RawItem, RejectedError
from medllm.data.aihub.options import NUMBERS, split_mark, split_stem, squeeze
from medllm.data.records import Record

DOMAINS = {
    1: "외과", 2: "예방의학과", 3: "정신건강의학과", 4: "신경과/신경외과", 5: "피부과", 6: "안과", 7: "이비인후과", 8: "비뇨의학과",
    9: "방사선종양학과", 10: "병리과", 11: "마취통증의학과", 12: "의료법규", 13: "기타", 14: "산부인과", 15: "소아청소년과",
    16: "응급의학과", 17: "내과",
}  # fmt: skip
_FIRST_ESSENTIAL = 14
_NUM_OPTIONS = 5


def dataset_of(item: RawItem) -> str:
    """The folder says which of the two sets it is; without its word, the department code does (14 and up are 필수의료)."""
    return item.hint or _set_of_domain(item)


def _set_of_domain(item: RawItem) -> str:
    return ESSENTIAL if item.integer("domain") >= _FIRST_ESSENTIAL else SPECIALIST


def _department(item: RawItem) -> str:
    domain = item.integer("domain")
    if domain not in DOMAINS:
        raise RejectedError("unknown_domain")
    return DOMAINS[domain]


def split_question(q_type: int, question: str, answer: str) -> tuple[str, tuple[str, ...], int | None, str]:
    """Stem, options, answer index and answer without its mark; only `q_type` 1 has options, five inside the question text."""
    if q_type not in (1, 2, 3):
        raise RejectedError("unknown_q_type")
    if q_type != 1:
        return question, (), None, answer
    parts = split_stem(question, NUMBERS, count=_NUM_OPTIONS)
    if parts is None:
        raise RejectedError("options_not_five")
    stem, options = parts
    index, answer = split_mark(answer, NUMBERS)
    if index is None or squeeze(options[index]) != squeeze(answer):
        raise RejectedError("answer_not_an_option")
    return stem, options, index, options[index]


def read_question(item: RawItem) -> Record:
    """`q_type` 1 multiple choice (five options inside the question text), 2 short answer, 3 long answer."""
    q_type, question, answer = item.integer("q_type"), item.text("question"), item.text("answer")
    question, options, index, answer = split_question(q_type, question, answer)
    department, dataset = _department(item), dataset_of(item)
    if dataset != _set_of_domain(item):
        raise RejectedError("wrong_set")  # the questions of the two sets share no department
    return Record(
        id=f"{dataset}:{item.integer('qa_id')}", dataset=dataset, role="medical", kind="choice" if q_type == 1 else "qa",
        source_split=item.split, question=question, answer=answer, options=options, answer_index=index, department=department,
        licence=AIHUB_LICENCE,
    )  # fmt: skip


def read_statement(item: RawItem) -> Record:
    """A source text (원천데이터): textbooks, guidelines, papers."""
    dataset = dataset_of(item)
    return Record(
        id=f"{dataset}:{item.text('c_id')}", dataset=dataset, role="medical", kind="statement", source_split=item.split,
        text=item.text("content"), department=_department(item), licence=AIHUB_LICENCE,
    )  # fmt: skip
