"""The manifest of a package built from a real, tiny GGUF."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medllm.errors import UserError
from medllm.model.folder import Lineage, read_lineage
from medllm.package.manifest import base_licence, build_package, read_chain, sha256_of
from medllm.package.review_gate import DEMO_BANNER

LICENCE = {"licence": "MIT", "source": "/models/of/someone/polyglot", "revision": "local"}
LINEAGES = [
    Lineage(name="base", parent=None, step="fetch_base", method="fetch_pretrained", params=LICENCE),
    Lineage(name="teacher", parent="base", step="finetune", method="finetune_lora"),
    Lineage(name="teacher_gguf_q8_0", parent="teacher", step="quantize", method="quantize_gguf", params={"scheme": "q8_0"}),
]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder of three lineages and no weights."""
    for lineage in LINEAGES:
        folder = tmp_path / "models" / lineage.name
        folder.mkdir(parents=True)
        lineage.save(folder)
    return tmp_path / "models"


@pytest.fixture
def parts(models: Path, small_knowledge: Path, small_graph: Path, tiny_folder: Path, small_prepared: Path) -> dict[str, Any]:
    """What build_package takes but the champion, `out` and the mode."""
    return {
        "models_folder": models, "training_folder": tiny_folder, "graph": small_graph, "knowledge": small_knowledge,
        "prepared": small_prepared, "metrics": {"bits_per_byte": 0.5}, "min_grounded_accuracy": 0.8, "threads": 1, "seed": 0,
        "gates": [{"model": "teacher_gguf_q8_0", "metric": "tokenizer", "verdict": "pass"}],
    }  # fmt: skip


def build(models: Path, out: Path, parts: dict[str, Any], *, tiny_gguf: dict[str, Path]) -> dict[str, Any]:
    champion = models / "teacher_gguf_q8_0"
    for path in tiny_gguf["q8_0"].iterdir():
        if path.name != "lineage.json":
            shutil.copyfile(path, champion / path.name)
    out.mkdir()
    return build_package(champion, out, mode="demo", **parts)


def test_manifest_names_the_chain_the_licence_and_every_file(
    models: Path, tmp_path: Path, parts: dict[str, Any], tiny_gguf: dict[str, Path]
) -> None:
    out = tmp_path / "package"
    manifest = build(models, out, parts, tiny_gguf=tiny_gguf)
    text = (out / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text) == manifest
    assert [entry["name"] for entry in manifest["chain"]] == ["teacher_gguf_q8_0", "teacher", "base"]
    assert (manifest["base"], manifest["base_licence"]) == ("base", "MIT")
    assert manifest["chain"][-1]["params"] == {**LICENCE, "source": "polyglot"}
    assert "/home" not in text
    assert manifest["tokenizer_lines_compared"] == 10_000
    written = {path.relative_to(out).as_posix(): sha256_of(path) for path in out.rglob("*") if path.is_file()}
    assert {**manifest["files"], "manifest.json": written["manifest.json"]} == written
    assert set(manifest["files"]) >= {"model/model.gguf", "model/tokenizer.json", "graph.json", "redflags.csv"}
    assert (manifest["mode"], manifest["banner"], manifest["reviewed_by_clinician"]) == ("demo", DEMO_BANNER, False)
    assert manifest["review"]["redflags"] == {"rows": 4, "reviewed": 0}
    assert manifest["gates"] == {"tokenizer": "pass"}


def test_production_copies_nothing_while_rows_are_unreviewed(models: Path, tmp_path: Path, parts: dict[str, Any]) -> None:
    (tmp_path / "package").mkdir()
    with pytest.raises(UserError, match=r"^package\.mode=production: 4 redflags rows not reviewed"):
        build_package(models / "teacher_gguf_q8_0", tmp_path / "package", mode="production", **parts)
    assert list((tmp_path / "package").iterdir()) == []


def test_a_base_trained_here_has_our_licence() -> None:
    assert base_licence(Lineage(name="base", parent=None, step="fetch_base", method="train_tiny")) == "Apache-2.0 (trained here)"


@pytest.mark.parametrize("params", [{}, {"licence": ""}])
def test_no_licence_no_package(models: Path, params: dict[str, str]) -> None:
    replace(LINEAGES[0], params=params).save(models / "base")
    with pytest.raises(UserError, match=r"base: .*names no licence"):
        base_licence(read_lineage(models / "base"))


def test_a_missing_or_circular_parent_is_named(models: Path) -> None:
    replace(LINEAGES[0], parent="teacher").save(models / "base")
    with pytest.raises(UserError, match="teacher: its lineage goes round"):
        read_chain(models / "teacher_gguf_q8_0", models_folder=models)
    (models / "base" / "lineage.json").unlink()
    with pytest.raises(UserError, match=r"base.lineage\.json: missing"):
        read_chain(models / "teacher_gguf_q8_0", models_folder=models)


@pytest.mark.parametrize(("measured", "grounded"), [(0.79, False), (0.8, True)])
def test_facts_are_given_to_a_model_that_answers_from_them(
    measured: float, grounded: bool, models: Path, parts: dict[str, Any], tmp_path: Path, tiny_gguf: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("medllm.package.manifest.TOKENIZER_LINES", 100)  # all of them are compared above
    told = {**parts, "metrics": {"sample_accuracy_grounded": measured}}
    assert build(models, tmp_path / "out", told, tiny_gguf=tiny_gguf)["grounded"] is grounded
