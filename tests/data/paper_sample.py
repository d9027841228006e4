"""A handful of items of every set, and data/prepared made of them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medllm.data.prepare import prepare_data
from medllm.data.records import Record, read_records
from medllm.data.sample.archives import write_archives
from medllm.data.sample.items import InterviewItem, Item, MathsItem, PassageItem, QaItem, Statement

KNOBS: dict[str, Any] = {
    "max_bad_share": 0.0, "num_calibration": 6, "seed": 0, "similarity": 0.7, "document_similarity": 0.8, "test_share": 0.2,
}  # fmt: skip
DISEASES = ["고혈압", "천식", "위염", "빈혈", "백내장", "중이염", "건선", "담석증"]
PLACES = ["순환기과", "호흡기과", "소화기과", "혈액과", "안과", "이비인후과", "피부과", "외과"]


def qa(item_id: int, fact: int, question: str, *, split: str, held_out: str = "", choice: bool = False, **changes: Any) -> QaItem:
    subject, answer = DISEASES[fact], PLACES[fact]
    context = [f"{subject} 진료는 {answer}에서 합니다."]
    key = {"fact_id": f"department:{fact}", "held_out": held_out, "must": [answer], "subject": subject, "context": context}
    values: dict[str, Any] = {
        "item_id": item_id, "dataset": "aihub_71875" if fact % 2 else "aihub_71874", "split": split, "department": "내과",
        "domain": 17 if fact % 2 else 4, "q_type": 1 if choice else 2, "question": question,
        "options": (PLACES[(fact + 3) % 8], answer, *(PLACES[(fact + step) % 8] for step in (1, 2, 4))) if choice else (),
        "answer": answer if choice else f"{answer}입니다.", "key": key,
    }  # fmt: skip
    return QaItem(**{**values, **changes})


def sample() -> Iterator[Item]:
    """Six trained facts, two held out (6 and 7), five problems of which one has no solution, four passages, two interviews."""
    for fact in range(8):
        subject, answer = DISEASES[fact], PLACES[fact]
        number = 900_000 + 10 * fact
        trained = fact < 6
        if trained:
            text = f"{subject} 환자는 {answer}에서 봅니다."
            yield Statement(
                c_id=f"TB_{number}", dataset="aihub_71875" if fact % 2 else "aihub_71874", department="내과", domain=17, content=text,
                key={"fact_id": f"department:{fact}"},
            )  # fmt: skip
            yield qa(number + 1, fact, f"{subject} 때문에 갈 곳은 어디입니까?", split="train")
            yield qa(number + 2, fact, f"다음 중 {subject} 환자를 보는 과는?", split="train", choice=True)
        yield qa(
            number + 3, fact, f"{subject}이라는 병을 맡는 데를 알려 주세요", split="validation", held_out="form" if trained else "fact"
        )
    for number in range(5):
        options = tuple(f"${number + step}$" for step in range(5)) if number % 2 else ()
        yield MathsItem(
            item_id=f"S3_중등_{number % 3 + 1}_{number:06d}", grade="", question=f"$x+{number}={2 * number}$의 해는?", answer=f"${number}$",
            solution="" if number == 2 else f"이항하면 $x={number}$이다.", options=options, answer_mark="①" if options else "",
            split="validation" if number == 4 else "train",
        )  # fmt: skip
    for number in range(4):
        yield PassageItem(
            item_id=f"S2_중등_1_{number:06d}", grade="중1", passage=f"{DISEASES[number]} 이야기가 적힌 긴 글이다.", question="알맞은 것은?",
            options=("가", "나", "다", "라", f"마{number}"), answer_index=number, explanation="글에 있다.",
            split="validation" if number == 3 else "train",
        )  # fmt: skip
    for number in range(2):
        script = ((f"{number}번 질문입니까?", ("예, @company의 것입니다.", "아니요.")), ("또 있습니까?", ("없습니다.",)))
        yield InterviewItem(item_id=f"itv_{number}", topic="소비자 이해", script=script, split=("train", "validation")[number])  # type: ignore[arg-type]


def prepare(tmp_path: Path, items: list[Item], **knobs: Any) -> tuple[dict[str, Any], dict[str, list[Record]]]:
    write_archives(tmp_path / "raw", items)
    report = prepare_data(tmp_path / "raw", tmp_path / "out", **{**KNOBS, **knobs})
    return report, {name: list(read_records(tmp_path / "out" / f"{name}.jsonl")) for name in ("corpus", "train", "test", "calibration")}


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
