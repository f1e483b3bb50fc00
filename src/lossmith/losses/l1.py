"""L1 loss: the absolute error."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, sign
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def l1(prediction: Real, target: Real) -> Reals:
    error = prediction - target
    direction = sign(error)
    return abs(error), direction, -direction


@overridable
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Absolute error; its minimiser is the median of the targets, so a few outliers move it little.

    .. math::
        \ell(x, y) = w\,|x - y| \qquad \frac{\partial \ell}{\partial x} = w\,\mathrm{sign}(x - y)

    The slope at an error of 0 is 0, as in torch. Of complex numbers it is the modulus of the error, a real number.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978), of which this is the median's.

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating or complex dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns); any dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        weight: torch's weights :math:`w`, of the shape of ``input``. They multiply the loss, and the mean divides by
            their sum (that of huber_loss does not); ``sample_weight`` follows one rule for every loss.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together; a mean of integers alone.
        ValueError: weight has another shape than input; an unknown reduction.

    >>> import torch, lossmith
    >>> x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    >>> loss = lossmith.functional.l1_loss(x, torch.tensor([[1.5, 2.0, 4.5], [3.0, 5.0, 8.0]]))
    >>> round(loss.item(), 4)  # (0.5 + 0 + 1.5 + 1 + 0 + 2) / 6
    0.8333
    >>> loss.backward()
    >>> x.grad * 6
    tensor([[-1.,  0., -1.],
            [ 1.,  0., -1.]])
    """
    loss = "l1_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    checks.weight_of_input(loss, weight, input)
    alike = 0 if weight is not None else checks.alike(input, target)
    if not alike:
        if how.reduction in ("mean", "batchmean") and not (input.is_complex() or target.is_complex()):
            checks.must_float(loss, input=input, target=target)
        checks.broadcastable(loss, input=input, target=target)
        checks.outer_broadcast(loss, how.reduction, input=input, target=target)
        input, target = checks.broadcast(input, target, weight)
    return pointwise(loss, l1, (input, target), (), how, weight=weight, weight_in_mean=True, alike=alike)


