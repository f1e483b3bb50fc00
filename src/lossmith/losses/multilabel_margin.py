"""Multi-label hinge: every score of a set of labels is to exceed every score outside of it by 1."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes_of
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.rowwise import LabelSets, Steps, label_sets, margins_of_set, rowwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from ..reduction import reduce as reduced


@overridable
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Multi-label hinge: what each label's score lacks to exceed each score outside of the set by 1, over the classes.

    .. math::
        \ell(x, Y) = \frac1C \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - x_j + x_i) \qquad
        \frac{\partial \ell}{\partial x_i} = \frac1C \,\bigl|\{ j \in Y : 1 - x_j + x_i > 0 \}\bigr|
        \text{ for } i \notin Y

    and for :math:`j \in Y` the same count over :math:`i \notin Y`, negative. As in torch, the slope at the kink is 0,
    a label that is listed twice counts twice, and a difference that is NaN adds nothing. Time grows with C log C and
    memory with C, not with the number of pairs.

    Source: Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition" (1999), for sets of
    labels; torch.nn.MultiLabelMarginLoss.

    Args:
        input: scores :math:`x`, (N, C), or (C) for one row; a floating dtype.
        target: the labels of each row, of the input's shape and any integer dtype: class indices from 0 to C - 1, then
            -1; what comes after the first -1 is not read. Not a row of zeros and ones.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives (N), or () for one row; or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range, -1 excepted (CPU, eager; elsewhere that row's loss is NaN and its
            gradient 0).
        RuntimeError: shapes or dtypes that do not go together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> labels = torch.tensor([[3, 0, -1, 1]])  # classes 3 and 0; the last 1 is not read
    >>> lossmith.functional.multilabel_margin_loss(scores, labels)  # (0.4 + 0.6 + 1.1 + 1.3) / 4
    tensor(0.8500)
    """
    loss = "multilabel_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike_rows(input, target, sets=True) if input.dim() == 2 else 0
    rows = input
    if not alike:
        checks.score_rows(loss, input, target)
        target = _label_shape(loss, input, target)
        rows = input if input.dim() else input.reshape(1)
        target = target.reshape(rows.shape)
    compute, result = dtypes_of(alike, input)

    def steps() -> Steps:
        def of(rows: Tensor, sets: LabelSets) -> Tensor:
            return margins_of_set(rows.to(compute), sets)

        def finish(values: Tensor, sets: LabelSets) -> Tensor:
            return reduced(loss, values, how, result)

        return Steps(lambda target: label_sets(loss, target, how.mask), of, finish)

    return rowwise(loss, "margins_of_set", rows, target, rows.dim() - 1, how, (compute, result), steps, alike=alike)


def _label_shape(loss: str, input: Tensor, target: Tensor) -> Tensor:
    one_score = input.dim() < 2 and input.numel() == 1
    if target.shape != input.shape and not (one_score and target.shape in ((), (1,))):
        raise RuntimeError(
            f"{loss}: inconsistent target size: expected rows of labels, padded with -1 to the input's shape, got "
            f"{checks.shapes(input=input, target=target)}; write "
            f"torch.nn.functional.pad(target, (0, input.shape[-1] - target.shape[-1]), value=-1) for shorter rows"
        )
    return checks.integers(loss, "target", target)


