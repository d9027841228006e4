"""How each Hugging Face architecture is written as GGUF: metadata and reordered weights, as llama.cpp's own converter does it.

A new architecture is one function and one line in `ARCHITECTURES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, GGUFWriter
from numpy.typing import NDArray

from medllm.errors import UserError

Array = NDArray[np.float32]
Reorder = Callable[[str, Array], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """`describe` writes the hyperparameters, `reorder` turns a stored weight into llama.cpp's order, `skip` are name endings of buffers."""

    arch: MODEL_ARCH
    describe: Callable[[GGUFWriter], None]
    reorder: Reorder
    skip: tuple[str, ...] = ()
    needs_output: bool = False


def architecture_of(config: dict[str, Any], *, where: str) -> Architecture:
    """The architecture of a config.json, or a UserError naming those that are known."""
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise UserError(f"{where}: model_type {kind!r} cannot be written as GGUF; known: {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[kind](config, where)


def _gpt_neox(config: dict[str, Any], where: str) -> Architecture:
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    _require(config, "hidden_act", ("gelu", "gelu_fast", "gelu_new", "gelu_pytorch_tanh"), where)
    _require(config, "attention_bias", (True,), where)
    rope = _rope(config, where)

    def describe(writer: GGUFWriter) -> None:
        _describe_shape(writer, config, rope)
        writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * (hidden // heads)))
        writer.add_parallel_residual(bool(config.get("use_parallel_residual", True)))
        writer.add_layer_norm_eps(float(config["layer_norm_eps"]))

    def reorder(name: str, tensor: Array) -> Array:
        # stored as (head, q|k|v, head size): llama.cpp wants all q, then all k, then all v
        if ".query_key_value." not in name:
            return tensor
        split = tensor.reshape(heads, 3, hidden // heads, -1)
        return np.ascontiguousarray(split.swapaxes(0, 1)).reshape(tensor.shape)

    skip = (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")  # buffers in checkpoints of old transformers
    return Architecture(arch=MODEL_ARCH.GPTNEOX, describe=describe, reorder=reorder, skip=skip, needs_output=True)


def _llama(config: dict[str, Any], where: str) -> Architecture:
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)

    def reorder(name: str, tensor: Array) -> Array:
        # llama.cpp rotates neighbouring pairs, Hugging Face rotates halves: interleave the rows of each head
        if ".q_proj." in name or ".k_proj." in name:
            count = heads if ".q_proj." in name else kv_heads
            halves = tensor.reshape(count, 2, tensor.shape[0] // count // 2, -1)
            return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(tensor.shape)
        return tensor

    return Architecture(arch=MODEL_ARCH.LLAMA, describe=_describe_rms(config, where), reorder=reorder, skip=(".rotary_emb.inv_freq",))


def _qwen3(config: dict[str, Any], where: str) -> Architecture:
    return Architecture(arch=MODEL_ARCH.QWEN3, describe=_describe_rms(config, where), reorder=lambda _, tensor: tensor)


def _describe_rms(config: dict[str, Any], where: str) -> Callable[[GGUFWriter], None]:
    _require(config, "hidden_act", ("silu",), where)
    heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    rope = _rope(config, where)

    def describe(writer: GGUFWriter) -> None:
        _describe_shape(writer, config, rope)
        writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
        writer.add_rope_dimension_count(head_size)
        writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))

    return describe


def _describe_shape(writer: GGUFWriter, config: dict[str, Any], rope: dict[str, float]) -> None:
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(int(config["num_attention_heads"]))
    writer.add_rope_freq_base(rope["rope_theta"])


def _rope(config: dict[str, Any], where: str) -> dict[str, float]:
    """Base and rotated share, of a transformers 5 config (`rope_parameters`) or an older one (separate keys)."""
    parameters = config.get("rope_parameters") or {}
    scaling = parameters.get("rope_type") or (config.get("rope_scaling") or {}).get("rope_type", "default")
    if scaling != "default":
        raise UserError(f"{where}: rope scaling {scaling!r} is not written to GGUF; known: default")
    theta = parameters.get("rope_theta", config.get("rope_theta", config.get("rotary_emb_base", 10000.0)))
    share = parameters.get("partial_rotary_factor", config.get("rotary_pct", 0.25 if config["model_type"] == "gpt_neox" else 1.0))
    return {"rope_theta": float(theta), "partial_rotary_factor": float(share)}


def _require(config: dict[str, Any], key: str, allowed: tuple[Any, ...], where: str) -> None:
    value = config.get(key, allowed[0])
    if value not in allowed:
        raise UserError(f"{where}: {key}={value!r} has no counterpart in llama.cpp; known: {', '.join(map(str, allowed))}")


ARCHITECTURES: dict[str, Callable[[dict[str, Any], str], Architecture]] = {"gpt_neox": _gpt_neox, "llama": _llama, "qwen3": _qwen3}
