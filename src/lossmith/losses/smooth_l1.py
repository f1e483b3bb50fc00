"""Smooth L1 loss: the absolute error, rounded off below beta."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, maximum, minimum
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .l1 import l1


@formula
def smooth_l1(prediction: Real, target: Real, beta: Real) -> Reals:
    error = prediction - target
    # clipped before it is divided: no quotient overflows, whatever the error and beta
    clipped = minimum(maximum(error, -beta), beta)
    slope = clipped / beta
    return slope * (error - 0.5 * clipped), slope, -slope


@overridable
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""The absolute error less half of :math:`\beta`; below :math:`\beta`, a parabola that meets it smoothly.

    .. math::
        \ell(x, y) = \begin{cases}
            \tfrac12 (x - y)^2 / \beta & |x - y| < \beta \\
            |x - y| - \tfrac12 \beta & \text{otherwise}
        \end{cases}
        \qquad \frac{\partial \ell}{\partial x} = \min(\max((x - y) / \beta, -1), 1)

    It is huber_loss with ``delta=beta``, divided by :math:`\beta`: its slope far off is 1 for every :math:`\beta`,
    where that of huber_loss is ``delta``. At :math:`\beta = 0` it is l1_loss.

    Source: Girshick, "Fast R-CNN", ICCV (2015), equation 3, with :math:`\beta = 1`.

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns); any real dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        beta: where the parabola ends, in the unit of the target; 0 or more.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: beta is below 0, or the shapes can't be broadcast together.
        ValueError: an unknown reduction.
        NotImplementedError: complex numbers, or integers for both.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([0.1, 5.0]), torch.zeros(2)
    >>> lossmith.functional.smooth_l1_loss(x, y)  # (0.5 * 0.1**2 + (5 - 0.5)) / 2
    tensor(2.2525)
    >>> lossmith.functional.smooth_l1_loss(x, y, beta=2.0) * 2 == lossmith.functional.huber_loss(x, y, delta=2.0)
    tensor(True)
    """
    loss = "smooth_l1_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    if not beta >= 0:
        raise RuntimeError(f"{loss}: beta is {beta!r}, expected a number of 0 or more, in the unit of the target")
    alike = checks.pair(loss, how.reduction, input, target, "either")
    if not alike:
        input, target = checks.broadcast(input, target)
    if not 1e-30 < beta < 1e30:
        limits = torch.finfo(dtypes(input, target)[0])
        if beta < limits.tiny:
            # 1 / beta may overflow there, and l1 differs by less than half of beta
            return pointwise(loss, l1, (input, target), (), how, alike=alike)
        if beta > limits.max:
            beta = math.inf
    return pointwise(loss, smooth_l1, (input, target), (beta,), how, alike=alike)


