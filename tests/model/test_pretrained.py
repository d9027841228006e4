"""A base from a folder is linked, checked, and refused in one line when it is not whole."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medllm.data.prompts import Prompts, Template
from medllm.errors import UserError
from medllm.model.folder import load_model, model_bytes, read_lineage
from medllm.model.pretrained import fetch_pretrained
from medllm.model.result import FetchResult

TEMPLATE = Template(name="local", question="물음: {question}\n답: ", facts="{facts}\n", eos_token="<|endoftext|>")


KNOBS: dict[str, Any] = {
    "revision": None, "licence": "apache-2.0", "weights": "pretrained", "context_length": 256, "shape": None, "prompt": TEMPLATE, "seed": 0,
}  # fmt: skip


def fetch(source: str, target: Path, **knobs: Any) -> FetchResult:
    unused = target.parent / "unused"
    return fetch_pretrained(unused, target, source=source, checkpoints=unused, **{**KNOBS, **knobs})


def test_a_local_folder_is_linked_not_copied(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "base"
    result = fetch(str(tiny_folder), target)
    weights = target / "model.safetensors"
    assert weights.is_symlink()
    assert weights.resolve() == (tiny_folder / "model.safetensors").resolve()
    assert not (target / "tokenizer.json").is_symlink()
    model = load_model(target)
    assert result.parameters == model.num_parameters()
    assert (result.vocab_size, result.revision, result.training) == (model.config.vocab_size, "local", None)
    assert Prompts.load(target).template == TEMPLATE
    assert read_lineage(target).params["licence"] == "apache-2.0"
    assert read_lineage(target).name == "base"
    assert model_bytes(target) == model_bytes(tiny_folder)


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def changed(**entries: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **entries}), encoding="utf-8")

    return change


def cut_off(size: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:size])

    return cut


def without(entry: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        del config[entry]
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

    return change


def code_of_its_own(folder: Path) -> None:
    code = f"from pathlib import Path\nPath({str(folder / 'ran')!r}).touch()\nclass NewConfig: pass\n"
    (folder / "configuration_new.py").write_text(code, encoding="utf-8")
    changed(model_type="new", auto_map={"AutoConfig": "configuration_new.NewConfig"})(folder)


def code_and_pickle(folder: Path) -> None:
    code_of_its_own(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop("tokenizer.json"), r"no tokenizer\.json"),
        (drop("config.json"), r"no config\.json"),
        (drop("model.safetensors"), r"no model\*\.safetensors, nor pytorch_model\*\.bin"),
        (changed(vocab_size=400), "embedding only 400"),
        (changed(vocab_size=640), r"config\.json says \(640, 128\)"),
        (changed(max_position_embeddings=128), "takes 128 tokens, model.context_length=256"),
        (changed(num_hidden_layers=3), r"hold no gpt_neox\.layers\.2\."),
        (cut_off(100_000), r"model\.safetensors: not a whole safetensors file .*; get it again"),
        (cut_off(100), r"model\.safetensors: not a whole safetensors file .*; get it again"),
        (cut_off(0), r"model\.safetensors: not a whole safetensors file .*; get it again"),
        (without("vocab_size"), r"config\.json: no vocab_size; a base is a plain causal language model"),
        (without("model_type"), r"config\.json: not an architecture of this transformers"),
        (changed(model_type="new"), r"config\.json: not an architecture of this transformers .*`new`"),
        (code_of_its_own, r"config\.json: not an architecture of this transformers .*custom code"),
        (code_and_pickle, r"config\.json: not an architecture of this transformers .*custom code"),
    ],
)
def test_what_is_not_a_whole_base_is_refused(
    spoil: Callable[[Path], None], message: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked = tmp_path / "source", io.StringIO("y\n" * 9)
    shutil.copytree(tiny_folder, source)
    spoil(source)
    monkeypatch.setattr("sys.stdin", asked)
    with pytest.raises(UserError, match=message) as error:
        fetch(str(source), tmp_path / "base")
    assert "\n" not in str(error.value)
    assert asked.tell() == 0, "transformers asks on stdin whether it may run code"
    assert not (source / "ran").exists()


@pytest.mark.parametrize("source", ["no-such-owner/no-such-model", "no_such_folder", "/no/such/folder", "models/of/mine", "./base"])
def test_neither_folder_nor_reachable_hub(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"model\.source=") as error:
        fetch(source, tmp_path / "base")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "base").exists()


def test_an_unknown_end_token_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    template = Template(name="other", question="{question}", facts="{facts}", eos_token="</s>")
    with pytest.raises(UserError, match=r"model\.prompt\.eos_token"):
        fetch(str(tiny_folder), tmp_path / "base", prompt=template)
