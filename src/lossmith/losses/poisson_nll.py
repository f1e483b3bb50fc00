"""Poisson negative log-likelihood: counts against a rate or its logarithm."""

import math
from typing import Literal

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import NOT_NEGATIVE, REALS, Facts, Loss
from ..formula import Real, Reals, digamma, exp, formula, lgamma, log, product, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def stirling(count: Real) -> Reals:
    """Stirling's approximation of log(count!); 0 for counts of 1 and less, as torch has it."""
    # those are replaced, since a logarithm that is not used still has a slope
    large = where(count <= 1.0, 1.0, count)
    log_count = log(large)
    return (
        where(count <= 1.0, 0.0, (large + 0.5) * log_count - large + 0.9189385332046728),  # half of log(2 pi)
        where(count <= 1.0, 0.0, log_count + 0.5 / large),
    )


@formula
def poisson_of_log(log_rate: Real, target: Real) -> Reals:
    rate = exp(log_rate)
    finite = where(log_rate - log_rate == 0.0, log_rate, 0.0)
    return rate - product(target, log_rate), rate - target, -where(target == 0.0, finite, log_rate)


@formula
def poisson_of_log_stirling(log_rate: Real, target: Real) -> Reals:
    rate = exp(log_rate)
    finite = where(log_rate - log_rate == 0.0, log_rate, 0.0)
    term, slope = stirling(target)
    return rate - product(target, log_rate) + term, rate - target, slope - where(target == 0.0, finite, log_rate)


@formula
def poisson_of_log_exact(log_rate: Real, target: Real) -> Reals:
    rate = exp(log_rate)
    finite = where(log_rate - log_rate == 0.0, log_rate, 0.0)
    return (
        rate - product(target, log_rate) + lgamma(target + 1.0),
        rate - target,
        digamma(target + 1.0) - where(target == 0.0, finite, log_rate),
    )


@formula
def poisson(rate: Real, target: Real, eps: Real) -> Reals:
    shifted = rate + eps
    log_rate = log(shifted)
    return rate - target * log_rate, 1.0 - target / shifted, -log_rate


@formula
def poisson_stirling(rate: Real, target: Real, eps: Real) -> Reals:
    shifted = rate + eps
    log_rate = log(shifted)
    term, slope = stirling(target)
    return rate - target * log_rate + term, 1.0 - target / shifted, slope - log_rate


@formula
def poisson_exact(rate: Real, target: Real, eps: Real) -> Reals:
    shifted = rate + eps
    log_rate = log(shifted)
    return (
        rate - target * log_rate + lgamma(target + 1.0),
        1.0 - target / shifted,
        digamma(target + 1.0) - log_rate,
    )


Full = bool | Literal["exact"]
OF_LOG = {False: poisson_of_log, True: poisson_of_log_stirling, "exact": poisson_of_log_exact}
OF_RATE = {False: poisson, True: poisson_stirling, "exact": poisson_exact}


@overridable
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: Full = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Negative log-likelihood of counts under a Poisson distribution, less the term that holds no prediction.

    .. math::
        \ell(x, y) = e^x - y x \quad \frac{\partial \ell}{\partial x} = e^x - y \qquad \text{or, for a rate } x,\qquad
        \ell(x, y) = x - y \log(x + \varepsilon) \quad \frac{\partial \ell}{\partial x} = 1 - \frac{y}{x + \varepsilon}

    ``full`` adds :math:`\log y!`: exactly, as :math:`\log \Gamma(y + 1)`, or as torch does, by Stirling's
    :math:`y \log y - y + \tfrac12 \log(2 \pi y)` for :math:`y > 1` and 0 elsewhere, which is 0.04 too small at
    :math:`y = 2`. It changes no gradient of a prediction.

    A count of 0 at a log rate of :math:`-\infty` costs 0. A rate below :math:`-\varepsilon` has no logarithm: NaN, as
    in torch; predict the logarithm, or end the model with a softplus.

    Source: McCullagh and Nelder, "Generalized Linear Models" (1989), chapter 6.

    Args:
        input: the logarithm of the expected count, or with ``log_input=False`` the expected count; any shape; a
            floating dtype (integers are computed in the default dtype).
        target: counts :math:`y`, 0 or more, of the same shape (others broadcast; a result larger than both warns); any
            real dtype.
        log_input: whether input is a logarithm.
        full: ``False``, ``True`` (Stirling's approximation) or ``"exact"``.
        size_average, reduce: torch's legacy arguments.
        eps: :math:`\varepsilon`, added to a rate before its logarithm is taken; in the unit of the rate.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in nats.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown ``full`` or reduction.
        NotImplementedError: complex numbers.

    >>> import torch, lossmith
    >>> log_rate, count = torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([0, 3])
    >>> loss = lossmith.functional.poisson_nll_loss(log_rate, count, reduction="sum")  # (1 - 0) + (e - 3)
    >>> loss.backward()
    >>> round(loss.item(), 4), log_rate.grad  # e^x - y
    (0.7183, tensor([ 1.0000, -0.2817]))
    """
    loss = "poisson_nll_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    check_full(loss, full)
    alike = checks.pair(loss, how.reduction, input, target, "")
    if log_input:
        return pointwise(loss, OF_LOG[full], (input, target), (), how, alike=alike)
    return pointwise(loss, OF_RATE[full], (input, target), (eps,), how, alike=alike)


def check_full(loss: str, full: Full) -> None:
    """Raises ValueError for what is none of the ways to add log(target!)."""
    if full not in (False, True, "exact"):
        raise ValueError(
            f"{loss}: full is {full!r}; write False (leave log(target!) out), True (Stirling's approximation, as in "
            f"torch) or 'exact' (lgamma)"
        )


class PoissonNLLLoss(Criterion, torch.nn.PoissonNLLLoss):
    """:func:`lossmith.functional.poisson_nll_loss` as a Module; a :class:`torch.nn.PoissonNLLLoss` with more.

    Args:
        log_input, full, size_average, eps, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.PoissonNLLLoss(full="exact")
    >>> criterion(torch.tensor([0.0]), torch.tensor([3]))  # 1 - 0 + log 3!
    tensor(2.7918)
    """

    full: Full  # type: ignore[assignment]

    def __init__(
        self,
        log_input: bool = True,
        full: Full = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_full(type(self).__name__, full)
        super().__init__(log_input, full, size_average, eps, reduce, reduction)  # type: ignore[arg-type]
        self._settle(normalizer, on_empty)

    def forward(
        self,
        log_input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _least(target: Tensor, log_input: bool = True, eps: float = 1e-8, **_: object) -> Tensor:
    return torch.log(target) if log_input else (target - eps).clamp(min=0)


LOSS = Loss(
    function=poisson_nll_loss,
    module=PoissonNLLLoss,
    family="regression",
    formulas=(*OF_LOG.values(), *OF_RATE.values()),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.inf,
        prediction=lambda log_input=True, **_: REALS if log_input else NOT_NEGATIVE,
        target=NOT_NEGATIVE,
        minimiser=_least,
        denominator="elements",
    ),
)
