"""The size arithmetic: how many weights a model has in another shape, and which shapes meet a ratio."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedModel

from medllm.errors import UserError
from medllm.model.architecture import Shape, architecture_of, axes_of, is_tied, layers_of, linear, shape_of

Budget = Literal["parameters", "decode_bytes"]
BF16_BYTES = 2
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class _Term:
    """One weight: factor * hidden^a * groups^b * ffn^c entries."""

    factor: int
    hidden: int
    groups: int
    ffn: int

    def entries(self, shape: Shape) -> int:
        return self.factor * int(shape.hidden**self.hidden * shape.groups**self.groups * shape.ffn**self.ffn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Weights of an architecture by shape; `head_size` is set where hidden size / heads must stay what it is."""

    source: Shape
    layer: Sequence[_Term]
    outside: Sequence[_Term]
    embedding: _Term
    tied: bool
    attention_block: int
    head_size: int | None

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Sizes":
        """The sizes of this model."""
        architecture, source = architecture_of(model), shape_of(model)
        tied = is_tied(model)
        weights, inside, outside = model.state_dict(), [], []
        embedding = _Term(0, 0, 0, 0)
        for name, layer, axes in axes_of(model):
            factor = weights[name].numel()
            for axis in axes:
                factor //= getattr(source, axis) if axis else 1
            term = _Term(factor, axes.count("hidden"), axes.count("groups"), axes.count("ffn"))
            if layer == 0:
                inside.append(term)
            elif layer is None and name == f"{architecture.embedding}.weight":
                embedding = term
            elif layer is None and not (tied and name == f"{architecture.head}.weight"):
                outside.append(term)
        heads = int(model.config.num_attention_heads)
        return cls(
            source=source, layer=inside, outside=outside, embedding=embedding, tied=tied,
            attention_block=linear(layers_of(model)[0], architecture.attention_out).in_features // source.groups,
            head_size=None if architecture.own_head_size else source.hidden // heads,
        )  # fmt: skip

    def parameters(self, shape: Shape) -> int:
        """All weights, tied ones once."""
        inside = sum(term.entries(shape) for term in self.layer)
        return shape.layers * inside + sum(term.entries(shape) for term in self.outside) + self.embedding.entries(shape)

    def decode_bytes(self, shape: Shape) -> int:
        """Bytes in bf16 that one generated token reads: all weights but the input embedding, of which it reads one row; a tied one is
        the output matrix too. On a machine bound by memory bandwidth this is the time."""  # fmt: skip
        unread = 0 if self.tied else self.embedding.entries(shape)
        return BF16_BYTES * (self.parameters(shape) - unread)

    def removed(self, shape: Shape, budget: Budget) -> float:
        """Share of the budget that this shape saves."""
        measure: Callable[[Shape], int] = self.parameters if budget == "parameters" else self.decode_bytes
        return 1 - measure(shape) / measure(self.source)

    def shapes(self, *, axes: Iterable[str], round_to: int, layers: Iterable[int]) -> list[Shape]:
        """All uniform shapes whose cut input widths are multiples of `round_to`; `axes` are those of ffn, heads, hidden that may shrink.

        Where the head size is hidden size / heads, heads and hidden channels go together, whichever is named.
        """
        source, wanted = self.source, set(axes)
        ffn = _widths(source.ffn, round_to) if "ffn" in wanted else [source.ffn]
        groups = [g for g in range(1, source.groups) if g * self.attention_block % round_to == 0] + [source.groups]
        hidden = _widths(source.hidden, round_to)
        if self.head_size:
            pairs = [(g, g * self.head_size) for g in groups] if wanted & {"heads", "hidden"} else [(source.groups, source.hidden)]
        else:
            pairs = [
                (g, h)
                for g in (groups if "heads" in wanted else [source.groups])
                for h in (hidden if "hidden" in wanted else [source.hidden])
            ]
        return [Shape(layers=n, hidden=h, groups=g, ffn=f) for n in layers for g, h in pairs for f in ffn]


def _widths(size: int, step: int) -> list[int]:
    return [*range(step, size, step), size]


def meeting(sizes: Sizes, shapes: Iterable[Shape], *, ratio: float, tolerance: float, budget: Budget, what: str) -> list[Shape]:
    """The shapes that save `ratio` of the budget within `tolerance`, nearest first; UserError naming what is in reach when none does."""
    removed = {shape: sizes.removed(shape, budget) for shape in shapes if shape != sizes.source}
    if not removed:
        raise UserError(f"prune.ratio={ratio}: there are no {what} to remove; take another conf/prune option")
    good = sorted((shape for shape in removed if abs(removed[shape] - ratio) <= tolerance), key=lambda s: (abs(removed[s] - ratio), s))
    if not good:
        near = sorted({f"{share:.3f}" for share in removed.values()}, key=lambda share: abs(float(share) - ratio))[:_SHOWN]
        of = "parameters" if budget == "parameters" else "bytes read per token"
        shares = ", ".join(sorted(near))
        raise UserError(f"prune.ratio={ratio}: {what} can only remove {shares} of the {of}; take one of these, or other conf/prune")
    return good


def balanced(sizes: Sizes, shapes: Iterable[Shape], *, ratio: float) -> Shape:
    """The shape that takes alike from every width, and comes near the ratio."""

    def unevenness(shape: Shape) -> float:
        source = sizes.source
        shares = (shape.ffn / source.ffn, shape.groups / source.groups, shape.hidden / source.hidden)
        return max(shares) - min(shares) + abs(sizes.removed(shape, "parameters") - ratio)

    return min(shapes, key=lambda shape: (unevenness(shape), shape))
