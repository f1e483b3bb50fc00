"""Mean squared error: the squared error, with a gradient that grows in proportion to it."""

import math

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def mse(prediction: Real, target: Real) -> Reals:
    error = prediction - target
    slope = 2.0 * error
    return error * error, slope, -slope


@overridable
def mse_loss(
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
    r"""Squared error; its minimiser is the mean of the targets, and a single outlier can rule it.

    .. math::
        \ell(x, y) = w\,(x - y)^2 \qquad \frac{\partial \ell}{\partial x} = 2 w\,(x - y)

    It is the negative log-likelihood of Gaussian noise of constant variance, up to scale and a constant. An error
    beyond about 1.8e19 overflows in float32, to infinity and not to NaN, while its gradient stays finite: standardise
    the targets.

    Source: Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae" (1823).

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns); any real dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in the target's
            unit squared.
        weight: torch's weights :math:`w`, of the shape of ``input``. They multiply the loss, and the mean divides by
            their sum (that of huber_loss does not); ``sample_weight`` follows one rule for every loss.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: weight has another shape than input; an unknown reduction.
        NotImplementedError: complex numbers, or integers for both.

    >>> import torch, lossmith
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = lossmith.functional.mse_loss(x, torch.tensor([0.0, 5.0]))  # (1 + 9) / 2
    >>> loss.backward()
    >>> loss.item(), x.grad
    (5.0, tensor([ 1., -3.]))
    """
    loss = "mse_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    checks.weight_of_input(loss, weight, input)
    alike = checks.pair(loss, how.reduction, input, target, "either")
    if weight is not None or not alike:
        alike = 0
        input, target = checks.broadcast(input, target, weight)
    return pointwise(loss, mse, (input, target), (), how, weight=weight, weight_in_mean=True, alike=alike)


class MSELoss(Criterion, torch.nn.MSELoss):
    """:func:`lossmith.functional.mse_loss` as a Module; a :class:`torch.nn.MSELoss` with weights and masks.

    Args:
        size_average, reduce, reduction: as the function's.
        weight, normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.MSELoss()(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.0]), mask=torch.tensor([True, False]))
    tensor(9.)
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
        return mse_loss(
            input,
            target,
            weight=self.weight if weight is None else weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


CARD = Card(
    title=Text("Mean squared error (L2 loss)", "均方误差（MSE，L2 损失）"),
    summary=Text(
        "The squared error: to be twice as wrong costs four times as much.",
        "误差的平方：错得两倍远，代价是四倍。",
    ),
    gradient=Text(
        "Twice the error, $2(x - y)$: it grows in proportion to the error, while the loss grows with its square, and "
        "fades as the prediction nears the target.",
        "误差的两倍 $2(x - y)$：梯度随误差线性增长（平方增长的是损失），预测接近目标时随之减小。",
    ),
    robustness=Text(
        "None: one error of 100 among 99 errors of 1 is 99 % of the loss and half of the pull. A single wrong row can "
        "bend the whole fit toward itself.",
        "不鲁棒：99 个误差为 1 的样本加一个误差为 100 的样本，后者占损失的 99%、占拉力的一半。"
        "一个错误样本就能把整个拟合拉偏。",
    ),
    sparsity=Text(
        "None: the pull on an error fades with it, so errors become small and never exactly 0.",
        "无稀疏性：误差变小，拉力也变小，误差会很小但不会恰好为 0。",
    ),
    smoothness=Text(
        "Infinitely differentiable, with the constant curvature 2: strictly convex in the prediction, with one optimum "
        "there. In the weights of a network it is not convex.",
        "无穷次可导，曲率恒为 2：对预测值严格凸，最优解唯一。对神经网络的权重则不是凸函数。",
    ),
    sensitivity=Text(
        "Extremely sensitive to large errors, and to the scale of the target: in metres instead of kilometres the loss "
        "is a million times larger and the gradient in a prediction a thousand times.",
        "对大误差极度敏感，对目标的尺度也是：单位由千米改为米，损失变为一百万倍，对预测值的梯度变为一千倍。",
    ),
    minimiser=Text(
        "The target. Where targets scatter, their mean.",
        "目标值本身。目标有散布时为其均值。",
    ),
    use=(
        Text(
            "Regression in general: the default where noise is even and outliers are few.",
            "一般的回归任务：噪声均匀、离群点很少时的默认选择。",
        ),
        Text(
            "Gaussian noise of constant variance, whose likelihood it is up to scale and a constant: no other loss "
            "needs fewer rows then.",
            "方差恒定的高斯噪声：相差一个比例与常数，它就是其负对数似然，此时没有哪种损失所需样本更少。",
        ),
        Text(
            "Whenever the mean is wanted, so that predictions add up to the right total; noise in a diffusion model.",
            "需要均值、要求预测之和等于真实总量的任务；扩散模型中的噪声预测。",
        ),
    ),
    avoid=(
        Text(
            "Outliers or wrong labels: HuberLoss for a few, L1Loss for a tenth of the rows or more.",
            "有离群点或错误标注时：少量用 HuberLoss，达到十分之一或更多用 L1Loss。",
        ),
        Text(
            "Classes: take CrossEntropyLoss or BCEWithLogitsLoss.",
            "分类任务：应改用 CrossEntropyLoss 或 BCEWithLogitsLoss。",
        ),
        Text(
            "Noise that grows with the target: the noisiest rows rule the fit. GaussianNLLLoss for quantities, "
            "PoissonNLLLoss for counts.",
            "噪声随目标增大时：噪声最大的样本主导拟合。连续量用 GaussianNLLLoss，计数用 PoissonNLLLoss。",
        ),
    ),
    traps=(
        Trap(
            "mse-unscaled-target",
            Text(
                "Targets that were never standardised. Near 200,000 the first loss is 4e10 and the gradient in each "
                "prediction, before the division by N, 4e5: a small network under SGD at a learning rate of 0.001 is "
                "NaN within six steps, and under Adam at 0.001 has hardly moved after 500. Train on (y - mean) / std "
                "and undo it on the prediction.",
                "目标没有标准化。目标在 20 万附近时，初始损失约 4e10，对每个预测值的梯度（除以 N 之前）约 4e5："
                "小网络用学习率 0.001 的 SGD 六步之内就变成 NaN，用学习率 0.001 的 Adam 走 500 步仍几乎没动。"
                "应在 (y - mean) / std 上训练，再把预测值还原。",
            ),
            rule="unscaled-regression-target",
        ),
        Trap(
            "mse-overflow",
            Text(
                "In float32 an error beyond 1.8e19 has an infinite square. The loss is inf, not NaN, and the gradient "
                "is still finite (up to errors of 1.7e38), so training goes on and breaks later and elsewhere. "
                "Standardise the target.",
                "float32 下误差超过 1.8e19，平方即溢出。损失变为 inf 而不是 NaN，梯度却仍有限（直到误差达 1.7e38），"
                "训练会继续，之后才在别处崩溃。应标准化目标。",
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "mse-half-overflow",
            Text(
                "A float16 result ends at 65504: root mean square errors of 256 and more give inf. Write "
                "mse_loss(input.float(), target.float()), or standardise the target. bfloat16 does not overflow here.",
                "float16 的结果上限是 65504：均方根误差达到 256 就得 inf。应写 "
                "mse_loss(input.float(), target.float())，或标准化目标。bfloat16 不会在此溢出。",
            ),
            rule="half-overflow",
        ),
        Trap(
            "mse-on-sigmoid",
            Text(
                "Behind a sigmoid the gradient vanishes where the network is surely wrong: at a logit of -10 for a "
                "target of 1 it is -9e-5, that of BCEWithLogitsLoss is -1. Give the logits to BCEWithLogitsLoss "
                "(softmax: CrossEntropyLoss).",
                "放在 sigmoid 之后，网络错得最离谱时梯度反而消失：目标为 1、logit 为 -10 时梯度为 -9e-5，"
                "BCEWithLogitsLoss 则为 -1。应把 logits 直接交给 BCEWithLogitsLoss（softmax 则用 CrossEntropyLoss）。",
            ),
        ),
        Trap(
            "mse-root",
            Text(
                "mse_loss(x, y).sqrt() has a gradient of NaN where the fit is exact (inf * 0), and the mean of the "
                "batches' roots is not the root of the mean: of 1 and 9 they are 2 and 2.24. Train on the MSE and "
                "report its root; if it must be the root, write (mse + 1e-12).sqrt().",
                "mse_loss(x, y).sqrt() 在拟合完全准确时梯度为 NaN（inf * 0）；而且各批 RMSE 的平均不等于总体 RMSE："
                "MSE 为 1 和 9 时前者是 2，后者是 2.24。应以 MSE 训练、以其平方根报告；"
                "一定要用平方根时写 (mse + 1e-12).sqrt()。",
            ),
        ),
        Trap(
            "mse-mean-over-elements",
            Text(
                "The mean divides by all elements, N times D. Beside a term that is summed in each row, such as a "
                'VAE\'s KL term, images of 784 pixels then count 784 times too little. Write reduction="batchmean": '
                "summed in each row, averaged over rows.",
                "均值除以全部元素个数 N × D。若旁边另有按样本求和的项（如 VAE 的 KL 项），784 像素的图像会少算 784 倍。"
                '应写 reduction="batchmean"：样本内求和，样本间取平均。',
            ),
        ),
        Trap(
            "mse-unequal-columns",
            Text(
                "Outputs in different units share one loss: errors of 1 and of 1000 cost 1 and 1,000,000, and the "
                "second column is all that is learned. Standardise each column of the target.",
                "多个输出单位不同却共用一个损失：误差 1 与 1000 的代价是 1 与 1000000，模型只会学第二列。"
                "应对目标逐列标准化。",
            ),
        ),
        Trap(
            "mse-not-half",
            Text(
                "There is no factor of 1/2: the gradient is $2(x - y)$, twice that of HuberLoss, optax.l2_loss and "
                "most textbooks. A learning rate or a loss weight taken from there is to be halved.",
                "没有系数 1/2：梯度是 $2(x - y)$，为 HuberLoss、optax.l2_loss 和多数教科书写法的两倍。"
                "从那里搬来的学习率或损失权重应减半。",
            ),
        ),
        Trap(
            "mse-weight-in-mean",
            Text(
                "The mean divides by the sum of weight, as torch's function does. At batch size 1 a weight of 10 "
                'cancels: an error of 3 costs 9, not 90. normalizer="count" keeps it.',
                "均值除以 weight 之和，与 torch 的函数一致。批大小为 1 时权重 10 被约掉：误差 3 的损失是 9 而非 90。"
                '写 normalizer="count" 可保留其作用。',
            ),
            rule="weight-at-batch-size-one",
        ),
        Trap(
            "mse-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs; the loss still "
                "falls, toward the variance of the targets, and every row learns their mean. Write input.squeeze(1).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表；损失照样下降，最终降到目标的方差，"
                "每一行都只学到目标的均值。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "mse-arguments-to-constructor",
            Text(
                "MSELoss(input, target) builds a criterion from two tensors and computes nothing: 'Boolean value of "
                "Tensor with more than one value is ambiguous', or no error at all if each holds one number. Write "
                "MSELoss()(input, target).",
                "MSELoss(input, target) 只是用两个张量构造对象，什么也没计算：会报 Boolean value of Tensor with more "
                "than one value is ambiguous；若各只含一个数则连错误都没有。应写 MSELoss()(input, target)。",
            ),
            rule="arguments-to-constructor",
        ),
    ),
    stability=Text(
        "The square overflows in float32 beyond an error of 1.8e19: inf, not NaN, with a finite gradient. Half "
        "precision is computed in float32 and rounded once, and CPU kernels add in double: the float16 mean of "
        "errors 300 and 0 is 44992, where squaring in float16 gives inf.",
        "float32 下误差超过 1.8e19 时平方溢出：得 inf 而非 NaN，梯度仍有限。半精度输入以 float32 计算、最后只舍入一次，"
        "CPU 内核以双精度求和：float16 误差 300 与 0 的均值为 44992，若在 float16 中平方则得 inf。",
    ),
    activation=Text("none", "无"),
    input="(*)",
    target="(*)",
    typical=Text("regression", "回归"),
    siblings=(
        Sibling(
            "L1Loss",
            Text(
                "Learns the median instead of the mean; robust, but its gradient does not fade near the target.",
                "学到中位数而非均值；鲁棒，但接近目标时梯度不减小。",
            ),
        ),
        Sibling(
            "HuberLoss",
            Text(
                "Half of MSELoss below delta, linear beyond it: outliers lose their power, and delta must be chosen.",
                "误差在 delta 以内等于 MSELoss 的一半，超过后为线性：离群点不再主导，但要选 delta。",
            ),
        ),
        Sibling(
            "SmoothL1Loss",
            Text(
                "MSELoss divided by $2\\beta$ for errors below beta, the absolute error less half of beta beyond.",
                "误差在 beta 以内等于 MSELoss 除以 $2\\beta$，超过后为绝对误差减去 beta 的一半。",
            ),
        ),
        Sibling(
            "GaussianNLLLoss",
            Text(
                "Learns a variance beside the mean and divides each squared error by it; with var=1 it is half of "
                "MSELoss.",
                "在均值之外还学方差，并以方差去除每个平方误差；var=1 时等于 MSELoss 的一半。",
            ),
        ),
        Sibling(
            "PoissonNLLLoss",
            Text(
                "Learns the mean too, but of counts: never negative, and large counts may err by more.",
                "同样学到均值，但针对计数：预测不会为负，大计数允许更大的误差。",
            ),
        ),
    ),
    sources=(
        'Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae" (1823)',
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016), section 6.2.1',
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {"": lambda x: {"input": x, "target": torch.zeros_like(x)}},
    ),
    aliases=(
        "mse",
        "mean_squared_error",
        "squared_error",
        "squared_loss",
        "quadratic_loss",
        "l2",
        "l2_loss",
        "least_squares",
        "regression_l2",
        "reg_squarederror",
    ),
)


LOSS = Loss(
    function=mse_loss,
    module=MSELoss,
    family="regression",
    formulas=(mse,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="weights",
        smooth=True,
        optimum="mean",
    ),
    card=CARD,
)
