"""Items a second and peak memory of prepare_data on a nested archive, beside the same job written on datasets.map.

Not a test: `python tests/data/throughput.py --items 20000 --rounds 3`. Every run is a fresh process, the two ways take turns. Time counts
from the call to the written files, after imports; both read the archive with `read_items`, and mask, sign and compare with the same
functions, so the ratio is that of the two ways to organise the job (streaming batches here, Arrow tables there).
"""

import argparse
import io
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KNOBS: dict[str, Any] = {
    "max_bad_share": 0.02, "num_calibration": 64, "similarity": 0.7, "document_similarity": 0.8, "test_share": 0.2, "seed": 0,
}  # fmt: skip
SHARES = {"71875": 0.30, "71874": 0.23, "source": 0.02, "71859": 0.30, "71857": 0.12, "interview": 0.03}
_SYLLABLES = [chr(code) for code in range(0xAC00, 0xD7A4, 13)]
_MEANINGS = ["혈압 120/80 mmHg", "5 mg을 하루 2회", "J18.9", "Hb 9.8 g/dL", "3일 전부터", "@COMPANY의", "2024-01-02", "(급성)", "<br>"]
_PERSONAL = ["연락처는 010-1234-5678입니다.", "hong@example.com으로 보내 주세요.", "환자 홍길동(남/45)이 내원하였다."]


class Writer:
    """Items with the published lengths: stems of some 190 characters, passages of 700, interviews of nine turns."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = ["".join(self.rng.choices(_SYLLABLES, k=self.rng.randint(1, 4))) for _ in range(20_000)]

    def text(self, length: int) -> str:
        """Words, a few figures and marks, one text in 200 with personal data."""
        parts = [self.rng.choice(self.words) + self.rng.choice(["은", "을", "의", "에서", "", "다."]) for _ in range(length // 4)]
        if self.rng.random() < 0.7:
            parts.insert(len(parts) // 2, self.rng.choice(_MEANINGS))
        if self.rng.random() < 0.005:
            parts.append(self.rng.choice(_PERSONAL))
        return " ".join(parts)

    def question(self, number: int, domain: int) -> dict[str, Any]:
        """Half multiple choice, as in the medical sets."""
        stem = self.text(self.rng.choice([30, 90, 120]))
        if number % 2:
            options = [self.text(12) for _ in range(5)]
            answer = self.rng.randrange(5)
            listed = "  \n".join(f"{place}) {option}" for place, option in enumerate(options, 1))
            texts = {"q_type": 1, "question": f"{stem}?  \n{listed}", "answer": f"{answer + 1}) {options[answer]}"}
        else:
            texts = {"q_type": 3, "question": f"{stem}?", "answer": self.text(150)}
        return {"qa_id": number, "domain": domain, **texts}

    def school(self, number: int, prefix: str, texts: dict[str, str]) -> dict[str, Any]:
        """The three blocks of the school sets."""
        box = {"Type": "Bounding_Box", "Type_value": [[10, 10, 200, 60]]}
        blocks = [{"class_name": name, "class_info_list": [{**box, "text_description": text}]} for name, text in texts.items()]
        source = {"source_data_name": f"{prefix}_{number:06d}", "level_of_difficulty": "중", "types_of_problems": "객관식"}
        return {"raw_data_info": {"grade": "1학년"}, "source_data_info": source, "learning_data_info": blocks}

    def items(self, name: str, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """(member name, JSON object) of one set; one item in fifty copies another's text."""
        last: dict[str, Any] = {}
        for number in range(1, count + 1):
            match name:
                case "71875" | "71874":
                    row = self.question(number, 17 if name == "71875" else 5)
                    if number % 50 == 0 and last:
                        row = {**last, "qa_id": number}
                    last = row
                case "source":
                    row = {"c_id": f"TB_{number}", "domain": 17, "content": self.text(700)}
                case "71859":
                    first, second = self.rng.randint(2, 99), self.rng.randint(2, 9999)
                    texts = {"문항(텍스트)": f"${first}x+{second}={number}$일 때 {self.text(60)}?", "정답(텍스트)": f"${second}$"}
                    row = self.school(number, "S3_중등_1", {**texts, "해설(텍스트)": f"이항하면 $x={second}$이다. {self.text(60)}"})
                case "71857":
                    marked = [f"{mark} {self.text(12)}" for mark in "①②③④⑤"]
                    texts = {"지문": self.text(600), "문항": "윗글에 대한 설명으로 알맞은 것은?"}
                    row = self.school(number, "S2_중등_1", {**texts, "정답": marked[0], "오답": "\n".join(marked[1:])})
                case _:
                    pairs = [(self.text(44), self.text(65)) for _ in range(9)]
                    turns = [{"question_info": {"question_context": q}, "answer_info": [{"answer_context": a}]} for q, a in pairs]
                    row = {"interview_info": {"topic": {"topic": "소비자 이해"}}, "script": turns}
            yield f"{name}_{number:06d}.json", row


