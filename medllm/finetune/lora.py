"""LoRA (Hu et al. 2021, arXiv 2106.09685) and its kin by PEFT, loss on answers only, merged into the weights."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from medllm.batches import collate, compute_device
from medllm.data.examples import Example, qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.errors import UserError
from medllm.finetune.frozen import Precision, dequantised, load_frozen
from medllm.model.architecture import lora_targets
from medllm.model.folder import Lineage, copy_prune_map, refuse_quantized, save_model, sha256_of
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


@torch.inference_mode()
def _logits(model: Any, examples: Sequence[Example]) -> Tensor:
    """Logits [tokens, vocabulary] of every real token."""
    probe = collate([list(examples)])
    logits: Tensor = model(input_ids=probe["input_ids"], attention_mask=probe["attention_mask"], use_cache=False).logits
    return logits[probe["attention_mask"].bool()]


def merged(adapted: Any, folder: Path, probe: Sequence[Example]) -> tuple[PreTrainedModel, float]:
    """Save the adapter to `folder`, load it from there onto the dequantised frozen weights, and merge.

    Returns the fp32 model and the largest absolute difference of a logit; RuntimeError when that is more than rounding. It is held against
    the adapter as it was trained; on quantised weights, against the adapter on what they stand for, since at inference the layers of
    bitsandbytes round more than weights can hold (activations to int8, or sums to bf16).
    """
    from peft import PeftModel

    before = None if getattr(adapted.get_base_model(), "is_quantized", False) else _logits(adapted, probe)
    adapted.save_pretrained(folder)
    sort_adapter_config(folder)
    loaded: Any = PeftModel.from_pretrained(dequantised(adapted.unload()), folder)
    if before is None:
        before = _logits(loaded, probe)
    model: PreTrainedModel = loaded.merge_and_unload(safe_merge=True)
    error = float((before - _logits(model, probe)).abs().max())
    if not error <= _MERGE_TOLERANCE:  # NaN too
        raise RuntimeError(f"merged logits differ from the adapter's by {error:.4f}, more than {_MERGE_TOLERANCE}")
    return model, error


def finetune_lora(
    source: Path, prepared: Path, target: Path, *, rank: int, alpha: int, dropout: float, use_dora: bool, use_rslora: bool,
    base_precision: Precision, target_modules: Sequence[str], roles: Sequence[str], grounded_share: float, reading_share: float,
    consultation_share: float, num_distractors: int, max_tokens: int, schedule: Schedule, seed: int, checkpoints: Path,
    on_log: LogFunction | None = None,
) -> FinetuneResult:  # fmt: skip
    """Fine-tune on data/prepared/train.jsonl and save the merged model, the adapter beside it.

    No `target_modules` means every linear layer of a decoder block. DoRA: Liu et al. 2024, arXiv 2402.09353; rsLoRA: Kalajdzievski 2023,
    arXiv 2312.03732. With `base_precision` "nf4" or "int8" the frozen weights are quantised while the adapter learns (QLoRA), and the
    merged model is the adapter on the *dequantised* weights, because those are what it was trained on; on the original ones it would answer
    differently. The lineage says so, and the adapter beside the model belongs on the source in that precision.
    UserError on a source that is quantised already, widths or modules that do not fit, or no example; RuntimeError on a NaN loss.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    refuse_quantized(source, verb="fine-tuned")
    if use_dora and base_precision == "int8" and compute_device().type == "cpu":
        # its layers forget the scales of bitsandbytes there
        raise UserError("finetune.use_dora: PEFT cannot train DoRA on int8 weights on a CPU; take base_precision nf4 or fp32")
    prompts = Prompts.load(source)
    examples = qa_examples(
        read_records(prepared / "train.jsonl"), prompts, roles=roles, grounded_share=grounded_share, reading_share=reading_share,
        consultation_share=consultation_share, num_distractors=num_distractors, max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    if not examples:
        raise UserError(f"{prepared / 'train.jsonl'}: no training item fits into finetune max_tokens={max_tokens}; raise it")
    model = load_frozen(source, base_precision=base_precision, compute=torch.float32 if schedule.precision == "fp32" else torch.bfloat16)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, lora_dropout=dropout, use_dora=use_dora, use_rslora=use_rslora, bias="none",
        target_modules=lora_targets(model, target_modules, key="finetune.target_modules"),
    )  # fmt: skip
    adapted: Any = get_peft_model(model, config)
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    result = train(adapted, examples, schedule=schedule, seed=seed, checkpoints=checkpoints, on_log=on_log)
    tuned, error = merged(adapted, target / ADAPTER_FOLDER, examples[:8])
    lineage = Lineage(
        name=target.name, parent=source.name, step="finetune", method="finetune_lora", template_sha256=prompts.template.sha256,
        data_sha256=sha256_of(prepared / "train.jsonl"),
        params={
            "rank": rank, "alpha": alpha, "use_dora": use_dora, "use_rslora": use_rslora, "base_precision": base_precision,
            "grounded_share": grounded_share, "reading_share": reading_share, "consultation_share": consultation_share, "seed": seed,
            **asdict(schedule),
        },
        notes={} if base_precision == "fp32" else {"merged_into": f"the weights of {source.name}, dequantised from {base_precision}"},
    )  # fmt: skip
    save_model(tuned, target, tokenizer_from=source, lineage=lineage)
    copy_prune_map(source, target)
    return FinetuneResult(
        parameters=tuned.num_parameters(), trainable_parameters=trainable, examples=len(examples), merge_error=error, training=result
    )
