"""Bits go to the matrices that the model was measured to need, within the budget, and the table says which."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file, save_file

from medllm.calibration import calibration_batches
from medllm.errors import UserError
from medllm.model.folder import Lineage, load_model, save_model
from medllm.quantize.gguf_mixed import SENSITIVITY_FILE, Candidate, choose_high, quantize_gguf_mixed
from medllm.quantize.gguf_sensitivity import divergences

KNOBS: dict[str, Any] = {
    "low_scheme": "q4_k", "high_scheme": "q6_k", "bits_per_weight": 5.6, "importance": "none", "num_rows": 4, "batch_rows": 4,
    "max_tokens": 128,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(make_neox: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose FFNs hardly count, and whose first attention counts more than its second."""
    folder = make_neox(hidden=256, layers=2, ffn=256)
    model: Any = load_model(folder)
    with torch.no_grad():
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_4h_to_h.weight *= 0.01
        model.gpt_neox.layers[1].attention.dense.weight *= 0.2
    target = tmp_path_factory.mktemp("mixed") / "source"
    save_model(model, target, tokenizer_from=folder, lineage=Lineage(name="source", parent=None, step="test", method="random"))
    return target


def _candidate(name: str, kl: float, extra: int) -> Candidate:
    return Candidate(tensors=(name,), kl=kl, extra_bytes=extra)


@pytest.mark.parametrize(
    ("spare", "chosen"),
    [(0, ""), (9, ""), (10, "c"), (29, "c"), (30, "ca"), (70, "ca"), (119, "ca"), (130, "cab"), (1000, "cab")],
)
def test_most_nats_a_byte_first_and_never_over_the_budget(spare: int, chosen: str) -> None:
    # per byte: a 0.05, b 0.04, c 0.1; d is not larger in the high type, e loses nothing
    rows = [_candidate("a", 1, 20), _candidate("b", 4, 100), _candidate("c", 1, 10), _candidate("d", 9, 0), _candidate("e", 0, 1)]
    assert {candidate.tensors[0] for candidate in choose_high(rows, spare)} == set(chosen)
    assert choose_high(rows[::-1], spare) == choose_high(rows, spare)


