"""Focal loss of sigmoid(logit): binary cross-entropy that fades where it is right, for few ones among many zeros."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, UNIT, Facts, Loss
from ..formula import Real, Reals, exp, formula, log1p, product, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .focal import check_gamma, greatest_slope, modulating, power_of_zero


@formula
def missed_target(prediction: Real, target: Real) -> Reals:
    """1 - p_t, the probability that the target did not get."""
    small = exp(where(prediction >= 0, -prediction, prediction))
    scale = 1.0 / (1.0 + small)
    wrong = where(prediction >= 0, 1.0 - target, target)
    right = where(prediction >= 0, target, 1.0 - target)
    return (
        # without a slope where exp underflows: an infinite cost times 0 would be NaN
        where(small > 0.0, (wrong + small * right) * scale, wrong),
        (1.0 - 2.0 * target) * small * scale * scale,
        where(prediction >= 0, small - 1.0, 1.0 - small) * scale,
    )


@formula
def weighed_bce(prediction: Real, target: Real, of_ones: Real, of_zeros: Real) -> Reals:
    """alpha_t times binary cross-entropy."""
    toward_zero = where(prediction >= 0, -prediction, prediction)
    small = exp(toward_zero)
    wrong = where(prediction >= 0, 1.0 - target, target)
    right = where(prediction >= 0, target, 1.0 - target)
    cost = log1p(small) - product(wrong, toward_zero)
    pull = (wrong - right * small) / (1.0 + small)
    weight = of_ones * target + of_zeros * (1.0 - target)
    return (
        weight * cost,
        weight * where(prediction >= 0, pull, -pull),
        (of_ones - of_zeros) * cost - product(weight, prediction),
    )


@formula
def sigmoid_focal(
    prediction: Real, target: Real, of_ones: Real, of_zeros: Real, gamma: Real, power_of_zero: Real
) -> Reals:
    cost, cost_in_prediction, cost_in_target = weighed_bce(prediction, target, of_ones, of_zeros)
    miss, miss_in_prediction, miss_in_target = missed_target(prediction, target)
    power, slope = modulating(miss, gamma, power_of_zero)
    return (
        power * cost,
        power * cost_in_prediction + product(slope * miss_in_prediction, cost),
        product(power, cost_in_target) + slope * (miss_in_target * cost),
    )


@formula
def sigmoid_focal_squared(prediction: Real, target: Real, of_ones: Real, of_zeros: Real) -> Reals:
    """The same for a gamma of 2."""
    cost, cost_in_prediction, cost_in_target = weighed_bce(prediction, target, of_ones, of_zeros)
    miss, miss_in_prediction, miss_in_target = missed_target(prediction, target)
    return (
        miss * miss * cost,
        miss * (miss * cost_in_prediction + 2.0 * product(miss_in_prediction, cost)),
        miss * (product(miss, cost_in_target) + 2.0 * (miss_in_target * cost)),
    )


@overridable
def sigmoid_focal_loss(
    input: Tensor,
    target: Tensor,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Focal loss between a target and :math:`p = \sigma(x)`, from logits: binary cross-entropy, times
    :math:`(1 - p_t)^\gamma`, so that the many easy elements hardly count.

    .. math::
        \ell(x, t) = \alpha_t\,(1 - p_t)^\gamma\,[-t \log p - (1 - t) \log(1 - p)]

    .. math::
        p_t = p\,t + (1 - p)(1 - t) \qquad \alpha_t = \alpha\,t + (1 - \alpha)(1 - t)

    For targets of 0 and 1 this is equation 5 of the paper; between them it is torchvision's reading, which mixes
    :math:`p_t` and :math:`\alpha_t`. With ``gamma=0`` it is binary cross-entropy times :math:`\alpha_t`. Value and
    gradient keep their relative accuracy for confident predictions on both sides (with a gamma other than 2 to about
    :math:`\gamma \lvert x \rvert` units in the last place), and a right answer at an infinite logit costs 0.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5; soft targets:
    ``torchvision.ops.sigmoid_focal_loss``.

    Args:
        input: logits :math:`x`, any shape, a floating dtype; no sigmoid before it.
        target: :math:`t` from 0 to 1, of the input's shape; floating, integer or bool.
        alpha: the weight of ones, from 0 to 1; zeros get :math:`1 - \alpha`. None, or as in torchvision a number below
            0, leaves it out: all weigh 1.
        gamma: how soon the loss fades as :math:`p_t` grows; 0 or more.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. torchvision's default is ``none``; the paper takes the
            sum and divides it by the number of positives: ``normalizer=`` that number. See :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        ValueError: input and target differ in shape; alpha is above 1, gamma below 0 or not finite; an unknown
            reduction.

    >>> import torch, lossmith
    >>> x, t = torch.zeros(2), torch.tensor([1.0, 0.0])  # p = 1/2
    >>> lossmith.functional.sigmoid_focal_loss(x, t, reduction="none")  # 1/4 and 3/4 of (1/2)^2 log 2 = 0.1733
    tensor([0.0433, 0.1300])
    """
    loss = "sigmoid_focal_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_gamma(loss, gamma)
    weights = _weights(loss, alpha)
    alike = checks.alike(input, target)
    if not alike:
        checks.real(loss, input=input, target=target)
        checks.must_float(loss, input=input)
        checks.same_shape(loss, ValueError, input=input, target=target)
    if gamma == 2:
        return pointwise(loss, sigmoid_focal_squared, (input, target), weights, how, alike=alike)
    parameters = (*weights, float(gamma), power_of_zero(gamma))
    return pointwise(loss, sigmoid_focal, (input, target), parameters, how, alike=alike)


