"""Wasserstein distance of distributions on a line, exact; of point clouds, sliced."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes, readable
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.fused import Steps
from ..loops.masking import hide_rows
from ..loops.pairwise.distance import unit
from ..loops.transport import costs, transport
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced


@overridable
def wasserstein_loss(
    input: Tensor,
    target: Tensor,
    input_weight: Tensor | None = None,
    target_weight: Tensor | None = None,
    p: float = 1,
    projections: int | Tensor | None = None,
    root: bool = False,
    generator: torch.Generator | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""The Wasserstein distance of two distributions, each given by samples: what it costs to move one to the other.

    On a line the best plan keeps the order, so with the quantile functions :math:`F_x^{-1}` and :math:`F_y^{-1}`

    .. math::
        \ell(x, y) = W_p^p(x, y) = \int_0^1 \left| F_x^{-1}(t) - F_y^{-1}(t) \right|^p dt
        = \frac1n \sum_{i=1}^n \left| x_{(i)} - y_{(i)} \right|^p \quad (n = m, \text{equal weights})

    exactly, in the time of sorting. The unreduced loss is :math:`W_p^p`, or :math:`W_p` with ``root=True``; for p = 1
    they are one.

    With ``projections``, input and target are clouds of points (..., n, D) and (..., m, D), and the loss is sliced:
    the mean of :math:`W_p^p` over directions :math:`\theta_k`, of the points projected on each.

    .. math::
        SW_p^p(x, y) = \frac1K \sum_{k=1}^K W_p^p(\theta_k \cdot x,\ \theta_k \cdot y)

    Where points are equal they keep their order, where two shares end at once the input's ends first, and
    :math:`\operatorname{sign}(0) = 0`: that decides which of the subgradients it is.

    Source: Villani, "Topics in Optimal Transportation" (2003), theorem 2.18, for the line; Rabin, Peyré, Delon and
    Bernot, "Wasserstein Barycenter and its Application to Texture Mixing" (2011), and Bonneel, Rabin, Peyré and
    Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", J. Math. Imaging Vis. 51 (2015), for slices.
    ``scipy.stats.wasserstein_distance`` is p = 1; ``ot.wasserstein_1d`` gives :math:`W_p^p` too;
    ``ot.sliced_wasserstein_distance`` gives the root, its directions are columns.

    Args:
        input: samples of the predicted distributions, (..., n), in any order; a floating dtype.
        target: samples of the target distributions, (..., m), in the same unit; n and m may differ, the other
            dimensions broadcast.
        input_weight, target_weight: the mass of each sample, 0 or more, (..., n) and (..., m); each distribution's
            are divided by their sum. Histograms are bins' positions with a weight each. None: all the same. A sample
            without mass may be anything, NaN too: so sets of different sizes are padded.
        p: the power of a distance, 1 or more and finite.
        projections: None on a line; the number of directions, which are drawn anew in each call, uniformly from the
            unit sphere; or directions of one's own, (K, D), taken as they are.
        root: whether the loss is the distance :math:`W_p` instead of its power; its gradient at a distance of 0 is 0.
        generator: draws the directions.
        reduction: ``none`` gives one number for each pair of distributions, (...); or ``mean``, ``sum``,
            ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per pair of distributions; see :doc:`/reductions`.

    Raises:
        ValueError: a distribution without samples; p is below 1; weights of another shape, or that are negative, not
            finite or sum to 0 (CPU, eager; elsewhere that pair's loss is NaN and its gradient 0); directions of another
            size than the points; an unknown reduction.
        RuntimeError: shapes that can't be broadcast together.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([3.0, 0.0, 1.0], requires_grad=True), torch.tensor([5.0, 6.0, 8.0])
    >>> loss = lossmith.functional.wasserstein_loss(x, y)  # 0 to 5, 1 to 6 and 3 to 8, a third each
    >>> loss.backward()
    >>> loss.item(), x.grad
    (5.0, tensor([-0.3333, -0.3333, -0.3333]))
    >>> x, y = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 3.0, 3.0])  # 1/3 stays, 1/6 from 0 to 3, 1/2 from 1 to 3
    >>> lossmith.functional.wasserstein_loss(x, y, p=2)  # 1/6 * 9 + 1/2 * 4
    tensor(3.5000)
    """
    loss = "wasserstein_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    _check_power(loss, p)
    shape = _check_samples(loss, how.reduction, input, target, projections is not None)
    weights = (input_weight, target_weight)
    shape = _check_weights(loss, (input, target), weights, shape, 1 if projections is None else 2)
    compute, result = dtypes(input, target)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    points, mask, directions = (input, target), how.mask, None
    if projections is not None:
        theta = _directions(loss, projections, input, compute, generator)
        directions = theta.shape[0]
        points = (_projected(input, theta, mask), _projected(target, theta, mask))
        weights = (_of_lines(input_weight), _of_lines(target_weight))
        mask = None if mask is None else mask.unsqueeze(-1)

    def of(x: Tensor, y: Tensor, x_weight: Tensor | None, y_weight: Tensor | None) -> Tensor:
        wrong = [_wrong(loss, n, w, mask) for n, w in zip(_WEIGHTS, (x_weight, y_weight), strict=True)]
        x, y = (hide_rows(t.to(compute), mask, 1.0) for t in (x, y))
        x_weight, y_weight = (
            w if w is None else hide_rows(w if bad is None else torch.where(bad.unsqueeze(-1), 1, w), mask, 1.0)
            for w, bad in zip((x_weight, y_weight), wrong, strict=True)
        )
        values = costs(x, y, x_weight, y_weight, p)
        for bad in wrong:
            values = values if bad is None else torch.where(bad, torch.nan, values)
        return values

    def finish(values: Tensor) -> Tensor:
        values = values if directions is None else values.mean(-1)
        return reduced(loss, _rooted(values, p) if root else values, how, result)

    def outside(given: Sequence[Tensor | None]) -> None:
        for name, weight in zip(_WEIGHTS, given, strict=True):
            _wrong(loss, name, weight, mask)

    return transport(
        loss,
        points,
        weights,
        float(p),
        shape,
        how,
        (compute, result),
        Steps(of, finish),
        outside,
        directions,
        bare=root and p != 1,
    )


