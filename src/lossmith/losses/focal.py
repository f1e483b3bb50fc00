"""Focal loss of softmax(logits), against labels or class probabilities: cross-entropy that fades where it is right."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, exp, expm1, formula, log, minimum, product, where
from ..loops.rowwise import Focus, softmax_loss
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def modulating(base: Real, gamma: Real, power_of_zero: Real) -> Reals:
    """base^gamma, with slope 0 at 0."""
    inside = where(base == 0.0, 1.0, base)
    power = where(base == 0.0, power_of_zero, exp(gamma * log(inside)))
    return power, gamma * power / inside


@formula
def missed_probability(surprisal: Real) -> Reals:
    """1 - p, exact near 0, and its slope p."""
    # bounded, since the slope of an infinite surprisal would be 0 times infinity
    p = exp(-minimum(surprisal, 1e4))
    return where(surprisal < 0.5, -expm1(-surprisal), 1.0 - p), p


@formula
def focal(surprisal: Real, gamma: Real, power_of_zero: Real) -> Reals:
    """(1 - p)^gamma s of a surprisal s = -log p."""
    miss, p = missed_probability(surprisal)
    power, slope = modulating(miss, gamma, power_of_zero)
    return power * surprisal, power + slope * product(p, surprisal)


@formula
def focal_squared(surprisal: Real) -> Reals:
    """The same for a gamma of 2."""
    miss, p = missed_probability(surprisal)
    return miss * miss * surprisal, miss * (miss + 2.0 * product(p, surprisal))


def power_of_zero(gamma: float) -> float:
    """0^gamma, which is a parameter of the formulas."""
    return 1.0 if gamma == 0 else 0.0


def check_gamma(loss: str, gamma: float) -> None:
    """Raises ValueError unless gamma is a finite number of 0 or more."""
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float)) or not 0 <= gamma < math.inf:
        raise ValueError(
            f"{loss}: gamma is {gamma!r}, expected a finite number of 0 or more; 2 is usual, 0 is cross-entropy"
        )


@overridable
def focal_loss(
    input: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Focal loss between a target and :math:`p = \mathrm{softmax}(x)`, from logits: cross-entropy, times
    :math:`(1 - p)^\gamma`, so that what is classified well already hardly counts.

    .. math::
        \ell(x, y) = -w_y (1 - p_y)^\gamma \log p_y \qquad
        \ell(x, q) = -\sum_c w_c\, q_c (1 - p_c)^\gamma \log p_c

    .. math::
        \frac{\partial \ell(x, y)}{\partial x_c} = w_y\, k(p_y)\,(p_c - [c = y]) \qquad
        k(p) = (1 - p)^\gamma - \gamma\, p\,(1 - p)^{\gamma - 1} \log p

    With ``gamma=0`` it is :func:`lossmith.functional.cross_entropy`, to the bit. Against labels, value and gradient of
    an almost certain row keep their relative accuracy. A class with :math:`q_c = 0` adds 0, even at a logit of
    :math:`-\infty`.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5, whose :math:`\alpha` of a class is
    ``weight`` here; over a softmax: Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss" (2020).

    Args:
        input: logits :math:`x`: (C), (N, C) or (N, C, d1, ...); a floating dtype; no softmax before it.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension; or
            probabilities, floating, of the input's shape.
        gamma: how soon the loss fades as :math:`p_y` grows; 0 or more.
        weight: a weight for each class, (C).
        ignore_index: a label that leaves its row out; for labels only.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. As that of cross_entropy, the mean divides by the sum
            of the rows' class weights for labels, and by the number of rows for probabilities. See :doc:`/reductions`.
        dim: the class dimension; by default 1, or 0 for a row without a batch.
        sample_weight, mask, normalizer, on_empty: per row (they broadcast to the unreduced loss); see
            :doc:`/reductions`. ``mask`` works with every kind of target.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: gamma is below 0 or not finite; the batch sizes of input and target differ; an unknown reduction.
        RuntimeError: other shapes or dtypes that do not go together.

    >>> import torch, lossmith
    >>> x = torch.tensor([[0.0, 0.0]])  # p = 1/2
    >>> lossmith.functional.focal_loss(x, torch.tensor([0]))  # (1 - 1/2)^2 log 2 = 0.6931 / 4
    tensor(0.1733)
    """
    loss = "focal_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_gamma(loss, gamma)
    focus: Focus | None = None
    if gamma == 2:
        focus = Focus(focal_squared)
    elif gamma != 0:
        focus = Focus(focal, (gamma, power_of_zero(gamma)))
    return softmax_loss(loss, input, target, weight, ignore_index, dim, how, gamma=gamma, focus=focus)


class FocalLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.focal_loss` as a Module.

    Args:
        gamma, weight, ignore_index, reduction, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.FocalLoss(gamma=1.0, reduction="sum")
    >>> criterion(torch.zeros(3, 4), torch.tensor([0, 3, -100]))  # two rows of 3/4 log 4
    tensor(2.0794)
    """

    weight: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        check_gamma(type(self).__name__, gamma)
        self.gamma, self.ignore_index, self.reduction, self.dim = gamma, ignore_index, reduction, dim
        self.register_buffer("weight", weight)
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
        return focal_loss(
            input,
            target,
            self.gamma,
            self.weight,
            self.ignore_index,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def greatest_slope(gamma: float) -> float:
    """The greatest (1 - p)^gamma (1 - p - gamma p log p): how hard the logit of a label can pull."""
    p = torch.sigmoid(torch.linspace(-40, 40, 100_001, dtype=torch.float64))
    return max(1.0, ((1 - p) ** gamma * (1 - p - gamma * torch.xlogy(p, p))).max().item())


def _least(input: Tensor, target: Tensor, gamma: float = 2.0, dim: int | None = None, **_: object) -> Tensor:
    """Of a label its lead without end; of probabilities the logits of `_least_probabilities`."""
    dim = dim if dim is not None else 0 if input.dim() == 1 else 1
    if target.shape != input.shape:
        return torch.log(torch.nn.functional.one_hot(target, input.shape[dim]).movedim(-1, dim).to(input.dtype))
    return _least_probabilities(target.movedim(dim, -1), gamma).log().movedim(-1, dim)


def _least_probabilities(target: Tensor, gamma: float) -> Tensor:
    """Where the loss of each class of the last dimension falls alike: q k(p) / p, which falls with p, is one number.

    In probabilities the loss is convex, so there is one such point, which two bisections find.
    """

    def pull(log_p: Tensor) -> Tensor:
        p, miss = log_p.exp(), -torch.expm1(log_p)
        return target * (miss**gamma / p - gamma * miss ** (gamma - 1) * log_p)

    def bisected(low: Tensor, high: Tensor, above: Callable[[Tensor], Tensor]) -> Tensor:
        for _ in range(80):
            middle = (low + high) / 2
            too_low = above(middle)
            low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
        return (low + high) / 2

    def log_p(log_pull: Tensor) -> Tensor:
        lowest = torch.full_like(target, -700.0)
        return bisected(lowest, torch.full_like(target, -1e-15), lambda at: pull(at) > log_pull.exp())

    low, high = torch.full_like(target[..., :1], -690.0), torch.full_like(target[..., :1], 690.0)
    found = log_p(bisected(low, high, lambda at: log_p(at).exp().sum(-1, keepdim=True) > 1))
    return torch.where(target == 0, 0, found.exp())


def _of_probability(p: Tensor, gamma: float) -> dict[str, Any]:
    """Rows of two classes, of which the right one has the probability p."""
    logits = torch.stack([torch.logit(p), torch.zeros_like(p)], 1)
    return {"input": logits, "target": torch.zeros_like(p).long(), "gamma": gamma}


CARD = Card(
    title=Text("Focal loss", "Focal 损失（多类）"),
    summary=Text(
        "Cross-entropy times $(1 - p)^\\gamma$, p being the probability of the right class: what is classified well "
        "hardly counts, so the loss is that of the hard rows.",
        "交叉熵乘以 $(1 - p)^\\gamma$，其中 p 是正确类别的概率：已分对的样本几乎不计，损失主要来自难样本。",
    ),
    gradient=Text(
        "$k(p)\\,(p - y)$ for each row: that of cross-entropy, times a factor k that falls from 1 at p = 0 to 0 at "
        "p = 1. For a gamma of 2 it rises to 1.22 on the way (at p = 0.10), and is 0.60 at p = 0.5 and 0.029 at "
        "p = 0.9.",
        "每一行为 $k(p)\\,(p - y)$：即交叉熵的梯度乘以系数 k，k 从 p = 0 处的 1 降到 p = 1 处的 0。gamma 为 2 时，"
        "途中先升到 1.22（p = 0.10），p = 0.5 时为 0.60，p = 0.9 时为 0.029。",
    ),
    robustness=Text(
        "Weak against wrong labels: they are the hard rows that it looks at. A row pulls by at most $1.13 \\sqrt 2$ "
        "for a gamma of 2, 13 % more than under cross-entropy, while the right rows, which would outvote it, fade.",
        "对错误标签较弱：它们正是该损失关注的难样本。gamma 为 2 时单个样本的拉力至多为 $1.13 \\sqrt 2$，"
        "比交叉熵大 13%，而能与之抗衡的正确样本的拉力却在消退。",
    ),
    sparsity=Text(
        "None: a right row pulls by about $(1 + \\gamma) (1 - p)^{\\gamma + 1}$, much less than the 1 - p of "
        "cross-entropy, but not 0. So logits grow more slowly.",
        "无稀疏性：分对的样本仍有约 $(1 + \\gamma) (1 - p)^{\\gamma + 1}$ 的拉力，远小于交叉熵的 1 - p，但不为 0。"
        "因此 logits 增长更慢。",
    ),
    smoothness=Text(
        "Infinitely differentiable in the logits, but not convex in them (it is in the probabilities): the pull is "
        "greatest near p = 0.06, for a gamma of 2, and a little less beyond.",
        "对 logits 无穷次可导，但非凸（对概率则是凸的）：gamma 为 2 时拉力在 p = 0.06 附近最大，更错时略小。",
    ),
    sensitivity=Text(
        "To gamma: at p = 0.9 a row costs 1/100 of its cross-entropy for 2, a tenth for 1 and 1/100000 for 5. The "
        "loss becomes small, so its share beside other terms and the learning rate change with gamma.",
        "受 gamma 影响：p = 0.9 时，gamma 为 2 的损失是交叉熵的 1/100，为 1 时是十分之一，为 5 时是 1/100000。"
        "损失整体变小，因此它与其他项的比重以及合适的学习率都随 gamma 改变。",
    ),
    minimiser=Text(
        "For one label no finite logits. Where labels scatter, probabilities between their frequencies and equal "
        "ones: for frequencies of 0.9 and 0.1 and a gamma of 2, 0.69 and 0.31. Its probabilities are underconfident.",
        "只有一个标签时不存在有限的最优 logits。标签有散布时，最优概率介于类别频率与均匀分布之间：频率为 0.9 与 0.1、"
        "gamma 为 2 时是 0.69 与 0.31。因此其概率偏于不自信。",
    ),
    use=(
        Text(
            "Many easy rows beside few hard ones: a class for each pixel with much background, dense detection with a "
            "softmax head.",
            "大量易分样本与少量难样本并存：背景占多数的逐像素分类，采用 softmax 头的密集检测。",
        ),
        Text(
            "A network that is too sure of itself: gamma holds the confidence back during training.",
            "网络过度自信时：gamma 在训练中抑制其置信度。",
        ),
        Text(
            "Rare classes: together with `weight`, which is the paper's alpha; lossmith.suggest.class_weight(labels, "
            "beta=0.999) computes weights by the effective number of samples.",
            "稀有类别：与 `weight`（即论文中的 alpha）配合使用；lossmith.suggest.class_weight(labels, beta=0.999) "
            "按有效样本数计算权重。",
        ),
    ),
    avoid=(
        Text(
            "Balanced classes and clean labels: CrossEntropyLoss is as good, has nothing to tune, and its "
            "probabilities are the frequencies.",
            "类别均衡且标签干净时：CrossEntropyLoss 效果相当、无需调参，且其概率就是频率。",
        ),
        Text(
            "Many wrong labels: it looks at them most. Take CrossEntropyLoss with label_smoothing.",
            "错误标签较多时：该损失恰恰最关注它们。应改用带 label_smoothing 的 CrossEntropyLoss。",
        ),
        Text(
            "A row may have several labels, or none: SigmoidFocalLoss.",
            "一个样本可有多个标签或没有标签时：使用 SigmoidFocalLoss。",
        ),
    ),
    traps=(
        Trap(
            "focal-softmax",
            Text(
                "Softmax before it: the softmax is taken twice, no probability of 10 classes exceeds 0.232, and "
                "$(1 - p)^2$ never falls below 0.59. Pass the logits.",
                "前面加了 softmax，等于做了两次：10 类时概率不超过 0.232，$(1 - p)^2$ 不会低于 0.59。"
                "应直接传入 logits。",
            ),
            rule="softmax-into-cross-entropy",
        ),
        Trap(
            "focal-not-probabilities",
            Text(
                "Its softmax is not the frequency of the classes: where 0.9 is true, a gamma of 2 predicts 0.69. "
                "The most probable class stays the same; for probabilities that are taken at their word, calibrate "
                "on other data, or take CrossEntropyLoss.",
                "其 softmax 并非类别频率：真实概率为 0.9 时，gamma 为 2 会预测 0.69。最可能的类别不变；"
                "若概率要按字面使用，应在另外的数据上校准，或改用 CrossEntropyLoss。",
            ),
        ),
        Trap(
            "focal-mean",
            Text(
                "Packages divide by different numbers. Here the mean is that of cross_entropy: the sum of the labels' "
                "weights. MONAI's FocalLoss(use_softmax=True) also averages over the classes, 1/C of it; keras's "
                "CategoricalFocalCrossentropy multiplies by alpha=0.25 unless told otherwise.",
                "各软件包的分母不同。这里的均值与 cross_entropy 相同，除以各标签权重之和；MONAI 的 "
                "FocalLoss(use_softmax=True) 还对类别取平均，是它的 1/C；keras 的 CategoricalFocalCrossentropy "
                "默认再乘以 alpha=0.25。",
            ),
        ),
        Trap(
            "focal-labels",
            Text(
                "Labels are integers from 0 to C - 1, without the class dimension, as those of CrossEntropyLoss; a "
                "float target of the input's shape is taken for probabilities.",
                "标签应为 0 到 C - 1 的整数，不带类别维，与 CrossEntropyLoss 相同；"
                "与输入同形状的浮点目标会被当作概率。",
            ),
            rule="index-target-invalid",
        ),
    ),
    stability=Text(
        "1 - p is computed as -expm1(log p) of a surprisal that keeps its relative accuracy: a row at a lead of 20 "
        "costs 8.76e-27, and has a gradient, for a gamma below 1 too. Half precision is computed in float32.",
        "1 - p 由保持相对精度的 -log p 经 -expm1(log p) 算出：领先 20 的样本损失为 8.76e-27，且有梯度，gamma 小于 1 "
        "时亦然。半精度以 float32 计算。",
    ),
    activation=Text("none (logits)", "无（logits）"),
    input="(C), (N, C, *)",
    target="(), (N, *) int; (C), (N, C, *) float",
    typical=Text("many easy rows, few hard ones", "易分样本多、难样本少"),
    siblings=(
        Sibling(
            "CrossEntropyLoss",
            Text(
                "The same with a gamma of 0: every row counts by its surprisal alone.",
                "即 gamma 为 0 的情形：每个样本只按其 -log p 计入。",
            ),
        ),
        Sibling(
            "SigmoidFocalLoss",
            Text(
                "A yes or no for each class on its own. For two classes and the logit $x_1 - x_0$ both are equal, up "
                "to alpha.",
                "对每个类别独立判断是或否。二分类且 logit 取 $x_1 - x_0$ 时二者相等（alpha 除外）。",
            ),
        ),
    ),
    sources=(
        'Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV (2017)',
        'Mukhoti et al., "Calibrating Deep Neural Networks using Focal Loss", NeurIPS (2020)',
        'Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR (2019)',
    ),
    curve=Curve(
        Text("probability $p$ of the right class", "正确类别的概率 $p$"),
        (0.01, 0.99),
        {f"gamma = {gamma}": partial(_of_probability, gamma=gamma) for gamma in (0, 1, 2)},
    ),
    aliases=(
        "softmax_focal_loss",
        "categorical_focal_crossentropy",
        "multiclass_focal_loss",
        "focal_cross_entropy",
    ),
)


LOSS = Loss(
    function=focal_loss,
    module=FocalLoss,
    family="classification",
    formulas=(focal, focal_squared),
    facts=Facts(
        convex=False,
        lipschitz=lambda gamma=2.0, **_: 2**0.5 * greatest_slope(gamma),
        prediction=REALS,
        target=lambda input, target, **_: "probabilities" if target.shape == input.shape else "labels",
        minimiser=_least,
        denominator="weights",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
