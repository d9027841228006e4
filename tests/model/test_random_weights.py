"""Random weights in an exact shape: counted against the model cards, stock folders, the same bytes for the same seed."""

import hashlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from medllm.data.prompts import Prompts, Template
from medllm.errors import UserError
from medllm.model import shards
from medllm.model.folder import read_lineage
from medllm.model.pretrained import fetch_pretrained
from medllm.model.random_weights import Shape, config_of, write_random
from medllm.model.skeleton import check_weights, stored_parameters
from pipeline.compose import compose

CONF = Path(__file__).parents[2] / "conf" / "model"
PRESETS = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem not in ("tiny", "local"))
SMALL = Shape(
    architecture="gpt_neox", hidden_size=256, num_layers=2, num_heads=4, num_kv_heads=4, head_size=64, ffn_size=512, vocab_size=640,
    context_length=128, rotary_share=0.5, tied=False,
)  # fmt: skip
SHAPES = {
    "gpt_neox": SMALL,
    "gpt_neox_tied": replace(SMALL, tied=True),
    "llama": replace(SMALL, architecture="llama", num_kv_heads=2, rotary_share=1.0),
    "qwen3": replace(SMALL, architecture="qwen3", num_kv_heads=1, head_size=32, rotary_share=1.0, tied=True),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_as_many_parameters_as_its_card_says(preset: str, tiny_tokenizer: Path) -> None:
    node: Any = compose([f"model={preset}"]).model
    shape: Shape = instantiate(node.shape)
    said = re.search(r"^shape:  # ([\d,]+) parameters$", (CONF / f"{preset}.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    assert said is not None
    skeleton = stored_parameters(config_of(shape, Prompts.load(tiny_tokenizer)))
    assert sum(tensor.numel() for tensor in skeleton.values()) == int(said[1].replace(",", ""))
    assert shape.rotary_share * shape.head_size == 64
    assert (shape.context_length, node.revision) == (node.context_length, None)


@pytest.mark.parametrize("name", SHAPES)
def test_the_folder_is_stock_and_whole(name: str, tiny_tokenizer: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = tmp_path / name
    count = write_random(target, shape=SHAPES[name], tokenizer_from=tiny_tokenizer, seed=3)
    model, report = AutoModelForCausalLM.from_pretrained(target, output_loading_info=True)
    assert not any(report.values())
    assert count == model.num_parameters() == check_weights(target)
    assert model.dtype == torch.bfloat16
    assert torch.isfinite(model(input_ids=torch.arange(8)[None]).logits).all()
    assert AutoTokenizer.from_pretrained(target).eos_token_id == model.config.eos_token_id
    lineage = read_lineage(target)
    assert (lineage.method, lineage.notes) == ("random", {"random_weights": True})
    assert lineage.params.items() >= asdict(SHAPES[name]).items()


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


def test_same_seed_same_bytes_and_shards_do_not_matter(tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write_random(tmp_path / name, shape=SMALL, tokenizer_from=tiny_tokenizer, seed=seed)
    one, two, other = (hashlib.sha256((tmp_path / n / "model.safetensors").read_bytes()).digest() for n in ("one", "two", "other"))
    assert one == two != other
    monkeypatch.setattr(shards, "SHARD_BYTES", 600_000)
    write_random(tmp_path / "sharded", shape=SMALL, tokenizer_from=tiny_tokenizer, seed=3)
    files = sorted((tmp_path / "sharded").glob("*.safetensors"))
    assert len(files) > 3
    assert all(path.stat().st_size < 700_000 for path in files)
    index = json.loads((tmp_path / "sharded" / shards.INDEX_FILE).read_text(encoding="utf-8"))
    assert {path.name for path in files} == set(index["weight_map"].values())
    whole, parts = weights_of(tmp_path / "one"), weights_of(tmp_path / "sharded")
    assert whole.keys() == parts.keys() == index["weight_map"].keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 400}, "tokens, the embedding only 400"),
        ({"num_kv_heads": 3}, "num_kv_heads=3"),
        ({"head_size": 32}, "hidden_size is num_heads"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, Any], message: str, tiny_tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        write_random(tmp_path / "base", shape=replace(SMALL, **change), tokenizer_from=tiny_tokenizer, seed=0)
    assert "\n" not in str(error.value)


def test_fetching_random_weights_trains_a_tokenizer_and_downloads_nothing(small_prepared: Path, tmp_path: Path) -> None:
    prompt = Template(name="p", question="물음: {question}\n", facts="{facts}\n", eos_token="<|endoftext|>")
    knobs: dict[str, Any] = {
        "source": "no-such-owner/no-such-model", "revision": None, "licence": "none", "context_length": 128, "prompt": prompt, "seed": 1,
        "checkpoints": tmp_path, "weights": "random",
    }  # fmt: skip
    result = fetch_pretrained(small_prepared, tmp_path / "base", shape=SMALL, **knobs)
    assert (result.revision, result.vocab_size, result.training) == ("random", 640, None)
    assert Prompts.load(tmp_path / "base").tokenizer.get_vocab_size() <= 640
    lineage = read_lineage(tmp_path / "base")
    assert (lineage.method, lineage.notes) == ("random", {"random_weights": True})
    assert lineage.params["shape_of"] == knobs["source"]
    with pytest.raises(UserError, match=r"model\.shape"):
        fetch_pretrained(small_prepared, tmp_path / "other", shape=None, **knobs)
