"""Multi-class hinge: the score of the label is to exceed every other score by a margin."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes_of
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.rowwise import ClassLabels, Steps, label_steps, margins_to_label, rowwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
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
    r"""Multi-class hinge: what the label's score lacks to exceed each other score by a margin, over the classes.

    .. math::
        \ell(x, y) = \frac{w_y}{C} \sum_{i \ne y} \max(0, m - x_y + x_i)^p \qquad
        \frac{\partial \ell}{\partial x_i} = \frac{w_y}{C}\, p \max(0, m - x_y + x_i)^{p-1}
        \,[\,m - x_y + x_i > 0\,] = -\frac{\partial \ell_i}{\partial x_y}

    It divides by all C classes, the label's among them, as torch does. As there, the slope at the kink is 0, and a
    difference that is NaN adds nothing.

    Source: Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines" (2001),
    whose loss takes the largest term of the sum; the sum itself: Weston and Watkins, "Support Vector Machines for
    Multi-Class Pattern Recognition" (1999).

    Args:
        input: scores :math:`x`, (N, C), or (C) for one row; a floating dtype.
        target: labels from 0 to C - 1 of any integer dtype, (N), or () or (1) for one row.
        p: 1 or 2.
        margin: :math:`m`, in the unit of the scores.
        weight: a weight for each class, (C). As in torch, it does not enter the denominator of the mean.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none`` gives (N), or the target's shape for one row; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: p is neither 1 nor 2; weight is no vector; an unknown reduction.
        RuntimeError: shapes or dtypes that do not go together.

    >>> import torch, lossmith
    >>> scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> lossmith.functional.multi_margin_loss(scores, torch.tensor([3]))  # (0.3 + 0.4 + 0.6 + 0) / 4
    tensor(0.3250)
    """
    loss = "multi_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    _check_settings(loss, p, weight)
    alike = checks.alike_rows(input, target) if weight is None and input.dim() == 2 else 0
    classes, rows = input.shape[-1] if input.dim() else 1, input
    if not alike:
        checks.score_rows(loss, input, target)
        target = _label_shape(loss, input, target)
        rows = input.reshape(*target.shape, classes)
        checks.class_weight(loss, weight, rows, rows.dim() - 1)
    compute, result = dtypes_of(alike, input)

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def of(rows: Tensor, labels: ClassLabels) -> Tensor:
            values = margins_to_label(rows.to(compute), labels, p, margin)
            return values if per_class is None else values * labels.pick(per_class)

        return label_steps(loss, how, classes, result, None, per_class, False, of)

    return rowwise(
        loss,
        "margin_to_label",
        rows,
        target,
        rows.dim() - 1,
        how,
        (compute, result),
        steps,
        weight=weight,
        margin=margin,
        power=p,
        alike=alike,
    )


def _check_settings(loss: str, p: float, weight: Tensor | None) -> None:
    if p not in (1, 2):
        raise ValueError(f"{loss}: only p == 1 and p == 2 supported, got p={p!r}; 1 is the hinge, 2 its square")
    if weight is not None and weight.dim() != 1:
        raise ValueError(
            f"{loss}: weight must be one-dimensional, one number for each class, got {checks.describe(weight)}; "
            f"for weights of rows write sample_weight="
        )


def _label_shape(loss: str, input: Tensor, target: Tensor) -> Tensor:
    """Labels as int64: (N) for (N, C); () or (1) for one row, whatever the shape of its scores."""
    one_row = input.dim() < 2 or input.shape[0] == 1
    if target.shape != input.shape[:-1] and not (one_row and target.shape in ((), (1,))):
        raise RuntimeError(
            f"{loss}: target tensor should be 1-D, one label for each row of the input, {tuple(input.shape[:-1])}, got "
            f"{checks.shapes(input=input, target=target)}; write target.argmax(-1) for one-hot rows"
        )
    return checks.integers(loss, "target", target)


class MultiMarginLoss(Criterion, torch.nn.MultiMarginLoss):
    """:func:`lossmith.functional.multi_margin_loss` as a Module; a :class:`torch.nn.MultiMarginLoss` with more.

    Args:
        p, margin, weight, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MultiMarginLoss(p=2)(torch.tensor([[1.0, 0.5]]), torch.tensor([0]))  # 0.5**2 / 2
    tensor(0.1250)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        _check_settings(type(self).__name__, p, weight)
        super().__init__(p, margin, weight, size_average, reduce, reduction)
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
        return multi_margin_loss(
            input,
            target,
            self.p,
            self.margin,
            self.weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _minimiser(input: Tensor, target: Tensor, margin: float = 1.0, **_: object) -> Tensor:
    """The label's score above all others by the margin."""
    return torch.zeros_like(input).scatter(-1, target.unsqueeze(-1), max(margin, 0.0))


CARD = Card(
    title=Text("Multi-class hinge loss", "多分类合页损失"),
    summary=Text(
        "What the label's score lacks to exceed each other score by a margin, summed over the other classes and "
        "divided by the number of classes.",
        "标签的得分应比其他每个类别的得分至少高出一个间隔；差多少罚多少，对其他类别求和后除以类别数。",
    ),
    gradient=Text(
        "With p = 1 each class within the margin is pushed down with $1/C$ and the label pulled up with the number of "
        "them over C, however much is missing. With p = 2 each pull is in proportion to what is missing. At the kink "
        "it is 0.",
        "p = 1 时，每个未被拉开间隔的类别都以 $1/C$ 的力被压低，标签则以“这些类别的个数除以 C”的力被抬高，"
        "与差多少无关；p = 2 时拉力与所差的量成正比。尖点处梯度取 0。",
    ),
    robustness=Text(
        "With p = 1 a wrong label pulls with at most $\\sqrt{1 - 1/C}$, however far it is missed, and never lets go. "
        "With p = 2 the pull grows with the miss, so that a few wrong labels can rule.",
        "p = 1 时，错误标签无论差多远，拉力都不超过 $\\sqrt{1 - 1/C}$，但也不会消失；p = 2 时拉力随差距增大，"
        "少数错误标签就可能主导训练。",
    ),
    sparsity=Text(
        "Gradients: a row whose label leads every class by the margin has loss and gradient exactly 0, and so has "
        "each class that is far enough behind. Only the rows at the boundary teach: the support vectors.",
        "梯度稀疏：标签对所有类别都领先一个间隔的样本，损失与梯度恰好为 0；落后足够多的类别也是如此。"
        "只有边界附近的样本（支持向量）起作用。",
    ),
    smoothness=Text(
        "Convex in the scores. With p = 1 it is piecewise linear, with a kink where a lead equals the margin; with p "
        "= 2 once differentiable everywhere, and the second derivative jumps there.",
        "对得分是凸函数。p = 1 时分段线性，领先量等于间隔处有尖点；p = 2 时处处一阶可导，二阶导数在该处跳变。",
    ),
    sensitivity=Text(
        "Differences of scores alone: a constant added to a row changes nothing. The margin is in their unit: with p "
        "= 1, scores and margin times k give k times the loss, so it matters only against weight decay or bounded "
        "scores.",
        "只取决于得分之差：整行加上常数不改变损失。间隔以得分的单位计：p = 1 时得分与间隔同乘 k，损失也乘 k，"
        "因此只有存在权重衰减或得分有界时间隔的大小才重要。",
    ),
    minimiser=Text(
        "Any lead of at least the margin over every other class. Where labels scatter, the most frequent one scores "
        "highest; with p = 1 it is sure to lead alone only if it has more than half of the rows: frequencies of 0.4, "
        "0.35 and 0.25 give the first two one score and the third a score lower by 1.",
        "标签对其他类别的领先量不小于间隔即可，再大也一样。同一输入的标签有散布时，出现最多的标签得分最高；"
        "但 p = 1 时，只有当它超过半数才保证独自领先：频率为 0.4、0.35、0.25 时，前两类得分相同，第三类低 1。",
    ),
    use=(
        Text(
            "Large-margin classification, where only the decision counts and no probability: a linear SVM on features "
            "of a frozen network, for one.",
            "只看判别结果、不需要概率的大间隔分类，例如在冻结网络的特征上训练线性 SVM。",
        ),
        Text(
            "Rows that are right by a clear margin are to stop pulling, so that the rest of the training goes to the "
            "hard ones.",
            "希望已明显分对的样本不再产生拉力，让后续训练集中于困难样本。",
        ),
        Text(
            "Scores with a scale of their own, such as similarities to class prototypes, that are to lie a fixed gap "
            "apart.",
            "得分本身有固定尺度（如与类别原型的相似度），需要彼此拉开固定差距的场合。",
        ),
    ),
    avoid=(
        Text(
            "Probabilities, thresholds or soft labels are needed: take CrossEntropyLoss. A softmax of these scores is "
            "no estimate of frequencies.",
            "需要概率、阈值或软标签时：应用 CrossEntropyLoss。对这些得分取 softmax 并不是频率的估计。",
        ),
        Text(
            "Classes overlap so much that none has half of the labels for an input: the best scores of p = 1 may be a "
            "tie. Take CrossEntropyLoss, or p = 2.",
            "类别重叠严重、同一输入下没有哪一类过半时：p = 1 的最优得分可能并列。应改用 CrossEntropyLoss 或 p = 2。",
        ),
    ),
    traps=(
        Trap(
            "multi-margin-divided-by-classes",
            Text(
                "The sum is divided by all C classes. With C = 1000, a row whose label is beaten by 1 by a single "
                "class, all others far behind, has a loss of 2/1000 = 0.002 and pulls with 1/1000: the loss looks "
                "finished while the row is wrong. (Crammer and Singer, and Keras' CategoricalHinge, take the largest "
                "term alone: 2.) Watch the accuracy, and write C * loss.",
                "求和之后要除以全部 C 个类别。C = 1000 时，若标签仅被一个类别超出 1、其余类别都远远落后，"
                "该样本损失只有 2/1000 = 0.002，拉力只有 1/1000：损失看似已收敛，样本却仍然分错。"
                "（Crammer 与 Singer 的原文以及 Keras 的 CategoricalHinge 只取最大的一项，此处为 2。）应观察准确率，"
                "并写 C * loss。",
            ),
        ),
        Trap(
            "multi-margin-softmax",
            Text(
                "After a softmax, p = 1 and margin = 1 give exactly $1 - p_y$: no hinge is left, no row is ever done, "
                "and the gradient in the label's logit is $-p_y (1 - p_y)$: it fades where the row is most wrong "
                "(0.0099 at $p_y$ = 0.01, where cross-entropy has 0.99). Pass the scores as they are.",
                "先做 softmax 再用 p = 1、margin = 1，结果恰好是 $1 - p_y$：合页不再起作用，没有样本能达到零损失；"
                "对标签 logit 的梯度为 $-p_y (1 - p_y)$，错得越离谱梯度越小（$p_y$ = 0.01 时大小只有 0.0099，"
                "而交叉熵为 0.99）。应直接传入原始得分。",
            ),
        ),
        Trap(
            "multi-margin-target-form",
            Text(
                "The target is one class index for each row. One-hot rows and float labels are refused, and so is "
                "-100, as there is no ignore_index; labels counted from 1 are refused only once label C occurs (on "
                "CUDA the loss of that row is NaN). Write target.argmax(-1), target.long(), mask=, target - 1.",
                "目标是每行一个类别索引。one-hot 行、浮点标签会报错；没有 ignore_index，-100 也会报错；"
                "从 1 开始编号的标签要等到出现标签 C 才会报错（在 CUDA 上该行损失为 NaN）。"
                "对应的写法是 target.argmax(-1)、target.long()、mask=、target - 1。",
            ),
            rule="index-target-invalid",
        ),
        Trap(
            "multi-margin-positional-p",
            Text(
                "The first argument of the Module is p, not the margin: MultiMarginLoss(2) squares the hinge and "
                "keeps the margin at 1, without a word. Write MultiMarginLoss(margin=2.0).",
                "该 Module 的第一个参数是 p 而不是间隔：MultiMarginLoss(2) 会把合页平方，间隔仍为 1，且没有任何提示。"
                "应写 MultiMarginLoss(margin=2.0)。",
            ),
        ),
        Trap(
            "multi-margin-weighted-mean",
            Text(
                "As in torch, class weights multiply the loss while the mean still divides by the number of rows; "
                "CrossEntropyLoss divides by the sum of the weights. Weights (1, 10) on three rows of the first class "
                "and one of the second raise the mean of equal losses 3.25 times, and the step with it. Write "
                "sample_weight=weight[target], which enters the denominator.",
                "与 torch 一致，类别权重只乘在损失上，取均值时仍除以样本数；CrossEntropyLoss 则除以权重之和。"
                "三个第一类样本、一个第二类样本配权重 (1, 10)，会使本来相等的损失均值变为 3.25 倍，步长也随之放大。"
                "应写 sample_weight=weight[target]，它会计入分母。",
            ),
        ),
        Trap(
            "multi-margin-zero-margin",
            Text(
                "With margin = 0 equal scores have a loss of 0 and, at the kink, a gradient of 0: a last layer that "
                "starts at zero never moves. Keep the margin above 0.",
                "margin = 0 时，所有得分相等则损失为 0，且正处在尖点上、梯度也为 0：最后一层若以零初始化将永远不动。"
                "间隔应大于 0。",
            ),
        ),
        Trap(
            "multi-margin-nan-hidden",
            Text(
                "As in torch, a difference that is NaN adds nothing: a row whose label's score is NaN has loss 0 and "
                "gradient 0, so a broken network looks perfect. Check scores.isfinite().all() before the loss.",
                "与 torch 一致，为 NaN 的差不计入：标签得分为 NaN 的样本，损失与梯度都是 0，坏掉的网络看起来反而完美。"
                "应在计算损失前检查 scores.isfinite().all()。",
            ),
        ),
    ),
    stability=Text(
        "No exponential, no logarithm: with p = 1 nothing overflows unless a difference of scores does; with p = 2 "
        "the squares do in float32 from differences of about 2e19 on. Half precision is computed in float32.",
        "不含指数与对数：p = 1 时只有得分之差溢出才会溢出；p = 2 时差达到约 2e19，其平方在 float32 中溢出。"
        "半精度输入以 float32 计算。",
    ),
    activation=Text("none (scores)", "无（得分）"),
    input="(N, C)",
    target="(N) int",
    typical=Text("large-margin classification, SVM heads", "大间隔分类、SVM 分类头"),
    siblings=(
        Sibling(
            "CrossEntropyLoss",
            Text(
                "Gives probabilities and never stops pulling: its gradient fades as the lead grows, this one ends at "
                "the margin. It is the default for classes.",
                "可得到概率，且拉力永不为零：其梯度随领先量增大而衰减，而本损失到间隔处便停止。分类任务默认用它。",
            ),
        ),
        Sibling(
            "MultiLabelMarginLoss",
            Text(
                "The same for a set of labels a row. With one label a row it equals this loss at p = 1, margin = 1.",
                "同样的损失，但每行可有一组标签。每行只有一个标签时，它等于 p = 1、margin = 1 的本损失。",
            ),
        ),
        Sibling(
            "MarginRankingLoss",
            Text(
                "One pair of scores at a time. MarginRankingLoss(margin=1.0)(x, torch.zeros_like(x), y) is the SVM's "
                "binary hinge $\\max(0, 1 - y x)$.",
                "一次只比较一对得分。MarginRankingLoss(margin=1.0)(x, torch.zeros_like(x), y) 就"
                "是 SVM 的二分类合页损失 $\\max(0, 1 - y x)$。",
            ),
        ),
    ),
    sources=(
        'Weston and Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", ESANN (1999)',
        'Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines", JMLR 2 '
        "(2001)",
        'Wang and Scott, "Weston-Watkins Hinge Loss and Ordered Partitions", NeurIPS (2020)',
    ),
    curve=Curve(
        Text("lead of the label over the other of two classes", "两个类别时标签的领先量"),
        (-3.0, 3.0),
        {"": lambda x: {"input": torch.stack([x, torch.zeros_like(x)], -1), "target": torch.zeros_like(x).long()}},
    ),
    aliases=(
        "hinge",
        "hinge_loss",
        "squared_hinge",
        "squared_hinge_loss",
        "categorical_hinge",
        "multiclass_hinge",
        "multiclass_hinge_loss",
        "multiclass_svm",
        "svm",
        "svm_loss",
        "linear_svc",
        "weston_watkins",
        "crammer_singer",
    ),
)


LOSS = Loss(
    function=multi_margin_loss,
    module=MultiMarginLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=lambda input, p=1, **_: math.inf if p == 2 else (1 - 1 / input.shape[-1]) ** 0.5,
        prediction=REALS,
        target="labels",
        minimiser=_minimiser,
        denominator="rows",
        optimum="most frequent label",
        smooth=False,
    ),
    card=CARD,
)
