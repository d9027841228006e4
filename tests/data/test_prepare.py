import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medllm.data.canary import CANARY_PREFIX, find_canary
from medllm.data.dedup import stem_grams
from medllm.data.minhash import jaccard
from medllm.data.pii import PII_DUTY
from medllm.data.prepare import prepare_data
from medllm.data.records import Record, read_records
from medllm.data.sample.archives import write_archives
from medllm.data.sample.items import InterviewItem, Item, MathsItem, PassageItem, QaItem, Statement
from medllm.errors import UserError

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


def test_every_archive_shape_round_trips(tmp_path: Path) -> None:
    items = list(sample())
    assert write_archives(tmp_path / "raw", items) == {
        "aihub_71857": 4, "aihub_71859": 5, "aihub_71874": 13, "aihub_71875": 13, "aihub_interview": 2,
    }  # fmt: skip
    names = {path.name for path in (tmp_path / "raw").rglob("*") if path.is_file()}
    assert {
        "TL_내과.zip",
        "VL_내과.zip",
        "TS_국문_기타.zip",
        "08.전문 의학지식 데이터.zip",
        "TL_05_중1_주관식.zip.part0",
        "TL_05_중1_주관식.zip.part1",
    } <= names
    assert {"S2_중등_1_000000.json", "TS_소비자_이해.zip", "key.jsonl"} <= names

    report, files = prepare(tmp_path, items)
    assert [record.role for record in files["calibration"]] == ["distillation", "medical"] * 3
    assert {name: row["read"] for name, row in report["sets"].items()} == {
        "aihub_71857": 4, "aihub_71859": 5, "aihub_71874": 13, "aihub_71875": 13, "aihub_interview": 2,
    }  # fmt: skip
    assert report["dropped"] == {"no_solution": 1}
    assert report["key_rows_unused"] == 1
    kinds = {name: sorted({record.kind for record in records}) for name, records in files.items()}
    assert kinds["corpus"] == ["dialogue", "passage_choice", "solution", "statement"]
    assert kinds["train"] == ["choice", "qa", "solution"]
    assert kinds["test"] == ["dialogue", "passage_choice", "qa", "solution"]
    assert {name: len(records) for name, records in files.items()} == {
        "corpus": 6 + 3 + 3 + 1,
        "train": 12 + 3,
        "test": 8 + 1 + 1 + 1,
        "calibration": 6,
    }
    assert (tmp_path / "out" / "quarantine.jsonl").read_text(encoding="utf-8") == ""
    assert report["held_out"] == {
        "facts_trained": 6, "facts_with_held_out_form": 6, "facts_held_out": 2, "items_held_out_form": 6, "items_held_out_fact": 2,
    }  # fmt: skip


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    _, files = prepare(tmp_path, list(sample()))
    by_id = {record.id: record for record in (*files["train"], *files["test"])}
    choice = by_id["aihub_71875:900012"]
    assert choice.options[choice.answer_index or 0] == choice.answer == "호흡기과"
    assert (choice.fact_id, choice.must, choice.department, choice.redistributable) == ("department:1", ("호흡기과",), "내과", True)
    assert choice.licence == "Apache-2.0 (written for medllm)"
    problem = by_id["aihub_71859:S3_중등_2_000001"]
    assert problem.options == ("$1$", "$2$", "$3$", "$4$", "$5$")
    assert problem.answer == "이항하면 $x=1$이다.\n정답: $1$"
    passage = by_id["aihub_71857:S2_중등_1_000003"]
    assert (passage.answer, passage.answer_index, passage.options) == ("라", 3, ("가", "나", "다", "라", "마3"))
    texts = {record.id: record.text for record in files["corpus"]}
    assert texts["aihub_71859:S3_중등_2_000001"] == "$x+1=2$의 해는? 이항하면 $x=1$이다.\n정답: $1$"
    assert "@COMPANY의" in texts["aihub_interview:itv_0"]
    assert all(record.text and not record.question for record in files["corpus"])


def test_every_item_is_kept_or_has_a_reason(tmp_path: Path) -> None:
    copied = qa(999_001, 0, "고혈압 때문에  갈 곳은 어디입니까?", split="train")
    report, files = prepare(tmp_path, [*sample(), copied])
    for row in report["sets"].values():
        assert row["read"] == row["kept"] + sum(row["dropped"].values())
    assert report["items_read"] == report["items_kept"] + report["items_dropped"] == 38
    assert report["dropped"] == {"duplicate": 1, "no_solution": 1}
    written = {record.id for name in ("corpus", "train", "test") for record in files[name]}
    assert len(written) == report["items_kept"]


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_items_same_bytes_in_any_order(tmp_path: Path) -> None:
    items = list(sample())
    for name, order in (("a", items), ("b", items[::-1])):
        prepare(tmp_path / name, order)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    before = digest(tmp_path / "a")
    prepare(tmp_path / "a", items)  # over what is there
    assert digest(tmp_path / "a") == before


