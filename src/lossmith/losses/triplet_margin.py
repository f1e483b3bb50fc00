"""Triplet margin: an anchor is to be nearer to its positive than to its negative, by a margin."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, hinge, step
from ..loops.masking import hide_rows
from ..loops.pairwise import Numbers, Steps, distance, full_precision, pairwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced


@formula
def triplet(positive: Real, negative: Real, margin: Real) -> Reals:
    shortfall = margin + positive - negative
    slope = step(shortfall)
    return hinge(shortfall), slope, -slope


@overridable
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""What an anchor lacks to be nearer to its positive than to its negative by a margin.

    .. math::
        \ell(a, p, n) = \max(0, d(a, p) - d(a, n) + m) \qquad d(u, v) = \lVert u - v + \epsilon \rVert_p \qquad
        \frac{\partial \ell}{\partial p} = -\frac{a - p}{d(a, p)},\quad
        \frac{\partial \ell}{\partial n} = \frac{a - n}{d(a, n)},\quad
        \frac{\partial \ell}{\partial a} = -\frac{\partial \ell}{\partial p} - \frac{\partial \ell}{\partial n}

    (the derivatives for the Euclidean distance, where the loss is above 0). At the kink the slope is torch's, 1; where
    a distance is 0 its gradient is 0. With ``swap``, the smaller one of d(a, n) and d(p, n) is used. FaceNet's loss has
    squared distances of unit vectors; this one does not square.

    Source: Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural
    networks" (2016), for the loss and the swap; Schroff, Kalenichenko and Philbin, "FaceNet" (2015).

    Args:
        anchor, positive, negative: vectors, (N, D) or (..., D), in one unit; sizes of 1 broadcast. Floating, complex,
            or integer (then subtracted as integers, as torch has it: unsigned ones wrap).
        margin: :math:`m`, above 0, in the unit of the distances.
        p: the norm, above 0; infinity is the greatest difference. Below 1 it is no metric, which is warned of.
        eps: :math:`\epsilon`, added to each difference.
        swap: whether the positive may take the anchor's place before the negative.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives the shape of the vectors less their last dimension; or ``mean``, ``sum``,
            ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per triplet; see :doc:`/reductions`.

    Raises:
        ValueError: margin or p is not above 0; an unknown reduction.
        RuntimeError: different numbers of dimensions; shapes that can't be broadcast together; bool vectors.

    >>> import torch, lossmith
    >>> anchor, positive = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> negative = torch.tensor([[6.0, 0.0]])
    >>> lossmith.functional.triplet_margin_loss(anchor, positive, negative, margin=2.5)  # 5 - 6 + 2.5
    tensor(1.5000)
    """
    loss = "triplet_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    check_margin(loss, margin)
    _check_norm(loss, p)
    check_vectors(loss, how.reduction, swap, anchor=anchor, positive=positive, negative=negative)
    _, result = dtypes(anchor, positive, negative)
    result = result.to_real() if result.is_complex else result
    shape = batch_of(anchor, positive, negative)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")

    def of(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        anchor, positive, negative = (full_precision(vectors) for vectors in (anchor, positive, negative))
        if how.mask is not None:
            anchor, positive, negative = hide_triplets(anchor, positive, negative, how.mask)
        far = distance(anchor, negative, p, eps)
        if swap:
            far = torch.minimum(far, distance(positive, negative, p, eps))
        values: Tensor = triplet.value(distance(anchor, positive, p, eps), far, margin)
        return values

    return pairwise(
        loss,
        "triplet_margin",
        (anchor, positive, negative),
        None,
        shape,
        how,
        result,
        Steps(of, lambda values: reduced(loss, values, how, result)),
        Numbers(float(margin), float(p), float(eps), swap),
    )


def check_margin(loss: str, margin: float) -> None:
    """Raises ValueError unless the margin is above 0."""
    if margin <= 0:
        raise ValueError(
            f"{loss}: margin must be greater than 0, got {margin!r}: it is by how much the negative is to be farther; "
            f"write margin=1.0 for torch's default"
        )


def _check_norm(loss: str, p: float) -> None:
    if not p > 0:
        raise ValueError(
            f"{loss}: p is {p!r}, expected a number greater than 0; 2 is the Euclidean distance, 1 the sum and "
            f"float('inf') the greatest of the differences"
        )
    if p < 1:
        checks.warn(
            f"{loss}: p is {p!r}, and below 1 the p-norm is no metric: two short ways may be shorter than none. "
            f"Write p=1 or more."
        )


def check_vectors(loss: str, reduction: str, swap: bool, **tensors: Tensor) -> None:
    """Raises torch's kinds of error in better words unless distances can be taken of the three tensors of vectors."""
    check_dimensions(loss, **tensors)
    anchor, positive, negative = tensors.values()
    for name, t in tensors.items():
        if t.dtype == torch.bool:
            raise RuntimeError(f"{loss}: {name} is {checks.describe(t)}, which has no difference; write {name}.float()")
    if anchor.shape == positive.shape == negative.shape:
        return
    checks.broadcastable(loss, anchor=anchor, positive=positive)
    checks.broadcastable(loss, anchor=anchor, negative=negative)
    if swap:
        checks.broadcastable(loss, positive=positive, negative=negative)
    checks.outer_broadcast(loss, reduction, **{name: t[..., :1] if t.dim() else t for name, t in tensors.items()})


def check_dimensions(loss: str, **tensors: Tensor) -> None:
    """Raises torch's RuntimeError unless the tensors have one number of dimensions."""
    for name, value in tensors.items():
        checks.tensor(loss, name, value)
    anchor, positive, negative = tensors.values()
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"{loss}: The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            f"but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs: "
            f"{checks.shapes(**tensors)}; write unsqueeze(0) where one vector goes with many"
        )


