"""Old pickled checkpoints: tensors only, converted once, everything else refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medllm.data.prompts import Template
from medllm.errors import UserError
from medllm.model import shards
from medllm.model.folder import load_model, read_lineage
from medllm.model.pretrained import fetch_pretrained

Tensors = dict[str, torch.Tensor]


def fetch(source: Path, target: Path) -> Any:
    return fetch_pretrained(
        source, target, source=str(source), revision=None, licence="apache-2.0", weights="pretrained", context_length=256, shape=None,
        prompt=Template(name="p", question="물음: {question}\n", facts="{facts}\n", eos_token="<|endoftext|>"), seed=0, checkpoints=source,
    )  # fmt: skip


def one_file(folder: Path, tensors: Tensors) -> None:
    torch.save(tensors, folder / "pytorch_model.bin")


def before_zip(folder: Path, tensors: Tensors) -> None:
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def two_files(folder: Path, tensors: Tensors) -> None:
    names = sorted(tensors)
    files = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, part in files.items():
        torch.save({name: tensors[name] for name in part}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in files.items() for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")


def with_buffers(folder: Path, tensors: Tensors) -> None:
    prefix = "gpt_neox.layers.0.attention."
    buffers = {f"{prefix}bias": torch.ones(1, 1, 8, 8).bool(), f"{prefix}masked_bias": torch.tensor(-1e9)}
    torch.save({**tensors, **buffers, f"{prefix}rotary_emb.inv_freq": torch.ones(4)}, folder / "pytorch_model.bin")


def pickled(tiny: Path, folder: Path, write: Callable[[Path, Tensors], None]) -> Tensors:
    shutil.copytree(tiny, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    write(folder, tensors)
    return tensors


@pytest.mark.parametrize("write", [one_file, before_zip, two_files, with_buffers])
def test_converted_once_to_the_same_tensors(write: Callable[[Path, Tensors], None], tiny_folder: Path, tmp_path: Path) -> None:
    tensors = pickled(tiny_folder, tmp_path / "old", write)
    result = fetch(tmp_path / "old", tmp_path / "base")
    converted = load_file(tmp_path / "base" / "model.safetensors")
    assert converted.keys() == tensors.keys()
    assert all(torch.equal(converted[name], tensors[name]) and converted[name].dtype == tensors[name].dtype for name in tensors)
    model = load_model(tmp_path / "base")
    assert result.parameters == model.num_parameters()
    assert not list((tmp_path / "base").glob("pytorch_model*"))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "old").glob("pytorch_model*.bin")}
    assert read_lineage(tmp_path / "base").notes == {"converted_from_sha256": hashes}


def test_a_large_one_becomes_shards(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled(tiny_folder, tmp_path / "old", one_file)
    monkeypatch.setattr(shards, "SHARD_BYTES", 200_000)
    fetch(tmp_path / "old", tmp_path / "base")
    assert len(list((tmp_path / "base").glob("model-*.safetensors"))) > 2
    assert torch.equal(*(load_model(folder).get_input_embeddings().weight for folder in (tiny_folder, tmp_path / "base")))


def test_a_tied_output_is_stored_once(tiny_folder: Path, tmp_path: Path) -> None:
    tensors = pickled(tiny_folder, tmp_path / "old", one_file)
    shared = {**tensors, "embed_out.weight": tensors["gpt_neox.embed_in.weight"]}
    torch.save(shared, tmp_path / "old" / "pytorch_model.bin")
    config = json.loads((tmp_path / "old" / "config.json").read_text(encoding="utf-8"))
    for tied, stored in ((True, len(tensors) - 1), (False, len(tensors))):
        (tmp_path / "old" / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": tied}), encoding="utf-8")
        target = tmp_path / f"base_{tied}"
        fetch(tmp_path / "old", target)
        assert len(load_file(target / "model.safetensors")) == stored
        model: Any = load_model(target)
        assert torch.equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)


class Evil:
    """What a hostile checkpoint does: unpickling it calls a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("arbitrary code ran",)


def hostile(folder: Path, tensors: Tensors) -> None:
    torch.save({**tensors, "extra": Evil()}, folder / "pytorch_model.bin")


def cut_off(folder: Path, tensors: Tensors) -> None:
    one_file(folder, tensors)
    content = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(content[: len(content) // 2])


def no_table(folder: Path, tensors: Tensors) -> None:
    torch.save({"state_dict": tensors}, folder / "pytorch_model.bin")


def lost_part(folder: Path, tensors: Tensors) -> None:
    two_files(folder, tensors)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()


def lost_tensor(folder: Path, tensors: Tensors) -> None:
    one_file(folder, {name: tensor for name, tensor in tensors.items() if not name.endswith("layers.1.mlp.dense_4h_to_h.weight")})


def other_size(folder: Path, tensors: Tensors) -> None:
    one_file(folder, {**tensors, "embed_out.weight": tensors["embed_out.weight"][:-3].clone()})


def outside(folder: Path, tensors: Tensors) -> None:
    one_file(folder.parent, tensors)
    index = {"weight_map": dict.fromkeys(tensors, "../pytorch_model.bin")}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")
    one_file(folder, tensors)


def other_pickle(folder: Path, tensors: Tensors) -> None:
    torch.save(tensors, folder / "consolidated.00.pth")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (hostile, "more than tensors"),
        (cut_off, "cut off"),
        (no_table, "no plain name -> tensor table"),
        (lost_part, "pytorch_model-00002-of-00002.bin, which is not there"),
        (lost_tensor, "dense_4h_to_h.weight; the checkpoint is not whole"),
        (other_size, "weights and config.json are of two models"),
        (outside, "not there"),
        (other_pickle, r"consolidated\.00\.pth is a pickle of another kind"),
    ],
)
def test_what_is_not_a_table_of_tensors_is_refused(
    write: Callable[[Path, Tensors], None], message: str, tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pickled(tiny_folder, tmp_path / "old", write)
    with pytest.raises(UserError, match=message) as error:
        fetch(tmp_path / "old", tmp_path / "base")
    assert "\n" not in str(error.value)
    assert "arbitrary code" not in capfd.readouterr().out
