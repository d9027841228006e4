"""Heads together with hidden channels, for GPT-NeoX: its head size is hidden size / heads, so one cannot go without the other."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from medllm.errors import UserError
from medllm.model.architecture import layers_of, linear
from medllm.model.folder import Lineage, load_model, read_lineage, save_model, sha256_of
from medllm.prune.ffn import cut_linear, select
from medllm.prune.plan import PruneResult, calibrate, calibration_batches, check_ratio, nearest, save_map


def _shrink(layer: nn.Module, name: str, *, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    layer.set_submodule(name, cut_linear(linear(layer, name), rows=rows, columns=columns))


def _cut_norm(norm: nn.LayerNorm, keep: Tensor) -> None:
    norm.weight = nn.Parameter(norm.weight.detach()[keep].clone())
    norm.bias = nn.Parameter(norm.bias.detach()[keep].clone())
    norm.normalized_shape = (len(keep),)


def _parameters_at(model: PreTrainedModel, heads: int, head_size: int) -> int:
    """Parameters of this architecture with fewer heads, counted on the meta device."""
    config = type(model.config).from_dict(model.config.to_dict())
    config.num_attention_heads, config.hidden_size = heads, heads * head_size
    with torch.device("meta"):
        return int(AutoModelForCausalLM.from_config(config).num_parameters())  # type: ignore[no-untyped-call]


def prune_heads(
    source: Path, prepared: Path, target: Path, *, ratio: float, tolerance: float, batch_rows: int, max_tokens: int
) -> PruneResult:
    """Remove attention heads of least output norm, and as many hidden channels of least mean |layer norm output| (Minitron, Muralidharan
    et al. 2024, arXiv 2407.14679), until `ratio` of all parameters is gone."""  # fmt: skip
    model: Any = load_model(source)
    if model.config.model_type != "gpt_neox":
        raise UserError(f"{model.config.model_type}: prune=heads is written for gpt_neox; take prune=ffn or prune=depth")
    layers: Any = layers_of(model)
    before = model.num_parameters()
    hidden, heads = int(model.config.hidden_size), int(model.config.num_attention_heads)
    head_size = hidden // heads
    reachable = {count: before - _parameters_at(model, count, head_size) for count in range(1, heads)}
    keep_heads = nearest(reachable, parameters=before, ratio=ratio, tolerance=tolerance, what="heads with their hidden channels")

    head_scores, channel_scores = torch.zeros(len(layers), heads), torch.zeros(hidden)
    norms = [norm for layer in layers for norm in (layer.input_layernorm, layer.post_attention_layernorm)]
    denses = [linear(layer, "attention.dense") for layer in layers]

    def see(index: int, inputs: Tensor, output: Tensor, /) -> None:
        if index < len(denses):
            head_scores[index] += inputs.float().view(len(inputs), heads, head_size).norm(dim=-1).sum(0)
        else:
            channel_scores.add_(output.float().abs().sum(0))

    batches = calibration_batches(prepared, source, batch_rows=batch_rows, max_tokens=max_tokens)
    tokens = calibrate(model, batches, [*denses, *norms], see)
    channels = select(channel_scores, keep_heads * head_size)
    kept: dict[str, list[int]] = {"hidden": channels.tolist()}
    body = model.gpt_neox
    for index, layer in enumerate(layers):
        keep = select(head_scores[index], keep_heads)
        kept[f"layer.{index}.heads"] = keep.tolist()
        within = torch.cat([torch.arange(head_size) + int(head) * head_size for head in keep])
        fused = torch.cat([torch.arange(3 * head_size) + int(head) * 3 * head_size for head in keep])
        _shrink(layer, "attention.query_key_value", rows=fused, columns=channels)
        _shrink(layer, "attention.dense", rows=channels, columns=within)
        _shrink(layer, "mlp.dense_h_to_4h", columns=channels)
        _shrink(layer, "mlp.dense_4h_to_h", rows=channels)
        _cut_norm(layer.input_layernorm, channels)
        _cut_norm(layer.post_attention_layernorm, channels)
    _cut_norm(body.final_layer_norm, channels)
    body.embed_in = nn.Embedding.from_pretrained(body.embed_in.weight.detach()[:, channels].clone(), freeze=False)  # type: ignore[no-untyped-call]
    model.set_output_embeddings(cut_linear(model.get_output_embeddings(), columns=channels))
    model.tie_weights()  # where one matrix serves both ends, it does so again
    model.config.num_attention_heads, model.config.hidden_size = keep_heads, keep_heads * head_size
    achieved = check_ratio(model, before=before, ratio=ratio, tolerance=tolerance)
    lineage = Lineage(
        name=target.name, parent=source.name, step="prune", method="prune_heads", template_sha256=read_lineage(source).template_sha256,
        data_sha256=sha256_of(prepared / "calibration.jsonl"),
        params={"ratio": ratio, "num_heads": keep_heads}, notes={"ratio_achieved": round(achieved, 6)},
    )  # fmt: skip
    save_model(model, target, tokenizer_from=source, lineage=lineage)
    save_map(target, kept)
    return PruneResult(
        parameters_before=before, parameters=model.num_parameters(), ratio=achieved, hidden_size=keep_heads * head_size,
        num_heads=keep_heads, num_layers=len(layers), ffn_size=model.config.intermediate_size, calibration_tokens=tokens,
    )  # fmt: skip