def test_the_matrix_the_model_lives_on_gets_the_bits(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    results = [quantize_gguf_mixed(source, small_prepared, tmp_path / name, **KNOBS) for name in ("first", "second")]
    assert results[0] == results[1]
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")]
    assert files[0] == files[1]
    result, table = results[0], json.loads(files[0][SENSITIVITY_FILE])
    rows = table["matrices"]
    gains = [row["kl"] / row["extra_bytes"] for row in rows]
    assert gains == sorted(gains, reverse=True)
    order = [row["tensors"][0] for row in rows]
    assert order.index("blk.0.attn_output.weight") < order.index("blk.1.attn_output.weight")
    assert set(order[-4:]) == {f"blk.{layer}.{part}.weight" for layer in (0, 1) for part in ("ffn_up", "ffn_down")}
    assert (rows[0]["scheme"], rows[-1]["scheme"]) == ("q6_k", "q4_k")
    types = {tensor.name: tensor.tensor_type.name.lower() for tensor in GGUFReader(tmp_path / "first" / "model.gguf").tensors}
    assert all(types[name] == row["scheme"] for row in rows for name in row["tensors"])
    assert len(rows) == 10
    assert result.bits_per_weight == table["bits_per_weight"] <= 5.6
    assert result.tensors == {"f32": 18, "q4_k": sum(r["scheme"] == "q4_k" for r in rows), "q6_k": sum(r["scheme"] == "q6_k" for r in rows)}
    assert result.scheme == "q4_k+q6_k"


def test_the_measured_divergence_is_that_of_the_written_model(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    quantize_gguf_mixed(source, small_prepared, tmp_path, **{**KNOBS, "bits_per_weight": 4.7})
    rows = json.loads((tmp_path / SENSITIVITY_FILE).read_text(encoding="utf-8"))["matrices"]
    assert {row["scheme"] for row in rows} == {"q4_k"}  # the budget is a breath above the least
    row = next(row for row in rows if row["tensors"] == ["blk.1.attn_output.weight"])
    tensor = next(t for t in GGUFReader(tmp_path / "model.gguf").tensors if t.name == "blk.1.attn_output.weight")
    model: Any = load_model(source)
    batch = calibration_batches(small_prepared, source, batch_rows=4, max_tokens=128)[0]
    scored = batch["labels"][:, 1:] >= 0

    def log_probs() -> torch.Tensor:
        with torch.inference_mode():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return torch.log_softmax(logits[:, :-1][scored], dim=-1)

    before = log_probs()
    with torch.no_grad():
        model.gpt_neox.layers[1].attention.dense.weight.copy_(torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()))
    wanted = float((before.exp() * (before - log_probs())).sum(dim=-1).mean())
    assert row["kl"] == pytest.approx(wanted, rel=0.01)


def test_measuring_leaves_the_model_as_it_was(source: Path, small_prepared: Path) -> None:
    model: Any = load_model(source)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = calibration_batches(small_prepared, source, batch_rows=4, max_tokens=128)[:1]
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.ndim > 1}
    found = divergences(model, batches, parameters, lambda name, weights: weights * (0 if "dense.weight" in name else 1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name for name, value in found.items() if value > 1e-6} == {name for name in parameters if "dense.weight" in name}


def test_a_tied_matrix_is_one_candidate(make_tied: Callable[[str], Path], small_prepared: Path, tmp_path: Path) -> None:
    for kind, tensors in (("llama", ["token_embd.weight"]), ("gpt_neox", ["token_embd.weight", "output.weight"])):
        knobs = {**KNOBS, "importance": "activations", "bits_per_weight": 5.0}
        quantize_gguf_mixed(make_tied(kind), small_prepared, tmp_path / kind, **knobs)
        rows = json.loads((tmp_path / kind / SENSITIVITY_FILE).read_text(encoding="utf-8"))["matrices"]
        assert [row["tensors"] for row in rows if "token_embd.weight" in row["tensors"]] == [tensors]


def test_as_many_sequences_are_measured_as_were_asked_for(source: Path, small_prepared: Path, tmp_path: Path) -> None:
    """Whatever batches they come in."""

    def measured(batch_rows: int) -> dict[str, float]:
        knobs = {**KNOBS, "num_rows": 3, "batch_rows": batch_rows}
        quantize_gguf_mixed(source, small_prepared, tmp_path / str(batch_rows), **knobs)
        table = json.loads((tmp_path / str(batch_rows) / SENSITIVITY_FILE).read_text(encoding="utf-8"))["matrices"]
        return {row["tensors"][0]: row["kl"] for row in table}

    expected = measured(3)
    for batch_rows in (2, 8):
        assert measured(batch_rows) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_tied_matrix_that_is_stored_twice_is_written_once(
    kind: str, make_tied: Callable[[str], Path], small_prepared: Path, tmp_path: Path, plain_gguf: Callable[..., Any]
) -> None:
    once, name = make_tied(kind), {"llama": "lm_head.weight", "gpt_neox": "embed_out.weight"}[kind]
    twice = Path(shutil.copytree(once, tmp_path / "twice"))
    tensors = load_file(twice / "model.safetensors")
    embedding = next(tensor for key, tensor in tensors.items() if "embed" in key)
    save_file({**tensors, name: embedding.clone()}, twice / "model.safetensors", metadata={"format": "pt"})
    results = []
    for source in (once, twice):
        mixed, plain = tmp_path / f"{source.name}_mixed", tmp_path / f"{source.name}_f16"
        found = [quantize_gguf_mixed(source, small_prepared, mixed, **{**KNOBS, "bits_per_weight": 5.0}), plain_gguf(source, plain, "f16")]
        files = (mixed / SENSITIVITY_FILE, mixed / "model.gguf", plain / "model.gguf")
        results.append((found, [file.read_bytes() for file in files]))
    assert results[0] == results[1]


def test_an_output_matrix_of_its_own_is_written_whatever_the_config_says(
    make_tied: Callable[[str], Path], small_prepared: Path, tmp_path: Path
) -> None:
    """transformers ties the two only where they are equal, so the file must have both."""
    folder = make_tied("llama")
    tensors = load_file(folder / "model.safetensors")
    other = -tensors["model.embed_tokens.weight"]
    save_file({**tensors, "lm_head.weight": other}, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(load_model(folder).get_output_embeddings().weight, other.float())
    quantize_gguf_mixed(folder, small_prepared, tmp_path / "x", **{**KNOBS, "bits_per_weight": 5.0})
    output = next(t for t in GGUFReader(tmp_path / "x" / "model.gguf").tensors if t.name == "output.weight")
    found = torch.from_numpy(dequantize(output.data, output.tensor_type).copy())
    assert (found - other.float()).norm() < 0.2 * other.float().norm()


@pytest.fixture
def make_tied(tiny_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig

    def make(kind: str) -> Path:
        shape = {
            "vocab_size": load_model(tiny_folder).config.vocab_size, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1,
            "num_attention_heads": 4, "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
        }  # fmt: skip
        model = AutoModelForCausalLM.from_config({"llama": LlamaConfig, "gpt_neox": GPTNeoXConfig}[kind](**shape))
        lineage = Lineage(name=kind, parent=None, step="test", method="random")
        save_model(model, tmp_path / f"tied_{kind}", tokenizer_from=tiny_folder, lineage=lineage)
        return tmp_path / f"tied_{kind}"

    return make


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"bits_per_weight": 4.2}, "4.2 cannot be met; q4_k everywhere is 4.6"),
        ({"bits_per_weight": 8.0}, "8.0 cannot be met"),
        ({"low_scheme": "q6_k", "high_scheme": "q4_k"}, "cannot be met"),
        ({"low_scheme": "q2_k"}, "low_scheme.*q2_k"),
        ({"high_scheme": "int8"}, "high_scheme.*int8"),
        ({"importance": "hessian"}, "hessian"),
        ({"max_tokens": 2}, "no calibration item"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(
    knobs: dict[str, Any], said: str, source: Path, small_prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said) as error:
        quantize_gguf_mixed(source, small_prepared, tmp_path / "x", **{**KNOBS, **knobs})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()
