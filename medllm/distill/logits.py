"""Distil a student on the teacher's cached logits: alpha * KL + (1 - alpha) * cross-entropy."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medllm.batches import IGNORED
from medllm.data.examples import qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.distill.cache import TeacherLogits, cache_logits
from medllm.errors import UserError
from medllm.model.architecture import check_linear_names
from medllm.model.folder import Lineage, load_model, save_model, sha256_of
from medllm.training import FixedOrderTrainer, LogFunction, Schedule, TrainResult, train

Loss = Callable[..., Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillResult:
    """What the step did."""

    parameters: int
    trainable_parameters: int
    examples: int
    cached_tokens: int
    training: TrainResult


class DistillTrainer(FixedOrderTrainer):
    """Trainer whose loss looks up the cached teacher logits by example key."""

    def __init__(self, *args: Any, teacher: TeacherLogits, loss: Loss, alpha: float, temperature: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher, self.loss, self.alpha, self.temperature = teacher, loss, alpha, temperature

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """alpha * KL(teacher || student) + (1 - alpha) * CE over the loss tokens."""
        labels, keys = inputs.pop("labels"), inputs.pop("keys")
        outputs = model(**inputs)
        chosen = labels[:, 1:] != IGNORED
        logits_NV = outputs.logits[:, :-1][chosen]
        values, ids = self.teacher.rows(keys.tolist())
        divergence = self.loss(logits_NV, values.to(logits_NV.device), ids.to(logits_NV.device), temperature=self.temperature)
        cross_entropy = torch.nn.functional.cross_entropy(logits_NV.float(), labels[:, 1:][chosen])
        total = self.alpha * divergence + (1 - self.alpha) * cross_entropy
        return (total, outputs) if return_outputs else total


def _check_vocabulary(student: Prompts, teacher: Prompts) -> None:
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if ours != theirs:
        token = min(t for t in ours.keys() | theirs.keys() if ours.get(t) != theirs.get(t))
        raise UserError(f"distill: student and teacher differ in the id of token {token!r}; logits need one vocabulary")


def distill_logits(
    teacher: Path, source: Path, prepared: Path, target: Path, *, alpha: float, temperature: float, top_k: int, trainable: str,
    lora_rank: int, lora_targets: Sequence[str], roles: Sequence[str], grounded_share: float, reading_share: float,
    consultation_share: float, num_distractors: int, max_tokens: int, batch_rows: int, schedule: Schedule, seed: int, checkpoints: Path,
    on_log: LogFunction | None = None, loss: Loss,
) -> DistillResult:  # fmt: skip
    """Train the student at `source` to follow the teacher's distribution on data/prepared/train.jsonl.

    `trainable` is "full" or "lora" (merged at the end). The logit cache lies in `checkpoints` and goes away with it.
    """
    from transformers import set_seed

    set_seed(seed)
    prompts = Prompts.load(source)
    _check_vocabulary(prompts, Prompts.load(teacher))
    examples = qa_examples(
        read_records(prepared / "train.jsonl"), prompts, roles=roles, grounded_share=grounded_share, reading_share=reading_share,
        consultation_share=consultation_share, num_distractors=num_distractors, max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    if not examples:
        raise UserError(f"{prepared / 'train.jsonl'}: no item fits into distill.max_tokens={max_tokens}; raise it")
    cache = checkpoints / "teacher_logits"
    logits = cache_logits(load_model(teacher), examples, cache, top_k=top_k, temperature=temperature, batch_rows=batch_rows)
    student: Any = load_model(source)
    if trainable == "lora":
        check_linear_names(student, lora_targets, key="distill.lora_targets")
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(task_type="CAUSAL_LM", r=lora_rank, lora_alpha=2 * lora_rank, target_modules=list(lora_targets))
        student = get_peft_model(student, config)
    trainable_parameters = sum(p.numel() for p in student.parameters() if p.requires_grad)
    result = train(
        student, examples, schedule=schedule, seed=seed, checkpoints=checkpoints, on_log=on_log, trainer_class=DistillTrainer,
        teacher=logits, loss=loss, alpha=alpha, temperature=temperature,
    )  # fmt: skip
    if trainable == "lora":
        student = student.merge_and_unload(safe_merge=True)
    shutil.rmtree(cache)
    lineage = Lineage(
        name=target.name, parent=source.name, step="distill", method=loss.__name__, template_sha256=prompts.template.sha256,
        data_sha256=sha256_of(prepared / "train.jsonl"),
        params={"teacher": teacher.name, "alpha": alpha, "temperature": temperature, "top_k": top_k, "trainable": trainable, "seed": seed,
                **asdict(schedule)},
    )  # fmt: skip
    save_model(student, target, tokenizer_from=source, lineage=lineage)
    return DistillResult(
        parameters=student.num_parameters(), trainable_parameters=trainable_parameters, examples=len(examples),
        cached_tokens=int(logits.starts[-1]), training=result,
    )  # fmt: skip
