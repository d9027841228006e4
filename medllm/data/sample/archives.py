"""Write the sample in AI Hub's folder shapes, so that the default run goes through the readers of the real archives.

71875: one zip a department. 71874: zips in an outer zip. 71859: zips cut into .zip.part0 and .zip.part1. 71857: unpacked, without byte
order mark. Interviews: zips by topic. Same items, same bytes.
"""

import io
import json
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.data.aihub.item import INTERVIEW, KOREAN, MATHS
from medllm.data.aihub.medical import DOMAINS
from medllm.data.aihub.options import CIRCLED
from medllm.data.atomic import replaced_folder
from medllm.data.key import KEY_FILE
from medllm.data.sample.items import ChatItem, InterviewItem, Item, MathsItem, PassageItem, QaItem, Statement
from medllm.errors import UserError

LICENCE = "Apache-2.0 (written for medllm)"
_DATA = "3.개방데이터/1.데이터"
_PART = {"train": ("Training", "T"), "validation": ("Validation", "V")}
_FOLDERS = {
    "aihub_71875": "09.필수의료 의학지식 데이터",
    "aihub_71874": "08.전문 의학지식 데이터",
    MATHS: "30.수학 교과 문제 풀이과정 데이터",
    KOREAN: "국어 교과 지문형 문제 데이터",
    INTERVIEW: "22.인터뷰 진행 멀티턴 데이터",
}
_SCHOOLS = {"초": ("초등학교", 3, 1), "중": ("중학교", 1, 5), "고": ("고등학교", 1, 8)}  # name, first year in AI Hub and its running code
_BOM = "\ufeff"
_WITH_BOM = ("aihub_71875", "aihub_71874", MATHS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One JSON file: its set, the archive (path below the set's folder), and its key row."""

    dataset: str
    item_id: str | int
    archive: str
    row: dict[str, Any]
    key: dict[str, object]


def write_archives(out: Path, items: Iterable[Item]) -> dict[str, int]:
    """Write all archives and key.jsonl below `out`, whole or not at all; items by set. UserError: an id twice, an item out of shape."""
    files = [_file(item) for item in items]
    counts = Counter(file.dataset for file in files)
    twice = [name for name, count in Counter((file.dataset, str(file.item_id)) for file in files).items() if count > 1]
    if twice:
        raise UserError(f"sample item {twice[0][1]} of {twice[0][0]} is there twice; give each item its own id")
    members: dict[str, dict[str, dict[str, bytes]]] = {}
    for file in files:
        bom = _BOM if file.dataset in _WITH_BOM else ""
        indent = 2 if file.dataset in _FOLDERS else None  # a table has one row a line
        data = (bom + json.dumps(file.row, ensure_ascii=False, indent=indent) + "\n").encode("utf-8")
        members.setdefault(file.dataset, {}).setdefault(file.archive, {})[f"{_nfc(str(file.item_id))}.json"] = data
    with replaced_folder(out) as folder:
        for dataset, archives in members.items():
            if dataset in _FOLDERS:
                _write_set(folder, dataset, archives)
            else:
                _write_table(folder / dataset / "chats.jsonl", archives)
        rows = sorted(files, key=lambda file: (file.dataset, str(file.item_id)))
        lines = [json.dumps({"dataset": file.dataset, "item_id": file.item_id, **file.key}, ensure_ascii=False) + "\n" for file in rows]
        (folder / KEY_FILE).write_text("".join(lines), encoding="utf-8")
    return dict(sorted(counts.items()))


def _write_set(folder: Path, dataset: str, archives: dict[str, dict[str, bytes]]) -> None:
    """Put the archives of one set in the shape in which that set is downloaded."""
    top = folder / _FOLDERS[dataset]
    if dataset == "aihub_71874":
        inner = {f"{name}.zip": _zip_bytes(members) for name, members in archives.items()}
        top.with_name(f"{top.name}.zip").write_bytes(_zip_bytes(inner, compression=zipfile.ZIP_STORED))
        return
    for name, members in archives.items():
        path = top / f"{name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        if dataset == KOREAN:
            for member, data in members.items():
                (top / name).mkdir(parents=True, exist_ok=True)
                (top / name / member).write_bytes(data)
        elif dataset == MATHS:
            data = _zip_bytes(members)
            half = len(data) // 2
            path.with_name(f"{path.name}.part0").write_bytes(data[:half])
            path.with_name(f"{path.name}.part1").write_bytes(data[half:])
        else:
            path.write_bytes(_zip_bytes(members))


def _write_table(path: Path, archives: dict[str, dict[str, bytes]]) -> None:
    """One row a chat, as such data come from a hub."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(data for members in archives.values() for data in members.values()))


def _zip_bytes(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with fixed times and order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, data in sorted(members.items()):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.compress_type = 3, 0o644 << 16, compression
            archive.writestr(info, data)
    return buffer.getvalue()


def _file(item: Item) -> _File:
    match item:
        case QaItem():
            return _question(item)
        case Statement():
            row = {
                "c_id": item.c_id, "domain": item.domain, "source": 5, "source_spec": "medllm 표본 문장", "creation_year": "2026",
                "content": item.content,
            }  # fmt: skip
            place = f"{_DATA}/Training/01.원천데이터/TS_국문_기타"
            return _File(dataset=item.dataset, item_id=item.c_id, archive=place, row=row, key=_key(item.key, department=item.department))
        case PassageItem():
            return _passage(item)
        case MathsItem():
            return _problem(item)
        case InterviewItem():
            return _interview(item)
        case ChatItem():
            row = {"id": item.item_id, "messages": [{"role": role, "content": text} for role, text in item.messages]}
            return _File(dataset=item.dataset, item_id=item.item_id, archive="", row=row, key=_key(item.key))


def _key(key: dict[str, object], **more: object) -> dict[str, object]:
    return {**more, "licence": LICENCE, "redistributable": True, **key}


def _question(item: QaItem) -> _File:
    question, answer = item.question, item.answer
    if item.q_type == 1:
        number = _index(item.options, answer, item.item_id) + 1
        question = "  \n".join([question, *(f"{n}) {option}" for n, option in enumerate(item.options, 1))])
        answer = f"{number}) {answer}"
    row = {"qa_id": item.item_id, "domain": item.domain, "q_type": item.q_type, "question": question, "answer": answer}
    part, letter = _PART[item.split]
    archive = f"{_DATA}/{part}/02.라벨링데이터/{letter}L_{DOMAINS[item.domain].replace('/', '')}"
    return _File(dataset=item.dataset, item_id=item.item_id, archive=archive, row=row, key=_key(item.key, department=item.department))


def _passage(item: PassageItem) -> _File:
    school, year, _ = _school(item.grade, item.item_id)
    lines = _circled(item.options)
    right = lines.pop(item.answer_index)
    texts = {"지문": item.passage, "문항": item.question, "정답": right, "오답": "\n".join(lines), "해설": item.explanation}
    part, letter = _PART[item.split]
    archive = f"{_DATA}/{part}/02.라벨링데이터/{letter}L_{school[0]}등_{year}학년"
    row = _school_row(item.item_id, school, year, "국어", "객관식", texts)
    return _File(dataset=KOREAN, item_id=item.item_id, archive=archive, row=row, key=_key({}))


def _problem(item: MathsItem) -> _File:
    school, year, code = _school(item.grade, item.item_id)
    texts = {"문항(텍스트)": item.question, "정답(텍스트)": item.answer}
    if item.options:
        lines = _circled(item.options)
        right = lines.pop(_index(item.options, item.answer, item.item_id))
        if not right.startswith(item.answer_mark):
            raise UserError(f"sample item {item.item_id}: mark {item.answer_mark} is not the place of its answer; fix the generator")
        texts |= {"정답(텍스트)": right, "오답(텍스트)": "\n".join(lines)}
    if item.solution:
        texts["해설(텍스트)"] = item.solution
    kind = "객관식" if item.options else "주관식"
    part, letter = _PART[item.split]
    archive = f"{_DATA}/{part}/02.라벨링데이터/{letter}L_{code:02d}_{school[0]}{year}_{kind}"
    row = _school_row(item.item_id, school, year, "수학", kind, texts)
    return _File(dataset=MATHS, item_id=item.item_id, archive=archive, row=row, key=_key({}))


def _interview(item: InterviewItem) -> _File:
    script = [
        {"question_info": {"question_context": question}, "answer_info": [{"answer_context": answer} for answer in answers]}
        for question, answers in item.script
    ]
    part, letter = _PART[item.split]
    archive = f"{_DATA}/{part}/01.원천데이터/{letter}S_{re.sub(r'[ /]', '_', item.topic)}"
    row = {"interview_info": {"topic": {"topic": item.topic}}, "script": script}
    return _File(dataset=INTERVIEW, item_id=item.item_id, archive=archive, row=row, key=_key({}))


def _circled(options: tuple[str, ...]) -> list[str]:
    return [f"{mark} {option}" for mark, option in zip(CIRCLED[: len(options)], options, strict=True)]


def _index(options: tuple[str, ...], answer: str, item_id: object) -> int:
    if answer not in options:
        raise UserError(f"sample item {item_id}: answer {answer!r} is none of its options; fix the generator")
    return options.index(answer)


def _school(grade: str, item_id: str) -> tuple[str, int, int]:
    """School, year in it, and AI Hub's running code (초3 is 1, 중1 is 5, 고1 is 8) from "중1", or from the id "S2_중등_1_900001"."""
    match = re.search(r"(초|중|고)\D*(\d)", grade) or re.search(r"_(초|중|고)\D*(\d)", item_id)
    if match is None:
        raise UserError(f"sample item {item_id}: no school and year in grade {grade!r} or in the id; write 중1 or S2_중등_1_900001")
    level, year = match[1], int(match[2])
    name, first_year, first_code = _SCHOOLS[level]
    return name, year, first_code + year - first_year


def _school_row(item_id: str, school: str, year: int, subject: str, kind: str, texts: dict[str, str]) -> dict[str, Any]:
    """The three blocks of the school sets, with invented particulars."""
    box = {"Type": "Bounding_Box", "Type_value": [[10, 10, 200, 60]]}
    return {
        "raw_data_info": {
            "raw_data_name": "00000000-0000-0000-0000-000000000000", "date": "2026-01-01", "publisher": "medllm",
            "publication_year": "2026", "school": school, "grade": f"{year}학년", "semester": "1학기", "subject": subject,
            "revision_year": "2022",
        },
        "source_data_info": {
            "source_data_name": _nfc(item_id), "2009_achievement_standard": [" "], "2015_achievement_standard": [" "],
            "2022_achievement_standard": [" "], "level_of_difficulty": "중", "types_of_problems": kind,
        },
        "learning_data_info": [
            {"class_num": number, "class_name": name, "class_info_list": [{**box, "text_description": text}]}
            for number, (name, text) in enumerate(texts.items(), 1)
        ],
    }  # fmt: skip


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
