"""No model is packaged whose runtime reads text otherwise than training did."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medllm.engines import open_engine
from medllm.model.folder import Lineage
from medllm.package import manifest as package
from medllm.package.tokenizer_check import check_tokenizers, lines


@pytest.fixture
def parts(
    tiny_folder: Path, tiny_gguf: dict[str, Path], small_prepared: Path, small_knowledge: Path, small_graph: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:  # fmt: skip
    """Everything build_package takes but `out`: a student that was quantised from a base trained here."""
    monkeypatch.setattr(package, "TOKENIZER_LINES", 300)  # all 10,000 are compared in test_manifest.py
    models = tmp_path / "models"
    shutil.copytree(tiny_gguf["q8_0"], models / "student_gguf_q8_0")
    (models / "base").mkdir()
    Lineage(name="base", parent=None, step="fetch_base", method="train_tiny").save(models / "base")
    Lineage(name="student_gguf_q8_0", parent="base", step="quantize", method="gguf_q8_0").save(models / "student_gguf_q8_0")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return {
        "champion": models / "student_gguf_q8_0", "models_folder": models, "training_folder": tiny_folder, "graph": small_graph,
        "knowledge": small_knowledge, "prepared": small_prepared, "metrics": {}, "min_grounded_accuracy": 0.8, "threads": 1,
        "seed": 3, "mode": "demo", "gates": [],
    }  # fmt: skip


def test_the_same_package_twice_is_the_same_bytes_and_answers(parts: dict[str, Any], tmp_path: Path) -> None:
    for name in ("one", "two"):
        package.build_package(out=tmp_path / name, **parts)
    assert (tmp_path / "one" / "manifest.json").read_bytes() == (tmp_path / "two" / "manifest.json").read_bytes()
    assert str(tmp_path) not in (tmp_path / "one" / "manifest.json").read_text(encoding="utf-8")
    engine = open_engine(tmp_path / "one" / "model", threads=1)
    assert len(engine.generate([[5, 6]], max_new_tokens=3)[0]) <= 3
    engine.close()


def test_another_training_tokenizer_is_refused(parts: dict[str, Any], tiny_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "teacher"
    shutil.copytree(tiny_folder, other)
    content = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = content["model"]["merges"][:-40]
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RuntimeError, match="differently from training"):
        package.build_package(out=tmp_path / "one", **{**parts, "training_folder": other})
    assert not (tmp_path / "one" / "manifest.json").exists()


def test_lines_are_fixed_and_varied() -> None:
    texts = ["고혈압은 내과에서 진료합니다.", "두통", "열"]
    drawn = list(lines(texts, 500, seed=1))
    assert drawn == list(lines(texts, 500, seed=1))
    assert drawn != list(lines(texts, 500, seed=2))
    assert len(set(drawn)) > 400
    assert all(any(piece in line for line in drawn) for piece in ("<|endoftext|>", "🙂", "\t", "  "))


def test_a_line_read_differently_is_named() -> None:
    def plain(text: str) -> list[int]:
        return [ord(char) for char in text]

    def without_emoji(text: str) -> list[int]:
        return [ord(char) for char in text if ord(char) < 0x1F000]

    assert check_tokenizers(plain, plain, ["두통이 있다"], count=100, seed=0) == 100
    with pytest.raises(RuntimeError, match="🙂"):
        check_tokenizers(plain, without_emoji, ["두통이 있다"], count=100, seed=0)
