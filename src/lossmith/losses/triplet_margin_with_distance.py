"""Triplet margin with a distance of one's own."""

from collections.abc import Callable

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes, kernels
from ..card import Card, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.pairwise import Numbers, PairwiseDistance, Steps, full_precision, pairwise
from ..overrides import overridable
from ..reduction import Normalizer, plan, reduce
from .triplet_margin import CARD as PLAIN
from .triplet_margin import (
    EASY,
    batch_of,
    check_dimensions,
    check_margin,
    check_vectors,
    hide_triplets,
    minimiser,
    triplet,
)

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
            triplet,
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
    kernels(loss, (anchor, positive, negative), "the distance is one's own")
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


CARD = Card(
    title=Text("Triplet margin loss with a distance of one's own", "自定义距离的三元组间隔损失"),
    summary=Text(
        "By how much a negative fails to be a margin farther from the anchor than the positive, in any distance: "
        "$\\max(0, d(a, p) - d(a, n) + m)$.",
        "负样本到锚点的距离应比正样本至少远一个间隔，差多少就罚多少，距离可任选：$\\max(0, d(a, p) - d(a, n) + m)$。",
    ),
    gradient=Text(
        "While the loss is above 0: 1 at d(a, p) and -1 at d(a, n), passed on by the distance. Squared distances pull "
        "with twice the distance, Euclidean ones (the default) with 1. A distance that is a Module learns too.",
        "损失大于 0 时，对 d(a, p) 为 1，对 d(a, n) 为 -1，再经距离函数传回：平方距离的拉力是距离的两倍，"
        "默认的欧氏距离恒为 1。距离若是 Module，其参数也会得到梯度。",
    ),
    robustness=Text(
        "That of the distance, whose slope is passed on unchanged: with squared distances a far positive pulls without "
        "bound, unless the vectors are normalised.",
        "取决于距离函数，其斜率原样传回：用平方距离时，除非向量已归一化，远处正样本的拉力没有上界。",
    ),
    sparsity=PLAIN.sparsity,
    smoothness=Text(
        "The hinge has its kink where the negative is exactly a margin farther (slope 1, as torch's), and swap one "
        "where its two distances are equal; the rest is the distance's: a squared one has no kink at 0.",
        "合页在负样本恰好远出一个间隔处有尖点（与 torch 一样，斜率取 1），swap 在两个距离相等处也有；"
        "其余取决于距离函数：平方距离在 0 处没有尖点。",
    ),
    sensitivity=Text(
        "The choice of triplets, then the margin, in the unit of the distance. For unit vectors $1 - \\cos$ and the "
        "Euclidean distance are at most 2, the squared one 4: a margin beyond that is never met.",
        "首先取决于三元组的选取，其次是间隔，其单位与距离相同。单位向量的 $1 - \\cos$ 和欧氏距离不超过 2，"
        "平方距离不超过 4：间隔超过它就永远无法满足。",
    ),
    minimiser=PLAIN.minimiser,
    use=(
        Text(
            "Embeddings that are searched by cosine: write $1 - \\cos$, so that training and search agree.",
            "按余弦检索的嵌入：距离取 $1 - \\cos$，使训练与检索一致。",
        ),
        Text(
            "A learned distance (a Module with parameters), or one that is of no vector space: hyperbolic, of sets.",
            "可学习的距离（带参数的 Module），或不属于向量空间的距离：双曲距离、集合间的距离。",
        ),
    ),
    avoid=(
        Text(
            "A p-norm, its square, or unit vectors (FaceNet): TripletMarginLoss has them as p, squared and normalize, "
            "in one kernel; a function of one's own runs step by step.",
            "距离就是 p 范数、其平方或单位向量的距离（FaceNet）时：TripletMarginLoss 以 p、squared 与 normalize 提供，"
            "且由一个融合核算完；自定义函数只能逐步执行。",
        ),
        Text(
            "A negated dot product of vectors that are not normalised: it has no least value, and longer vectors meet "
            "any margin.",
            "用未归一化向量点积的相反数作距离时：它没有下界，只要把向量变长就能满足任何间隔。",
        ),
    ),
    traps=(
        Trap("triplet-margin-with-distance-easy-triplets", EASY, rule="easy-triplets"),
        Trap(
            "triplet-margin-with-distance-similarity",
            Text(
                "A similarity is no distance: it grows as vectors come nearer. With the cosine itself and a margin of "
                "0.5 a perfect triplet costs 2.5 and the worst one 0, so what is alike is pushed apart. Write "
                "lambda u, v: 1 - torch.nn.functional.cosine_similarity(u, v, dim=-1).",
                "相似度不是距离：越近越大。若直接用余弦、间隔为 0.5，完美的三元组损失为 2.5，最差的反而为 0，"
                "结果是把相似样本推开。应写 "
                "lambda u, v: 1 - torch.nn.functional.cosine_similarity(u, v, dim=-1)。",
            ),
        ),
        Trap(
            "triplet-margin-with-distance-whole-batch",
            Text(
                "(u - v).norm() without dim is one distance for the whole batch, and the triplets are no longer "
                'compared one by one. Write dim=-1, and look that reduction="none" gives N numbers.',
                "(u - v).norm() 不写 dim 时，整个批次只得到一个距离，三元组不再逐个比较。应写 dim=-1，"
                '并确认 reduction="none" 时得到 N 个数。',
            ),
        ),
        Trap(
            "triplet-margin-with-distance-matrix",
            Text(
                "torch.cdist gives the (N, N) distances of all pairs, and every other row's positive is taken for the "
                "anchor's own. Use torch.nn.PairwiseDistance() or a sum over the last dimension.",
                "torch.cdist 给出所有样本对的 (N, N) 距离，其他行的正样本也被当成该锚点的正样本。"
                "应改用 torch.nn.PairwiseDistance()，或只在最后一维求和。",
            ),
        ),
        Trap(
            "triplet-margin-with-distance-margin-unit",
            Text(
                "The default margin of 1 is large for $1 - \\cos$: unrelated vectors are 1 apart, so it is met only "
                "when the positive coincides with the anchor or the negative points away. Take 0.1 to 0.5. A margin "
                "of 2.5 never gives less than 0.5.",
                "对 $1 - \\cos$ 来说默认间隔 1 偏大：互不相关的向量距离约为 1，只有正样本与锚点重合或负样本反向时"
                "才能满足。宜取 0.1 到 0.5。若取 2.5，损失永远不低于 0.5。",
            ),
        ),
        Trap(
            "triplet-margin-with-distance-root-at-zero",
            Text(
                "(u - v).square().sum(-1).sqrt() has a NaN gradient where u equals v, which one duplicate row brings "
                "about. Write (u - v).norm(dim=-1), whose gradient is 0 there, or leave the root out.",
                "(u - v).square().sum(-1).sqrt() 在 u 等于 v 处梯度为 NaN，一行重复样本就会触发。"
                "应写 (u - v).norm(dim=-1)（该处梯度为 0），或不开根号。",
            ),
            rule="loss-not-finite",
        ),
    ),
    stability=Text(
        "The default distance is as stable as TripletMarginLoss's. One's own runs in the dtype that it is given: in "
        "float16 a squared distance above 65504 is inf, and the loss NaN. Call .float() in it.",
        "默认距离与 TripletMarginLoss 一样稳定。自定义距离以传入的 dtype 计算：float16 下平方距离超过 65504 即为 inf，"
        "损失变为 NaN。应在距离函数内先调用 .float()。",
    ),
    activation=PLAIN.activation,
    input="(N, D) x 3",
    target="-",
    typical=Text("embeddings compared by cosine", "按余弦比较的嵌入"),
    siblings=(
        Sibling(
            "TripletMarginLoss",
            Text(
                "The same for p-norms, with p and eps as numbers, and for their squares.",
                "同一损失，距离限于 p 范数及其平方，p 与 eps 为数值参数。",
            ),
        ),
        Sibling(
            "CosineEmbeddingLoss",
            Text(
                "Cosine too, of pairs labelled 1 or -1: it fixes how near is near, where a triplet asks for an order.",
                "同样用余弦，但针对标签为 1 或 -1 的样本对：它规定多近才算近，三元组只要求相对远近。",
            ),
        ),
        Sibling(
            "MarginRankingLoss",
            Text(
                "The same hinge on two vectors of numbers: distances computed before, for instance of mined pairs.",
                "同样的合页形式，作用于两列现成的数：例如事先算好的、挖掘所得样本对的距离。",
            ),
        ),
    ),
    sources=(
        'Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", '
        "BMVC (2016)",
        'Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", '
        "CVPR (2015)",
    ),
    curve=PLAIN.curve,
    aliases=("triplet_margin_with_distance", "cosine_triplet_loss"),
)


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
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