@pytest.mark.parametrize(
    ("fact", "question", "changes", "reason"),
    [
        (0, "고혈압이라는 병을 맡는 데를 알려 주세요", {}, "copy_of_test_item"),
        (0, "고혈압이라는병을 맡는 데를 알려주세요!", {}, "near_duplicate_of_test_question"),
        (0, "고혈압이라는 병을 맡는 데를 알려 줘요", {}, "near_duplicate_of_test_question"),
        (6, "건선 진료를 보는 병원은요?", {}, "held_out_fact"),
    ],
)
def test_items_that_give_a_test_away_are_dropped(tmp_path: Path, fact: int, question: str, changes: dict[str, Any], reason: str) -> None:
    report, files = prepare(tmp_path, [*sample(), qa(999_001, fact, question, split="train", **changes)])
    assert report["dropped"] == {"no_solution": 1, reason: 1}
    assert "999001" not in " ".join(record.id for record in (*files["train"], *files["corpus"]))


@pytest.mark.parametrize(("similarity", "kept"), [(0.7, False), (0.9, True)])
def test_a_test_question_in_text_counts_whatever_fact_it_is_about(tmp_path: Path, similarity: float, kept: bool) -> None:
    wording = "{}이라는 병을 맡는 데를 알려 주세요"
    assert 0.7 < jaccard(stem_grams(wording.format("고혈압")), stem_grams(wording.format("저혈압"))) < 0.9
    other = qa(999_001, 0, wording.format("저혈압"), split="train", key={"fact_id": "department:99"})
    report, files = prepare(tmp_path, [*sample(), other], similarity=similarity)
    assert report["dropped"] == {"no_solution": 1, **({} if kept else {"near_duplicate_of_test_question": 1})}
    assert any(record.id.endswith(":999001") for record in files["train"]) is kept


def test_questions_on_the_passage_of_a_test_question_leave_the_corpus(tmp_path: Path) -> None:
    last = [item for item in sample() if isinstance(item, PassageItem)]
    more = [
        replace(last[3], item_id="S2_중등_1_000900", question="다른 물음?", split="train"),
        replace(last[0], item_id="S2_중등_1_000901", question="다른 물음?", split="train"),
    ]
    report, files = prepare(tmp_path, [*sample(), *more])
    assert report["sets"]["aihub_71857"]["dropped"] == {"passage_of_test_item": 1, "passage_twice": 1}
    assert not any("빈혈 이야기" in record.text for record in files["corpus"])


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("건선 진료는 피부과에서 합니다.", True),
        ("팔꿈치에 건선이 생겨 피부과에 갔다.", True),
        ("건선이 있다. 그리고 피부과도 있다.", False),  # not in one sentence
        ("농포건선증은 피부과에서 본다.", False),  # another word
        ("건선은 흔하다.", False),
    ],
)
def test_no_training_text_may_state_a_held_out_fact(tmp_path: Path, text: str, leaks: bool) -> None:
    items = [*sample(), Statement(c_id="TB_1", dataset="aihub_71875", department="내과", domain=17, content=text, key={})]
    if not leaks:
        assert prepare(tmp_path, items)[0]["items_dropped"] == 1
        return
    with pytest.raises(UserError, match=r"aihub_71875:TB_1: .*held-out fact department:6"):
        prepare(tmp_path, items)
    assert not (tmp_path / "out").exists()


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


def test_without_a_key_nothing_may_be_passed_on(tmp_path: Path) -> None:
    write_archives(tmp_path / "raw", sample())
    (tmp_path / "raw" / "key.jsonl").unlink()
    prepare_data(tmp_path / "raw", tmp_path / "out", **KNOBS)
    records = list(read_records(tmp_path / "out" / "train.jsonl"))
    assert records
    assert not any(record.redistributable or record.fact_id for record in records)


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


def test_personal_data_are_masked_and_counted(tmp_path: Path) -> None:
    report, files = prepare(tmp_path, [*sample(), qa(999_001, 0, "010-1234-5678로 전화하면 됩니까?", split="train")])
    assert report["pii"] == {"phone": 1}
    assert any(record.question == "[전화번호]로 전화하면 됩니까?" for record in files["train"])


