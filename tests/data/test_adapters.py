import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest

from medllm.data.aihub.item import RejectedError, parse_item
from medllm.data.aihub.options import CIRCLED, NUMBERS, merge_marked, split_stem
from medllm.data.aihub.read import read_item
from medllm.data.archives import Member
from medllm.data.key import read_key
from medllm.data.records import Record
from medllm.errors import UserError

Row = dict[str, Any]
FOLDERS = {
    "71875": "09.필수의료 의학지식 데이터/3.개방데이터/1.데이터/Training/02.라벨링데이터/TL_내과.zip",
    "71875 validation": "09.필수의료_의학지식_데이터/3.개방데이터/1.데이터/Validation/02.라벨링데이터/VL_내과.zip",
    "71874": "08.전문 의학지식 데이터.zip!3.개방데이터/1.데이터/Training/02.라벨링데이터/TL_피부과.zip",
    "71859": "30.수학 교과 문제 풀이과정 데이터/Training/02.라벨링데이터/TL_05_중1_주관식.zip",
    "71857": "국어 교과 지문형 문제 데이터/Training/02.라벨링데이터/TL_중등_1학년",
    "interview": "x/VS_소비자_이해_라이프_스타일.zip",
    "nameless": "downloads/TL_내과.zip",
}


def member_of(data: bytes, archive: str, name: str) -> Member:
    return Member(archive=archive, name=name, size=len(data), raw_open=lambda: io.BytesIO(data), packed=True)


def read(row: object, folder: str, *, bom: bool = False, stem: str = "900001") -> Record:
    data = json.dumps(row, ensure_ascii="\\ud83d" in ascii(row)).encode("utf-8-sig" if bom else "utf-8")
    member = member_of(data, FOLDERS[folder], f"{stem}.json")
    return read_item(parse_item(member, member.read()))


def school(texts: dict[str, str], name: str = "S2_중등_1_900001") -> Row:
    return {
        "raw_data_info": {"school": "중학교"},
        "source_data_info": {"source_data_name": name, "2009_achievement_standard": [" "]},
        "learning_data_info": [
            {"class_num": number, "class_name": class_name, "class_info_list": [{"Type": "Bounding_Box", "text_description": text}]}
            for number, (class_name, text) in enumerate(texts.items(), 1)
        ],
    }