def _weights(loss: str, alpha: float | None) -> tuple[float, float]:
    """Of ones and of zeros."""
    if alpha is None:
        return 1.0, 1.0
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha <= 1:
        raise ValueError(
            f"{loss}: alpha is {alpha!r}, expected a number from 0 to 1, the weight of ones (zeros get 1 - alpha), or "
            f"None; weights of single elements are sample_weight="
        )
    return (1.0, 1.0) if alpha < 0 else (float(alpha), 1.0 - alpha)


class SigmoidFocalLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.sigmoid_focal_loss` as a Module.

    Args:
        alpha, gamma, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.SigmoidFocalLoss(alpha=None, gamma=1.0)
    >>> criterion(torch.tensor([0.0]), torch.tensor([1.0]))  # log 2 / 2
    tensor(0.3466)
    """

    def __init__(
        self,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        check_gamma(type(self).__name__, gamma)
        _weights(type(self).__name__, alpha)
        self.alpha, self.gamma, self.reduction = alpha, gamma, reduction
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
        return sigmoid_focal_loss(
            input, target, self.alpha, self.gamma, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


def _least(input: Tensor, target: Tensor, alpha: float | None = 0.25, gamma: float = 2.0, **_: object) -> Tensor:
    """Where the loss turns from falling to rising in the logit, which a bisection finds; the log-odds at 0 and 1.

    alpha is a factor of the whole element, and moves nothing.
    """
    low, high = torch.full_like(target, -800.0), torch.full_like(target, 800.0)
    for _turn in range(100):
        middle = (low + high) / 2
        cost, slope = weighed_bce(middle, target, 1.0, 1.0)[:2]
        miss, miss_slope = missed_target(middle, target)[:2]
        falls = miss * slope + gamma * miss_slope * cost < 0
        low, high = torch.where(falls, middle, low), torch.where(falls, high, middle)
    return torch.where(target * (1 - target) > 0, (low + high) / 2, torch.logit(target))


def _of_ones(x: Tensor, gamma: float) -> dict[str, Any]:
    return {"input": x, "target": torch.ones_like(x), "alpha": None, "gamma": gamma}


CARD = Card(
    title=Text("Sigmoid focal loss", "Sigmoid focal 损失（二元）"),
    summary=Text(
        "Binary cross-entropy of a logit, times $(1 - p_t)^\\gamma$, $p_t$ being the probability of what happened: a "
        "hundred thousand easy zeros no longer drown a few ones.",
        "logit 的二元交叉熵乘以 $(1 - p_t)^\\gamma$，其中 $p_t$ 是实际结果的概率："
        "十万个易分的负样本不再淹没少数正样本。",
    ),
    gradient=Text(
        "That of binary cross-entropy times $\\alpha_t\\,k(p_t)$, where k falls from 1 at $p_t = 0$ to 0 at "
        "$p_t = 1$: for a gamma of 2 it rises to 1.22 on the way (at 0.10), and is 0.60 at 0.5 and 0.029 at 0.9.",
        "即二元交叉熵的梯度乘以 $\\alpha_t\\,k(p_t)$，k 从 $p_t = 0$ 处的 1 降到 $p_t = 1$ 处的 0：gamma 为 2 时，"
        "途中先升到 1.22（0.10 处），0.5 处为 0.60，0.9 处为 0.029。",
    ),
    robustness=Text(
        "Weak against wrong labels: they are the hard elements that it looks at. None pulls by more than "
        "$1.13\\,\\alpha_t$ for a gamma of 2, but the right ones, which would outvote it, fade.",
        "对错误标签较弱：它们正是该损失关注的难样本。gamma 为 2 时单个元素的拉力不超过 $1.13\\,\\alpha_t$，"
        "但能与之抗衡的正确元素的拉力却在消退。",
    ),
    sparsity=Text(
        "None: a right element still pulls, by about $\\alpha_t (1 + \\gamma) e^{-(1 + \\gamma) |x|}$.",
        "无稀疏性：判断正确的元素仍有约 $\\alpha_t (1 + \\gamma) e^{-(1 + \\gamma) |x|}$ 的拉力。",
    ),
    smoothness=Text(
        "Infinitely differentiable in the logit, but not convex: the pull is greatest near $p_t = 0.06$, for a gamma "
        "of 2, and a little less beyond.",
        "对 logit 无穷次可导，但非凸：gamma 为 2 时拉力在 $p_t = 0.06$ 附近最大，更错时略小。",
    ),
    sensitivity=Text(
        "To gamma and alpha together: gamma takes weight from the many easy zeros, so that alpha, the weight of ones, "
        "goes down as gamma goes up (in the paper 0.25 with 2, 0.75 with 0). And to what the sum is divided by.",
        "受 gamma 与 alpha 共同影响：gamma 已削弱大量易分负样本的权重，因此 gamma 增大时正样本的权重 alpha 应减小"
        "（论文中 gamma 为 2 时取 0.25，为 0 时取 0.75）。也取决于总和除以什么。",
    ),
    minimiser=Text(
        "$\\pm\\infty$ for targets of 1 and 0. Where they scatter, a probability nearer to 1/2 than their mean: for "
        "one in ten, 0.31 without alpha and 0.23 with 0.25. A soft target is overshot: 0.7 is best met by 0.88.",
        "目标为 1 与 0 时是 $\\pm\\infty$。目标有散布时，最优概率比均值更接近 1/2：十分之一为正时，不用 alpha 是 0.31，"
        "alpha 为 0.25 时是 0.23。软目标会被过度拟合：目标 0.7 的最优预测是 0.88。",
    ),
    use=(
        Text(
            "Dense detection, where one of thousands of anchors holds an object (RetinaNet and its heirs): the sum, "
            "divided by the number of ones, as normalizer=.",
            "密集检测，即数千个锚框中只有一个包含目标（RetinaNet 及其后继）：求和后除以正样本数，即 normalizer=。",
        ),
        Text(
            "Rare labels and small foregrounds, most of whose zeros are easy to tell.",
            "稀有标签与很小的前景，且多数负样本容易分辨。",
        ),
    ),
    avoid=(
        Text(
            "Ones are not rare, or probabilities are wanted: BCEWithLogitsLoss, whose probabilities are frequencies.",
            "正样本并不稀少，或需要概率时：使用 BCEWithLogitsLoss，其概率就是频率。",
        ),
        Text(
            "Soft targets: its least is not at the target. BCEWithLogitsLoss is right for those.",
            "软目标：其最小值不在目标处。此时应使用 BCEWithLogitsLoss。",
        ),
        Text(
            "Exactly one of several classes is right: FocalLoss over the softmax.",
            "多个类别中恰有一个正确时：使用基于 softmax 的 FocalLoss。",
        ),
    ),
    traps=(
        Trap(
            "sigmoid-focal-sigmoid",
            Text(
                "A sigmoid before it is the second one: no probability lies outside of 0.5 to 0.731, so an easy zero "
                "is never easy ($p^2 \\ge 0.25$) and the loss can't do what it is for. Pass the logits.",
                "前面再加 sigmoid 就成了两次：概率只能落在 0.5 与 0.731 之间，易分的负样本永远不算易分"
                "（$p^2 \\ge 0.25$），该损失失去意义。应直接传入 logits。",
            ),
            rule="sigmoid-into-bce-with-logits",
        ),
        Trap(
            "sigmoid-focal-mean",
            Text(
                "The paper sums over all anchors and divides by the number of ones; torchvision's default is none. The "
                "mean here divides by all elements: with one in a thousand positive, the loss is a thousand times "
                "smaller. Write normalizer=target.sum().clamp(min=1).",
                "论文对全部锚框求和后除以正样本数；torchvision 默认 reduction 为 none。这里的均值除以元素总数：千分之一"
                "为正时，损失小一千倍。应写 normalizer=target.sum().clamp(min=1)。",
            ),
        ),
        Trap(
            "sigmoid-focal-alpha",
            Text(
                "alpha = 0.25 weighs a one less than a zero (0.25 to 0.75): it belongs to gamma = 2. For another gamma "
                "or other data it is to be tuned with it; alpha=None weighs both alike.",
                "alpha = 0.25 使正样本的权重小于负样本（0.25 比 0.75）：它与 gamma = 2 配套。换用其他 gamma 或数据时应"
                "一同调整；alpha=None 则二者权重相同。",
            ),
        ),
        Trap(
            "sigmoid-focal-start",
            Text(
                "With a bias of 0 every zero begins at p = 0.5 and the many rule the first steps, in which training "
                "may diverge. The paper starts at a p of 0.01: fill the last bias with -4.6, which is $-\\log 99$.",
                "偏置为 0 时所有负样本都从 p = 0.5 开始，训练初期由数量众多的负样本主导，可能发散。论文从 p = 0.01 "
                "开始：将最后一层的偏置置为 -4.6，即 $-\\log 99$。",
            ),
        ),
        Trap(
            "sigmoid-focal-targets",
            Text(
                "Targets outside of 0 to 1 are accepted, as in torchvision, and the loss can fall without end: -1 for "
                "anchors that are to be ignored pulls for ever. Write mask=(target >= 0).",
                "与 torchvision 一样，0 到 1 以外的目标也会被接受，损失可无限下降：用 -1 标记应忽略的锚框，会产生永不"
                "消退的拉力。应写 mask=(target >= 0)。",
            ),
            rule="target-not-in-unit-interval",
        ),
    ),
    stability=Text(
        "$1 - p_t$ and the cross-entropy are made of $e^{-|x|}$, never by subtraction from 1, so a confident element "
        "keeps its relative accuracy on both sides, and a gamma below 1 its finite slope; a right answer at an "
        "infinite logit costs 0. Half precision is computed in float32.",
        "$1 - p_t$ 与交叉熵都由 $e^{-|x|}$ 算出，不用 1 去减，因此很确定的元素在两侧都保持相对精度，gamma 小于 1 "
        "时斜率也有限；logit 为无穷且判断正确时损失为 0。半精度以 float32 计算。",
    ),
    activation=Text("none (logits)", "无（logits）"),
    input="(*)",
    target="(*)",
    typical=Text("dense detection, rare labels", "密集检测、稀有标签"),
    siblings=(
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The same with a gamma of 0 and no alpha; its pos_weight raises the ones instead of lowering the easy.",
                "即 gamma 为 0 且不用 alpha 的情形；其 pos_weight 是加重正样本，而不是减轻易分样本。",
            ),
        ),
        Sibling(
            "FocalLoss",
            Text(
                "For classes that exclude each other, over their softmax; alpha is a weight for each class there.",
                "用于互斥的类别，基于 softmax；alpha 在那里是各类别的权重。",
            ),
        ),
    ),
    sources=(
        'Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV (2017)',
        "torchvision.ops.sigmoid_focal_loss, https://docs.pytorch.org/vision/stable/generated/"
        "torchvision.ops.sigmoid_focal_loss.html",
    ),
    curve=Curve(
        Text("logit $x$", "logit $x$"),
        (-5.0, 5.0),
        {f"t = 1, gamma = {gamma}": partial(_of_ones, gamma=gamma) for gamma in (0, 1, 2)},
    ),
    aliases=(
        "binary_focal_loss",
        "binary_focal_crossentropy",
        "binary_focal_loss_with_logits",
        "retinanet_loss",
    ),
)


LOSS = Loss(
    function=sigmoid_focal_loss,
    module=SigmoidFocalLoss,
    family="classification",
    formulas=(sigmoid_focal, sigmoid_focal_squared),
    facts=Facts(
        convex=False,
        lipschitz=lambda alpha=0.25, gamma=2.0, **_: max(_weights("", alpha)) * greatest_slope(gamma),
        prediction=REALS,
        target=UNIT,
        minimiser=_least,
        denominator="elements",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
