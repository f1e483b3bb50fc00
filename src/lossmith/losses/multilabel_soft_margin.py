"""Multi-label cross-entropy: a binary cross-entropy for each class, from logits, averaged over the classes."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, UNIT, Facts, Loss
from ..loops.pointwise import pointwise_rows
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .bce_with_logits import bce_with_logits


@overridable
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Binary cross-entropy of each class between a target and :math:`\sigma(x)`, averaged over the classes.

    .. math::
        \ell(x, y) = -\frac1C \sum_{c} w_c\,[\,y_c \log \sigma(x_c) + (1 - y_c) \log(1 - \sigma(x_c))\,] \qquad
        \frac{\partial \ell}{\partial x_c} = \frac{w_c}{C}\,(\sigma(x_c) - y_c)

    :func:`binary_cross_entropy_with_logits` is the same for each element, before the average over the classes. A right
    answer at an infinite logit costs 0.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2.2, for each class.

    Args:
        input: logits :math:`x`, (..., C); a floating dtype; no sigmoid before it.
        target: :math:`y` from 0 to 1, of the same shape (others broadcast; a result larger than both warns). A row of
            zeros and ones, not of labels padded with -1.
        weight: multiplies the terms: (C), or another shape that broadcasts. It does not enter the denominator.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives the input's shape less its last dimension; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        IndexError: input has no dimension.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    >>> each = lossmith.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    >>> torch.allclose(lossmith.functional.multilabel_soft_margin_loss(x, y), each.mean())
    True
    """
    loss = "multilabel_soft_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    shape = _shape(loss, how.reduction, input, target, weight)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    return pointwise_rows(
        loss,
        bce_with_logits,
        (input, target, 1.0),
        (),
        how,
        dtypes(input, target, weight, composite=True),
        shape,
        weight,
    )


def _shape(loss: str, reduction: str, input: Tensor, target: Tensor, weight: Tensor | None) -> torch.Size:
    """The shape of the unreduced loss, or torch's kinds of error in better words."""
    checks.tensor(loss, "input", input)
    checks.tensor(loss, "target", target)
    if input.dim() == 0:
        raise IndexError(f"{loss}: input is {checks.describe(input)}, expected (..., C); write input.reshape(1)")
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{loss}: input is {checks.describe(input)}, expected logits of a floating dtype; write input.float()"
        )
    weights = {} if weight is None else {"weight": weight}
    checks.broadcastable(loss, input=input, target=target, **weights)
    checks.outer_broadcast(loss, reduction, input=input, target=target)
    shapes = [t.shape for t in (input, target, weight) if t is not None]
    result: torch.Size = torch.broadcast_shapes(*shapes)[:-1]  # type: ignore[no-untyped-call]
    return result


