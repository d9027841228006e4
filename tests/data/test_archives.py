import io
import json
import struct
import unicodedata
import zipfile
from pathlib import Path

import pytest

from medllm.data.archives import read_members
from medllm.errors import UserError


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def read_all(root: Path) -> list[tuple[str, str, bytes]]:
    return [(member.archive, member.name, member.read()) for member in read_members(root)]


MEMBERS = {"a.json": b"1" * 3000, "b/가.json": "나".encode() * 2000}
BYTES = zipped(MEMBERS, zipfile.ZIP_STORED)


def plain(root: Path) -> str:
    (root / "TL_내과.zip").write_bytes(BYTES)
    return "TL_내과.zip"


def nested(root: Path) -> str:
    (root / "outer.zip").write_bytes(zipped({"x/TL_내과.zip": BYTES}))
    return "outer.zip!x/TL_내과.zip"


def twice_nested(root: Path) -> str:
    (root / "outer.zip").write_bytes(zipped({"m.zip": zipped({"TL_내과.zip": BYTES})}))
    return "outer.zip!m.zip!TL_내과.zip"


def parts_by_number(root: Path) -> str:
    for number in range(12):  # part10 comes after part9
        size = len(BYTES) // 12 + 1
        (root / f"TL_내과.zip.part{number}").write_bytes(BYTES[number * size : (number + 1) * size])
    return "TL_내과.zip"


def parts_by_offset(root: Path) -> str:
    (root / "TL_내과.zip.part0").write_bytes(BYTES[:1000])
    (root / "TL_내과.zip.part1000").write_bytes(BYTES[1000:])
    return "TL_내과.zip"


@pytest.mark.parametrize("shape", [plain, nested, twice_nested, parts_by_number, parts_by_offset])
def test_every_archive_shape_gives_the_same_members(tmp_path: Path, shape) -> None:
    archive = shape(tmp_path)
    assert read_all(tmp_path) == [(archive, name, data) for name, data in MEMBERS.items()]


def test_unpacked_folders_are_read_in_a_fixed_order_with_nfc_names_and_without_litter(tmp_path: Path) -> None:
    folder = tmp_path / unicodedata.normalize("NFD", "라벨링데이터")
    folder.mkdir()
    for name in ("나.json", "가.json", ".DS_Store", "._가.json"):
        (folder / unicodedata.normalize("NFD", name)).write_bytes(b"{}")
    (folder / "x.zip").write_bytes(zipped({"__MACOSX/가.json": b"", "다.json": b"{}"}))
    assert [(member.archive, member.name) for member in read_members(tmp_path)] == [
        ("라벨링데이터/x.zip", "다.json"), ("라벨링데이터", "가.json"), ("라벨링데이터", "나.json"),
    ]  # fmt: skip


def rename(data: bytes, old: str, new: bytes, *, flag_utf8: bool) -> bytes:
    """The same archive with other name bytes of the same length and the UTF-8 flag set or cleared."""
    raw = old.encode()
    assert len(raw) == len(new)
    data = data.replace(raw, new)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        flags = struct.unpack_from("<H", data, at)[0]
        data = data[:at] + struct.pack("<H", flags | 0x800 if flag_utf8 else flags & ~0x800) + data[at + 2 :]
    return data


@pytest.mark.parametrize("encoding", ["cp949", "utf-8"])
def test_names_without_the_utf8_flag_are_korean(tmp_path: Path, encoding: str) -> None:
    name = "피부과_여드름.json".encode(encoding)
    data = rename(zipped({"x" * len(name): b"{}"}), "x" * len(name), name, flag_utf8=False)
    (tmp_path / "a.zip").write_bytes(data)
    assert [member.name for member in read_members(tmp_path)] == ["피부과_여드름.json"]


def test_nfd_and_rooted_names_of_real_archives_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({unicodedata.normalize("NFD", "/내과/가.json"): b"{}"}))
    assert [member.name for member in read_members(tmp_path)] == ["내과/가.json"]


@pytest.mark.parametrize("name", ["../evil.json", "a/../../evil.json", "..\\evil.json", "/../evil.json", "C:/evil.json"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({name: b"{}"}))
    with pytest.raises(UserError, match=r"a\.zip: member .*outside the archive"):
        read_all(tmp_path)


def encrypted(data: bytes) -> bytes:
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        data = data[:at] + bytes([data[at] | 1]) + data[at + 1 :]
    return data


def scrambled(data: bytes) -> bytes:
    return data[:200] + bytes([data[200] ^ 0xFF]) + data[201:]


BROKEN = {
    "truncated": ({"a.zip": BYTES[:-300]}, "a.zip: not a whole zip archive"),
    "cut to nothing": ({"a.zip": b""}, "a.zip: not a whole zip archive"),
    "bits flipped": ({"a.zip": scrambled(BYTES)}, "a.zip: a.json cannot be read"),
    "encrypted": ({"a.zip": encrypted(BYTES)}, "a.zip: a.json is encrypted"),
    "inner truncated": ({"a.zip": zipped({"in.zip": BYTES[:-300]})}, "a.zip!in.zip: not a whole zip archive"),
    "first part missing": ({"a.zip.part1": BYTES}, "a.zip.part0 is missing"),
    "middle part missing": ({"a.zip.part0": BYTES[:100], "a.zip.part2": BYTES[2000:]}, "a.zip: "),
    "last part missing": ({"a.zip.part0": BYTES[:2000]}, "a.zip: not a whole zip archive"),
    "no tar": ({"a.tar": b"x"}, "a.tar: not a whole tar archive"),
    "7z": ({"a.7z": b"x"}, "a.7z: this kind of archive"),
    "tar.gz in zip": ({"a.zip": zipped({"b.tar.gz": b"x"})}, "a.zip!b.tar.gz: this kind of archive"),
    "empty folder": ({}, "the folder is empty"),
    "only litter": ({".DS_Store": b""}, "the folder is empty"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_downloads_end_in_one_line_that_names_the_file(tmp_path: Path, case: str) -> None:
    files, message = BROKEN[case]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as error:
        read_all(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_all(tmp_path / "nowhere")


def test_members_are_read_only_when_asked(tmp_path: Path) -> None:
    """Pictures of the school sets (869 MB) must not be inflated: a broken one that nobody reads is no error."""
    (tmp_path / "a.zip").write_bytes(scrambled(BYTES))
    assert [member.name for member in read_members(tmp_path)] == list(MEMBERS)
    with pytest.raises(UserError):
        json.dumps([member.read().hex() for member in read_members(tmp_path)])
