import io
import random
import tarfile
import tracemalloc
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from deliveries import BY_COUNT, BY_START, CHAT, CUT, FOLDER, INNER, ITEMS, STORED, TL, counts, data, flipped, put, question, tarred, zipped

from medllm.data.intake import read_items
from medllm.data.records import Record
from medllm.errors import UserError

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
