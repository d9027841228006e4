"""OpenVINO IR of a Hugging Face folder: a peer to measure against. Stateful (the KV cache stays inside), 16-bit floats or int8 weights.

transformers has an exporter of its own (`transformers.exporters`), marked experimental; tracing here takes a fifth of its time.
"""

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medllm.errors import UserError
from medllm.model.folder import copy_tokenizer, load_model, refuse_quantized
from medllm.quantize import QuantizeResult

_FILE = "openvino_model.xml"  # with openvino_model.bin: the names that OpenVINO's own tools give them
_INPUTS = ("input_ids", "attention_mask", "position_ids", "kept")
# Largest difference of a logit, as a share of the largest logit: several times what the default student and random models differ by.
_TOLERANCE = {"f16": 0.01, "int8": 0.1}
_PROBES, _PROBE_TOKENS, _PROMPT = 3, 24, 16  # sequences checked, their length, and how much of it is read at once before single tokens


def quantize_openvino(source: Path, prepared: Path, target: Path, *, weights: Literal["f16", "int8"]) -> QuantizeResult:
    """Trace, give the graph its KV cache, store the matrices in `weights` and all else in f16, and compare with the source.

    int8 is symmetric, one scale for each row, embedding and output included; activations stay floats in the file. Raises UserError on
    an unknown knob or without openvino, RuntimeError when logits of the saved model, cached steps included, are off by more than 1 % (f16)
    or 10 % (int8) of the largest.
    """
    del prepared  # not calibrated
    if weights not in _TOLERANCE:
        raise UserError(f"quantize.weights: {weights!r} is unknown to OpenVINO here; use f16 or int8")
    refuse_quantized(source, verb="quantised again")
    ov = _openvino()
    model: Any = load_model(source)
    graph = _stateful(ov, *_traced(ov, model))
    rounded = _round_matrices(ov, graph) if weights == "int8" else 0
    ends = model.generation_config.eos_token_id
    parameters = sum(p.numel() for p in model.parameters())
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    facts = {
        "weights": weights,
        "end_ids": " ".join(map(str, [ends] if isinstance(ends, int) else ends or [])),
        "parameters": str(parameters),
        "looked_up": str(0 if tied else model.get_input_embeddings().weight.numel()),  # parameters of which a token reads one row
    }
    for name, value in facts.items():
        graph.set_rt_info(value, ["medllm", name])
    graph.set_friendly_name("medllm")  # OpenVINO's own names count everything that this process ever made
    for number, node in enumerate(graph.get_ordered_ops()):
        node.friendly_name = f"{node.get_type_name()}_{number}"
    copy_tokenizer(source, target)
    shutil.copyfile(source / "config.json", target / "config.json")  # as OpenVINO's own tools do: the shape, readable without OpenVINO
    ov.save_model(graph, target / _FILE)  # compresses what is still f32 to f16
    _check(ov, model, target / _FILE, bound=_TOLERANCE[weights])
    size = (target / _FILE).with_suffix(".bin").stat().st_size
    others = sum(1 for _ in model.parameters()) - rounded
    return QuantizeResult(
        scheme=weights,
        bits_per_weight=round(8 * size / parameters, 4),
        bytes=size,
        tensors={"f16": others, **({"int8": rounded} if rounded else {})},
    )


def _openvino() -> Any:
    # Else importing openvino reports to Google Analytics, unasked; without this package it takes a stub of its own.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise UserError('openvino is not installed; pip install -e ".[peers]"') from error
    return openvino