def write_archive(raw: Path, items: int, *, seed: int = 0) -> int:
    """One outer zip of zips by set and part, as the portal delivers; bytes of JSON in it."""
    folders = {
        "71875": "09.필수의료 의학지식 데이터", "71874": "08.전문 의학지식 데이터", "source": "09.필수의료 의학지식 데이터",
        "71859": "30.수학 교과 문제 풀이과정 데이터", "71857": "국어 교과 지문형 문제 데이터", "interview": "22.인터뷰 진행 멀티턴 데이터",
    }  # fmt: skip
    writer, total = Writer(seed), 0
    raw.mkdir(parents=True)
    counts = {name: round(items * share) for name, share in SHARES.items()}
    counts["71875"] += items - sum(counts.values())
    with zipfile.ZipFile(raw / "download.zip", "w", zipfile.ZIP_STORED) as outer:
        for name, count in counts.items():
            made = list(writer.items(name, count))
            tenth = 0 if name == "source" else len(made) // 10
            for part, rows in (("Training/TL", made[tenth:]), ("Validation/VL", made[:tenth])):
                if not rows:
                    continue
                buffer = io.BytesIO()
                with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as inner:
                    for member, row in rows:
                        data = json.dumps(row, ensure_ascii=False, indent=2).encode("utf-8-sig")
                        total += len(data)
                        inner.writestr(member, data)
                outer.writestr(f"{folders[name]}/{part}_{name}.zip", buffer.getvalue())
    return total


def ours(raw: Path, out: Path) -> int:
    """The stage itself."""
    from medllm.data.prepare import prepare_data

    return int(prepare_data(raw, out, **KNOBS)["items_read"])


def rows(raw: Path) -> Iterator[dict[str, str]]:
    """What `datasets` loads."""
    from medllm.data.intake import read_items
    from medllm.data.records import Record

    for item in read_items(raw):
        if isinstance(item, Record):
            yield {"id": item.id, "line": item.to_json()}


