"""The divergence of a student's softened softmax and a teacher's, along any dimension."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ...formula import product

Divergence = Literal["forward", "reverse", "js"]
_DIVERGENCES = {"forward": 0, "reverse": 1, "js": 2}


class Distillation(NamedTuple):
    """What makes a loss of rows of distillation, besides the logits of both."""

    labels: Tensor | None
    divergence: Divergence
    temperature: float
    alpha: float
    """The share of the divergence; the rest is that of the labels."""
    beta: float

    @property
    def settings(self) -> tuple[int, float, float, float]:
        """As the kernel takes them."""
        return _DIVERGENCES[self.divergence], self.temperature, self.alpha, self.beta


def softened_divergence(student: Tensor, teacher: Tensor, dim: int, how: Distillation) -> Tensor:
    """The divergence of softmax(teacher / T) = q and softmax(student / T) = p of each row.

    The logarithm of q / p comes from differences of logits, and where it is small the terms are those of
    sum(q (exp(-log(q / p)) - 1 + log(q / p))), of which none is negative: so a student that nearly agrees with its
    teacher has a loss that is exact to 4 ulp of sum(q |log(q / p)|). A class that can't happen adds 0, even if the
    other's logit is -inf.
    """
    greatest, greatest_taught = _greatest(student, dim), _greatest(teacher, dim)
    softened, softened_taught = (student - greatest) / how.temperature, (teacher - greatest_taught) / how.temperature
    p, q = torch.softmax(softened, dim), torch.softmax(softened_taught, dim)
    lead = torch.logsumexp(softened_taught, dim, keepdim=True) - torch.logsumexp(softened, dim, keepdim=True)
    log_ratio = ((teacher - student) - (greatest_taught - greatest)) / how.temperature - lead
    log_ratio = torch.where((p == 0) & (q == 0), 0, log_ratio)  # of two logits of -inf it is NaN
    if how.divergence == "reverse":
        return _divergence(p, q, -log_ratio).sum(dim)
    if how.divergence == "forward":
        return _divergence(q, p, log_ratio).sum(dim)
    return _from_mixture(p, q, log_ratio, how.beta).sum(dim)


def _greatest(logits: Tensor, dim: int) -> Tensor:
    """Each row's, which counts as a constant; 0 if all are -inf."""
    greatest = logits.detach().amax(dim, keepdim=True)
    return torch.where(greatest == -torch.inf, 0, greatest)


def _divergence(u: Tensor, v: Tensor, log_ratio: Tensor) -> Tensor:
    """The terms u log(u / v) - u + v, whose sum is the divergence of u from v."""
    near = log_ratio.abs() < 1
    small = torch.where(near, log_ratio, 0)
    far = v - u + product(u, torch.where(u == 0, 0, log_ratio))
    return torch.where(near, u * (torch.expm1(-small) + small), far)


def _from_mixture(p: Tensor, q: Tensor, log_ratio: Tensor, beta: float) -> Tensor:
    """The terms of beta D(q | m) + (1 - beta) D(p | m) with m = beta q + (1 - beta) p."""
    near = log_ratio.abs() < 1
    small = torch.where(near, log_ratio, 0)
    # what m is more than q and p, relatively
    above_q, above_p = (1 - beta) * torch.expm1(-small), beta * torch.expm1(small)
    of_near = beta * q * (above_q - torch.log1p(above_q)) + (1 - beta) * p * (above_p - torch.log1p(above_p))
    log_beta, log_rest = log_ratio.new_tensor(math.log(beta)), log_ratio.new_tensor(math.log1p(-beta))
    from_q = -torch.logaddexp(log_beta, log_rest - torch.where(q == 0, 0, log_ratio))
    from_p = -torch.logaddexp(log_rest, log_beta + torch.where(p == 0, 0, log_ratio))
    return torch.where(near, of_near, beta * q * from_q + (1 - beta) * p * from_p)
