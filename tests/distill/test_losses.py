"""The distillation loss against the textbook, for every number of cached entries."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medllm.distill.losses import forward_kl

VOCABULARY = 40


def logits(seed: int, *, rows: int = 6, spread: float = 2.0) -> Tensor:
    return spread * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def top(teacher: Tensor, k: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    found = torch.log_softmax(teacher / temperature, dim=-1).topk(k, dim=-1)
    return found.values, found.indices


@pytest.mark.parametrize("k", [1, 8, VOCABULARY])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_no_divergence_from_itself(k: int, temperature: float) -> None:
    teacher = logits(0)
    assert float(forward_kl(teacher, *top(teacher, k, temperature), temperature=temperature)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_all_entries_are_the_exact_divergence(temperature: float) -> None:
    teacher, student = logits(1), logits(2)
    exact = functional.kl_div(
        torch.log_softmax(student / temperature, -1), torch.log_softmax(teacher / temperature, -1), log_target=True, reduction="batchmean"
    )
    found = forward_kl(student, *top(teacher, VOCABULARY, temperature), temperature=temperature)
    assert float(found) == pytest.approx(float(exact) * temperature**2, rel=1e-4)


def test_entries_rounded_as_in_the_cache_change_nothing_much() -> None:
    teacher, student = logits(1, spread=4.0), logits(2, spread=12.0)  # a student that is sure of itself
    exact = functional.kl_div(torch.log_softmax(student, -1), torch.log_softmax(teacher, -1), log_target=True, reduction="batchmean")
    values, ids = top(teacher, VOCABULARY)
    assert float(forward_kl(student, values.half(), ids, temperature=1.0)) == pytest.approx(float(exact), rel=1e-3)


def test_fewer_entries_are_a_lower_bound_that_rises() -> None:
    teacher, student = logits(3), logits(4)
    found = [float(forward_kl(student, *top(teacher, k), temperature=1.0)) for k in range(1, VOCABULARY + 1)]
    assert all(later >= earlier - 1e-5 for earlier, later in pairwise(found))
    assert found[0] >= 0
    assert found[0] < found[-1]


def test_high_temperature_is_half_the_variance_of_the_logit_difference() -> None:
    # Hinton et al. 2015, section 2.1: temperature^2 * KL tends to the matching of centred logits
    teacher, student = logits(5), logits(6)
    found = float(forward_kl(student, *top(teacher, VOCABULARY, 300.0), temperature=300.0))
    assert found == pytest.approx(float((teacher - student).var(dim=-1, correction=0).mean() / 2), rel=0.05)


@pytest.mark.parametrize("k", [4, VOCABULARY])
def test_the_gradient_is_student_minus_teacher(k: int) -> None:
    teacher, student = logits(7, rows=3), logits(8, rows=3).requires_grad_()
    values, ids = top(teacher, k)
    forward_kl(student, values, ids, temperature=1.0).backward()
    found = student.grad
    assert found is not None
    # outside the cached entries the teacher counts as spread like the student
    p, q = torch.softmax(teacher, -1), torch.softmax(student.detach(), -1)
    inside = torch.zeros_like(p, dtype=torch.bool).scatter(-1, ids, True)
    rest = (p * ~inside).sum(-1, keepdim=True) / (q * ~inside).sum(-1, keepdim=True).clamp_min(1e-9)
    wanted = (q - torch.where(inside, p, q * rest)) / 3
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_student_that_is_certain_gives_finite_numbers() -> None:
    student = torch.full((2, VOCABULARY), -200.0)
    student[:, 0] = 200.0
    student.requires_grad_()
    loss = forward_kl(student, *top(logits(9, rows=2), 5), temperature=1.0)
    loss.backward()
    assert math.isfinite(float(loss))
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
