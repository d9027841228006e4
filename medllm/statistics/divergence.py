"""How far the next-token distributions of two models are apart."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def kl_divergence(reference: NDArray[np.floating], model: NDArray[np.floating]) -> float:
    """Mean over positions of KL(reference || model) in nats; log-probabilities (positions, vocabulary).

    A padded vocabulary is cut to the columns that both have, and both are renormalised over them. Infinite where the model rules out a
    token that the reference does not.
    """
    p, q = _common(reference, model)
    p, q = _normalised(p), _normalised(q)
    possible = np.isfinite(p)
    terms = np.exp(p) * np.subtract(p, q, out=np.zeros_like(p), where=possible)
    return float(terms.sum(axis=1).mean())


def top1_agreement(reference: NDArray[np.floating], model: NDArray[np.floating]) -> float:
    """Share of positions at which both find the same token most likely; shapes as in kl_divergence."""
    p, q = _common(reference, model)
    return float((p.argmax(axis=1) == q.argmax(axis=1)).mean())


def _common(reference: NDArray[np.floating], model: NDArray[np.floating]) -> tuple[Floats, Floats]:
    if reference.ndim != 2 or model.ndim != 2 or len(reference) != len(model) or 0 in (*reference.shape, *model.shape):
        raise ValueError(f"log-probabilities of shape {reference.shape} and {model.shape}: not the same positions of two models")
    width = min(reference.shape[1], model.shape[1])
    return reference[:, :width].astype(np.float64), model[:, :width].astype(np.float64)


def _normalised(scores: Floats) -> Floats:
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