def batch_of(*tensors: Tensor) -> torch.Size:
    """The shape of the distances."""
    shapes = [t.shape[:-1] for t in tensors]
    result: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return result


def hide_triplets(
    anchor: Tensor, positive: Tensor, negative: Tensor, mask: Tensor, dims: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Triplets of constants where the mask is False: of three constants, since many distances have a kink at 0."""
    return hide_rows(anchor, mask, 1, dims), hide_rows(positive, mask, 2, dims), hide_rows(negative, mask, 3, dims)


class TripletMarginLoss(Criterion, torch.nn.TripletMarginLoss):
    """:func:`lossmith.functional.triplet_margin_loss` as a Module; a :class:`torch.nn.TripletMarginLoss` with more.

    Args:
        margin, p, eps, swap, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> anchor, positive, negative = torch.tensor([[0.0], [1.0], [5.0]])
    >>> lossmith.TripletMarginLoss(margin=3.5, swap=True)(anchor, positive, negative)  # 1 - 4 + 3.5
    tensor(0.5000)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_margin(type(self).__name__, margin)
        _check_norm(type(self).__name__, p)
        super().__init__(margin, p, eps, swap, size_average, reduce, reduction)
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
        return triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _lipschitz(anchor: Tensor, p: float = 2, **_: object) -> float:
    """The anchor is pulled and pushed along one line, the others moved once each; p < 2 is steep on the diagonal."""
    dimensions = anchor.shape[-1]
    if p < 1 and dimensions > 1:
        return math.inf
    return float(6**0.5 * max(1.0, dimensions ** (1 / p - 0.5)))


def minimiser(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, **_: object
) -> tuple[Tensor, Tensor, Tensor]:
    """Anchor and positive together, the negative beyond the margin."""
    return torch.zeros_like(anchor), torch.zeros_like(positive), torch.full_like(negative, margin + 1.0)


LOSS = Loss(
    function=triplet_margin_loss,
    module=TripletMarginLoss,
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
