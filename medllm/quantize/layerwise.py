"""A pass over a decoder block by block, so that every linear layer is calibrated on what the already quantised ones before it give.

Which blocks and which linear layers there are is asked of `optimum` (optimum.gptq.utils), as its own GPTQQuantizer does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from medllm.calibration import Batch, hooked, on_device
from medllm.model.architecture import architecture_of

Quantise = Callable[[str, nn.Linear, Tensor], None]
_Call = tuple[Tensor, dict[str, Any], Tensor]  # hidden states, the block's other arguments, mask of real tokens


@torch.inference_mode()
def quantise_in_turn(model: PreTrainedModel, batches: Sequence[Batch], quantise: Quantise) -> None:
    """`quantise(name, layer, hessian)` for every linear layer of the decoder and the output matrix, in the order of the forward pass.

    It changes the weights in place; `hessian` [in, in] is X^T X in float64 over the tokens of `batches`, computed after all changes before.
    """
    from optimum.gptq.utils import get_block_name_with_pattern, get_layers

    prefix = get_block_name_with_pattern(model)
    blocks = model.get_submodule(prefix)
    assert isinstance(blocks, nn.ModuleList)
    with on_device(model) as device:
        calls = _first_calls(model, blocks[0], batches, device)
        for index, block in enumerate(blocks):
            layers = get_layers(block)
            for group in _groups(block, layers, calls[0], device):
                hessian = _hessian(block, layers[group[0]], calls, device)
                for name in group:
                    quantise(f"{prefix}.{index}.{name}", layers[name], hessian)
            calls = [(_run(block, call, device).cpu(), *call[1:]) for call in calls]
        head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        if isinstance(head, nn.Linear) and not model.config.tie_word_embeddings:
            norm = model.get_submodule(architecture_of(model).final_norm)
            total = torch.zeros(head.in_features, head.in_features, dtype=torch.float64, device=device)
            for hidden, _, mask in calls:
                total += _gram(norm(hidden.to(device))[mask.to(device)])
            quantise("lm_head", head, total)


def _first_calls(model: PreTrainedModel, block: nn.Module, batches: Sequence[Batch], device: torch.device) -> list[_Call]:
    """What the first block is called with, for every batch."""
    from optimum.gptq.utils import nested_move_to

    calls: list[_Call] = []
    decoder: Any = model.base_model  # without the output matrix
    for batch in batches:
        mask = batch["attention_mask"]

        def store(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Tensor = mask) -> None:
            others = {key: nested_move_to(value, torch.device("cpu")) for key, value in kwargs.items() if key != "hidden_states"}
            hidden = args[0] if args else kwargs["hidden_states"]
            calls.append((hidden.cpu(), others, mask.bool()))

        handle = block.register_forward_pre_hook(store, with_kwargs=True)
        try:
            decoder(input_ids=batch["input_ids"].to(device), attention_mask=mask.to(device), use_cache=False)
        finally:
            handle.remove()
    return calls


def _run(block: nn.Module, call: _Call, device: torch.device) -> Tensor:
    from optimum.gptq.utils import nested_move_to

    output = block(call[0].to(device), **{key: nested_move_to(value, device) for key, value in call[1].items()})
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _groups(block: nn.Module, layers: dict[str, nn.Linear], call: _Call, device: torch.device) -> list[list[str]]:
    """Names of the layers in the order they are called; those that read the same tensor (query, key, value) are together."""
    names = list(layers)
    groups: list[list[str]] = []
    seen: list[Tensor] = []

    def note(index: int, inputs: Tensor, _: Tensor) -> None:
        if not seen or seen[-1] is not inputs:
            groups.append([])
            seen.append(inputs)  # held, so that no other tensor takes its place in memory
        groups[-1].append(names[index])

    with hooked(list(layers.values()), note):
        _run(block, call, device)
    return groups


def _hessian(block: nn.Module, layer: nn.Linear, calls: Sequence[_Call], device: torch.device) -> Tensor:
    total = torch.zeros(layer.in_features, layer.in_features, dtype=torch.float64, device=device)
    for call in calls:

        def add(_: int, inputs: Tensor, __: Tensor, mask: Tensor = call[2]) -> None:
            total.add_(_gram(inputs[mask.to(device)]))

        with hooked([layer], add):
            _run(block, call, device)
    return total


def _gram(rows: Tensor) -> Tensor:
    rows = rows.double()
    return rows.T @ rows
