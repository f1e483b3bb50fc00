"""Cosine embedding: the angle between two vectors is to be small for similar pairs and large for others."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, hinge, where
from ..loops.masking import hide_rows
from ..loops.pairwise import Numbers, Steps, cosine, pairwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced


@formula
def cosine_embedding(cosine: Real, target: Real, margin: Real) -> Reals:
    excess = cosine - margin
    pushed = where(excess >= 0, -target, 0.0)
    return (
        where(target == 1.0, 1.0 - cosine, 0.0) + where(target == -1.0, hinge(excess), 0.0),
        where(target == 1.0, -target, where(target == -1.0, pushed, 0.0)),
        0.0,
    )


@overridable
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""What the cosine of two vectors lacks to 1 for similar pairs, by how much it exceeds a margin for others.

    .. math::
        \ell(u, v, y) = \begin{cases} 1 - c & y = 1 \\ \max(0, c - m) & y = -1 \end{cases} \qquad
        c = \frac{u \cdot v}{\sqrt{(u \cdot u + 10^{-12})(v \cdot v + 10^{-12})}} \qquad
        \frac{\partial c}{\partial u} \approx \frac{1}{|u|} \Bigl( \frac{v}{|v|} - c\,\frac{u}{|u|} \Bigr)

    The loss is in cosines: 0 to 2 for similar pairs, 0 to 1 - m for others. Vectors of any length are in its domain: of
    0 (c is 0) and so long that their squares overflow. At the kink the slope is torch's, 1; another target gives 0.

    Source: torch.nn.CosineEmbeddingLoss; the pair loss of Bromley et al., "Signature Verification using a 'Siamese'
    Time Delay Neural Network" (1993), with a margin.

    Args:
        input1, input2: vectors :math:`u, v`, (N, D), or (D) for one pair; sizes of 1 broadcast. Floating, integer or
            bool.
        target: :math:`y`, 1 (similar) or -1, (N), or () for one pair; any dtype.
        margin: :math:`m`, a cosine from -1 to 1; 0 to 0.5 is usual.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives (N), or () for one pair; or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per pair; see :doc:`/reductions`.

    Raises:
        RuntimeError: shapes that do not go together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> u, v = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [3.0, 4.0]])
    >>> lossmith.functional.cosine_embedding_loss(u, v, torch.tensor([1, -1]), margin=0.5, reduction="none")
    tensor([1.0000, 0.1000])
    """
    loss = "cosine_embedding_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    unreduced = shape_of_pairs(loss, how.reduction, input1, input2, target)
    checks.fits(loss, "mask", how.mask, unreduced, "the unreduced loss")
    compute, result = dtypes(input1, input2)

    def of(input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        first, second = (hide_rows(rows.to(compute), how.mask, 1.0) for rows in (input1, input2))
        values: Tensor = cosine_embedding.value(cosine(first, second), target.to(compute), margin)
        return values

    steps = Steps(of, lambda values: reduced(loss, values, how, result))
    return pairwise(
        loss,
        "cosine_embedding",
        cosine_embedding,
        (input1, input2),
        target,
        unreduced,
        how,
        result,
        steps,
        Numbers(float(margin)),
    )


def shape_of_pairs(loss: str, reduction: str, input1: Tensor, input2: Tensor, target: Tensor) -> torch.Size:
    """The shape of the unreduced loss, or torch's kinds of error in better words."""
    tensors = {"input1": input1, "input2": input2, "target": target}
    for name, value in tensors.items():
        checks.tensor(loss, name, value)
    if target.dim() > 1:
        raise RuntimeError(
            f"{loss}: 0D or 1D target tensor expected, one target for each pair of vectors, got "
            f"{checks.shapes(**tensors)}; write target.squeeze(-1), or flatten other dimensions into N"
        )
    if not input1.dim() == input2.dim() == target.dim() + 1:
        raise RuntimeError(
            f"{loss}: {target.dim()}D target tensor expects {target.dim() + 1}D input tensors: vectors (D) with a "
            f"target (), or (N, D) with (N), got {checks.shapes(**tensors)}"
        )
    if input1.is_complex() or input2.is_complex():
        raise NotImplementedError(f"{loss}: expected real vectors, got {checks.shapes(**tensors)}")
    checks.broadcastable(loss, input1=input1, input2=input2)
    if input1.shape == input2.shape and input1.shape[:-1] == target.shape:
        return target.shape
    checks.outer_broadcast(loss, reduction, input1=input1, input2=input2)
    pairs = input1.shape[0] if input1.dim() == 2 and input1.shape[0] != 1 else input2.shape[0]
    if target.dim() == 1 and pairs != target.shape[0] and 1 not in (pairs, target.shape[0]):
        raise RuntimeError(
            f"{loss}: expected one target for each pair of vectors, or one for all, got {checks.shapes(**tensors)}"
        )
    return target.shape if pairs == 1 or target.dim() == 0 else torch.Size([pairs])


class CosineEmbeddingLoss(Criterion, torch.nn.CosineEmbeddingLoss):
    """:func:`lossmith.functional.cosine_embedding_loss` as a Module; a :class:`torch.nn.CosineEmbeddingLoss` with more.

    Args:
        margin, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.CosineEmbeddingLoss(margin=0.2)
    >>> criterion(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]), torch.tensor(-1))  # 0.6 - 0.2
    tensor(0.4000)
    """

    def __init__(
        self,
        margin: float = 0.0,
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
        input1: Tensor,
        input2: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return cosine_embedding_loss(
            input1, input2, target, self.margin, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


def _minimiser(input1: Tensor, input2: Tensor, target: Tensor, **_: object) -> tuple[Tensor, Tensor]:
    """Parallel for similar pairs, antiparallel for others."""
    first = torch.ones_like(input1)
    return first, torch.ones_like(input2) * target.unsqueeze(-1)


def _at_angle(angle: Tensor, sign: float) -> dict[str, Tensor]:
    """Pairs of unit vectors at these angles."""
    turned = torch.stack([angle.cos(), angle.sin()], -1)
    fixed = turned.new_tensor([1.0, 0.0]).expand_as(turned)
    return {"input1": turned, "input2": fixed, "target": torch.full_like(angle, sign)}


CARD = Card(
    title=Text("Cosine embedding loss", "余弦嵌入损失"),
    summary=Text(
        "What the cosine of two vectors lacks to 1 for similar pairs; for dissimilar ones, by how much it exceeds a "
        "margin.",
        "相似对的损失是两个向量的余弦离 1 还差多少；不相似对的损失是余弦超出间隔多少。",
    ),
    gradient=Text(
        "It only turns the vectors: at right angles to u, of size $\\sin\\theta / |u|$ at the angle $\\theta$. It is "
        "0 for parallel vectors and for opposite ones, and a dissimilar pair below the margin has none; at the kink "
        "the pair pulls.",
        "只转动向量：梯度与 u 垂直，夹角为 $\\theta$ 时大小为 $\\sin\\theta / |u|$。向量同向或反向时梯度都为 0；"
        "余弦低于间隔的不相似对没有梯度，尖点处仍有拉力。",
    ),
    robustness=Text(
        "A loss is bounded, by 2 for similar pairs and by 1 - m for others, and lengths do not count. A wrong pair "
        "costs little, and the pull of a similar pair that points the opposite way is lost.",
        "损失有界：相似对不超过 2，不相似对不超过 1 - m，且与向量长度无关。错标的对代价有限；"
        "但完全反向的相似对也得不到拉力。",
    ),
    sparsity=Text(
        "A dissimilar pair whose cosine is below the margin has loss and gradient exactly 0; similar pairs are never "
        "quite done.",
        "余弦低于间隔的不相似对，损失与梯度恰好为 0；相似对的损失则只会趋近于 0。",
    ),
    smoothness=Text(
        "Not convex. Smooth for similar pairs; for dissimilar ones with a kink where the cosine equals the margin.",
        "非凸。相似对处处光滑；不相似对在余弦等于间隔处有尖点。",
    ),
    sensitivity=Text(
        "The margin, a cosine: useful from 0 to 0.5. Long vectors turn slowly, as the gradient has $1/|u|$ in it, and "
        "plain gradient steps only lengthen them; short ones turn fast.",
        "关键是间隔，它是余弦值，常用范围为 0 到 0.5。梯度含 $1/|u|$，长向量转得慢，而普通梯度步只会使向量变长；"
        "短向量转得快。",
    ),
    minimiser=Text(
        "The same direction, at any lengths, for similar pairs; any cosine up to the margin for others. Where a share "
        "q of a pair's labels says similar, cosine 1 if q is above one half, the margin if below.",
        "相似对方向相同（长度任意）；不相似对的余弦不大于间隔即可。若同一对有比例 q 的标签为相似，"
        "则 q 大于一半时最优余弦为 1，小于一半时为间隔。",
    ),
    use=(
        Text(
            "Pairs labelled similar or not, compared by direction: semantic similarity of texts, retrieval, "
            "verification with Siamese networks.",
            "带相似与否标签、按方向比较的样本对：文本语义相似度、检索、孪生网络核验。",
        ),
        Text(
            "Self-supervised learning: two views of one input are similar, views of different inputs are not.",
            "自监督学习：同一输入的两个视图为相似对，不同输入的视图为不相似对。",
        ),
        Text(
            "Distilling features whose lengths do not matter, with y = 1 throughout and a fixed teacher.",
            "长度无关紧要的特征蒸馏：教师固定，全部取 y = 1。",
        ),
    ),
    avoid=(
        Text(
            "Similarity has grades (0.7, 3 of 5 stars): apply MSELoss to the cosine itself; targets other than 1 and "
            "-1 have loss 0 here.",
            "相似度有等级（如 0.7、5 星中的 3 星）时：应对余弦本身用 MSELoss；此处 1 与 -1 以外的目标损失为 0。",
        ),
        Text(
            "Only relations are known (a is nearer to p than to n): TripletMarginLoss, or "
            "TripletMarginWithDistanceLoss with 1 - cosine.",
            "只知道相对关系（a 离 p 比离 n 近）时：用 TripletMarginLoss，"
            "或以 1 - cosine 为距离的 TripletMarginWithDistanceLoss。",
        ),
    ),
    traps=(
        Trap(
            "cosine-embedding-target-zero-one",
            Text(
                "A target of 0 has loss 0 and gradient 0. With 0 for dissimilar, only similar pairs pull: every "
                "vector ends up in one direction, the cosines of similar and dissimilar pairs alike at 1 and the loss "
                "at a perfect 0. Write 2 * target - 1.",
                "目标为 0 时损失与梯度都是 0。若用 0 表示不相似，则只有相似对起作用：所有向量塌缩到同一方向，"
                "相似对与不相似对的余弦都是 1，损失却是完美的 0。应写 2 * target - 1。",
            ),
            rule="target-not-plus-minus-one",
        ),
        Trap(
            "cosine-embedding-margin-range",
            Text(
                "The margin is a cosine and is subtracted from it: dissimilar pairs stop at $\\cos \\le m$. From 1 on "
                "they never have a loss; below 0 vectors are to point away from each other, which K classes can do "
                "only down to a cosine of -1 / (K - 1). Take 0 to 0.5.",
                "间隔是余弦值，从余弦中减去：不相似对在 $\\cos \\le m$ 时停止。间隔不小于 1 时不相似对永远没有损失；"
                "小于 0 时要求向量相背，而 K 个类别两两余弦最多只能同时低到 -1 / (K - 1)。应取 0 到 0.5。",
            ),
            rule="cosine-margin-out-of-range",
        ),
        Trap(
            "cosine-embedding-margin-direction",
            Text(
                "A greater margin asks for less: it is the cosine that dissimilar pairs may keep, where in "
                "TripletMarginLoss and HingeEmbeddingLoss it is the gap to reach. To push harder, lower it.",
                "间隔越大，要求越松：它是不相似对可以保留的余弦；而在 TripletMarginLoss 与 HingeEmbeddingLoss 中，"
                "间隔是需要达到的差距。想推得更开，应调小它。",
            ),
        ),
        Trap(
            "cosine-embedding-easy-pairs",
            Text(
                "Unrelated vectors of D dimensions have cosines of 0 with a spread of $1/\\sqrt D$. At D = 256, where "
                "it is 0.0625, half of random dissimilar pairs pull at margin 0 and 0.07 % at margin 0.2: their loss "
                "looks solved before anything is learnt. Mine dissimilar pairs with high cosines, and look at the "
                "loss of each kind of pair by itself.",
                "互不相关的 D 维向量，余弦以 0 为中心，标准差为 $1/\\sqrt D$。D = 256 时为 0.0625："
                "随机的不相似对在间隔 0 时有一半产生拉力，在 0.2 时只有 0.07%，还没学到什么，它们的损失就看似已解决。"
                "应挖掘余弦较高的不相似对，并分别观察两类对的损失。",
            ),
        ),
        Trap(
            "cosine-embedding-collapse",
            Text(
                "With similar pairs alone (y = 1 throughout, both vectors trained) one constant vector for every "
                "input is a perfect answer, at a loss of 0. Add dissimilar pairs, or stop the gradient of one side "
                "with detach() and put a predictor on the other, as SimSiam does.",
                "若只有相似对（全部 y = 1，且两侧都参与训练），对所有输入输出同一个向量就是完美解，损失为 0。"
                "应加入不相似对，或像 SimSiam 那样对一侧用 detach() 截断梯度、在另一侧加预测头。",
            ),
        ),
        Trap(
            "cosine-embedding-zero-vector",
            Text(
                "The cosine of a vector of zeros (padding, dead ReLUs) is 0 and its gradient in that vector up to "
                "1e6, from the 1e-12 under the root; below a length of about 1e-6 cosines shrink: such a vector has "
                "0.5 with itself. Leave padding out with mask=.",
                "零向量（填充、失活的 ReLU）的余弦为 0，对该向量的梯度却可达 1e6，源自根号下的 1e-12；"
                "长度低至约 1e-6 时余弦会变小：长度 1e-6 的向量与自身的余弦只有 0.5。填充应用 mask= 排除。",
            ),
        ),
    ),
    stability=Text(
        "Squares are taken in float64, of float64 vectors after scaling: the cosine is right however long the vectors "
        "are, and digits are kept near 0 (6e-9 where torch gives 0 or 1e-7). torch squares in the input's precision: "
        "two parallel vectors have a loss of 1 from a length of 4.3e9 on (16 in float16) and NaN from 1.9e19 (256).",
        "平方以 float64 计算，float64 向量则先缩放：向量再长余弦也正确，接近 0 的损失也保有有效数字（如 6e-9，"
        "而 torch 得 0 或 1e-7）。torch 按输入精度平方：两个平行向量的长度达到 4.3e9（float16 为 16）时损失变为 1，"
        "达到 1.9e19（float16 为 256）时变为 NaN。",
    ),
    activation=Text("none (vectors)", "无（向量）"),
    input="(N, D) x 2",
    target="(N) ±1",
    typical=Text("similarity of texts, self-supervised learning", "文本相似度、自监督学习"),
    siblings=(
        Sibling(
            "HingeEmbeddingLoss",
            Text(
                "Takes a distance of one's own: on 1 - cosine with margin 1 - m it equals this loss.",
                "接收自定义的距离：以 1 - cosine 为距离、间隔取 1 - m 时，与本损失相等。",
            ),
        ),
        Sibling(
            "TripletMarginLoss",
            Text(
                "Compares a similar and a dissimilar vector with one anchor: no cosine has to be 1.",
                "把相似与不相似的两个向量同一个锚点比较：不要求余弦达到 1。",
            ),
        ),
        Sibling(
            "MSELoss",
            Text(
                "For unit vectors its sum over D is twice this loss at y = 1; on the cosine itself it learns graded "
                "similarities.",
                "对单位向量，它在 D 维上的和是 y = 1 时本损失的两倍；作用于余弦本身时可学习有等级的相似度。",
            ),
        ),
    ),
    sources=(
        "Bromley et al., \"Signature Verification using a 'Siamese' Time Delay Neural Network\", NIPS 6 (1993)",
        'Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP (2019)',
        'Chen and He, "Exploring Simple Siamese Representation Learning", CVPR (2021)',
    ),
    curve=Curve(
        Text("angle between the vectors, in radians", "两向量的夹角（弧度）"),
        (0.0, math.pi),
        {"y = 1": lambda x: _at_angle(x, 1.0), "y = -1": lambda x: _at_angle(x, -1.0)},
    ),
    aliases=(
        "cosine",
        "cosine_loss",
        "cosine_similarity",
        "cosine_similarity_loss",
        "cosine_distance",
        "cosine_proximity",
    ),
)


LOSS = Loss(
    function=cosine_embedding_loss,
    module=CosineEmbeddingLoss,
    family="embedding and ranking",
    formulas=(cosine_embedding,),
    facts=Facts(
        convex=False,
        lipschitz=lambda **_: 1e6,  # next to a vector of 0: 1 / sqrt(1e-12)
        prediction=REALS,
        target="signs",
        minimiser=_minimiser,
        denominator="rows",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
