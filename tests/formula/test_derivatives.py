"""The proof of every formula's derivatives: by autograd of the value, by differences, and by torch.nn at kinks."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lossmith.formula import Formula
from oracle.discovery import FORMULAS

# where formulas are smooth: an interval for each operand, and values for each parameter
OPERANDS = {
    "probability": (0.01, 0.99),
    "log_prediction": (-5.0, -0.1),
    "log_target": (-5.0, -0.1),
    "cosine": (-0.99, 0.99),
    "distance": (0.0, 3.0),
    "positive": (0.0, 3.0),
    "negative": (0.0, 3.0),
    "variance": (0.1, 3.0),
    "rate": (0.1, 3.0),
    "positive_weight": (0.1, 3.0),
    "common": (0.1, 3.0),
    "excess": (0.1, 3.0),
    "missed": (0.1, 3.0),
    "surprisal": (0.01, 5.0),
}
TARGETS = {
    "bce": (0.0, 1.0),
    "bce_with_logits": (0.0, 1.0),
    "js": (0.01, 1.0),
    "kl": (0.01, 1.0),
    "sigmoid_focal": (0.0, 1.0),
    "sigmoid_focal_squared": (0.0, 1.0),
}
COUNTS = (1.5, 9.0)
SIGNED = {"soft_margin", "hinge_embedding", "margin_ranking", "cosine_embedding"}
PARAMETERS = {"delta": 0.7, "beta": 0.7, "margin": 0.4, "eps": 1e-6, "constant": 0.9, "variance": 1.7}
PARAMETERS |= {"positive_margin": 0.2}
PARAMETERS |= {"alpha": 0.3, "smooth": 0.5, "gap": 0.1}
PARAMETERS |= {"rest": 0.3, "weight": 2.5}
PARAMETERS |= {"of_ones": 0.3, "of_zeros": 0.7, "gamma": 1.6, "power_of_zero": 0.0}
N = 500
each_formula = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)


def smooth_points(formula: Formula) -> tuple[list[Tensor], list[float]]:
    """Random points; a random point is on no kink."""
    generator = torch.Generator().manual_seed(0)

    def draw(low: float, high: float) -> Tensor:
        return torch.empty(N, dtype=torch.float64).uniform_(low, high, generator=generator)

    def operand(name: str) -> Tensor:
        if name == "sign" or (name == "target" and formula.name in SIGNED):
            return torch.randint(0, 2, (N,), generator=generator).double() * 2 - 1
        if name in ("target", "count") and ("poisson" in formula.name or name == "count"):
            return draw(*COUNTS)
        if name == "target":
            return draw(*TARGETS.get(formula.name, (-3.0, 3.0)))
        return draw(*OPERANDS.get(name, (-3.0, 3.0)))

    return [operand(name) for name in formula.operands], [PARAMETERS[name] for name in formula.parameters]


def full(results, like: Tensor) -> list[Tensor]:
    return [torch.as_tensor(r, dtype=like.dtype).expand_as(like) for r in results]


def gradients(value: Tensor, operands: list[Tensor]) -> list[Tensor]:
    """Of each operand; 0 where the value does not depend on it, or does so without a slope."""
    if not value.requires_grad:
        return [torch.zeros_like(operand) for operand in operands]
    found = torch.autograd.grad(value.sum(), operands, create_graph=True, allow_unused=True)
    return [torch.zeros_like(o) if g is None else g for o, g in zip(operands, found, strict=True)]


@each_formula
def test_derivatives_are_those_of_the_value(formula):
    operands, parameters = smooth_points(formula)
    _, *derivatives = full(formula(*operands, *parameters), operands[0])
    operands = [operand.requires_grad_() for operand in operands]
    expected = gradients(formula.value(*operands, *parameters), operands)
    for name, derivative, gradient, differentiable in zip(
        formula.operands, derivatives, expected, formula.differentiable, strict=True
    ):
        if differentiable:
            torch.testing.assert_close(derivative, gradient, rtol=1e-12, atol=1e-13, msg=lambda m, n=name: f"{n}: {m}")


@each_formula
def test_second_derivatives(formula):
    """Of the value twice and of the derivatives once, both by autograd, against differences of the derivatives."""
    operands, parameters = smooth_points(formula)
    step = 1e-6
    for position, differentiable in enumerate(formula.differentiable):
        # the step of an operand that is a sign leads out of its domain, and over a kink
        if not differentiable or (formula.operands[position] == "target" and formula.name in SIGNED):
            continue
        moved = [[o + sign * step * (p == position) for p, o in enumerate(operands)] for sign in (1, -1)]
        above, below = (full(formula(*m, *parameters)[1:], operands[0]) for m in moved)
        differences = [(a - b) / (2 * step) for a, b in zip(above, below, strict=True)]
        # where a kink lies inside of the step, there is no second derivative
        kept = torch.stack([d.abs() < 1e4 for d in differences]).all(0)
        wanted = [operand.detach().requires_grad_() for operand in operands]
        of_value = gradients(formula.value(*wanted, *parameters), wanted)
        of_formula = full(formula(*wanted, *parameters)[1:], wanted[0])
        for k in range(len(operands)):
            for derivative in (of_value[k], of_formula[k]) if formula.differentiable[k] else ():
                second = gradients(derivative, wanted)[position]
                torch.testing.assert_close(second[kept], differences[k][kept], rtol=1e-5, atol=1e-6)


def cosine_of(first: Tensor, target: Tensor, margin: float) -> Tensor:
    """torch takes vectors: one of length 1 and this first coordinate, against (1, 0)."""
    vectors = torch.stack([first, torch.sqrt(1 - first**2)], -1)
    axis = torch.tensor([1.0, 0.0], dtype=first.dtype).expand_as(vectors)
    return F.cosine_embedding_loss(vectors, axis, target, margin=margin, reduction="none")


def triplet_of(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    anchor = torch.zeros_like(positive).unsqueeze(-1)
    others = (positive.unsqueeze(-1), negative.unsqueeze(-1))
    return F.triplet_margin_loss(anchor, *others, margin=margin, eps=0.0, reduction="none")


def poisson_of(full: bool, log_input: bool) -> Callable[..., Tensor]:
    def loss(x: Tensor, target: Tensor, eps: float = 1e-8) -> Tensor:
        return F.poisson_nll_loss(x, target, log_input=log_input, full=full, eps=eps, reduction="none")

    return loss


# torch.nn's function, points on kinks and at ends, and parameters
KINKS: dict[str, tuple[Callable[..., Tensor], list[tuple[float, ...]], tuple[float, ...]]] = {
    "l1": (lambda x, y: F.l1_loss(x, y, reduction="none"), [(0, 0), (2, 2), (-1, 1)], ()),
    "mse": (lambda x, y: F.mse_loss(x, y, reduction="none"), [(0, 0), (2, 2)], ()),
    "huber": (
        lambda x, y, delta: F.huber_loss(x, y, delta=delta, reduction="none"),
        [(0.5, 0), (-0.5, 0), (0, 0), (2, 1.5), (1, 2)],
        (0.5,),
    ),
    "smooth_l1": (
        lambda x, y, beta: F.smooth_l1_loss(x, y, beta=beta, reduction="none"),
        [(0.5, 0), (-0.5, 0), (0, 0), (2, 1.5), (1, 2)],
        (0.5,),
    ),
    "bce": (
        lambda p, y: F.binary_cross_entropy(p, y, reduction="none"),
        [(p, y) for p in (0, 1e-14, 1e-12, 0.5, 1 - 1e-12, 1 - 1e-14, 1) for y in (0, 0.3, 1)],
        (),
    ),
    "bce_with_logits": (
        lambda x, y, w: F.binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction="none"),
        [(0, 0, 1), (0, 1, 2), (0, 0.3, 0.5), (-0.0, 1, 1)],
        (),
    ),
    "soft_margin": (lambda x, y: F.soft_margin_loss(x, y, reduction="none"), [(0, 1), (0, -1)], ()),
    "hinge_embedding": (
        lambda d, y, margin: F.hinge_embedding_loss(d, y, margin=margin, reduction="none"),
        [(0.5, -1), (0.5, 1), (0, 1), (0, -1), (0.2, 0), (0.5, 0), (0.9, 0.5), (0.1, 0.5)],
        (0.5,),
    ),
    "contrastive_hinge": (
        lambda d, y, margin, _: F.hinge_embedding_loss(d, y, margin=margin, reduction="none"),
        [(0.5, -1), (0.5, 1), (0, 1), (0, -1), (0.9, -1)],
        (0.5, 0.0),
    ),
    "margin_ranking": (
        lambda a, b, y, margin: F.margin_ranking_loss(a, b, y, margin=margin, reduction="none"),
        [(1, 0.5, 1), (0.5, 1, -1), (0, 0, 1), (1, 0, 1), (1, 0.5, 0), (0.25, 0, 2)],
        (0.5,),
    ),
    "cosine_embedding": (cosine_of, [(0, -1), (0, 1), (0.5, -1), (-0.5, -1), (0.5, 1), (0.5, 0), (0, 0)], (0.0,)),
    "triplet": (triplet_of, [(1, 1.5), (1, 1.6), (1, 1.4), (2, 0.5)], (0.5,)),
    "kl": (lambda x, y: F.kl_div(x, y, reduction="none"), [(0, 1), (0, 0.5), (-1, 1)], ()),
    "kl_of_logs": (lambda x, y: F.kl_div(x, y, reduction="none", log_target=True), [(0, 0), (-1, 0), (0, -2)], ()),
    "gaussian": (
        lambda x, y, v, eps, constant: F.gaussian_nll_loss(x, y, v, eps=eps, reduction="none"),
        [(0, 0, 0.5), (1, 0, 0.5), (1, 0, 0.2), (1, 2, 0), (0, 0, 0)],
        (0.5, 0.0),
    ),
    "poisson_of_log": (poisson_of(False, True), [(0, 0), (1, 0), (-3, 2)], ()),
    "poisson_of_log_stirling": (poisson_of(True, True), [(0, 1), (1, 1), (-3, 2), (0, 0.5)], ()),
    "poisson": (poisson_of(False, False), [(0, 0), (0, 1), (1, 0)], (1e-8,)),
    "poisson_stirling": (poisson_of(True, False), [(0, 1), (1, 1), (2, 2), (1, 0.5)], (1e-8,)),
}
DEPARTURES = {
    "charbonnier": "torch has none; smooth",
    "contrastive": "torch has none that squares; smooth",
    "focal": "torch has none; smooth, its end is among the loss's own tests",
    "focal_squared": "torch has none; smooth",
    "js": "torch has none; smooth, its ends are among the loss's own tests",
    "js_of_logs": "torch has none; smooth, its ends are among the loss's own tests",
    "log_cosh": "torch has none; smooth",
    "pinball": "torch has none; its slope at a tie is among the loss's own tests",
    "sigmoid_focal": "torch has none; smooth",
    "sigmoid_focal_squared": "torch has none; smooth",
    "tversky": "torch has none; smooth",
    "wasserstein_critic": "torch has none; linear",
    "penalised_wasserstein_critic": "torch has none; linear",
    "gaussian_clamped": "opt-in, with the gradient of the clamp: its kink is below",
    "gaussian_of_one_variance": "a number for the variance, which is not differentiated; smooth",
    "poisson_of_log_exact": "opt-in, torch has Stirling's formula; smooth",
    "poisson_exact": "opt-in, torch has Stirling's formula; smooth",
}

# torch does not differentiate in the first two, and in the last forgets its clamp of the logarithm, so is infinite
NOT_IN_TORCH = {("bce_with_logits", "positive_weight"), ("soft_margin", "target"), ("bce", "target")}


def test_kinks_of_every_formula_are_tried():
    assert KINKS.keys() | DEPARTURES.keys() == FORMULAS.keys()


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", KINKS)
def test_at_kinks_torchs_gradient_is_kept(name):
    """In the formula's derivatives and in autograd of its value."""
    formula, (of_torch, points, parameters) = FORMULAS[name], KINKS[name]
    for dtype in (torch.float64, torch.float32):
        operands = [torch.tensor(column, dtype=dtype) for column in zip(*points, strict=True)]
        differentiated = [
            position
            for position, (operand, flag) in enumerate(zip(formula.operands, formula.differentiable, strict=True))
            if flag and (name, operand) not in NOT_IN_TORCH
        ]
        leaves = [operands[position].requires_grad_() for position in differentiated]
        expected = torch.autograd.grad(of_torch(*operands, *parameters).sum(), leaves)
        by_autograd = torch.autograd.grad(formula.value(*operands, *parameters).sum(), leaves)
        derivatives = formula(*operands, *parameters)[1:]
        for given in (by_autograd, [derivatives[position] for position in differentiated]):
            for got, wanted in zip(given, expected, strict=True):
                torch.testing.assert_close(got.detach(), wanted, msg=lambda m: f"{name} at {points}: {m}")


