import csv
import io
import json
import random
import tarfile
import tracemalloc
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medllm.data.aihub.published import PUBLISHED
from medllm.data.intake import OtherFile, Rejected, read_items
from medllm.data.records import Record
from medllm.errors import UserError

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


def put(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


INNER = zipped(ITEMS)
STORED = zipped(ITEMS, zipfile.ZIP_STORED)
TL = f"{FOLDER}/TL_내과.zip"
CUT = len(INNER) // 3
BY_COUNT = {f"{TL}.part0": INNER[:CUT], f"{TL}.part1": INNER[CUT : 2 * CUT], f"{TL}.part2": INNER[2 * CUT :]}
BY_START = {f"{TL}.part0": INNER[:CUT], f"{TL}.part{CUT}": INNER[CUT : 2 * CUT], f"{TL}.part{2 * CUT}": INNER[2 * CUT :]}
SHAPES = {
    "zip": {TL: INNER},
    "unpacked": {f"{FOLDER}/TL_내과/{name}": content for name, content in ITEMS.items()},
    "outer zip stores inner zip": {"outer.zip": zipped({TL: INNER}, zipfile.ZIP_STORED)},
    "outer zip deflates inner zip": {"outer.zip": zipped({TL: STORED})},
    "three deep": {"outer.zip": zipped({"a.zip": zipped({TL: STORED})})},
    "parts by count": BY_COUNT,
    "parts by start": BY_START,
    "tar of zips": {"api.tar": tarred({TL: INNER})},
    "tar of parts": {"api.tar": tarred(BY_START)},
    "old tar of parts": {"api.tar": tarred(dict(reversed(BY_COUNT.items())), tarfile.GNU_FORMAT)},
    "tar with cp949 names": {"api.tar": tarred(BY_COUNT, tarfile.GNU_FORMAT, "cp949")},
    "parts of a tar": dict(zip(("api.tar.part0", "api.tar.part1"), [tarred({TL: INNER})[:1500], tarred({TL: INNER})[1500:]], strict=True)),
    "tar in zip": {"outer.zip": zipped({"api.tar": tarred(BY_COUNT)})},
    "parts in stored zip": {"outer.zip": zipped(BY_COUNT, zipfile.ZIP_STORED)},
    "parts in deflated zip": {"outer.zip": zipped(BY_COUNT)},
    "lzma": {"outer.zip": zipped({TL: STORED}, zipfile.ZIP_LZMA)},
    "underscores": {TL.replace(" ", "_"): INNER},
    "decomposed names": {unicodedata.normalize("NFD", TL): INNER},
    "decomposed, rooted names inside": {"outer.zip": zipped({unicodedata.normalize("NFD", f"/{TL}"): INNER})},
    "upper case": {TL.replace(".zip", ".ZIP"): INNER},
    "with litter": {TL: zipped({"__MACOSX/._0.json": b"x", ".DS_Store": b"x", **ITEMS}), f"{FOLDER}/._TL_내과.zip": b"x"},
}


def counts(root: Path) -> tuple[int, Counter[str]]:
    outcomes = list(read_items(root))
    return sum(isinstance(outcome, Record) for outcome in outcomes), Counter(o.reason for o in outcomes if isinstance(o, Rejected))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_delivery_gives_the_same_records(tmp_path: Path, shape: str) -> None:
    put(tmp_path, SHAPES[shape])
    records = list(read_items(tmp_path))
    assert all(isinstance(record, Record) for record in records)
    assert sorted(record.id for record in records) == sorted(f"aihub_71875:{number}" for number in range(12))
    assert {record.source_split for record in records} == {"train"}
    assert len({record.provenance for record in records}) == 12
    assert all(("!" in record.provenance) == (shape != "unpacked") for record in records)


@pytest.mark.parametrize("shape", ["outer zip deflates inner zip", "three deep", "tar in zip", "parts in deflated zip", "lzma"])
@pytest.mark.parametrize("kept", [1, 300, 3000])
def test_a_compressed_archive_longer_than_its_kept_end_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, kept: int
) -> None:
    monkeypatch.setattr("medllm.data.archives.streams._END_BYTES", kept)
    put(tmp_path, SHAPES[shape])
    assert counts(tmp_path) == (12, Counter())


