"""Hinge embedding: a distance that is to be small for similar pairs and beyond a margin for others."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import NOT_NEGATIVE, Facts, Loss
from ..formula import Real, Reals, formula, hinge, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def hinge_embedding(distance: Real, target: Real, margin: Real) -> Reals:
    shortfall = margin - distance
    # the slopes of both parts: 0 where the target switches the part off, else 1 (torch has both on at other targets)
    pulled = where(target == -1.0, 1.0 + target, 1.0)
    pushed = where(target == 1.0, 1.0 - target, 1.0)
    return (
        where(target != -1.0, distance, 0.0) + where(target != 1.0, hinge(shortfall), 0.0),
        pulled - where(shortfall >= 0, pushed, 0.0),
        0.0,
    )


@overridable
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""A distance itself for similar pairs, what it lacks to a margin for dissimilar ones.

    .. math::
        \ell(x, y) = \begin{cases} x & y = 1 \\ \max(0, m - x) & y = -1 \end{cases}
        \qquad \frac{\partial \ell}{\partial x} = \begin{cases} 1 & y = 1 \\ -[m - x \ge 0] & y = -1 \end{cases}

    At the kink the slope is torch's, -1. For a target that is neither, torch adds both parts, and so does this.

    Source: the hinge form of Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping"
    (2006), without its square; torch.nn.HingeEmbeddingLoss.

    Args:
        input: distances :math:`x` (such as the L1 distance of two embeddings), any shape, a floating dtype.
        target: :math:`y`, 1 (similar) or -1, of the same shape (others broadcast; a result larger than both warns).
        margin: :math:`m`, how far apart dissimilar pairs are to be, in the unit of the distance.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([0.3, 0.3, 2.0]), torch.tensor([1, -1, -1])
    >>> lossmith.functional.hinge_embedding_loss(x, y, reduction="none")
    tensor([0.3000, 0.7000, 0.0000])
    """
    loss = "hinge_embedding_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.pair(loss, how.reduction, input, target, "")
    return pointwise(loss, hinge_embedding, (input, target), (margin,), how, like=input, alike=alike)


