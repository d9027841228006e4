"""What prepare_data and the writer of the sample refuse, and what they then leave behind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paper_sample import KNOBS, digest, prepare, qa, sample

from medllm.data.prepare import prepare_data
from medllm.data.sample.archives import write_archives
from medllm.data.sample.items import Item, MathsItem
from medllm.errors import UserError


def broken_folder(tmp_path: Path, count: int) -> Path:
    write_archives(tmp_path / "raw", sample())
    folder = next((tmp_path / "raw").rglob("TL_중등_1학년"))
    for number in range(count):
        (folder / f"S2_중등_1_9{number:05d}.json").write_text('{"source_data_info": {}, "learning_data_info": []}', encoding="utf-8")
    return tmp_path / "raw"


def test_bad_items_are_quarantined_up_to_the_share(tmp_path: Path) -> None:
    raw = broken_folder(tmp_path, 1)  # one of five
    report = prepare_data(raw, tmp_path / "out", **{**KNOBS, "max_bad_share": 0.2})
    assert report["items_bad"] == 1
    assert report["sets"]["aihub_71857"]["dropped"] == {"missing:문항": 1}
    rows = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["dataset"], row["file"], row["item"], row["reason"]) for row in rows] == [
        ("aihub_71857", "S2_중등_1_900000.json", "S2_중등_1_900000", "missing:문항")
    ]


def test_too_many_bad_items_stop_the_stage_and_write_nothing(tmp_path: Path) -> None:
    raw = broken_folder(tmp_path, 2)
    with pytest.raises(UserError, match=r"S2_중등_1_900000\.json: .*missing:문항; 2 of 6 of aihub_71857 are bad \(33\.3%"):
        prepare_data(raw, tmp_path / "out", **{**KNOBS, "max_bad_share": 0.2})
    assert not (tmp_path / "out").exists()


def test_one_id_with_two_contents_is_bad_and_one_file_twice_is_a_copy(tmp_path: Path) -> None:
    write_archives(tmp_path / "raw", sample())
    place = tmp_path / "raw" / "09.필수의료 의학지식 데이터 사본" / "TL_내과"
    place.mkdir(parents=True)
    row = {"qa_id": 900_011, "domain": 17, "q_type": 2, "question": "천식 때문에 갈 곳은 어디입니까?", "answer": "호흡기과입니다."}
    (place / "a.json").write_text(json.dumps(row), encoding="utf-8")
    (place / "b.json").write_text(json.dumps({**row, "answer": "모릅니다."}), encoding="utf-8")
    report = prepare_data(tmp_path / "raw", tmp_path / "out", **{**KNOBS, "max_bad_share": 0.5})
    assert report["sets"]["aihub_71875"]["dropped"] == {"id_of_another_item": 1, "same_file_twice": 1}


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (lambda item: getattr(item, "split", "train") == "train", "Validation part"),
        (lambda item: getattr(item, "split", "train") == "validation", "Training part"),
        (lambda item: False, "no item found"),
    ],
)
def test_a_missing_part_is_named(tmp_path: Path, keep: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, [item for item in sample() if keep(item)])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (qa(1, 0, "물음?", split="train", choice=True, answer="없는 과"), "none of its options"),
        (qa(900_001, 0, "물음?", split="train"), "there twice"),
        (
            MathsItem(item_id="m1", grade="", question="?", answer="1", solution="", options=(), answer_mark="", split="train"),
            "no school and year",
        ),
    ],
)
def test_the_writer_refuses_items_out_of_shape_and_leaves_nothing(tmp_path: Path, item: Item, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_archives(tmp_path / "raw", [*sample(), item])
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from pathlib import Path
from medllm.data.prepare import prepare_data
from medllm.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))  # a write past it fails as on a full disk
try:
    prepare_data(Path(sys.argv[1]), Path(sys.argv[2]), **eval(sys.argv[3]))
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, before: bool) -> None:
    items = [*sample(), *(qa(999_000 + number, 0, f"{number}번째로 묻는 것은 무엇입니까?", split="train") for number in range(60))]
    write_archives(tmp_path / "raw", items)
    if before:
        prepare_data(tmp_path / "raw", tmp_path / "out", **KNOBS)
    here = digest(tmp_path)
    command = [sys.executable, "-c", FULL, str(tmp_path / "raw"), str(tmp_path / "out"), repr(KNOBS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert re.fullmatch(r"\S+/out: the disk is full \(.+\), nothing was written; free some space and run again\n", done.stdout)
    assert digest(tmp_path) == here
    assert sorted(path.name for path in tmp_path.iterdir()) == (["out", "raw"] if before else ["raw"])
