"""Gaussian negative log-likelihood: a predicted mean together with its predicted variance."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import readable
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, floor_at, formula, log, maximum, where
from ..loops.pointwise import Domain, pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@formula
def gaussian(prediction: Real, target: Real, variance: Real, eps: Real, constant: Real) -> Reals:
    error = prediction - target
    # the gradient passes the floor as if it were not there: torch's number
    floored = floor_at(variance, eps)
    ratio = error / floored
    return (
        0.5 * (log(floored) + error * ratio) + constant,
        ratio,
        -ratio,
        0.5 * (1.0 - error * ratio) / floored,
    )


@formula
def gaussian_clamped(prediction: Real, target: Real, variance: Real, eps: Real, constant: Real) -> Reals:
    error = prediction - target
    floored = maximum(variance, eps)
    ratio = error / floored
    return (
        0.5 * (log(floored) + error * ratio) + constant,
        ratio,
        -ratio,
        where(variance >= eps, 0.5 * (1.0 - error * ratio) / floored, 0.0),
    )


@formula
def gaussian_of_one_variance(prediction: Real, target: Real, variance: Real, constant: Real) -> Reals:
    error = prediction - target
    ratio = error / variance
    return 0.5 * error * ratio + constant, ratio, -ratio


@overridable
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    *,
    clamp_gradient: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Negative log-likelihood of a value under a Gaussian distribution of predicted mean and variance.

    .. math::
        \ell(x, y, v) = \tfrac12 \left[\log v_\varepsilon + \frac{(x - y)^2}{v_\varepsilon}\right] \quad
        v_\varepsilon = \max(v, \varepsilon) \qquad
        \frac{\partial \ell}{\partial x} = \frac{x - y}{v_\varepsilon} \quad
        \frac{\partial \ell}{\partial v} = \frac{1}{2 v_\varepsilon} \left[1 - \frac{(x - y)^2}{v_\varepsilon}\right]

    ``full`` adds :math:`\tfrac12 \log 2 \pi`.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN (1994).

    Args:
        input: predicted means :math:`x`, any shape, in the unit of the target; a floating dtype (integers are computed
            in the default dtype).
        target: :math:`y`, of the same shape (others broadcast; a result larger than all warns).
        var: variances :math:`v`, 0 or more, in the target's unit squared: a number, or a tensor that broadcasts to
            input and target. One of the input's shape less its last dimension is for its rows, as in torch.
        full: whether the constant is added.
        eps: :math:`\varepsilon`, what variances below it are raised to.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in nats.
        clamp_gradient: whether a variance that was raised to ``eps`` gets no gradient. By default it gets the one of
            ``eps``, as in torch: -5e11 for an error of 1 at a variance of 0.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`. What is masked may have any variance.

    Raises:
        ValueError: var does not broadcast to input and target; a negative variance (a number, or a tensor on the CPU,
            eager; elsewhere that element's loss is NaN and its gradient 0); an unknown reduction.
        RuntimeError: the shapes of input and target can't be broadcast together.
        NotImplementedError: complex numbers.

    >>> import torch, lossmith
    >>> x, y, v = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([4.0])
    >>> lossmith.functional.gaussian_nll_loss(x, y, v)  # (log 4 + 2**2 / 4) / 2
    tensor(1.1931)
    >>> lossmith.functional.gaussian_nll_loss(x, y, 1, full=True)  # (log 1 + 2**2 / 1 + log(2 pi)) / 2
    tensor(2.9189)
    """
    loss = "gaussian_nll_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    alike = checks.pair(loss, how.reduction, input, target, "")
    constant = HALF_LOG_TWO_PI if full else 0.0
    if not isinstance(var, Tensor):
        variance = max(_not_negative(loss, var), eps)
        constant += 0.5 * math.log(variance) if variance != 0 else -math.inf
        return pointwise(
            loss, gaussian_of_one_variance, (input, target), (variance, constant), how, composite=True, alike=alike
        )
    shape = input.shape
    if target.shape != shape:
        shape = torch.broadcast_shapes(shape, target.shape)  # type: ignore[no-untyped-call]
    var = _along(loss, var, input, shape)
    checks.fits(loss, "mask", how.mask, shape, "the unreduced loss")
    domain = Domain((None, None, (0.0, math.inf, True)), lambda operands: _negative(loss, operands[2], how.mask))
    formula = gaussian_clamped if clamp_gradient else gaussian
    return pointwise(loss, formula, (input, target, var), (eps, constant), how, domain=domain, composite=True)