_WEIGHTS = ("input_weight", "target_weight")


def _check_power(loss: str, p: float) -> None:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 1 <= p < math.inf:
        raise ValueError(
            f"{loss}: p is {p!r}, expected a finite number of 1 or more: the power of a distance; write p=1 for the "
            f"distance itself, p=2 for its square"
        )


def _check_samples(loss: str, reduction: str, input: Tensor, target: Tensor, sliced: bool) -> torch.Size:
    """The shape that is left of samples in one shape without their last dimension, or last two; or an error."""
    both = {"input": input, "target": target}
    if not checks.alike(input, target):
        checks.real(loss, **both)
        checks.must_float(loss, **both)
    own, form = (2, "(..., n, D), a cloud of points in each row") if sliced else (1, "(..., n), samples along the last")
    for name, samples in both.items():
        if samples.dim() < own:
            raise ValueError(
                f"{loss}: {name} is {checks.describe(samples)}, expected {form}; write "
                + (f"{name}.unsqueeze(-1) with numbers as points, or projections=None" if sliced else f"{name}[None]")
            )
        if samples.shape[-own] == 0 or samples.shape[-1] == 0:
            raise ValueError(
                f"{loss}: {name} is {checks.describe(samples)}: a distribution without samples, from which and to "
                f"which nothing can be moved; leave such rows out before the call, mask= takes them only if they "
                f"have some (padded) samples"
            )
    if sliced and input.shape[-1] != target.shape[-1]:
        raise ValueError(
            f"{loss}: the points of both clouds must have the same number of coordinates, the last dimension, got "
            f"{checks.shapes(**both)}; for samples of numbers leave projections out"
        )
    heads = [samples.shape[: samples.dim() - own] for samples in both.values()]
    shape = _together(loss, heads, **both)
    if heads[0] != heads[1]:
        firsts = {name: t[..., :1, :1] if sliced else t[..., :1] for name, t in both.items()}
        checks.outer_broadcast(loss, reduction, **firsts)
    if reduction != "none" and not torch.compiler.is_compiling():
        for name, samples in both.items():
            if samples.shape[-own] == 1 and samples.shape.numel() > samples.shape[-own:].numel():
                checks.misuse(
                    f"{loss}: {name} is {checks.describe(samples)}: dimension {-own}, that of the samples, has size 1, "
                    f"so each row is a distribution of a single sample, and is compared by itself. For one "
                    f"distribution of all write {name}.squeeze({-own})."
                )
    return shape