class MultiLabelSoftMarginLoss(Criterion, torch.nn.MultiLabelSoftMarginLoss):
    """:func:`lossmith.functional.multilabel_soft_margin_loss` as a Module.

    Args:
        weight, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MultiLabelSoftMarginLoss()(torch.zeros(1, 3), torch.tensor([[1, 0, 1]]))  # log 2
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
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
        return multilabel_soft_margin_loss(
            input, target, self.weight, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


CARD = Card(
    title=Text("Multi-label soft margin loss", "多标签软间隔损失"),
    summary=Text(
        "A binary cross-entropy of $\\sigma(x)$ for each class on its own, averaged over the classes of a row: "
        "BCEWithLogitsLoss with one number a row.",
        "对每个类别独立计算 $\\sigma(x)$ 的二元交叉熵，再对一行的各类别取平均：即每行给出一个数的 BCEWithLogitsLoss。",
    ),
    gradient=Text(
        "$(\\sigma(x_c) - y_c) / C$ for each class of a row: probability less truth, shared out over the C classes.",
        "一行中每个类别为 $(\\sigma(x_c) - y_c) / C$：概率减去真值，再由 C 个类别均分。",
    ),
    robustness=Text(
        "Weak against wrong or missing labels: one costs about |x| / C and pulls by almost 1/C without fading; the "
        "norm of a row's gradient stays below $1/\\sqrt C$.",
        "对错误或漏标的标签较弱：其损失约为 |x| / C，拉力接近 1/C 且不消退；每行梯度的范数小于 $1/\\sqrt C$。",
    ),
    sparsity=Text(
        "None: every class of every row pulls, also one that is right, by about $e^{-|x|} / C$.",
        "无稀疏性：每行的每个类别都有拉力，判断正确的也有，约为 $e^{-|x|} / C$。",
    ),
    smoothness=Text(
        "Infinitely differentiable and strictly convex in the logits, with curvature of at most $1/(4C)$.",
        "对 logits 无穷次可导且严格凸，曲率不超过 $1/(4C)$。",
    ),
    sensitivity=Text(
        "To the number of classes: with 3 right labels of 1000, a constant probability of 0.003 already costs only "
        "0.020 (untrained: 0.693) and knows nothing. `weight` (C) weighs classes, not positives.",
        "受类别数影响：1000 个标签中只有 3 个正确时，恒定概率 0.003 的损失便只有 0.020（未训练时为 0.693），"
        "却什么也没学到。`weight` (C) 对类别加权，而不是对正样本加权。",
    ),
    minimiser=Text(
        "The log-odds of each target, $\\pm\\infty$ for 1 and 0. Where targets scatter, the log-odds of each label's "
        "frequency; what labels have to do with each other is not seen.",
        "各目标的对数几率，目标为 1 与 0 时是 $\\pm\\infty$。目标有散布时，是每个标签频率的对数几率；"
        "标签之间的关联不被考虑。",
    ),
    use=(
        Text(
            "Several labels may hold at once: a picture with both a cat and a dog, the topics of a text, the "
            "functions of a gene.",
            "可同时具有多个标签：一张图里既有猫又有狗、文章的主题、基因的功能。",
        ),
        Text(
            'One loss a row is wanted, to weigh or mask whole rows: reduction="none" gives (N), and so do '
            "sample_weight and mask.",
            '需要每行一个损失，以便对整行加权或屏蔽：reduction="none" 给出 (N)，sample_weight 与 mask 也按行。',
        ),
    ),
    avoid=(
        Text(
            "Positives are rare, or single labels are unknown: BCEWithLogitsLoss has pos_weight, and its mask is for "
            "each element.",
            "正样本稀少，或个别标签未知时：BCEWithLogitsLoss 有 pos_weight，且 mask 可逐元素给出。",
        ),
        Text(
            "Exactly one class is right: CrossEntropyLoss.",
            "恰有一个正确类别时：使用 CrossEntropyLoss。",
        ),
    ),
    traps=(
        Trap(
            "multilabel-soft-margin-padding",
            Text(
                "Targets are rows of 0 and 1. Padding of -1, as MultiLabelMarginLoss has it, and targets of -1 and 1 "
                "are accepted in silence: the slope at -1 is $1 + \\sigma(x)$ and never fades, the loss falls below 0 "
                "without end. Write (target + 1) / 2 for signs, a multi-hot row for a set of labels.",
                "目标应为由 0 与 1 组成的行。像 MultiLabelMarginLoss 那样用 -1 填充，或目标取 -1 与 1，"
                "都会被悄悄接受：-1 处的斜率为 $1 + \\sigma(x)$，永不消退，损失可无限降到 0 以下。符号目标应写 "
                "(target + 1) / 2，标签集合应转为 multi-hot。",
            ),
            rule="target-not-in-unit-interval",
        ),
        Trap(
            "multilabel-soft-margin-sigmoid",
            Text(
                "A sigmoid before it is the second one: probabilities stay between 0.5 and 0.731, and a no costs at "
                "least 0.693. Pass the logits.",
                "前面再加 sigmoid 就成了两次：概率被限制在 0.5 与 0.731 之间，不成立的标签损失至少为 0.693。"
                "应直接传入 logits。",
            ),
            rule="sigmoid-into-bce-with-logits",
        ),
        Trap(
            "multilabel-soft-margin-relu",
            Text(
                "ReLU before it: no probability is below 0.5, so no label can be denied. Leave it out.",
                "前面加了 ReLU：概率不会低于 0.5，任何标签都无法被否定。应去掉 ReLU。",
            ),
            rule="relu-before-logits",
        ),
        Trap(
            "multilabel-soft-margin-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes a table of all pairs (N, N): torch says nothing, "
                "lossmith warns. Write target.unsqueeze(1).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表：torch 不作提示，lossmith 会警告。应写 "
                "target.unsqueeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "multilabel-soft-margin-class-dim",
            Text(
                "The classes are the last dimension, not dimension 1: for (N, C, H, W) it averages over W and returns "
                "(N, C, H). Move it: input.movedim(1, -1), and the target too.",
                "类别维是最后一维而非第 1 维：输入 (N, C, H, W) 时会对 W 取平均，返回 (N, C, H)。应移动维度："
                "input.movedim(1, -1)，目标亦然。",
            ),
        ),
    ),
    stability=Text(
        "The formula of BCEWithLogitsLoss: exp never overflows, both sides keep their relative accuracy. A right "
        "answer at an infinite logit costs 0, where torch gives NaN. Half precision is computed in float32.",
        "与 BCEWithLogitsLoss 同一公式：exp 不会溢出，两侧都保持相对精度。"
        "logit 为无穷且判断正确时损失为 0（torch 给出 NaN）。半精度以 float32 计算。",
    ),
    activation=Text("none (logits)", "无（logits）"),
    input="(*, C)",
    target="(*, C)",
    typical=Text("multi-label classification", "多标签分类"),
    siblings=(
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The same for each element; equal as a mean, C times as large as a sum. With pos_weight, and masks "
                "for each element: usually the better choice.",
                "逐元素相同：取均值时相等，求和时为其 C 倍。支持 pos_weight 和逐元素的 mask，通常是更好的选择。",
            ),
        ),
        Sibling(
            "MultiLabelMarginLoss",
            Text(
                "Hinge: each right label's score must lead each other's by 1, then it is done. It ranks, but sets no "
                "threshold; targets are class indices padded with -1.",
                "合页形式：每个正确标签的得分须比其他标签高出 1，达到后损失为 0。它只排序而不设阈值；"
                "目标是以 -1 填充的类别索引。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "For exactly one right class: the classes share one whole.",
                "用于恰有一个正确类别的情形：各类别分享同一份概率。",
            ),
        ),
    ),
    sources=(
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016)',
        'Boutell et al., "Learning multi-label scene classification", Pattern Recognition 37 (2004)',
        'Tsoumakas and Katakis, "Multi-Label Classification: An Overview", International Journal of Data Warehousing '
        "and Mining 3 (2007)",
    ),
    curve=Curve(
        Text("logit $x$ of one class", "单个类别的 logit $x$"),
        (-5.0, 5.0),
        {
            "y = 1": lambda x: {"input": x.unsqueeze(1), "target": torch.ones(len(x), 1, dtype=x.dtype)},
            "y = 0": lambda x: {"input": x.unsqueeze(1), "target": torch.zeros(len(x), 1, dtype=x.dtype)},
        },
    ),
    aliases=("multilabel_soft_margin", "multi_label_soft_margin", "multilabel_cross_entropy", "binary_relevance"),
)


LOSS = Loss(
    function=multilabel_soft_margin_loss,
    module=MultiLabelSoftMarginLoss,
    family="classification",
    formulas=(bce_with_logits,),
    facts=Facts(
        convex=True,
        lipschitz=lambda input, **_: float(input.shape[-1] ** -0.5),
        prediction=REALS,
        target=UNIT,
        minimiser=lambda target, **_: torch.logit(target),
        denominator="rows",
        smooth=True,
        optimum="log-odds",
    ),
    card=CARD,
)