def _along(loss: str, var: Tensor, input: Tensor, shape: torch.Size) -> Tensor:
    """The variances in a shape that broadcasts to the loss."""
    checks.real(loss, var=var)
    if var.shape != input.shape and var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    checks.fits(loss, "var", var, shape, "input and target")
    return var


def _not_negative(loss: str, var: float) -> float:
    if not isinstance(var, int | float):
        raise TypeError(f"{loss}: var is a {type(var).__name__}, expected a torch.Tensor or a number")
    if var < 0:
        raise ValueError(f"{loss}: var is {var!r}, expected a variance of 0 or more; {ADVICE}")
    return var


def _negative(loss: str, var: Tensor, mask: Tensor | None) -> Tensor | None:
    """Refuses negative variances in eager CPU, else returns where they are."""
    negative = var < 0
    if mask is not None:
        negative = negative & mask
    if not readable(negative):
        return negative
    if bool(negative.any()):
        position = tuple(int(i) for i in torch.nonzero(negative)[0])
        found = torch.broadcast_to(var, negative.shape)[position].item()
        raise ValueError(
            f"{loss}: var has a negative entry, {found!r} at position {position} of {checks.describe(var)}, expected "
            f"variances of 0 or more; {ADVICE}"
        )
    return None


ADVICE = "end the model with a softplus or exp, and square what is a standard deviation"


