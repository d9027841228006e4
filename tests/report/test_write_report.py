import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from medllm.errors import UserError
from medllm.report import write_report
from medllm.report.machine_tables import speed_table
from medllm.report.notices import FIRST_LINE, SAMPLE_FIRST_LINE, USE_NOTICE

CANARY = "CANARY-7f3a"
SVG_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks nesting; keeps tags with attributes, visible text and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.visible: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "title"} & set(self.open):
            self.visible.append(data.strip())


def report(out: Path, inputs: dict[str, Any]) -> dict[str, str]:
    write_report(out, **inputs)
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, make_inputs: Any) -> dict[str, str]:
    """The report of the untouched fixture with every item allowed into the examples."""
    folder = tmp_path_factory.mktemp("written")
    return report(folder / "report", make_inputs(folder) | {"examples": 40})


def test_writes_the_page_its_twin_and_the_pictures(written: dict[str, str]) -> None:
    files = written
    pictures = {"dag.svg", "waterfall.svg", "accuracy.svg", "pareto.svg", "mix.svg", "positions.svg", "graph.svg"}
    assert set(files) == {"index.html", "report.md", *pictures}
    for name, text in files.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(text)
            assert "<text" in text, "labels stay text"


def test_page_is_well_formed_self_contained_and_complete(written: dict[str, str], inputs: dict[str, Any]) -> None:
    text = written["index.html"]
    page = Page(text)
    assert page.open == []
    assert page.visible[0] == SAMPLE_FIRST_LINE
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    references = [value for _, attrs in page.tags for key, value in attrs.items() if key in {"href", "src", "xlink:href"}]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {str(reference).removeprefix("#") for reference in references} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    for name in [*inputs["compare"]["models"], *inputs["compare"]["targets"], "teacher_fp32", *inputs["stage_seconds"], "aihub_71874"]:
        assert name in page.visible
    for word in ("달성", "미달", "미측정", "실격", "이득 없음 (no gain)", "판단 불가", USE_NOTICE):
        assert word in page.visible
    assert sum(svg[0] == "svg" for svg in page.tags) == 7
    assert "experiments" not in ids, "there are no results"
    assert "<h2>9. 단계별 시간</h2>" in text


def test_nothing_points_out_of_the_files(written: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, text in written.items():
        own = text.replace(SVG_NAMESPACE, "", 1) if name.endswith(".svg") else text
        assert "http:" not in own, name
        assert "https:" not in own, name
        assert "//" not in re.sub(r"<style>.*?</style>", "", own, flags=re.DOTALL), name
        assert str(tmp_path_factory.getbasetemp()) not in own, name


def test_equal_inputs_give_equal_bytes(tmp_path: Path, written: dict[str, str], inputs: dict[str, Any]) -> None:
    shuffled = inputs["compare"] | {"models": dict(reversed(inputs["compare"]["models"].items()))}
    assert report(tmp_path / "again", inputs | {"compare": shuffled, "examples": 40}) == written


def test_text_that_may_not_be_redistributed_is_nowhere(written: dict[str, str]) -> None:
    assert all(CANARY not in text for text in written.values())
    assert "item-020, item-025" in written["index.html"], "hidden failures are listed by id"
    assert "재배포할 수 없는 8개 항목" in written["index.html"]


def test_failures_come_first_and_text_is_escaped(written: dict[str, str]) -> None:
    text = written["index.html"]
    assert re.findall(r"<code>(item-\d+)</code>", text)[:4] == ["item-007", "item-023", "item-004", "item-011"]
    assert "<b>질환" not in text
    assert "&lt;b&gt;질환 7&lt;/b&gt;" in text


def test_a_missing_metric_is_a_dash_and_never_zero(tmp_path: Path, inputs: dict[str, Any]) -> None:
    student = inputs["compare"]["models"]["student"]
    student["metrics"], student["ratios"] = {}, {}
    files = report(tmp_path / "report", inputs)
    models = files["index.html"].partition('id="models"')[2]
    rows = re.findall(r'<th scope="row">student</th>(.*?)</tr>', models)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows[:4]]
    assert cells[0] == ["-"] * 6 + ["판단 불가"], "quality"
    assert cells[1] == ["finetune · lora", *["-"] * 6], "size"
    assert cells[2] == ["-"] * 9, "speed"
    assert cells[3] == ["-"] * 9, "memory"
    assert "| student | - | - | - | - | - | - | - | - | - | - | 판단 불가 |" in files["report.md"]


def test_engine_and_compression_shares(compare: dict[str, Any]) -> None:
    ratios = compare["models"]
    ratios["teacher_gguf_f16"]["ratios"]["decode_to_a"] = 11.0
    ratios["student_gguf_q8_0"]["ratios"] |= {"decode_to_a": 22.0, "decode_to_b": 2.0}
    ratios["student_bnb_int8"]["ratios"] |= {"decode_to_a": 0.29, "decode_to_b": 0.03}
    rows = {row.label: list(row.cells) for row in speed_table(compare).rows}
    assert rows["student_gguf_q8_0"][2:6] == ["22.0x", "2.00x", "11.0x", "2.00x"]
    assert rows["student_bnb_int8"][2:6] == ["0.29x", "0.03x", "-", "0.29x"]


def test_other_data_than_the_sample_say_so_and_no_seconds_no_section(tmp_path: Path, inputs: dict[str, Any]) -> None:
    for row in inputs["compare"]["models"].values():
        row["metrics"] = {key.removeprefix("sample_"): value for key, value in row["metrics"].items()}
    written = report(tmp_path / "report", inputs | {"stage_seconds": None})
    assert Page(written["index.html"]).visible[0] == FIRST_LINE
    assert 'id="seconds"' not in written["index.html"]
    assert "sample_accuracy_choice" not in written["index.html"]
    assert "97.4 % [95.0–99.2]" in written["report.md"]


def _lines(inputs: dict[str, Any], edit: Any) -> None:
    path = inputs["predictions"] / "teacher_gguf_q4_0.jsonl"
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")


BAD = {
    "no-data-table": (lambda i: i["prepared"].pop("sets"), "prepare_data.json: no table 'sets'"),
    "no-records": (lambda i: i["prepared"]["counts"].update(role={"medical": 0}), "no records were kept"),
    "no-graph": (lambda i: (i["graph"] / "graph.json").unlink(), "graph.json"),
    "no-gates": (lambda i: i["compare"].pop("gates"), "compare.json: no key 'gates'"),
    "no-lineage": (lambda i: i["compare"]["models"]["student"].pop("lineage"), "models.student: no key 'lineage'"),
    "no-verdict": (lambda i: i["compare"]["targets"]["size"].pop("verdict"), "targets.size: no key 'verdict'"),
    "unknown-champion": (lambda i: i["compare"].update(champion="ghost"), "champion is 'ghost'"),
    "no-predictions": (lambda i: (i["predictions"] / "teacher.jsonl").unlink(), "teacher.jsonl: no such file"),
    "other-items": (lambda i: _lines(i, lambda text: text.split("\n", 1)[1]), "1 differ"),
    "no-flag": (lambda i: _lines(i, lambda text: text.replace('"redistributable": true, ', "", 1)), "no key 'redistributable'"),
    "not-json": (lambda i: _lines(i, lambda text: "{" + text), ":1: not valid JSON"),
    "odd-score": (lambda i: _lines(i, lambda text: text.replace('"score": 1', '"score": 0.5', 1)), "score is 0.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, inputs: dict[str, Any], case: str) -> None:
    change, message = BAD[case]
    change(inputs)
    with pytest.raises(UserError) as error:
        write_report(tmp_path / "report", **inputs)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report").exists()
