"""Pruning keeps its ratio, removes what does least, and leaves a stock model."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medllm.data.prompts import Prompts
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.model.folder import Lineage, copy_tokenizer, load_model, read_lineage
from medllm.prune.depth import prune_depth
from medllm.prune.ffn import prune_ffn
from medllm.prune.heads import prune_heads
from medllm.prune.plan import PRUNE_MAP_FILE, PruneResult, nearest
from medllm.quantize.gguf import quantize_gguf

CALIBRATION: dict[str, Any] = {"batch_rows": 8, "max_tokens": 512}
PRUNERS: dict[str, Callable[..., PruneResult]] = {
    "ffn": lambda *paths, **knobs: prune_ffn(*paths, round_to=64, **CALIBRATION, **knobs),
    "heads": lambda *paths, **knobs: prune_heads(*paths, **CALIBRATION, **knobs),
    "depth": lambda *paths, **knobs: prune_depth(*paths, **CALIBRATION, **knobs),
}


@pytest.fixture(scope="module")
def source(make_neox: Callable[..., Path]) -> Path:
    """Four layers, four heads of 64, FFN 1024."""
    return make_neox(hidden=256, layers=4, ffn=1024, seed=4)


def rewritten(folder: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a model folder with changed weights."""
    model: Any = load_model(folder)
    with torch.no_grad():
        change(model)
    model.to(torch.bfloat16).save_pretrained(target)
    copy_tokenizer(folder, target)
    read_lineage(folder).save(target)
    return target


@torch.inference_mode()
def logits_of(model: Any, folder: Path) -> Tensor:
    ids = Prompts.load(folder).question("고혈압은 무슨 과인가요? 12.5 mg/dL")
    return model(input_ids=torch.tensor([ids])).logits.float()


