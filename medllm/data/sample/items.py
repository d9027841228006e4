"""What the sample generator hands to the archive writer: one dataclass per AI Hub record family."""

from dataclasses import dataclass
from typing import Literal

MedicalSet = Literal["aihub_71875", "aihub_71874"]
Split = Literal["train", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QaItem:
    """A medical question. `q_type` 1 is multiple choice (`answer` is then the text of one of `options`), 2 short, 3 long.

    `key` goes to key.jsonl: fact_id, form, held_out, must, context, subject (of the fact), whatever applies.
    """

    item_id: int
    dataset: MedicalSet
    split: Split
    department: str
    domain: int
    q_type: Literal[1, 2, 3]
    question: str
    options: tuple[str, ...]
    answer: str
    key: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A piece of running medical text (AI Hub source data, Training only)."""

    c_id: str
    dataset: MedicalSet
    department: str
    domain: int
    content: str
    key: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageItem:
    """A reading-comprehension question. `item_id` like S2_중등_1_900001, `grade` like 중1, `answer_index` from 0."""

    item_id: str
    grade: str
    passage: str
    question: str
    options: tuple[str, ...]
    answer_index: int
    explanation: str
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class MathsItem:
    """A school maths problem. `item_id` like S3_중등_1_900001, `grade` 초3 to 고1; an empty `solution` is a problem without one.

    With `options`, `answer` is the text of the right one and `answer_mark` its mark (①..⑤); else both are empty.
    """

    item_id: str
    grade: str
    question: str
    answer: str
    solution: str
    options: tuple[str, ...]
    answer_mark: str
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewItem:
    """A group interview: (question, answers of the people asked) in order."""

    item_id: str
    topic: str
    script: tuple[tuple[str, tuple[str, ...]], ...]
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatItem:
    """A conversation as (role, text), one row of <dataset>/chats.jsonl. `key` goes to key.jsonl: role, cluster, must."""

    dataset: str
    item_id: str
    messages: tuple[tuple[str, str], ...]
    key: dict[str, object]


Item = QaItem | Statement | PassageItem | MathsItem | InterviewItem | ChatItem
