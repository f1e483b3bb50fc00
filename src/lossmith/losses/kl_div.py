"""Kullback-Leibler divergence of a target distribution from predicted log-probabilities."""

import torch
from torch import Tensor

from .. import checks
from ..criterion import Criterion
from ..facts import Facts, Loss
from ..formula import Real, Reals, exp, formula, log, product, where, xlogy
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def kl(log_prediction: Real, target: Real) -> Reals:
    # what can't happen adds nothing and asks for nothing, even if its log-probability is infinite
    finite = where(log_prediction - log_prediction == 0.0, log_prediction, 0.0)
    return (
        xlogy(target, target) - product(target, log_prediction),
        -target,
        where(target == 0.0, -finite, log(target) + 1.0 - log_prediction),
    )


@formula
def kl_of_logs(log_prediction: Real, log_target: Real) -> Reals:
    target = exp(log_target)
    # both logarithms may be minus infinity, and their difference NaN, where the target is 0
    log_ratio = where(target == 0.0, 0.0, log_target - log_prediction)
    return target * log_ratio, -target, target * (log_ratio + 1.0)


@overridable
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Elements of the Kullback-Leibler divergence :math:`D(q \,\|\, p)` of a target :math:`q` from a prediction
    :math:`p = e^x`.

    .. math::
        \ell(x, q) = q\,(\log q - x) \qquad \frac{\partial \ell}{\partial x} = -q \qquad
        \frac{\partial \ell}{\partial q} = \log q + 1 - x

    An element with :math:`q = 0` costs 0, whatever :math:`x` is, and so do two log-probabilities of :math:`-\infty`;
    there :math:`q \log q` has a slope of 0 (that is the convention of torch.xlogy), and no gradient is NaN.

    The sum over the classes is the divergence, so ``batchmean`` gives the mean divergence of rows (N, C), while
    ``mean`` is C times smaller. ``batchmean`` divides by the first size alone: for (N, T, C) it is T times the mean
    divergence; flatten to (N T, C). Between two Gaussians, as in a VAE, use the closed form instead.

    Source: Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22 (1951).

    Args:
        input: log-probabilities :math:`x` (from log_softmax), any shape, a floating dtype.
        target: probabilities :math:`q`, or their logarithms with ``log_target=True``, of the same shape (others
            broadcast; a result larger than both warns); a floating dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in nats.
        log_target: whether target holds logarithms.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together; a dtype that is not floating.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> p, q = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])
    >>> divergence = lossmith.functional.kl_div(p.log(), q, reduction="batchmean")
    >>> round(divergence.item(), 4)  # 0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75)
    0.1438
    """
    loss = "kl_div"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input, target)
    if not alike:
        _floating(loss, input=input, target=target)
        checks.broadcastable(loss, input=input, target=target)
        checks.outer_broadcast(loss, how.reduction, input=input, target=target)
    # torch divides a batchmean by the input's first size, even where the target broadcasts it to another
    batch = input.shape[0] if input.dim() > 0 else 1
    return pointwise(loss, kl_of_logs if log_target else kl, (input, target), (), how, batch=batch, alike=alike)


def _floating(loss: str, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        checks.tensor(loss, name, tensor)
        if not tensor.is_floating_point():
            raise RuntimeError(
                f"{loss}: {name} is {checks.describe(tensor)}, expected a floating dtype; write one-hot targets as "
                f"target.float(), and for class labels use cross_entropy or nll_loss"
            )


class KLDivLoss(Criterion, torch.nn.KLDivLoss):
    """:func:`lossmith.functional.kl_div` as a Module; a :class:`torch.nn.KLDivLoss` with more.

    Args:
        size_average, reduce, reduction, log_target: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> rows = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    >>> lossmith.KLDivLoss(reduction="batchmean")(rows.log(), rows)
    tensor(0.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction, log_target)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return kl_div(
            input, target, log_target=self.log_target, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


LOSS = Loss(
    function=kl_div,
    module=KLDivLoss,
    family="distributions and sequences",
    formulas=(kl, kl_of_logs),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction="log-probabilities",
        target=lambda log_target=False, **_: "log-probabilities" if log_target else "probabilities",
        minimiser=lambda target, log_target=False, **_: target if log_target else torch.log(target),
        denominator="elements",
    ),
)
