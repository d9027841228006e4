"""LoRA (Hu et al. 2021, arXiv 2106.09685) by PEFT, loss on answers only, merged into the weights."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from medllm.batches import collate
from medllm.data.examples import qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.errors import UserError
from medllm.model.architecture import check_linear_names
from medllm.model.folder import Lineage, load_model, save_model, sha256_of
from medllm.training import LogFunction, Schedule, TrainResult, train

ADAPTER_FOLDER = "adapter"
# fp32 sums in another order; far below one bf16 step of a logit near 10 (0.06).
_MERGE_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneResult:
    """What the step did. `merge_error` is the largest absolute logit difference between adapter and merged model."""

    parameters: int
    trainable_parameters: int
    examples: int
    merge_error: float
    training: TrainResult


def sort_adapter_config(folder: Path) -> None:
    """PEFT writes its set of target modules in the order of this process's hash seed: sorted, equal inputs give equal bytes."""
    path = folder / "adapter_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["target_modules"] = sorted(content["target_modules"])
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def finetune_lora(
    source: Path, prepared: Path, target: Path, *, rank: int, alpha: int, dropout: float, target_modules: Sequence[str],
    roles: Sequence[str], grounded_share: float, reading_share: float, consultation_share: float, num_distractors: int,
    max_tokens: int, schedule: Schedule, seed: int, checkpoints: Path, on_log: LogFunction | None = None,
) -> FinetuneResult:  # fmt: skip
    """Fine-tune on data/prepared/train.jsonl and save the merged model, the adapter beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    prompts = Prompts.load(source)
    examples = qa_examples(
        read_records(prepared / "train.jsonl"), prompts, roles=roles, grounded_share=grounded_share, reading_share=reading_share,
        consultation_share=consultation_share, num_distractors=num_distractors, max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    if not examples:
        raise UserError(f"{prepared / 'train.jsonl'}: no training item fits into finetune max_tokens={max_tokens}; raise it")
    model = load_model(source)
    check_linear_names(model, target_modules, key="finetune.target_modules")
    config = LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(target_modules), bias="none"
    )
    adapted: Any = get_peft_model(model, config)
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    result = train(adapted, examples, schedule=schedule, seed=seed, checkpoints=checkpoints, on_log=on_log)
    probe = collate([list(examples[:8])])
    with torch.inference_mode():
        before = adapted(input_ids=probe["input_ids"], attention_mask=probe["attention_mask"]).logits
    adapted.save_pretrained(target / ADAPTER_FOLDER)
    sort_adapter_config(target / ADAPTER_FOLDER)
    merged: Any = adapted.merge_and_unload(safe_merge=True)
    with torch.inference_mode():
        after = merged(input_ids=probe["input_ids"], attention_mask=probe["attention_mask"]).logits
    error = float((before - after)[probe["attention_mask"].bool()].abs().max())
    if error > _MERGE_TOLERANCE:
        raise RuntimeError(f"merged logits differ from the adapter's by {error:.4f}, more than {_MERGE_TOLERANCE}")
    lineage = Lineage(
        name=target.name, parent=source.name, step="finetune", method="finetune_lora", template_sha256=prompts.template.sha256,
        data_sha256=sha256_of(prepared / "train.jsonl"),
        params={
            "rank": rank, "alpha": alpha, "grounded_share": grounded_share, "reading_share": reading_share,
            "consultation_share": consultation_share, "seed": seed, **asdict(schedule),
        },
    )  # fmt: skip
    save_model(merged, target, tokenizer_from=source, lineage=lineage)
    return FinetuneResult(
        parameters=merged.num_parameters(), trainable_parameters=trainable, examples=len(examples), merge_error=error, training=result
    )

