"""One scheme for a whole GGUF, others for its output and the matrices that lose most, and an importance matrix on request."""

from pathlib import Path
from typing import Literal

from gguf import GGMLQuantizationType as Type

from medllm.errors import UserError
from medllm.quantize import QuantizeResult
from medllm.quantize.gguf_types import Scheme, scheme_type, weighs_importance
from medllm.quantize.gguf_writer import EMBEDDING, OUTPUT, GgufSource, Importance, write_gguf

_SENSITIVE = ("attn_v", "attn_qkv", "ffn_down")  # what llama.cpp's Q4_K_M and Q5_K_M keep in more bits


def quantize_gguf(
    source: Path, prepared: Path, target: Path, *, scheme: Scheme, sensitive_scheme: Scheme, head_scheme: Scheme,
    importance: Literal["none", "activations"], batch_rows: int, max_tokens: int,
) -> QuantizeResult:  # fmt: skip
    """Write model.gguf, tokenizer and prompt: weights in `scheme`, embedding and output in `head_scheme`, norms and biases in f32.

    `sensitive_scheme` holds the value and FFN-down matrices of the layers that llama.cpp's Q4_K_M spares. With `importance=activations`
    the mean squared activation of each input channel on the calibration set weighs the error of its weights (llama.cpp's imatrix).
    Raises UserError on a knob, model or tokenizer that cannot be written, RuntimeError when the written file lacks or distorts a tensor.
    """
    body, sensitive, head = (
        scheme_type(value, knob=knob)
        for knob, value in (("scheme", scheme), ("sensitive_scheme", sensitive_scheme), ("head_scheme", head_scheme))
    )
    opened = GgufSource(source)
    wanted: dict[str, Type] = {}
    for tensor in opened.tensors:
        if tensor.name in (EMBEDDING, OUTPUT):
            wanted[tensor.name] = head
        else:
            wanted[tensor.name] = sensitive if is_sensitive(tensor.name, int(opened.config["num_hidden_layers"])) else body
    weights = importance_of(
        opened, prepared, importance=importance, kinds=(body, sensitive, head), batch_rows=batch_rows, max_tokens=max_tokens
    )
    return write_gguf(opened, target, scheme=scheme, file_type=body, wanted=wanted, importance=weights)


def is_sensitive(name: str, layers: int) -> bool:
    """llama.cpp's `use_more_bits`: value and FFN-down matrices in the first and last eighth of the layers and every third between."""
    _, _, rest = name.partition("blk.")
    layer, _, part = rest.partition(".")
    if part.partition(".")[0] not in _SENSITIVE:
        return False
    return int(layer) < layers // 8 or int(layer) >= 7 * layers // 8 or (int(layer) - layers // 8) % 3 == 2


def importance_of(
    source: GgufSource, prepared: Path, *, importance: str, kinds: tuple[Type, ...], batch_rows: int, max_tokens: int
) -> Importance:
    """The importance matrix by GGUF name, empty for "none". Only "activations" imports torch."""
    if importance == "none":
        return {}
    if importance != "activations":
        raise UserError(f"quantize.importance: {importance!r} is unknown; use none or activations")
    if not any(weighs_importance(kind) for kind in kinds):
        raise UserError("quantize.importance: activations changes nothing in f16 and q8_0, which search no scales; use none")
    from medllm.quantize.gguf_importance import activation_importance

    return activation_importance(source, prepared, batch_rows=batch_rows, max_tokens=max_tokens)
