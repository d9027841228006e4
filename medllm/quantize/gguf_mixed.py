"""Mixed precision in one GGUF: bits go where the model was measured to need them, until a byte budget is spent."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize
from numpy.typing import NDArray

from medllm.errors import UserError
from medllm.quantize import QuantizeResult
from medllm.quantize.gguf import importance_of
from medllm.quantize.gguf_types import Scheme, byte_count, fitting_type, scheme_type, to_bytes
from medllm.quantize.gguf_writer import GgufSource, Importance, Tensor, write_gguf

SENSITIVITY_FILE = "sensitivity.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A matrix of the model: nats that its low type costs, bytes that its high type costs on top. A tied matrix may be two tensors."""

    tensors: tuple[str, ...]
    kl: float
    extra_bytes: int

    @property
    def gain(self) -> float:
        """Nats saved by each extra byte."""
        return self.kl / self.extra_bytes if self.extra_bytes else 0.0


def quantize_gguf_mixed(
    source: Path, prepared: Path, target: Path, *, low_scheme: Scheme, high_scheme: Scheme, bits_per_weight: float,
    importance: Literal["none", "activations"], num_rows: int, batch_rows: int, max_tokens: int,
) -> QuantizeResult:  # fmt: skip
    """Write model.gguf with every matrix in `low_scheme` or `high_scheme`, at most `bits_per_weight` over all weights.

    The first `num_rows` calibration sequences say how far the next-token distributions move (KL) when one matrix alone goes to its low
    type; the matrices that move them most for each extra byte get the high type. The table goes to sensitivity.json beside the model.
    Raises UserError when the budget lies outside what the two schemes span, and like quantize_gguf.
    """
    low, high = scheme_type(low_scheme, knob="low_scheme"), scheme_type(high_scheme, knob="high_scheme")
    opened = GgufSource(source)
    budget = _budget(opened, low, high, bits_per_weight)
    weights = importance_of(opened, prepared, importance=importance, kinds=(low, high), batch_rows=batch_rows, max_tokens=max_tokens)
    measured = _measured(opened, prepared, weights, low, num_rows=num_rows, batch_rows=batch_rows, max_tokens=max_tokens)
    groups: dict[str, list[Tensor]] = {}
    for tensor in opened.tensors:
        if len(tensor.shape) > 1:
            groups.setdefault(tensor.source, []).append(tensor)
    candidates = [
        Candidate(tensors=tuple(t.name for t in group), kl=measured[group[0].name], extra_bytes=sum(_extra(t, low, high) for t in group))
        for group in groups.values()
    ]
    chosen = choose_high(candidates, budget - _bytes(opened, low))
    wanted = {name: high if candidate in chosen else low for candidate in candidates for name in candidate.tensors}
    result = write_gguf(opened, target, scheme=f"{low_scheme}+{high_scheme}", file_type=low, wanted=wanted, importance=weights)
    rows = [{**asdict(c), "scheme": high_scheme if c in chosen else low_scheme} for c in _ranked(candidates)]
    text = json.dumps({"bits_per_weight": result.bits_per_weight, "low_scheme": low_scheme, "matrices": rows}, indent=2, sort_keys=True)
    (target / SENSITIVITY_FILE).write_text(text + "\n", encoding="utf-8")
    return result


def choose_high(candidates: list[Candidate], spare: int) -> set[Candidate]:
    """The candidates that get the high type for `spare` bytes: most nats a byte first, whatever still fits."""
    chosen = set()
    for candidate in _ranked(candidates):
        if 0 < candidate.extra_bytes <= spare and candidate.kl > 0:
            chosen.add(candidate)
            spare -= candidate.extra_bytes
    return chosen


def _ranked(candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: (-candidate.gain, candidate.tensors))


def _bytes(source: GgufSource, kind: Type) -> int:
    return sum(byte_count(tensor.shape, fitting_type(tensor.shape, kind)) for tensor in source.tensors)


def _extra(tensor: Tensor, low: Type, high: Type) -> int:
    return byte_count(tensor.shape, fitting_type(tensor.shape, high)) - byte_count(tensor.shape, fitting_type(tensor.shape, low))


def _budget(source: GgufSource, low: Type, high: Type, bits_per_weight: float) -> int:
    """Bytes of all tensors that `bits_per_weight` allows; UserError when the two types cannot meet it."""
    elements = sum(int(np.prod(tensor.shape)) for tensor in source.tensors)
    least, most = (8 * _bytes(source, kind) / elements for kind in (low, high))
    if not least <= bits_per_weight <= most:
        raise UserError(
            f"quantize.bits_per_weight: {bits_per_weight} cannot be met; {low.name.lower()} everywhere is {least:.3f} "
            f"and {high.name.lower()} everywhere {most:.3f} bits per weight, choose between"
        )
    return int(bits_per_weight * elements / 8)


def _measured(
    source: GgufSource, prepared: Path, importance: Importance, low: Type, *, num_rows: int, batch_rows: int, max_tokens: int
) -> Mapping[str, float]:
    from medllm.calibration import calibration_batches
    from medllm.model.folder import load_model
    from medllm.quantize.gguf_sensitivity import divergences

    tensors = {tensor.name: tensor for tensor in source.tensors if len(tensor.shape) > 1}

    def round_trip(name: str, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        kind = fitting_type(weights.shape, low)
        found = dequantize(to_bytes(weights, kind, source.importance(tensors[name], importance)), kind)
        return np.ascontiguousarray(found, dtype=np.float32).reshape(weights.shape)

    batches = calibration_batches(prepared, source.folder, batch_rows=batch_rows, max_tokens=max_tokens)
    whole, rest = divmod(num_rows, batch_rows)
    first = batches[:whole] + [{key: value[:rest] for key, value in batch.items()} for batch in batches[whole : whole + 1] if rest]
    model = load_model(source.folder)
    parameters = {str(source.name(name)): parameter for name, parameter in model.named_parameters() if parameter.ndim > 1}
    return divergences(model, first, parameters, round_trip)
