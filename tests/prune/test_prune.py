"""Pruning keeps its ratio, removes what does least, and leaves a stock model."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pruners import PRUNERS, RATIOS, TOLERANCE
from torch import Tensor

from medllm.calibration import calibration_batches
from medllm.data.prompts import Prompts
from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.model.folder import load_model, read_lineage, save_model
from medllm.prune.depth import layers_to_keep
from medllm.prune.shapes import Sizes
from medllm.quantize.gguf import quantize_gguf

Rewrite = Callable[[Path, Callable[[Any], None]], Path]
Read = Callable[[Path], dict[str, list[int]]]


@torch.inference_mode()
def logits_of(model: Any, folder: Path) -> Tensor:
    ids = Prompts.load(folder).question("고혈압은 무슨 과인가요? 12.5 mg/dL")
    return model(input_ids=torch.tensor([ids])).logits.float()


def half_of_the_ffn(folder: Path) -> float:
    """Its share of the parameters."""
    sizes = Sizes.of(load_model(folder))
    return sizes.removed(replace(sizes.source, ffn=256), "parameters")


def answers(folder: Path, gguf: Path) -> tuple[list[list[float]], list[list[float]]]:
    """Log-probabilities of the same ids by llama.cpp and by transformers."""
    schemes = dict.fromkeys(("scheme", "sensitive_scheme", "head_scheme"), "f16")
    quantize_gguf(folder, Path("unused"), gguf, **schemes, importance="none", batch_rows=8, max_tokens=128)  # type: ignore[arg-type]
    ids = Prompts.load(folder).question("위염에는 어떤 약을 쓰나요?")
    engine, reference = open_engine(gguf, threads=1), open_engine(folder, threads=1, dtype="fp32")
    both = engine.token_logprobs([ids]), reference.token_logprobs([ids])
    engine.close()
    return both


@pytest.mark.parametrize("method", list(PRUNERS))
@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "qwen3"])
def test_every_method_on_every_architecture(
    kind: str, method: str, miniature: Callable[[str], Path], small_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    kept_in: Read,
) -> None:  # fmt: skip
    from transformers import AutoModelForCausalLM, PreTrainedModel

    source, target, in_memory = miniature(kind), tmp_path / "pruned", []
    save = PreTrainedModel.save_pretrained

    def seen(self: Any, *args: Any, **kwargs: Any) -> Any:
        model = copy.deepcopy(self).float()
        model.base_model.rotary_emb = type(model.base_model.rotary_emb)(model.config)  # its table is not stored, and was rounded to bf16
        in_memory.append(logits_of(model, source))
        return save(self, *args, **kwargs)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", seen)
    ratio = 0.15 if method == "heads" and kind != "gpt_neox" else RATIOS[method]
    result = PRUNERS[method](source, small_prepared, target, ratio=ratio, tolerance=TOLERANCE)

    model: Any = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
    before: Any = load_model(source)
    config, old = model.config, before.config
    assert torch.equal(logits_of(model, target), in_memory[0])
    assert (result.parameters_before, result.parameters) == (before.num_parameters(), model.num_parameters())
    assert result.ratio == pytest.approx(1 - result.parameters / result.parameters_before)
    assert abs(result.ratio - ratio) <= TOLERANCE
    assert result.weight_bytes == sum(v.numel() * 2 for v in model.parameters())
    unread = 0 if kind == "qwen3" else model.get_input_embeddings().weight.numel() * 2
    assert result.decode_bytes == result.weight_bytes - unread < result.decode_bytes_before
    assert (result.hidden_size, result.num_heads) == (config.hidden_size, config.num_attention_heads)
    assert (result.num_layers, result.ffn_size) == (config.num_hidden_layers, config.intermediate_size)
    assert 0 < result.calibration_loss_before < 20
    assert 0 < result.calibration_loss < 20
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert module.in_features % 64 == 0, name
    if kind == "gpt_neox":
        assert config.hidden_size // config.num_attention_heads == 64
    else:
        assert config.head_dim == 64
        assert config.num_attention_heads == 2 * config.num_key_value_heads
    cuts = {
        "ffn": config.intermediate_size < old.intermediate_size, "heads": config.num_attention_heads < old.num_attention_heads,
        "hidden": config.hidden_size < old.hidden_size, "depth": config.num_hidden_layers < old.num_hidden_layers,
    }  # fmt: skip
    made = {axis for axis, cut in cuts.items() if cut}
    with_heads = {"heads", "hidden"} if kind == "gpt_neox" else {"heads"}
    assert made in {
        "ffn": [{"ffn"}], "depth": [{"depth"}], "heads": [with_heads], "combined": [made],
        "width": [{"heads", "hidden", "ffn"}, {"hidden", "ffn"}],  # of two key-value heads a half would go: more than of the others
    }[method]
    lineage = read_lineage(target)
    assert (lineage.parent, lineage.step, lineage.params["ratio"]) == (source.name, "prune", ratio)
    rows = kept_in(target)
    assert (len(rows["layers"]), len(rows["hidden"])) == (config.num_hidden_layers, config.hidden_size)
    assert set(rows) == {"layers", "hidden", *(f"layer.{i}.{part}" for i in rows["layers"] for part in ("ffn", "heads"))}
    for index in rows["layers"]:
        assert len(rows[f"layer.{index}.ffn"]) == config.intermediate_size
        assert len(rows[f"layer.{index}.heads"]) == config.num_attention_heads
    for indices in rows.values():
        assert indices == sorted(set(indices))
    if method == "combined":
        gguf, reference = answers(target, tmp_path / "gguf")
        assert torch.allclose(torch.tensor(gguf), torch.tensor(reference), atol=0.05)


@pytest.mark.parametrize("kind", ["gpt_neox", "qwen3"])
def test_dead_channels_go_first_and_nothing_is_lost(
    kind: str, miniature: Callable[[str], Path], rewritten: Rewrite, small_prepared: Path, tmp_path: Path, kept_in: Read
) -> None:
    dead = torch.randperm(512, generator=torch.Generator().manual_seed(1))[:256]

    def kill(model: Any) -> None:
        for layer in model.base_model.layers:
            out = layer.mlp.dense_4h_to_h if kind == "gpt_neox" else layer.mlp.down_proj
            out.weight[:, dead] = 0

    planted = rewritten(miniature(kind), kill)
    result = PRUNERS["ffn"](planted, small_prepared, tmp_path / "pruned", ratio=half_of_the_ffn(planted), tolerance=0.001)
    assert result.ffn_size == 256
    rows = kept_in(tmp_path / "pruned")
    for index in range(4):
        assert set(rows[f"layer.{index}.ffn"]) == set(range(512)) - set(dead.tolist())
    assert result.calibration_loss == pytest.approx(result.calibration_loss_before, abs=1e-3)
    before, after = (logits_of(load_model(folder), folder) for folder in (planted, tmp_path / "pruned"))
    assert torch.allclose(before, after, atol=1e-3)


def test_what_a_channel_adds_on_average_stays_in_the_bias(
    miniature: Callable[[str], Path], rewritten: Rewrite, small_prepared: Path, tmp_path: Path, kept_in: Read
) -> None:
    def constant(model: Any) -> None:
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_h_to_4h.weight[:256] = 0  # always the same activation, small but not nothing
            layer.mlp.dense_h_to_4h.bias[:256] = 0.02

    planted = rewritten(miniature("gpt_neox"), constant)
    PRUNERS["ffn"](planted, small_prepared, tmp_path / "pruned", ratio=half_of_the_ffn(planted), tolerance=0.001, ridge=None)
    assert min(kept_in(tmp_path / "pruned")["layer.0.ffn"]) == 256
    before, after = (logits_of(load_model(folder), folder) for folder in (planted, tmp_path / "pruned"))
    assert (before - after).abs().max() < 0.02


@pytest.mark.parametrize("method", ["depth", "angular", "iterative"])
@pytest.mark.parametrize("kind", ["gpt_neox", "llama"])
def test_layers_that_do_nothing_go_first(
    kind: str, method: str, miniature: Callable[[str], Path], rewritten: Rewrite, small_prepared: Path, tmp_path: Path, kept_in: Read
) -> None:
    def kill(model: Any) -> None:
        for layer in model.base_model.layers[1:3]:
            for name in ("attention.dense", "mlp.dense_4h_to_h") if kind == "gpt_neox" else ("self_attn.o_proj", "mlp.down_proj"):
                for value in layer.get_submodule(name).parameters():
                    value.zero_()

    planted = rewritten(miniature(kind), kill)
    knobs: dict[str, Any] = {"angular": {"metric": "angular_distance"}, "iterative": {"iterative": True}}.get(method, {})
    result = PRUNERS["depth"](planted, small_prepared, tmp_path / "pruned", ratio=0.45, tolerance=TOLERANCE, **knobs)
    assert kept_in(tmp_path / "pruned")["layers"] == [0, 3]
    assert result.calibration_loss == pytest.approx(result.calibration_loss_before, abs=1e-3)


def test_a_block_of_layers_goes_as_one(miniature: Callable[[str], Path], rewritten: Rewrite, small_prepared: Path) -> None:
    """Layer 2 undoes what layer 1 does: each is far from nothing, both together are nothing."""
    def cancel(model: Any) -> None:
        model.config.use_parallel_residual = True
        for place, layer in enumerate(model.gpt_neox.layers):
            layer.attention.dense.weight.zero_()
            layer.attention.dense.bias.zero_()
            if place in (1, 2):
                layer.mlp.dense_4h_to_h.weight.zero_()
                layer.mlp.dense_4h_to_h.bias[:128] = 9.0 if place == 1 else -9.0
            else:
                layer.mlp.dense_4h_to_h.bias[128:] = 1.0

    folder = rewritten(miniature("gpt_neox"), cancel)
    model, batches = load_model(folder), calibration_batches(small_prepared, folder, batch_rows=8, max_tokens=256)
    assert layers_to_keep(model, batches, keep=2, metric="angular_distance", iterative=False) == [0, 3]
    assert layers_to_keep(model, batches, keep=2, metric="block_influence", iterative=False) != [0, 3]


@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "qwen3"])
def test_strong_heads_and_channels_stay_and_the_rest_is_cut_alike(
    kind: str, miniature: Callable[[str], Path], rewritten: Rewrite, small_prepared: Path, tmp_path: Path, kept_in: Read
) -> None:
    strong, quiet = [1, 0, 0, 1], range(32, 96)

    def plant(model: Any) -> None:
        for layer, group in zip(model.base_model.layers, strong, strict=True):
            if kind == "gpt_neox":
                layer.attention.query_key_value.weight.view(4, 3, 64, 256)[group, 2] *= 20
            else:
                layer.self_attn.v_proj.weight[group * 64 : (group + 1) * 64] *= 20
            for norm in (layer.input_layernorm, layer.post_attention_layernorm, *model.base_model.children()):
                if "Norm" in type(norm).__name__:
                    for value in norm.parameters():
                        value[quiet] = 0

    planted = rewritten(miniature(kind), plant)
    result = PRUNERS["width"](planted, small_prepared, tmp_path / "pruned", ratio=0.5, tolerance=TOLERANCE, ridge=None)
    rows, hidden = kept_in(tmp_path / "pruned"), len(load_model(planted).get_input_embeddings().weight[0])
    assert result.hidden_size < hidden
    assert not set(rows["hidden"]) & set(quiet) or result.hidden_size > hidden - 64
    share = 1 if kind == "gpt_neox" else 2
    assert all(group * share in rows[f"layer.{index}.heads"] for index, group in enumerate(strong))
    big, small = (load_model(folder).state_dict() for folder in (planted, tmp_path / "pruned"))
    for index in range(4):
        heads, ffn, keep = rows[f"layer.{index}.heads"], rows[f"layer.{index}.ffn"], rows["hidden"]
        if kind == "gpt_neox":
            layer = f"gpt_neox.layers.{index}."
            name = layer + "attention.query_key_value.weight"
            assert torch.equal(small[name], big[name].view(4, 3, 64, hidden)[heads][..., keep].reshape(-1, len(keep)))
            name, entering = layer + "attention.dense.weight", [layer + "mlp.dense_h_to_4h.weight"]
        else:
            layer = f"model.layers.{index}."
            name = layer + "self_attn.q_proj.weight"
            assert torch.equal(small[name], big[name].view(4, 64, hidden)[heads][..., keep].reshape(-1, len(keep)))
            name = layer + "self_attn.k_proj.weight"
            assert torch.equal(small[name], big[name].view(2, 64, hidden)[[h // 2 for h in heads[::2]]][..., keep].reshape(-1, len(keep)))
            name, entering = layer + "self_attn.o_proj.weight", [layer + "mlp.gate_proj.weight", layer + "mlp.up_proj.weight"]
        assert torch.equal(small[name], big[name].view(hidden, 4, 64)[keep][:, heads].flatten(1))
        assert all(torch.equal(small[name], big[name][ffn][:, keep]) for name in entering)


def test_tied_embeddings_stay_tied(miniature: Callable[[str], Path], small_prepared: Path, tmp_path: Path) -> None:
    result = PRUNERS["width"](miniature("tied_neox"), small_prepared, tmp_path / "pruned", ratio=0.4, tolerance=TOLERANCE)
    model: Any = load_model(tmp_path / "pruned")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert (model.num_parameters(), result.decode_bytes) == (result.parameters, result.weight_bytes)


def test_combined_keeps_the_bytes_read_per_token(miniature: Callable[[str], Path], small_prepared: Path, tmp_path: Path) -> None:
    knobs = {"budget": "decode_bytes", "candidates": 1}
    result = PRUNERS["combined"](miniature("llama"), small_prepared, tmp_path / "pruned", ratio=0.3, tolerance=0.02, **knobs)
    assert abs(1 - result.decode_bytes / result.decode_bytes_before - 0.3) <= 0.02
    assert result.ratio < 0.3


def test_combined_takes_the_layer_that_does_nothing(learned: Path, small_prepared: Path, tmp_path: Path, kept_in: Read) -> None:
    model: Any = load_model(learned)
    dead = copy.deepcopy(model.gpt_neox.layers[0])
    for value in (*dead.attention.dense.parameters(), *dead.mlp.dense_4h_to_h.parameters()):
        value.data.zero_()
    model.gpt_neox.layers.insert(1, dead)
    model.config.num_hidden_layers = 3
    planted = tmp_path / "planted"
    save_model(model, planted, tokenizer_from=learned, lineage=read_lineage(learned))
    share = sum(value.numel() for value in dead.parameters()) / load_model(planted).num_parameters()
    result = PRUNERS["combined"](planted, small_prepared, tmp_path / "pruned", ratio=share, tolerance=0.05)
    assert kept_in(tmp_path / "pruned")["layers"] == [0, 2]
    assert result.calibration_loss == pytest.approx(result.calibration_loss_before, abs=1e-3)


@pytest.mark.parametrize(
    ("method", "knobs", "error"),
    [
        ("ffn", {"ratio": 0.85}, r"prune\.ratio=0\.85: ffn widths in steps of 64 can only remove .*0\.3\d\d of the parameters; take one"),
        ("heads", {"ratio": 0.1}, r"prune\.ratio=0\.1: .*can only remove 0\.\d+, 0\.\d+, 0\.\d+ of"),
        ("depth", {"ratio": 0.4}, r"prune\.ratio=0\.4: whole layers can only remove 0\.\d+, 0\.\d+, 0\.\d+ of"),
        ("combined", {"ratio": 0.3, "round_to": 256, "axes": ["ffn"]}, r"prune\.ratio=0\.3: layers and ffn widths can only remove"),
        ("ffn", {"ratio": 0.3, "axes": ["ffn", "neck"]}, r"prune\.axes: 'neck' is none of ffn, heads, hidden"),
        ("combined", {"ratio": 0.3, "axes": []}, r"prune\.axes: an empty list is none of"),
        ("ffn", {"ratio": 0.3, "round_to": 512}, "there are no ffn widths in steps of 512 to remove"),
        ("ffn", {"ratio": 0.25, "max_tokens": 8}, "no calibration item of at most 8 tokens"),
    ],
)
def test_bad_input_is_one_clear_line(
    method: str, knobs: dict[str, Any], error: str, miniature: Callable[[str], Path], small_prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=error) as raised:
        PRUNERS[method](miniature("gpt_neox"), small_prepared, tmp_path / "pruned", **{"tolerance": 0.01, **knobs})
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "pruned").exists()


def test_a_quantised_source_is_refused(quantised_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    for method, prune in PRUNERS.items():
        with pytest.raises(UserError, match=r"already quantised \(bitsandbytes\), so it cannot be pruned; take student, which"):
            prune(quantised_folder, small_prepared, tmp_path / "pruned", ratio=RATIOS[method], tolerance=TOLERANCE)


def test_a_calibration_set_that_is_empty_or_too_short(miniature: Callable[[str], Path], small_prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "calibration.jsonl").touch()
    for method, prune in PRUNERS.items():
        with pytest.raises(UserError, match=r"calibration\.jsonl: no calibration item"):
            prune(miniature("gpt_neox"), tmp_path, tmp_path / "pruned", ratio=RATIOS[method], tolerance=TOLERANCE)
    items = (small_prepared / "calibration.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "calibration.jsonl").write_text(items[0], encoding="utf-8")
    with pytest.raises(UserError, match=r"calibration\.jsonl: \d+ tokens cannot rank 256 hidden channels; raise data\.num_calibration"):
        PRUNERS["ffn"](miniature("gpt_neox"), tmp_path, tmp_path / "pruned", ratio=0.25, tolerance=TOLERANCE, max_tokens=1000)