class SmoothL1Loss(Criterion, torch.nn.SmoothL1Loss):
    """:func:`lossmith.functional.smooth_l1_loss` as a Module; a :class:`torch.nn.SmoothL1Loss` with more.

    Args:
        size_average, reduce, reduction, beta: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.SmoothL1Loss(beta=0.5)(torch.tensor([3.0]), torch.tensor([0.0]))
    tensor(2.7500)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction, beta)
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
        return smooth_l1_loss(
            input, target, beta=self.beta, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


CARD = Card(
    title=Text("Smooth L1 loss", "Smooth L1 损失"),
    summary=Text(
        "The absolute error with its kink rounded off: quadratic below beta, beyond it L1 less half of beta.",
        "把尖点磨圆的绝对误差：误差小于 beta 时为二次函数，超过后为 L1 减去 beta 的一半。",
    ),
    gradient=Text(
        "The error over beta, clipped to $[-1, 1]$: beyond beta the sign of the error, as L1; below it in proportion.",
        "误差除以 beta，截断在 $[-1, 1]$ 内：超过 beta 后与 L1 一样只剩符号，以内则与误差成正比。",
    ),
    robustness=Text(
        "Robust: no row pulls harder than 1, however far off it is and whatever beta is.",
        "鲁棒：无论偏离多远、beta 取何值，任何样本的拉力都不超过 1。",
    ),
    sparsity=Text(
        "None: below beta the gradient fades with the error, so no error is driven to exactly 0 (at beta = 0 as L1).",
        "无稀疏性：误差小于 beta 时梯度随误差消失，误差不会被压到恰好为 0（beta = 0 时同 L1）。",
    ),
    smoothness=Text(
        "Once differentiable everywhere; the second derivative falls from $1/\\beta$ to 0 at beta. At beta = 0 it is "
        "L1 with its kink.",
        "处处一阶可导；二阶导数在 beta 处由 $1/\\beta$ 降为 0。beta = 0 时即为带尖点的 L1。",
    ),
    sensitivity=Text(
        "Beta decides, in the unit of the target: near 0 it is L1Loss; above every error it is MSELoss over "
        "$2\\beta$, which fades as beta grows.",
        "关键是 beta，其单位与目标相同：接近 0 时即 L1Loss；大于所有误差时为 MSELoss 除以 $2\\beta$，且越来越小。",
    ),
    minimiser=Text(
        "The target. Where targets scatter, a centre between their median and their mean, as beta grows from 0.",
        "目标值本身。目标有散布时，最优预测介于中位数与均值之间，beta 由 0 增大时由前者移向后者。",
    ),
    use=(
        Text(
            "Bounding boxes in object detection, since Fast R-CNN: offsets of a few badly placed boxes must not rule "
            "the step.",
            "目标检测的边界框回归（自 Fast R-CNN 起）：少数位置很差的框不应主导更新。",
        ),
        Text(
            "L1Loss that is to settle: a small beta takes away the kink and leaves the slope of 1.",
            "想用 L1Loss 又要能收敛：取较小的 beta，去掉尖点而保留斜率 1。",
        ),
        Text(
            "Code and published settings that state a beta. In new code HuberLoss says more clearly what is meant.",
            "沿用给出 beta 的已有代码与配置。新代码建议用 HuberLoss，语义更明确。",
        ),
    ),
    avoid=(
        Text(
            "Clean data with even noise: MSELoss needs fewer rows and has nothing to tune.",
            "数据干净且噪声均匀时：MSELoss 所需样本更少，也无需调参。",
        ),
        Text(
            "Where beta is swept: the size of the loss changes with it, and the learning rate would have to follow. "
            "HuberLoss keeps the curvature near 0.",
            "要扫描 beta 时：损失大小随之改变，学习率也得跟着调。HuberLoss 在 0 附近的曲率不变。",
        ),
    ),
    traps=(
        Trap(
            "smooth-l1-beta-unit",
            Text(
                "The default beta = 1 is in the unit of the target. Box offsets are about 0.1: all lie below it and "
                "the loss is half the MSE, with a pull of 0.05 on an error of 0.05. torchvision's Faster R-CNN takes "
                "1/9 (a pull of 0.45), Detectron2's default is 0 (L1).",
                "默认 beta = 1 以目标的单位计。边界框偏移量约为 0.1，全都小于它，损失只是 MSE 的一半，"
                "误差 0.05 的拉力仅 0.05。torchvision 的 Faster R-CNN 取 1/9（拉力 0.45），"
                "Detectron2 默认取 0（即 L1）。",
            ),
        ),
        Trap(
            "smooth-l1-large-beta",
            Text(
                "A large beta does not lead to MSE but to nothing: the loss is divided by it. An error of 5 costs "
                "4.5 at beta = 1 and 0.0125 at beta = 1000, with a pull of 0.005. For MSE's shape take MSELoss or "
                "HuberLoss.",
                "beta 很大时并不趋于 MSE，而是趋于 0，因为损失要除以 beta：误差 5 在 beta = 1 时损失为 4.5，"
                "beta = 1000 时只有 0.0125，拉力 0.005。需要 MSE 的形状时应改用 MSELoss 或 HuberLoss。",
            ),
        ),
        Trap(
            "smooth-l1-is-not-huber",
            Text(
                "SmoothL1Loss(beta=d) equals HuberLoss(delta=d) only at d = 1; otherwise the latter is d times as "
                "large. Exchanging them at 1/9 changes the loss's weight beside others ninefold: multiply by d.",
                "SmoothL1Loss(beta=d) 只在 d = 1 时等于 HuberLoss(delta=d)；一般情况下后者是前者的 d 倍。"
                "d = 1/9 时互换，会使它相对其他损失的权重相差九倍：应乘以 d。",
            ),
        ),
        Trap(
            "smooth-l1-no-positives",
            Text(
                "An image without any positive box gives an empty selection, and its mean is NaN, for the whole batch. "
                'Write on_empty="zero", or reduction="sum" divided by the number of sampled boxes: '
                'reduction="mean" with normalizer=sampled.',
                '图中没有任何正样本框时，选出的是空张量，均值为 NaN，整批随之报废。应写 on_empty="zero"；'
                '或除以采样框总数而非正样本数：reduction="mean" 配合 normalizer=sampled。',
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "smooth-l1-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs; the loss still "
                "falls, toward one centre of the targets for every row. Write input.squeeze(1).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表；损失照样下降，"
                "模型却对每一行都只学到目标的同一个中心。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "smooth-l1-arguments-to-constructor",
            Text(
                "SmoothL1Loss(input, target) builds a criterion from two tensors and computes nothing; for tensors of "
                "one number there is not even an error. Write SmoothL1Loss()(input, target).",
                "SmoothL1Loss(input, target) 只是用两个张量构造对象，什么也没计算；张量只含一个数时连错误都没有。"
                "应写 SmoothL1Loss()(input, target)。",
            ),
            rule="arguments-to-constructor",
        ),
    ),
    stability=Text(
        "The error is clipped to beta before it is divided by it, so no square and no quotient overflows, from the "
        "smallest beta to the largest; beta = 0 is L1 and not NaN. Half precision is computed in float32.",
        "误差先截断到 beta 再除以 beta，因此无论 beta 多小或多大，平方与商都不会溢出；beta = 0 等同 L1，不会得到 NaN。"
        "半精度输入以 float32 计算。",
    ),
    activation=Text("none", "无"),
    input="(*)",
    target="(*)",
    typical=Text("bounding boxes, regression with outliers", "边界框回归、含离群点的回归"),
    siblings=(
        Sibling(
            "HuberLoss",
            Text(
                "The same shape in another scale: HuberLoss(delta=d) is d times SmoothL1Loss(beta=d). Huber keeps the "
                "curvature 1 near 0, smooth L1 the slope 1 far off.",
                "形状相同、尺度不同：HuberLoss(delta=d) 等于 d 倍的 SmoothL1Loss(beta=d)。"
                "Huber 保持 0 附近的曲率为 1，Smooth L1 保持远处的斜率为 1。",
            ),
        ),
        Sibling(
            "L1Loss",
            Text(
                "The limit of beta = 0: the same slope far off, and a kink where smooth L1 is round.",
                "即 beta = 0 的极限：远处斜率相同，Smooth L1 磨圆之处它是尖点。",
            ),
        ),
        Sibling(
            "MSELoss",
            Text(
                "$2\\beta$ times smooth L1 while errors are below beta; beyond, it goes on growing with the square.",
                "误差小于 beta 时等于 $2\\beta$ 倍的 Smooth L1；超过后仍按平方增长。",
            ),
        ),
    ),
    sources=(
        'Girshick, "Fast R-CNN", ICCV (2015)',
        'Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", NeurIPS (2015)',
        'Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964)',
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {"": lambda x: {"input": x, "target": torch.zeros_like(x)}},
    ),
    aliases=("smooth_l1",),
)


LOSS = Loss(
    function=smooth_l1_loss,
    module=SmoothL1Loss,
    family="regression",
    formulas=(smooth_l1,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
        smooth=True,
        optimum="between median and mean",
    ),
    card=CARD,
)