def test_gaussian_clamped_has_the_gradient_of_the_clamp():
    """Slope 1 at the floor, as torch.clamp has it, and 0 below."""
    variance = torch.tensor([0.0, 0.4, 0.5, 0.6], requires_grad=True)
    x, y = torch.ones(4), torch.zeros(4)
    by_hand = torch.clamp(variance, min=0.5)
    (expected,) = torch.autograd.grad((0.5 * (by_hand.log() + (x - y) ** 2 / by_hand)).sum(), variance)
    formula = FORMULAS["gaussian_clamped"]
    (by_autograd,) = torch.autograd.grad(formula.value(x, y, variance, 0.5, 0.0).sum(), variance)
    torch.testing.assert_close(by_autograd, expected)
    torch.testing.assert_close(formula(x, y, variance, 0.5, 0.0)[3].detach(), expected)


@each_formula
def test_derivatives_of_nan_are_autograds(formula):
    """NaN, or what torch's subgradient makes of it."""
    points, parameters = smooth_points(formula)
    for position in range(len(points)):
        operands = [o[:8].clone().requires_grad_() for o in points]
        with torch.no_grad():
            operands[position].fill_(math.nan)
        expected = gradients(formula.value(*operands, *parameters), operands)
        derivatives = full(formula(*operands, *parameters)[1:], operands[0])
        for k, flag in enumerate(formula.differentiable):
            if flag:
                where = f"derivative in {formula.operands[k]} where {formula.operands[position]} is NaN: "
                torch.testing.assert_close(
                    derivatives[k], expected[k], equal_nan=True, msg=lambda m, where=where: where + m
                )