class L1Loss(Criterion, torch.nn.L1Loss):
    """:func:`lossmith.functional.l1_loss` as a Module; a :class:`torch.nn.L1Loss` with weights and masks.

    Args:
        size_average, reduce, reduction: as the function's.
        weight, normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.L1Loss(weight=torch.tensor([3.0, 1.0]))(torch.tensor([1.0, 5.0]), torch.zeros(2))  # (3 + 5) / 4
    tensor(2.)
    """

    weight: Tensor | None

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        weight: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
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
        return l1_loss(
            input,
            target,
            weight=self.weight if weight is None else weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


CARD = Card(
    title=Text("L1 loss (mean absolute error)", "L1 损失（平均绝对误差，MAE）"),
    summary=Text(
        "The absolute error: to be twice as wrong costs twice as much, and no more.",
        "误差的绝对值：错得两倍远，代价也只是两倍。",
    ),
    gradient=Text(
        "The sign of the error, $+1$ or $-1$, however large or small the error is; under the mean divided by the "
        "number of elements. At an error of exactly 0 it is 0, the subgradient that torch takes.",
        "误差的符号，即 $+1$ 或 $-1$，与误差大小无关；取均值时再除以元素个数。误差恰好为 0 时取次梯度 0，同 torch。",
    ),
    robustness=Text(
        "Very robust: an outlier pulls as hard as any other row, where under MSE the pull grows in proportion to the "
        "error. Of 1, 2, 3, 4 and 1000 the median is 3 and the mean 202.",
        "非常鲁棒：离群点的拉力与其他样本一样大，而 MSE 的拉力与误差成正比。"
        "1、2、3、4、1000 的中位数是 3，均值却是 202。",
    ),
    sparsity=Text(
        "Errors become exactly 0: some best linear fit with p coefficients passes through p of the points. The weights "
        "do not: that takes an L1 penalty on them.",
        "误差会恰好为 0：含 p 个系数的线性模型，总有一个最优解恰好穿过 p 个样本点。"
        "权重并不会因此稀疏，那需要对权重另加 L1 惩罚项。",
    ),
    smoothness=Text(
        "A kink at 0, where the slope jumps from $-1$ to $1$, and no curvature elsewhere: the gradient does not fade "
        "as the fit gets better.",
        "在 0 处有尖点，斜率由 $-1$ 跳到 $1$；其他地方没有曲率：拟合变好时梯度并不减小。",
    ),
    sensitivity=Text(
        "To which side of the target a prediction lies, not to how far. The loss has the unit of the target but the "
        "gradient has none: targets a thousand times larger need steps a thousand times larger.",
        "只关心预测落在目标的哪一侧，不关心偏离多远。损失与目标同单位，梯度却没有单位："
        "目标放大一千倍，步长也要放大一千倍。",
    ),
    minimiser=Text(
        "The target. Where targets scatter, their median; of an even number of them, anything between the two middle "
        "ones is equally good.",
        "目标值本身。目标有散布时为其中位数；个数为偶数时，中间两个值之间的任何数都同样好。",
    ),
    use=(
        Text(
            "Regression with many outliers (a tenth of the rows or more) or heavy tails.",
            "含大量离群点（十分之一或更多）或重尾噪声的回归。",
        ),
        Text(
            "Reconstructing or translating images, alone or beside the adversarial loss of a GAN: less blurred than "
            "under MSE, which averages whatever is plausible.",
            "图像重建与图像翻译，单独使用或与 GAN 的对抗损失配合：MSE 会把各种可能的结果平均成模糊的图，L1 更清晰。",
        ),
        Text(
            "Forecasts that are judged by their mean absolute error, in the unit of the target.",
            "以平均绝对误差（与目标同单位）考核的预测任务。",
        ),
    ),
    avoid=(
        Text(
            "Even, Gaussian noise: the median needs 1.57 times ($\\pi/2$) as many rows as the mean for the same "
            "accuracy. Take MSELoss, or HuberLoss to be safe.",
            "噪声均匀且服从高斯分布时：达到同样精度，中位数所需样本是均值的 1.57 倍（$\\pi/2$）。"
            "应改用 MSELoss；求稳妥可用 HuberLoss。",
        ),
        Text(
            "Skewed targets whose sum matters, such as sales or costs: the median of a log-normal with $\\sigma = 1$ "
            "is 1, its mean 1.65, so the predictions add up to 39 % too little.",
            "目标偏斜且总量重要时（如销量、费用）：$\\sigma = 1$ 的对数正态分布中位数为 1，均值为 1.65，"
            "预测之和会偏低 39%。",
        ),
    ),
    traps=(
        Trap(
            "l1-never-settles",
            Text(
                "The pull is as strong near the target as far away, so a fixed learning rate ends in a jump from one "
                "side to the other: a single prediction under SGD at 0.1 goes on between 0.03 and -0.07 around a "
                "target of 0. Let the learning rate decay to 0, or take HuberLoss or SmoothL1Loss.",
                "靠近目标时拉力不减，学习率固定就会在目标两侧来回跳：目标为 0 时，单个预测值在学习率 0.1 的 SGD 下"
                "一直在 0.03 与 -0.07 之间震荡。应让学习率衰减到 0，或改用 HuberLoss、SmoothL1Loss。",
            ),
        ),
        Trap(
            "l1-unscaled-target",
            Text(
                "The gradient does not know how far there is to go: under SGD at 0.01 a bias needs 20 million steps to "
                "reach targets near 200,000. Standardise the target, and undo it on the prediction.",
                "梯度不反映距离：用学习率 0.01 的 SGD，偏置要 2000 万步才能走到 20 万附近的目标。"
                "应先标准化目标，再把预测值还原。",
            ),
        ),
        Trap(
            "l1-majority-of-zeros",
            Text(
                "If more than half of the targets are 0 (sales of a rare item, rain), so is their median, and the "
                "model learns to predict 0. Take PoissonNLLLoss or MSELoss, whose minimisers keep the mean.",
                "若一半以上的目标为 0（冷门商品的销量、降雨量），中位数就是 0，模型会学成一律预测 0。"
                "应改用最优解保持均值的 PoissonNLLLoss 或 MSELoss。",
            ),
        ),
        Trap(
            "l1-is-no-penalty",
            Text(
                "L1Loss measures errors; it does not make weights sparse, as the lasso does. For that add "
                "strength * sum(p.abs().sum() for p in model.parameters()) to any loss.",
                "L1Loss 度量的是误差，不会像 lasso 那样使权重稀疏。要稀疏权重，应在任意损失上加 "
                "strength * sum(p.abs().sum() for p in model.parameters())。",
            ),
        ),
        Trap(
            "l1-weight-in-mean",
            Text(
                "The mean divides by the sum of weight, as torch's function does. At batch size 1 a weight of 10 "
                'cancels: an error of 3 costs 3, not 30. normalizer="count" keeps it.',
                "均值除以 weight 之和，与 torch 的函数一致。批大小为 1 时权重 10 被约掉：误差 3 的损失是 3 而非 30。"
                '写 normalizer="count" 可保留其作用。',
            ),
            rule="weight-at-batch-size-one",
        ),
        Trap(
            "l1-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs; the loss still "
                "falls, toward the median of all targets for every row. Write input.squeeze(1).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表；损失照样下降，"
                "模型却对每一行都只学到全部目标的中位数。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "l1-arguments-to-constructor",
            Text(
                "L1Loss(input, target) builds a criterion from two tensors and computes nothing: 'Boolean value of "
                "Tensor with more than one value is ambiguous', or no error at all if each holds one number. Write "
                "L1Loss()(input, target).",
                "L1Loss(input, target) 只是用两个张量构造对象，什么也没计算：会报 Boolean value of Tensor with more "
                "than one value is ambiguous；若各只含一个数则连错误都没有。应写 L1Loss()(input, target)。",
            ),
            rule="arguments-to-constructor",
        ),
    ),
    stability=Text(
        "Nothing overflows but the difference itself. Half precision is computed in float32 and rounded once; CPU "
        "kernels add in double, so a mean is finite wherever the true one is.",
        "除差值本身外没有可溢出之处。半精度输入以 float32 计算，最后只舍入一次；"
        "CPU 内核以双精度求和，真实均值可表示时结果就不会溢出。",
    ),
    activation=Text("none", "无"),
    input="(*)",
    target="(*)",
    typical=Text("robust regression, image reconstruction (GAN)", "鲁棒回归、图像重建（GAN）"),
    siblings=(
        Sibling(
            "MSELoss",
            Text(
                "Learns the mean instead of the median, and its gradient fades near the target: it settles by itself, "
                "but an outlier pulls in proportion to its distance.",
                "学到均值而非中位数，接近目标时梯度随之减小，能自行收敛；但离群点的拉力与距离成正比。",
            ),
        ),
        Sibling(
            "HuberLoss",
            Text(
                "Rounds the kink off below delta: it settles, and far off it is delta times as steep as L1.",
                "在 delta 以内把尖点磨圆，因而能收敛；远处的斜率是 L1 的 delta 倍。",
            ),
        ),
        Sibling(
            "SmoothL1Loss",
            Text(
                "Rounds the kink off below beta and keeps L1's slope of 1 far off; beta=0 is L1Loss.",
                "在 beta 以内把尖点磨圆，远处保持 L1 的斜率 1；beta=0 即为 L1Loss。",
            ),
        ),
        Sibling(
            "QuantileLoss",
            Text(
                "Other quantiles than the median, and several at once: the two sides have different prices. At 0.5 it "
                "is half of L1Loss.",
                "学习中位数以外的分位数，且可一次学多个：两侧代价不同。0.5 时等于 L1Loss 的一半。",
            ),
        ),
    ),
    sources=(
        'Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978)',
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016), section 6.2.1',
        'Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR (2017)',
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {"": lambda x: {"input": x, "target": torch.zeros_like(x)}},
    ),
    aliases=(
        "l1",
        "mae",
        "mean_absolute_error",
        "absolute_error",
        "absolute_loss",
        "absolute_deviation",
        "least_absolute_deviation",
        "least_absolute_deviations",
        "lad",
        "median_regression",
        "regression_l1",
        "reg_absoluteerror",
    ),
)


LOSS = Loss(
    function=l1_loss,
    module=L1Loss,
    family="regression",
    formulas=(l1,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="weights",
        optimum="median",
        smooth=False,
    ),
    card=CARD,
)
