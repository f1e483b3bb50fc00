"""Triplet margin: an anchor is to be nearer to its positive than to its negative, by a margin."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, hinge, step
from ..loops.masking import hide_rows
from ..loops.pairwise import Numbers, Steps, distance, full_precision, pairwise, unit
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced
from .mined_triplet_margin import Miner, check_average, check_mining, mined_triplet_margin_loss


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
    squared: bool = False,
    normalize: bool = False,
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
    a distance is 0 its gradient is 0. With ``swap``, the smaller one of d(a, n) and d(p, n) is used.

    With ``squared=True`` the distances are :math:`d^2`, with ``normalize=True`` the vectors are scaled to unit length
    before: :math:`u / |u|_2`, and 0 with a gradient of 0 for a vector of zeros. Both together, with margin=0.2 and
    eps=0, are FaceNet's loss, whose squared distances are :math:`2 - 2 \cos`.

    Source: Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural
    networks" (2016), for the loss and the swap; Schroff, Kalenichenko and Philbin, "FaceNet" (2015), equations 1 to 3,
    for squared distances of unit vectors.

    Args:
        anchor, positive, negative: vectors, (N, D) or (..., D), in one unit; sizes of 1 broadcast. Floating, complex,
            or integer (then subtracted as integers, as torch has it: unsigned ones wrap).
        margin: :math:`m`, above 0, in the unit of the distances.
        p: the norm, above 0; infinity is the greatest difference. Below 1 it is no metric, which is warned of.
        eps: :math:`\epsilon`, added to each difference, of unit vectors too.
        swap: whether the positive may take the anchor's place before the negative.
        squared: whether the distances are squared, and the margin is one of squared distances.
        normalize: whether the vectors are scaled to unit length before all else.
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
    >>> lossmith.functional.triplet_margin_loss(anchor, positive, negative, margin=12.0, squared=True)  # 25 - 36 + 12
    tensor(1.0000)
    """
    loss = "triplet_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    check_margin(loss, margin)
    check_norm(loss, p)
    check_vectors(loss, how.reduction, swap, anchor=anchor, positive=positive, negative=negative)
    _, result = dtypes(anchor, positive, negative)
    result = result.to_real() if result.is_complex else result
    shape = batch_of(anchor, positive, negative)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")

    def of(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        anchor, positive, negative = (full_precision(vectors) for vectors in (anchor, positive, negative))
        if how.mask is not None:
            anchor, positive, negative = hide_triplets(anchor, positive, negative, how.mask)
        if normalize:
            anchor, positive, negative = unit(anchor), unit(positive), unit(negative)
        far = distance(anchor, negative, p, eps, squared)
        if swap:
            far = torch.minimum(far, distance(positive, negative, p, eps, squared))
        values: Tensor = triplet.value(distance(anchor, positive, p, eps, squared), far, margin)
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
        Steps(of, lambda values: reduced(loss, values, how, result)),
        Numbers(float(margin), float(p), float(eps), swap, squared, normalize),
    )


def check_margin(loss: str, margin: float) -> None:
    """Raises ValueError unless the margin is above 0."""
    if margin <= 0:
        raise ValueError(
            f"{loss}: margin must be greater than 0, got {margin!r}: it is by how much the negative is to be farther; "
            f"write margin=1.0 for torch's default"
        )


