"""Triplet margin over triplets that are mined in a labelled batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes, readable
from ..card import Card, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.similarity.inputs import check_labels, check_vectors
from ..loops.triplets import AVERAGES, Triplets, gathered, mined, settings_of
from ..overrides import overridable
from ..reduction import Normalizer, Reduction, plan
from ..reduction import reduce as reduced

Miner = str | Callable[[Tensor, Tensor], Any]
"""The name of a miner, or a function from embeddings and labels to Triplets."""


@overridable
def mined_triplet_margin_loss(
    input: Tensor,
    target: Tensor,
    miner: Miner = "semi_hard",
    margin: float | str = 1.0,
    squared: bool = False,
    normalize: bool = False,
    average: str = "triplets",
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""What anchors lack to be nearer to their positives than to their negatives by a margin, in a labelled batch.

    .. math::
        \ell_a = \sum_{(a, p, n)} \max(0, d(a, p) - d(a, n) + m) \qquad d(u, v) = \lVert u - v \rVert_2 \qquad
        \frac{\partial d(u, v)}{\partial u} = \frac{u - v}{d(u, v)}

    where p has the label of a, n has another one, and ``miner`` says which of these triplets there are:

    - ``"batch_all"``: all of them;
    - ``"batch_hard"``: each anchor's farthest positive with its nearest negative;
    - ``"semi_hard"``: each pair with the nearest negative for which :math:`d(a, p) < d(a, n) < d(a, p) + m`; a pair
      without one is left out;
    - ``"distance_weighted"``: each pair with a random negative, drawn evenly over distances; for unit vectors;
    - or a function of embeddings and labels that returns :class:`lossmith.mining.Triplets` (three tensors of indices),
      such as those of ``lossmith.mining``, which tells more of each, or a miner of pytorch-metric-learning.

    With ``margin="soft"`` a triplet costs :math:`\ln(1 + e^{d(a, p) - d(a, n)})`. With ``squared=True`` distances are
    squared; with ``normalize=True`` embeddings are scaled to length 1 before, and one of zeros stays that. Both with
    margin=0.2 are FaceNet's loss. Where a triplet begins to cost something, and at a distance of 0, the slope is 0. An
    embedding that is infinite or NaN makes every loss of the batch NaN.

    The named miners run in tiles: neither the B x B distances nor the triplets are held, memory grows with B x D.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification" (2017), eq. 5 for
    batch-hard and eq. 6 for batch-all, and the soft margin; Schroff, Kalenichenko and Philbin, "FaceNet" (2015), eq. 4
    for semi-hard; Wu, Manmatha, Smola and Krähenbühl, "Sampling Matters in Deep Embedding Learning" (2017), eq. 3 and 4
    for distance-weighted.

    Args:
        input: embeddings (B, D), floating.
        target: labels (B,), any integers.
        miner: a name, or a function.
        margin: :math:`m`, above 0, in the unit of the distances, squared ones if they are; or ``"soft"``, which
            batch-all does not have.
        squared: whether distances are squared.
        normalize: whether embeddings are scaled to length 1 first.
        average: what ``mean`` divides by: ``"triplets"``, their number; or ``"active"``, the number of those that cost
            something, as batch-all in Hermans' paper and AvgNonZeroReducer of pytorch-metric-learning.
        reduction: ``none`` gives (B,), each anchor's sum over its triplets; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        sample_weight: per anchor: all its triplets are weighed.
        mask: per sample: what is False is neither anchor nor positive nor negative.
        normalizer, on_empty: see :doc:`/reductions`. The mean of no triplet at all is 0/0.

    Raises:
        ValueError: shapes other than these; an unknown miner, average or reduction; a margin that is not above 0;
            a function that returns something else than indices of triplets.
        TypeError: embeddings that are not floating.
        RuntimeError: labels that are no integers.

    >>> import torch, lossmith
    >>> embeddings, labels = torch.tensor([[0.0], [1.0], [1.5], [9.0]]), torch.tensor([0, 0, 1, 2])
    >>> loss = lossmith.functional.mined_triplet_margin_loss
    >>> loss(embeddings, labels, margin=2.0)  # (0, 1, 1.5): 1 - 1.5 + 2; of the pair (1, 0) none is semi-hard
    tensor(1.5000)
    >>> loss(embeddings, labels, "batch_all", margin=2.0)  # and with 1.5 from 1: 1 - 0.5 + 2; those with 9 cost 0
    tensor(1.)
    >>> loss(embeddings, labels, "batch_all", margin=2.0, average="active")
    tensor(2.)
    """
    loss = "mined_triplet_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_average(loss, average)
    check_vectors(loss, input=input)
    target = check_labels(loss, "target", target, len(input))
    checks.fits(loss, "mask", how.mask, target.shape, "the unreduced loss")
    checks.fits(loss, "sample_weight", how.sample_weight, target.shape, "the unreduced loss")
    _, result = dtypes(input)
    if isinstance(miner, str):
        return mined(loss, input, target, how, result, settings_of(loss, miner, margin, squared, normalize), average)
    mining = settings_of(loss, "batch_hard", margin, squared, normalize)
    found = gathered(input, _called(loss, miner, input, target, how), mining)
    share = found.active if average == "active" else found.triplets
    return reduced(loss, found.losses, how, result, denominator=share)


