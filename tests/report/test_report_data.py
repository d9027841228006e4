"""The data section: the accounting is checked again, nothing is shown that was not counted, and page and Markdown say the same."""

import re
from collections.abc import Callable
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest

from medllm.data import paraphrase
from medllm.data.describe import Written, describe
from medllm.data.pii import LABELS, PII_DUTY
from medllm.data.records import Kind, Record, Role
from medllm.data.scenarios import OutcomeKind
from medllm.data.split import LEAK_REASONS, Decision
from medllm.data.staging import take_batch
from medllm.data.tally import Tally
from medllm.errors import UserError
from medllm.report import data_words, notices, write_report
from medllm.report.data_parts import data_parts
from medllm.report.data_pictures import mix_svg, mixes, positions_svg
from medllm.report.knowledge_part import knowledge_part
from medllm.report.parts import Grid, Part

Change = Callable[[dict[str, Any]], Any]


def _part(parts: list[Part], title: str) -> Part:
    (found,) = [part for part in parts if part.title == title]
    return found


def _cells(grid: Grid) -> dict[str, list[str]]:
    return {row.label: list(row.cells) for row in grid.table.rows}


def _named(part: Part, title: str) -> dict[str, list[str]]:
    (found,) = [grid for grid in part.grids if grid.title == title]
    return _cells(found)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, make_inputs: Any) -> Path:
    """The report of the untouched fixture."""
    folder = tmp_path_factory.mktemp("data_section")
    write_report(folder / "report", **make_inputs(folder))
    return folder / "report"


@pytest.fixture
def prepared(inputs: dict[str, Any]) -> dict[str, Any]:
    return dict(inputs["prepared"])


def test_accounting_of_sets_and_archives(prepared: dict[str, Any]) -> None:
    part = data_parts(prepared, sample=False)[0]
    reasons = "거의 같은 글 5, 중복 4, 평가 항목과 같은 지문 4, 빈 값 (question) 2"
    whole = "거의 같은 글 5, 평가 항목의 사본 4, 중복 4, 평가 항목과 같은 지문 4, 빈 값 (question) 2, JSON이 아님 1"
    assert _cells(part.grids[0]) == {
        "전문 의학지식": ["150", "135", "15", "2", reasons, "13,758 문항 (1.0 %)", "높음"],
        "house": ["50", "45", "5", "1", "평가 항목의 사본 4, JSON이 아님 1", "-", "-"],
        "합계": ["200", "180", "20", "3", whole, "-", "-"],
    }
    assert [len(grid.table.rows) for grid in part.folded] == [2, 1]
    assert _cells(part.folded[0])["x / VL_1.zip"] == ["50", "44", "6", "0", "평가 항목과 같은 지문 4, 거의 같은 글 2"]
    assert ".png 12개" in part.note


UNBALANCED: dict[str, tuple[Change, str]] = {
    "an item of a set is lost": (lambda r: r["sets"]["house"].update(kept=44), "sets.house: 50 read, but 44 kept"),
    "an item of an archive is lost": (lambda r: r["archives"]["house"][""].update(read=51), "archives.house"),
    "more bad than dropped": (lambda r: r["sets"]["house"].update(bad=6), "6 of them bad"),
    "archives are not the set": (lambda r: r["archives"]["aihub_71874"].pop("a.zip!x/VL_1.zip"), "its parts add up to 100"),
    "sets are not the whole": (lambda r: r.update(items_read=210, items_kept=190), "items_read: read is 210"),
    "reasons changed places": (
        lambda r: r["archives"]["house"][""].update(dropped={"copy_of_test_item": 1, "not_json": 4}),
        "4 dropped as copy_of_test_item, but its parts add up to 1",
    ),
    "a negative count": (lambda r: r["sets"]["house"]["dropped"].update(not_json=-1), "'not_json' is -1"),
}


@pytest.mark.parametrize("case", UNBALANCED)
def test_a_lost_item_is_refused(prepared: dict[str, Any], case: str) -> None:
    change, message = UNBALANCED[case]
    change(prepared)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        data_parts(prepared, sample=True)
    assert "\n" not in str(error.value)


USED = (
    "items_read", "items_bad", "corpus_records", "duplicates", "near_duplicates", "pii_hits", "other_files", "sets", "archives", "dropped",
    "published", "counts", "by_set_kind_split", "split_by_hash", "mix", "lengths", "clusters", "pii_by_set", "held_out", "leakage",
    "paraphrases", "answer_positions", "best_constant_guess",
)  # fmt: skip