def kept(folder: Path) -> dict[str, list[int]]:
    content: dict[str, list[int]] = json.loads((folder / PRUNE_MAP_FILE).read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize(("kind", "ratio"), [("ffn", 0.3), ("heads", 0.27), ("depth", 0.23)])
def test_ratio_shape_reload_and_gguf(
    kind: str, ratio: float, source: Path, small_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, PreTrainedModel

    in_memory: list[Tensor] = []
    save = PreTrainedModel.save_pretrained

    def seen(self: Any, *args: Any, **kwargs: Any) -> Any:
        model = copy.deepcopy(self).float()
        model.gpt_neox.rotary_emb = type(model.gpt_neox.rotary_emb)(model.config)  # its table is not stored, and was rounded to bf16
        in_memory.append(logits_of(model, source))
        return save(self, *args, **kwargs)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", seen)
    target = tmp_path / "pruned"
    result = PRUNERS[kind](source, small_prepared, target, ratio=ratio, tolerance=0.05)

    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
    before = load_model(source).num_parameters()
    assert result.parameters_before == before
    assert result.parameters == model.num_parameters()
    assert result.ratio == pytest.approx(1 - model.num_parameters() / before)
    assert abs(result.ratio - ratio) <= 0.05
    config = model.config
    assert (result.hidden_size, result.num_heads) == (config.hidden_size, config.num_attention_heads)
    assert (result.num_layers, result.ffn_size) == (config.num_hidden_layers, config.intermediate_size)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert module.in_features % 64 == 0, name
    assert torch.equal(logits_of(model, target), in_memory[0])
    lineage = read_lineage(target)
    assert (lineage.parent, lineage.step, lineage.method) == (source.name, "prune", f"prune_{kind}")

    quantize_gguf(target, tmp_path / "gguf", scheme="f16", head_scheme="f16")
    engine, reference = open_engine(tmp_path / "gguf", threads=1), open_engine(target, threads=1, dtype="fp32")
    prompt = Prompts.load(target).question("위염에는 어떤 약을 쓰나요?")
    assert engine.generate([prompt], max_new_tokens=8) == reference.generate([prompt], max_new_tokens=8)
    engine.close()


def test_dead_channels_go_first_and_nothing_is_lost(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    dead = torch.randperm(1024, generator=torch.Generator().manual_seed(1))[:384]

    def kill(model: Any) -> None:
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_4h_to_h.weight[:, dead] = 0

    planted = rewritten(source, tmp_path / "planted", kill)
    result = PRUNERS["ffn"](planted, small_prepared, tmp_path / "pruned", ratio=0.215, tolerance=0.02)
    assert result.ffn_size == 640
    for channels in kept(tmp_path / "pruned").values():
        assert set(channels) == set(range(1024)) - set(dead.tolist())
    before, after = (logits_of(load_model(folder), folder) for folder in (planted, tmp_path / "pruned"))
    assert torch.allclose(before, after, atol=1e-4)


def test_what_a_channel_adds_on_average_stays_in_the_bias(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    def constant(model: Any) -> None:
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_h_to_4h.weight[:384] = 0  # always the same activation, small but not nothing
            layer.mlp.dense_h_to_4h.bias[:384] = 0.02

    planted = rewritten(source, tmp_path / "planted", constant)
    PRUNERS["ffn"](planted, small_prepared, tmp_path / "pruned", ratio=0.215, tolerance=0.02)
    assert {min(channels) for channels in kept(tmp_path / "pruned").values()} == {384}
    before, after = (logits_of(load_model(folder), folder) for folder in (planted, tmp_path / "pruned"))
    assert (before - after).abs().max() < 0.05  # the bias is stored in bf16


def test_a_layer_that_does_nothing_goes_first(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    def kill(model: Any) -> None:
        for output in (model.gpt_neox.layers[2].attention.dense, model.gpt_neox.layers[2].mlp.dense_4h_to_h):
            output.weight.zero_()
            output.bias.zero_()

    planted = rewritten(source, tmp_path / "planted", kill)
    result = PRUNERS["depth"](planted, small_prepared, tmp_path / "pruned", ratio=0.23, tolerance=0.02)
    assert result.num_layers == 3
    assert kept(tmp_path / "pruned") == {"layers": [0, 1, 3]}
    before, after = (logits_of(load_model(folder), folder) for folder in (planted, tmp_path / "pruned"))
    assert torch.allclose(before, after, atol=1e-4)


def test_strong_heads_and_channels_stay_and_the_rest_is_cut_alike(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    strong = [1, 3, 0, 2]  # by layer
    quiet = range(32, 96)  # hidden channels that every norm switches off

    def plant(model: Any) -> None:
        for layer, head in zip(model.gpt_neox.layers, strong, strict=True):
            values = layer.attention.query_key_value.weight.view(4, 3, 64, 256)
            values[head, 2] *= 20
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[quiet] = 0
                norm.bias[quiet] = 0

    planted = rewritten(source, tmp_path / "planted", plant)
    result = PRUNERS["heads"](planted, small_prepared, tmp_path / "pruned", ratio=0.27, tolerance=0.05)
    rows = kept(tmp_path / "pruned")
    assert (result.num_heads, result.hidden_size) == (3, 192)
    assert all(head in rows[f"layer.{index}.heads"] for index, head in enumerate(strong))
    assert rows["hidden"] == [*range(32), *range(96, 256)]
    big, small = (load_model(folder).state_dict() for folder in (planted, tmp_path / "pruned"))
    for index in range(4):
        heads, layer = rows[f"layer.{index}.heads"], f"gpt_neox.layers.{index}."
        fused = big[layer + "attention.query_key_value.weight"].view(4, 3, 64, 256)[heads][..., rows["hidden"]]
        assert torch.equal(small[layer + "attention.query_key_value.weight"], fused.reshape(3 * 192, 192))
        dense = big[layer + "attention.dense.weight"].view(256, 4, 64)[rows["hidden"]][:, heads]
        assert torch.equal(small[layer + "attention.dense.weight"], dense.reshape(192, 192))
        for name, cut in (("mlp.dense_h_to_4h.weight", (slice(None), rows["hidden"])), ("mlp.dense_4h_to_h.bias", (rows["hidden"],))):
            assert torch.equal(small[layer + name], big[layer + name][cut])
    for name in ("gpt_neox.embed_in.weight", "embed_out.weight", "lm_head.weight"):
        if name in small:
            assert torch.equal(small[name], big[name][:, rows["hidden"]])


@pytest.mark.parametrize("kind", ["ffn", "depth"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "tied_neox"])
def test_other_architectures(kind: str, architecture: str, tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, Qwen3Config, set_seed

    shape = {
        "vocab_size": 600, "hidden_size": 64, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 2,
        "initializer_range": 0.1, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    config = {
        "llama": lambda: LlamaConfig(**shape, num_key_value_heads=1),
        "qwen3": lambda: Qwen3Config(**shape, num_key_value_heads=1, head_dim=32, tie_word_embeddings=True),
        "tied_neox": lambda: GPTNeoXConfig(**shape, tie_word_embeddings=True),
    }[architecture]()
    set_seed(3)
    source = tmp_path / "source"
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    copy_tokenizer(tiny_folder, source)
    Lineage(name="source", parent=None, step="test", method="random").save(source)
    result = PRUNERS[kind](source, small_prepared, tmp_path / "pruned", ratio=0.22, tolerance=0.06)
    model = load_model(tmp_path / "pruned")
    assert model.num_parameters() == result.parameters < result.parameters_before
    assert torch.isfinite(logits_of(model, tmp_path / "pruned")).all()


def test_heads_with_one_matrix_for_both_ends(tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig

    config = GPTNeoXConfig(
        vocab_size=600, hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=True
    )
    source = tmp_path / "source"
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    copy_tokenizer(tiny_folder, source)
    Lineage(name="source", parent=None, step="test", method="random").save(source)
    result = PRUNERS["heads"](source, small_prepared, tmp_path / "pruned", ratio=0.35, tolerance=0.05)
    assert load_model(tmp_path / "pruned").num_parameters() == result.parameters


def test_the_default_shape_loses_a_quarter(tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig

    config = GPTNeoXConfig(vocab_size=2048, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "source")
    copy_tokenizer(tiny_folder, tmp_path / "source")
    Lineage(name="source", parent=None, step="test", method="random").save(tmp_path / "source")
    result = PRUNERS["ffn"](tmp_path / "source", small_prepared, tmp_path / "pruned", ratio=0.25, tolerance=0.02)
    assert result.ratio == pytest.approx(0.25, abs=0.01)
    assert result.ffn_size % 64 == 0


@pytest.mark.parametrize(
    ("kind", "ratio", "reachable"), [("ffn", 0.85, "0.533, 0.571"), ("heads", 0.1, "0.307, 0.575"), ("depth", 0.4, "0.229, 0.458")]
)
def test_a_ratio_out_of_reach_names_those_in_reach(
    kind: str, ratio: float, reachable: str, source: Path, small_prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"prune\.ratio={ratio}.*can only remove.*{reachable}") as error:
        PRUNERS[kind](source, small_prepared, tmp_path / "pruned", ratio=ratio, tolerance=0.01)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "pruned").exists()


def test_shares_named_are_those_nearest() -> None:
    with pytest.raises(UserError) as error:
        nearest({width: 1000 - width for width in range(10, 1000, 10)}, parameters=1000, ratio=0.505, tolerance=0.001, what="widths")
    shares = [float(word) for word in str(error.value).split("only remove ")[1].split(" of")[0].split(", ")]
    assert len(shares) == 12
    assert shares == sorted(shares)
    assert min(shares) < 0.505 < max(shares)


def test_nothing_to_remove_and_no_calibration(make_neox: Callable[..., Path], small_prepared: Path, tmp_path: Path) -> None:
    smallest = make_neox(hidden=64, layers=1, ffn=64, seed=5)
    for kind in PRUNERS:
        with pytest.raises(UserError, match="there are no"):
            PRUNERS[kind](smallest, small_prepared, tmp_path / "pruned", ratio=0.2, tolerance=0.1)
    (tmp_path / "calibration.jsonl").touch()
    with pytest.raises(UserError, match="no calibration item"):
        PRUNERS["ffn"](make_neox(ffn=512, seed=6), tmp_path, tmp_path / "pruned", ratio=0.2, tolerance=0.1)