def check_average(loss: str, average: str) -> None:
    """Raises ValueError unless there is such an average."""
    if average not in AVERAGES:
        raise ValueError(f"{loss}: average is {average!r}, expected 'triplets' or 'active'")


def _called(loss: str, miner: Any, input: Tensor, target: Tensor, how: Reduction) -> Triplets:
    """What a miner of one's own finds among the samples that count."""
    if not callable(miner):
        raise ValueError(f"{loss}: miner is {miner!r}, expected a name or a function of embeddings and labels")
    kept = None if how.mask is None else how.mask.expand(target.shape).nonzero()[:, 0]
    with torch.no_grad():
        given = miner(input.detach(), target) if kept is None else miner(input.detach()[kept], target[kept])
    if not _are_indices(given, len(target) if kept is None else len(kept)):
        raise ValueError(
            f"{loss}: the miner returned {_described(given)}, expected lossmith.mining.Triplets: three tensors of one "
            f"length with the indices of anchors, positives and negatives among {len(target)} samples"
        )
    return Triplets(*given) if kept is None else Triplets(*(kept[part] for part in given))


def _are_indices(given: object, samples: int) -> bool:
    if not isinstance(given, tuple | list) or len(given) != 3:
        return False
    for part in given:
        if not isinstance(part, Tensor) or part.dtype != torch.int64 or part.shape != given[0].shape or part.dim() != 1:
            return False
        if readable(part) and bool(((part < 0) | (part >= samples)).any()):
            return False
    return True


def _described(given: object) -> str:
    if not isinstance(given, tuple | list):
        return checks.describe(given)
    return f"({', '.join(checks.describe(part) for part in given)})"


