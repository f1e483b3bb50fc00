"""Dice loss: how much predictions and targets of a region fail to overlap."""

from typing import Any

from torch import Tensor

from ..card import Card, Curve, Sibling, Text, Trap
from ..facts import Facts, Loss
from ..loops.overlap import Activation, Smooth, check_settings, overlap
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .tversky import (
    PIXEL_BY_PIXEL,
    STABILITY,
    TOO_SURE,
    OverlapCriterion,
    least,
    on_an_object,
    one_class,
    predictions,
    steepest,
    targets,
    tversky,
)


@overridable
def dice_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    *,
    activation: Activation = "softmax",
    smooth: Smooth = 1.0,
    squared: bool = False,
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
    r"""One less Dice's coefficient of a region's predictions p and targets t.

    .. math::
        \ell = 1 - \frac{2 \sum p t + s}{\sum p + \sum t + s} \qquad
        \frac{\partial \ell}{\partial p} = \frac{2 \sum p t + s}{D^2} - \frac{2 t}{D} \quad
        \text{with } D = \sum p + \sum t + s

    The sums are over the pixels of a region: of one class of one sample, or with ``batch`` of one class of the whole
    batch. With ``squared`` the denominator has :math:`\sum p^2 + \sum t^2`.

    Source: Milletari, Navab and Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
    Segmentation" (2016), section 3, where squares are summed; without squares and for several classes: Sudre et al.,
    "Generalised Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced Segmentations" (2017), equation 2.

    Args:
        input: scores, (N, C) or (N, C, d1, ...); a floating dtype; what they are, ``activation`` says.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension; or, of
            the input's shape, numbers from 0 to 1: one-hot, several classes at once, or soft.
        reduction: ``none`` gives a loss for each sample and class, (N, C), or with ``batch`` for each class, (C); or
            ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        activation: ``"softmax"`` over the classes, ``"sigmoid"`` of each by itself, or None where ``input`` holds
            predictions from 0 to 1.
        smooth: :math:`s`, in pixels; a pair is for numerator and denominator. It alone decides what an empty region
            costs. MONAI has 1e-5 (``smooth_nr``, ``smooth_dr``), nnU-Net 1e-5 in its trainers, Keras (0, 1e-7),
            segmentation_models_pytorch 0.
        squared: whether the denominator's sums are of squares (V-Net, MONAI's ``squared_pred``).
        batch: whether the sums are over the batch too, so that there is one region a class (MONAI's ``batch``,
            nnU-Net's ``batch_dice``; segmentation_models_pytorch always).
        include_background: whether class 0 counts (MONAI's, nnU-Net's ``do_bg``).
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
        ValueError: shapes that do not go together; smooth out of range; an unknown activation or reduction.

    >>> import torch, lossmith
    >>> p, t = torch.tensor([[[1.0, 0.5, 0.0, 0.0]]]), torch.tensor([[[1, 1, 0, 0]]])
    >>> lossmith.functional.dice_loss(p, t, activation=None, smooth=0.5)  # 1 - (2 * 1.5 + 0.5) / (1.5 + 2 + 0.5)
    tensor(0.1250)
    """
    loss = "dice_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    above, below = check_settings(loss, activation, smooth)
    return overlap(
        loss,
        tversky,
        input,
        target,
        activation,
        0.5,
        0.5,
        (above / 2, below / 2),  # the numerator of Tversky's index is not doubled
        1.0,
        squared,
        batch,
        include_background,
        ignore_index,
        weight,
        dim,
        element_mask,
        how,
    )


