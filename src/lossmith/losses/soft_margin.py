"""Soft margin: the logistic loss of a score and a sign."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, sigmoid, softplus
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def soft_margin(prediction: Real, target: Real) -> Reals:
    opposed = -target * prediction
    slope = sigmoid(opposed)
    return softplus(opposed), -target * slope, -prediction * slope


@overridable
def soft_margin_loss(
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
    r"""Logistic loss of a score and a target of -1 or 1.

    .. math::
        \ell(x, y) = \log(1 + \exp(-y x)) \qquad \frac{\partial \ell}{\partial x} = -y\,\sigma(-y x)

    It never overflows, and keeps its relative accuracy on both sides. With targets of 0 and 1 use
    :func:`lossmith.functional.binary_cross_entropy_with_logits`, which is the same loss.

    Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning" (2009), section 10.5.

    Args:
        input: scores :math:`x`, any shape, a floating dtype.
        target: :math:`y`, -1 or 1, of the same shape (others broadcast; a result larger than both warns); any dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean`` (over the elements), ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> lossmith.functional.soft_margin_loss(torch.tensor([0.0, 100.0]), torch.tensor([1, -1]), reduction="none")
    tensor([  0.6931, 100.0000])
    """
    loss = "soft_margin_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.pair(loss, how.reduction, input, target, "input")
    return pointwise(loss, soft_margin, (input, target), (), how, like=input, alike=alike)


class SoftMarginLoss(Criterion, torch.nn.SoftMarginLoss):
    """:func:`lossmith.functional.soft_margin_loss` as a Module; a :class:`torch.nn.SoftMarginLoss` with more.

    Args:
        size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.SoftMarginLoss()(torch.zeros(2), torch.tensor([-1, 1]))
    tensor(0.6931)
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
        return soft_margin_loss(input, target, **self._reduction(sample_weight, mask, normalizer, on_empty))


