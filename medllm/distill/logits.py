"""Distil a student on the teacher's cached logits, and on what else the knobs ask for."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from medllm.batches import compute_device
from medllm.data.examples import Example, qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.distill.cache import cache_logits
from medllm.distill.fake_quantize import FakeScheme, fake_quantized
from medllm.distill.hidden import HiddenStates
from medllm.distill.losses import Loss
from medllm.distill.self_data import SelfData, self_answered
from medllm.distill.trainer import DistillTrainer, Objective
from medllm.distill.vocabulary import logit_rows, shared_vocabulary
from medllm.errors import UserError
from medllm.model.architecture import lora_targets as adapted_layers
from medllm.model.folder import Lineage, copy_prune_map, load_model, refuse_quantized, save_model, sha256_of
from medllm.training import LogFunction, Schedule, TokenBatches, TrainResult, train

_LOGITS, _SELF_DATA = "teacher_logits", "self_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillResult:
    """What the step did. `cached_*` speak of the teacher's logits, `written` and `kept` of the answers it wrote (self_data)."""

    parameters: int
    trainable_parameters: int
    examples: int
    cached_tokens: int
    cached_bytes: int
    written: int
    kept: int
    training: TrainResult


def distill_logits(
    teacher: Path, source: Path, prepared: Path, target: Path, *, alpha: float, temperature: float, top_k: int, hidden_weight: float,
    self_data: bool, fake_quantize: FakeScheme, trainable: str, lora_rank: int, lora_targets: Sequence[str], roles: Sequence[str],
    grounded_share: float, reading_share: float, consultation_share: float, num_distractors: int, max_tokens: int, batch_rows: int,
    schedule: Schedule, seed: int, checkpoints: Path, on_log: LogFunction | None = None, loss: Loss,
) -> DistillResult:  # fmt: skip
    """Train the student at `source` to follow the teacher on data/prepared/train.jsonl.

    The loss is alpha * `loss` + (1 - alpha) * cross-entropy + hidden_weight * distance of hidden states; a part of weight 0 is not
    computed, so that alpha=0 is plain fine-tuning. `self_data` trains on the teacher's own right answers, `fake_quantize` trains the
    student as this GGUF scheme will see it. `trainable` is "full" or "lora" (merged at the end). What was computed lies in `checkpoints`
    for the next try.
    """
    from transformers import set_seed

    if trainable == "lora" and fake_quantize != "none":
        raise UserError(f"distill.fake_quantize={fake_quantize} rounds whole weights, which LoRA leaves alone; set distill.trainable=full")
    refuse_quantized(source, verb="distilled")
    set_seed(seed)
    dtype = torch.bfloat16 if schedule.precision == "bf16" and compute_device().type == "cuda" else torch.float32  # of the teacher
    vocabulary = shared_vocabulary(source, teacher) if alpha or hidden_weight else logit_rows(source)
    prompts, records = Prompts.load(source), list(read_records(prepared / "train.jsonl"))
    data = SelfData(records=records, written=0, kept=0)
    if self_data:
        data = self_answered(
            teacher, records, checkpoints / _SELF_DATA, roles=roles, max_tokens=max_tokens, batch_rows=batch_rows, dtype=dtype
        )
    examples = qa_examples(
        data.records, prompts, roles=roles, grounded_share=grounded_share, reading_share=reading_share,
        consultation_share=consultation_share, num_distractors=num_distractors, max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    if not examples:
        raise UserError(f"{prepared / 'train.jsonl'}: no item fits into distill.max_tokens={max_tokens}; raise it")
    logits = None
    if alpha:
        logits = cache_logits(
            teacher, _seen(examples, schedule, seed), checkpoints / _LOGITS, top_k=top_k, temperature=temperature, batch_rows=batch_rows,
            vocabulary=vocabulary, dtype=dtype,
        )  # fmt: skip
    plain: Any = load_model(source)
    objective = Objective(
        loss=loss, alpha=alpha, temperature=temperature, vocabulary=vocabulary, logits=logits, hidden_weight=hidden_weight,
        hidden=HiddenStates(load_model(teacher, dtype=dtype), plain, source) if hidden_weight else None,
    )  # fmt: skip
    student = _adapted(plain, rank=lora_rank, targets=lora_targets) if trainable == "lora" else plain
    trainable_parameters = sum(p.numel() for p in student.parameters() if p.requires_grad)
    with fake_quantized(plain, fake_quantize):
        result = train(
            student, examples, schedule=schedule, seed=seed, checkpoints=checkpoints, on_log=on_log, trainer_class=DistillTrainer,
            objective=objective,
        )  # fmt: skip
    if trainable == "lora":
        student = student.merge_and_unload(safe_merge=True)
    lineage = Lineage(
        name=target.name, parent=source.name, step="distill", method=loss.__name__ if alpha else "cross_entropy",
        template_sha256=prompts.template.sha256, data_sha256=sha256_of(prepared / "train.jsonl"),
        params={"teacher": teacher.name, "alpha": alpha, "temperature": temperature, "top_k": top_k, "hidden_weight": hidden_weight,
                "self_data": self_data, "fake_quantize": fake_quantize, "trainable": trainable, "seed": seed, **asdict(schedule)},
    )  # fmt: skip
    save_model(student, target, tokenizer_from=source, lineage=lineage)
    copy_prune_map(source, target)
    for done_with in (_LOGITS, _SELF_DATA):
        shutil.rmtree(checkpoints / done_with, ignore_errors=True)
    return DistillResult(
        parameters=student.num_parameters(), trainable_parameters=trainable_parameters, examples=len(examples),
        cached_tokens=logits.tokens if logits else 0, cached_bytes=logits.bytes if logits else 0, written=data.written, kept=data.kept,
        training=result,
    )  # fmt: skip


def _seen(examples: Sequence[Example], schedule: Schedule, seed: int) -> list[Example]:
    """The examples that this training comes to; less than an epoch leaves some out, and the teacher need not read those."""
    batches = TokenBatches.of(examples, schedule, seed=seed).batches
    return [examples[key] for key in sorted({example.key for batch in batches for example in batch})]


def _adapted(student: PreTrainedModel, *, rank: int, targets: Sequence[str]) -> Any:
    """The student with LoRA adapters of its linear layers."""
    from peft import LoraConfig, get_peft_model

    modules = adapted_layers(student, targets, key="distill.lora_targets")
    return get_peft_model(student, LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules=modules))