class DiceLoss(OverlapCriterion):
    """:func:`lossmith.functional.dice_loss` as a Module; torch has none.

    Args:
        reduction, activation, smooth, squared, batch, include_background, ignore_index, weight, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.DiceLoss(ignore_index=255)
    >>> logits = torch.tensor([[[9.0, -9.0, 9.0], [-9.0, 9.0, -9.0]]])
    >>> criterion(logits, torch.tensor([[0, 1, 255]], dtype=torch.uint8)).item() < 1e-6
    True
    """

    def __init__(
        self,
        reduction: str = "mean",
        *,
        activation: Activation = "softmax",
        smooth: Smooth = 1.0,
        squared: bool = False,
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
        check_settings(type(self).__name__, activation, smooth)
        self.squared = squared

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
        return dice_loss(
            input,
            target,
            squared=self.squared,
            element_mask=element_mask,
            **self._settings(),
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _halved(smooth: Smooth) -> Smooth:
    return (smooth[0] / 2, smooth[1] / 2) if isinstance(smooth, tuple) else smooth / 2


def _least(input: Tensor, target: Tensor, smooth: Smooth = 1.0, **others: Any) -> Tensor:
    return least(input, target, smooth=_halved(smooth), **others)


def _steepest(input: Tensor, smooth: Smooth = 1.0, activation: Activation = "softmax", **others: Any) -> float:
    return steepest(input, _halved(smooth), activation, **others)


CARD = Card(
    title=Text("Dice loss", "Dice 损失"),
    summary=Text(
        "One less the overlap of prediction and target in a region, twice what they share over what they have: the "
        "default beside cross-entropy where objects are few pixels of an image.",
        "1 减去预测与目标在一个区域中的重合度（共有部分的两倍除以两者之和）：目标只占图像少量像素时，"
        "它是与交叉熵并用的默认选择。",
    ),
    gradient=Text(
        "$(2I + s)/D^2$ for every pixel of the background and $2/D$ less for every one of the object, with I the "
        "shared sum and D the denominator. So all pixels of a region pull by its state, not by their own; softmax or "
        "sigmoid then quiets those that are sure, right or wrong.",
        "背景像素均为 $(2I + s)/D^2$，目标像素均再减去 $2/D$，其中 I 为共有之和，D 为分母。"
        "像素的拉力取决于整个区域的状态而非自身；再经 softmax 或 sigmoid，已确信的像素（无论对错）拉力减弱。",
    ),
    robustness=Text(
        "A few wrong pixels move it little in a large region and much in a small one: it counts shares, not pixels.",
        "大区域中少量错误像素影响很小，小区域中影响很大：它计的是比例而非像素数。",
    ),
    sparsity=Text(
        "None, but predictions are driven to 0 and 1, and the pull of those that are there fades.",
        "无稀疏性，但预测值会被推向 0 与 1，到达后拉力消退。",
    ),
    smoothness=Text(
        "Smooth where the denominator is not 0, which smooth above 0 makes sure of; not convex.",
        "分母不为 0 处光滑（smooth 大于 0 即可保证）；非凸。",
    ),
    sensitivity=Text(
        "To the size of a region: an object of 100 pixels weighs as much as one of 100,000, so each of its pixels "
        "pulls about 1000 times as hard. To smooth, where regions are few pixels or empty. To what is summed together: "
        "by image, or with batch over all.",
        "对区域大小敏感：100 个像素的目标与 100,000 个像素的目标同等重要，因而其每个像素的拉力约为后者的 1000 倍。"
        "区域只有几个像素或为空时对 smooth 敏感。还取决于求和范围：逐图像，或用 batch 对整批求和。",
    ),
    minimiser=Text(
        "The target, if it is of 0 and 1. Of a soft target only with squared; without, 1 for the largest of its values "
        "and 0 for the rest.",
        "目标只含 0 与 1 时为目标本身。软目标只有在 squared 时如此；否则最优预测在其较大的值处取 1，其余取 0。",
    ),
    use=(
        Text(
            "Segmentation with much background: organs, lesions, roads, defects. Mostly as a sum with "
            "CrossEntropyLoss, as nnU-Net has it.",
            "背景占多数的分割：器官、病灶、道路、缺陷。通常与 CrossEntropyLoss 相加，nnU-Net 即如此。",
        ),
        Text(
            'Several classes at once at a pixel: activation="sigmoid" with a target of the input\'s shape.',
            '一个像素可属于多个类别：activation="sigmoid"，目标与输入同形状。',
        ),
        Text(
            "What is scored by Dice or F1: it is the score itself, of soft predictions.",
            "以 Dice 或 F1 评分的任务：它就是该分数的软预测版本。",
        ),
    ),
    avoid=(
        TOO_SURE,
        Text(
            "Missing and false alarms have different prices: TverskyLoss has one for each.",
            "漏检与误报代价不同时：TverskyLoss 对两者分别定价。",
        ),
        Text(
            "Classes of very different sizes that are to be weighed by 1 over their squared volume (generalised Dice, "
            "Sudre et al.): that is one fraction for all classes, which this is not.",
            "各类体积悬殊且须按体积平方的倒数加权（Sudre 等人的广义 Dice）时：那是所有类别共用一个分式，并非本损失。",
        ),
    ),
    traps=(
        Trap(
            "dice-empty-region",
            Text(
                "An image without the class: the loss is $1 - s/(P + s)$ of what is predicted, P in all. With "
                "smooth=1e-5 a hundredth of a pixel costs 0.999, with smooth=1 it costs 0.0099; with smooth=0 nothing "
                "against nothing is NaN. batch=True makes such regions rare; mask= leaves them out.",
                "图像中没有该类时：损失为 $1 - s/(P + s)$，P 为预测之和。smooth=1e-5 时，百分之一个像素的预测损失即为 "
                "0.999，smooth=1 时为 0.0099；smooth=0 且双方皆空时为 NaN。batch=True 使空区域变少，mask= 可将其排除。",
            ),
            rule="no-positive-pixel",
        ),
        Trap(
            "dice-smooth-small",
            Text(
                "smooth is in pixels. Of an object of 4 pixels that is missed altogether the loss is 0.8 with "
                "smooth=1, and never more. Where regions are small take 1e-5, as MONAI and nnU-Net do.",
                "smooth 以像素计。4 个像素的目标完全漏检时，smooth=1 的损失只有 0.8，不会更大。"
                "区域很小时应取 1e-5，MONAI 与 nnU-Net 即如此。",
            ),
        ),
        Trap(
            "dice-softmax",
            Text(
                "Softmax before it: the softmax is taken twice. Of two classes no prediction then exceeds 0.731, and a "
                "perfect region costs 0.27. Pass the logits, or write activation=None.",
                "前面加了 softmax，等于做了两次。二分类时预测值不超过 0.731，完美的区域也要付出 0.27。"
                "应传入 logits，或写 activation=None。",
            ),
            rule="softmax-into-cross-entropy",
        ),
        one_class("dice"),
        Trap(
            "dice-soft-target",
            Text(
                "Smoothed labels, mixup, several annotators: without squared the least loss of a large region whose "
                "target is 0.5 throughout is at 1 (0.333, and 0.5 at the target itself). With squared it is at the "
                "target.",
                "平滑标签、mixup、多人标注：不用 squared 时，目标处处为 0.5 的大区域在预测为 1 时损失最小（0.333，"
                "而预测等于目标时为 0.5）。用 squared 时最小值恰在目标处。",
            ),
        ),
        Trap(
            "dice-packages",
            Text(
                "Numbers differ by convention. nnU-Net gives minus Dice, 1 less than this. Keras makes one region of "
                "batch and classes. segmentation_models_pytorch sums over the batch and gives classes without a "
                "pixel the loss 0, though it counts them: batch=True, smooth=0, mask=present, normalizer=C.",
                "各软件包约定不同。nnU-Net 给出负的 Dice，比本损失小 1。Keras 把整批和所有类别当作一个区域。"
                "segmentation_models_pytorch 对整批求和，没有像素的类别损失记 0 但仍计数："
                "batch=True、smooth=0、mask=present、normalizer=C。",
            ),
        ),
        Trap(
            "dice-rows",
            Text(
                "Rows (N, C) without pixels: each region is one number. For tables write batch=True, so that the "
                "regions are the classes.",
                "没有像素的 (N, C) 输入：每个区域只有一个数。用于表格数据时应写 batch=True，使区域为各个类别。",
            ),
        ),
    ),
    stability=STABILITY,
    activation=Text("none (logits)", "无（logits）"),
    input="(N, C, *)",
    target="(N, *) int; (N, C, *)",
    typical=Text("segmentation", "图像分割"),
    siblings=(
        Sibling(
            "TverskyLoss",
            Text(
                "Prices of its own for false positives and false negatives, and a power: with 0.5 and 0.5 it is this "
                "one, at half the smooth.",
                "对假阳性与假阴性分别定价，并可取幂：两者均为 0.5 且 smooth 减半时即为本损失。",
            ),
        ),
        PIXEL_BY_PIXEL,
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The same pixel by pixel where classes do not exclude each other.",
                "类别不互斥时的逐像素损失。",
            ),
        ),
    ),
    sources=(
        'Milletari, Navab and Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image '
        'Segmentation", 3DV (2016)',
        'Sudre et al., "Generalised Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced '
        'Segmentations", DLMIA (2017)',
        'Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", '
        "Nature Methods 18 (2021)",
        'Dice, "Measures of the Amount of Ecologic Association Between Species", Ecology 26 (1945)',
    ),
    curve=Curve(
        Text("prediction of the 4 pixels of an object, 1 other at 1", "4 个目标像素的预测值（另有 1 个误检）"),
        (0.0, 1.0),
        {
            "squared = False": on_an_object,
            "squared = True": lambda p: {**on_an_object(p), "squared": True},
        },
    ),
    aliases=("soft_dice", "soft_dice_loss", "dice_coefficient", "dice_coef_loss", "f1_loss", "sorensen_dice"),
)


LOSS = Loss(
    function=dice_loss,
    module=DiceLoss,
    family="classification",
    formulas=(tversky,),
    facts=Facts(
        convex=False,
        lipschitz=_steepest,
        prediction=predictions,
        target=targets,
        minimiser=_least,
        denominator="regions",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
