"""Text that may not be passed on stays in data/prepared: a marked text goes through every stage that writes for readers.

The same run on the same items, which may be passed on there, shows the mark, so that its absence means something.
"""

import contextlib
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from medllm.compare import compare
from medllm.data.canary import CANARY_PREFIX, find_canary
from medllm.data.prepare import prepare_data
from medllm.evaluate.items import TASKS
from medllm.evaluate.protocol import TOKENS, evaluate_model
from medllm.graph.coverage import term_coverage
from medllm.graph.store import Edge, Graph, Node
from medllm.model.folder import Lineage
from medllm.report import readme_block, update_readme, write_report
from medllm.report.markdown import BEGIN, END
from pipeline.mirror import mirror
from pipeline.record import write_json

MARK = CANARY_PREFIX
SET = "aihub_71875"
FOLDER = "09.필수의료 의학지식 데이터/3.개방데이터/1.데이터"
TWINS = ("teacher", "teacher_gguf_f16")
ILLNESSES = ("감기", "고혈압", "당뇨병", "위염", "천식", "편두통", "폐렴", "관절염", "빈혈", "습진")

KNOWLEDGE, SETS = (Path(__file__).parents[2] / "data" / name for name in ("knowledge", "evaluation"))
MARGINS = {"accuracy_answer": 0.02, "accuracy_grounded": 0.05, "accuracy_general": 0.1}
GOALS = {
    "size_int8": 0.6, "size": 0.5, "decode_speed": 2.0, "decode_vs_b": 1.0, "peak_memory": 0.25, "resident_weights": 0.5,
    "medical_accuracy": 0.9, "sample_accuracy_answer": 0.9, "sample_accuracy_vs_teacher": -0.02, "answer_time": 3000.0, "cost": 0.5,
    "emergencies": 0.98,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """The workspace of a run, and the metrics of prepare_data."""

    root: Path
    metrics: Mapping[str, Any]

    @property
    def prepared(self) -> Path:
        return self.root / "data/prepared"

    @property
    def shown(self) -> list[Path]:
        """Everything that a reader may be given."""
        return [path for path in sorted(self.root.iterdir()) if path.name != "data"]


def _question(number: int, illness: str, *, choice: bool) -> dict[str, Any]:
    asked = f"{illness} {number}번 {MARK}: 어느 과?"  # short: the miniature has a context of 256 bytes
    if not choice:
        return {"qa_id": number, "domain": 17, "q_type": 2, "question": asked, "answer": f"{illness}의 답 {MARK}"}
    names = [f"{place}과 {MARK if place == 1 + number % 5 else ''}".strip() for place in range(1, 6)]
    options = [f"{place}) {name}" for place, name in enumerate(names, 1)]
    return {"qa_id": number, "domain": 17, "q_type": 1, "question": "  \n".join([asked, *options]), "answer": options[number % 5]}


def _zip(path: Path, items: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, item in enumerate(items):
            archive.writestr(f"{number}.json", json.dumps(item, ensure_ascii=False))


def _write_raw(raw: Path, *, free: bool) -> None:
    """AI Hub archives whose every text is marked; a key file says that they may be passed on where they are `free`."""
    for split, short, first in (("Training", "T", 1), ("Validation", "V", 501)):
        items = [
            _question(first + 2 * place + choice, f"{illness} {split}", choice=bool(choice))
            for place, illness in enumerate(ILLNESSES)
            for choice in (0, 1)
        ]
        if not free:  # broken items: an answer that is none of the options, a text that is a number
            items += [
                _question(first + 90, "두통", choice=True) | {"answer": f"1) 다른 과 {MARK}"},
                _question(first + 91, "복통", choice=False) | {"question": 7},
            ]
        _zip(raw / FOLDER / split / f"02.라벨링데이터/{short}L_내과.zip", items)
    source = {"c_id": "c1", "domain": 17, "source": 1, "source_spec": "교과서", "creation_year": "2020"}
    source["content"] = f"이 {MARK} 글은 교과서의 글입니다."
    _zip(raw / FOLDER / "Training/01.원천데이터/TS_국문_의학 교과서.zip", [source])
    reply = {"role": "assistant", "content": f"언제부터인가요? {MARK}"}
    rows = [
        {"id": f"talk-{number}", "messages": [{"role": "user", "content": f"{number}일째 머리가 아픕니다. {MARK}"}, reply]}
        for number in range(9)
    ]
    (raw / "talks.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    if free:
        numbers = [first + place for first in (1, 501) for place in range(2 * len(ILLNESSES))]
        key = [{"dataset": SET, "item_id": number, "redistributable": True} for number in numbers]
        (raw / "key.jsonl").write_text("".join(json.dumps(row) + "\n" for row in key), encoding="utf-8")


def _timed(name: str) -> dict[str, Any]:
    quick = "gguf" in name
    rate = 3000.0 if quick else 300.0
    ratios = {
        f"decode_ratio_to_{letter}{key}": rate / other for letter, other in (("a", 300.0), ("b", 3000.0)) for key in ("", "_low", "_high")
    }
    return ratios | {
        "bytes": 1000, "peak_rss_bytes": 4000, "resident_weight_bytes": 1000, "device": "Test CPU, 1 thread", "threads": 1,
        "prompt_tokens": 32, "answer_tokens": 64, "rounds": 5, "answer_ms_p50": 60.0, "answer_ms_p95": 66.0, "decode_tokens_per_s": rate,
        "dtype": "f16" if quick else "bf16", "engine": "llama.cpp" if quick else "transformers",
    }  # fmt: skip


def _evaluated(root: Path, models: Mapping[str, Path]) -> None:
    """Predictions, metrics and comparison of models on the prepared data."""
    metrics = root / "artifacts/metrics"
    for name, folder in models.items():
        shutil.copytree(folder, root / "models" / name)
        step, parent = ("finetune", None) if name == TWINS[0] else ("quantize", TWINS[0])
        Lineage(name=name, parent=parent, step=step, method="test").save(root / "models" / name)
        found = evaluate_model(
            root / "models" / name, root / "data/prepared", root / "artifacts/graph", SETS, root / "artifacts/predictions",
            root / "artifacts/screens", metric_prefix="", threads=1, max_turns=1, max_unanswered_share=1.0,
            max_items={**dict.fromkeys(TASKS, 4), "answer": 8, "choice": 8}, max_new_tokens=dict.fromkeys(TOKENS, 2),
        )  # fmt: skip
        write_json(metrics / f"evaluate/{name}.json", found)
        write_json(metrics / f"benchmark/{name}.json", _timed(name))
    result = compare(
        list(models), metrics=metrics, predictions=root / "artifacts/predictions", screens=root / "artifacts/screens",
        models_folder=root / "models", rules=KNOWLEDGE / "redflags.csv", messages=SETS / "redflags.csv", margins=MARGINS, max_kl_nats=0.2,
        max_flip_rate=0.1, goals=GOALS, seed=0, num_resamples=50, baseline_a=TWINS[0], baseline_b=TWINS[1],
    )  # fmt: skip
    write_json(metrics / "compare.json", result)
    shutil.rmtree(root / "models")


def _graph(folder: Path) -> Path:
    folder.mkdir(parents=True)
    nodes = [
        Node(id=key, kind=kind, name=name, names=(name,), source="s", reviewed=False, attributes={})
        for key, kind, name in (("dep", "department", "내과"), ("dis", "disease", "고혈압"))
    ]
    Graph(nodes={node.id: node for node in nodes}, edges=(Edge(source="dis", relation="routes_to", target="dep"),), facts=()).save(folder)
    return folder


def _run(root: Path, models: Mapping[str, Path], *, free: bool) -> Written:
    """prepare_data, evaluate, compare, report and README of `models` in `root`."""
    _write_raw(root / "data/raw", free=free)
    metrics = prepare_data(
        root / "data/raw", root / "data/prepared", max_bad_share=0.2, num_calibration=4, similarity=0.95, document_similarity=0.8,
        test_share=0.2, seed=13,
    )  # fmt: skip
    write_json(root / "artifacts/metrics/prepare_data.json", metrics)
    graph = _graph(root / "artifacts/graph")
    knowledge = {"facts": 0, "names": 2, "reviewed": {"diseases": {"rows": 1, "reviewed": 0}}, "agreement": {}}
    knowledge["term_coverage"] = term_coverage(Graph.load(graph), root / "data/prepared")
    write_json(root / "artifacts/metrics/build_graph.json", knowledge)
    _evaluated(root, models)
    result = json.loads((root / "artifacts/metrics/compare.json").read_text(encoding="utf-8"))
    write_report(
        root / "artifacts/report", compare=result, prepared=metrics, knowledge=knowledge, sample=None, graph=graph, step_metrics={},
        predictions=root / "artifacts/predictions", results=root / "artifacts/results", stage_seconds=None, versions={},
        examples=12,
    )  # fmt: skip
    readme = root / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    update_readme(readme, readme_block(result))
    return Written(root, metrics)


@pytest.fixture(scope="module")
def models(tiny_folder: Path, tiny_gguf: dict[str, Path]) -> dict[str, Path]:
    return dict(zip(TWINS, (tiny_folder, tiny_gguf["f16"]), strict=True))


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Written:
    """A run on texts that may not be passed on."""
    return _run(tmp_path_factory.mktemp("bound"), models, free=False)


def test_marked_text_is_read_masked_and_kept(bound: Written) -> None:
    """In the corpus, in both parts and in the calibration set: the run really is about marked text."""
    for name in ("corpus", "train", "test", "calibration"):
        assert find_canary([bound.prepared / f"{name}.jsonl"]), name
    assert bound.metrics["items_bad"] == 4


def test_marked_text_is_nowhere_but_in_the_prepared_data(bound: Written) -> None:
    names = {path.name for folder in bound.shown for path in ([folder] if folder.is_file() else folder.rglob("*"))}
    assert {"README.md", "index.html", "report.md", "teacher.jsonl", "prepare_data.json", "compare.json", "positions.svg"} <= names
    assert find_canary(bound.shown) == []
    assert find_canary([bound.prepared / "quarantine.jsonl"]) == [], "broken items are listed without their text"


def test_marked_text_is_not_tracked(bound: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that `track` writes: the database and the artifacts of MLflow."""
    monkeypatch.chdir(bound.root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    stages = {name: {"cmd": f"python -m pipeline.{name}"} for name in ("prepare_data", "evaluate@teacher", "compare")}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")
    cfg = OmegaConf.create({"experiment_name": "canary", "seed": 13, "data": {"name": "aihub"}, "evaluate": {"max_turns": 2}})
    mirror(cfg, cfg, stages)
    with contextlib.closing(sqlite3.connect(bound.root / "artifacts/mlflow/mlflow.db")) as database:
        tracked = "\n".join(database.iterdump())
    assert "items_read" in tracked, "the metrics of prepare_data are there"
    assert MARK not in tracked
    assert find_canary(bound.shown) == []


def test_the_same_text_is_shown_where_it_may_be(tmp_path: Path, models: dict[str, Path]) -> None:
    """The control: were a text passed on, the searches above would find it, in the predictions and on the page."""
    free = _run(tmp_path, models, free=True)
    found = {path.name for path in find_canary(free.shown)}
    assert found == {"teacher.jsonl", "teacher_gguf_f16.jsonl", "index.html"}