def _check_weights(
    loss: str, samples: tuple[Tensor, Tensor], weights: tuple[Tensor | None, Tensor | None], shape: torch.Size, own: int
) -> torch.Size:
    """The shape that weights and samples broadcast to, or an error."""
    for name, points, weight in zip(_WEIGHTS, samples, weights, strict=True):
        if weight is None:
            continue
        checks.real(loss, **{name: weight})
        count = points.shape[-own]
        if weight.dim() == 0 or weight.shape[-1] != count:
            raise ValueError(
                f"{loss}: {name} is {checks.describe(weight)}, expected one weight for each of the {count} samples, "
                f"(..., {count}), with {name.removesuffix('_weight')} {checks.describe(points)}; for a weight of each "
                f"pair of distributions write sample_weight="
            )
        shape = _together(loss, [shape, weight.shape[:-1]], **{name: weight, name.removesuffix("_weight"): points})
    return shape


def _together(loss: str, heads: list[torch.Size], **tensors: Tensor) -> torch.Size:
    """The shape that all of the heads broadcast to, or an error."""
    if heads[0] == heads[1]:
        return heads[0]
    try:
        found: torch.Size = torch.broadcast_shapes(*heads)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise RuntimeError(
            f"{loss}: the dimensions before that of the samples can't be broadcast together: "
            f"{checks.shapes(**tensors)}; give as many distributions of each, or one"
        ) from None
    return found


def _directions(
    loss: str, projections: int | Tensor, input: Tensor, compute: torch.dtype, generator: torch.Generator | None
) -> Tensor:
    """Directions, one a row, drawn if it is their number that is given."""
    size = input.shape[-1]
    if isinstance(projections, Tensor):
        if projections.dim() != 2 or projections.shape[1] != size or projections.shape[0] == 0:
            raise ValueError(
                f"{loss}: projections is {checks.describe(projections)}, expected (K, {size}), a direction a row for "
                f"points of {size} coordinates (input {checks.describe(input)}); where directions are columns, as in "
                f"POT, write projections.T"
            )
        checks.real(loss, projections=projections)
        return projections.to(compute)
    if isinstance(projections, bool) or not isinstance(projections, int) or projections < 1:
        raise ValueError(
            f"{loss}: projections is {projections!r}, expected the number of directions, 1 or more, or a tensor "
            f"(K, {size}) of them; write projections=50"
        )
    device = input.device if generator is None else generator.device
    drawn = torch.randn(projections, size, generator=generator, device=device, dtype=compute)
    return unit(drawn).to(input.device, compute)


def _projected(points: Tensor, directions: Tensor, mask: Tensor | None) -> Tensor:
    """The coordinates (..., K, n) of points (..., n, D) along directions (K, D), in their precision."""
    points = hide_rows(points.to(directions.dtype), mask, 0.0, dims=2)
    kind = points.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        return directions @ points.transpose(-1, -2)


def _of_lines(weight: Tensor | None) -> Tensor | None:
    """Weights (..., n) for each of the directions."""
    return weight if weight is None or weight.dim() == 1 else weight.unsqueeze(-2)


