"""Distillation losses, one signature for all. Shapes: N loss tokens, V vocabulary, K teacher entries of a token, C = K + 1 classes.

A teacher row is its K entries and, last, the log-probability of everything else, which is one class of its own: K = V gives the exact
divergence and any K a lower bound of it (data processing inequality). Rows with fewer entries are filled up with -inf (and any id).
The teacher's log-probabilities were taken at the same temperature; losses are mean nats a token times temperature^2 (Hinton et al. 2015,
arXiv 1503.02531), so that their gradients keep their size.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[..., Tensor]
_NOTHING = -30.0  # log-probability of an empty class: finite, so that gradients are, and too small to count
_SKEW = 0.1  # share of the teacher in the mixture; the best of Ko et al. 2024
_TEACHER_SHARE = 0.5  # beta of generalised JSD


def _classes(student_logits_NV: Tensor, teacher_logprobs_NC: Tensor, teacher_ids_NK: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities [N, C] of teacher and student over the same classes; an entry that fills up is as good as impossible in both."""
    student_NV = torch.log_softmax(student_logits_NV.float() / temperature, dim=-1)
    teacher_NC = teacher_logprobs_NC.float()
    entry_NK = teacher_NC[:, :-1] > -math.inf
    # fills point at the row's first entry, so that scatter cannot mark what is outside
    ids_NK = torch.where(entry_NK, teacher_ids_NK, teacher_ids_NK[:, :1])
    inside_NV = torch.zeros_like(student_NV, dtype=torch.bool).scatter_(-1, ids_NK, True)
    rest_N1 = student_NV.masked_fill(inside_NV, -1e9).logsumexp(dim=-1, keepdim=True)  # exact, where 1 - sum would be rounding noise
    student_NK = torch.where(entry_NK, student_NV.gather(-1, ids_NK), _NOTHING)
    teacher_NK = torch.where(entry_NK, teacher_NC[:, :-1], _NOTHING)
    student_NC = torch.cat([student_NK, rest_N1.clamp_min(_NOTHING)], dim=-1)
    return torch.cat([teacher_NK, teacher_NC[:, -1:].clamp_min(_NOTHING)], dim=-1), student_NC


def _divergence(p_NC: Tensor, q_NC: Tensor) -> Tensor:
    """Mean KL(p || q) of log-probabilities."""
    return (p_NC.exp() * (p_NC - q_NC)).sum(-1).mean()


def _mixture(p_NC: Tensor, q_NC: Tensor, share: float) -> Tensor:
    """Log of share * p + (1 - share) * q."""
    return torch.logaddexp(p_NC + math.log(share), q_NC + math.log1p(-share))


def forward_kl(student_logits_NV: Tensor, teacher_logprobs_NC: Tensor, teacher_ids_NK: Tensor, *, temperature: float) -> Tensor:
    """KL(teacher || student): the student covers all that the teacher may say (Hinton et al. 2015)."""
    teacher, student = _classes(student_logits_NV, teacher_logprobs_NC, teacher_ids_NK, temperature)
    return _divergence(teacher, student) * temperature**2


def reverse_kl(student_logits_NV: Tensor, teacher_logprobs_NC: Tensor, teacher_ids_NK: Tensor, *, temperature: float) -> Tensor:
    """KL(student || teacher): the student says nothing that the teacher would not (MiniLLM, Gu et al. 2024, arXiv 2306.08543)."""
    teacher, student = _classes(student_logits_NV, teacher_logprobs_NC, teacher_ids_NK, temperature)
    return _divergence(student, teacher) * temperature**2


def skew_kl(student_logits_NV: Tensor, teacher_logprobs_NC: Tensor, teacher_ids_NK: Tensor, *, temperature: float) -> Tensor:
    """KL(teacher || 0.1 teacher + 0.9 student): forward KL with bounded gradients (DistiLLM, Ko et al. 2024, arXiv 2402.03898)."""
    teacher, student = _classes(student_logits_NV, teacher_logprobs_NC, teacher_ids_NK, temperature)
    return _divergence(teacher, _mixture(teacher, student, _SKEW)) * temperature**2


def jsd(student_logits_NV: Tensor, teacher_logprobs_NC: Tensor, teacher_ids_NK: Tensor, *, temperature: float) -> Tensor:
    """Generalised Jensen-Shannon divergence with beta = 0.5 (GKD, Agarwal et al. 2024, arXiv 2306.13649); at most log 2 a token."""
    teacher, student = _classes(student_logits_NV, teacher_logprobs_NC, teacher_ids_NK, temperature)
    middle = _mixture(teacher, student, _TEACHER_SHARE)
    return (_TEACHER_SHARE * _divergence(teacher, middle) + (1 - _TEACHER_SHARE) * _divergence(student, middle)) * temperature**2