CHOICE = {
    "qa_id": 900001, "domain": 17, "q_type": 1,
    "question": "발열로 내원하였다. 먼저 시행할 검사는?  \n1) 흉부 X선  \n2) 위내시경  \n3) 골밀도 검사  \n4) 뇌파 검사  \n5) 피부 생검",
    "answer": "2) 위내시경",
}  # fmt: skip
SHORT = {"qa_id": 900002, "domain": 17, "q_type": 2, "question": "비구아니드 계열 약물은?", "answer": "메트포르민(metformin)"}
LONG = {"qa_id": 900003, "domain": 5, "q_type": 3, "question": "보습제 사용의 원칙을 서술하시오.", "answer": "목욕 직후 도포한다."}
SOURCE = {"c_id": "TB_900001", "domain": 17, "source": 5, "source_spec": "교과서", "creation_year": "2019", "content": "고혈압은 ..."}
PASSAGE = school(
    {
        "지문": "민수는 강가를 걸었다.", "문항": "알맞은 것은?", "정답": "② 강가를 걷는다.",
        "오답": "④ 집에 머문다.\n① 산에 오른다.\n③ 바다에 간다.\n⑤ 학교에 간다.", "해설": "첫 문장",
    }
)  # fmt: skip
PROBLEM = school(
    {
        "문항(텍스트)": "$2x+3=11$일 때, $x$의 값을 구하시오.", "문항(이미지)": "", "정답(텍스트)": "$4$",
        "해설(텍스트)": "$2x=8$이므로 $x=4$이다.",
    },
    name="S3_중등_1_900001",
)  # fmt: skip
INTERVIEW = {
    "interview_info": {"topic": {"topic": "소비자 이해"}},
    "script": [
        {
            "question_info": {"question_context": "무엇을 하시나요?"},
            "answer_info": [{"answer_context": "@company의\n장을 봐요."}, {"answer_context": "쉬어요."}],
        },
        {"question_info": {"question_context": "또요?"}, "answer_info": [{"answer_context": "자요."}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("bom", [True, False])
def test_multiple_choice(bom: bool) -> None:
    record = read(CHOICE, "71875", bom=bom)
    assert (record.id, record.dataset, record.role, record.kind) == ("aihub_71875:900001", "aihub_71875", "medical", "choice")
    assert record.question == "발열로 내원하였다. 먼저 시행할 검사는?"
    assert record.options == ("흉부 X선", "위내시경", "골밀도 검사", "뇌파 검사", "피부 생검")
    assert (record.answer, record.answer_index, record.department, record.source_split) == ("위내시경", 1, "내과", "train")
    assert not record.redistributable
    assert "AI Hub" in record.licence


@pytest.mark.parametrize(
    ("row", "folder", "dataset", "kind", "split"),
    [
        (SHORT, "71875", "aihub_71875", "qa", "train"),
        (SHORT, "71875 validation", "aihub_71875", "qa", "validation"),
        (LONG, "71874", "aihub_71874", "qa", "train"),
        (SHORT, "nameless", "aihub_71875", "qa", "train"),  # without a folder name the department code decides
        (LONG, "nameless", "aihub_71874", "qa", "train"),
        (SOURCE, "71875", "aihub_71875", "statement", "train"),
        (PASSAGE, "71857", "aihub_71857", "passage_choice", "train"),
        (PROBLEM, "71859", "aihub_71859", "solution", "train"),
        (INTERVIEW, "interview", "aihub_interview", "dialogue", "validation"),
    ],
)
def test_set_kind_and_split(row: Row, folder: str, dataset: str, kind: str, split: str) -> None:
    record = read(row, folder)
    assert (record.dataset, record.kind, record.source_split) == (dataset, kind, split)


def test_passage_options_are_sorted_by_mark() -> None:
    record = read(PASSAGE, "71857")
    assert record.options == ("산에 오른다.", "강가를 걷는다.", "바다에 간다.", "집에 머문다.", "학교에 간다.")
    assert (record.answer_index, record.answer, record.passage) == (1, "강가를 걷는다.", "민수는 강가를 걸었다.")


MARKED_ANSWER = {"문항(텍스트)": "값은?", "해설(텍스트)": "푼다."}


@pytest.mark.parametrize(
    ("texts", "question", "options", "final"),
    [
        ({}, "값은?", (), "$4$"),
        ({"정답(텍스트)": "② $4$", "오답(텍스트)": "① $3$\n③ $5$"}, "값은?", ("$3$", "$4$", "$5$"), "$4$"),
        ({"정답(텍스트)": "②", "문항(텍스트)": "값은?\n① 1 ② 2 ③ 3 ④ 4 ⑤ 5"}, "값은?", ("1", "2", "3", "4", "5"), "2"),
        ({"정답(텍스트)": "②"}, "값은?", (), "②"),
    ],
)
def test_maths_answer_is_the_working_and_the_result(texts: dict[str, str], question: str, options: tuple[str, ...], final: str) -> None:
    record = read(school({"정답(텍스트)": "$4$", **MARKED_ANSWER, **texts}), "71859")
    assert (record.question, record.options, record.must) == (question, options, (final,))
    assert record.answer == f"푼다.\n정답: {final}"
    assert record.answer_index is None


def test_interview_lines_hold_every_answerer_and_the_placeholders() -> None:
    text = read(INTERVIEW, "interview", stem="itv_001").text
    assert text == "질문자: 무엇을 하시나요?\n답변자: @COMPANY의 장을 봐요.\n답변자: 쉬어요.\n질문자: 또요?\n답변자: 자요."


def without(row: Row, key: str) -> Row:
    return {name: value for name, value in row.items() if name != key}


def without_class(row: Row, name: str) -> Row:
    row = copy.deepcopy(row)
    row["learning_data_info"] = [block for block in row["learning_data_info"] if block["class_name"] != name]
    return row


@pytest.mark.parametrize(
    ("row", "folder", "reason", "bad"),
    [
        (without(CHOICE, "answer"), "71875", "missing:answer", True),
        (without(CHOICE, "q_type"), "71875", "missing:q_type", True),
        (without(CHOICE, "qa_id"), "71875", "unknown_shape", True),
        ({**CHOICE, "q_type": "1"}, "71875", "wrong_type:q_type", True),
        ({**CHOICE, "q_type": True}, "71875", "wrong_type:q_type", True),
        ({**CHOICE, "q_type": 4}, "71875", "unknown_q_type", True),
        ({**CHOICE, "domain": 18}, "71875", "unknown_domain", True),
        ({**CHOICE, "question": None}, "71875", "wrong_type:question", True),
        ({**SHORT, "answer": " \u200b\n"}, "71875", "empty:answer", True),
        ({**CHOICE, "question": "검사는?  \n1) 가  \n2) 나  \n3) 다  \n4) 라"}, "71875", "options_not_five", True),
        ({**CHOICE, "answer": "위내시경"}, "71875", "answer_not_an_option", True),
        ({**CHOICE, "answer": "3) 위내시경"}, "71875", "answer_not_an_option", True),
        (without(SOURCE, "content"), "71875", "missing:content", True),
        (CHOICE, "71859", "wrong_set", True),
        (CHOICE, "71874", "wrong_set", True),  # 내과 is a department of 71875 alone
        (LONG, "71875", "wrong_set", True),
        ({**CHOICE, "question": "\ud83d"}, "71875", "broken_character:question", True),
        (PROBLEM, "71857", "wrong_set", True),
        ({"learning_data_info": {"text_qa": ""}}, "71857", "unknown_shape", True),  # the sibling set 71855
        ([CHOICE], "71875", "unknown_shape", True),
        (without_class(PROBLEM, "해설(텍스트)"), "71859", "no_solution", False),
        (without_class(PROBLEM, "정답(텍스트)"), "71859", "missing:정답(텍스트)", True),
        (without_class(PASSAGE, "지문"), "71857", "no_passage", False),
        (without_class(PASSAGE, "오답"), "71857", "missing:오답", True),
        (school({"지문": "가", "문항": "나", "정답": "다"}), "71857", "written_answer", False),
        (school({"지문": "가", "문항": "나", "정답": "② 다", "오답": "① 라\n④ 마"}), "71857", "options_not_rebuilt", True),
        (school({"지문": "가", "문항": "나", "정답": "② 다", "오답": "① 라\n② 마"}), "71857", "options_not_rebuilt", True),
        ({**PASSAGE, "source_data_info": {}}, "71857", "missing:source_data_name", True),
        ({**INTERVIEW, "script": []}, "interview", "empty:script", True),
        ({**INTERVIEW, "script": [{"question_info": {}}]}, "interview", "missing:question_context", True),
        ({**INTERVIEW, "script": "질문"}, "interview", "wrong_type:script", True),
        (without(INTERVIEW, "interview_info"), "interview", "missing:interview_info", True),
    ],
)
def test_rejections_say_why(row: object, folder: str, reason: str, bad: bool) -> None:
    with pytest.raises(RejectedError) as error:
        read(row, folder)
    assert (error.value.reason, error.value.bad) == (reason, bad)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"qa_id": 1', "not_json"), ("{}".encode("utf-16"), "not_utf8"), (b"", "not_json"), (b"[" * 10**5, "not_json"),
        (b"1" * 5000, "not_json"),
    ],
)  # fmt: skip
def test_files_that_are_no_json(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        parse_item(member_of(data, FOLDERS["71875"], "1.json"), data)


def test_an_item_of_neither_part_is_rejected() -> None:
    with pytest.raises(RejectedError, match="neither_training_nor_validation"):
        parse_item(member_of(b"{}", "09.필수의료 의학지식 데이터", "1.json"), b"{}")


FIVE = ("가", "나", "다", "라", "마")


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("물음?\n1) 가\n2) 나\n3) 다\n4) 라\n5) 마", "물음?"),
        ("물음? 1) 가 2) 나 3) 다 4) 라 5) 마", "물음?"),
        ("물음?\n1)가\n2)나\n3)다\n4)라\n5)마", "물음?"),
        ("다음을 보라.\n1) 열\n2) 기침\n무엇인가?\n1) 가\n2) 나\n3) 다\n4) 라\n5) 마", "다음을 보라.\n1) 열\n2) 기침\n무엇인가?"),
    ],
)
def test_five_options_at_the_end(text: str, stem: str) -> None:
    assert split_stem(text, NUMBERS, count=5) == (stem, FIVE)


NOT_FIVE = [
    "물음?",
    "1) 가\n2) 나\n3) 다\n4) 라\n5) 마",
    "물음?\n1) 가\n2) 나\n3) 다\n4) 라\n5)",
    "물음?\n2) 가\n1) 나\n3) 다\n4) 라\n5) 마",
]


@pytest.mark.parametrize("text", NOT_FIVE)
def test_anything_else_has_no_options(text: str) -> None:
    assert split_stem(text, NUMBERS, count=5) is None


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("joiner", ["\n", " ", "\n\n"])
def test_marked_options_come_back_in_order(index: int, joiner: str) -> None:
    lines = [f"{mark} {text}" for mark, text in zip(CIRCLED, FIVE, strict=True)]
    right = lines.pop(index)
    assert merge_marked(right, joiner.join(reversed(lines))) == (FIVE, index)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"key\.jsonl:1: not valid JSON"),
        ('{"dataset": "x"}', r"key\.jsonl:1: dataset or item_id is missing"),
        ('{"dataset": "x", "item_id": 1, "held_out": "yes"}', r"key\.jsonl:1: held_out = 'yes'"),
        ('{"dataset": "x", "item_id": 1, "must": "내과"}', r"key\.jsonl:1: must = "),
    ],
)
def test_a_broken_key_names_its_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "key.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_key(tmp_path)
