"""Whatever happens to a download, either one line says what is wrong, or every item of it is accounted for."""

import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from medllm.data.intake import read_items
from medllm.data.records import Record
from medllm.errors import UserError

FOLDER = "09.필수의료 의학지식 데이터/Training/02.라벨링데이터"
TL = f"{FOLDER}/TL_내과.zip"
QUESTION = "{}번 환자에게 먼저 시행할 검사는?  \n1) 흉부 X선  \n2) 위내시경  \n3) 골밀도 검사  \n4) 뇌파 검사  \n5) 피부 생검"
NUM_ITEMS = 6
ITEMS = {
    f"{n}.json": json.dumps(
        {"qa_id": n, "domain": 17, "q_type": 1, "question": QUESTION.format(n), "answer": "2) 위내시경"}, ensure_ascii=False
    ).encode("utf-8-sig")
    for n in range(NUM_ITEMS)
}  # fmt: skip
Files = dict[str, bytes]


def zipped(members: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return buffer.getvalue()


def tarred(members: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def parts(archive: bytes) -> Files:
    third = len(archive) // 3
    return {f"{TL}.part0": archive[:third], f"{TL}.part{third}": archive[third : 2 * third], f"{TL}.part{2 * third}": archive[2 * third :]}


def packed(items: Files) -> dict[str, Files]:
    """The same items in every shape whose members carry a checksum."""
    deflated, stored = zipped(items), zipped(items, zipfile.ZIP_STORED)
    return {
        "zip": {TL: deflated},
        "stored zip": {TL: stored},
        "outer zip stores": {"o.zip": zipped({TL: deflated}, zipfile.ZIP_STORED)},
        "outer zip deflates": {"o.zip": zipped({TL: stored})},
        "parts": parts(deflated),
        "tar of parts": {"a.tar": tarred(parts(deflated))},
        "tar of zip": {"a.tar": tarred({TL: stored})},
    }


SHAPES = packed(ITEMS)


def outcomes_of(files: Files) -> list[object] | None:
    """None when one line refused it. Any other exception is a failure of the test."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            return list(read_items(Path(folder)))
        except UserError as error:
            message = str(error)
    assert "\n" not in message
    return None


def by_id(outcomes: list[object]) -> dict[str, tuple[str, str]]:
    return {outcome.id: (outcome.question, outcome.answer) for outcome in outcomes if isinstance(outcome, Record)}


WHOLE = by_id(outcomes_of(SHAPES["zip"]) or [])
QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def test_the_whole_archives_hold_every_item() -> None:
    assert len(WHOLE) == NUM_ITEMS
    assert all(by_id(outcomes_of(files) or []) == WHOLE for files in SHAPES.values())


def check(files: Files) -> None:
    outcomes = outcomes_of(files)
    if outcomes is not None:
        assert len(outcomes) == NUM_ITEMS
        assert by_id(outcomes).items() <= WHOLE.items()


@QUICK
@given(shape=st.sampled_from(sorted(SHAPES)), file=st.integers(0, 2), at=st.floats(0, 1), bits=st.integers(1, 255))
def test_a_flipped_byte(shape: str, file: int, at: float, bits: int) -> None:
    name, content = sorted(SHAPES[shape].items())[file % len(SHAPES[shape])]
    place = min(int(at * len(content)), len(content) - 1)
    check({**SHAPES[shape], name: content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]})


@QUICK
@given(shape=st.sampled_from(sorted(SHAPES)), file=st.integers(0, 2), start=st.floats(0, 1), count=st.integers(1, 600))
def test_bytes_that_are_missing(shape: str, file: int, start: float, count: int) -> None:
    name, content = sorted(SHAPES[shape].items())[file % len(SHAPES[shape])]
    place = int(start * (len(content) - 1))
    check({**SHAPES[shape], name: content[:place] + content[place + count :]})


@QUICK
@given(shape=st.sampled_from(sorted(SHAPES)), file=st.integers(0, 2), end=st.floats(0, 1))
def test_a_cut_download(shape: str, file: int, end: float) -> None:
    name, content = sorted(SHAPES[shape].items())[file % len(SHAPES[shape])]
    check({**SHAPES[shape], name: content[: int(end * len(content))]})


@QUICK
@given(order=st.permutations(range(3)), count=st.integers(1, 3))
def test_parts_that_are_missing_or_in_another_order(order: list[int], count: int) -> None:
    names, contents = zip(*SHAPES["parts"].items(), strict=True)
    outcomes = outcomes_of({names[place]: contents[order[place]] for place in range(count)})
    assert (outcomes is not None) == (count == 3 and list(order) == [0, 1, 2])


NAMES = st.one_of(
    st.sampled_from([
        "1.JSON", "a/1.json", "/1.json", "../1.json", "C:\\1.json", "1.png", "1", "한글 이름.json", "1.zip.part0", "1.zip", "1.tar",
        "1.jsonl", "1.csv", "1.parquet", "1.7z", "a\nb.json",
    ]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9),
)  # fmt: skip


@QUICK
@given(shape=st.sampled_from(sorted(SHAPES)), item=st.integers(0, NUM_ITEMS - 1), name=NAMES)
@example(shape="zip", item=0, name="\ufeff.json")
def test_a_renamed_member(shape: str, item: int, name: str) -> None:
    """Folders and hidden names are litter by rule; every other member has an outcome, and its content is never taken for another's."""
    if name.endswith(("/", "\\")) or any(part.startswith(".") for part in name.replace("\\", "/").split("/")) or name in ITEMS:
        return
    renamed = {name if number == item else old: content for number, (old, content) in enumerate(ITEMS.items())}
    outcomes = outcomes_of(packed(renamed)[shape])
    if outcomes is not None:
        assert len(outcomes) == NUM_ITEMS or name.lower().endswith((".csv", ".jsonl"))
        assert by_id(outcomes).items() <= WHOLE.items()
        assert len(by_id(outcomes)) >= NUM_ITEMS - 1


@QUICK
@given(shape=st.sampled_from(sorted(SHAPES)), order=st.permutations(range(NUM_ITEMS)), broken=st.sets(st.integers(0, NUM_ITEMS - 1)))
def test_swapped_and_broken_members(shape: str, order: list[int], broken: set[int]) -> None:
    """Items under each other's names are the same items; a broken item is rejected and takes no other with it."""
    contents = [content[:-9] if place in broken else content for place, content in enumerate(ITEMS.values())]
    outcomes = outcomes_of(packed(dict(zip(ITEMS, [contents[place] for place in order], strict=True)))[shape])
    assert outcomes is not None
    assert len(outcomes) == NUM_ITEMS
    assert by_id(outcomes) == {name: text for name, text in WHOLE.items() if int(name.partition(":")[2]) not in broken}
