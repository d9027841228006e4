"""Distillation losses on tensors. Shapes: N loss tokens, V vocabulary, K cached teacher entries."""

import torch
from torch import Tensor


def forward_kl(student_logits_NV: Tensor, teacher_logprobs_NK: Tensor, teacher_ids_NK: Tensor, *, temperature: float) -> Tensor:
    """Mean KL(teacher || student) per token, in nats, times temperature^2 (Hinton et al. 2015, arXiv 1503.02531).

    The teacher's log-probabilities were taken at the same temperature. What lies outside its K entries is one class of its own,
    so K = V is the exact divergence and any K is a lower bound of it (log-sum inequality).
    """
    student_NV = torch.log_softmax(student_logits_NV.float() / temperature, dim=-1)
    student_NK = student_NV.gather(-1, teacher_ids_NK)
    teacher_NK = teacher_logprobs_NK.float()
    inside = (teacher_NK.exp() * (teacher_NK - student_NK)).sum(-1)
    teacher_rest = (1 - teacher_NK.exp().sum(-1)).clamp_min(0.0)
    student_rest = (1 - student_NK.exp().sum(-1)).clamp_min(1e-9)
    outside = torch.where(teacher_rest > 1e-6, teacher_rest * (teacher_rest.clamp_min(1e-9).log() - student_rest.log()), 0.0)
    return (inside + outside).mean() * temperature**2
