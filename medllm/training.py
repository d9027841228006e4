"""The one trainer: Hugging Face Trainer over token-budget batches, in one process, on a CPU or one GPU."""

import json
import logging
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from medllm.batches import collate, collate_packed
from medllm.data.examples import Example
from medllm.errors import UserError

LogFunction = Callable[[Mapping[str, float], int], None]
_LOG = logging.getLogger(__name__)
OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit"}  # the names that TrainingArguments has for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Knobs that every training step shares.

    `batch_tokens` counts padded tokens. `precision` is "fp32" or "bf16" (autocast), `optimizer` "adamw" or "adamw_8bit" (bitsandbytes, its
    moments in 8 bit). `packing` puts the examples of a batch into one row instead of padding them.
    """

    num_epochs: float
    batch_tokens: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    precision: str
    optimizer: str
    gradient_checkpointing: bool
    packing: bool
    checkpoint_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training did; `seconds` is wall time and goes to logs only, never into an artifact."""

    loss_first: float
    loss_last: float
    steps: int
    tokens: int
    loss_tokens: int
    seconds: float


class TokenBatches(Dataset[list[Example]]):
    """Every batch of the whole training, fixed by the seed, at most `batch_tokens` tokens each unless one example alone is longer.

    Padded batches hold similar lengths together and count their padding; packed ones have none and take the examples as they come.
    One item is one batch, so the sampler of the Trainer only has to deal them out.
    """

    def __init__(self, examples: Sequence[Example], *, num_epochs: float, batch_tokens: int, packing: bool, seed: int) -> None:
        rng = random.Random(seed)
        self.batches: list[list[Example]] = []
        for epoch in range(math.ceil(num_epochs)):
            share = min(1.0, num_epochs - epoch)
            order = rng.sample(range(len(examples)), round(len(examples) * share))
            if not packing:
                order.sort(key=lambda i: len(examples[i].ids))  # stable: equal lengths stay shuffled
            batches = list(self._cut([examples[i] for i in order], batch_tokens, packing))
            rng.shuffle(batches)
            self.batches += batches

    @classmethod
    def of(cls, examples: Sequence[Example], schedule: Schedule, *, seed: int) -> "TokenBatches":
        """The batches that `train` deals out under this schedule."""
        return cls(examples, num_epochs=schedule.num_epochs, batch_tokens=schedule.batch_tokens, packing=schedule.packing, seed=seed)

    @staticmethod
    def _cut(ordered: Sequence[Example], batch_tokens: int, packing: bool) -> "list[list[Example]]":
        batches: list[list[Example]] = []
        size = 0
        for example in ordered:
            # padded: sorted by length, so the newcomer is the longest and sets the width of all
            size = size + len(example.ids) if packing else (len(batches[-1]) + 1 if batches else 1) * len(example.ids)
            if batches and size <= batch_tokens:
                batches[-1].append(example)
            else:
                batches.append([example])
                size = len(example.ids)
        return batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Example]:
        return self.batches[index]


class FixedOrderTrainer(Trainer):
    """Trainer that keeps the batch order of TokenBatches and drops the `keys` column before the forward pass."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        batches: Any = self.train_dataset
        return torch.utils.data.SequentialSampler(batches)

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Cross-entropy on the labels, as the model computes it."""
        inputs.pop("keys", None)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch=num_items_in_batch)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # Trainer puts the names of the file into the module as they are. GPT-NeoX is held as lm_head and stored as embed_out, so that
        # its head would silently stay as it was before training; from_pretrained knows both names.
        module: Any = self.model if model is None else model
        if not isinstance(module, PreTrainedModel) or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        module.load_state_dict(type(module).from_pretrained(resume_from_checkpoint, dtype=module.dtype).state_dict())


class _Watch(TrainerCallback):
    """Hands the loss curve on, and stops on the first loss that is not a number."""

    def __init__(self, forward: LogFunction | None) -> None:
        self.forward = forward

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Trainer hook."""
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise RuntimeError(f"loss is {loss} at step {state.global_step}; lower learning_rate or use precision=fp32")
        if self.forward:
            self.forward({key: float(value) for key, value in logs.items()}, state.global_step)


def _whole(state: Path) -> bool:
    try:
        json.loads(state.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """What `train` would go on from. The trainer's state is written last: a checkpoint without it, or with half of it, was cut off."""
    whole = [path.parent for path in checkpoints.glob("checkpoint-*/trainer_state.json") if _whole(path)]
    return max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)


