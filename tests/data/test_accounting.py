"""Nothing is lost: whatever mix of items a folder holds, each is kept, or dropped for a reason, in the archive it came from."""

import io
import json
import zipfile
from collections import Counter
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medllm.data.prepare import prepare_data
from medllm.data.records import read_records
from medllm.data.tally import BadItem, Tally
from medllm.errors import UserError

KNOBS: dict[str, Any] = {
    "max_bad_share": 1.0, "num_calibration": 1, "similarity": 0.9, "document_similarity": 0.8, "test_share": 0.2, "seed": 0,
}  # fmt: skip
TOP = "09.필수의료 의학지식 데이터"
ARCHIVES = ("Training/TL_내과.zip", "Training/TL_응급의학과.zip", "Validation/VL_내과.zip")
# what an item is made into, and whether it then is bad
MADE = {
    "good": False, "same_text": False, "same_file": False, "same_id": True, "not_json": True, "not_utf8": True, "no_answer": True,
    "four_options": True, "answer_outside": True, "empty_question": True, "wrong_set": True, "list": True,
}  # fmt: skip
CHOICE = "  \n".join(["알맞은 것은?", *(f"{n}) 보기{n}" for n in range(1, 6))])


def made(kind: str, number: int) -> bytes:
    """The file of an item."""
    question = f"{number * 7919}번 환자의 진단은?"
    row: dict[str, Any] = {"qa_id": number, "domain": 17, "q_type": 2, "question": question, "answer": f"병{number}"}
    match kind:
        case "not_json":
            return b'{"qa_id": 1, '
        case "not_utf8":
            return "가".encode("cp949")
        case "list":
            return b"[]"
        case "same_text":
            row |= {"question": "같은 글로 된 물음은?", "answer": "같은 답"}
        case "same_file":
            row |= {"qa_id": 1, "question": "같은 파일의 물음은?", "answer": "같은 답"}
        case "same_id":
            row |= {"qa_id": 2}
        case "no_answer":
            del row["answer"]
        case "four_options":
            row |= {"q_type": 1, "question": CHOICE.rpartition("5)")[0], "answer": "1) 보기1"}
        case "answer_outside":
            row |= {"q_type": 1, "question": CHOICE, "answer": "1) 없는 보기"}
        case "empty_question":
            row |= {"question": " \u200b"}
        case "wrong_set":
            row = {"interview_info": {"topic": {"topic": "주제"}}, "script": []}
    return json.dumps(row, ensure_ascii=False).encode()


def write(raw: Path, archives: dict[str, list[bytes]], *, others: int = 0) -> None:
    """Every archive in an outer zip; pictures beside the items."""
    raw.mkdir(parents=True)
    with zipfile.ZipFile(raw / f"{TOP}.zip", "w") as outer:
        for name, items in archives.items():
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as inner:
                for number, data in enumerate(items):
                    inner.writestr(f"{number:04d}.json", data)
                for number in range(others):
                    inner.writestr(f"{number:04d}.png", b"")
            outer.writestr(f"3.개방데이터/1.데이터/{name}", buffer.getvalue())


MIX = st.lists(st.tuples(st.sampled_from(sorted(MADE)), st.integers(0, len(ARCHIVES) - 1)), max_size=40)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mix=MIX, others=st.integers(0, 2))
def test_read_is_kept_and_dropped_in_every_archive(mix: list[tuple[str, int]], others: int) -> None:
    archives: dict[str, list[bytes]] = {name: [made("good", 1000 + place)] for place, name in enumerate(ARCHIVES)}
    kinds: dict[str, list[str]] = {name: ["good"] for name in ARCHIVES}
    for number, (kind, place) in enumerate(mix):
        archives[ARCHIVES[place]].append(made(kind, 2000 + number))
        kinds[ARCHIVES[place]].append(kind)
    with TemporaryDirectory() as folder:
        write(Path(folder) / "raw", archives, others=others)
        report = prepare_data(Path(folder) / "raw", Path(folder) / "out", **KNOBS)
        kept = {
            record.id: record.provenance.rpartition("!")[0]
            for name in ("train", "test")
            for record in read_records(Path(folder) / "out" / f"{name}.jsonl")
        }
        bad = [json.loads(line) for line in (Path(folder) / "out" / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = {name: row for own in report["archives"].values() for name, row in own.items()}
    for name, own in kinds.items():
        row = next(row for archive, row in rows.items() if archive.endswith(name))
        assert row["read"] == len(own) == row["kept"] + sum(row["dropped"].values())
        assert row["kept"] == sum(archive.endswith(name) for archive in kept.values())
        assert row["bad"] == sum(line["archive"].endswith(name) for line in bad)
    everything = Counter(kind for own in kinds.values() for kind in own)
    # of items with one id the first is kept, and of those with one text in one part
    first_of_id = min(1, everything["same_id"])
    assert report["items_bad"] == len(bad) == sum(count for kind, count in everything.items() if MADE[kind]) - first_of_id
    assert report["dropped"].get("same_file_twice", 0) == max(0, everything["same_file"] - 1)
    assert report["items_read"] == report["items_kept"] + report["items_dropped"] == len(mix) + len(ARCHIVES)
    assert report["other_files"] == ({".png": others * len(ARCHIVES)} if others else {})
    assert {name: sum(own["read"] for own in places.values()) for name, places in report["archives"].items()} == {
        name: own["read"] for name, own in report["sets"].items()
    }


def test_an_item_that_is_neither_kept_nor_dropped_stops_the_stage() -> None:
    tally = Tally(quarantine=StringIO())
    tally.read["x", "a.zip"] += 3
    tally.kept["x", "a.zip"] += 1
    tally.drop("x", "a.zip", "duplicate")
    with pytest.raises(UserError, match=r"a\.zip: 3 items of x were read, but 1 kept and 1 dropped"):
        tally.balance()
    tally.drop("x", "a.zip", "duplicate")
    tally.balance()
    assert tally.table() == {"x": {"read": 3, "kept": 1, "bad": 0, "dropped": {"duplicate": 2}}}


@pytest.mark.parametrize(("share", "stops"), [(0.24, True), (0.25, False)])
def test_the_share_of_bad_items_counts_by_set(share: float, stops: bool) -> None:
    tally = Tally(quarantine=(lines := StringIO()))
    tally.read.update({("x", "a"): 3, ("x", "b"): 1, ("y", "a"): 96})
    tally.refuse(BadItem(dataset="x", archive="b", file="1.json", item="1", reason="not_json"))
    assert json.loads(lines.getvalue()) == {"dataset": "x", "archive": "b", "file": "1.json", "item": "1", "reason": "not_json"}
    if stops:
        with pytest.raises(UserError, match=r"b/1\.json: item 1: not_json; 1 of 4 of x are bad \(25\.0%, .*24\.0%\)"):
            tally.check(share)
    else:
        tally.check(share)
