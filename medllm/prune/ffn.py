"""Width pruning of the feed-forward layers by activation importance, the same width in every layer."""

from pathlib import Path

import torch
from torch import Tensor, nn

from medllm.model.architecture import architecture_of, layers_of, linear
from medllm.model.folder import Lineage, load_model, read_lineage, save_model, sha256_of
from medllm.prune.plan import PruneResult, calibrate, calibration_batches, check_ratio, nearest, save_map


def select(scores_F: Tensor, keep: int) -> Tensor:
    """Indices of the `keep` highest scores, in their old order."""
    return torch.topk(scores_F, keep).indices.sort().values


def cut_linear(layer: nn.Linear, *, rows: Tensor | None = None, columns: Tensor | None = None) -> nn.Linear:
    """A new linear layer with only these output rows or input columns."""
    weight = layer.weight if rows is None else layer.weight[rows]
    weight = weight if columns is None else weight[:, columns]
    bias = layer.bias if layer.bias is None or rows is None else layer.bias[rows]
    smaller = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    smaller.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        smaller.bias = nn.Parameter(bias.detach().clone())
    return smaller


def prune_ffn(
    source: Path, prepared: Path, target: Path, *, ratio: float, tolerance: float, round_to: int, batch_rows: int, max_tokens: int
) -> PruneResult:
    """Remove `ratio` of all parameters from the feed-forward layers.

    Score of channel j: sqrt(E[a_j^2]) * ||W_out[:, j]||_2 over the calibration set (the structured form of Wanda, Sun et al. 2023,
    arXiv 2306.11695); what a removed channel added on average goes into the output bias where there is one (FLAP, An et al. 2023,
    arXiv 2312.11983). Raises UserError when no width that is a multiple of `round_to` meets the ratio.
    """
    model = load_model(source)
    architecture, layers = architecture_of(model), layers_of(model)
    before, ffn_size = model.num_parameters(), int(model.config.intermediate_size)
    outs = [linear(layer, architecture.ffn_out) for layer in layers]
    per_channel = sum(
        (linear(layer, name).weight.shape[1] + (linear(layer, name).bias is not None)) for layer in layers for name in architecture.ffn_in
    ) + sum(out.weight.shape[0] for out in outs)
    reachable = {width: (ffn_size - width) * per_channel for width in range(round_to, ffn_size, round_to)}
    width = nearest(reachable, parameters=before, ratio=ratio, tolerance=tolerance, what=f"ffn widths in steps of {round_to}")

    squares, sums = torch.zeros(len(outs), ffn_size), torch.zeros(len(outs), ffn_size)

    def see(index: int, inputs: Tensor, output: Tensor, /) -> None:
        squares[index] += inputs.float().square().sum(0)
        sums[index] += inputs.float().sum(0)

    batches = calibration_batches(prepared, source, batch_rows=batch_rows, max_tokens=max_tokens)
    tokens = calibrate(model, batches, outs, see)
    kept: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        out = outs[index]
        scores = (squares[index] / tokens).sqrt() * out.weight.detach().norm(dim=0)
        keep = select(scores, width)
        if out.bias is not None:
            gone = torch.ones(ffn_size, dtype=torch.bool).index_fill_(0, keep, False)
            out.bias.data += out.weight.detach()[:, gone] @ (sums[index] / tokens)[gone]
        for name in architecture.ffn_in:
            layer.set_submodule(name, cut_linear(linear(layer, name), rows=keep))
        layer.set_submodule(architecture.ffn_out, cut_linear(out, columns=keep))
        kept[f"layer.{index}.ffn"] = keep.tolist()
    model.config.intermediate_size = width
    achieved = check_ratio(model, before=before, ratio=ratio, tolerance=tolerance)
    lineage = Lineage(
        name=target.name, parent=source.name, step="prune", method="prune_ffn", template_sha256=read_lineage(source).template_sha256,
        data_sha256=sha256_of(prepared / "calibration.jsonl"),
        params={"ratio": ratio, "ffn_size": width}, notes={"ratio_achieved": round(achieved, 6)},
    )  # fmt: skip
    save_model(model, target, tokenizer_from=source, lineage=lineage)
    save_map(target, kept)
    return PruneResult(
        parameters_before=before, parameters=model.num_parameters(), ratio=achieved, hidden_size=model.config.hidden_size,
        num_heads=model.config.num_attention_heads, num_layers=len(layers), ffn_size=width, calibration_tokens=tokens,
    )  # fmt: skip
