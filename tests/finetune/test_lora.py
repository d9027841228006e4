"""LoRA and its kin: the merged folder answers like the adapter, and keeps tokenizer and template."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.batches import IGNORED, collate
from medllm.data.examples import qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.errors import UserError
from medllm.finetune.frozen import dequantised, load_frozen
from medllm.finetune.lora import ADAPTER_FOLDER, FinetuneResult, finetune_lora, merged
from medllm.model.folder import load_model, read_lineage
from medllm.training import Schedule

SCHEDULE = Schedule(
    num_epochs=1.0, batch_tokens=1024, learning_rate=5e-3, warmup_ratio=0.0, weight_decay=0.0, precision="fp32", optimizer="adamw",
    gradient_checkpointing=False, packing=False, checkpoint_steps=0,
)  # fmt: skip
ITEMS: dict[str, Any] = {
    "roles": ["medical"], "grounded_share": 0.5, "reading_share": 1.0, "consultation_share": 1.0, "num_distractors": 1, "max_tokens": 256,
    "seed": 1,
}  # fmt: skip
KNOBS: dict[str, Any] = {
    **ITEMS, "rank": 4, "alpha": 8, "dropout": 0.0, "use_dora": False, "use_rslora": False, "base_precision": "fp32", "target_modules": [],
    "schedule": SCHEDULE,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "qlora_nf4": {"base_precision": "nf4"},
    "qlora_int8": {"base_precision": "int8"},
    "qdora_bf16": {"base_precision": "nf4", "use_dora": True, "schedule": dataclasses.replace(SCHEDULE, precision="bf16", packing=True)},
}
Tuned = tuple[Path, FinetuneResult, str]


@pytest.fixture(scope="module", params=VARIANTS)
def tuned(request: pytest.FixtureRequest, tiny_folder: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    root = tmp_path_factory.mktemp(request.param)
    knobs = {**KNOBS, **VARIANTS[request.param]}
    result = finetune_lora(tiny_folder, few, root / "teacher", checkpoints=root / "checkpoints", **knobs)
    return root / "teacher", result, knobs["base_precision"]


def frozen(source: Path, precision: Any) -> Any:
    return load_frozen(source, base_precision=precision, compute=torch.float32)


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return found


def test_source_and_adapter_are_the_merged_model(tuned: Tuned, tiny_folder: Path) -> None:
    from peft import PeftModel

    target, result, precision = tuned
    assert result.merge_error < 1e-3
    assert result.training.loss_last < result.training.loss_first
    assert 0 < result.trainable_parameters < result.parameters / 5
    ids = torch.tensor([Prompts.load(target).question("감기는 무슨 과인가요?")])
    stored = load_model(target)
    adapted: Any = PeftModel.from_pretrained(dequantised(frozen(tiny_folder, precision)), target / ADAPTER_FOLDER)
    found, expected = logits(stored, ids), logits(adapted, ids)
    assert (found - expected).abs().max() < 0.1  # the folder is stored in bf16, the adapter in fp32
    assert (found - logits(load_model(tiny_folder), ids)).abs().mean() > 10 * (found - expected).abs().mean()
    again = adapted.merge_and_unload().to(torch.bfloat16).float().state_dict()
    for name, weight in stored.state_dict().items():
        assert torch.equal(weight, again[name]), name


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_dequantised_weights_are_those_that_were_trained_on(precision: str, tiny_folder: Path) -> None:
    ids = torch.arange(2, 60)[None]
    model = frozen(tiny_folder, precision)
    model.train()  # for inference bitsandbytes rounds activations or sums as well
    trained = model(input_ids=ids, use_cache=False).logits.detach()
    plain = dequantised(model).eval()
    assert {type(module) for name, module in plain.named_modules() if name.endswith("dense")} == {torch.nn.Linear}
    assert {value.dtype for value in plain.parameters()} == {torch.float32}
    assert not hasattr(plain.config, "quantization_config")
    assert (logits(plain, ids) - trained).abs().max() < 1e-3
    assert (logits(load_model(tiny_folder), ids) - trained).abs().max() > 1e-2  # and not the weights before


def test_files_stay(tuned: Tuned, tiny_folder: Path) -> None:
    target, _, precision = tuned
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        assert (target / name).read_bytes() == (tiny_folder / name).read_bytes()
    before, after = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (tiny_folder, target))
    assert after == before
    lineage = read_lineage(target)
    assert (lineage.name, lineage.parent, lineage.step) == ("teacher", tiny_folder.name, "finetune")
    assert lineage.template_sha256 == Prompts.load(tiny_folder).template.sha256
    assert load_model(target).config.eos_token_id == Prompts.load(target).eos_id
    assert (f"dequantised from {precision}" in str(lineage.notes)) == (precision != "fp32")


def test_a_chat_template_is_carried_over_byte_for_byte(tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    source = tmp_path / "base"
    shutil.copytree(tiny_folder, source)
    (source / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}\r\n{% endfor %}", encoding="utf-8", newline="")
    finetune_lora(source, few, tmp_path / "teacher", checkpoints=tmp_path / "checkpoints", **KNOBS)
    assert (tmp_path / "teacher" / "chat_template.jinja").read_bytes() == (source / "chat_template.jinja").read_bytes()


def test_the_adapter_config_has_one_order(tuned: Tuned) -> None:
    content = json.loads((tuned[0] / ADAPTER_FOLDER / "adapter_config.json").read_text(encoding="utf-8"))
    assert content["target_modules"] == sorted(content["target_modules"])
    assert list(content) == sorted(content)


def test_a_merge_that_changes_the_answers_is_refused(tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted: Any = get_peft_model(load_model(tiny_folder), LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["dense"]))
    examples = qa_examples(read_records(few / "train.jsonl"), Prompts.load(tiny_folder), **ITEMS)[:2]
    adapted.train()  # the adapter's logits with dropout are not those of any weights
    adapted.base_model.model.gpt_neox.layers[0].post_mlp_dropout.p = 0.5
    with pytest.raises(RuntimeError, match="merged logits differ from the adapter's by") as error:
        merged(adapted, tmp_path / "adapter", examples)
    assert "\n" not in str(error.value)


def test_a_merge_that_cannot_be_compared_is_refused(tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    broken: Any = load_model(tiny_folder)
    broken.gpt_neox.final_layer_norm.bias.data[3] = torch.nan  # no layer that is merged, so PEFT sees nothing
    adapted: Any = get_peft_model(broken, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["dense"])).eval()
    examples = qa_examples(read_records(few / "train.jsonl"), Prompts.load(tiny_folder), **ITEMS)[:2]
    with pytest.raises(RuntimeError, match="merged logits differ from the adapter's by nan"):
        merged(adapted, tmp_path / "adapter", examples)


def test_loss_on_answers_only(tiny_folder: Path, few: Path) -> None:
    """What is scored of each example decodes to the answer of its record and EOS; the question and its fact bear no loss."""
    prompts = Prompts.load(tiny_folder)
    records = [record for record in read_records(few / "train.jsonl") if record.role == "medical" and record.kind == "qa"]
    assert len(records) > 5
    examples = qa_examples(records, prompts, **{**ITEMS, "grounded_share": 0.0})
    labels = collate([examples])["labels"]
    for record, row in zip(records, labels, strict=True):
        scored = row[row != IGNORED].tolist()
        assert scored[-1] == prompts.eos_id
        answer = record.options[record.answer_index] if record.options and record.answer_index is not None else record.answer
        assert prompts.tokenizer.decode(scored[:-1]).strip() == answer.strip()


def as_architecture(kind: str, tokenizer_from: Path, folder: Path) -> Path:
    """A random model of this architecture with the tokenizer of the miniature."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from medllm.model.folder import Lineage, save_model

    torch.manual_seed(0)
    neox = load_model(tokenizer_from).config
    config = AutoConfig.for_model(
        kind, vocab_size=neox.vocab_size, hidden_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
        intermediate_size=128, max_position_embeddings=256, initializer_range=0.15, bos_token_id=neox.bos_token_id,
        eos_token_id=neox.eos_token_id, pad_token_id=neox.pad_token_id,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    save_model(model, folder, tokenizer_from=tokenizer_from, lineage=Lineage(name=kind, parent=None, step="test", method="random"))
    return folder


LLAMA_TARGETS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


@pytest.mark.parametrize(("kind", "wanted", "targets"), [
    ("gpt_neox", [], ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]),
    ("gpt_neox", ["query_key_value"], ["query_key_value"]),
    ("llama", [], LLAMA_TARGETS),
    ("qwen3", [], LLAMA_TARGETS),
])  # fmt: skip
def test_every_linear_layer_of_a_block_gets_an_adapter(
    kind: str, wanted: list[str], targets: list[str], tiny_folder: Path, few: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    source = tiny_folder if kind == "gpt_neox" else as_architecture(kind, tiny_folder, tmp_path / kind)
    result = finetune_lora(
        source, few, tmp_path / "teacher", checkpoints=tmp_path / "checkpoints", **{**KNOBS, "target_modules": wanted, "rank": 2}
    )
    assert result.merge_error < 1e-3
    adapter = load_file(tmp_path / "teacher" / ADAPTER_FOLDER / "adapter_model.safetensors")
    assert sorted({name.split(".")[-3] for name in adapter}) == targets
    before, after = load_model(source).state_dict(), load_model(tmp_path / "teacher").state_dict()
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(targets)


@pytest.mark.parametrize(("change", "message"), [
    ({"target_modules": ["dense", "q_proj"]}, "'q_proj' is no linear layer"),
    ({"max_tokens": 3}, "max_tokens=3"),
    ({"base_precision": "int4"}, "finetune.base_precision: 'int4' is unknown; use one of fp32, nf4, int8"),
])  # fmt: skip
def test_wrong_knobs_are_one_line(change: dict[str, Any], message: str, tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        finetune_lora(tiny_folder, few, tmp_path / "teacher", checkpoints=tmp_path / "checkpoints", **{**KNOBS, **change})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "teacher").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="PEFT has it on a GPU")
def test_dora_on_int8_is_refused_on_a_cpu(tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take base_precision nf4 or fp32"):
        finetune_lora(
            tiny_folder, few, tmp_path / "teacher", checkpoints=tmp_path, **{**KNOBS, "use_dora": True, "base_precision": "int8"}
        )


def test_widths_that_nf4_cannot_take_are_named(make_neox: Callable[..., Path], few: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dense_4h_to_h \(96\); NF4 needs widths that are a multiple of 64; take .* int8 or fp32"):
        finetune_lora(
            make_neox(hidden=64, layers=1, ffn=96), few, tmp_path / "teacher", checkpoints=tmp_path, **{**KNOBS, "base_precision": "nf4"}
        )


def test_a_quantised_source_is_refused(quantised_folder: Path, tiny_gguf: dict[str, Path], few: Path, tmp_path: Path) -> None:
    for source, told in (
        (quantised_folder, "already quantised (bitsandbytes), so it cannot be fine-tuned; take student, which it was made from"),
        (tiny_gguf["q4_0"], "already quantised (GGUF)"),
    ):  # fmt: skip
        with pytest.raises(UserError) as error:
            finetune_lora(source, few, tmp_path / "teacher", checkpoints=tmp_path, **KNOBS)
        assert told in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "teacher").exists()


def test_a_loss_that_is_no_number_leaves_no_model(tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    schedule = dataclasses.replace(SCHEDULE, learning_rate=1e30, num_epochs=3.0)
    with pytest.raises(RuntimeError, match="lower learning_rate") as error:
        finetune_lora(tiny_folder, few, tmp_path / "teacher", checkpoints=tmp_path, **{**KNOBS, "schedule": schedule})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "teacher").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_qlora_on_a_gpu(precision: str, tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    schedule = dataclasses.replace(
        SCHEDULE, precision="bf16", optimizer="adamw_8bit", gradient_checkpointing=True, packing=True, checkpoint_steps=2
    )
    knobs = {**KNOBS, "rank": 32, "base_precision": precision, "schedule": schedule}  # matrices over 4096 weights, so that 8 bit is used
    result = finetune_lora(tiny_folder, few, tmp_path / "teacher", checkpoints=tmp_path / "checkpoints", **knobs)
    assert result.training.loss_last < result.training.loss_first
    assert result.merge_error < 1e-2
    assert {value.device.type for value in load_model(tmp_path / "teacher").parameters()} == {"cpu"}


def test_the_map_of_pruning_goes_along(tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_folder, tmp_path / "pruned"))
    (source / "prune_map.json").write_text('{"layers": [0, 1]}\n', encoding="utf-8")
    knobs = {**KNOBS, "schedule": dataclasses.replace(SCHEDULE, num_epochs=0.1)}
    finetune_lora(source, few, tmp_path / "student", checkpoints=tmp_path / "checkpoints", **knobs)
    assert (tmp_path / "student" / "prune_map.json").read_bytes() == (source / "prune_map.json").read_bytes()