@pytest.mark.parametrize("key", USED)
def test_metrics_of_an_older_version_are_one_error(prepared: dict[str, Any], key: str) -> None:
    del prepared[key]
    with pytest.raises(UserError, match=rf"prepare_data\.json.*{key}.*again \(dvc repro\)"):
        data_parts(prepared, sample=False)


@pytest.mark.parametrize(
    ("file", "key"), [("knowledge", "reviewed"), ("knowledge", "term_coverage"), ("knowledge", "agreement"), ("sample", "scenarios")]
)
def test_knowledge_of_an_older_version_is_one_error(inputs: dict[str, Any], file: str, key: str) -> None:
    del inputs[file][key]
    with pytest.raises(UserError, match=rf"\.json: .*{key}.*again \(dvc repro\)"):
        knowledge_part(inputs["knowledge"], inputs["sample"])


def test_what_prepare_data_describes_can_be_shown() -> None:
    """A whole set of keys straight from describe()."""
    shared: dict[str, Any] = {"dataset": "aihub_71874", "kind": "qa", "question": "질문", "answer": "답변"}
    train = Record(id="1", role="medical", source_split="train", **shared)
    test = Record(id="2", role="distillation", source_split="validation", held_out="form", fact_id="f", **shared)
    tally = Tally(quarantine=StringIO())
    tally.read["aihub_71874", "a.zip"] = 3
    tally.kept["aihub_71874", "a.zip"] = 2
    tally.drop("aihub_71874", "a.zip", "duplicate")
    decision = Decision(parts=["train", "validation"], clusters=["", ""], dropped={}, hashed=[])
    counts = {"corpus": 0, "train": 1, "test": 1, "calibration": 0}
    written = Written(counts=counts, gates={"gate": (2, 0)}, paraphrases=paraphrase.Suspicion(pairs=0, checked=0, suspected=0))
    notes = take_batch([train, test]).notes
    report = describe(notes=notes, decision=decision, written=written, tally=tally, pii={}, unused_key_rows=0)
    parts = data_parts(report, sample=False)
    assert _cells(parts[0].grids[0])["합계"][:4] == ["3", "2", "1", "0"]
    assert "정답의 자리" not in [part.title for part in parts], "there is no multiple choice"
    assert _cells(_part(parts, "누출 검사").grids[0])["gate"] == ["2", "0", "통과"]
    assert mix_svg(mixes(report)).startswith("<svg ")


def test_mix_is_held_against_the_brief(prepared: dict[str, Any]) -> None:
    part = _part(data_parts(prepared, sample=False), "역할별 비율")
    assert _cells(part.grids[0])["증류"] == ["50", "2,500", "25.0 %", "30 %", "-5.0 %p"]
    assert mixes(prepared)["goal of the brief"] == {"baseline_check": 0.2, "distillation": 0.3, "medical": 0.5}


def test_lengths_stand_beside_the_counts(prepared: dict[str, Any]) -> None:
    part = _part(data_parts(prepared, sample=False), "길이")
    assert _cells(part.grids[0])["전문 의학지식 · 객관식"] == ["60", "35", "48", "74", "117"]
    assert "house" in part.note


def test_gates_say_what_was_checked(prepared: dict[str, Any]) -> None:
    prepared["leakage"]["held_out_facts_in_training_texts"] = {"checked": 0, "found": 0}
    prepared["leakage"]["test_items_in_training_texts"]["found"] = 1
    part = _part(data_parts(prepared, sample=False), "누출 검사")
    assert [list(row.cells) for row in part.grids[0].table.rows] == [
        ["0", "0", "해당 없음"], ["130", "1", "누출"], ["60", "60", "설계에 따름"], ["20 / 25", "2", "살펴볼 것"],
    ]  # fmt: skip
    assert _named(part, "누출을 막으려고 학습에서 뺀 항목") == {"평가 항목의 사본": ["4"], "평가 항목과 같은 지문": ["4"]}
    assert "재현율은 0.30" in part.note


@pytest.mark.parametrize(("sample", "owes"), [(False, True), (True, False)])
def test_personal_data_in_an_ai_hub_set_must_be_reported(prepared: dict[str, Any], sample: bool, owes: bool) -> None:
    part = _part(data_parts(prepared, sample=sample), "개인정보")
    assert _cells(part.grids[0]) == {"전문 의학지식": ["8", "전화번호 7, 이름 1"], "house": ["1", "이름 1"]}
    assert (part.duty == f"전문 의학지식: {notices.PII_DUTY}") is owes
    del prepared["pii_by_set"]["aihub_71874"]
    assert _part(data_parts(prepared, sample=False), "개인정보").duty == ""


