"""Tversky loss: how much predictions and targets fail to overlap, false positives and false negatives weighed apart."""

import math
from typing import Any

import torch
from torch import Tensor

from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, UNIT, Domain, Facts, Loss
from ..formula import Real, Reals, formula, where
from ..loops.overlap import Activation, Smooth, check_settings, overlap
from ..loops.rowwise.labels import own_class
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def tversky(common: Real, excess: Real, missed: Real, alpha: Real, beta: Real, smooth: Real, gap: Real) -> Reals:
    # of the sums of true positives, false positives and false negatives; gap: what smooths the denominator alone
    right = common + smooth
    wrong = alpha * excess + beta * missed + gap
    whole = right + wrong
    share = right / whole
    # the one or the other, so that autograd's own derivatives do not cancel
    lack = where(wrong > right, 1.0 - share, wrong / whole)
    return lack, -lack / whole, alpha * share / whole, beta * share / whole


@overridable
def tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 1.0,
    reduction: str = "mean",
    *,
    activation: Activation = "softmax",
    smooth: Smooth = 1.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int = -100,
    weight: Tensor | None = None,
    dim: int = 1,
    element_mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""One less Tversky's index of a region's predictions p and targets t, with a power: focal Tversky loss.

    .. math::
        \ell = (1 - S)^\gamma \qquad
        S = \frac{\mathrm{TP} + s}{\mathrm{TP} + \alpha\,\mathrm{FP} + \beta\,\mathrm{FN} + s} \qquad
        \mathrm{TP} = \sum p t \quad \mathrm{FP} = \sum p (1 - t) \quad \mathrm{FN} = \sum (1 - p)\, t

    The sums are over the pixels of a region: of one class of one sample, or with ``batch`` of one class of the whole
    batch. :math:`\alpha = \beta = \tfrac12` is Dice (:func:`lossmith.functional.dice_loss` with twice the
    ``smooth``), :math:`\alpha = \beta = 1` is Jaccard's index (IoU). ``alpha`` weighs false positives, ``beta`` false
    negatives. At a perfect overlap the gradient of a power is taken as 0.

    Source: Salehi, Erdogmus and Gholipour, "Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional
    Deep Networks" (2017), equation 4; the power: Abraham and Khan, "A Novel Focal Tversky Loss Function with Improved
    Attention U-Net for Lesion Segmentation" (2019).

    Args:
        input: scores, (N, C) or (N, C, d1, ...); a floating dtype; what they are, ``activation`` says.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension; or, of
            the input's shape, numbers from 0 to 1: one-hot, several classes at once, or soft.
        alpha, beta: weights of false positives and of false negatives, 0 or more.
        gamma: the power, above 0. Abraham and Khan write :math:`1/\gamma` for it: their 4/3 is ``gamma=0.75``.
        reduction: ``none`` gives a loss for each sample and class, (N, C), or with ``batch`` for each class, (C); or
            ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        activation: ``"softmax"`` over the classes, ``"sigmoid"`` of each by itself, or None where ``input`` holds
            predictions from 0 to 1.
        smooth: :math:`s`, in pixels; a pair is for numerator and denominator. It alone decides what an empty region
            costs.
        batch: whether the sums are over the batch too, so that there is one region a class.
        include_background: whether class 0 counts.
        ignore_index: a label that leaves its pixel out; for labels only.
        weight: for each class, (C). It does not enter the denominator of the mean; ``normalizer="weight"`` divides by
            the sum of weights.
        dim: the class dimension; -1 for the last.
        element_mask: bool, True counts: which elements of ``input`` enter the sums; it broadcasts to the input, such
            as (N, 1, d1, ...) for pixels. What is left out may hold anything.
        sample_weight, mask, normalizer, on_empty: per region (they broadcast to the unreduced loss); see
            :doc:`/reductions`.

    A region of which all pixels are left out is no region: its loss is 0, and it is not counted.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere the losses of its sample are NaN and its gradient
            is 0); dim is no class dimension.
        RuntimeError: a target, or without activation a prediction, is not from 0 to 1 (likewise); labels that are not
            of an integer dtype.
        ValueError: shapes that do not go together; alpha, beta, gamma or smooth out of range; an unknown activation
            or reduction.

    >>> import torch, lossmith
    >>> p, t = torch.tensor([[[1.0, 1.0, 0.0, 0.5]]]), torch.tensor([[[1, 0, 0, 1]]])
    >>> lossmith.functional.tversky_loss(p, t, 0.4, 0.8, activation=None, smooth=0.7)  # (0.4 + 0.4) / (2.2 + 0.8)
    tensor(0.2667)
    """
    loss = "tversky_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    both = check_settings(loss, activation, smooth, alpha, beta, gamma)
    return overlap(
        loss,
        tversky,
        input,
        target,
        activation,
        alpha,
        beta,
        both,
        gamma,
        False,
        batch,
        include_background,
        ignore_index,
        weight,
        dim,
        element_mask,
        how,
    )


class OverlapCriterion(Criterion, torch.nn.Module):
    """What the Modules of overlap share: their settings and their call."""

    weight: Tensor | None

    def __init__(
        self,
        reduction: str,
        activation: Activation,
        smooth: Smooth,
        batch: bool,
        include_background: bool,
        ignore_index: int,
        weight: Tensor | None,
        dim: int,
        normalizer: Normalizer,
        on_empty: str,
    ) -> None:
        super().__init__()
        self.reduction, self.activation, self.smooth, self.batch = reduction, activation, smooth, batch
        self.include_background, self.ignore_index, self.dim = include_background, ignore_index, dim
        self.register_buffer("weight", weight)
        self._settle(normalizer, on_empty)

    def _settings(self) -> dict[str, Any]:
        names = ("activation", "smooth", "batch", "include_background", "ignore_index", "weight", "dim")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join(filter(None, [f"activation={self.activation!r}", super().extra_repr()]))


class TverskyLoss(OverlapCriterion):
    """:func:`lossmith.functional.tversky_loss` as a Module; torch has none.

    Args:
        alpha, beta, gamma, reduction, activation, smooth, batch, include_background, ignore_index, weight, dim: as the
            function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.TverskyLoss(alpha=0.3, beta=0.7, activation=None)
    >>> target = torch.tensor([[[1.0, 1.0, 0.0]]])
    >>> criterion(torch.tensor([[[1.0, 0.0, 0.0]]]), target)  # one pixel missed: 0.7 / (1 + 0.7 + 1)
    tensor(0.2593)
    >>> criterion(torch.tensor([[[1.0, 1.0, 1.0]]]), target)  # one too many: 0.3 / (2 + 0.3 + 1)
    tensor(0.0909)
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
        reduction: str = "mean",
        *,
        activation: Activation = "softmax",
        smooth: Smooth = 1.0,
        batch: bool = False,
        include_background: bool = True,
        ignore_index: int = -100,
        weight: Tensor | None = None,
        dim: int = 1,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(
            reduction, activation, smooth, batch, include_background, ignore_index, weight, dim, normalizer, on_empty
        )
        check_settings(type(self).__name__, activation, smooth, alpha, beta, gamma)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        element_mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return tversky_loss(
            input,
            target,
            self.alpha,
            self.beta,
            self.gamma,
            element_mask=element_mask,
            **self._settings(),
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, gamma={self.gamma}, {super().extra_repr()}"


def least(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.5,
    beta: float = 0.5,
    activation: Activation = "softmax",
    smooth: Smooth = 1.0,
    batch: bool = False,
    dim: int = 1,
    squared: bool = False,
    **_: object,
) -> Tensor:
    """The target if it is hard or squared; else 1 for the pixels of the largest targets, as many as pay, and 0."""
    if target.shape != input.shape:
        p = own_class(target, input.shape[dim], dim).to(input.dtype)
    elif squared:
        p = target.to(input.dtype)
    else:
        above, below = smooth if isinstance(smooth, tuple) else (smooth, smooth)
        classes_first = target.to(input.dtype).movedim(dim, 0 if batch else 1)
        rows = classes_first.flatten(1 if batch else 2)
        ordered, order = rows.sort(-1, descending=True)
        right = torch.nn.functional.pad(ordered.cumsum(-1), (1, 0))
        count = torch.arange(right.shape[-1], device=input.device)
        whole = right + alpha * (count - right) + beta * (rows.sum(-1, keepdim=True) - right) + below
        best = ((right + above) / whole).argmax(-1, keepdim=True)
        chosen = torch.zeros_like(rows).scatter(-1, order, (count[:-1] < best).to(rows.dtype))
        p = chosen.reshape(classes_first.shape).movedim(0 if batch else 1, dim)
    return p if activation is None else p.logit() if activation == "sigmoid" else p.log()


def steepest(
    input: Tensor,
    smooth: Smooth = 1.0,
    activation: Activation = "softmax",
    **others: Any,
) -> float:
    """A bound of the gradient's norm: that of an empty region, for Dice's weights and predictions the least bound."""
    above, below = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    alpha, beta, gamma = (others.get(name, usual) for name, usual in (("alpha", 0.5), ("beta", 0.5), ("gamma", 1.0)))
    if below == 0 or gamma < 1:
        return math.inf
    of_pixel = 0.5 / below
    if others.get("squared") or not (alpha == beta == 0.5 and above == below):
        of_pixel = (1 + max(1.0, alpha, beta - 1) * max(1.0, above / below)) / below
    through = {None: 1.0, "sigmoid": 0.25, "softmax": 2**0.5 / 4}[activation]
    classes, samples = input.shape[others.get("dim", 1)], 1 if others.get("batch") else input.shape[0]
    pixels = input.numel() / classes / samples
    return float(gamma * of_pixel * through * math.sqrt(pixels))


def predictions(activation: Activation = "softmax", **_: object) -> Domain:
    """What the input may hold."""
    return UNIT if activation is None else REALS


def targets(input: Tensor, target: Tensor, **_: object) -> Domain:
    """What the target may hold."""
    return UNIT if target.shape == input.shape else "labels"


def on_an_object(found: Tensor) -> dict[str, Any]:
    """Regions of 8 pixels, 4 of which are an object that is found with this probability, and 1 that seems to be."""
    region = torch.zeros(1, len(found), 8, dtype=found.dtype, device=found.device)
    object_, other = region.clone(), region.clone()
    object_[..., :4], other[..., 4] = 1, 1
    return {"input": found[:, None] * object_ + other, "target": object_, "activation": None, "batch": True}


# What is said of Dice too.
PIXEL_BY_PIXEL = Sibling(
    "CrossEntropyLoss",
    Text(
        "Pixel by pixel: honest probabilities, and a gradient that does not fade where a pixel is surely wrong, but "
        "rare classes drown without `weight`. Often added to this one.",
        "逐像素计算：概率可信，像素确信地错误时梯度也不消失，但稀有类别若无 `weight` 会被淹没。常与本损失相加使用。",
    ),
)
TOO_SURE = Text(
    "Probabilities are to be taken at their word: those behind an overlap are too sure. Take CrossEntropyLoss, or add "
    "it.",
    "需要按字面使用概率时：由重合度训练出的概率过于确信。应改用或加上 CrossEntropyLoss。",
)
STABILITY = Text(
    "Sums are in float64, and what is lacking is summed, not 1 less what is there: a loss near 0 keeps its digits. "
    "Half precision is computed in float32; in float16 the sum over a million pixels would overflow. The gradient "
    "through sigmoid or softmax does not.",
    "求和采用 float64，并直接累加缺失的部分，而不是用 1 去减：接近 0 的损失仍保持有效数字。半精度以 float32 计算："
    "在 float16 中百万像素之和会溢出。经 sigmoid 或 softmax 的梯度不会溢出。",
)


def one_class(short: str) -> Trap:
    """That one class is no class of labels."""
    return Trap(
        f"{short}-one-class",
        Text(
            "One class and labels of 0 and 1 do not go together: a softmax of one score is 1 always. Write "
            'activation="sigmoid" and target.unsqueeze(1).',
            "单类别输出与 0、1 标签不能搭配：单个得分的 softmax 恒为 1。应写 "
            'activation="sigmoid" 与 target.unsqueeze(1)。',
        ),
        rule="single-logit-cross-entropy",
    )


CARD = Card(
    title=Text("Tversky loss", "Tversky 损失"),
    summary=Text(
        "One less the share of a region that prediction and target have in common, where false positives and false "
        "negatives have prices of their own: Dice for rare objects, of which none is to be missed.",
        "1 减去预测与目标在一个区域中的重合比例，其中假阳性与假阴性各有各的价格：是面向稀有目标、不容漏检的 Dice。",
    ),
    gradient=Text(
        "With $N = \\mathrm{TP} + s$ over the denominator D: every pixel of the background has the slope "
        "$\\alpha N / D^2$, every pixel of the object $((1 - \\beta) N - D) / D^2$. Those of a kind pull alike; the "
        "activation then quiets the ones that are sure, right or wrong.",
        "记 $N = \\mathrm{TP} + s$，D 为分母：背景像素的梯度均为 $\\alpha N / D^2$，目标像素均为 "
        "$((1 - \\beta) N - D) / D^2$。同类像素的拉力相同；再经激活函数，已确信的像素（无论对错）拉力减弱。",
    ),
    robustness=Text(
        "A few wrong pixels move it little in a large region and much in a small one: it counts shares, not pixels. A "
        "wrong label in a region of 4 pixels is a quarter of it.",
        "大区域中少量错误像素影响很小，小区域中影响很大：它计的是比例而非像素数。"
        "4 个像素的区域中一个错误标签就占四分之一。",
    ),
    sparsity=Text(
        "None, but the pull fades: predictions that sigmoid or softmax made sure hardly move, and a perfect region is "
        "never quite reached.",
        "无稀疏性，但拉力会消退：sigmoid 或 softmax 已给出确信值的像素几乎不再移动，区域也永远不会完全完美。",
    ),
    smoothness=Text(
        "Smooth where the denominator is not 0, and not convex. With gamma below 1 its slope grows without bound "
        "toward a perfect overlap (and is taken as 0 there).",
        "分母不为 0 处光滑，非凸。gamma 小于 1 时，越接近完美重合斜率越大且无上界（恰好完美时取 0）。",
    ),
    sensitivity=Text(
        "To beta over alpha, the price of a missed pixel in false ones: 0.7 and 0.3 raise recall and lower precision. "
        "To the size of a region: the smaller, the harder each of its pixels pulls. To smooth, where regions are few "
        "pixels or empty.",
        "对 beta 与 alpha 之比敏感，即漏检一个像素相当于几个误检：取 0.7 与 0.3 时召回率升高、精确率降低。"
        "对区域大小敏感：区域越小，每个像素的拉力越大。区域只有几个像素或为空时对 smooth 敏感。",
    ),
    minimiser=Text(
        "The target, if it is of 0 and 1. Of a soft target no: then 1 for the largest of its values and 0 for the "
        "rest, so it makes sure predictions of unsure targets.",
        "目标只含 0 与 1 时为目标本身。软目标则不然：最优预测在其较大的值处取 1、其余取 0，"
        "即把不确定的目标变成确信的预测。",
    ),
    use=(
        Text(
            "Segmentation of small or rare objects, where most pixels are background: lesions, vessels, cracks.",
            "小目标或稀有目标的分割，绝大多数像素是背景：病灶、血管、裂缝。",
        ),
        Text(
            "Where missing costs more than a false alarm, or the other way round: beta above alpha finds more.",
            "漏检与误报代价不同时：beta 大于 alpha 时检出更多。",
        ),
        Text(
            "Training for the intersection over union: alpha = beta = 1.",
            "直接针对交并比（IoU）训练：alpha = beta = 1。",
        ),
    ),
    avoid=(
        TOO_SURE,
        Text(
            "Many regions are empty: such a one says only that there is to be nothing, as loudly as smooth has it.",
            "许多区域为空时：空区域只说明那里不应有预测，其音量全由 smooth 决定。",
        ),
    ),
    traps=(
        Trap(
            "tversky-alpha-beta",
            Text(
                "Papers and packages differ on which is which. Here, in Salehi et al., MONAI and "
                "segmentation_models_pytorch alpha weighs false positives; in Abraham and Khan (their 0.7) it weighs "
                "false negatives, and so it does in Keras, whatever its documentation says (3.15). Swap them, or "
                "recall falls where it was to rise.",
                "各论文与软件包对两者的约定不同。本库、Salehi 等人、MONAI 与 segmentation_models_pytorch 中 alpha "
                "对应假阳性；在 Abraham 与 Khan 的论文中（其值 0.7）对应假阴性，Keras 实际上也是如此，"
                "尽管文档不这么写（3.15 版）。移植时须对调，否则召回率不升反降。",
            ),
        ),
        Trap(
            "tversky-gamma",
            Text(
                "Abraham and Khan's power is $1/\\gamma$: their 4/3 is gamma=0.75 here. Below 1 it quiets bad regions "
                "beside good ones, above 1 the reverse. segmentation_models_pytorch raises the mean over the classes "
                "to gamma, here each region is.",
                "Abraham 与 Khan 的指数是 $1/\\gamma$：其 4/3 即此处的 gamma=0.75。"
                "小于 1 时差的区域相对好的区域被减弱，大于 1 时相反。"
                "segmentation_models_pytorch 对类别均值取 gamma 次幂，此处则对每个区域取幂。",
            ),
        ),
        Trap(
            "tversky-empty-region",
            Text(
                "An image without the class: the loss is $1 - s/(\\alpha P + s)$ of what is predicted, P in all. With "
                "smooth=1e-5 half a pixel of it costs 1, with smooth=1 it costs 0.2; with smooth=0 an index of nothing "
                "is NaN. batch=True makes such regions rare; mask= leaves them out.",
                "图像中没有该类时：损失为 $1 - s/(\\alpha P + s)$，P 为预测之和。smooth=1e-5 时，"
                "半个像素的预测损失即为 1；smooth=1 时为 0.2；smooth=0 且没有任何预测时为 NaN。"
                "batch=True 使空区域变少，mask= 可将其排除。",
            ),
            rule="no-positive-pixel",
        ),
        Trap(
            "tversky-smooth",
            Text(
                "smooth=s here is dice_loss with smooth=2 s: Tversky's numerator is TP, Dice's is 2 TP.",
                "此处的 smooth=s 相当于 dice_loss 的 smooth=2 s：Tversky 的分子是 TP，Dice 的分子是 2 TP。",
            ),
        ),
        one_class("tversky"),
    ),
    stability=STABILITY,
    activation=Text("none (logits)", "无（logits）"),
    input="(N, C, *)",
    target="(N, *) int; (N, C, *)",
    typical=Text("segmentation of rare objects", "稀有目标的分割"),
    siblings=(
        Sibling(
            "DiceLoss",
            Text(
                "alpha = beta = 0.5: false positives and false negatives cost alike. It can also sum squares.",
                "即 alpha = beta = 0.5：假阳性与假阴性代价相同。它还可以对平方求和。",
            ),
        ),
        PIXEL_BY_PIXEL,
        Sibling(
            "FocalLoss",
            Text(
                "Pixel by pixel too, with easy pixels quieted: for rare classes without regions.",
                "同样逐像素计算，但减弱容易的像素：用于没有区域可言的稀有类别。",
            ),
        ),
    ),
    sources=(
        'Salehi, Erdogmus and Gholipour, "Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional '
        'Deep Networks", MLMI (2017)',
        'Abraham and Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for Lesion '
        'Segmentation", ISBI (2019)',
        'Tversky, "Features of Similarity", Psychological Review 84 (1977)',
    ),
    curve=Curve(
        Text("prediction of the 4 pixels of an object, 1 other at 1", "4 个目标像素的预测值（另有 1 个误检）"),
        (0.0, 1.0),
        {
            "alpha, beta = 0.5, 0.5": on_an_object,
            "alpha, beta = 0.3, 0.7": lambda p: {**on_an_object(p), "alpha": 0.3, "beta": 0.7},
            "gamma = 0.75": lambda p: {**on_an_object(p), "gamma": 0.75},
        },
    ),
    aliases=("tversky_index", "focal_tversky", "focal_tversky_loss", "jaccard", "jaccard_loss", "iou_loss", "soft_iou"),
)


LOSS = Loss(
    function=tversky_loss,
    module=TverskyLoss,
    family="classification",
    formulas=(tversky,),
    facts=Facts(
        convex=False,
        lipschitz=steepest,
        prediction=predictions,
        target=targets,
        minimiser=least,
        denominator="regions",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