class MinedTripletMarginLoss(Criterion):
    """:func:`lossmith.functional.mined_triplet_margin_loss` as a Module.

    Args:
        miner, margin, squared, normalize, average, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.MinedTripletMarginLoss("batch_hard", margin=0.5)
    >>> embeddings = torch.tensor([[0.0], [1.0], [1.5], [2.5]])
    >>> criterion(embeddings, torch.tensor([0, 0, 1, 1]))  # the mean of 0, 1 - 0.5 + 0.5, the same, and 0
    tensor(0.5000)
    """

    def __init__(
        self,
        miner: Miner = "semi_hard",
        margin: float | str = 1.0,
        squared: bool = False,
        normalize: bool = False,
        average: str = "triplets",
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_mining(type(self).__name__, miner, margin)
        check_average(type(self).__name__, average)
        super().__init__()
        self.miner, self.margin, self.squared, self.normalize = miner, margin, squared, normalize
        self.average, self.reduction = average, reduction
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
        return mined_triplet_margin_loss(
            input,
            target,
            self.miner,
            self.margin,
            self.squared,
            self.normalize,
            self.average,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in ("miner", "margin")]
        shown += [f"{name}=True" for name in ("squared", "normalize") if getattr(self, name)]
        shown += [f"average={self.average!r}"] if self.average != "triplets" else []
        return ", ".join([*shown, *filter(None, [super().extra_repr()])])


def check_mining(name: str, miner: Miner, margin: float | str) -> None:
    """Raises ValueError unless there is such a miner, and it goes with the margin."""
    settings_of(name, miner if isinstance(miner, str) else "batch_hard", margin, False, False, seeded=False)
    if not isinstance(miner, str) and not callable(miner):
        raise ValueError(f"{name}: miner is {miner!r}, expected a name or a function of embeddings and labels")


def _lipschitz(
    target: Tensor, miner: str = "semi_hard", squared: bool = False, normalize: bool = False, **_: object
) -> float:
    """A triplet moves its anchor by at most 2, the others by 1.

    What is squared has a slope without bound, and so have short vectors that are normalised.
    """
    if squared or normalize:
        return float("inf")
    same = target[:, None] == target
    positives, negatives = same.sum(1) - 1, (~same).sum(1)
    many = {"batch_all": positives * negatives, "batch_hard": torch.ones_like(positives)}.get(miner, positives)
    return float(6**0.5 * many.max().item())


CARD = Card(
    title=Text("Mined triplet margin loss", "在线挖掘三元组间隔损失"),
    summary=Text(
        "The triplet loss of a labelled batch: for each sample as the anchor, positives of its label and negatives of "
        "others are mined, and $\\max(0, d(a, p) - d(a, n) + m)$ is summed over these triplets.",
        "带标签批次上的三元组损失：每个样本依次作锚点，在批内挖掘同标签的正样本与异标签的负样本，"
        "对这些三元组的 $\\max(0, d(a, p) - d(a, n) + m)$ 求和。",
    ),
    gradient=Text(
        "Each triplet that costs something draws its positive and pushes its negative with a pull of 1 (squared: twice "
        "the distance); a sample gathers the pulls of all triplets that it is in, in all three parts.",
        "每个损失大于 0 的三元组以大小为 1 的力（平方距离时为距离的 2 倍）拉近正样本、推开负样本；"
        "一个样本累积它以三种角色参与的所有三元组的力。",
    ),
    robustness=Text(
        "Mining seeks what looks wrong, so wrong labels come first: under batch-hard one mislabelled sample is the "
        "farthest positive of its whole class and the nearest negative of another. Batch-all and distance-weighted "
        "spread the pulls.",
        "挖掘专挑看起来错的样本，标错的样本首当其冲：在 batch-hard 下，一个标错的样本会成为整类的最远正样本，"
        "又是另一类的最近负样本。batch-all 与 distance-weighted 则把力分散开。",
    ),
    sparsity=Text(
        "Triplets that keep the margin have a loss and a gradient of exactly 0; with miners that take one negative for "
        "each pair, most of the batch's B^2 pairs never pull.",
        "满足间隔的三元组损失与梯度恰为 0；每对只取一个负样本的挖掘方式下，批内 B^2 对样本大多不产生梯度。",
    ),
    smoothness=Text(
        "Kinks where a triplet reaches the margin, and jumps where another triplet is mined: semi-hard and "
        "distance-weighted jump in value too, batch-all and batch-hard in the slope alone. Not convex.",
        "三元组恰好达到间隔处有尖点，挖掘结果切换处有跳变：semi-hard 与 distance-weighted 的值也会跳，"
        "batch-all 与 batch-hard 只有斜率跳变。非凸。",
    ),
    sensitivity=Text(
        "How batches are made comes first: with P labels of K samples each there are K - 1 positives for an anchor; "
        "samples alone of their label are no anchors. Then the margin, in the unit of the distances, and what the mean "
        "divides by.",
        "首先取决于批次的构成：每批 P 个标签、每个标签 K 个样本时，每个锚点有 K - 1 个正样本；"
        "标签在批内只出现一次的样本不能作锚点。其次是间隔（与距离同单位），以及求均值时除以什么。",
    ),
    minimiser=Text(
        "Any embedding in which every negative is a margin farther than every positive: loss 0. Semi-hard has a loss "
        "of 0 also where all negatives are nearer than the positives, since it mines none of them.",
        "任何使每个负样本都比每个正样本远出一个间隔的嵌入，损失为 0。对 semi-hard，所有负样本都比正样本更近时"
        "损失也为 0，因为它一个也不挖掘。",
    ),
    use=(
        Text(
            "Face recognition, re-identification, retrieval with labels: classes are many, and new ones come later.",
            "人脸识别、行人重识别、有标签的检索：类别极多，之后还会出现新类别。",
        ),
        Text(
            "Batches drawn by label, such as 16 labels of 4 samples: batch-hard from a pretrained network, semi-hard "
            "or batch-all from scratch.",
            "按标签采样的批次（如 16 个标签各 4 个样本）：在预训练网络上用 batch-hard，"
            "从零训练用 semi-hard 或 batch-all。",
        ),
    ),
    avoid=(
        Text(
            "Few classes, all known, with many samples each: CrossEntropyLoss learns of every sample.",
            "类别少、全部已知且样本充足时：应改用 CrossEntropyLoss，每个样本都提供梯度。",
        ),
        Text(
            "Batches in which each label occurs once, such as images without labels and their views: take InfoNCELoss.",
            "每个标签在批内只出现一次时（如无标签图像及其增广视图）：应改用 InfoNCELoss。",
        ),
    ),
    traps=(
        Trap(
            "mined-triplet-margin-batches",
            Text(
                "Batches drawn at random from many labels hold hardly any pair: 64 samples of 1,000 labels have 2 "
                "pairs on average, and a batch without one has the mean 0/0, NaN. Draw P labels and K samples of each, "
                "or write on_empty='zero'.",
                "从大量标签中随机抽取的批次几乎没有同标签样本对：1000 个标签中抽 64 个样本，平均只有 2 对；"
                "一对也没有时均值为 0/0，即 NaN。应先抽 P 个标签、每个标签抽 K 个样本，或写 on_empty='zero'。",
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "mined-triplet-margin-collapse",
            Text(
                "Batch-hard from a random start can draw all embeddings onto one point: distances are 0 and the mean "
                "rests at the margin (at ln 2, 0.693, with a soft one). Begin with semi_hard or batch_all, or a "
                "smaller learning rate; lossmith.mining.statistics shows the mean distances.",
                "从随机初始化开始用 batch-hard，可能把所有嵌入拉到一点：距离为 0，均值停在 margin"
                "（软间隔时停在 ln 2，即 0.693）。应先用 semi_hard 或 batch_all，或减小学习率；"
                "lossmith.mining.statistics 给出平均距离。",
            ),
            rule="embeddings-collapsed",
        ),
        Trap(
            "mined-triplet-margin-average",
            Text(
                "Under batch_all most triplets soon cost nothing and still count: with 1 % of them active the mean, "
                "and the gradient, is 100 times smaller than over the active ones. Write average='active', as Hermans "
                "and pytorch-metric-learning; a loss so averaged no longer falls as fewer are active.",
                "batch_all 下多数三元组很快不再产生损失，却仍计入分母：只有 1% 有效时，均值与梯度都只有有效三元组均值的"
                "百分之一。应写 average='active'（Hermans 与 pytorch-metric-learning 的做法）；"
                "但这样平均的损失不会随有效数减少而下降。",
            ),
            rule="easy-triplets",
        ),
        Trap(
            "mined-triplet-margin-semi-hard-conventions",
            Text(
                "Semi-hard is not the same everywhere: FaceNet's, the default, takes the nearest negative between the "
                "positive and the margin, and leaves out pairs without one; TensorFlow Addons takes the farthest "
                "negative for those; pytorch-metric-learning takes all negatives in between. Write "
                "miner=functools.partial(lossmith.mining.semi_hard, margin=m, convention='tensorflow') or 'pml'.",
                "各家的 semi-hard 并不相同：默认的 FaceNet 方式取位于正样本与间隔之间的最近负样本，没有则舍去该对；"
                "TensorFlow Addons 对这些对取最远的负样本；pytorch-metric-learning 则取其间的全部负样本。应写 "
                "miner=functools.partial(lossmith.mining.semi_hard, margin=m, convention='tensorflow') 或 'pml'。",
            ),
        ),
        Trap(
            "mined-triplet-margin-unit",
            Text(
                "The margin is in the unit of the distances. FaceNet's 0.2 is for squared distances of unit vectors, "
                "torch's 1.0 for others, pytorch-metric-learning's 0.05 for distances of unit vectors, which it makes "
                "by default. Write normalize=True, and squared=True with margin=0.2 for FaceNet.",
                "间隔与距离同单位。FaceNet 的 0.2 针对单位向量的平方距离；torch 的 1.0 没有归一化；"
                "pytorch-metric-learning 的 0.05 针对单位向量的距离，且默认先归一化。应写 normalize=True，"
                "要复现 FaceNet 再加 squared=True 与 margin=0.2。",
            ),
        ),
    ),
    stability=Text(
        "Distances are sums of squared differences, not squared lengths less a product, so near vectors do not cancel; "
        "in float32, those that decide which triplet is mined are taken in float64. Numbers of any size are scaled by "
        "a power of two before they are squared. Half precision is computed in float32.",
        "距离由差的平方求和得到，而非由长度平方减去内积，相近的向量不会相消；float32 下，决定挖掘结果的距离以 float64 "
        "计算。过大或过小的数在平方前先按 2 的幂缩放。半精度输入以 float32 计算。",
    ),
    activation=Text("none, or L2 normalisation", "无，或 L2 归一化"),
    input="(B, D)",
    target="(B)",
    typical=Text("face recognition, re-identification", "人脸识别、ReID"),
    siblings=(
        Sibling(
            "TripletMarginLoss",
            Text(
                "Of triplets that you bring; TripletMarginLoss(miner=...) is this one.",
                "三元组由使用者给出；TripletMarginLoss(miner=...) 即本损失。",
            ),
        ),
        Sibling(
            "SupConLoss",
            Text(
                "All positives against all negatives in one softmax: nothing to mine, a temperature for a margin.",
                "所有正样本与所有负样本在同一个 softmax 中比较：无需挖掘，用温度代替间隔。",
            ),
        ),
        Sibling(
            "ContrastiveLoss",
            Text(
                "Of pairs: it fixes how far unlike ones are to be, where a triplet asks only for an order.",
                "针对样本对：它规定不相似的要多远，三元组只要求相对远近。",
            ),
        ),
        Sibling(
            "ArcFaceLoss",
            Text(
                "Labels that are all known in training: each has a vector of its own, and batches may be drawn freely.",
                "训练时标签全部已知：每个标签有自己的向量，批次可以任意抽取。",
            ),
        ),
    ),
    sources=(
        'Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737 '
        "(2017)",
        'Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", '
        "CVPR (2015)",
        'Wu, Manmatha, Smola and Krähenbühl, "Sampling Matters in Deep Embedding Learning", ICCV (2017)',
    ),
    curve=None,
    aliases=("online_triplet", "batch_hard_triplet", "batch_all_triplet", "semi_hard_triplet", "triplet_mining"),
)


LOSS = Loss(
    function=mined_triplet_margin_loss,
    module=MinedTripletMarginLoss,
    family="embedding and ranking",
    facts=Facts(
        convex=False,
        lipschitz=_lipschitz,
        prediction=REALS,
        target="group labels",
        minimiser=None,
        denominator="rows",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
