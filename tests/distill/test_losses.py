"""The distillation losses against the textbook, for every number of cached entries."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from medllm.distill.losses import Loss, forward_kl, jsd, reverse_kl, skew_kl

VOCABULARY = 40
every_loss = pytest.mark.parametrize("loss", [forward_kl, reverse_kl, skew_kl, jsd])


def logits(seed: int, *, rows: int = 6, spread: float = 2.0) -> Tensor:
    return spread * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def top(teacher: Tensor, k: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """The k largest entries, and the rest as the last column."""
    logprobs = torch.log_softmax(teacher / temperature, dim=-1)
    found = logprobs.topk(k, dim=-1)
    rest = logprobs.scatter(-1, found.indices, -math.inf).logsumexp(-1, keepdim=True)
    return torch.cat([found.values, rest], dim=-1), found.indices


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p.log() - q.log())).sum(-1).mean()


def dense(loss: Any, teacher: Tensor, student: Tensor) -> Tensor:
    """The definitions of the papers, on probabilities of the whole vocabulary."""
    p, q = torch.softmax(teacher, -1), torch.softmax(student, -1)
    middle = (p + q) / 2
    return {
        forward_kl: kl(p, q), reverse_kl: kl(q, p), skew_kl: kl(p, 0.1 * p + 0.9 * q), jsd: (kl(p, middle) + kl(q, middle)) / 2,
    }[loss]  # fmt: skip


@every_loss
@pytest.mark.parametrize("k", [1, 8, VOCABULARY])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_no_divergence_from_itself(loss: Loss, k: int, temperature: float) -> None:
    teacher = logits(0)
    assert float(loss(teacher, *top(teacher, k, temperature), temperature=temperature)) == pytest.approx(0.0, abs=1e-5)


@every_loss
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_all_entries_are_the_exact_divergence_and_gradient(loss: Loss, temperature: float) -> None:
    teacher, student = logits(1), logits(2).requires_grad_()
    found = loss(student, *top(teacher, VOCABULARY, temperature), temperature=temperature)
    exact = dense(loss, teacher / temperature, student / temperature) * temperature**2
    assert float(found.detach()) == pytest.approx(float(exact.detach()), rel=1e-4)
    (gradient,), (wanted,) = torch.autograd.grad(found, student), torch.autograd.grad(exact, student)
    assert torch.allclose(gradient, wanted, atol=1e-5)


@every_loss
def test_rows_filled_up_and_rounded_as_in_the_cache_change_nothing_much(loss: Loss) -> None:
    teacher, student = logits(1, spread=4.0), logits(2, spread=4.0)
    values, ids = top(teacher, 12)
    filled = torch.cat([values[:, :-1], torch.full((len(values), VOCABULARY), -math.inf), values[:, -1:]], dim=-1)
    any_ids = torch.arange(VOCABULARY).expand(len(ids), -1)
    found = loss(student, filled.half(), torch.cat([ids, any_ids], dim=-1), temperature=1.0)
    assert float(found) == pytest.approx(float(loss(student, values, ids, temperature=1.0)), rel=2e-3)


@every_loss
def test_fewer_entries_are_a_lower_bound_that_rises(loss: Loss) -> None:
    teacher, student = logits(3), logits(4)
    found = [float(loss(student, *top(teacher, k), temperature=1.0)) for k in range(1, VOCABULARY + 1)]
    assert all(later >= earlier - 1e-5 for earlier, later in pairwise(found))
    assert found[0] >= 0
    assert found[0] < found[-1]


@pytest.mark.parametrize(("loss", "factor"), [(forward_kl, 1.0), (reverse_kl, 1.0), (skew_kl, 0.81), (jsd, 0.25)])
def test_high_temperature_is_half_the_variance_of_the_logit_difference(loss: Loss, factor: float) -> None:
    # Hinton et al. 2015, section 2.1: temperature^2 * KL tends to the matching of centred logits; mixtures are nearer by a known factor
    teacher, student = logits(5), logits(6)
    found = float(loss(student, *top(teacher, VOCABULARY, 300.0), temperature=300.0))
    assert found == pytest.approx(factor * float((teacher - student).var(dim=-1, correction=0).mean() / 2), rel=0.05)


def test_the_gradient_is_student_minus_teacher() -> None:
    teacher, student = logits(7, rows=3), logits(8, rows=3).requires_grad_()
    values, ids = top(teacher, 4)
    found = torch.autograd.grad(forward_kl(student, values, ids, temperature=1.0), student)[0]
    # outside the cached entries the teacher counts as spread like the student
    p, q = torch.softmax(teacher, -1), torch.softmax(student.detach(), -1)
    inside = torch.zeros_like(p, dtype=torch.bool).scatter(-1, ids, True)
    rest = (p * ~inside).sum(-1, keepdim=True) / (q * ~inside).sum(-1, keepdim=True)
    assert torch.allclose(found, (q - torch.where(inside, p, q * rest)) / 3, atol=1e-5)


@every_loss
@pytest.mark.parametrize("k", [1, 5, VOCABULARY])
@pytest.mark.parametrize("sure_of", [0, 39])
def test_certainty_gives_finite_numbers(loss: Loss, k: int, sure_of: int) -> None:
    teacher = torch.full((2, VOCABULARY), -200.0)
    teacher[:, 39] = 200.0
    student = torch.full((2, VOCABULARY), -200.0)
    student[:, sure_of] = 200.0
    student.requires_grad_()
    found = loss(student, *top(teacher, k), temperature=1.0)
    found.backward()
    assert math.isfinite(float(found.detach()))
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert loss is not jsd or float(found.detach()) <= math.log(2) + 1e-5
