"""What cannot become a GGUF is refused in one line, and nothing is left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.errors import UserError


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer.json", {"normalizer": {"type": "NFC"}}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True, "trim_offsets": True}}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": []}}),
        ("config.json", {"model_type": "bert"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"vocab_size": 100}),
        ("config.json", {"rope_parameters": {"rope_type": "yarn"}}),
    ],
)
def test_what_llamacpp_cannot_reproduce_is_refused(
    file: str, change: dict[str, object], tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_folder, source)
    content = json.loads((source / file).read_text(encoding="utf-8"))
    (source / file).write_text(json.dumps({**content, **change}), encoding="utf-8")
    with pytest.raises(UserError) as error:
        plain_gguf(source, tmp_path / "target", "q8_0")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "target" / "model.gguf").exists()


@pytest.mark.parametrize(
    ("scheme", "knobs", "said"),
    [
        ("q3_k", {}, "q3_k"),
        ("q4_0", {"head_scheme": "int4"}, "head_scheme.*int4"),
        ("q4_0", {"sensitive_scheme": "int4"}, "sensitive_scheme.*int4"),
        ("q4_0", {"importance": "hessian"}, "hessian"),
        ("q8_0", {"importance": "activations"}, "changes nothing"),
    ],
)
def test_wrong_knobs_are_refused(
    scheme: str, knobs: dict[str, str], said: str, tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said) as error:
        plain_gguf(tiny_folder, tmp_path / "x", scheme, **knobs)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_a_quantised_source_is_refused(quantised_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"already quantised \(bitsandbytes\), so it cannot be quantised again; take student") as error:
        plain_gguf(quantised_folder, tmp_path / "x", "q8_0")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_a_config_that_says_it_is_not_quantised_is_taken(tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_folder, tmp_path / "source"))
    content = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (source / "config.json").write_text(json.dumps({**content, "quantization_config": None}), encoding="utf-8")
    assert plain_gguf(source, tmp_path / "target", "q8_0").scheme == "q8_0"


def test_a_folder_that_is_no_model_is_refused(tiny_folder: Path, plain_gguf: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        plain_gguf(tmp_path, tmp_path / "x", "f16")
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="not JSON"):
        plain_gguf(tmp_path, tmp_path / "x", "f16")
