"""Huber loss: quadratic up to delta, linear beyond."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, maximum, minimum
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def huber(prediction: Real, target: Real, delta: Real) -> Reals:
    error = prediction - target
    clipped = minimum(maximum(error, -delta), delta)
    return clipped * (error - 0.5 * clipped), clipped, -clipped


@overridable
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Huber loss: half the squared error up to :math:`\delta`, linear beyond.

    .. math::
        \ell(x, y) = \begin{cases}
            \tfrac12 (x - y)^2 & |x - y| \le \delta \\
            \delta\,(|x - y| - \tfrac12 \delta) & \text{otherwise}
        \end{cases}
        \qquad \frac{\partial \ell}{\partial x} = \min(\max(x - y, -\delta), \delta)

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns).
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        delta: where the quadratic ends, in the unit of the target; above 0.
        weight: torch's weights, of the shape of ``input``. They multiply the loss and, as in torch, do not enter the
            denominator of the mean (those of l1_loss and mse_loss do); ``sample_weight`` does for every loss.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: delta is not above 0, or the shapes can't be broadcast together.
        ValueError: weight has another shape than input; an unknown reduction.

    >>> import torch, lossmith
    >>> x = torch.tensor([0.1, 5.0], requires_grad=True)
    >>> loss = lossmith.functional.huber_loss(x, torch.zeros(2))
    >>> round(loss.item(), 4)  # (0.5 * 0.1**2 + 1 * (5 - 0.5)) / 2
    2.2525
    >>> loss.backward()
    >>> x.grad
    tensor([0.0500, 0.5000])
    """
    loss = "huber_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    if not delta > 0:
        raise RuntimeError(f"{loss}: delta is {delta!r}, expected a number greater than 0, in the unit of the target")
    alike = checks.pair(loss, how.reduction, input, target, "input")
    checks.weight_of_input(loss, weight, input)
    if weight is not None:
        alike = 0
        input = input.to(torch.promote_types(input.dtype, weight.dtype))
    return pointwise(loss, huber, (input, target), (delta,), how, weight=weight, like=input, alike=alike)