class MultiLabelMarginLoss(Criterion, torch.nn.MultiLabelMarginLoss):
    """:func:`lossmith.functional.multilabel_margin_loss` as a Module.

    Args:
        size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MultiLabelMarginLoss()(torch.tensor([[1.0, 0.5]]), torch.tensor([[0, -1]]))  # 0.5 / 2
    tensor(0.2500)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
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
        return multilabel_margin_loss(input, target, **self._reduction(sample_weight, mask, normalizer, on_empty))


def _lipschitz(input: Tensor, **_: object) -> float:
    """All hinges above 0, half of the classes in the set."""
    classes = input.shape[-1]
    inside = classes // 2
    return float((inside * (classes - inside) / classes) ** 0.5)


def _minimiser(input: Tensor, target: Tensor, **_: object) -> Tensor:
    """1 in the set, 0 outside."""
    listed = (target < 0).cumsum(-1) == 0
    times = torch.zeros_like(target).scatter_add(-1, torch.where(listed, target, 0), listed.long())
    return (times > 0).to(input.dtype)


CARD = Card(
    title=Text("Multi-label hinge loss", "多标签合页损失"),
    summary=Text(
        "What each label's score lacks to exceed each score outside of the set by 1, summed over all such pairs and "
        "divided by the number of classes.",
        "集合内每个标签的得分都应比集合外每个类别的得分至少高 1；差多少罚多少，对所有这样的配对求和后除以类别数。",
    ),
    gradient=Text(
        "Each pair that is less than 1 apart pushes its two scores apart with $1/C$, however close they are. A label "
        "is pulled up with the number of classes that it fails to lead, over C; at the kink by 0.",
        "每个差距不足 1 的配对都以 $1/C$ 的力把两个得分推开，与差多少无关。"
        "标签被抬高的力等于它尚未领先的类别数除以 C；尖点处取 0。",
    ),
    robustness=Text(
        "A pair's pull is bounded; a row's grows with its pairs, up to $\\sqrt{k (C - k) / C}$ for k labels. A label "
        "that was left out of the set is pushed below every true one of its row.",
        "单个配对的拉力有界，但一行的总拉力随配对数增长，k 个标签时可达 $\\sqrt{k (C - k) / C}$。"
        "被漏标的标签会被压到该行每个真标签之下。",
    ),
    sparsity=Text(
        "Gradients: a pair that is at least 1 apart adds exactly 0, and a row whose pairs all are has loss and "
        "gradient 0.",
        "梯度稀疏：差距不小于 1 的配对贡献恰好为 0；所有配对都达到时，整行的损失与梯度为 0。",
    ),
    smoothness=Text(
        "Convex and piecewise linear in the scores, with a kink wherever a label leads a class outside by exactly 1.",
        "对得分是凸的分段线性函数；标签恰好领先集合外某个类别 1 处有尖点。",
    ),
    sensitivity=Text(
        "Differences of scores against a margin that is always 1, and the number of pairs: rows with many labels "
        "weigh more.",
        "取决于得分之差与固定为 1 的间隔，以及配对个数：标签多的样本权重更大。",
    ),
    minimiser=Text(
        "Every label at least 1 above every class outside. Where sets scatter, frequent labels come above rare ones "
        "almost always, in steps of 1, and similar ones tie: chances of 0.4, 0.35 and 0.25, independent, give scores "
        "of 0, 0 and -1.",
        "每个标签都比集合外的类别至少高 1。标签集合有散布时，常见标签几乎总排在罕见标签之上，以 1 为一级，"
        "频率相近的会并列：三个独立标签的概率为 0.4、0.35、0.25 时，最优得分为 0、0、-1。",
    ),
    use=(
        Text(
            "Several labels a row, where the order counts: the scores of the true labels are to stand clearly above "
            "all others, as for the first k tags of a picture.",
            "每行有多个标签且重在排序：真标签的得分要明显高于其余类别，例如为图片给出前 k 个标注。",
        ),
        Text("Rows whose labels already lead are to stop pulling.", "希望标签已经领先的样本不再产生拉力。"),
    ),
    avoid=(
        Text(
            "One has to decide label by label: no score is a threshold, as a constant added to a row changes nothing. "
            "Take BCEWithLogitsLoss, whose 0 is a probability of one half.",
            "需要逐个标签判定有无时：整行加常数不改变损失，因此没有可作阈值的得分。应用 BCEWithLogitsLoss，"
            "其 0 对应概率二分之一。",
        ),
        Text(
            "Many rows have no label, or all of them: they teach nothing here. BCEWithLogitsLoss learns from them.",
            "许多样本没有标签，或全部标签都有时：这些样本在此不起作用；BCEWithLogitsLoss 能从中学习。",
        ),
    ),
    traps=(
        Trap(
            "multilabel-margin-multi-hot",
            Text(
                "The target lists class indices, then -1. A multi-hot row is read as indices without a word: [1, 0, "
                "0, 1] as classes 1, 0, 0 and 1, so that only classes 0 and 1 are ever pulled up, whatever the "
                "labels. On scores (0.1, 0.2, 0.4, 0.8) it gives 2.9 where [0, 3, -1, -1], which was meant, gives "
                "0.85. Write order = torch.where(hot.bool(), torch.arange(C), C).sort(-1).values, then "
                "order.masked_fill(order == C, -1).",
                "目标应列出类别索引，其后补 -1。多热（multi-hot）向量会被默默当作索引：[1, 0, 0, 1] 读作类别 1、0、0、"
                "1，于是无论标签是什么，被抬高的永远只有类别 0 和 1。得分为 (0.1, 0.2, 0.4, 0.8) 时，它给出 2.9，"
                "而本意 [0, 3, -1, -1] 应为 0.85。应写 order = torch.where(hot.bool(), "
                "torch.arange(C), C).sort(-1).values，再写 order.masked_fill(order == C, -1)。",
            ),
            rule="index-target-invalid",
        ),
        Trap(
            "multilabel-margin-first-minus-one",
            Text(
                "Nothing is read after the first -1: [-1, 3, 0, -1] is the empty set, with loss 0. A label that is "
                "listed twice counts twice. Put distinct labels first and -1 last.",
                "第一个 -1 之后的内容不再读取：[-1, 3, 0, -1] 等于空集，损失为 0。重复列出的标签会重复计算。"
                "应把互不相同的标签放在前面，-1 放在最后。",
            ),
        ),
        Trap(
            "multilabel-margin-empty-set",
            Text(
                "Without a label, or with all C, a row has no pair: loss 0 and gradient 0, yet it counts in the "
                "denominator of the mean. If half of the rows are empty, the mean is half of what the others have. "
                "Leave them out with mask=target[:, 0] >= 0.",
                "没有标签或 C 个标签全有的样本没有任何配对：损失与梯度为 0，却仍计入均值的分母。若半数样本为空，"
                "均值只有其余样本的一半。可用 mask=target[:, 0] >= 0 排除它们。",
            ),
        ),
        Trap(
            "multilabel-margin-rows-weigh-by-pairs",
            Text(
                "The sum is divided by C, not by the pairs, of which k labels have k (C - k). At equal scores and C = "
                "80 a row has a loss of 0.99 with 1 label, 2.89 with 3 and 20 with 40. Write sample_weight=1 / "
                "k.clamp(min=1), with k the number of labels in each row, to even them out.",
                "求和后除以 C，而不是除以配对数；k 个标签有 k (C - k) 个配对。得分全相等且 C = 80 时，"
                "1 个标签的样本损失为 0.99，3 个为 2.89，40 个为 20。可写 sample_weight=1 / k.clamp(min=1) 加以平衡，"
                "其中 k 为每行的标签数。",
            ),
        ),
        Trap(
            "multilabel-margin-sigmoid",
            Text(
                "After a sigmoid two scores are less than 1 apart: the margin is never reached, and the loss pulls on "
                "rows that are right already. Logits (2, -2, -2) with label 0 have loss 0, their sigmoids 0.16. Pass "
                "the scores as they are.",
                "经过 sigmoid 后，任意两个得分相差不到 1：间隔永远达不到，已分对的样本仍被拉扯。"
                "logits 为 (2, -2, -2)、标签为 0 时损失为 0，取 sigmoid 后为 0.16。应直接传入原始得分。",
            ),
        ),
        Trap(
            "multilabel-margin-nan-hidden",
            Text(
                "As in torch, a difference that is NaN adds nothing: a row of NaN scores has loss 0 and gradient 0, "
                "so a broken network looks perfect. Check scores.isfinite().all() before the loss.",
                "与 torch 一致，为 NaN 的差不计入：得分全为 NaN 的样本，损失与梯度都是 0，坏掉的网络看起来反而完美。"
                "应在计算损失前检查 scores.isfinite().all()。",
            ),
        ),
    ),
    stability=Text(
        "No exponential, no logarithm: it overflows only where a difference of scores does. The pairs are counted by "
        "sorting, in time C log C and memory C. Half precision is computed in float32.",
        "不含指数与对数：只有得分之差溢出时才会溢出。配对通过排序计数，时间为 C log C，内存为 C。"
        "半精度输入以 float32 计算。",
    ),
    activation=Text("none (scores)", "无（得分）"),
    input="(N, C)",
    target="(N, C) int",
    typical=Text("ranking the labels of multi-label data", "多标签数据的标签排序"),
    siblings=(
        Sibling(
            "MultiLabelSoftMarginLoss",
            Text(
                "Decides each label by itself and gives probabilities; its target is multi-hot, where this one takes "
                "indices.",
                "逐个标签独立判定并给出概率；其目标是多热向量，而本损失的目标是索引。",
            ),
        ),
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The default for several labels: a probability for each, a threshold at 0, pos_weight for rare ones.",
                "多标签任务的默认选择：每个标签都有概率，阈值为 0，罕见标签可用 pos_weight 加权。",
            ),
        ),
        Sibling(
            "MultiMarginLoss",
            Text(
                "One label a row, with p, a margin and class weights; equal to this loss there at its defaults.",
                "每行一个标签，可设 p、间隔与类别权重；此时其默认设置与本损失相等。",
            ),
        ),
    ),
    sources=(
        'Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", ESANN (1999)',
        'Elisseeff and Weston, "A Kernel Method for Multi-Labelled Classification", NIPS 14 (2001)',
        'Gao and Zhou, "On the Consistency of Multi-Label Learning", COLT (2011)',
    ),
    curve=Curve(
        Text(
            "score of the one class outside; the two labels have 0 and 1",
            "唯一集合外类别的得分；两个标签的得分为 0 与 1",
        ),
        (-3.0, 3.0),
        {
            "": lambda x: {
                "input": torch.stack([x, torch.zeros_like(x), torch.ones_like(x)], -1),
                "target": torch.tensor([1, 2, -1], device=x.device).expand(len(x), 3),
            }
        },
    ),
    aliases=("multilabel_hinge", "multilabel_hinge_loss", "label_ranking", "label_ranking_loss"),
)


LOSS = Loss(
    function=multilabel_margin_loss,
    module=MultiLabelMarginLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=_lipschitz,
        prediction=REALS,
        target="label sets",
        minimiser=_minimiser,
        denominator="rows",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