def test_an_ai_hub_set_with_personal_data_brings_the_duty_to_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = [*sample(), qa(999_001, 0, "010-1234-5678로 전화하면 됩니까?", split="train")]
    prepare(tmp_path / "ours", items)  # written for medllm: may be passed on, no duty
    assert not caplog.records
    write_archives(tmp_path / "raw", items)
    (tmp_path / "raw" / "key.jsonl").unlink()
    prepare_data(tmp_path / "raw", tmp_path / "out", **KNOBS)
    assert [record.getMessage() for record in caplog.records] == [f"aihub_71874: {PII_DUTY}"]


def test_the_report_counts_and_shows_no_text(tmp_path: Path) -> None:
    items = [*sample(), qa(999_001, 0, "010-1234-5678로 전화하면 됩니까?", split="train")]
    report, files = prepare(tmp_path, items)
    assert report["pii_by_set"] == {"aihub_71874": {"phone": 1}}
    assert report["published"]["aihub_71875"]["read"] == 10  # without its three source texts
    assert report["leakage"] == {
        "test_items_in_training_texts": {"checked": 29, "found": 0},
        "held_out_facts_in_training_texts": {"checked": 29, "found": 0},
        "held_out_forms_of_trained_facts_by_design": {"checked": 6, "found": 6},
    }
    choices = [record for record in files["train"] if record.kind == "choice" and record.dataset == "aihub_71875"]
    lengths = sorted(len(record.question) + len("".join(record.options)) + len(record.answer) for record in choices)
    assert report["lengths"]["aihub_71875/choice"] == dict(zip(("p5", "p50", "p95"), lengths, strict=True))
    assert report["best_constant_guess"]["aihub_71857/train"] == pytest.approx(1 / 3, abs=1e-3)
    flat = json.dumps(report, ensure_ascii=False)
    assert not any(text in flat for text in ("고혈압", "호흡기과", "010-1234"))


def test_chats_are_split_by_cluster_and_written(tmp_path: Path) -> None:
    write_archives(tmp_path / "raw", sample())
    rng, words = random.Random(0), DISEASES[:6] + PLACES[:6]
    rows = [
        {"messages": [{"role": role, "content": " ".join(rng.choices(words, k=6))} for role in ("user", "assistant") * 2]}
        for _ in range(30)
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (tmp_path / "raw" / "talk.jsonl").write_text("".join(lines), encoding="utf-8")
    report = prepare_data(tmp_path / "raw", tmp_path / "out", **{**KNOBS, "similarity": 1.0})
    files = {name: list(read_records(tmp_path / "out" / f"{name}.jsonl")) for name in ("train", "test", "calibration", "corpus")}
    chats = {name: [record for record in own if record.kind == "chat"] for name, own in files.items()}
    assert len(chats["train"]) + len(chats["test"]) == 30
    assert 0 < len(chats["test"]) < 15
    assert {record.source_split for record in chats["test"]} == {"validation"}
    assert not chats["calibration"]
    assert not chats["corpus"]
    assert report["split_by_hash"] == sorted({record.dataset for record in chats["train"]})


def test_the_second_process_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [*sample(), *(qa(999_000 + number, 0, f"{number}번째로 묻는 것은 무엇입니까?", split="train") for number in range(60))]
    monkeypatch.setattr("medllm.data.prepare._BATCH", 3)
    monkeypatch.setattr("medllm.data.gates._BATCH", 3)
    for name, start in (("one", 10**6), ("two", 1)):
        monkeypatch.setattr("medllm.data.parallel._START_AFTER", start)
        prepare(tmp_path / name, items)
    assert digest(tmp_path / "one" / "out") == digest(tmp_path / "two" / "out")


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


@pytest.mark.parametrize("folder", [False, True])
def test_a_canary_is_found_wherever_it_turns_up(tmp_path: Path, folder: bool) -> None:
    clean, leaked = tmp_path / "metrics.json", tmp_path / "deep" / "mlflow.db"
    clean.write_text('{"canary": 1}', encoding="utf-8")
    leaked.parent.mkdir()
    leaked.write_bytes(b"\0" * ((1 << 20) - 5) + CANARY_PREFIX.upper().encode() + b"x1\0")  # over the border of two chunks
    assert find_canary([tmp_path] if folder else [clean, leaked, tmp_path / "missing"]) == [leaked]