def test_constant_guess_stands_beside_chance(prepared: dict[str, Any]) -> None:
    part = _part(data_parts(prepared, sample=False), "정답의 자리")
    assert _cells(part.grids[0])["전문 의학지식 · 학습"] == ["60", "33.3 %", "20.0 %"]
    picture = positions_svg(prepared["answer_positions"])
    assert picture == positions_svg(prepared["answer_positions"])
    assert picture.replace("\N{MINUS SIGN}", "-").isascii()
    assert "aihub_71874/train (n=60)" in picture
    assert "33.3 %" in picture


def test_knowledge_is_counted(inputs: dict[str, Any]) -> None:
    part = knowledge_part(inputs["knowledge"], inputs["sample"])
    assert "647행 가운데 의료 전문가가 검토한 것은 0행" in part.text
    assert _named(part, "표의 크기와 검토")["질환"] == ["399", "0 / 399"]
    assert _named(part, "출처의 종류") == {"법령": ["45"], "작성자의 일반 지식": ["602"], "합계": ["647"]}
    agreement = {"질환: 진료과": ["120", "25.0 %", "92.5 %", "0.91", "2"], "용어: 표준 용어": ["60", "80.0 %", "90.0 %", "-", "0"]}
    assert _named(part, "두 번째로 따로 적은 것과의 일치") == agreement
    assert _named(part, "상담 시나리오의 결과") == {"119 신고": ["12"], "진료과 안내": ["31"], "집에서 돌봄": ["5"], "합계": ["48"]}
    assert "1,229개 가운데 890개(72.4 %)" in part.note


def test_what_is_absent_by_right_leaves_no_trace(tmp_path: Path, inputs: dict[str, Any]) -> None:
    """Other data than the sample: no scenarios; no second pass, no source types, no choice, no hits: no headings either."""
    for row in inputs["compare"]["models"].values():
        row["metrics"] = {key.removeprefix("sample_"): value for key, value in row["metrics"].items()}
    del inputs["knowledge"]["sources_by_type"]
    inputs["knowledge"]["agreement"] = {}
    inputs["knowledge"]["term_coverage"]["missing_by_kind"] = {}
    inputs["prepared"] |= {"answer_positions": {}, "best_constant_guess": {}, "pii_by_set": {}, "pii_hits": 0, "split_by_hash": []}
    write_report(tmp_path / "report", **inputs | {"sample": None})
    page, twin = ((tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    assert not (tmp_path / "report" / "positions.svg").exists()
    for word in ("시나리오", "두 번째로", "출처의 종류", "정답의 자리", "학습 글에 없는 용어", "종류별", "해시에 따라", "positions.svg"):
        assert word not in page, word
        assert word not in twin, word


def test_page_and_twin_say_the_same(written: Path, inputs: dict[str, Any]) -> None:
    page, twin = ((written / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    page = unescape(page)
    parts = [*data_parts(inputs["prepared"], sample=True), knowledge_part(inputs["knowledge"], inputs["sample"])]
    assert len(parts) == 8
    for part in parts:
        for text in (part.title, part.text, part.note, *(caption for _, caption in part.pictures)):
            assert text in page
            assert text in twin
        for row in (row for grid in (*part.grids, *part.folded) for row in grid.table.rows):
            assert " | ".join(row.cells) in twin
            assert row.label in page
        for name, _ in part.pictures:
            assert f"({name}.svg)" in twin
            assert (written / f"{name}.svg").is_file()


def test_cells_of_stacked_tables_carry_their_heads(written: Path) -> None:
    """On a phone the row of heads is hidden."""
    page = (written / "index.html").read_text(encoding="utf-8")
    stacked = re.findall(r'<div class="scroll stacked" tabindex="0">.*?</div>', page, re.DOTALL)
    assert len(stacked) >= 5
    for table in stacked:
        heads = re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", table)[1:]
        for row in re.findall(r"<tr[^>]*><th scope=\"row\">.*?</tr>", table):
            assert re.findall(r'data-head="(.*?)"', row) == heads


def test_words_cover_the_codes_of_the_data_package() -> None:
    assert data_words.KINDS.keys() == set(get_args(Kind))
    assert data_words.ROLES.keys() == set(get_args(Role))
    assert data_words.PII_KINDS.keys() == LABELS.keys()
    assert data_words.OUTCOMES.keys() == set(get_args(OutcomeKind))
    assert set(LEAK_REASONS) <= data_words.REASONS.keys()


def test_sentences_are_those_of_the_data_package() -> None:
    assert PII_DUTY.endswith(notices.PII_DUTY)
    measured = f"recall {notices.PARAPHRASE_RECALL:.2f} and precision {notices.PARAPHRASE_PRECISION:.2f}"
    assert measured in " ".join(str(paraphrase.__doc__).split())
