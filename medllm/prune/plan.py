"""What every pruning method shares: the calibration set at its start, and its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from medllm.calibration import Batch, calibration_batches, packed
from medllm.errors import UserError
from medllm.model.architecture import heads_of_groups, shape_of
from medllm.model.folder import Lineage, load_model, read_lineage, refuse_quantized, save_model, sha256_of
from medllm.prune.cut import Kept, save_map
from medllm.prune.shapes import BF16_BYTES, Budget, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """Before and after: parameters (embeddings included), bytes in bf16, bytes read per generated token, the answers' cross-entropy in nats
    a token on the calibration sample; and the shape that is left."""  # fmt: skip

    parameters_before: int
    parameters: int
    ratio: float
    weight_bytes_before: int
    weight_bytes: int
    decode_bytes_before: int
    decode_bytes: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    ffn_size: int
    calibration_tokens: int
    calibration_loss_before: float
    calibration_loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The loaded source, its sizes and the calibration set; `sample` is one batch of rows spread over it."""

    model: PreTrainedModel
    sizes: Sizes
    batches: Sequence[Batch]
    sample: Batch
    tokens: int


def start(source: Path, prepared: Path, *, batch_rows: int, max_tokens: int, sample_tokens: int) -> Start:
    """Load what a method needs; UserError when the calibration set is too small to tell one hidden channel from another."""
    refuse_quantized(source, verb="pruned")
    model = load_model(source)
    sizes = Sizes.of(model)
    batches = packed(calibration_batches(prepared, source, batch_rows=batch_rows, max_tokens=max_tokens), batch_rows=batch_rows)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    if tokens < sizes.source.hidden:
        raise UserError(
            f"{prepared / 'calibration.jsonl'}: {tokens} tokens cannot rank {sizes.source.hidden} hidden channels; "
            "raise data.num_calibration or prune.max_tokens"
        )
    step = -(-tokens // sample_tokens)
    sample = {key: torch.cat([batch[key] for batch in batches])[::step] for key in batches[0]}
    return Start(model=model, sizes=sizes, batches=batches, sample=sample, tokens=tokens)


def finish(
    begun: Start, smaller: PreTrainedModel, kept: Kept, *, source: Path, prepared: Path, target: Path, method: str, ratio: float,
    tolerance: float, budget: Budget, losses: tuple[float, float], params: Mapping[str, Any],
) -> PruneResult:  # fmt: skip
    """Hold the model against its promise, save it with its lineage and map, and say what was done. RuntimeError: the ratio was missed."""
    sizes, before, after = begun.sizes, begun.sizes.source, shape_of(smaller)
    parameters = smaller.num_parameters()
    if parameters != sizes.parameters(after):
        raise RuntimeError(f"pruning left {parameters} parameters, not {sizes.parameters(after)} as planned")
    achieved = sizes.removed(after, budget)
    if abs(achieved - ratio) > tolerance:
        raise RuntimeError(f"pruning removed {achieved:.4f} of the {budget}, not {ratio} +- {tolerance}")
    shape = {"num_layers": after.layers, "hidden_size": after.hidden, "num_kv_heads": after.groups, "ffn_size": after.ffn}
    lineage = Lineage(
        name=target.name, parent=source.name, step="prune", method=method, template_sha256=read_lineage(source).template_sha256,
        data_sha256=sha256_of(prepared / "calibration.jsonl"), params={"ratio": ratio, **params, **shape},
        notes={"ratio_achieved": round(achieved, 6)},
    )  # fmt: skip
    heads = heads_of_groups(smaller, range(after.groups))
    save_model(smaller, target, tokenizer_from=source, lineage=lineage)
    save_map(target, begun.model, kept)
    return PruneResult(
        parameters_before=sizes.parameters(before), parameters=parameters, ratio=sizes.removed(after, "parameters"),
        weight_bytes_before=BF16_BYTES * sizes.parameters(before), weight_bytes=BF16_BYTES * parameters,
        decode_bytes_before=sizes.decode_bytes(before), decode_bytes=sizes.decode_bytes(after), num_heads=len(heads),
        calibration_tokens=begun.tokens, calibration_loss_before=losses[0], calibration_loss=losses[1], **shape,
    )  # fmt: skip
