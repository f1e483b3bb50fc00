"""Log-cosh loss: the logarithm of the hyperbolic cosine of the error."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, expm1, formula, log1p, step, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def log_cosh(prediction: Real, target: Real) -> Reals:
    error = prediction - target
    size = where(error >= 0.0, error, -error)
    # from 20 on the loss is size - log(2) to the last place of a double
    far = size > 20.0
    growth = expm1(where(far, 20.0, size))
    # cosh(x) = 1 + (e^x - 1)^2 / (2 e^x): with log1p, nothing is lost near 0
    excess = 0.5 * growth * (growth / (1.0 + growth))
    square = growth * (2.0 + growth)
    slope = (2.0 * step(error) - 1.0) * (square / (2.0 + square))
    return where(far, size - 20.0, 0.0) + log1p(excess), slope, -slope


@overridable
def log_cosh_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Logarithm of the hyperbolic cosine of the error: half its square near 0, its size less log 2 far off.

    .. math::
        \ell(x, y) = \log \cosh(x - y) \qquad \frac{\partial \ell}{\partial x} = \tanh(x - y)

    Up to a constant it is the negative log-likelihood of the hyperbolic secant distribution, whose density is
    :math:`1 / (\pi \cosh(x - y))`. Value and gradient keep their relative accuracy near 0, and nothing overflows.

    Source: Green, "Bayesian Reconstructions From Emission Tomography Data Using a Modified EM Algorithm", IEEE
    Transactions on Medical Imaging 9 (1990), as the potential of differences between pixels.

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns).
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result has no unit: errors
            are counted in units of the target.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown reduction.
        NotImplementedError: complex numbers, or an input of integers.

    >>> import torch, lossmith
    >>> x = torch.tensor([0.01, 3.0], requires_grad=True)
    >>> loss = lossmith.functional.log_cosh_loss(x, torch.zeros(2), reduction="none")
    >>> loss.detach()  # about 0.01**2 / 2 and 3 - log 2
    tensor([4.9999e-05, 2.3093e+00])
    >>> loss.sum().backward()
    >>> x.grad  # about 0.01 and 1
    tensor([0.0100, 0.9951])
    """
    loss = "log_cosh_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    alike = checks.pair(loss, how.reduction, input, target, "input")
    return pointwise(loss, log_cosh, (input, target), (), how, alike=alike)


class LogCoshLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.log_cosh_loss` as a Module.

    Args:
        reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.LogCoshLoss()(torch.tensor([100.0]), torch.tensor([0.0]))  # 100 - log 2
    tensor(99.3069)
    """

    def __init__(self, reduction: str = "mean", *, normalizer: Normalizer = None, on_empty: str = "nan") -> None:
        super().__init__()
        self.reduction = reduction
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
        return log_cosh_loss(input, target, **self._reduction(sample_weight, mask, normalizer, on_empty))


CARD = Card(
    title=Text("Log-cosh loss", "Log-cosh 损失"),
    summary=Text(
        "Half the squared error for small errors, the absolute error less log 2 for large ones, and infinitely "
        "smooth in between: a Huber loss without a seam and without a threshold.",
        "小误差时为平方误差的一半，大误差时为绝对误差减 log 2，其间无限光滑：没有接缝、也没有阈值的 Huber 损失。",
    ),
    gradient=Text(
        "$\\tanh(x - y)$: the error itself while it is small, 1 or -1 far off. It has 76 % of its full pull at an "
        "error of 1, 96 % at 2.",
        "$\\tanh(x - y)$：误差小时即误差本身，远处为 1 或 -1。误差为 1 时已达最大拉力的 76%，为 2 时达 96%。",
    ),
    robustness=Text(
        "Robust: an outlier pulls with 1 at most, however far off it is.",
        "鲁棒：离群点无论多远，拉力至多为 1。",
    ),
    sparsity=Text(
        "None: near 0 the gradient fades with the error, so no error is driven to exactly 0.",
        "无稀疏性：误差趋于 0 时梯度也随之消失，误差不会被压到恰好为 0。",
    ),
    smoothness=Text(
        "Infinitely differentiable, convex, with a curvature of 1 - tanh² that falls from 1 to 0: methods of second "
        "order (Newton, gradient boosting) have a Hessian everywhere.",
        "无穷次可导且凸，曲率为 1 - tanh²，由 1 降到 0：二阶方法（牛顿法、梯度提升）处处有 Hessian。",
    ),
    sensitivity=Text(
        "To the unit of the target, since the bend sits at errors of about 1 and no parameter moves it.",
        "对目标的单位敏感：弯折处固定在误差约为 1 的地方，没有参数可以移动它。",
    ),
    minimiser=Text(
        "The target. Where targets scatter, a centre between their median and their mean: nearer the mean if they "
        "scatter by much less than 1.",
        "目标值本身。目标有散布时，最优预测介于中位数与均值之间；散布远小于 1 时更接近均值。",
    ),
    use=(
        Text(
            "Regression on a standardised target with some outliers, where one parameter less is welcome.",
            "目标已标准化、含少量离群点的回归，且希望少调一个参数。",
        ),
        Text(
            "Optimisers that want second derivatives, and networks whose inputs' gradients are differentiated again.",
            "需要二阶导数的优化方法，以及要对输入梯度再次求导的网络。",
        ),
    ),
    avoid=(
        Text(
            "A target whose noise is far from 1 in its unit and can't be scaled: HuberLoss has a delta.",
            "目标的噪声以其单位计远离 1、又不能缩放时：HuberLoss 有可调的 delta。",
        ),
        Text(
            "Far outliers by Newton's method: the curvature at an error of 10 is 8e-9, and a step divided by it is "
            "enormous.",
            "用牛顿法处理远处的离群点：误差为 10 时曲率只有 8e-9，除以它得到的步长极大。",
        ),
    ),
    traps=(
        Trap(
            "log-cosh-unit",
            Text(
                "Errors are counted in the target's unit. For house prices all of them are large and the loss is MAE; "
                "for errors of about 0.01 it is half the MSE, and robust against nothing. Divide prediction and target "
                "by the noise's scale s, lossmith.suggest.robust_scale(residuals), and multiply the loss by s * s to "
                "keep half the squared error near 0.",
                "误差以目标的单位计。预测房价时误差都很大，损失就是 MAE；误差约为 0.01 时它只是 MSE 的一半，"
                "毫无鲁棒性。"
                "应把预测与目标都除以噪声的尺度 s，即 lossmith.suggest.robust_scale(residuals)，"
                "并把损失乘以 s * s，以便在 0 附近仍为平方误差的一半。",
            ),
            rule="unscaled-regression-target",
        ),
        Trap(
            "log-cosh-by-hand",
            Text(
                "torch.log(torch.cosh(x - y)) is infinite from an error of 90 on in float32, with a gradient of NaN. "
                "The usual remedy, e + softplus(-2 e) - log 2, is 0 for every error below 0.0002 and off by 1 % at "
                "0.003, since numbers near 0.69 cancel.",
                "torch.log(torch.cosh(x - y)) 在 float32 下误差达到 90 即为无穷，梯度为 NaN。"
                "常见的补救写法 e + softplus(-2 e) - log 2 由于 0.69 附近的数相减抵消，"
                "误差低于 0.0002 时恒为 0，误差为 0.003 时偏差 1%。",
            ),
        ),
        Trap(
            "log-cosh-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N) becomes an (N, N) table of all pairs; the loss still "
                "falls, toward a centre of all targets. Write input.squeeze(1).",
                "输入 (N, 1) 与目标 (N) 会广播成 (N, N) 的两两配对表；损失照样下降，"
                "模型却只学到全部目标的中心。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "Written as log1p of cosh - 1, from expm1: value and gradient are relatively exact down to the smallest "
        "errors, and errors of 20 and more are taken off before anything is exponentiated. Half precision is computed "
        "in float32.",
        "写作 cosh - 1 的 log1p，由 expm1 得到：误差再小，数值与梯度的相对精度也不损失；"
        "误差超过 20 的部分在取指数前就已拿掉。半精度输入以 float32 计算。",
    ),
    activation=Text("none", "无"),
    input="(*)",
    target="(*)",
    typical=Text("smooth robust regression", "光滑的鲁棒回归"),
    siblings=(
        Sibling(
            "HuberLoss",
            Text(
                "The same two ends, with a threshold that can be set and a jump of the second derivative there.",
                "两端形状相同，但阈值可调，且二阶导数在阈值处跳变。",
            ),
        ),
        Sibling(
            "CharbonnierLoss",
            Text(
                "As smooth, with eps for the width of its bend; its pull nears 1 more slowly, as "
                "$1 - \\epsilon^2 / 2 e^2$ of an error $e$, and not exponentially.",
                "同样光滑，弯折宽度由 eps 决定；拉力趋近 1 较慢，"
                "误差为 $e$ 时按 $1 - \\epsilon^2 / 2 e^2$ 而非指数趋近。",
            ),
        ),
        Sibling(
            "MSELoss",
            Text(
                "Twice this loss for small errors; without a bound of the pull.",
                "小误差时等于本损失的两倍；拉力没有上界。",
            ),
        ),
    ),
    sources=(
        'Green, "Bayesian Reconstructions From Emission Tomography Data Using a Modified EM Algorithm", IEEE '
        "Transactions on Medical Imaging 9 (1990)",
        'Saleh and Saleh, "Statistical Properties of the log-cosh Loss Function Used in Machine Learning", '
        "arXiv:2208.04564 (2022)",
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {"": lambda x: {"input": x, "target": torch.zeros_like(x)}},
    ),
    aliases=("logcosh", "logcosh_loss", "logarithm_of_the_hyperbolic_cosine"),
)


LOSS = Loss(
    function=log_cosh_loss,
    module=LogCoshLoss,
    family="regression",
    formulas=(log_cosh,),
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