def check_norm(loss: str, p: float) -> None:
    """Raises ValueError unless the norm is above 0; warns below 1."""
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
        margin, p, eps, swap, size_average, reduce, reduction, squared, normalize: as the function's.
        miner: with one, the Module takes embeddings and labels, mines the triplets and is
            :func:`lossmith.functional.mined_triplet_margin_loss` with this miner: of Euclidean distances, without
            eps and swap.
        average: what the mean of mined triplets divides by, as there.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> anchor, positive, negative = torch.tensor([[0.0], [1.0], [5.0]])
    >>> lossmith.TripletMarginLoss(margin=3.5, swap=True)(anchor, positive, negative)  # 1 - 4 + 3.5
    tensor(0.5000)
    >>> embeddings, labels = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 0, 1])
    >>> lossmith.TripletMarginLoss(margin=3.5, miner="batch_hard")(embeddings, labels)  # of 0 and 1 - 4 + 3.5
    tensor(0.2500)
    """

    squared: bool = False
    normalize: bool = False
    miner: Miner | None = None
    average: str = "triplets"

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
        squared: bool = False,
        normalize: bool = False,
        miner: Miner | None = None,
        average: str = "triplets",
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        name = type(self).__name__
        check_margin(name, margin)
        check_norm(name, p)
        if miner is not None:
            check_mining(name, miner, margin)
            check_average(name, average)
            if p != 2 or swap:
                raise ValueError(
                    f"{name}: p is {p!r} and swap {swap!r}, but triplets are mined by Euclidean distances from the "
                    f"anchor; write p=2 and swap=False, or mine with lossmith.mining and give the three vectors"
                )
        super().__init__(margin, p, eps, swap, size_average, reduce, reduction)
        self.squared, self.normalize, self.average = squared, normalize, average
        self.__dict__["miner"] = miner  # a setting, also if it is a Module: those hide behind the class's default
        self._settle(normalizer, on_empty)

    def extra_repr(self) -> str:
        asked = [f"{name}=True" for name in ("squared", "normalize") if getattr(self, name)]
        if self.miner is not None:
            asked += [f"miner={self.miner!r}", f"average={self.average!r}"]
        return ", ".join([*asked, *filter(None, [super().extra_repr()])])

    def forward(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor | None = None,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        reduction = self._reduction(sample_weight, mask, normalizer, on_empty)
        if self.miner is not None:
            if negative is not None:
                raise TypeError(
                    f"{type(self).__name__}: three tensors are given, but with miner={self.miner!r} it takes "
                    f"embeddings and labels; write criterion(embeddings, labels), or leave out the miner"
                )
            return mined_triplet_margin_loss(
                anchor, positive, self.miner, self.margin, self.squared, self.normalize, self.average, **reduction
            )
        if negative is None:
            raise TypeError(
                f"{type(self).__name__}: anchor and positive are given, but no negative; write "
                f"criterion(anchor, positive, negative), or miner='semi_hard' to mine from embeddings and labels"
            )
        return triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            squared=self.squared,
            normalize=self.normalize,
            **reduction,
        )


def _lipschitz(anchor: Tensor, p: float = 2, squared: bool = False, **others: object) -> float:
    """The anchor is pulled and pushed along one line, the others moved once each; p < 2 is steep on the diagonal."""
    dimensions = anchor.shape[-1]
    if squared or others.get("normalize") or (p < 1 and dimensions > 1):
        return math.inf
    return float(6**0.5 * max(1.0, dimensions ** (1 / p - 0.5)))


def minimiser(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, **_: object
) -> tuple[Tensor, Tensor, Tensor]:
    """Anchor and positive together, the negative beyond the margin, and on the other side of 0."""
    return torch.ones_like(anchor), torch.ones_like(positive), torch.full_like(negative, -margin)


EASY = Text(
    "Random triplets are soon all easy, with a loss and a gradient of 0: of random unit vectors in 128 dimensions, "
    "1 in 1,500 is nearer than 1.2 to an anchor, so with positives at 1.0 and a margin of 0.2 no more triplets than "
    "that teach anything. Mine in each batch: semi-hard negatives, $d(a, p) < d(a, n) < d(a, p) + m$, or each anchor's "
    "farthest positive and nearest negative.",
    "随机三元组很快就全是简单样本，损失和梯度都为 0：128 维随机单位向量中，离锚点近于 1.2 的只有 1/1500；"
    "正样本距离为 1.0、间隔为 0.2 时，只有这么多三元组能提供梯度。应在批内挖掘难样本："
    "取半难负样本 $d(a, p) < d(a, n) < d(a, p) + m$，或取每个锚点最远的正样本和最近的负样本。",
)

CARD = Card(
    title=Text("Triplet margin loss", "三元组间隔损失"),
    summary=Text(
        "By how much a negative fails to be a margin farther from the anchor than the positive: "
        "$\\max(0, d(a, p) - d(a, n) + m)$, with a p-norm as the distance.",
        "负样本到锚点的距离应比正样本至少远一个间隔，差多少就罚多少：$\\max(0, d(a, p) - d(a, n) + m)$，"
        "其中距离为 p 范数。",
    ),
    gradient=Text(
        "While the loss is above 0, the positive is drawn to the anchor and the negative pushed off it, each with a "
        "pull of 1 however far it is (Euclidean); the anchor takes both pulls, together at most 2. Otherwise 0. With "
        "squared=True each pull is twice the distance: near a distance of 0 there is none.",
        "损失大于 0 时，正样本被拉向锚点，负样本被推离锚点，拉力都是 1，与远近无关（欧氏距离）；"
        "锚点承受两者的合力，最大为 2。其余情况梯度为 0。squared=True 时拉力为距离的两倍，距离接近 0 时几乎没有。",
    ),
    robustness=Text(
        "A wrong triplet pulls with 1, 1 and at most 2, however wrong it is. But mining finds wrong labels first: the "
        "nearest negative of a class is often a member of it with the wrong label.",
        "错误的三元组无论错得多离谱，拉力也只有 1、1 和至多 2。但难样本挖掘会优先挑中错误标签："
        "离某一类最近的负样本，往往正是标错的本类样本。",
    ),
    sparsity=Text(
        "Loss and gradient are exactly 0 as soon as the negative is a margin farther than the positive, which soon "
        "holds for most triplets. The embeddings do not become sparse.",
        "负样本比正样本远出一个间隔后，损失和梯度都恰好为 0，多数三元组很快如此。嵌入向量本身不会变稀疏。",
    ),
    smoothness=Text(
        "Continuous, with kinks: where the negative is exactly a margin farther (the slope is 1 there, as torch's), "
        "where a distance is 0, and with swap where its two distances are equal. Not convex.",
        "连续但有尖点：负样本恰好远出一个间隔处（与 torch 一样，斜率取 1）、距离为 0 处，"
        "以及 swap 时两个距离相等处。非凸。",
    ),
    sensitivity=Text(
        "The choice of triplets, then the margin, in the unit of the distances: those of unit vectors are at most 2, "
        "and near 1.41 between unrelated ones. swap=True takes the smaller of d(a, n) and d(p, n): the points 0, 1 and "
        "3 with a margin of 1.5 cost 0 without it and 0.5 with it.",
        "首先取决于三元组的选取，其次是间隔，其单位与距离相同：单位向量间的距离不超过 2，互不相关的约为 1.41。"
        "swap=True 取 d(a, n) 与 d(p, n) 中较小者：点 0、1、3 在间隔 1.5 下，不用 swap 损失为 0，用则为 0.5。",
    ),
    minimiser=Text(
        "Any embedding whose negatives are all at least a margin farther than its positives: a whole region of loss "
        "0, in which positives need not coincide. There is no target that could scatter.",
        "任何使负样本都比正样本至少远一个间隔的嵌入：损失为 0 的是一整片区域，正样本不必重合。"
        "没有目标值，也就谈不上目标的散布。",
    ),
    use=(
        Text(
            "Face recognition and person re-identification: classes are many, or new ones come after training, and "
            "are told apart by distance.",
            "人脸识别、行人重识别（ReID）：类别极多，或训练之后还会出现新类别，靠距离来区分。",
        ),
        Text(
            "Retrieval and local image descriptors, where all that is known is that a is more like p than like n.",
            "检索与局部图像描述子：只知道 a 与 p 比与 n 更相似。",
        ),
    ),
    avoid=(
        Text(
            "Few classes, all known, with many rows each: under CrossEntropyLoss every row teaches and nothing is "
            "mined.",
            "类别少、全部已知且样本充足时：CrossEntropyLoss 下每个样本都提供梯度，无需挖掘。",
        ),
        Text(
            "Pairs that are alike or not, without a common anchor: take CosineEmbeddingLoss or HingeEmbeddingLoss.",
            "只有“相似/不相似”的成对数据、没有共同锚点时：应改用 CosineEmbeddingLoss 或 HingeEmbeddingLoss。",
        ),
    ),
    traps=(
        Trap("triplet-margin-easy-triplets", EASY, rule="easy-triplets"),
        Trap(
            "triplet-margin-collapse",
            Text(
                "With the hardest negatives from the first step, all embeddings can fall onto one point: every "
                "distance is then 0 and the loss rests at the margin. Begin with semi-hard negatives or a smaller "
                "learning rate, and watch for a loss that stays at m.",
                "从第一步起就只用最难的负样本，所有嵌入可能坍缩到一点：此时所有距离都为 0，损失停在 margin 不动。"
                "应先用半难负样本或更小的学习率，并留意损失是否停在 m。",
            ),
            rule="embeddings-collapsed",
        ),
        Trap(
            "triplet-margin-mean-of-easy",
            Text(
                "The mean counts the triplets of loss 0: with 1 % of them active the gradient is 100 times smaller "
                "than the mean over the active ones, and falls with their share. Write mask=losses > 0, with the "
                'losses of reduction="none", or normalizer= their number.',
                "求均值时损失为 0 的三元组也计入分母：若只有 1% 有效，梯度就只有有效三元组均值的百分之一，"
                '并随有效比例下降。应写 mask=losses > 0（losses 由 reduction="none" 得到），'
                "或把有效个数传给 normalizer=。",
            ),
        ),
        Trap(
            "triplet-margin-facenet-distance",
            Text(
                "FaceNet's margin of 0.2 is one of squared distances of unit vectors; by default distances are not "
                "squared and nothing is normalised. For distances of 0.1 and 0.25 the loss is 0.05, squared 0.1475; "
                "for 1.0 and 1.15 it is 0.05, squared 0. To follow FaceNet, write "
                "TripletMarginLoss(margin=0.2, eps=0.0, squared=True, normalize=True).",
                "FaceNet 的间隔 0.2 针对单位向量的平方距离；默认距离不平方，也不做归一化。距离为 0.1 和 0.25 时"
                "损失为 0.05，平方后为 0.1475；为 1.0 和 1.15 时损失为 0.05，平方后为 0。要复现 FaceNet，应写 "
                "TripletMarginLoss(margin=0.2, eps=0.0, squared=True, normalize=True)。",
            ),
        ),
        Trap(
            "triplet-margin-unit",
            Text(
                "The margin is in the unit of the embeddings. Of random normal vectors (16 dimensions), scaled by 0.01 "
                "every triplet costs about the margin of 1; scaled by 100 it is as good as 0, and a network can meet "
                "any margin by larger outputs. Write normalize=True.",
                "间隔以嵌入向量的单位计。以 16 维随机正态向量为例：缩小到 0.01 倍时，每个三元组的损失都约等于间隔 1；"
                "放大 100 倍时间隔形同 0，网络只要放大输出就能满足任何间隔。"
                "应写 normalize=True。",
            ),
        ),
        Trap(
            "triplet-margin-order",
            Text(
                "The order is anchor, positive, negative. With the last two exchanged the loss falls as well, and "
                "what is alike is pushed apart.",
                "参数顺序为锚点、正样本、负样本。后两者写反时损失照样下降，学到的却是把相似样本推开。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "triplet-margin-eps",
            Text(
                "eps is added to each difference, before the norm: d(u, u) is eps times $\\sqrt{D}$, 1.1e-5 in 128 "
                "dimensions, and d is not quite symmetric (d(0, 1e-6) = 0, d(1e-6, 0) = 2e-6). Anchor and positive "
                "that coincide still feel a pull of 1. With eps=0 the distance is exact and that pull is 0.",
                "eps 在求范数之前加到每个分量的差上：d(u, u) 等于 eps 乘以 $\\sqrt{D}$，128 维时为 1.1e-5；"
                "d 也不完全对称（d(0, 1e-6) = 0，d(1e-6, 0) = 2e-6）。锚点与正样本重合时仍有大小为 1 的拉力。"
                "取 eps=0 则距离精确，该拉力为 0。",
            ),
        ),
    ),
    stability=Text(
        "Squares are taken in float64 or of scaled differences, so vectors of 1e30 do not overflow (torch gives NaN), "
        "and the gradient at a distance of 0 is 0. Half precision is computed in float32. With squared=True, distances "
        "of float64 vectors overflow from 1e154 on; unit vectors are right at any length.",
        "平方以 float64 计算，或先缩放差值再平方，因此 1e30 量级的向量不会溢出（torch 得 NaN）；"
        "距离为 0 处梯度为 0。半精度输入以 float32 计算。squared=True 时 float64 向量的距离从 1e154 起溢出；"
        "归一化对任意长度都正确。",
    ),
    activation=Text("none, or L2 normalisation", "无，或 L2 归一化"),
    input="(N, D) x 3",
    target="-",
    typical=Text("face recognition, re-identification", "人脸识别、ReID"),
    siblings=(
        Sibling(
            "MinedTripletMarginLoss",
            Text(
                "Takes a batch with labels and finds the triplets itself; this loss does the same with miner=.",
                "接收带标签的一批样本，自行挖掘三元组；本损失给出 miner= 时与之相同。",
            ),
        ),
        Sibling(
            "TripletMarginWithDistanceLoss",
            Text(
                "The same with any distance: cosine, hyperbolic, learned.",
                "同一损失，距离可任选：余弦、双曲或可学习的距离。",
            ),
        ),
        Sibling(
            "CosineEmbeddingLoss",
            Text(
                "Of pairs: it fixes how near is near, where a triplet asks only for an order.",
                "针对样本对：它规定多近才算近，三元组只要求相对远近。",
            ),
        ),
        Sibling(
            "HingeEmbeddingLoss",
            Text(
                "Of one distance and a sign: like pairs are drawn to 0, unlike ones pushed beyond the margin.",
                "针对单个距离与正负号：相似对被拉到 0，不相似对被推到间隔之外。",
            ),
        ),
        Sibling(
            "MarginRankingLoss",
            Text(
                "The same hinge on two numbers that you bring, scores instead of distances.",
                "同样的合页形式，作用于自备的两个数：得分而非距离。",
            ),
        ),
    ),
    sources=(
        'Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", '
        "CVPR (2015)",
        'Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", '
        "BMVC (2016)",
        'Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737 '
        "(2017)",
    ),
    curve=Curve(
        Text("$d(a, p) - d(a, n)$", "$d(a, p) - d(a, n)$"),
        (-3.0, 3.0),
        {
            "": lambda x: {
                "anchor": torch.zeros_like(x).unsqueeze(-1),
                "positive": (x + 4.0).unsqueeze(-1),
                "negative": torch.full_like(x, 4.0).unsqueeze(-1),
            }
        },
    ),
    aliases=(
        "triplet",
        "triplet_loss",
        "facenet",
        "facenet_loss",
        "triplet_hard_loss",
        "triplet_semi_hard_loss",
        "batch_all_triplet_loss",
        "batch_hard_triplet_loss",
        "batch_semi_hard_triplet_loss",
    ),
)


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
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
