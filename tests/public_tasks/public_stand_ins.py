"""Stand-ins for the public data sets: written for these tests, in the columns of the published files."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

LICENCE: Rows = [  # sean0042/KorMedMCQA
    {
        "subject": "doctor", "year": 2020, "period": 1, "q_number": number, "question": f"{disease}에 먼저 권하는 것은?",
        "A": "휴식", "B": "수분", "C": "운동", "D": "진료", "E": "금식", "answer": answer, "cot": "",
    }
    for number, (disease, answer) in enumerate([("감기", 1), ("탈수", 2), ("고혈압", 3), ("흉통", 4), ("위염", 5)], 1)
]  # fmt: skip
SUBJECT: Rows = [  # HAERAE-HUB/KMMLU
    {"question": f"{a} + {b}는 얼마인가?", "answer": a, "A": f"{b + 1}개", "B": f"{b + 2}개", "C": f"{b + 3}개", "D": f"{b + 4}개",
     "Category": "Health", "Human Accuracy": None}
    for a, b in [(1, 4), (2, 5), (3, 6), (4, 7)]
]  # fmt: skip
BOOLQ: Rows = [  # skt/kobest_v1
    {"paragraph": f"{food}은 신맛이 난다.", "question": "신맛이 나는가?", "label": label}
    for food, label in [("레몬", 1), ("식초", 1), ("꿀", 0), ("설탕", 0)]
]
ENDINGS: Rows = [
    {"context": f"아이가 {thing}을 본다.", "label": at, **{f"ending_{n}": f"{n}번" for n in range(1, 5)}}
    for at, thing in enumerate(["꽃", "강", "산", "별"])
]
WORDS: Rows = [  # HAERAE-HUB/HAE_RAE_BENCH
    {"query": f"다음 중 {word}의 뜻은?\n(A) 물\n(B) 불\n(C) 흙\n(D) 쇠\n(E) 나무\n정답:", "answer": answer}
    for word, answer in [("수", "(A)"), ("화", "(B)"), ("토", "(C)"), ("금", "(D)"), ("목", "(E)")]
]
FILES: dict[str, Rows] = {
    "KorMedMCQA/doctor/test.jsonl": LICENCE,
    "KorMedMCQA/doctor/fewshot.jsonl": LICENCE[:2],
    "KMMLU/Health/test.csv": SUBJECT,
    "KMMLU/Health/dev.csv": SUBJECT[:3],
    "kobest_v1/boolq/train.jsonl": BOOLQ,
    "kobest_v1/boolq/test.jsonl": BOOLQ,
    "kobest_v1/hellaswag/train.jsonl": ENDINGS,
    "kobest_v1/hellaswag/test.jsonl": ENDINGS,
    "HAE_RAE_BENCH/loan_words/test.parquet": WORDS,
}
TASKS = ("kormedmcqa_doctor", "kmmlu_health", "kobest_boolq", "kobest_hellaswag", "haerae_loan_word")


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)


def with_bos(folder: Path, target: Path) -> Path:
    """A copy whose tokenizer puts a token before every text, as those of Llama and Gemma do."""
    shutil.copytree(folder, target)
    path = target / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    eos = "<|endoftext|>"
    number = next(token["id"] for token in tokenizer["added_tokens"] if token["content"] == eos)
    template = [{"SpecialToken": {"id": eos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {eos: {"id": eos, "ids": [number], "tokens": [eos]}}
    tokenizer["post_processor"] = {"type": "TemplateProcessing", "single": template, "pair": template, "special_tokens": special}
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    return target