def _rooted(powers: Tensor, p: float) -> Tensor:
    """The root, with a slope of 0 at 0."""
    apart = powers != 0
    safe = torch.where(apart, powers, 1)
    return torch.where(apart, safe.sqrt() if p == 2 else safe ** (1 / p), 0)


def _wrong(loss: str, name: str, weight: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Where weights are none: raises ValueError in eager CPU, else returns the rows (or None)."""
    if weight is None:
        return None
    numbers = weight.detach().to(torch.float64 if weight.device.type != "mps" else torch.float32)
    total = numbers.sum(-1)
    wrong = ~((numbers >= 0).all(-1) & (total > 0) & (total < torch.inf))
    if mask is not None:
        wrong = wrong & mask
    if not readable(wrong):
        return wrong
    if bool(wrong.any()):
        at = tuple(int(i) for i in wrong.nonzero()[0])
        row = numbers.expand(*wrong.shape, -1)[at]
        shown = ", ".join(f"{x:.4g}" for x in row[:6].tolist()) + (", ..." if len(row) > 6 else "")
        raise ValueError(
            f"{loss}: {name} holds no masses in row {at} of {checks.describe(weight)}: {shown}; expected finite "
            f"numbers of 0 or more with a sum above 0; for logits write {name}.softmax(-1), for a row that does not "
            f"count mask="
        )
    return None


class WassersteinLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.wasserstein_loss` as a Module.

    Args:
        p, projections, root, generator, reduction: as the function's. Directions of one's own are a buffer.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> cloud = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> criterion = lossmith.WassersteinLoss(p=2, projections=torch.eye(2))
    >>> criterion(cloud, cloud + torch.tensor([3.0, 1.0]))  # the mean of 3**2 along x and 1**2 along y
    tensor(5.)
    """

    projections: int | Tensor | None

    def __init__(
        self,
        p: float = 1,
        projections: int | Tensor | None = None,
        root: bool = False,
        generator: torch.Generator | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        _check_power(type(self).__name__, p)
        self.p, self.root, self.generator, self.reduction = p, root, generator, reduction
        if isinstance(projections, Tensor):
            self.register_buffer("projections", projections)
        else:
            self.projections = projections
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        input_weight: Tensor | None = None,
        target_weight: Tensor | None = None,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return wasserstein_loss(
            input,
            target,
            input_weight,
            target_weight,
            self.p,
            self.projections,
            self.root,
            self.generator,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _steepest(
    input: Tensor,
    p: float = 1,
    input_weight: Tensor | None = None,
    projections: int | Tensor | None = None,
    root: bool = False,
    **_: Any,
) -> float:
    """The bound of a slope: a power has none; sliced, it is a bound and need not be the least."""
    if p > 1 and not root:
        return math.inf
    count = input.shape[-1 if projections is None else -2]
    share = torch.full((count,), 1 / count) if input_weight is None else input_weight / input_weight.sum(-1, True)
    order = 2 / (2 - p) if p < 2 else math.inf
    length = projections.norm(dim=1).max() if isinstance(projections, Tensor) else 1.0
    return float(length * torch.linalg.vector_norm(share, order, -1).max() ** (1 / p))


def _best(
    input: Tensor,
    target: Tensor,
    input_weight: Tensor | None = None,
    target_weight: Tensor | None = None,
    p: float = 1,
    projections: int | Tensor | None = None,
    **_: Any,
) -> Tensor:
    """Where each share of the target has its median (p = 1) or mean (p = 2), in the best order of the input's shares.

    Of clouds, and for other p, it is the target: with as many samples and the same weights.
    """
    if projections is not None or p not in (1, 2):
        return target.expand_as(input)
    batch, n, m = input.shape[:-1], input.shape[-1], target.shape[-1]
    own, other = (
        torch.ones(*batch, size, dtype=target.dtype) if w is None else w.expand(*batch, size)
        for w, size in ((input_weight, n), (target_weight, m))
    )
    values, order = target.expand(*batch, m).sort(-1)
    ends = other.gather(-1, order).cumsum(-1) / other.sum(-1, True)
    starts = torch.cat([torch.zeros_like(ends[..., :1]), ends[..., :-1]], -1)
    candidates = []
    for places in [range(n)] if input_weight is None else permutations(range(n)):
        stop = own[..., list(places)].cumsum(-1) / own.sum(-1, True)
        start = torch.cat([torch.zeros_like(stop[..., :1]), stop[..., :-1]], -1)
        if p == 1:
            middle = torch.searchsorted(ends, (start + stop) / 2).clamp(max=m - 1)
            best = values.gather(-1, middle)
        else:
            low = torch.maximum(start[..., None], starts[..., None, :])
            inside = (torch.minimum(stop[..., None], ends[..., None, :]) - low).clamp(min=0)
            best = (inside * values[..., None, :]).sum(-1) / inside.sum(-1)
        back = torch.empty(n, dtype=torch.int64)
        back[list(places)] = torch.arange(n)
        candidates.append(best[..., back])
    every = torch.stack(candidates)
    cost = costs(every, target, input_weight, target_weight, p)
    return every.gather(0, cost.argmin(0)[None, ..., None].expand(1, *batch, n))[0]


def _of_one_sample(p: float) -> Any:
    return lambda x: {"input": x.unsqueeze(-1), "target": x.new_tensor([-1.0, 1.0]), "p": p}


CARD = Card(
    title=Text("Wasserstein distance", "Wasserstein 距离"),
    summary=Text(
        "What it costs to move one distribution to the other, both given by samples: the mean distance that mass "
        "travels, to the power p. Exact on a line; for clouds of points a mean over directions (sliced).",
        "把一个分布搬运成另一个分布的最小代价，两者都由样本给出：质量移动距离的 p 次方的平均值。"
        "一维时是精确值；点云则对多个投影方向取平均（切片距离）。",
    ),
    gradient=Text(
        "Each sample is pulled to the target sample of its rank, by its share of the mass: for p = 1 with the same "
        "force at any distance, for p = 2 with twice the distance.",
        "每个样本被拉向目标中同名次的样本，力度为它所占的质量：p = 1 时与距离无关，p = 2 时为距离的两倍。",
    ),
    robustness=Text(
        "p = 1: an outlier of n samples pulls with 1/n, however far off it is. p = 2: in proportion to its distance.",
        "p = 1：n 个样本中的一个离群点无论多远，拉力都只有 1/n。p = 2：拉力与距离成正比。",
    ),
    sparsity=Text(
        "None: samples move, none is driven to 0. A sample without mass has a gradient of exactly 0.",
        "无稀疏性：样本只会移动，不会被压到 0。质量为 0 的样本梯度恰好为 0。",
    ),
    smoothness=Text(
        "Continuous. The gradient jumps where two samples change ranks, since they change targets; for p = 1 also "
        "where a sample meets its target.",
        "连续。两个样本交换名次时目标随之互换，梯度在该处跳变；p = 1 时样本与其目标重合处也会跳变。",
    ),
    sensitivity=Text(
        "The unit of the samples (to the power p), and how many there are: between 64 and 64 samples of one standard "
        "normal distribution it is about 0.22 for p = 1, and falls with $1/\\sqrt n$.",
        "取决于样本的单位（的 p 次方）和样本个数：同一标准正态分布的两组各 64 个样本之间，"
        "p = 1 时约为 0.22，并按 $1/\\sqrt n$ 下降。",
    ),
    minimiser=Text(
        "The target's samples, in any order, at 0. With fewer samples than the target: the median (p = 1) or the mean "
        "(p = 2) of the target's samples that share its rank.",
        "目标的样本本身，顺序任意，此时为 0。样本比目标少时，"
        "为同一名次区间内目标样本的中位数（p = 1）或均值（p = 2）。",
    ),
    use=(
        Text(
            "Matching distributions of numbers: predicted samples or quantiles against observed ones, histograms over "
            "ordered bins, marginals of a generator.",
            "匹配数值的分布：预测的样本或分位数与观测值、有序分箱上的直方图、生成器的边缘分布。",
        ),
        Text(
            "Distributions that do not overlap: it still says how far apart they are, and in which direction to go.",
            "互不重叠的分布：它仍能给出相距多远、该往哪个方向移动。",
        ),
        Text(
            "Clouds of points, colours, features of a layer: sliced, in the time of sorting, without a plan for all "
            "pairs.",
            "点云、颜色、某一层的特征：用切片形式，只需排序的时间，不必求所有点对的搬运方案。",
        ),
    ),
    avoid=(
        Text(
            "Predictions with a target each: it compares the sets, so any permutation of a perfect prediction costs 0. "
            "Take L1Loss or MSELoss.",
            "每个预测都有各自的目标：它只比较两个集合，完美预测任意打乱后损失仍为 0。应改用 L1Loss 或 MSELoss。",
        ),
        Text(
            "Classes without an order: there is no distance between them. Take CrossEntropyLoss, or JSDivLoss.",
            "类别之间没有顺序：谈不上距离。应改用 CrossEntropyLoss 或 JSDivLoss。",
        ),
        Text(
            "A distance in many dimensions that must be exact: slices bound it from below. Take a solver, such as "
            "POT's or geomloss.",
            "需要高维空间中的精确距离：切片距离只是它的下界。应使用求解器，如 POT 或 geomloss。",
        ),
    ),
    traps=(
        Trap(
            "wasserstein-samples-in-the-last-dimension",
            Text(
                "The samples of a distribution lie along the last dimension. A network's (N, 1) is N distributions of "
                "one sample each: against (N, 1) it is L1Loss, against (N) each row is drawn to the median of all "
                "targets. Write input.squeeze(1).",
                "一个分布的样本沿最后一维排列。网络输出的 (N, 1) 是 N 个各含一个样本的分布："
                "目标为 (N, 1) 时等于 L1Loss，目标为 (N) 时每一行都被拉向全部目标的中位数。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "wasserstein-power-or-root",
            Text(
                "The loss is $W_p^p$. For p = 2 it is in the square of the unit: 9 where the distance is 3. For the "
                "distance, which POT's sliced_wasserstein_distance returns, write root=True; near 0 its gradient does "
                "not fade.",
                "损失为 $W_p^p$。p = 2 时以单位的平方计：距离为 3 时损失为 9。"
                "若要距离本身（POT 的 sliced_wasserstein_distance 返回的就是它），应写 root=True；"
                "此时梯度在 0 附近不会减弱。",
            ),
        ),
        Trap(
            "wasserstein-small-batches",
            Text(
                "Two samples of one distribution are apart: with 16 numbers each of a standard normal the distance is "
                "0.43, with 1024 it is 0.06. The gradient of a small batch draws the prediction closer together than "
                "the target is. Take large batches, or compare with the distance of two batches of the target.",
                "来自同一分布的两组样本之间距离也不为 0：标准正态各取 16 个数时为 0.43，各取 1024 个时为 0.06。"
                "小批量的梯度会使预测比目标更集中。应使用大批量，或与目标自身两批之间的距离相比较。",
            ),
        ),
        Trap(
            "wasserstein-histogram-weights",
            Text(
                "Weights are masses and not logits, and are divided by their sum: histograms of 10 and of 1000 counts "
                "may be equal. Predicted ones are logits.softmax(-1), with the bins' positions as input and target.",
                "权重是质量而不是 logits，并会除以总和：计数为 10 和 1000 的两个直方图可以完全相等。"
                "预测的权重应写 logits.softmax(-1)，input 和 target 为各分箱的位置。",
            ),
        ),
        Trap(
            "wasserstein-few-directions",
            Text(
                "A direction sees 1/D of the squared distance between two points of D coordinates, so sliced values "
                "are smaller than the distance, and few directions make them noisy. Compare only values of one "
                "number of coordinates, and draw anew in each step rather than fixing a few directions.",
                "对 D 维的两个点，一个方向平均只看到平方距离的 1/D，因此切片距离小于真实距离，方向太少时噪声也大。"
                "只应比较维数相同的数值；与其固定少数几个方向，不如每一步重新抽取。",
            ),
        ),
        Trap(
            "wasserstein-directions-not-unit",
            Text(
                "Directions of one's own are taken as they are: twice as long, they double the distances. Write "
                "torch.nn.functional.normalize(projections, dim=1), also where directions are learned (max-sliced).",
                "自行给定的方向按原样使用：长度加倍，距离也加倍。"
                "应写 torch.nn.functional.normalize(projections, dim=1)，方向可学习时（max-sliced）同样如此。",
            ),
        ),
    ),
    stability=Text(
        "Nothing is regularised or iterated: values are exact to rounding, computed in float64 for float32. For "
        "float64 a difference beyond 1e154 overflows when squared. A sample without mass is never read into value or "
        "gradient. An infinite sample costs infinity, two of them in one rank NaN.",
        "不做正则化，也不迭代：数值精确到舍入误差，float32 输入以 float64 计算。float64 的差超过 1e154 时平方会溢出。"
        "质量为 0 的样本不影响损失和梯度。样本为无穷大时损失为无穷大，同一名次上两边都是无穷大时为 NaN。",
    ),
    activation=Text("none", "无"),
    input="(*, n) or (*, n, D)",
    target="(*, m) or (*, m, D)",
    typical=Text("matching distributions, point clouds", "分布匹配、点云"),
    siblings=(
        Sibling(
            "JSDivLoss",
            Text(
                "Compares probabilities class by class and does not see how far apart classes lie; bounded by log 2.",
                "逐类别比较概率，看不出类别相距多远；上界为 log 2。",
            ),
        ),
        Sibling(
            "KLDivLoss",
            Text(
                "The same for log-probabilities, not symmetric, and infinite where the prediction rules out what "
                "happens.",
                "同样逐类别比较，但不对称；预测认为不可能而实际发生时为无穷大。",
            ),
        ),
        Sibling(
            "WassersteinCriticLoss",
            Text(
                "The distance in any number of dimensions by a critic that is trained: an estimate, for GANs.",
                "用训练出的评论网络估计任意维数下的距离，用于 GAN。",
            ),
        ),
        Sibling(
            "L1Loss",
            Text(
                "Where each sample has a target of its own: the same pull, without sorting.",
                "每个样本都有各自目标时使用：拉力相同，不经排序。",
            ),
        ),
    ),
    sources=(
        'Villani, "Topics in Optimal Transportation", Graduate Studies in Mathematics 58 (2003)',
        'Rabin, Peyré, Delon and Bernot, "Wasserstein Barycenter and its Application to Texture Mixing", SSVM (2011)',
        'Bonneel, Rabin, Peyré and Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", '
        "Journal of Mathematical Imaging and Vision 51 (2015)",
        'Bellemare et al., "The Cramer Distance as a Solution to Biased Wasserstein Gradients", '
        "arXiv:1705.10743 (2017)",
    ),
    curve=Curve(
        Text("one sample $x$, against samples at -1 and 1", "单个样本 $x$，目标样本在 -1 与 1 处"),
        (-3.0, 3.0),
        {f"p = {p}": _of_one_sample(p) for p in (1, 2)},
    ),
    aliases=(
        "earth_mover_distance",
        "earth_movers_distance",
        "emd",
        "wasserstein_distance",
        "wasserstein_1d",
        "sliced_wasserstein",
        "sliced_wasserstein_distance",
        "optimal_transport",
        "swd",
    ),
)


LOSS = Loss(
    function=wasserstein_loss,
    module=WassersteinLoss,
    family="distributions and sequences",
    facts=Facts(
        convex=False,
        lipschitz=_steepest,
        prediction=REALS,
        target=REALS,
        minimiser=_best,
        denominator="samples",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