class _WithPast(nn.Module):
    """The model with keys and values as tensors in and out, and a mask of floats, so that a trace holds no Python object."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, kept: Tensor, past: Any) -> tuple[Tensor, ...]:
        """[batch, new] ids, [batch, past + new] mask, positions of the new, places of `kept` logits -> (logits, key 0, value 0, ...)."""
        from transformers.cache_utils import DynamicCache, DynamicLayer

        cache, make_layer = DynamicCache(), cast(Any, DynamicLayer)
        for keys, values in past:  # by hand: an update of an empty layer concatenates tensors of other ranks, which OpenVINO refuses
            layer = make_layer()
            layer.keys, layer.values, layer.dtype, layer.device, layer.is_initialized = keys, values, keys.dtype, keys.device, True
            cache.layers.append(layer)
        total, new = attention_mask.shape[1], input_ids.shape[1]
        causal = torch.arange(total)[None, :] <= torch.arange(total - new, total)[:, None]
        seen = causal[None, None] & (attention_mask[:, None, None, :] > 0)
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        output = self.model(
            input_ids=input_ids, attention_mask=mask, position_ids=position_ids, past_key_values=cache, use_cache=True, logits_to_keep=kept
        )
        return (output.logits, *(tensor for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values)))


def _traced(ov: Any, model: Any) -> tuple[Any, list[tuple[int, int]]]:
    """The graph with inputs named past.0, past.1, ... and outputs present.0, ...; with it heads and head size of each."""
    rows, old, new = 2, 3, 4
    with torch.no_grad():
        layers = model(input_ids=torch.zeros(rows, old, dtype=torch.long), use_cache=True).past_key_values.layers
        past = [(layer.keys, layer.values) for layer in layers]
        example = {
            "input_ids": torch.zeros(rows, new, dtype=torch.long),
            "attention_mask": torch.ones(rows, old + new, dtype=torch.long),
            "position_ids": torch.arange(old, old + new).repeat(rows, 1),
            "kept": torch.arange(new),
            "past": past,
        }
        with warnings.catch_warnings():  # of a branch on shapes that a given mask takes away, and of tracing being old
            warnings.simplefilter("ignore")
            graph = ov.convert_model(_WithPast(model), example_input=example)
    shapes = [(tensor.shape[1], tensor.shape[3]) for pair in past for tensor in pair]
    if len(graph.inputs) != len(_INPUTS) + len(shapes) or len(graph.outputs) != 1 + len(shapes):
        raise RuntimeError(f"the trace has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs for {len(shapes)} cached tensors")
    for port, name in zip(graph.inputs, [*_INPUTS, *(f"past.{i}" for i in range(len(shapes)))], strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(graph.outputs, ["logits", *(f"present.{i}" for i in range(len(shapes)))], strict=True):
        port.get_tensor().set_names({name})
    return graph, shapes


def _stateful(ov: Any, graph: Any, shapes: list[tuple[int, int]]) -> Any:
    """Past and present become states that are empty after a reset; `beam_idx` reorders rows, which OpenVINO's fused attention wants."""
    from openvino._offline_transformations import apply_make_stateful_transformation

    op: Any = ov.opset15
    beam = op.parameter([-1], np.int32, name="beam_idx")
    beam.output(0).get_tensor().set_names({"beam_idx"})
    zero = op.constant(np.int64(0))
    for number, (heads, width) in enumerate(shapes):
        past = graph.input(f"past.{number}").get_node()
        past.set_partial_shape(ov.PartialShape([-1, heads, -1, width]))
        readers = past.output(0).get_target_inputs()
        picked = op.gather(past, beam, zero).output(0)
        for reader in readers:
            reader.replace_source_output(picked)
    graph.add_parameters([beam])
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, {f"past.{i}": f"present.{i}" for i in range(len(shapes))})
    rows = op.gather(op.shape_of(graph.input("input_ids").get_node(), "i64"), op.constant(np.array([0], np.int64)), zero)
    for state in [node for node in graph.get_ops() if node.get_type_name() == "ReadValue"]:
        heads, width = (state.get_output_partial_shape(0)[axis].get_length() for axis in (1, 3))
        shape = op.concat([rows, op.constant(np.array([heads, 0, width], np.int64))], 0)
        state.set_arguments([op.broadcast(op.constant(np.float32(0)), shape)])
    graph.validate_nodes_and_infer_types()
    return graph


def _round_matrices(ov: Any, graph: Any) -> int:
    """Replace every matrix by int8 values times a scale for each row; the number of them."""
    op: Any = ov.opset15
    matrices = [node for node in graph.get_ops() if node.get_type_name() == "Constant" and _is_matrix(node)]
    for node in matrices:
        readers = node.output(0).get_target_inputs()
        values: NDArray[np.float32] = node.data
        # f16, as it is stored: the codes must fit the scale that they will be multiplied with
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True) / 127, np.finfo(np.float16).tiny).astype(np.float16)
        codes = np.clip(np.rint(values / scale.astype(np.float32)), -127, 127).astype(np.int8)
        whole = op.convert(op.multiply(op.convert(op.constant(codes), "f16"), op.constant(scale)), "f32")
        for reader in readers:
            reader.replace_source_output(whole.output(0))
    graph.validate_nodes_and_infer_types()
    return len(matrices)


def _is_matrix(node: Any) -> bool:
    """Weights of linear layers and embeddings: of constants, only they are two-dimensional floats without an axis of 1."""
    shape = node.get_output_shape(0)
    return len(shape) == 2 and min(shape) > 1 and node.get_output_element_type(0).get_type_name() == "f32"


@torch.inference_mode()
def _check(ov: Any, model: Any, path: Path, *, bound: float) -> None:
    """RuntimeError when the saved model answers otherwise than the source, at once or token by token."""
    ids = (torch.arange(_PROBES * _PROBE_TOKENS) * 37 + 11).remainder(model.config.vocab_size).view(_PROBES, _PROBE_TOKENS)
    wanted = model(input_ids=ids, use_cache=False).logits.float().numpy()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = ov.Core().compile_model(path, "CPU", settings)
    infer = _runner(compiled.create_infer_request(), ids.numpy())
    found = np.concatenate([infer(0, _PROMPT), *(infer(at, at + 1) for at in range(_PROMPT, _PROBE_TOKENS))], axis=1)
    worst = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    if not worst <= bound:  # also when it is not a number
        raise RuntimeError(f"{path}: logits differ from the source by {worst:.3g} of the largest, at most {bound} is right; it is broken")


def _runner(request: Any, ids: NDArray[np.int64]) -> Callable[[int, int], NDArray[np.float32]]:
    """Logits of columns [start, end) of `ids`, those before `start` being in the cache."""

    def infer(start: int, end: int) -> NDArray[np.float32]:
        inputs = {
            "input_ids": ids[:, start:end],
            "attention_mask": np.ones((len(ids), end), np.int64),
            "position_ids": np.tile(np.arange(start, end), (len(ids), 1)),
            "kept": np.arange(end - start),
            "beam_idx": np.arange(len(ids), dtype=np.int32),
        }
        logits: NDArray[np.float32] = request.infer(inputs)["logits"].copy()
        return logits

    return infer
