"""LoRA: the merged folder answers like the adapter, and keeps tokenizer and template."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.data.prompts import Prompts
from medllm.errors import UserError
from medllm.finetune.lora import ADAPTER_FOLDER, FinetuneResult, finetune_lora
from medllm.model.folder import load_model, read_lineage
from medllm.training import Schedule

KNOBS: dict[str, Any] = {
    "rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    "roles": ["medical"], "grounded_share": 0.5, "reading_share": 1.0, "consultation_share": 1.0,
    "num_distractors": 1, "max_tokens": 256, "seed": 1,
    "schedule": Schedule(
        num_epochs=1.0, batch_tokens=1024, learning_rate=5e-3, warmup_ratio=0.0, weight_decay=0.0, precision="fp32", checkpoint_steps=0
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tiny_folder: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinetuneResult]:
    root = tmp_path_factory.mktemp("tuned")
    return root / "teacher", finetune_lora(tiny_folder, few, root / "teacher", checkpoints=root / "checkpoints", **KNOBS)


def test_merged_equals_adapter(tuned: tuple[Path, FinetuneResult], tiny_folder: Path) -> None:
    from peft import PeftModel

    target, result = tuned
    assert result.merge_error < 1e-3
    assert result.training.loss_last < result.training.loss_first
    assert 0 < result.trainable_parameters < result.parameters / 5
    ids = torch.tensor([Prompts.load(target).question("감기는 무슨 과인가요?")])
    with torch.inference_mode():
        merged = load_model(target)(input_ids=ids).logits
        before = load_model(tiny_folder)(input_ids=ids).logits
        adapted = PeftModel.from_pretrained(load_model(tiny_folder), target / ADAPTER_FOLDER)(input_ids=ids).logits
    # the folder is stored in bf16, the adapter in fp32
    assert (merged - adapted).abs().max() < 0.1
    assert (merged - before).abs().mean() > 10 * (merged - adapted).abs().mean()


def test_tokenizer_and_template_stay(tuned: tuple[Path, FinetuneResult], tiny_folder: Path) -> None:
    target, _ = tuned
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt.json"):
        assert (target / name).read_bytes() == (tiny_folder / name).read_bytes()
    lineage = read_lineage(target)
    assert (lineage.name, lineage.parent, lineage.step) == ("teacher", tiny_folder.name, "finetune")
    assert lineage.template_sha256 == Prompts.load(tiny_folder).template.sha256
    assert load_model(target).config.eos_token_id == Prompts.load(target).eos_id


@pytest.mark.parametrize(
    ("change", "message"), [({"target_modules": ["dense", "q_proj"]}, "'q_proj' is no linear layer"), ({"max_tokens": 3}, "max_tokens=3")]
)
def test_wrong_knobs_are_one_line(change: dict[str, Any], message: str, tiny_folder: Path, few: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        finetune_lora(tiny_folder, few, tmp_path / "teacher", checkpoints=tmp_path / "checkpoints", **{**KNOBS, **change})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "teacher").exists()


def test_the_adapter_config_has_one_order(tuned: tuple[Path, FinetuneResult]) -> None:
    content = json.loads((tuned[0] / ADAPTER_FOLDER / "adapter_config.json").read_text(encoding="utf-8"))
    assert content["target_modules"] == sorted(content["target_modules"])
    assert list(content) == sorted(content)
