"""Tokens a second of our LoRA path against bare PEFT + Trainer: python tests/finetune/time_lora.py --shape tiny --rounds 5.

Both train the same random GPT-NeoX on the same examples in the same batches, padded by the same collate, with the same optimizer, schedule
and precision, in turns within one process; the ratio of a round is ours / bare. Model, adapter and data are made outside the clock.
"""

import argparse
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from medllm.batches import collate, compute_device
from medllm.data.examples import Example
from medllm.training import Schedule, TokenBatches, train

SHAPES = {  # hidden, layers, ffn, vocabulary, rank
    "tiny": (256, 4, 1024, 2048, 64),
    "30m": (512, 6, 2048, 10_000, 16),
}
# quantiles 0, 10, ..., 100 % of the lengths in tokens of the about 5,200 examples that the default fine-tunes on
LENGTHS = (15, 20, 21, 23, 24, 26, 28, 32, 50, 67, 216)


def examples(count: int, vocabulary: int) -> list[Example]:
    """Random ids in lengths drawn from those quantiles, the loss on the last third."""
    rng = random.Random(0)
    rows = []
    for key in range(count):
        step = rng.randrange(len(LENGTHS) - 1)
        length = rng.randint(LENGTHS[step], LENGTHS[step + 1])
        ids = [rng.randrange(vocabulary) for _ in range(length)]
        rows.append(Example(ids=ids, scored=((length - length // 3, length),), key=key))
    return rows


def adapted(shape: str) -> Any:
    """A fresh model with a LoRA adapter on every linear layer of a block."""
    from peft import LoraConfig, get_peft_model
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    hidden, layers, ffn, vocabulary, rank = SHAPES[shape]
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64, intermediate_size=ffn,
        max_position_embeddings=512,
    )  # fmt: skip
    targets = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
    lora: Any = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=rank, target_modules=targets, bias="none")
    return get_peft_model(GPTNeoXForCausalLM(config), lora)


def bare(model: Any, batches: list[list[Example]], schedule: Schedule, folder: Path) -> float:
    """Seconds of a Trainer as its documentation writes it, on those batches."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainingArguments

    class Plain(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(batches)

    def padded(part: list[list[Example]]) -> dict[str, torch.Tensor]:
        batch = collate(part)
        del batch["keys"]  # no argument of the model
        return batch

    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=len(batches), per_device_train_batch_size=1, learning_rate=schedule.learning_rate,
        lr_scheduler_type="cosine", bf16=schedule.precision == "bf16", optim="adamw_torch_fused", adam_beta2=0.99, report_to=[],
        logging_steps=max(1, len(batches) // 50), save_strategy="no", use_cpu=not torch.cuda.is_available(), remove_unused_columns=False,
    )  # fmt: skip
    trainer = Plain(model=model, args=arguments, train_dataset=batches, data_collator=padded)
    model.train()
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started


def main() -> None:
    """One JSON object on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--examples", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-tokens", type=int, default=640)
    parser.add_argument("--packing", action="store_true", help="ours packs; the bare one keeps padding")
    parser.add_argument("--checkpoint-steps", type=int, default=0)
    knobs = parser.parse_args()
    rows = examples(knobs.examples, SHAPES[knobs.shape][3])
    schedule = Schedule(
        num_epochs=1.0, batch_tokens=knobs.batch_tokens, learning_rate=1e-3, warmup_ratio=0.0, weight_decay=0.0, precision=knobs.precision,
        optimizer="adamw", gradient_checkpointing=False, packing=knobs.packing, checkpoint_steps=knobs.checkpoint_steps,
    )  # fmt: skip
    batches = TokenBatches(rows, num_epochs=1.0, batch_tokens=knobs.batch_tokens, packing=False, seed=1).batches
    tokens = sum(len(row.ids) for row in rows)
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(knobs.rounds + 1):  # the first one warms up
            pair = {}
            for name in ("ours", "bare") if number % 2 else ("bare", "ours"):
                model = adapted(knobs.shape)
                if name == "ours":
                    pair[name] = train(model, rows, schedule=schedule, seed=1, checkpoints=Path(folder) / str(number)).seconds
                else:
                    pair[name] = bare(model, batches, schedule, Path(folder) / "bare")
            if number:
                ours.append(tokens / pair["ours"])
                theirs.append(tokens / pair["bare"])
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    result = {
        **vars(knobs), "device": compute_device().type, "machine": platform.machine(), "threads": torch.get_num_threads(),
        "steps_padded": len(batches), "tokens": tokens, "ours_tokens_per_s": [round(value, 1) for value in ours],
        "bare_tokens_per_s": [round(value, 1) for value in theirs], "ratio": [round(value, 4) for value in ratios],
        "ratio_median": round(statistics.median(ratios), 4), "ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
    }  # fmt: skip
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
