"""Folders as they are delivered: archives in archives, parts, tables of rows."""

import csv
import io
import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medllm.data.intake import Rejected, read_items
from medllm.data.records import Record

FOLDER = "09.필수의료 의학지식 데이터/3.개방데이터/1.데이터/Training/02.라벨링데이터"


def question(number: int, **change: object) -> dict[str, Any]:
    text = f"{number}번 환자에게 먼저 시행할 검사는?  \n1) 흉부 X선  \n2) 위내시경  \n3) 골밀도 검사  \n4) 뇌파 검사  \n5) 피부 생검"
    return {"qa_id": number, "domain": 17, "q_type": 1, "question": text, "answer": "2) 위내시경", **change}


def data(row: object, *, bom: bool = True) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8-sig" if bom else "utf-8")


ITEMS = {f"{number}.json": data(question(number), bom=number % 2 == 0) for number in range(12)}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], format: int = tarfile.PAX_FORMAT, encoding: str = "utf-8") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding=encoding) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8-sig")


def csv_bytes(rows: list[Any]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    for row in rows:
        writer.writerow({key: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value for key, value in row.items()})
    return out.getvalue().encode("utf-8-sig")


def parquet(rows: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def put(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def counts(root: Path) -> tuple[int, Counter[str]]:
    outcomes = list(read_items(root))
    return sum(isinstance(outcome, Record) for outcome in outcomes), Counter(o.reason for o in outcomes if isinstance(o, Rejected))


def flipped(archive: bytes, at: int) -> bytes:
    return archive[:at] + bytes([archive[at] ^ 0xFF]) + archive[at + 1 :]


INNER = zipped(ITEMS)
STORED = zipped(ITEMS, zipfile.ZIP_STORED)
TL = f"{FOLDER}/TL_내과.zip"
CUT = len(INNER) // 3
BY_COUNT = {f"{TL}.part0": INNER[:CUT], f"{TL}.part1": INNER[CUT : 2 * CUT], f"{TL}.part2": INNER[2 * CUT :]}
BY_START = {f"{TL}.part0": INNER[:CUT], f"{TL}.part{CUT}": INNER[CUT : 2 * CUT], f"{TL}.part{2 * CUT}": INNER[2 * CUT :]}
KORMEDMCQA = {
    "subject": "doctor", "year": 2022, "period": 1, "q_number": 7, "question": "먼저 시행할 검사는?", "A": "가", "B": "나", "C": "다",
    "D": "라", "E": "마", "answer": 2, "cot": "",
}  # fmt: skip
CHAT = {"messages": [{"role": "user", "content": "두통이 있어요."}, {"role": "assistant", "content": "언제부터 그러셨나요?"}]}
ANSWER = {"question": "비구아니드 계열 약물은?", "answer": "메트포르민"}
OPTIONS = {**ANSWER, "options": ["인슐린", "메트포르민", "3"]}