def test_nothing_is_unpacked_and_an_archive_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such folder"))
    noise = random.Random(0).randbytes(2**20)
    pictures = {f"{number}.png": noise for number in range(24)}
    put(tmp_path, {"raw/outer.zip": zipped({TL: zipped({**pictures, **ITEMS}, zipfile.ZIP_STORED)})})
    tracemalloc.start()
    total = sum(isinstance(outcome, Record) for outcome in read_items(tmp_path / "raw"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 12
    assert peak < 12 * 2**20  # 24 MiB of pictures went by; the end of the inner archive is kept, 4 MiB twice while it is joined


def test_provenance_is_archive_and_member(tmp_path: Path) -> None:
    put(tmp_path, {"outer.zip": zipped({"Training/TL_내과.zip": zipped({"a/7.json": data(question(7))})})})
    assert next(read_items(tmp_path)).provenance == "outer.zip!Training/TL_내과.zip!a/7.json"


def encrypted(archive: bytes) -> bytes:
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = archive.index(signature) + offset
        archive = archive[:at] + bytes([archive[at] | 1]) + archive[at + 1 :]
    return archive


def flipped(archive: bytes, at: int) -> bytes:
    return archive[:at] + bytes([archive[at] ^ 0xFF]) + archive[at + 1 :]


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("TL_내과.zip")
        info.type, info.linkname = tarfile.SYMTYPE, "elsewhere.zip"
        archive.addfile(info)
    return buffer.getvalue()


TWO_INNER = zipped({"TL_내과.zip": INNER, "TL_외과.zip": INNER}, zipfile.ZIP_STORED)
FIRST_INNER_END = TWO_INNER.index(b"PK\x05\x06") + 22
TAR = tarred(BY_START)
BAD_ARCHIVES = {
    "inner zip is cut": ({"o.zip": zipped({"TL_내과.zip": INNER[:-200]})}, "o.zip!TL_내과.zip: not a whole zip archive"),
    "inner zip is scrambled": ({"o.zip": zipped({"TL_내과.zip": flipped(INNER, 100)})}, "o.zip!TL_내과.zip: 0.json cannot be read"),
    "deflated bytes are scrambled": ({"o.zip": flipped(zipped({"TL_내과.zip": STORED}), 400)}, "o.zip"),
    "inner zip is encrypted": ({"o.zip": zipped({"TL_내과.zip": encrypted(INNER)})}, "o.zip!TL_내과.zip: 0.json is encrypted"),
    "the archive is encrypted": ({"o.zip": encrypted(zipped({"TL_내과.zip": INNER}))}, "o.zip: TL_내과.zip is encrypted"),
    "cut behind the list of an inner zip": ({"o.zip": TWO_INNER[:FIRST_INNER_END]}, "whole zip archive (bytes are missing in it)"),
    "bytes before the start": ({"o.zip": b"x" * 9 + INNER}, "o.zip: not a whole zip archive (bytes are missing in it)"),
    "bytes behind the end": ({"o.zip": INNER + b"x"}, "o.zip: not a whole zip archive (it goes on after its end"),
    "no list of members": ({"o.zip": INNER[: INNER.index(b"PK\x01\x02")]}, "o.zip: not a whole zip archive"),
    "last part is cut": ({**BY_START, f"{TL}.part{2 * CUT}": INNER[2 * CUT : -9]}, "TL_내과.zip: not a whole zip archive"),
    "first part is cut": ({**BY_START, f"{TL}.part0": INNER[: CUT - 9]}, f"a part before part{CUT} is missing or cut off"),
    "middle part is cut": ({**BY_COUNT, f"{TL}.part1": INNER[CUT : 2 * CUT - 9]}, "TL_내과.zip: not a whole zip archive"),
    "a middle part is missing": ({k: v for k, v in BY_COUNT.items() if not k.endswith("1")}, "a part before part2 is missing or cut off"),
    "a middle part is missing by start": (
        {k: v for k, v in BY_START.items() if not k.endswith(f"part{CUT}")}, f"a part before part{2 * CUT} is missing or cut off",
    ),
    "a part is there twice": ({**BY_COUNT, f"{TL}.part01": INNER[CUT : 2 * CUT]}, "is missing or cut off"),
    "parts are swapped": ({**BY_COUNT, f"{TL}.part0": BY_COUNT[f"{TL}.part1"], f"{TL}.part1": BY_COUNT[f"{TL}.part0"]}, "TL_내과.zip"),
    "no first part in a tar": ({"a.tar": tarred({f"{TL}.part1": INNER})}, f"a.tar: {TL}.part0 is missing"),
    "tar is cut in a member": ({"a.tar": TAR[: len(TAR) // 2]}, "a.tar: not a whole tar archive"),
    "tar is cut between members": ({"a.tar": TAR[: TAR.rindex(b"ustar") - 257]}, "a.tar: not a whole tar archive"),
    "tar header is scrambled": ({"a.tar": flipped(TAR, TAR.rindex(b"ustar") - 200)}, "a.tar: not a whole tar archive"),
    "tar holds a link": ({"a.tar": linked()}, "a.tar: TL_내과.zip is a link"),
    "tar is zipped": ({"a.tar.gz": b"x"}, "a.tar.gz: this kind of archive is not read"),
    "a volume": ({"a.z01": b"x"}, "a.z01: this kind of archive is not read"),
    "zip-slip in a tar": ({"a.tar": tarred({"../x.json": b"{}"})}, "a.tar: member '../x.json' points outside"),
    "zip under another name": ({"TL_내과.zi_": INNER}, "TL_내과.zi_: a zip archive under another name"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_one_line(tmp_path: Path, case: str) -> None:
    files, message = BAD_ARCHIVES[case]
    put(tmp_path, files)
    with pytest.raises(UserError) as error:
        list(read_items(tmp_path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_endless_zip_ends(tmp_path: Path) -> None:
    archive = zipped({"1.json": b"{}"})
    for _ in range(7):
        archive = zipped({"a.zip": archive})
    put(tmp_path, {"a.zip": archive})
    with pytest.raises(UserError, match="archives inside each other"):
        list(read_items(tmp_path))


def test_what_an_item_claims_to_hold_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MB of JSON in one item: one line in the quarantine, the next item is read."""
    monkeypatch.setattr("medllm.data.intake.MAX_ITEM_BYTES", 10_000)
    monkeypatch.setattr("medllm.data.tables.rows.MAX_ITEM_BYTES", 10_000)
    huge = b" " * 100_000
    put(tmp_path, {TL: zipped({"99.json": huge, **ITEMS}), "chat/train.jsonl": b"\n".join([huge, data(CHAT, bom=False), huge])})
    assert counts(tmp_path) == (13, Counter(too_large=3))


KORMEDMCQA = {
    "subject": "doctor", "year": 2022, "period": 1, "q_number": 7, "question": "먼저 시행할 검사는?", "A": "가", "B": "나", "C": "다",
    "D": "라", "E": "마", "answer": 2, "cot": "",
}  # fmt: skip
CHAT = {"messages": [{"role": "user", "content": "두통이 있어요."}, {"role": "assistant", "content": "언제부터 그러셨나요?"}]}
ANSWER = {"question": "비구아니드 계열 약물은?", "answer": "메트포르민"}
OPTIONS = {**ANSWER, "options": ["인슐린", "메트포르민", "3"]}


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


WRITERS: dict[str, Callable[[list[Any]], bytes]] = {"jsonl": jsonl, "csv": csv_bytes, "parquet": parquet}


def only(root: Path) -> Record | Rejected | OtherFile:
    (outcome,) = read_items(root)
    return outcome


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("packed", [False, True])
def test_kormedmcqa_is_known_by_its_columns_and_never_trained_on(tmp_path: Path, kind: str, packed: bool) -> None:
    content = WRITERS[kind]([KORMEDMCQA])
    put(tmp_path, {"x.zip": zipped({f"train.{kind}": content})} if packed else {f"x/train.{kind}": content})
    record = only(tmp_path)
    assert (record.id, record.dataset, record.kind) == ("kormedmcqa:doctor-2022-1-7", "kormedmcqa", "choice")
    assert (record.options, record.answer_index, record.answer) == (("가", "나", "다", "라", "마"), 1, "나")
    assert (record.eval_only, record.source_split, record.redistributable) == (True, "validation", False)
    assert record.provenance.startswith("x.zip!train" if packed else "x/train")


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("row", "dataset", "record_kind", "answer"),
    [
        (ANSWER, "내_자료", "qa", "메트포르민"),
        (OPTIONS, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "answer": "2"}, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "answer": "3"}, "내_자료", "choice", "3"),
        ({**OPTIONS, "answer": "b"}, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "answer": "② 메트포르민"}, "내_자료", "choice", "메트포르민"),
        ({**OPTIONS, "options": "1) 인슐린\n2) 메트포르민"}, "내_자료", "choice", "메트포르민"),
        (question(3), "komedqa", "choice", "위내시경"),
        (question(3, q_type=2, answer="위내시경"), "komedqa", "qa", "위내시경"),
        (question(3, domain=1), "komedqa", "choice", "위내시경"),
    ],
)
def test_questions_in_columns(tmp_path: Path, kind: str, row: dict[str, Any], dataset: str, record_kind: str, answer: str) -> None:
    put(tmp_path, {f"내 자료/korean/test-00000-of-00001.{kind}": WRITERS[kind]([row])})
    record = only(tmp_path)
    assert (record.dataset, record.kind, record.answer, record.source_split) == (dataset, record_kind, answer, "validation")
    assert record.answer_index is None or record.options[record.answer_index] == answer
    assert not record.redistributable


def test_options_by_label(tmp_path: Path) -> None:
    put(tmp_path, {"a.jsonl": jsonl([{**ANSWER, "options": {"B": "메트포르민", "A": "인슐린"}, "answer": "B"}])})
    assert (only(tmp_path).options, only(tmp_path).answer_index) == (("인슐린", "메트포르민"), 1)


def test_chat_rows(tmp_path: Path) -> None:
    rows = [CHAT, {**CHAT, "id": "가", "licence": "CC0-1.0", "redistributable": True, "split": "dev"}]
    put(tmp_path, {"상담/a.jsonl": jsonl(rows), "상담/b.jsonl": jsonl(rows[:1])})
    first, second, third = read_items(tmp_path)
    assert first.messages == (("user", "두통이 있어요."), ("assistant", "언제부터 그러셨나요?"))
    assert (first.id, first.kind, first.source_split, first.provenance) == ("상담:상담_a-1", "chat", "train", "상담/a.jsonl:1")
    assert (second.id, second.licence, second.redistributable, second.source_split) == ("상담:가", "CC0-1.0", True, "validation")
    assert third.id != first.id


BAD_ROWS = [
    ({**KORMEDMCQA, "E": None}, "options_not_five"),
    ({**KORMEDMCQA, "answer": 6}, "answer_not_an_option"),
    ({**KORMEDMCQA, "answer": "나"}, "wrong_type:answer"),
    ({**KORMEDMCQA, "question": " "}, "empty:question"),
    (question(1, question="검사는?\n1) 가\n2) 나\n3) 다\n4) 라"), "options_not_five"),
    (question(1, answer="6) 위내시경"), "answer_not_an_option"),
    (question(1, domain=18), "unknown_domain"),
    (question(1, question="Which test?", answer="1) X"), "not_korean"),
    ({**OPTIONS, "answer": "아스피린"}, "answer_not_an_option"),
    ({**OPTIONS, "answer": 4}, "answer_not_an_option"),
    ({**OPTIONS, "answer": 0}, "answer_not_an_option"),
    ({**OPTIONS, "answer": "① 메트포르민"}, "answer_not_an_option"),
    ({**OPTIONS, "options": ["하나"]}, "options_not_rebuilt"),
    ({**OPTIONS, "options": ["하나", ""]}, "empty:options"),
    ({**ANSWER, "split": "extra"}, "unknown_split"),
    ({**ANSWER, "redistributable": "perhaps"}, "wrong_type:redistributable"),
    ({**ANSWER, "answer": None}, "wrong_type:answer"),
    ({"messages": []}, "empty:messages"),
    ({"messages": [*CHAT["messages"], *CHAT["messages"][:1]]}, "turns_out_of_order"),
    ({"messages": [{"role": "user"}]}, "missing:content"),
    ({"messages": "안녕"}, "wrong_type:messages"),
    ({"text": "가"}, "unknown_shape"),
    ([1], "unknown_shape"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_bad_row_is_rejected_with_its_number_and_the_next_is_read(tmp_path: Path, row: object, reason: str) -> None:
    put(tmp_path, {"a/b.jsonl": jsonl([ANSWER, row, ANSWER])})
    first, rejected, last = read_items(tmp_path)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert (rejected.archive, rejected.file, rejected.item, rejected.reason) == ("a", "b.jsonl", "row 2", reason)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'\xef\xbb\xbf{"question": "\xea\xb0\x80", "answer": "b"}\n\n{"quest\n\xff\n', (1, Counter(not_json=1, not_utf8=1))),
        ("a.csv", "question,answer\n가,나\n다\n\n라,마,바\n".encode(), (1, Counter(wrong_number_of_cells=2))),
        ("a.csv", b"", (0, Counter())),
        ("a.jsonl", b"", (0, Counter())),
    ],
)
def test_rows_of_broken_tables_are_counted(tmp_path: Path, name: str, content: bytes, expected: tuple[int, Counter[str]]) -> None:
    put(tmp_path, {name: content})
    assert counts(tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'question,answer\n가,"나\n다,라\n'.encode(), r"a\.csv:3: not readable as CSV"),
        ("a.csv", "question,answer\n가,나\n".encode("cp949"), r"a\.csv:1: not UTF-8"),
        ("a.csv", b"question,question\n1,2\n", r"a\.csv:1: a column has no name"),
        ("a.parquet", parquet([ANSWER])[:-5], r"a\.parquet: not readable as Parquet"),
        ("a.zip", flipped(zipped({"b.jsonl": jsonl([ANSWER] * 50)}, zipfile.ZIP_STORED), 500), r"a\.zip: b\.jsonl cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read_to_its_end_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    put(tmp_path, {name: content})
    with pytest.raises(UserError, match=message) as error:
        list(read_items(tmp_path))
    assert "\n" not in str(error.value)


def test_another_set_in_the_folder_is_rejected(tmp_path: Path) -> None:
    put(tmp_path, {
        f"{FOLDER}/TL_피부과/1.json": data(question(1, domain=5)), f"{FOLDER}/TL_내과/2.json": data({"interview_info": {}, "script": []}),
        f"{FOLDER}/chat.jsonl": jsonl([CHAT]), "KorMedMCQA/data.jsonl": jsonl([OPTIONS]), f"{FOLDER}/TL_내과/그림.png": b"\x89PNG",
    })  # fmt: skip
    outcomes = list(read_items(tmp_path))
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert {outcome.reason for outcome in rejected} == {"wrong_set"}
    assert Counter(outcome.dataset for outcome in rejected) == {"aihub_71875": 3, "kormedmcqa": 1}
    assert [outcome.suffix for outcome in outcomes if isinstance(outcome, OtherFile)] == [".png"]


SOURCE = "path: rows\nsplits:\n  train: train\n  test: validation\n"


def put_source(root: Path, text: str, name: str = "내 질문.source.yaml") -> None:
    pq_rows = {"q": "통증을 줄이는 약은?", "a": "진통제", "extra": 1}
    put(root, {
        "rows/train-0.parquet": parquet([pq_rows] * 3), "rows/test-0.parquet": parquet([{**pq_rows, "a": ""}, pq_rows]),
        name: text.encode(),
    })  # fmt: skip


def test_a_datasets_source_is_read_once_with_its_columns_and_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    put_source(tmp_path, SOURCE + "columns: {question: q, answer: a}\nlicence: CC0-1.0\nredistributable: true\n")
    *kept, rejected, last = read_items(tmp_path)
    assert [record.id for record in kept] == ["내_질문:train-1", "내_질문:train-2", "내_질문:train-3"]
    assert {(record.question, record.answer, record.licence, record.redistributable) for record in (*kept, last)} == {
        ("통증을 줄이는 약은?", "진통제", "CC0-1.0", True)
    }
    assert (rejected.reason, rejected.item, rejected.file) == ("empty:answer", "row test-1", "내 질문.source.yaml")
    assert (last.source_split, last.provenance) == ("validation", "내 질문.source.yaml:test-2")


def test_an_eval_only_source(tmp_path: Path) -> None:
    put_source(tmp_path, json.dumps(
        {"path": "rows", "splits": {"test": "test"}, "columns": {"question": "q", "answer": "a"}, "eval_only": True, "dataset": "x"},
    ), name="a.source.json")  # fmt: skip
    rejected, record = read_items(tmp_path)
    assert (record.dataset, record.eval_only, record.source_split) == ("x", True, "validation")
    assert rejected.dataset == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path: someone/dataset\nsplits: {train: train}\n", "needs a pinned revision"),
        ("path: someone/dataset\nrevision: main\nsplits: {train: train}\n", "needs a pinned revision"),
        ("path: ../../no such folder\nsplits: {train: train}\n", "neither a folder beside this file nor a hub id"),
        ("path: rows\n", "path and splits are needed"),
        ("path: [rows\n", "not readable"),
        ("path: rows\nsplits: {train: extra}\n", "splits: train = 'extra' is not allowed"),
        ("path: rows\nsplits: {train: train}\neval_only: true\n", "eval_only source may not be trained on"),
        ("path: rows\nsplits: {train: train}\nlicense: x\n", "license = 'x' is not allowed"),
        ("path: rows\nsplits: {train: train}\nrevision: 1234567\n", "revision = 1234567 is not allowed"),
        ("path: rows\nsplits: {nothing: train}\n", "part 'nothing' of rows cannot be loaded"),
        ("path: rows\nsplits: {train: train}\ncolumns: {question: none}\n", "the source has no column 'none'"),
    ],
)
def test_a_wrong_source_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    put_source(tmp_path, text)
    with pytest.raises(UserError) as error:
        list(read_items(tmp_path))
    assert message in str(error.value)
    assert str(error.value).startswith("내 질문.source.yaml: ")
    assert "\n" not in str(error.value)


def test_the_key_of_the_sample_is_no_table(tmp_path: Path) -> None:
    put(tmp_path, {TL: INNER, "key.jsonl": b"{}\n"})
    assert counts(tmp_path) == (12, Counter())


def test_published_counts_add_up() -> None:
    assert {"aihub_71875", "aihub_71874", "aihub_71859", "aihub_71857", "aihub_interview"} <= PUBLISHED.keys()
    for published in PUBLISHED.values():
        if published.train and published.validation:
            assert published.train + published.validation == published.total
