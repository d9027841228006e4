"""Depth pruning: whole layers go, those that change the residual stream least (ShortGPT, Men et al. 2024, arXiv 2403.03853)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from medllm.model.architecture import architecture_of, layers_of
from medllm.model.folder import Lineage, load_model, read_lineage, save_model, sha256_of
from medllm.prune.plan import PruneResult, calibrate, calibration_batches, check_ratio, nearest, save_map


def prune_depth(
    source: Path, prepared: Path, target: Path, *, ratio: float, tolerance: float, batch_rows: int, max_tokens: int
) -> PruneResult:
    """Remove the layers of least block influence, 1 - mean cosine(input, output), until `ratio` of all parameters is gone."""
    model = load_model(source)
    layers = layers_of(model)
    before = model.num_parameters()
    per_layer = sum(p.numel() for p in layers[0].parameters())
    reachable = {count: (len(layers) - count) * per_layer for count in range(1, len(layers))}
    keep_count = nearest(reachable, parameters=before, ratio=ratio, tolerance=tolerance, what="whole layers")
    influence = torch.zeros(len(layers))

    def see(index: int, inputs: Tensor, output: Tensor, /) -> None:
        influence[index] += (1 - torch.cosine_similarity(inputs.float(), output.float(), dim=-1)).sum()

    batches = calibration_batches(prepared, source, batch_rows=batch_rows, max_tokens=max_tokens)
    tokens = calibrate(model, batches, list(layers), see)
    keep = torch.topk(influence, keep_count).indices.sort().values.tolist()
    parent_name, _, attribute = architecture_of(model).layers.rpartition(".")
    kept_layers = nn.ModuleList([layers[i] for i in keep])
    setattr(model.get_submodule(parent_name), attribute, kept_layers)
    model.config.num_hidden_layers = keep_count
    if getattr(model.config, "layer_types", None):  # qwen3 says of every layer how it attends
        model.config.layer_types = [model.config.layer_types[i] for i in keep]
    achieved = check_ratio(model, before=before, ratio=ratio, tolerance=tolerance)
    lineage = Lineage(
        name=target.name, parent=source.name, step="prune", method="prune_depth", template_sha256=read_lineage(source).template_sha256,
        data_sha256=sha256_of(prepared / "calibration.jsonl"),
        params={"ratio": ratio, "num_layers": keep_count}, notes={"ratio_achieved": round(achieved, 6)},
    )  # fmt: skip
    save_model(model, target, tokenizer_from=source, lineage=lineage)
    save_map(target, {"layers": keep})
    return PruneResult(
        parameters_before=before, parameters=model.num_parameters(), ratio=achieved, hidden_size=model.config.hidden_size,
        num_heads=model.config.num_attention_heads, num_layers=keep_count, ffn_size=model.config.intermediate_size,
        calibration_tokens=tokens,
    )  # fmt: skip