def work(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
    """What `datasets` maps."""
    from medllm.data.dedup import digest, exact_key, sketch
    from medllm.data.near import sign
    from medllm.data.pii import mask_record
    from medllm.data.records import parse_record

    records = [mask_record(parse_record(json.loads(line), where=""))[0] for line in batch["line"]]
    signatures = [b""] * len(records)
    for part in sign([sketch(record) for record in records]):
        for row, place in enumerate(part.items):
            signatures[place] = part.matrix[row].tobytes()
    return {
        "line": [record.to_json() for record in records],
        "split": [record.source_split for record in records],
        "key": [digest(exact_key(record)) for record in records],
        "signature": signatures,
    }


def with_datasets(raw: Path, out: Path, *, workers: int) -> int:
    """The same job on `datasets`: load, map mask and sign, sort, compare, filter, write; no leak gate and no report."""
    import datasets

    from medllm.data.dedup import sketch
    from medllm.data.near import Neighbours
    from medllm.data.records import parse_record

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_generator(rows, gen_kwargs={"raw": raw}, cache_dir=str(out / "cache")).map(
        work, batched=True, batch_size=256, num_proc=workers if workers > 1 else None
    )
    table = table.sort("id")
    near = Neighbours()
    for start in range(0, len(table), 256):
        batch = table[start : start + 256]
        made = [sketch(parse_record(json.loads(line), where="")) for line in batch["line"]]
        near.add(list(_signed_again(made, batch["signature"])), range(start, start + len(made)))
    splits, keys = table["split"], table["key"]
    test = {key for key, split in zip(keys, splits, strict=True) if split == "validation"}
    pairs = near.pairs(
        lambda number: sketch(parse_record(json.loads(table[number]["line"]), where="")), similarity=KNOBS["similarity"],
        document_similarity=KNOBS["document_similarity"], wanted=lambda low, high: True,
    )  # fmt: skip
    drop = {low if splits[low] == "train" else high for low, high in pairs if "train" in (splits[low], splits[high])}
    seen: set[bytes] = set()

    def keep(row: dict[str, Any], number: int) -> bool:
        known = row["key"] in seen or (row["split"] == "train" and row["key"] in test)
        seen.add(row["key"])
        return not known and number not in drop

    kept = table.filter(keep, with_indices=True)
    for split in ("train", "validation"):
        part = kept.filter(lambda row, split=split: row["split"] == split).select_columns(["line"])
        part.to_json(out / f"{split}.jsonl", force_ascii=False)
    return len(table)


def _signed_again(sketches: list[Any], signatures: list[bytes]) -> Iterator[Any]:
    import numpy as np

    from medllm.data.near import Signed

    for kind in ("stem", "document"):
        own = [(place, made) for place, made in enumerate(sketches) if made is not None and made.kind == kind]
        rows = [np.frombuffer(signatures[place], dtype=np.uint32) for place, _ in own]
        matrix = np.stack(rows) if rows else np.empty((0, 128), dtype=np.uint32)
        blocks = [int.from_bytes(made.block.encode()[:8].ljust(8, b"\0"), "little") for _, made in own]
        yield Signed(kind=kind, items=[place for place, _ in own], blocks=blocks, matrix=matrix)


def measure(way: str, raw: Path, workers: int) -> None:
    """One run in this process; prints items, seconds and MB (children are counted with the largest of them)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        if way == "ours":
            import medllm.data.prepare
        else:
            out.mkdir()
            import datasets  # noqa: F401

            import medllm.data.near  # noqa: F401
        start = time.perf_counter()
        import throughput  # by name, so that datasets can send its functions to other processes

        items = ours(raw, out) if way == "ours" else throughput.with_datasets(raw, out, workers=workers)
        seconds = time.perf_counter() - start
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak, cpu = sum(used.ru_maxrss for used in usage) / 1024, sum(used.ru_utime + used.ru_stime for used in usage)
    print(json.dumps({"items": items, "seconds": seconds, "peak_mb": peak, "cpu_seconds": cpu}))  # noqa: T201


def main() -> None:
    """Build the archive, take turns, print medians with their spread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of datasets.map")
    parser.add_argument("--one", choices=["ours", "datasets"])
    parser.add_argument("--raw", type=Path)
    options = parser.parse_args()
    if options.one:
        measure(options.one, options.raw, options.workers)
        return
    folder = Path(tempfile.mkdtemp())
    try:
        size = write_archive(folder / "raw", options.items)
        print(f"{options.items} items, {size / 2**20:.1f} MiB of JSON, {size / options.items:.0f} bytes an item")  # noqa: T201
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "datasets": []}
        for _ in range(options.rounds):
            for way, rows in runs.items():
                command = [sys.executable, __file__, "--one", way, "--raw", str(folder / "raw"), "--workers", str(options.workers)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
        for way, rows in runs.items():
            rates = [row["items"] / row["seconds"] for row in rows]
            print(  # noqa: T201
                f"{way}: {statistics.median(rates):,.0f} items/s ({min(rates):,.0f} to {max(rates):,.0f}), "
                f"{statistics.median(row['cpu_seconds'] for row in rows):.1f} CPU seconds with start-up, "
                f"peak {max(row['peak_mb'] for row in rows):.0f} MB"
            )
        ratios = [other["seconds"] / own["seconds"] for own, other in zip(runs["ours"], runs["datasets"], strict=True)]
        print(f"ratio datasets.map / ours: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")  # noqa: T201
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
