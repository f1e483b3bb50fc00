"""Gaussian negative log-likelihood: a predicted mean together with its predicted variance."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import readable
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, floor_at, formula, log, maximum, where
from ..loops.pointwise import Domain, pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@formula
def gaussian(prediction: Real, target: Real, variance: Real, eps: Real, constant: Real) -> Reals:
    error = prediction - target
    # the gradient passes the floor as if it were not there: torch's number
    floored = floor_at(variance, eps)
    ratio = error / floored
    return (
        0.5 * (log(floored) + error * ratio) + constant,
        ratio,
        -ratio,
        0.5 * (1.0 - error * ratio) / floored,
    )


@formula
def gaussian_clamped(prediction: Real, target: Real, variance: Real, eps: Real, constant: Real) -> Reals:
    error = prediction - target
    floored = maximum(variance, eps)
    ratio = error / floored
    return (
        0.5 * (log(floored) + error * ratio) + constant,
        ratio,
        -ratio,
        where(variance >= eps, 0.5 * (1.0 - error * ratio) / floored, 0.0),
    )


@formula
def gaussian_of_one_variance(prediction: Real, target: Real, variance: Real, constant: Real) -> Reals:
    error = prediction - target
    ratio = error / variance
    return 0.5 * error * ratio + constant, ratio, -ratio


@overridable
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    *,
    clamp_gradient: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Negative log-likelihood of a value under a Gaussian distribution of predicted mean and variance.

    .. math::
        \ell(x, y, v) = \tfrac12 \left[\log v_\varepsilon + \frac{(x - y)^2}{v_\varepsilon}\right] \quad
        v_\varepsilon = \max(v, \varepsilon) \qquad
        \frac{\partial \ell}{\partial x} = \frac{x - y}{v_\varepsilon} \quad
        \frac{\partial \ell}{\partial v} = \frac{1}{2 v_\varepsilon} \left[1 - \frac{(x - y)^2}{v_\varepsilon}\right]

    ``full`` adds :math:`\tfrac12 \log 2 \pi`.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN (1994).

    Args:
        input: predicted means :math:`x`, any shape, in the unit of the target; a floating dtype (integers are computed
            in the default dtype).
        target: :math:`y`, of the same shape (others broadcast; a result larger than all warns).
        var: variances :math:`v`, 0 or more, in the target's unit squared: a number, or a tensor that broadcasts to
            input and target. One of the input's shape less its last dimension is for its rows, as in torch.
        full: whether the constant is added.
        eps: :math:`\varepsilon`, what variances below it are raised to.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in nats.
        clamp_gradient: whether a variance that was raised to ``eps`` gets no gradient. By default it gets the one of
            ``eps``, as in torch: -5e11 for an error of 1 at a variance of 0.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`. What is masked may have any variance.

    Raises:
        ValueError: var does not broadcast to input and target; a negative variance (a number, or a tensor on the CPU,
            eager; elsewhere that element's loss is NaN and its gradient 0); an unknown reduction.
        RuntimeError: the shapes of input and target can't be broadcast together.
        NotImplementedError: complex numbers.

    >>> import torch, lossmith
    >>> x, y, v = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([4.0])
    >>> lossmith.functional.gaussian_nll_loss(x, y, v)  # (log 4 + 2**2 / 4) / 2
    tensor(1.1931)
    >>> lossmith.functional.gaussian_nll_loss(x, y, 1, full=True)  # (log 1 + 2**2 / 1 + log(2 pi)) / 2
    tensor(2.9189)
    """
    loss = "gaussian_nll_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    alike = checks.pair(loss, how.reduction, input, target, "")
    constant = HALF_LOG_TWO_PI if full else 0.0
    if not isinstance(var, Tensor):
        variance = max(_not_negative(loss, var), eps)
        constant += 0.5 * math.log(variance) if variance != 0 else -math.inf
        return pointwise(
            loss, gaussian_of_one_variance, (input, target), (variance, constant), how, composite=True, alike=alike
        )
    shape = input.shape
    if target.shape != shape:
        shape = torch.broadcast_shapes(shape, target.shape)  # type: ignore[no-untyped-call]
    var = _along(loss, var, input, shape)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    domain = Domain((None, None, (0.0, math.inf, True)), lambda operands: _negative(loss, operands[2], how.mask))
    formula = gaussian_clamped if clamp_gradient else gaussian
    return pointwise(loss, formula, (input, target, var), (eps, constant), how, domain=domain, composite=True)


def _along(loss: str, var: Tensor, input: Tensor, shape: torch.Size) -> Tensor:
    """The variances in a shape that broadcasts to the loss."""
    checks.real(loss, var=var)
    if var.shape != input.shape and var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    checks.fits(loss, "var", var, shape, "input and target")
    return var


def _not_negative(loss: str, var: float) -> float:
    if not isinstance(var, int | float):
        raise TypeError(f"{loss}: var is a {type(var).__name__}, expected a torch.Tensor or a number")
    if var < 0:
        raise ValueError(f"{loss}: var is {var!r}, expected a variance of 0 or more; {ADVICE}")
    return var


def _negative(loss: str, var: Tensor, mask: Tensor | None) -> Tensor | None:
    """Refuses negative variances in eager CPU, else returns where they are."""
    negative = var < 0
    if mask is not None:
        negative = negative & mask
    if not readable(negative):
        return negative
    if bool(negative.any()):
        position = tuple(int(i) for i in torch.nonzero(negative)[0])
        found = torch.broadcast_to(var, negative.shape)[position].item()
        raise ValueError(
            f"{loss}: var has a negative entry, {found!r} at position {position} of {checks.describe(var)}, expected "
            f"variances of 0 or more; {ADVICE}"
        )
    return None


ADVICE = "end the model with a softplus or exp, and square what is a standard deviation"


class GaussianNLLLoss(Criterion, torch.nn.GaussianNLLLoss):
    """:func:`lossmith.functional.gaussian_nll_loss` as a Module; a :class:`torch.nn.GaussianNLLLoss` with more.

    Args:
        full, eps, reduction, clamp_gradient: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> var = torch.zeros(1, requires_grad=True)
    >>> lossmith.GaussianNLLLoss(clamp_gradient=True)(torch.ones(1), torch.zeros(1), var).backward()
    >>> var.grad
    tensor([0.])
    """

    def __init__(
        self,
        *,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
        clamp_gradient: bool = False,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(full=full, eps=eps, reduction=reduction)
        self.clamp_gradient = clamp_gradient
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        var: Tensor | float,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return gaussian_nll_loss(
            input,
            target,
            var,
            full=self.full,
            eps=self.eps,
            clamp_gradient=self.clamp_gradient,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


LOSS = Loss(
    function=gaussian_nll_loss,
    module=GaussianNLLLoss,
    family="regression",
    formulas=(gaussian, gaussian_clamped, gaussian_of_one_variance),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
    ),
)