class HuberLoss(Criterion, torch.nn.HuberLoss):
    """:func:`lossmith.functional.huber_loss` as a Module; a :class:`torch.nn.HuberLoss` with weights and masks.

    Args:
        reduction, delta: as the function's.
        weight, normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.HuberLoss(delta=2.0)(torch.tensor([3.0]), torch.tensor([0.0]))
    tensor(4.)
    """

    weight: Tensor | None

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
        *,
        weight: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        if not isinstance(delta, (int, float)):
            raise TypeError(
                f"HuberLoss: delta is {delta!r}, expected a number (torch's: 'delta must be a float or int')"
            )
        super().__init__(reduction, delta)
        self.register_buffer("weight", weight)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return huber_loss(
            input,
            target,
            delta=self.delta,
            weight=self.weight if weight is None else weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


CARD = Card(
    title=Text("Huber loss", "Huber 损失"),
    summary=Text(
        "Half the squared error up to a threshold delta, linear beyond it: MSE for ordinary errors, MAE for outliers.",
        "误差不超过阈值 delta 时取平方误差的一半，超过后按线性增长：普通误差按 MSE 处理，离群点按 MAE 处理。",
    ),
    gradient=Text(
        "The error itself, clipped to $[-\\delta, \\delta]$: small errors pull in proportion, large ones all alike.",
        "即误差本身，截断在 $[-\\delta, \\delta]$ 内：小误差按比例产生拉力，大误差的拉力都一样大。",
    ),
    robustness=Text(
        "Robust: an outlier pulls no harder than an error of delta, however far off it is.",
        "鲁棒：离群点无论偏离多远，拉力都不超过大小为 delta 的误差。",
    ),
    sparsity=Text(
        "None: near 0 the gradient fades with the error, so no error is driven to exactly 0.",
        "无稀疏性：误差趋于 0 时梯度也随之消失，误差不会被压到恰好为 0。",
    ),
    smoothness=Text(
        "Once differentiable everywhere, at 0 too (L1 is not); the second derivative jumps from 1 to 0 at delta.",
        "处处一阶可导，在 0 处也是（L1 不可导）；二阶导数在 delta 处由 1 跳到 0。",
    ),
    sensitivity=Text(
        "Delta decides, in the unit of the target: too large and it is MSE, too small and it is delta times MAE.",
        "关键是 delta，其单位与目标相同：过大等同于 MSE，过小等同于 delta 倍的 MAE。",
    ),
    minimiser=Text(
        "The target. Where targets scatter, a centre between their median and their mean, as delta grows from 0.",
        "目标值本身。目标有散布时，最优预测介于中位数与均值之间，delta 越大越接近均值。",
    ),
    use=(
        Text(
            "Regression with some outliers (about 1 to 10 % of the rows), whose other errors are even.",
            "含少量离群点（约 1% 到 10% 的样本）而其余误差均匀的回归。",
        ),
        Text(
            "Value functions in reinforcement learning, where a wrong bootstrap target must not throw the network off.",
            "强化学习中的价值函数：个别错误的自举目标不应把网络带偏。",
        ),
    ),
    avoid=(
        Text(
            "Clean data with even noise: MSELoss needs fewer rows for the same accuracy and has nothing to tune.",
            "数据干净且噪声均匀时：MSELoss 达到同样精度所需样本更少，也无需调参。",
        ),
        Text(
            "A tenth of the rows or more are outliers: no threshold tells them from the rest, take L1Loss.",
            "离群点达到十分之一或更多时：没有阈值能把它们分开，应改用 L1Loss。",
        ),
    ),
    traps=(
        Trap(
            "huber-delta-unit",
            Text(
                "The default delta = 1 is in the unit of the target. For house prices every error is beyond it and the "
                "loss is MAE; for targets in [0, 1] none is and it is half the MSE. Standardise the target, or take "
                "1.345 robust standard deviations of the residuals: lossmith.suggest.delta(residuals).",
                "默认 delta = 1 以目标的单位计。预测房价时所有误差都超过它，损失退化为 MAE；目标在 [0, 1] 内时"
                "没有误差超过它，损失只是 MSE 的一半。应先标准化目标，或取残差稳健标准差的 1.345 倍："
                "lossmith.suggest.delta(residuals)。",
            ),
        ),
        Trap(
            "huber-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs; the loss still "
                "falls, toward the mean of the targets. Write input.squeeze(1).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表；损失照样下降，"
                "模型却只学到目标的均值。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "Written as clip(r) (r - clip(r)/2): nothing is squared beyond delta, so it overflows only where the error "
        "times delta does. Half precision is computed in float32.",
        "写作 clip(r) (r - clip(r)/2)：超过 delta 后不再平方，只有误差与 delta 之积溢出时才会溢出。"
        "半精度输入以 float32 计算。",
    ),
    activation=Text("none", "无"),
    input="(*)",
    target="(*)",
    typical=Text("regression with outliers, value functions", "含离群点的回归、价值函数"),
    siblings=(
        Sibling(
            "SmoothL1Loss",
            Text(
                "The same shape in another scale: HuberLoss(delta=d) is d times SmoothL1Loss(beta=d). As the "
                "parameter changes, Huber keeps its curvature of 1 near 0, SmoothL1 its slope of 1 far out.",
                "形状相同、尺度不同：HuberLoss(delta=d) 等于 d 倍的 SmoothL1Loss(beta=d)。改变参数时，"
                "Huber 在 0 附近的曲率恒为 1，SmoothL1 则是远处的斜率恒为 1。",
            ),
        ),
        Sibling(
            "L1Loss",
            Text(
                "Pulls alike at every distance, with a kink at 0: more robust, slower to settle.",
                "任何距离上拉力都相同，在 0 处有尖点：更鲁棒，但更难收敛到位。",
            ),
        ),
        Sibling(
            "MSELoss",
            Text(
                "Twice the Huber loss with an infinite delta: most efficient without outliers, ruled by them "
                "otherwise.",
                "等于 delta 为无穷大时 Huber 损失的两倍：无离群点时效率最高，否则被离群点主导。",
            ),
        ),
        Sibling(
            "LogCoshLoss",
            Text(
                "Nearly the Huber loss with a delta of 1, and infinitely smooth; it has no delta to set.",
                "接近 delta 为 1 的 Huber 损失，且无限光滑；没有 delta 可调。",
            ),
        ),
    ),
    sources=(
        'Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964)',
        'Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015)',
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {"": lambda x: {"input": x, "target": torch.zeros_like(x)}},
    ),
    aliases=("huber",),
)


LOSS = Loss(
    function=huber_loss,
    module=HuberLoss,
    family="regression",
    formulas=(huber,),
    facts=Facts(
        convex=True,
        lipschitz=lambda delta=1.0, **_: delta,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
        smooth=True,
        optimum="between median and mean",
    ),
    card=CARD,
)
