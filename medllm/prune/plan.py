"""What every pruning method shares: the calibration pass, the size arithmetic and the result."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from medllm.batches import collate, compute_device
from medllm.data.examples import qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.errors import UserError

PRUNE_MAP_FILE = "prune_map.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """Parameters before and after (embeddings included), and the shape that is left."""

    parameters_before: int
    parameters: int
    ratio: float
    hidden_size: int
    num_heads: int
    num_layers: int
    ffn_size: int
    calibration_tokens: int


def calibration_batches(prepared: Path, source: Path, *, batch_rows: int, max_tokens: int) -> list[dict[str, torch.Tensor]]:
    """Padded batches of data/prepared/calibration.jsonl through the prompt template of `source`."""
    prompts = Prompts.load(source)
    path = prepared / "calibration.jsonl"
    examples = qa_examples(
        read_records(path), prompts, roles=("medical", "distillation", "baseline_check"), grounded_share=0.0,
        reading_share=1.0, consultation_share=1.0, num_distractors=0, max_tokens=max_tokens, seed=0,
    )  # fmt: skip
    if not examples:
        raise UserError(f"{path}: no calibration item of at most {max_tokens} tokens; raise data.num_calibration or prune.max_tokens")
    return [collate([examples[i : i + batch_rows]]) for i in range(0, len(examples), batch_rows)]


@torch.inference_mode()
def calibrate(
    model: PreTrainedModel, batches: Iterable[dict[str, torch.Tensor]], watch: Sequence[torch.nn.Module], see: Callable[..., None]
) -> int:
    """One forward pass; `see(index, inputs, output)` is called for every watched module with tensors [tokens, width]. Returns tokens."""
    tokens = 0
    mask = torch.zeros(0)

    def hook(index: int) -> Callable[..., None]:
        def call(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
            result = output[0] if isinstance(output, tuple) else output
            see(index, args[0][mask].cpu(), result[mask].cpu())

        return call

    runner: Any = model
    device = compute_device()
    runner.to(device)
    handles = [module.register_forward_hook(hook(i)) for i, module in enumerate(watch)]
    try:
        for batch in batches:
            mask = batch["attention_mask"].bool().to(device)
            tokens += int(mask.sum())
            runner(input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device), use_cache=False)
    finally:
        runner.to("cpu")
        for handle in handles:
            handle.remove()
    return tokens


def nearest(reachable: dict[int, int], *, parameters: int, ratio: float, tolerance: float, what: str) -> int:
    """The width (or count) whose removed parameters come nearest to `ratio`; UserError when none is within `tolerance`.

    `reachable` maps each allowed width to the number of parameters it removes.
    """
    if not reachable:
        raise UserError(f"prune.ratio={ratio}: there are no {what} to remove; take another conf/prune option")
    width = min(reachable, key=lambda w: (abs(reachable[w] / parameters - ratio), -w))
    achieved = reachable[width] / parameters
    if abs(achieved - ratio) > tolerance:
        near = sorted(reachable.values(), key=lambda removed: abs(removed / parameters - ratio))[:12]
        shares = ", ".join(f"{removed / parameters:.3f}" for removed in sorted(near))
        raise UserError(f"prune.ratio={ratio}: {what} can only remove {shares} of the parameters; take one of these, or other conf/prune")
    return width


def check_ratio(model: PreTrainedModel, *, before: int, ratio: float, tolerance: float) -> float:
    """The removed share, measured on the model itself; RuntimeError when the promise was missed."""
    achieved = 1 - model.num_parameters() / before
    if abs(achieved - ratio) > tolerance:
        raise RuntimeError(f"pruning removed {achieved:.4f} of the parameters, not {ratio} +- {tolerance}")
    return achieved


def save_map(target: Path, kept: dict[str, list[int]]) -> None:
    """Indices that were kept, by what was pruned, for hidden-state transfer later."""
    (target / PRUNE_MAP_FILE).write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
