"""Margin ranking: of two scores, the right one is to be greater by a margin."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, hinge, step
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def margin_ranking(first: Real, second: Real, target: Real, margin: Real) -> Reals:
    lead = first - second
    shortfall = -target * lead + margin
    reached = step(shortfall)
    slope = target * reached
    return hinge(shortfall), -slope, slope, -lead * reached


@overridable
def margin_ranking_loss(
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
    r"""Of two scores, the first is to be greater (y = 1) or smaller (y = -1) than the second, by a margin.

    .. math::
        \ell(x_1, x_2, y) = \max(0, -y\,(x_1 - x_2) + m) \qquad
        \frac{\partial \ell}{\partial x_1} = -y\,[\,m - y\,(x_1 - x_2) \ge 0\,] = -\frac{\partial \ell}{\partial x_2}

    Source: Herbrich, Graepel and Obermayer, "Large Margin Rank Boundaries for Ordinal Regression" (2000).

    Args:
        input1, input2: scores, of the same shape; floating, or integer (then with the arithmetic of
            integers, as torch has it: unsigned ones wrap).
        target: :math:`y`, 1 or -1; as many dimensions as the scores, sizes of 1 broadcast.
        margin: :math:`m`, in the unit of the scores.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: different numbers of dimensions; shapes that can't be broadcast together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> better, worse = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.2])
    >>> lossmith.functional.margin_ranking_loss(better, worse, torch.ones(2), margin=0.5, reduction="none")
    tensor([0.0000, 0.7000])
    """
    loss = "margin_ranking_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input1, input2, target)
    if not alike:
        checks.real(loss, input1=input1, input2=input2, target=target)
        if input1.dim() != input2.dim() or input1.dim() != target.dim():
            raise RuntimeError(
                f"{loss}: All input tensors should have the same number of dimensions, got "
                f"{checks.shapes(input1=input1, input2=input2, target=target)}; write target.unsqueeze(-1) for one "
                f"target a row"
            )
        checks.broadcastable(loss, input1=input1, input2=input2, target=target)
        checks.outer_broadcast(loss, how.reduction, input1=input1, input2=input2, target=target)
    return pointwise(loss, margin_ranking, (input1, input2, target), (float(margin),), how, integers=True, alike=alike)


class MarginRankingLoss(Criterion, torch.nn.MarginRankingLoss):
    """:func:`lossmith.functional.margin_ranking_loss` as a Module; a :class:`torch.nn.MarginRankingLoss` with more.

    Args:
        margin, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MarginRankingLoss(margin=0.1)(torch.tensor([0.2]), torch.tensor([0.4]), torch.tensor([1.0]))
    tensor(0.3000)
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
        return margin_ranking_loss(
            input1, input2, target, self.margin, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


CARD = Card(
    title=Text("Margin ranking loss", "间隔排序损失"),
    summary=Text(
        "Of two scores, what the one that is to rank higher lacks to exceed the other by a margin.",
        "两个得分中，应排在前面的那个还差多少才能比另一个高出一个间隔。",
    ),
    gradient=Text(
        "Constant: a pair that lacks the margin pulls its right score up and its wrong one down with 1 each, at the "
        "kink too; 0 once the margin is reached and passed.",
        "恒定：未达到间隔的对，以大小为 1 的力抬高应在前的得分、压低另一个，尖点处也是如此；超过间隔后为 0。",
    ),
    robustness=Text(
        "A pair pulls with at most $\\sqrt 2$ however wrong its order: contradictory clicks and judgements do not "
        "rule, but they never let go either.",
        "无论次序错得多离谱，一对的拉力都不超过 $\\sqrt 2$：互相矛盾的点击或标注不会主导训练，但其拉力也不会消失。",
    ),
    sparsity=Text(
        "Pairs in the right order by the margin have loss and gradient exactly 0: later in training most do, and the "
        "mean divides by them all the same.",
        "次序正确且差距超过间隔的对，损失与梯度恰好为 0：训练后期大多数对都是如此，而均值仍把它们计入分母。",
    ),
    smoothness=Text(
        "Convex and piecewise linear in both scores, with a kink where the lead equals the margin.",
        "对两个得分都是凸的分段线性函数，领先量等于间隔处有尖点。",
    ),
    sensitivity=Text(
        "The difference of the two scores alone, against the margin, in their unit; and which pairs one makes: a list "
        "of n has n (n - 1) / 2, and long lists outweigh short ones.",
        "只取决于两个得分之差与（以得分单位计的）间隔；还取决于如何组对：长度为 n 的列表有 n (n - 1) / 2 个对，"
        "长列表会压过短列表。",
    ),
    minimiser=Text(
        "Any lead of the right score of at least the margin. Where a share q of the judgements prefers the first, it "
        "leads by the margin if q is above one half, and the second does if below: the majority, not its size.",
        "应在前的得分领先不少于间隔即可。若有比例 q 的判断偏向第一个，则 q 大于一半时它领先一个间隔，"
        "小于一半时另一个领先：只反映多数一方，不反映多数有多大。",
    ),
    use=(
        Text(
            "Learning to rank from comparisons: search results by clicks, preferences, which of two answers is better.",
            "由比较结果学习排序：按点击排序的搜索结果、偏好数据、两个回答孰优。",
        ),
        Text(
            "Knowledge graph embeddings such as TransE: a true triple is to have a smaller distance than a corrupted "
            "one.",
            "知识图谱嵌入（如 TransE）：真实三元组的距离要小于被破坏的三元组。",
        ),
        Text(
            "Any loss of the form $\\max(0, a - b + m)$: the triplet loss on one's own distance, or the SVM's binary "
            "hinge against a score of 0.",
            "任何形如 $\\max(0, a - b + m)$ 的损失：使用自定义距离的三元组损失，或与得分 0 比较的 SVM 二分类合页损失。",
        ),
    ),
    avoid=(
        Text(
            "The grades themselves are known and matter (stars, prices): regress them with MSELoss or HuberLoss; a "
            "ranking forgets their scale.",
            "等级数值已知且重要（星级、价格）时：用 MSELoss 或 HuberLoss 回归；排序会丢掉其尺度。",
        ),
        Text(
            "Only the first few places count (NDCG): every pair weighs alike here, whether at the top or at the "
            "bottom. Weigh pairs with sample_weight=, or take a listwise loss.",
            "只关心前几名（NDCG）时：此处每个对权重相同，无论在榜首还是榜尾。可用 sample_weight= 为各对加权，"
            "或改用列表级损失。",
        ),
    ),
    traps=(
        Trap(
            "margin-ranking-target-zero-one",
            Text(
                'With a target of 0, as for "not the first", the loss is the margin whatever the scores, with a '
                "gradient of 0: at the default margin a loss of 0. That half of the comparisons is never learnt. "
                "Write 2 * target - 1; leave ties out with mask=.",
                "目标为 0（例如表示“不是第一个”）时，无论得分如何，损失都等于间隔，梯度为 0；默认间隔下损失就是 0。"
                "这一半比较结果永远学不到。应写 2 * target - 1；平局用 mask= 排除。",
            ),
            rule="target-not-plus-minus-one",
        ),
        Trap(
            "margin-ranking-zero-margin",
            Text(
                "The default margin = 0 is content with a tie: equal scores have loss 0, and all scores divided by 10 "
                "have a tenth of the loss, so that the network may shrink its scores instead of ordering them. Write "
                "margin=1.0, or 0.1 for scores in [0, 1].",
                "默认 margin = 0 允许平局：得分全相等时损失为 0，所有得分除以 10 损失也变为十分之一，"
                "网络可能只是缩小得分而不去排序。应写 margin=1.0；得分在 [0, 1] 内时可取 0.1。",
            ),
        ),
        Trap(
            "margin-ranking-distance-sign",
            Text(
                "y = 1 asks input1 to be greater. For distances, where less is better, loss(d_positive, d_negative, "
                "1) teaches the reverse: it charges 2.3 for the good pair 0.2 and 1.5 at margin 1, where y = -1 "
                "charges 0. Write loss(d_negative, d_positive, 1), or y = -1.",
                "y = 1 要求 input1 更大。距离越小越好，因此 loss(d_positive, d_negative, 1) 会学反：间隔为 1 时，"
                "距离 0.2 与 1.5 这样的好样本会被罚 2.3，而 y = -1 时为 0。应写 loss(d_negative, d_positive, 1)，"
                "或取 y = -1。",
            ),
        ),
        Trap(
            "margin-ranking-outer-broadcast",
            Text(
                "Scores of (N, 1) take a target of (N, 1). A target of (N,) is refused, but one of (1, N) becomes an "
                "(N, N) table of each pair with each label. Write target.unsqueeze(1), or squeeze the scores.",
                "得分为 (N, 1) 时，目标也应为 (N, 1)。(N,) 的目标会报错，而 (1, N) 的目标会广播成 (N, N) 的表，"
                "每个对都与每个标签组合。应写 target.unsqueeze(1)，或对得分 squeeze。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "margin-ranking-scores-of-two-lists",
            Text(
                "Scores are comparable within one list only (one query, one user). Pairs across lists teach which "
                "query is easy, at the expense of the order within. Pair rows of the same list.",
                "得分只在同一列表（同一查询、同一用户）内可比。跨列表组对学到的是哪个查询更容易，"
                "反而损害列表内的次序。只应在同一列表内组对。",
            ),
        ),
    ),
    stability=Text(
        "Differences and a comparison: it overflows only where a difference of scores does. Half precision is "
        "computed in float32; integer scores keep torch's integer arithmetic, in which unsigned ones wrap.",
        "只有减法与比较：得分之差溢出时才会溢出。半精度输入以 float32 计算；整数得分沿用 torch 的整数运算，"
        "无符号数会回绕。",
    ),
    activation=Text("none (scores)", "无（得分）"),
    input="(N) x 2",
    target="(N) ±1",
    typical=Text("learning to rank, TransE", "排序学习、TransE"),
    siblings=(
        Sibling(
            "SoftMarginLoss",
            Text(
                "SoftMarginLoss()(x1 - x2, y) is the smooth form, RankNet: never quite content, no margin to choose, "
                "and the difference is a log-odds.",
                "SoftMarginLoss()(x1 - x2, y) 是其光滑形式，即 RankNet：拉力永不为零，无需选间隔，"
                "且得分差就是对数几率。",
            ),
        ),
        Sibling(
            "TripletMarginLoss",
            Text(
                "The same hinge with the distances computed from three vectors: this loss on d(a, n), d(a, p) and y = "
                "1.",
                "同样的合页，但距离由三个向量算出：等于以 d(a, n)、d(a, p) 和 y = 1 调用本损失。",
            ),
        ),
        Sibling(
            "HingeEmbeddingLoss",
            Text(
                "Judges one distance against a fixed margin, not two against each other.",
                "把一个距离与固定间隔比较，而不是两个数互相比较。",
            ),
        ),
    ),
    sources=(
        'Herbrich, Graepel and Obermayer, "Large Margin Rank Boundaries for Ordinal Regression", Advances in Large '
        "Margin Classifiers (2000)",
        'Joachims, "Optimizing Search Engines using Clickthrough Data", KDD (2002)',
        'Bordes et al., "Translating Embeddings for Modeling Multi-relational Data", NIPS 26 (2013)',
    ),
    curve=Curve(
        Text("lead $x_1 - x_2$ of the first score", "第一个得分的领先量 $x_1 - x_2$"),
        (-3.0, 3.0),
        {
            "y = 1": lambda x: {"input1": x, "input2": torch.zeros_like(x), "target": torch.ones_like(x)},
            "y = -1": lambda x: {"input1": x, "input2": torch.zeros_like(x), "target": -torch.ones_like(x)},
        },
    ),
    aliases=(
        "ranking",
        "ranking_loss",
        "pairwise_ranking",
        "pairwise_ranking_loss",
        "pairwise_hinge",
        "pairwise_hinge_loss",
        "rank_svm",
        "ranking_svm",
        "learning_to_rank",
        "binary_hinge",
    ),
)


LOSS = Loss(
    function=margin_ranking_loss,
    module=MarginRankingLoss,
    family="embedding and ranking",
    formulas=(margin_ranking,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 2**0.5,
        prediction=REALS,
        target="signs",
        minimiser=lambda target, margin=0.0, **_: (margin * target, torch.zeros_like(target)),
        denominator="elements",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