CARD = Card(
    title=Text("Soft margin loss", "软间隔损失"),
    summary=Text(
        "The logistic loss of a score and a sign, $\\log(1 + e^{-y x})$: how far the score is from lying clearly on "
        "the side of y, -1 or 1. As every loss here it is averaged, not summed, by default.",
        "得分与符号的 logistic 损失 $\\log(1 + e^{-y x})$：衡量得分距离明确落在 y（-1 或 1）一侧还有多远。"
        "与其他损失一样，默认取均值而非求和。",
    ),
    gradient=Text(
        "$-y\\,\\sigma(-y x)$: almost 1 on the wrong side, 1/2 at 0, fading as $e^{-y x}$ on the right side.",
        "$-y\\,\\sigma(-y x)$：在错误的一侧接近 1，在 0 处为 1/2，在正确的一侧按 $e^{-y x}$ 消退。",
    ),
    robustness=Text(
        "Medium: a wrong sign costs about |x| (5.007 at 5) and pulls by almost 1 without fading, but never more. The "
        "exponential loss of AdaBoost would pull by $e^{5} = 148$ there.",
        "中等：符号错误的样本损失约为 |x|（5 处为 5.007），拉力接近 1 且不消退，但绝不更大。"
        "AdaBoost 的指数损失在此处的拉力是 $e^{5} = 148$。",
    ),
    sparsity=Text(
        "None: unlike a hinge it has no margin beyond which a sample is done; one 10 on the right side still pulls by "
        "4.5e-5.",
        "无稀疏性：与合页损失不同，没有一个间隔使样本越过后便不再起作用；正确一侧距离 10 处仍有 4.5e-5 的拉力。",
    ),
    smoothness=Text(
        "Infinitely differentiable and strictly convex in the score, with curvature of at most 1/4: a hinge with its "
        "corner rounded.",
        "对得分无穷次可导且严格凸，曲率不超过 1/4：相当于把合页损失的拐角磨圆。",
    ),
    sensitivity=Text(
        "To the scale of the scores, which plays the part of a margin, and to the share of each sign: there is no "
        "weight for classes, sample_weight does it.",
        "受得分的尺度（相当于间隔）和正负样本比例影响：没有类别权重，可用 sample_weight 代替。",
    ),
    minimiser=Text(
        "No finite score: y times infinity. Where signs scatter, the log-odds of 1: $\\sigma(x)$ is the share of "
        "positives.",
        "没有有限的最优得分：为 y 乘以无穷。符号有散布时，是取 1 的对数几率：$\\sigma(x)$ 等于正样本的比例。",
    ),
    use=(
        Text(
            "Two classes whose targets are -1 and 1 already, as in boosting and SVM code.",
            "目标本来就是 -1 与 1 的二分类，如 boosting 与 SVM 的代码。",
        ),
        Text(
            "Preferences: on the difference of two scores, with targets of 1, it is the loss of Bradley-Terry, "
            "RankNet and reward models.",
            "偏好学习：作用于两个得分之差、目标全为 1 时，就是 Bradley-Terry、RankNet 和奖励模型的损失。",
        ),
    ),
    avoid=(
        Text(
            "Targets of 0 and 1, soft targets, or rare positives: BCEWithLogitsLoss is the same loss and has "
            "pos_weight.",
            "目标为 0 与 1、软目标或正样本稀少时：BCEWithLogitsLoss 是同一损失，且有 pos_weight。",
        ),
        Text(
            "Many wrong labels: it has no bound. MSELoss on sigmoid(x), the Brier score, is bounded by 1.",
            "错误标签较多时：其损失没有上界。对 sigmoid(x) 使用 MSELoss（即 Brier 分数）则不超过 1。",
        ),
    ),
    traps=(
        Trap(
            "soft-margin-zero-one",
            Text(
                "Targets are -1 and 1. With 0 and 1, every 0 costs log 2 = 0.693 whatever the score, with gradient 0: "
                "negatives are never learned, and the network says yes to everything. Write 2 * target - 1, or take "
                "BCEWithLogitsLoss.",
                "目标应为 -1 与 1。若用 0 与 1，则每个 0 无论得分如何损失都是 log 2 = 0.693，梯度为 0："
                "负样本永远学不到，网络把一切都判为正。应写 2 * target - 1，或改用 BCEWithLogitsLoss。",
            ),
            rule="target-not-plus-minus-one",
        ),
        Trap(
            "soft-margin-sigmoid",
            Text(
                "A sigmoid or tanh before it bounds the scores: the loss of tanh's can't fall below 0.313, of a "
                "sigmoid's below 0.693 for -1. Pass the scores as they are.",
                "前面加 sigmoid 或 tanh 会限制得分：用 tanh 时损失不可能低于 0.313，"
                "用 sigmoid 时目标 -1 的损失不可能低于 0.693。应直接传入得分。",
            ),
            rule="sigmoid-into-bce-with-logits",
        ),
        Trap(
            "soft-margin-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes a table of all pairs (N, N). Write "
                "input.squeeze(1).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "A stable softplus of $-y x$: linear where exp would overflow. torch gives inf and a NaN gradient once $-y x$ "
        "is above 88; here the loss is 100 at 100. Half precision is computed in float32.",
        "即 $-y x$ 的稳定 softplus：exp 会溢出之处按线性计算。$-y x$ 超过 88 时 torch 给出 inf，梯度为 NaN；这里在 "
        "100 处损失就是 100。半精度以 float32 计算。",
    ),
    activation=Text("none (scores)", "无（得分）"),
    input="(*)",
    target="(*)",
    typical=Text("binary classification with signs, preferences", "目标为正负号的二分类、偏好学习"),
    siblings=(
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The same loss for targets $t = (y + 1) / 2$ of 0 and 1; takes soft targets and pos_weight. The "
                "default choice.",
                "同一损失，但目标为 0 与 1，即 $t = (y + 1) / 2$；支持软目标与 pos_weight。默认选择。",
            ),
        ),
        Sibling(
            "MarginRankingLoss",
            Text(
                "For pairs, and with a corner: a difference of scores that exceeds the margin costs exactly 0.",
                "用于成对比较，且有拐角：得分之差超过间隔后损失恰为 0。",
            ),
        ),
        Sibling(
            "HingeEmbeddingLoss",
            Text(
                "Takes -1 and 1 too, but for distances: a 1 pulls the distance to 0, a -1 pushes it beyond a margin. "
                "No classifier's hinge.",
                "目标同样是 -1 与 1，但输入是距离：1 把距离拉向 0，-1 把它推到间隔之外。它不是分类用的合页损失。",
            ),
        ),
    ),
    sources=(
        'Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", Springer (2009)',
        'Friedman, Hastie and Tibshirani, "Additive Logistic Regression: A Statistical View of Boosting", Annals of '
        "Statistics 28 (2000)",
        'Burges et al., "Learning to Rank using Gradient Descent", ICML (2005)',
    ),
    curve=Curve(
        Text("score $x$", "得分 $x$"),
        (-5.0, 5.0),
        {
            "y = 1": lambda x: {"input": x, "target": torch.ones_like(x)},
            "y = -1": lambda x: {"input": x, "target": -torch.ones_like(x)},
        },
    ),
    aliases=("soft_margin", "binomial_deviance", "logitboost", "ranknet", "bradley_terry", "pairwise_logistic"),
)


LOSS = Loss(
    function=soft_margin_loss,
    module=SoftMarginLoss,
    family="classification",
    formulas=(soft_margin,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target="signs",
        minimiser=lambda target, **_: torch.inf * target,
        denominator="elements",
        smooth=True,
        optimum="log-odds",
    ),
    card=CARD,
)
