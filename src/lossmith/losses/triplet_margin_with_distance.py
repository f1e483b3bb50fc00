"""Triplet margin with a distance of one's own."""

from collections.abc import Callable

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes, native
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.pairwise import Numbers, PairwiseDistance, Steps, full_precision, pairwise
from ..overrides import overridable
from ..reduction import Normalizer, plan, reduce
from .triplet_margin import batch_of, check_dimensions, check_margin, check_vectors, hide_triplets, minimiser, triplet

Distance = Callable[[Tensor, Tensor], Tensor]


@overridable
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""What an anchor lacks to be nearer to its positive than to its negative by a margin, in any distance.

    .. math::
        \ell(a, p, n) = \max(0, d(a, p) - d(a, n) + m) \qquad
        \frac{\partial \ell}{\partial d(a, p)} = [\,\ell \ge 0\,] = -\frac{\partial \ell}{\partial d(a, n)}

    With ``swap``, the smaller one of d(a, n) and d(p, n) is used. At the kink the slope is torch's, 1.

    Source: Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural
    networks" (2016).

    Args:
        anchor, positive, negative: what the distance takes; by default vectors, (N, D) or (..., D).
        distance_function: called with two of the three tensors as they are given, returns their distances; a function
            or a Module (its parameters get gradients). By default the Euclidean distance of
            :func:`triplet_margin_loss`.
        margin: :math:`m`, above 0, in the unit of the distance.
        swap: whether the positive may take the anchor's place before the negative.
        reduction: ``none`` gives the shape of the distances; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per distance; see :doc:`/reductions`. Triplets that are masked reach
            the distance as constants, so a NaN in them reaches nothing.

    Raises:
        ValueError: margin is not above 0; an unknown reduction.
        RuntimeError: different numbers of dimensions.

    >>> import torch, lossmith
    >>> manhattan = lambda u, v: (u - v).abs().sum(-1)
    >>> anchor, positive = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> negative = torch.tensor([[6.0, 0.0]])
    >>> lossmith.functional.triplet_margin_with_distance_loss(
    ...     anchor, positive, negative, distance_function=manhattan, margin=2.0
    ... )  # 7 - 6 + 2
    tensor(3.)
    """
    loss = "triplet_margin_with_distance_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_margin(loss, margin)
    vectors = {"anchor": anchor, "positive": positive, "negative": negative}
    if distance_function is None or isinstance(distance_function, PairwiseDistance):
        check_vectors(loss, how.reduction, swap, **vectors)
        _, result = dtypes(anchor, positive, negative, composite=True)
        result = result.to_real() if result.is_complex else result
        measure = distance_function or _EUCLIDEAN
        shape = batch_of(anchor, positive, negative)
        unfit = "the distances keep a dimension" if measure.keepdim else ""
        if how.mask is not None and not unfit:
            checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")

        def of(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
            anchor, positive, negative = (full_precision(t) for t in (anchor, positive, negative))
            values: Tensor = triplet.value(
                *_distances(loss, anchor, positive, negative, measure, swap, how.mask), margin
            )
            return values

        return pairwise(
            loss,
            "triplet_margin",
            (anchor, positive, negative),
            None,
            shape,
            how,
            result,
            Steps(of, lambda values: reduce(loss, values, how, result)),
            Numbers(float(margin), float(measure.norm), float(measure.eps), swap),
            unfit,
        )
    check_dimensions(loss, **vectors)
    native(loss, (anchor, positive, negative), "the distance is one's own")
    near, far = _distances(loss, anchor, positive, negative, distance_function, swap, how.mask)
    compute, result = dtypes(near, far, composite=True)
    return reduce(loss, triplet.value(near.to(compute), far.to(compute), margin), how, result)


_EUCLIDEAN = PairwiseDistance()


def _distances(
    loss: str, anchor: Tensor, positive: Tensor, negative: Tensor, measure: Distance, swap: bool, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The distances to the positive and to the negative, of triplets that are constants where the mask is False.

    The shape of the distances says what a mask means. Most distances are of vectors along the last dimension, so that
    is tried; if they turn out to be of something else, they are taken again.
    """
    triplets = anchor, positive, negative
    if mask is None:
        return _measured(*triplets, measure, swap)
    expected = mask.dim() == 0 or all(_fits(mask, t.shape[:-1]) for t in triplets)
    near, far = _measured(*(hide_triplets(*triplets, mask) if expected else triplets), measure, swap)
    shape = torch.broadcast_shapes(near.shape, far.shape)  # type: ignore[no-untyped-call]
    checks.fits(loss, "mask", mask, shape, "the unreduced loss")
    dims = anchor.dim() - len(shape)
    if not expected or dims != 1:
        near, far = _measured(*hide_triplets(*triplets, mask, dims), measure, swap)
    return near, far


def _fits(mask: Tensor, shape: torch.Size) -> bool:
    """Whether a mask can be broadcast with a shape of as many dimensions or more."""
    pairs = zip(reversed(mask.shape), reversed(shape), strict=False)
    return mask.dim() <= len(shape) and all(m == s or m == 1 or s == 1 for m, s in pairs)


def _measured(
    anchor: Tensor, positive: Tensor, negative: Tensor, measure: Distance, swap: bool
) -> tuple[Tensor, Tensor]:
    near, far = measure(anchor, positive), measure(anchor, negative)
    return near, torch.minimum(far, measure(positive, negative)) if swap else far


class TripletMarginWithDistanceLoss(Criterion, torch.nn.TripletMarginWithDistanceLoss):
    """:func:`lossmith.functional.triplet_margin_with_distance_loss` as a Module.

    Args:
        distance_function, margin, swap, reduction: as the function's. A Module given as the distance is a child of
            this one: its parameters are among this one's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.TripletMarginWithDistanceLoss(margin=2.0)
    TripletMarginWithDistanceLoss(
      (distance_function): PairwiseDistance()
    )
    """

    def __init__(
        self,
        *,
        distance_function: Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_margin(type(self).__name__, margin)
        measure = PairwiseDistance() if distance_function is None else distance_function
        super().__init__(distance_function=measure, margin=margin, swap=swap, reduction=reduction)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _lipschitz(anchor: Tensor, distance_function: Distance | None = None, **_: object) -> float:
    """As of triplet_margin_loss; of a distance of one's own the bound of all p-norms, which it may exceed."""
    return float(6**0.5 if distance_function is None else (6 * anchor.shape[-1]) ** 0.5)


LOSS = Loss(
    function=triplet_margin_with_distance_loss,
    module=TripletMarginWithDistanceLoss,
    family="embedding and ranking",
    formulas=(triplet,),
    facts=Facts(
        convex=False,
        lipschitz=_lipschitz,
        prediction=REALS,
        target="none",
        minimiser=minimiser,
        denominator="rows",
    ),
)
