"""Contrastive loss: similar vectors are to be near each other, dissimilar ones at least a margin apart."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes, readable
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Domain, Facts, Loss
from ..formula import Real, Reals, formula, hinge, step, where
from ..loops.masking import hide_rows
from ..loops.pairwise import Numbers, Steps, distance, pairwise, unit
from ..overrides import overridable
from ..reduction import Normalizer, Reduction, plan
from ..reduction import reduce as reduced
from .cosine_embedding import shape_of_pairs
from .triplet_margin import check_norm


@formula
def contrastive(distance: Real, sign: Real, margin: Real, positive_margin: Real) -> Reals:
    lack = where(sign == 1.0, distance - positive_margin, margin - distance)
    shortfall = hinge(lack)
    slope = where(lack > 0.0, lack, 0.0)
    return 0.5 * shortfall * shortfall, where(sign == 1.0, slope, -slope), 0.0


@formula
def contrastive_hinge(distance: Real, sign: Real, margin: Real, positive_margin: Real) -> Reals:
    lack = where(sign == 1.0, distance - positive_margin, margin - distance)
    slope = step(lack)
    return hinge(lack), where(sign == 1.0, slope, -slope), 0.0


LABELS: dict[str, tuple[float, float]] = {"signs": (1.0, -1.0), "binary": (1.0, 0.0), "hadsell": (0.0, 1.0)}
"""What the target of a similar and of a dissimilar pair is, in each convention."""


@overridable
def contrastive_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 1.0,
    reduction: str = "mean",
    *,
    labels: str = "signs",
    squared: bool = True,
    positive_margin: float = 0.0,
    p: float = 2.0,
    eps: float = 0.0,
    normalize: bool = False,
    average: str = "pairs",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Half the squared distance of similar vectors, and half the square of what dissimilar ones lack to a margin.

    .. math::
        \ell(u, v, y) = \begin{cases}
            \tfrac12 \max(0, d - m_+)^2 & y = 1 \\
            \tfrac12 \max(0, m - d)^2 & y = -1
        \end{cases} \qquad d = \lVert u - v + \epsilon \rVert_p \qquad
        \frac{\partial \ell}{\partial u} = \begin{cases}
            (d - m_+)\, \frac{u - v}{d} & y = 1,\ d > m_+ \\
            -(m - d)\, \frac{u - v}{d} & y = -1,\ d < m
        \end{cases}

    (the derivative for the Euclidean distance; that in v is its opposite). With ``squared=False`` the loss is
    max(0, d - m₊) or max(0, m - d) itself. Where d is 0 its gradient is 0: similar vectors have arrived there, and
    dissimilar ones that coincide are not pushed, unless eps is above 0.

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR (2006),
    equation 4, where Y is 0 for similar pairs and 1 for dissimilar ones: ``labels="hadsell"``.

    Args:
        input1, input2: vectors :math:`u, v`, (N, D), or (D) for one pair; sizes of 1 broadcast. Floating, integer or
            bool.
        target: :math:`y`, (N), or () for one pair; any dtype; as ``labels`` says.
        margin: :math:`m`, above 0, in the unit of the distance.
        reduction: ``none`` gives (N), or () for one pair; or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        labels: what the target of a similar and of a dissimilar pair is: ``signs`` 1 and -1 (torch's in
            CosineEmbeddingLoss), ``binary`` 1 and 0 (sentence-transformers), ``hadsell`` 0 and 1 (the paper).
        squared: whether half the squares are taken (the paper, sentence-transformers), or the hinge itself
            (pytorch-metric-learning).
        positive_margin: :math:`m_+`, how far apart similar vectors may stay, 0 or more.
        p: the norm, above 0; infinity is the greatest difference. Below 1 it is no metric, which is warned of.
        eps: :math:`\epsilon`, added to each difference; torch.pairwise_distance adds 1e-6.
        normalize: whether the vectors are scaled to unit length before (pytorch-metric-learning does); a vector of
            zeros stays 0, with a gradient of 0.
        average: what ``mean`` is: ``pairs`` over all pairs, ``active`` the sum of two means (pytorch-metric-learning),
            over the similar pairs above 0 and over the dissimilar ones above 0; a kind that has none adds 0.
        sample_weight, mask, normalizer, on_empty: per pair; see :doc:`/reductions`.

    Raises:
        RuntimeError: shapes that do not go together.
        ValueError: a target that ``labels`` does not name; margin or p is not above 0; positive_margin is below 0;
            ``active`` with ``batchmean`` or a normalizer; an unknown reduction.

    >>> import torch, lossmith
    >>> u, v = torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.6, 0.0]])
    >>> lossmith.functional.contrastive_loss(u, v, torch.tensor([1, -1]), reduction="none")  # 5^2 / 2, (1 - 0.6)^2 / 2
    tensor([12.5000,  0.0800])
    """
    loss = "contrastive_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    _check_settings(loss, margin, labels, positive_margin, p, average, how.reduction, how.normalizer)
    shape = shape_of_pairs(loss, how.reduction, input1, input2, target)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    compute, result = dtypes(input1, input2)
    of_distance = contrastive if squared else contrastive_hinge

    def of(input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        sign, known = _read(loss, target.to(compute), labels, how.mask)
        first, second = (hide_rows(v.to(compute), how.mask, hidden) for v, hidden in ((input1, 1.0), (input2, 2.0)))
        if normalize:
            first, second = unit(first), unit(second)
        apart = distance(first, second, p, eps)
        values: Tensor = of_distance.value(apart, sign, margin, positive_margin)
        return values if known is None else torch.where(known, values, torch.nan)

    def losses(how: Reduction, result: torch.dtype) -> Tensor:
        steps = Steps(of, lambda values: reduced(loss, values, how, result))
        numbers = Numbers(
            float(margin),
            float(p),
            float(eps),
            squared=squared,
            normalize=normalize,
            positive_margin=float(positive_margin),
            labels=LABELS[labels],
        )
        return pairwise(loss, "contrastive", of_distance, (input1, input2), target, shape, how, result, steps, numbers)

    if average == "pairs" or how.reduction != "mean":
        return losses(how, result)
    each = losses(Reduction("none", mask=how.mask), compute)
    similar = (target == LABELS[labels][0]).expand(shape)
    return (_mean_above_0(loss, each, similar, how) + _mean_above_0(loss, each, ~similar, how)).to(result)


def _mean_above_0(loss: str, losses: Tensor, kind: Tensor, how: Reduction) -> Tensor:
    """The mean over the pairs of a kind whose losses are above 0, or 0 if there are none."""
    active = kind & (losses > 0) if how.mask is None else kind & (losses > 0) & how.mask
    return reduced(loss, losses, how._replace(mask=active, on_empty="zero"), losses.dtype)


def _check_settings(
    loss: str,
    margin: float,
    labels: str,
    positive_margin: float,
    p: float,
    average: str,
    reduction: str,
    normalizer: Normalizer,
) -> None:
    if not margin > 0:
        raise ValueError(
            f"{loss}: margin is {margin!r}, expected a number greater than 0: it is how far apart dissimilar vectors "
            f"are to be; write margin=1.0 for the usual one"
        )
    check_norm(loss, p)
    if labels not in LABELS:
        conventions = ", ".join(f"{name!r} ({_in_words(name)})" for name in LABELS)
        raise ValueError(f"{loss}: labels is {labels!r}, expected one of {conventions}")
    if not positive_margin >= 0:
        raise ValueError(
            f"{loss}: positive_margin is {positive_margin!r}, expected a distance of 0 or more, which similar vectors "
            f"may keep; write positive_margin=0.0"
        )
    if average not in ("pairs", "active"):
        raise ValueError(f"{loss}: average is {average!r}, expected 'pairs' (all) or 'active' (those above 0)")
    if average == "active" and (reduction == "batchmean" or normalizer is not None):
        raise ValueError(
            f"{loss}: average='active' counts its own denominators, those of two means; write reduction='mean' without "
            f"a normalizer, or average='pairs'"
        )


def _read(loss: str, target: Tensor, labels: str, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """1 for similar pairs, -1 for dissimilar ones and 0 for others, which raise where values may be read.

    Where they may not, also which are known.
    """
    similar, dissimilar = LABELS[labels]
    alike, apart = target == similar, target == dissimilar
    sign = alike.to(target.dtype) - apart.to(target.dtype)
    known = alike | apart
    if mask is not None:
        known = known | ~mask
    if not readable(known):
        return sign, known
    if bool(known.all()):
        return sign, None
    position = tuple(int(i) for i in torch.nonzero(~known)[0])
    found = target.expand(known.shape)[position].item()
    others = "; ".join(f"labels={name!r} takes {_in_words(name)}" for name in LABELS if name != labels)
    raise ValueError(
        f"{loss}: target {found:g}{f' in row {position[0]}' if position else ''} is out of range: labels={labels!r} "
        f"takes {_in_words(labels)}; {others}; write mask= to leave pairs out"
    )


def _in_words(labels: str) -> str:
    similar, dissimilar = LABELS[labels]
    return f"{similar:g} for similar and {dissimilar:g} for dissimilar pairs"


class ContrastiveLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.contrastive_loss` as a Module.

    Args:
        margin, reduction, labels, squared, positive_margin, p, eps, normalize, average: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.ContrastiveLoss(margin=2.0, squared=False)
    >>> criterion(torch.tensor([0.0, 0.0]), torch.tensor([0.6, 0.8]), torch.tensor(-1))  # 2 - 1
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str = "mean",
        *,
        labels: str = "signs",
        squared: bool = True,
        positive_margin: float = 0.0,
        p: float = 2.0,
        eps: float = 0.0,
        normalize: bool = False,
        average: str = "pairs",
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        _check_settings(type(self).__name__, margin, labels, positive_margin, p, average, reduction, normalizer)
        super().__init__()
        self.margin, self.reduction, self.labels, self.squared = margin, reduction, labels, squared
        self.positive_margin, self.p, self.eps = positive_margin, p, eps
        self.normalize, self.average = normalize, average
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input1: Tensor,
        input2: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return contrastive_loss(
            input1,
            input2,
            target,
            self.margin,
            labels=self.labels,
            squared=self.squared,
            positive_margin=self.positive_margin,
            p=self.p,
            eps=self.eps,
            normalize=self.normalize,
            average=self.average,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _lipschitz(input1: Tensor, squared: bool = True, p: float = 2.0, **others: object) -> float:
    """Without squares both vectors are moved along one line; p < 2 is steep on the diagonal."""
    dimensions = input1.shape[-1]
    if squared or others.get("normalize") or (p < 1 and dimensions > 1):
        return math.inf
    return float(2**0.5 * max(1.0, dimensions ** (1 / p - 0.5)))


def _domain(labels: str = "signs", **_: object) -> Domain:
    return "signs" if labels == "signs" else "labels"


def _minimiser(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 1.0, labels: str = "signs", **_: object
) -> tuple[Tensor, Tensor]:
    """Similar vectors together, dissimilar ones on opposite sides of 0, beyond the margin."""
    similar = (target == LABELS[labels][0]).unsqueeze(-1)
    return torch.ones_like(input1), torch.where(similar, 1.0, -margin).expand_as(input2).to(input2.dtype)


def _apart(distance: Tensor, sign: float) -> dict[str, Tensor]:
    """Pairs of vectors of one number at these distances."""
    vectors = distance.unsqueeze(-1)
    return {"input1": vectors, "input2": torch.zeros_like(vectors), "target": torch.full_like(distance, sign)}


CARD = Card(
    title=Text("Contrastive loss", "对比损失"),
    summary=Text(
        "Half the squared distance of similar vectors; for dissimilar ones, half the square of what their distance "
        "lacks to a margin.",
        "相似对的损失是距离平方的一半；不相似对的损失是距离离间隔所差部分平方的一半。",
    ),
    gradient=Text(
        "Two springs: a similar pair is pulled together with its distance d, a dissimilar one pushed apart with "
        "$m - d$, the harder the nearer it is, and not at all from the margin on or at a distance of exactly 0. With "
        "squared=False each pull and push is 1.",
        "如同两根弹簧：相似对的拉力等于距离 d；不相似对的推力为 $m - d$，越近推得越狠，到间隔为止，"
        "距离恰好为 0 时也没有推力。squared=False 时拉力与推力恒为 1。",
    ),
    robustness=Text(
        "A dissimilar pair costs at most $m^2 / 2$ and pushes with at most m. A similar pair is as sensitive as MSE: a "
        "far one with a wrong label pulls with its whole distance. squared=False or unit vectors bound that.",
        "不相似对的损失至多为 $m^2 / 2$，推力至多为 m。相似对则与 MSE 一样敏感：误标为相似的远距离样本对，"
        "拉力等于整个距离。squared=False 或单位向量可以限制它。",
    ),
    sparsity=Text(
        "A dissimilar pair beyond the margin has loss and gradient exactly 0, a similar one within positive_margin "
        "too. With positive_margin=0 similar pairs are never quite done.",
        "超出间隔的不相似对，损失与梯度恰好为 0；positive_margin 以内的相似对也是。"
        "positive_margin=0 时相似对的损失只会趋近于 0。",
    ),
    smoothness=Text(
        "Not convex. Squared, it has one kink, where dissimilar vectors coincide; with squared=False also one at each "
        "margin.",
        "非凸。取平方时只有一个尖点：不相似的向量重合处；squared=False 时两个间隔处也各有一个。",
    ),
    sensitivity=Text(
        "The margin, in the unit of the distance, and the share of dissimilar pairs that are within it: most are not, "
        "so that pairs drawn at random soon teach nothing but to pull.",
        "关键是以距离单位计的间隔，以及落在间隔以内的不相似对所占比例：多数并不在内，随机抽取的样本对很快就只剩拉力。",
    ),
    minimiser=Text(
        "Similar vectors coincide, dissimilar ones are the margin or more apart. Where a share q of a pair's labels "
        "says similar, the distance $(1 - q)\\, m$; with squared=False 0 if q is above one half, the margin if below.",
        "相似的向量重合，不相似的相距不小于间隔。若同一对有比例 q 的标签为相似，最优距离为 $(1 - q)\\, m$；"
        "squared=False 时，q 大于一半取 0，小于一半取间隔。",
    ),
    use=(
        Text(
            "Siamese networks on pairs labelled same or different: verification of faces and signatures, matching of "
            "records, near duplicates.",
            "以“相同/不同”标注的样本对训练孪生网络：人脸与签名核验、记录匹配、近似去重。",
        ),
        Text(
            "Embeddings whose distance is to be read by itself: one threshold for all, near $m / 2$, says same or "
            "different.",
            "距离本身需要可读的嵌入：用一个统一的阈值（约 $m / 2$）即可判断相同或不同。",
        ),
    ),
    avoid=(
        Text(
            "Only relations are known (a is nearer to p than to n), or classes spread differently: TripletMarginLoss "
            "lets similar vectors stay apart.",
            "只知道相对关系（a 离 p 比离 n 近），或各类的散布程度不同时：TripletMarginLoss 不要求相似的向量重合。",
        ),
        Text(
            "Similarity has grades (0.7, 3 of 5 stars): apply MSELoss to the distance or the cosine itself.",
            "相似度有等级（如 0.7、5 星中的 3 星）时：应对距离或余弦本身用 MSELoss。",
        ),
    ),
    traps=(
        Trap(
            "contrastive-labels",
            Text(
                "The paper writes 0 for similar and 1 for dissimilar, sentence-transformers the reverse, torch's "
                "losses of pairs 1 and -1. With the first two exchanged nothing is refused and the loss falls: what is "
                "alike is pushed apart. Write labels='hadsell' for the paper's, labels='binary' for 1 and 0.",
                "论文用 0 表示相似、1 表示不相似，sentence-transformers 正相反，torch 的成对损失则用 1 与 -1。"
                "前两者弄反时不会报错，损失照样下降，学到的却是把相似的推开。论文的约定写 labels='hadsell'，"
                "1 与 0 写 labels='binary'。",
            ),
            rule="target-not-plus-minus-one",
        ),
        Trap(
            "contrastive-margin-unit",
            Text(
                "The margin is in the unit of the distance. Two standard normal vectors of 256 dimensions are 22.6 "
                "apart, so within a margin of 1 there is no dissimilar pair until similar ones have pulled all vectors "
                "together. With normalize=True unrelated vectors are 1.41 apart, 2 at most: take a margin of 0.5 to "
                "1.4. The 0.5 of sentence-transformers is one of 1 - cosine, which is a distance of 1.0.",
                "间隔以距离的单位计。两个 256 维标准正态向量相距约 22.6，没有不相似对落在间隔 1 以内，"
                "直到相似对把所有向量拉拢为止。normalize=True 时互不相关的向量相距约 1.41，最多为 2："
                "间隔取 0.5 到 1.4。sentence-transformers 的 0.5 是 1 - cosine 的间隔，相当于距离 1.0。",
            ),
        ),
        Trap(
            "contrastive-half-and-square",
            Text(
                "The paper and sentence-transformers have half the squares, pytorch-metric-learning the hinge itself "
                "of unit vectors. A similar pair 0.5 apart costs 0.125 or 0.5, and is pulled with 0.5 or 1. The latter "
                "is squared=False, normalize=True.",
                "论文与 sentence-transformers 取平方的一半，pytorch-metric-learning 则对单位向量取合页本身。"
                "相距 0.5 的相似对，损失分别为 0.125 与 0.5，拉力分别为 0.5 与 1。后者应写 "
                "squared=False, normalize=True。",
            ),
        ),
        Trap(
            "contrastive-mean-of-easy",
            Text(
                "The mean counts pairs of loss 0, and of all pairs of a batch nearly all are dissimilar and beyond "
                "the margin: the more classes, the smaller every gradient. pytorch-metric-learning adds two means, of "
                "the similar pairs above 0 and of the dissimilar ones above 0: write average='active'.",
                "均值把损失为 0 的样本对也计入分母，而批内所有样本对几乎都是超出间隔的不相似对："
                "类别越多，梯度越小。pytorch-metric-learning 对大于 0 的相似对与大于 0 的不相似对各取均值再相加："
                "应写 average='active'。",
            ),
        ),
        Trap(
            "contrastive-coincident-pairs",
            Text(
                "Dissimilar vectors that coincide are not pushed: at a distance of 0 no direction leads apart, and "
                "the loss rests at $m^2 / 2$. So a network whose outputs are all one vector (dead ReLUs, zero "
                "weights) stays there. Begin with other weights; eps=1e-6 gives every such pair the same direction.",
                "重合的不相似向量得不到推力：距离为 0 时没有任何方向可走，损失停在 $m^2 / 2$。"
                "因此输出全为同一向量的网络（ReLU 失活、权重为零）会停在原处。应更换初始权重；"
                "eps=1e-6 会给所有这样的样本对同一个方向。",
            ),
            rule="embeddings-collapsed",
        ),
        Trap(
            "contrastive-collapse",
            Text(
                "With similar pairs alone one constant vector for every input is a perfect answer, at a loss of 0. "
                "Every batch needs dissimilar pairs that are within the margin.",
                "若只有相似对，对所有输入输出同一个向量就是完美解，损失为 0。每个批次都需要落在间隔以内的不相似对。",
            ),
            rule="embeddings-collapsed",
        ),
    ),
    stability=Text(
        "Squares are taken in float64 or of scaled differences, so the distance is right for vectors of any length; "
        "its gradient at 0 is 0, where a root of squares has NaN. The loss of a similar pair overflows where half the "
        "squared distance does. Half precision is computed in float32.",
        "平方以 float64 计算，或先缩放差值再平方，因此任意长度的向量距离都正确；距离为 0 处梯度为 0，"
        "而平方和开根号在此得 NaN。相似对的损失只有在距离平方的一半溢出时才会溢出。半精度输入以 float32 计算。",
    ),
    activation=Text("none, or L2 normalisation", "无，或 L2 归一化"),
    input="(N, D) x 2",
    target="(N) ±1",
    typical=Text("Siamese networks, verification", "孪生网络、身份核验"),
    siblings=(
        Sibling(
            "HingeEmbeddingLoss",
            Text(
                "Takes a distance of one's own, without squares: on the distance here it is this loss with "
                "squared=False.",
                "接收自备的距离且不取平方：用此处的距离时，等于 squared=False 的本损失。",
            ),
        ),
        Sibling(
            "CosineEmbeddingLoss",
            Text(
                "Compares directions by their cosine: half the squared distance of unit vectors is 1 - cosine.",
                "以余弦比较方向：单位向量距离平方的一半就是 1 - cosine。",
            ),
        ),
        Sibling(
            "TripletMarginLoss",
            Text(
                "Compares two distances of one anchor with each other: no pair has to coincide.",
                "比较同一锚点的两个距离：不要求任何一对重合。",
            ),
        ),
    ),
    sources=(
        'Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR (2006)',
        'Chopra, Hadsell and LeCun, "Learning a Similarity Metric Discriminatively, with Application to Face '
        'Verification", CVPR (2005)',
        'Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP (2019)',
        'Musgrave, Belongie and Lim, "PyTorch Metric Learning", arXiv:2008.09164 (2020)',
    ),
    curve=Curve(
        Text("distance $d$", "距离 $d$"),
        (0.0, 2.0),
        {"y = 1": lambda x: _apart(x, 1.0), "y = -1": lambda x: _apart(x, -1.0)},
    ),
    aliases=("contrastive", "siamese", "siamese_loss", "pair_loss", "pairwise_contrastive_loss"),
)


LOSS = Loss(
    function=contrastive_loss,
    module=ContrastiveLoss,
    family="embedding and ranking",
    formulas=(contrastive, contrastive_hinge),
    facts=Facts(
        convex=False,
        lipschitz=_lipschitz,
        prediction=REALS,
        target=_domain,
        minimiser=_minimiser,
        denominator="rows",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