class HingeEmbeddingLoss(Criterion, torch.nn.HingeEmbeddingLoss):
    """:func:`lossmith.functional.hinge_embedding_loss` as a Module; a :class:`torch.nn.HingeEmbeddingLoss` with more.

    Args:
        margin, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.HingeEmbeddingLoss(margin=2.0)(torch.tensor([0.5]), torch.tensor([-1]))
    tensor(1.5000)
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)
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
        return hinge_embedding_loss(
            input, target, self.margin, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


CARD = Card(
    title=Text("Hinge embedding loss", "合页嵌入损失"),
    summary=Text(
        "The distance itself for similar pairs; for dissimilar ones, what the distance lacks to a margin.",
        "相似对的损失就是距离本身；不相似对的损失是距离离间隔还差多少。",
    ),
    gradient=Text(
        "Constant: 1 in the distance of a similar pair, at any distance; -1 in that of a dissimilar pair up to the "
        "margin, at the kink too, and 0 beyond.",
        "恒定：相似对在任何距离上对距离的梯度都是 1；不相似对在间隔以内（含尖点）为 -1，超出后为 0。",
    ),
    robustness=Text(
        "A pair pulls with at most 1: one with a wrong label cannot rule, yet a similar pair that is none pulls for "
        "ever, as nothing bounds its loss.",
        "单个样本对的拉力不超过 1：错标的对无法主导训练；但被误标为相似的对会一直产生拉力，其损失没有上界。",
    ),
    sparsity=Text(
        "A dissimilar pair beyond the margin has loss and gradient exactly 0. Similar pairs are pulled with 1 up to "
        "the end, so that their distances can become exactly 0, as errors under L1.",
        "超出间隔的不相似对，损失与梯度恰好为 0。相似对直到最后拉力都是 1，距离可以恰好压到 0，与 L1 下的误差一样。",
    ),
    smoothness=Text(
        "Convex in the distance, linear but for the kink at the margin; in the embeddings it is not convex, and a "
        "Euclidean distance has a kink of its own at 0.",
        "对距离是凸的，除间隔处的尖点外均为线性；对嵌入向量则不凸，欧氏距离自身在 0 处还有一个尖点。",
    ),
    sensitivity=Text(
        "The margin, in the unit of the distance, and the share of dissimilar pairs that are still within it: the "
        "others are silent.",
        "关键是以距离单位计的间隔，以及仍在间隔以内的不相似对所占比例：其余的不相似对不起作用。",
    ),
    minimiser=Text(
        "Distance 0 for similar pairs, any distance from the margin on for others. Where two inputs are similar in a "
        "share q of the cases, 0 if q is above one half, the margin if below.",
        "相似对的距离为 0，不相似对的距离不小于间隔即可。若同一对输入有比例 q 的情形为相似，"
        "则 q 大于一半时最优距离为 0，小于一半时为间隔。",
    ),
    use=(
        Text(
            "Pairs labelled similar or not, compared by a distance: Siamese networks, verification of faces and "
            "signatures, deduplication.",
            "带相似与否标签、以距离比较的样本对：孪生网络、人脸与签名核验、去重。",
        ),
        Text(
            "A distance of one's own (L1, hyperbolic, a learnt metric): any number that is at least 0 will do.",
            "自定义的距离（L1、双曲距离、可学习的度量等）：只要是不小于 0 的数即可。",
        ),
    ),
    avoid=(
        Text(
            "Only relations are known (a is nearer to p than to n): TripletMarginLoss needs no absolute scale of "
            "distance.",
            "只知道相对关系（a 离 p 比离 n 近）时：TripletMarginLoss 不需要距离的绝对尺度。",
        ),
        Text(
            "The direction is what counts, as for text: CosineEmbeddingLoss takes the vectors, whatever their lengths.",
            "只看方向时（如文本）：CosineEmbeddingLoss 直接接收向量，与其长度无关。",
        ),
    ),
    traps=(
        Trap(
            "hinge-embedding-similarity",
            Text(
                "The input is a distance. A similarity turns the lesson round: similar pairs are pushed to a cosine "
                "of -1, at a loss of -1, and dissimilar ones to 1. Pass 1 - cosine, "
                "torch.nn.functional.pairwise_distance(u, v) or (u - v).abs().sum(-1).",
                "输入应为距离。若传入相似度，学到的正好相反：相似对被推向余弦 -1（损失为 -1），不相似对被推向 1。"
                "应传入 1 - cosine、torch.nn.functional.pairwise_distance(u, v) 或 (u - v).abs().sum(-1)。",
            ),
        ),
        Trap(
            "hinge-embedding-target-zero-one",
            Text(
                "For a target of 0, torch adds both parts and so does this: $\\max(x, m)$, whose gradient is 0 within "
                "the margin and 1 beyond. With 0 for dissimilar, nothing is pushed apart and what is apart is pulled "
                "together: every embedding falls onto one point, at a loss of the margin times the share of such "
                "pairs. Write 2 * target - 1.",
                "目标为 0 时，torch 会把两部分相加，本库亦然：结果为 $\\max(x, m)$，间隔以内梯度为 0，以外为 1。"
                "若用 0 表示不相似，则什么都不会被推开，已分开的反被拉拢：所有嵌入塌缩到一点，"
                "损失停在“间隔乘以此类对的比例”。应写 2 * target - 1。",
            ),
            rule="target-not-plus-minus-one",
        ),
        Trap(
            "hinge-embedding-flipped-label",
            Text(
                "Here 1 means similar. Hadsell et al. write 0 for similar and 1 for dissimilar, and so do data sets "
                "made for them: 2 * target - 1 then teaches the reverse. Write 1 - 2 * target.",
                "此处 1 表示相似。Hadsell 等人用 0 表示相似、1 表示不相似，按其约定制作的数据集也是如此："
                "此时 2 * target - 1 会学反。应写 1 - 2 * target。",
            ),
        ),
        Trap(
            "hinge-embedding-svm",
            Text(
                "It is not the SVM's hinge: for y = 1 and a raw score, the loss is the score itself, which falls "
                "without end (-100 at -100). For $\\max(0, 1 - y x)$ write MarginRankingLoss(margin=1.0)(x, "
                "torch.zeros_like(x), y).",
                "这不是 SVM 的合页损失：若传入原始得分，y = 1 时损失就是得分本身，"
                "会无限下降（得分 -100 时损失为 -100）。需要 $\\max(0, 1 - y x)$ 时应写 "
                "MarginRankingLoss(margin=1.0)(x, torch.zeros_like(x), y)。",
            ),
        ),
        Trap(
            "hinge-embedding-margin-unit",
            Text(
                "The default margin = 1 is in the unit of the distance. Two standard normal vectors of 256 dimensions "
                "are 22.6 apart (289 in L1): no dissimilar pair is ever within 1, and only similar ones pull. "
                "Normalise the vectors: unrelated ones are then 1.41 apart, 2 at most, and a margin of 1 to 1.4 means "
                "something.",
                "默认 margin = 1 以距离的单位计。两个 256 维标准正态向量相距约 22.6（L1 距离为 289）："
                "没有不相似对落在 1 以内，只有相似对起作用。应先归一化向量：此时不相关的向量相距约 1.41，最多为 2，"
                "间隔取 1 到 1.4 才有意义。",
            ),
        ),
        Trap(
            "hinge-embedding-outer-broadcast",
            Text(
                "Distances of (N, 1) (keepdim=True) against a target of (N,) become an (N, N) table, each distance "
                "with each label. Write distance.squeeze(1).",
                "形状为 (N, 1) 的距离（如 keepdim=True）与 (N,) 的目标会广播成 (N, N) 的表，每个距离都与每个标签配对。"
                "应写 distance.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "hinge-embedding-root-of-zero",
            Text(
                "The loss of two equal embeddings is a clean 0, yet ((u - v) ** 2).sum(-1).sqrt() before it has an "
                "infinite slope there: every gradient is NaN. Write torch.linalg.vector_norm(u - v, dim=-1), whose "
                "slope at 0 is 0, or pairwise_distance, which adds 1e-6.",
                "两个嵌入相等时损失正常为 0，但若距离写成 ((u - v) ** 2).sum(-1).sqrt()，其在 0 处斜率为无穷，"
                "梯度全部为 NaN。应写 torch.linalg.vector_norm(u - v, dim=-1)（0 处梯度取 0），"
                "或使用 pairwise_distance（它会加上 1e-6）。",
            ),
        ),
    ),
    stability=Text(
        "Sums and a comparison: nothing overflows, what is unstable is the distance before it. Half precision is "
        "computed in float32.",
        "只有加减与比较，不会溢出；不稳定的是其前面的距离计算。半精度输入以 float32 计算。",
    ),
    activation=Text("none (a distance)", "无（距离）"),
    input="(*)",
    target="(*) ±1",
    typical=Text("Siamese networks, verification by distance", "孪生网络、基于距离的核验"),
    siblings=(
        Sibling(
            "ContrastiveLoss",
            Text(
                "Takes the vectors and squares both parts, as Hadsell et al. do: a similar pair is pulled with its "
                "distance.",
                "直接接收向量，并像 Hadsell 等人那样对两部分取平方：相似对的拉力等于距离。",
            ),
        ),
        Sibling(
            "CosineEmbeddingLoss",
            Text(
                "Takes the vectors and compares directions: at margin m it is this loss on 1 - cosine with margin 1 - "
                "m.",
                "直接接收向量并比较方向：间隔为 m 时，等于以 1 - cosine 为距离、间隔为 1 - m 的本损失。",
            ),
        ),
        Sibling(
            "TripletMarginLoss",
            Text(
                "Compares two distances of one anchor with each other: no distance has to be small in itself.",
                "比较同一锚点的两个距离：不要求任何一个距离本身很小。",
            ),
        ),
        Sibling(
            "MarginRankingLoss",
            Text(
                "Compares any two numbers; on the distances to a negative and a positive it is the triplet loss.",
                "比较任意两个数；作用于到负样本与正样本的距离时就是三元组损失。",
            ),
        ),
    ),
    sources=(
        'Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR (2006), whose '
        "contrastive loss squares both parts",
        'Chopra, Hadsell and LeCun, "Learning a Similarity Metric Discriminatively, with Application to Face '
        'Verification", CVPR (2005)',
    ),
    curve=Curve(
        Text("distance $x$", "距离 $x$"),
        (0.0, 3.0),
        {
            "y = 1": lambda x: {"input": x, "target": torch.ones_like(x)},
            "y = -1": lambda x: {"input": x, "target": -torch.ones_like(x)},
        },
    ),
    aliases=("hinge_embedding_criterion",),
)


LOSS = Loss(
    function=hinge_embedding_loss,
    module=HingeEmbeddingLoss,
    family="embedding and ranking",
    formulas=(hinge_embedding,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=NOT_NEGATIVE,
        target="signs",
        minimiser=lambda target, margin=1.0, **_: torch.where(target == 1, 0.0, max(margin, 0.0)).to(target.dtype),
        denominator="elements",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