def _arguments(schedule: Schedule, *, steps: int, seed: int, checkpoints: Path) -> TrainingArguments:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("WORLD_SIZE: training runs in one process, several would overwrite each other's files; start it without torchrun")
    logging_steps = max(1, steps // 50)
    # on a logged step only: a loss that is averaged over the steps since the last one would start anew in the middle
    save_steps = math.ceil(schedule.checkpoint_steps / logging_steps) * logging_steps
    arguments = TrainingArguments(
        output_dir=str(checkpoints), max_steps=steps, per_device_train_batch_size=1, learning_rate=schedule.learning_rate,
        lr_scheduler_type="cosine", warmup_steps=int(steps * schedule.warmup_ratio), weight_decay=schedule.weight_decay,
        bf16=schedule.precision == "bf16", optim=OPTIMIZERS[schedule.optimizer], adam_beta2=0.99, seed=seed, data_seed=seed, report_to=[],
        logging_steps=logging_steps, logging_nan_inf_filter=False, disable_tqdm=False, save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 500, save_total_limit=1, use_cpu=not torch.cuda.is_available(), use_cache=False,  # see collate_packed
        activation_checkpointing=schedule.gradient_checkpointing, activation_checkpointing_kwargs={"use_reentrant": False},
        remove_unused_columns=False, dataloader_num_workers=0, dataloader_pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    arguments._n_gpu = min(arguments.n_gpu, 1)  # with more, Trainer would split the model into replicas and run through the batches faster
    return arguments


def train(
    model: PreTrainedModel, examples: Sequence[Example], *, schedule: Schedule, seed: int, checkpoints: Path,
    on_log: LogFunction | None = None, trainer_class: type[FixedOrderTrainer] = FixedOrderTrainer, **trainer_options: Any,
) -> TrainResult:  # fmt: skip
    """Train in place. Resumes from the newest checkpoint under `checkpoints`, a folder keyed by what is trained; removed by the caller."""
    if schedule.precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be fp32 or bf16, got {schedule.precision!r}")
    if schedule.optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {schedule.optimizer!r}")
    dataset = TokenBatches.of(examples, schedule, seed=seed)
    if not len(dataset):
        raise UserError(f"schedule.num_epochs={schedule.num_epochs} of {len(examples)} examples is no batch at all; raise it or add data")
    config: Any = model.config
    use_cache = config.use_cache
    trainer = trainer_class(
        model=model, args=_arguments(schedule, steps=len(dataset), seed=seed, checkpoints=checkpoints), train_dataset=dataset,
        data_collator=collate_packed if schedule.packing else collate, callbacks=[_Watch(on_log)], **trainer_options,
    )  # fmt: skip
    newest = newest_checkpoint(checkpoints)
    if newest:
        _LOG.info("%s: going on from it", newest)
    model.train()
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    seconds = time.perf_counter() - started
    # mixed precision wraps forward for good, and a GPU keeps the model; later steps must see the plain fp32 model on the CPU
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    module: Any = model
    if schedule.gradient_checkpointing:
        module.activation_checkpointing_disable()
    module.eval().cpu()
    config.use_cache = use_cache  # the Trainer turns it off, and the folder would say so for good
    if any(not torch.isfinite(parameter).all() for parameter in module.parameters()):  # the loss of the last steps is not logged
        raise RuntimeError("a weight is not a number after training; lower learning_rate or use precision=fp32")
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]  # a checkpoint brings its own part back
    return TrainResult(
        loss_first=losses[0], loss_last=losses[-1], steps=len(dataset), seconds=seconds,
        tokens=sum(len(e.ids) for batch in dataset.batches for e in batch),
        loss_tokens=sum(len(e.targets) for batch in dataset.batches for e in batch),
    )  # fmt: skip