class GaussianNLLLoss(Criterion, torch.nn.GaussianNLLLoss):
    """:func:`lossmith.functional.gaussian_nll_loss` as a Module; a :class:`torch.nn.GaussianNLLLoss` with more.

    Args:
        full, eps, reduction, clamp_gradient: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> var = torch.zeros(1, requires_grad=True)
    >>> lossmith.GaussianNLLLoss(clamp_gradient=True)(torch.ones(1), torch.zeros(1), var).backward()
    >>> var.grad
    tensor([0.])
    """

    def __init__(
        self,
        *,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
        clamp_gradient: bool = False,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(full=full, eps=eps, reduction=reduction)
        self.clamp_gradient = clamp_gradient
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        target: Tensor,
        var: Tensor | float,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return gaussian_nll_loss(
            input,
            target,
            var,
            full=self.full,
            eps=self.eps,
            clamp_gradient=self.clamp_gradient,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


CARD = Card(
    title=Text("Gaussian negative log-likelihood", "高斯负对数似然"),
    summary=Text(
        "How unlikely the target is under a Gaussian distribution whose mean and variance are both predicted.",
        "在均值与方差都由网络预测的高斯分布下，目标值有多不可能。",
    ),
    gradient=Text(
        "In the mean the error over the variance, $(x - y)/v$: sure rows pull hard, unsure ones hardly. In the "
        "variance $(1 - (x - y)^2/v) / (2v)$, which draws it toward the squared error.",
        "对均值为误差除以方差，即 $(x - y)/v$：把握大的样本拉力强，把握小的几乎不拉。"
        "对方差为 $(1 - (x - y)^2/v) / (2v)$，使其趋向误差的平方。",
    ),
    robustness=Text(
        "Little at a given variance: the pull grows with the error, and 10 standard deviations cost 50. Where the "
        "input tells that a row is noisy its variance can grow, and an error of 100 costs log 100 + 1/2 = 5.1 at best.",
        "方差给定时较弱：拉力随误差增大，偏离 10 个标准差的代价是 50。若输入能反映该样本噪声大，方差可以随之变大，"
        "此时误差 100 的代价最低为 log 100 + 1/2 = 5.1。",
    ),
    sparsity=Text(
        "None: the pull on the mean fades with the error, so no error is driven to exactly 0.",
        "无稀疏性：对均值的拉力随误差消失，误差不会被压到恰好为 0。",
    ),
    smoothness=Text(
        "In the mean a parabola, infinitely differentiable and convex. In the variance it is not convex (the curvature "
        "is negative beyond twice the squared error) and has a kink at eps.",
        "对均值是抛物线，无穷次可导且凸。对方差不是凸函数：方差超过误差平方的两倍后曲率为负；在 eps 处有尖点。",
    ),
    sensitivity=Text(
        "To small variances: an error of 0.1 at a variance of 0.01 pulls with 10, one of 2 at a variance of 4 with "
        "0.5. eps decides how small they may become, in the target's unit squared.",
        "对小方差敏感：方差 0.01 时误差 0.1 的拉力为 10，方差 4 时误差 2 的拉力只有 0.5。"
        "eps 决定方差最小能到多少，其单位是目标单位的平方。",
    ),
    minimiser=Text(
        "The target, and a variance of 0, which is held at eps: otherwise the loss would have no least value. Where "
        "targets scatter, their mean and their variance (over n, not n - 1).",
        "目标值本身，方差为 0（止于 eps，否则损失无下界）。目标有散布时为其均值与方差（除以 n 而非 n - 1）。",
    ),
    use=(
        Text(
            "Regression whose noise depends on the input (heteroscedastic): noisy rows then pull less.",
            "噪声随输入变化（异方差）的回归：噪声大的样本拉力更小。",
        ),
        Text(
            "Predictions that need an interval: mean plus or minus 1.96 standard deviations holds 95 %, if the noise "
            "is Gaussian.",
            "预测需要带区间：噪声为高斯分布时，均值加减 1.96 个标准差覆盖 95%。",
        ),
        Text(
            "Members of a deep ensemble, and learned dynamics in model-based reinforcement learning.",
            "深度集成的各个成员，以及基于模型的强化学习中的动力学模型。",
        ),
    ),
    avoid=(
        Text(
            "Even noise and no need of intervals: MSELoss has half the outputs and none of these traps.",
            "噪声均匀且不需要区间时：MSELoss 输出少一半，也没有下列陷阱。",
        ),
        Text(
            "Outliers that the input does not announce: one at 10 standard deviations costs as much as 100 ordinary "
            "rows. Take HuberLoss or L1Loss.",
            "输入无法预示的离群点：一个偏离 10 个标准差的样本，代价相当于 100 个普通样本。应改用 HuberLoss 或 L1Loss。",
        ),
        Text(
            "Counts: PoissonNLLLoss takes the variance from the mean and never predicts below 0.",
            "计数：PoissonNLLLoss 的方差取自均值，且预测不会为负。",
        ),
    ),
    traps=(
        Trap(
            "gaussian-nll-variance-not-positive",
            Text(
                "A bare linear output as variance becomes negative: a ValueError on the CPU; on a device or compiled "
                "that element is NaN with a gradient of 0. Write softplus(raw) + 1e-4, or exp of a log variance, whose "
                "gradient $\\frac{1}{2}(1 - (x - y)^2/v)$ has no further $1/v$.",
                "直接把线性输出当方差会出现负值：在 CPU 上报 ValueError；在加速设备上或编译后，该元素为 NaN、梯度为 0。"
                "应写 softplus(raw) + 1e-4，或对“对数方差”取 exp，其梯度 $\\frac{1}{2}(1 - (x - y)^2/v)$ "
                "不再多乘一个 $1/v$。",
            ),
            rule="gaussian-variance-not-positive",
        ),
        Trap(
            "gaussian-nll-argument-order",
            Text(
                "The order is (input, target, var). criterion(mean, var, target) is no error while the targets are 0 "
                "or more: the mean then learns to agree with the variance. Write var=var.",
                "参数顺序是 (input, target, var)。写成 criterion(mean, var, target)，只要目标非负就不会报错："
                "均值学到的只是与方差一致。应写 var=var。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "gaussian-nll-standard-deviation",
            Text(
                "var is a variance. A network whose output is named sigma and passed as it is learns 100 where the "
                "standard deviation is 10, and its intervals are ten times too wide. Write var=sigma ** 2.",
                "var 是方差。若把名为 sigma 的输出原样传入，标准差为 10 时网络学到的是 100，区间宽了十倍。"
                "应写 var=sigma ** 2。",
            ),
        ),
        Trap(
            "gaussian-nll-early-weighting",
            Text(
                "Each error is weighted by 1/v. Where the mean is still wrong the variance grows first, and those rows "
                "stop pulling: a small network on a sine of amplitude 0.4 with noise of 0.01 was left with errors of "
                "0.12 to 0.20 (four seeds), of 0.01 to 0.04 with either remedy. Train on MSELoss first, or weight by "
                'the variance (beta-NLL): with reduction="none", (loss * var.detach() ** 0.5).mean().',
                "每个误差都以 1/v 加权。均值还没学好时方差先变大，这些样本就不再有拉力：用小网络拟合振幅 0.4、"
                "噪声 0.01 的正弦，误差停在 0.12 到 0.20（四个随机种子）；用下面任一办法都降到 0.01 到 0.04。"
                "先用 MSELoss 训练，或以方差加权"
                '（beta-NLL）：取 reduction="none"，再写 (loss * var.detach() ** 0.5).mean()。',
            ),
        ),
        Trap(
            "gaussian-nll-variance-collapse",
            Text(
                "A network that memorises its rows drives their variance to eps = 1e-6, where each gains -6.9; a new "
                "row with an error of 0.1 then costs 4993. Floor the variance at a noise that you believe in, such as "
                "softplus(raw) + 1e-3 for a standardised target, and stop on the validation loss.",
                "网络若记住了训练样本，方差会被压到 eps = 1e-6，每个样本的损失为 -6.9；"
                "新样本误差 0.1 的代价却是 4993。应给方差设一个可信的下限（目标标准化后如 softplus(raw) + 1e-3），"
                "并以验证损失早停。",
            ),
        ),
        Trap(
            "gaussian-nll-eps-unit",
            Text(
                "eps = 1e-6 is in the target's unit squared. For targets of about 1e-4 every true variance (1e-8) lies "
                "below it, and the loss no longer sees the variance, which falls for ever. Standardise the target, or "
                "set eps.",
                "eps = 1e-6 的单位是目标单位的平方。目标约为 1e-4 时，真实方差（1e-8）全在 eps 之下，"
                "损失不再随方差变化，方差会一直下降。应标准化目标，或另设 eps。",
            ),
        ),
        Trap(
            "gaussian-nll-gradient-below-eps",
            Text(
                "Below eps the value is that of eps, and so is the gradient in the variance, as in torch: -5e11 for an "
                "error of 1 at a variance of 0. clamp_gradient=True makes it 0; better is a floor in the network, as "
                "in softplus(raw) + 1e-4.",
                "方差低于 eps 时，数值按 eps 计算，对方差的梯度也按 eps 计算（与 torch 一致）：方差为 0、误差为 1 时"
                "是 -5e11。clamp_gradient=True 使其为 0；更好的做法是在网络中设下限，如 softplus(raw) + 1e-4。",
            ),
        ),
        Trap(
            "gaussian-nll-variance-per-row",
            Text(
                "A var of shape (D,), one noise for each column of (N, D), is taken for one a row where N happens to "
                "be D, since torch's rule is a var of the input's shape less its last dimension. Write var[None, :].",
                "形状 (D,) 的 var 表示 (N, D) 每列一个噪声，但 N 恰好等于 D 时会被当成每行一个："
                "torch 规定 var 可为输入去掉最后一维的形状。应写 var[None, :]。",
            ),
        ),
        Trap(
            "gaussian-nll-outer-broadcast",
            Text(
                "A mean of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs, of which torch says "
                "nothing here: every row learns the mean and variance of all targets. Write input.squeeze(1).",
                "均值 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表，torch 在这里毫无提示："
                "每一行都只学到全部目标的均值与方差。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
        Trap(
            "gaussian-nll-half-overflow",
            Text(
                "The gradient in the variance grows with $1/v^2$: for an error of 1 it is -inf in float16 from a "
                "variance of 0.0027 down. Give mean.float() and var.float(), computed in float32.",
                "对方差的梯度按 $1/v^2$ 增长：误差为 1 时，float16 下方差低到 0.0027 就是 -inf。"
                "应传入 mean.float() 与 var.float()，且方差在 float32 中算出。",
            ),
            rule="half-overflow",
        ),
        Trap(
            "gaussian-nll-value-and-unit",
            Text(
                "The value is a log density, so it may be negative and depends on the unit: metres to millimetres add "
                "log 1000 = 6.9 to each element. To compare with other densities write full=True, which adds 0.919.",
                "数值是对数密度，可以为负，且与单位有关：由米换成毫米，每个元素增加 log 1000 = 6.9。"
                "与其他密度比较时应写 full=True，即加上 0.919。",
            ),
        ),
    ),
    stability=Text(
        "Variances below eps are raised to it, so nothing is divided by 0. The error is divided before it is "
        "multiplied by itself: no square overflows (an error of 2e19 at a variance of 1000 gives 2e35, in torch inf). "
        "Half precision is computed in float32.",
        "低于 eps 的方差提升到 eps，不会除以 0。误差先除以方差再相乘，平方不会溢出"
        "（误差 2e19、方差 1000 时为 2e35，torch 得 inf）。半精度输入以 float32 计算。",
    ),
    activation=Text("mean: none; variance: softplus or exp", "均值：无；方差：softplus 或 exp"),
    input="(*), var (*)",
    target="(*)",
    typical=Text("regression with uncertainty", "带不确定度的回归"),
    siblings=(
        Sibling(
            "MSELoss",
            Text(
                "Twice this loss at var=1: one noise for all rows, nothing said of how sure a prediction is.",
                "等于 var=1 时本损失的两倍：所有样本噪声相同，也不说明预测有多可靠。",
            ),
        ),
        Sibling(
            "HuberLoss",
            Text(
                "Bounds the pull of large errors by a fixed delta, where this loss lowers it row by row, by the "
                "variance that it predicts.",
                "以固定的 delta 限制大误差的拉力；本损失则靠预测的方差逐样本降低拉力。",
            ),
        ),
        Sibling(
            "L1Loss",
            Text(
                "The likelihood of Laplace noise of constant scale: heavier tails, the median, no variance.",
                "对应尺度恒定的拉普拉斯噪声：尾部更重，学到中位数，不给出方差。",
            ),
        ),
        Sibling(
            "PoissonNLLLoss",
            Text(
                "For counts: the variance is the mean, one output instead of two.",
                "用于计数：方差等于均值，只需一个输出。",
            ),
        ),
    ),
    sources=(
        'Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN (1994)',
        'Kendall and Gal, "What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?", '
        "NeurIPS (2017)",
        'Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep '
        'Ensembles", NeurIPS (2017)',
        'Seitzer et al., "On the Pitfalls of Heteroscedastic Uncertainty Estimation with Probabilistic Neural '
        'Networks", ICLR (2022)',
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {
            "v = 0.25": lambda x: {"input": x, "target": torch.zeros_like(x), "var": torch.full_like(x, 0.25)},
            "v = 1": lambda x: {"input": x, "target": torch.zeros_like(x), "var": torch.ones_like(x)},
            "v = 4": lambda x: {"input": x, "target": torch.zeros_like(x), "var": torch.full_like(x, 4.0)},
        },
    ),
    aliases=(
        "gaussian",
        "gaussian_nll",
        "gaussian_likelihood",
        "normal_nll",
        "heteroscedastic",
        "heteroscedastic_loss",
        "mean_variance_estimation",
        "rmse_with_uncertainty",
    ),
)


LOSS = Loss(
    function=gaussian_nll_loss,
    module=GaussianNLLLoss,
    family="regression",
    formulas=(gaussian, gaussian_clamped, gaussian_of_one_variance),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
        smooth=True,
        optimum="mean and variance",
    ),
    card=CARD,
)
