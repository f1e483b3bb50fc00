"""Poisson negative log-likelihood: counts against a rate or its logarithm."""

import math
from typing import Literal

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import NOT_NEGATIVE, REALS, Facts, Loss
from ..formula import Real, Reals, digamma, exp, formula, lgamma, log, product, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def stirling(count: Real) -> Reals:
    """Stirling's approximation of log(count!); 0 for counts of 1 and less, as torch has it."""
    # those are replaced, since a logarithm that is not used still has a slope
    large = where(count <= 1.0, 1.0, count)
    log_count = log(large)
    return (
        where(count <= 1.0, 0.0, (large + 0.5) * log_count - large + 0.9189385332046728),  # half of log(2 pi)
        where(count <= 1.0, 0.0, log_count + 0.5 / large),
    )


@formula
def poisson_of_log(log_rate: Real, target: Real) -> Reals:
    rate = exp(log_rate)
    finite = where(log_rate - log_rate == 0.0, log_rate, 0.0)
    return rate - product(target, log_rate), rate - target, -where(target == 0.0, finite, log_rate)


@formula
def poisson_of_log_stirling(log_rate: Real, target: Real) -> Reals:
    rate = exp(log_rate)
    finite = where(log_rate - log_rate == 0.0, log_rate, 0.0)
    term, slope = stirling(target)
    return rate - product(target, log_rate) + term, rate - target, slope - where(target == 0.0, finite, log_rate)


@formula
def poisson_of_log_exact(log_rate: Real, target: Real) -> Reals:
    rate = exp(log_rate)
    finite = where(log_rate - log_rate == 0.0, log_rate, 0.0)
    return (
        rate - product(target, log_rate) + lgamma(target + 1.0),
        rate - target,
        digamma(target + 1.0) - where(target == 0.0, finite, log_rate),
    )


@formula
def poisson(rate: Real, target: Real, eps: Real) -> Reals:
    shifted = rate + eps
    log_rate = log(shifted)
    return rate - target * log_rate, 1.0 - target / shifted, -log_rate


@formula
def poisson_stirling(rate: Real, target: Real, eps: Real) -> Reals:
    shifted = rate + eps
    log_rate = log(shifted)
    term, slope = stirling(target)
    return rate - target * log_rate + term, 1.0 - target / shifted, slope - log_rate


@formula
def poisson_exact(rate: Real, target: Real, eps: Real) -> Reals:
    shifted = rate + eps
    log_rate = log(shifted)
    return (
        rate - target * log_rate + lgamma(target + 1.0),
        1.0 - target / shifted,
        digamma(target + 1.0) - log_rate,
    )


Full = bool | Literal["exact"]
OF_LOG = {False: poisson_of_log, True: poisson_of_log_stirling, "exact": poisson_of_log_exact}
OF_RATE = {False: poisson, True: poisson_stirling, "exact": poisson_exact}


@overridable
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: Full = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Negative log-likelihood of counts under a Poisson distribution, less the term that holds no prediction.

    .. math::
        \ell(x, y) = e^x - y x \quad \frac{\partial \ell}{\partial x} = e^x - y \qquad \text{or, for a rate } x,\qquad
        \ell(x, y) = x - y \log(x + \varepsilon) \quad \frac{\partial \ell}{\partial x} = 1 - \frac{y}{x + \varepsilon}

    ``full`` adds :math:`\log y!`: exactly, as :math:`\log \Gamma(y + 1)`, or as torch does, by Stirling's
    :math:`y \log y - y + \tfrac12 \log(2 \pi y)` for :math:`y > 1` and 0 elsewhere, which is 0.04 too small at
    :math:`y = 2`. It changes no gradient of a prediction.

    A count of 0 at a log rate of :math:`-\infty` costs 0. A rate below :math:`-\varepsilon` has no logarithm: NaN, as
    in torch; predict the logarithm, or end the model with a softplus.

    Source: McCullagh and Nelder, "Generalized Linear Models" (1989), chapter 6.

    Args:
        input: the logarithm of the expected count, or with ``log_input=False`` the expected count; any shape; a
            floating dtype (integers are computed in the default dtype).
        target: counts :math:`y`, 0 or more, of the same shape (others broadcast; a result larger than both warns); any
            real dtype.
        log_input: whether input is a logarithm.
        full: ``False``, ``True`` (Stirling's approximation) or ``"exact"``.
        size_average, reduce: torch's legacy arguments.
        eps: :math:`\varepsilon`, added to a rate before its logarithm is taken; in the unit of the rate.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in nats.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        ValueError: an unknown ``full`` or reduction.
        NotImplementedError: complex numbers.

    >>> import torch, lossmith
    >>> log_rate, count = torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([0, 3])
    >>> loss = lossmith.functional.poisson_nll_loss(log_rate, count, reduction="sum")  # (1 - 0) + (e - 3)
    >>> loss.backward()
    >>> round(loss.item(), 4), log_rate.grad  # e^x - y
    (0.7183, tensor([ 1.0000, -0.2817]))
    """
    loss = "poisson_nll_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    check_full(loss, full)
    alike = checks.pair(loss, how.reduction, input, target, "")
    if log_input:
        return pointwise(loss, OF_LOG[full], (input, target), (), how, alike=alike)
    return pointwise(loss, OF_RATE[full], (input, target), (eps,), how, alike=alike)


def check_full(loss: str, full: Full) -> None:
    """Raises ValueError for what is none of the ways to add log(target!)."""
    if full not in (False, True, "exact"):
        raise ValueError(
            f"{loss}: full is {full!r}; write False (leave log(target!) out), True (Stirling's approximation, as in "
            f"torch) or 'exact' (lgamma)"
        )


class PoissonNLLLoss(Criterion, torch.nn.PoissonNLLLoss):
    """:func:`lossmith.functional.poisson_nll_loss` as a Module; a :class:`torch.nn.PoissonNLLLoss` with more.

    Args:
        log_input, full, size_average, eps, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.PoissonNLLLoss(full="exact")
    >>> criterion(torch.tensor([0.0]), torch.tensor([3]))  # 1 - 0 + log 3!
    tensor(2.7918)
    """

    full: Full  # type: ignore[assignment]

    def __init__(
        self,
        log_input: bool = True,
        full: Full = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_full(type(self).__name__, full)
        super().__init__(log_input, full, size_average, eps, reduce, reduction)  # type: ignore[arg-type]
        self._settle(normalizer, on_empty)

    def forward(
        self,
        log_input: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _least(target: Tensor, log_input: bool = True, eps: float = 1e-8, **_: object) -> Tensor:
    return torch.log(target) if log_input else (target - eps).clamp(min=0)


CARD = Card(
    title=Text("Poisson negative log-likelihood", "泊松负对数似然"),
    summary=Text(
        "How unlikely the counts are under a Poisson distribution of the predicted rate, whose variance equals its "
        "mean.",
        "在期望计数为预测值的泊松分布（方差等于均值）下，观测到的计数有多不可能。",
    ),
    gradient=Text(
        "In the log rate, expected less observed: $e^x - y$. In a rate (log_input=False) $1 - y / (x + \\varepsilon)$: "
        "the relative error.",
        "对期望计数的对数：期望减观测，即 $e^x - y$。直接预测期望计数时（log_input=False）为 "
        "$1 - y / (x + \\varepsilon)$，即相对误差。",
    ),
    robustness=Text(
        "Little: the pull grows in proportion to the count, so a wrong count of 10,000 pulls with 10,000. But it "
        "forgives what is usual for large counts: 110 at a rate of 100 costs 0.48, 11 at a rate of 1 costs 16.4.",
        "较弱：拉力与计数成正比，一个错误的计数 10000 就有 10000 的拉力。但大计数的正常波动会被宽容："
        "期望 100 而观测 110 的代价是 0.48，期望 1 而观测 11 的代价是 16.4。",
    ),
    sparsity=Text(
        "None: a count of 0 pulls the log rate down with $e^x$, ever more weakly, and the rate never becomes 0.",
        "无稀疏性：计数 0 以 $e^x$ 的拉力把对数压低，越来越弱，期望计数不会变成 0。",
    ),
    smoothness=Text(
        "Infinitely differentiable and convex. In the log rate the curvature is the rate itself, small for rare events "
        "and large for frequent ones.",
        "无穷次可导，且为凸函数。对期望计数的对数，曲率就是期望计数本身：稀有事件处小，频繁事件处大。",
    ),
    sensitivity=Text(
        "To errors measured by the expected noise, the square root of the rate; to log_input, which must tell what the "
        "input is; and to the size of the counts, which the gradient grows with.",
        "对以期望噪声（期望计数的平方根）衡量的误差敏感；对 log_input 敏感，它必须与输入的含义一致；"
        "计数越大，梯度越大。",
    ),
    minimiser=Text(
        "The logarithm of the count ($-\\infty$ for 0); with log_input=False the count, less eps. Where counts "
        "scatter, the logarithm of their mean, whatever their distribution is.",
        "计数的对数（计数 0 对应 $-\\infty$）；log_input=False 时为计数减 eps。"
        "计数有散布时为其均值的对数，无论它们服从什么分布。",
    ),
    use=(
        Text(
            "Counts: arrivals, clicks, claims, neural spikes, photons, with whatever the input does to them acting as "
            "a factor.",
            "计数：到达数、点击数、理赔数、神经元放电数、光子数，且输入的影响是乘性的。",
        ),
        Text(
            "Rates over unequal times or areas: the logarithm of the exposure is added to the log rate.",
            "时长或面积不等的发生率：把暴露量的对数加到对数输出上。",
        ),
        Text(
            "Any target of 0 or more whose mean is wanted and acts as a factor, whole or not; zeros need no special "
            "care, as they do under the logarithm of the target.",
            "任何非负、关心均值、影响为乘性的目标，不必是整数；零值无需特殊处理，不像对目标取对数那样。",
        ),
    ),
    avoid=(
        Text(
            "Counts that vary more than their mean, where intervals matter: the mean stays right, but of counts with "
            "mean 20 and variance 220 the Poisson 95 % interval (12 to 29) holds 45 %. Take a negative binomial.",
            "计数方差明显大于均值、又需要区间时：均值仍然正确，但均值 20、方差 220 的计数，"
            "泊松 95% 区间（12 到 29）只覆盖 45%。应改用负二项分布。",
        ),
        Text(
            "Counts out of a known total, such as 3 of 10: the share has a ceiling; BCEWithLogitsLoss on the share, "
            "weighted by the total.",
            "已知总数的计数（如 10 次中 3 次）：比例有上限，应对比例用 BCEWithLogitsLoss，以总数加权。",
        ),
        Text(
            "Quantities that can be negative: MSELoss, HuberLoss or GaussianNLLLoss.",
            "可能为负的量：用 MSELoss、HuberLoss 或 GaussianNLLLoss。",
        ),
    ),
    traps=(
        Trap(
            "poisson-nll-rate-as-log",
            Text(
                "log_input=True is the default: the input is the logarithm of the rate. A network that ends in "
                "softplus then learns log 20 = 3.0 where the mean count is 20, and goes to 0 where it is 0.3, since "
                "exp(softplus) is never below 1. One that ends in exp models exp(exp(z)), which is inf at z = 4.5. "
                "Leave the last layer bare, or write log_input=False.",
                "默认 log_input=True：输入是期望计数的对数。网络若以 softplus 结尾，平均计数为 20 时它学到的是 "
                "log 20 = 3.0，为 0.3 时则趋于 0，因为 exp(softplus) 不会小于 1。若以 exp 结尾，模型就成了 "
                "exp(exp(z))，z = 4.5 时即为 inf。最后一层不要加激活，或写 log_input=False。",
            ),
        ),
        Trap(
            "poisson-nll-predict-without-exp",
            Text(
                "What the network returns is a logarithm in evaluation too: the expected count is output.exp().",
                "推理时网络输出的同样是对数：期望计数是 output.exp()。",
            ),
        ),
        Trap(
            "poisson-nll-negative-rate",
            Text(
                "With log_input=False a rate below -1e-8 has no logarithm: its loss is NaN, and so is the mean. The "
                "gradient $1 - y/x$ is finite and pushes the rate further down. Predict the logarithm, or end the "
                "network with a softplus.",
                "log_input=False 时，小于 -1e-8 的输入没有对数：该项损失为 NaN，均值也随之为 NaN；"
                "梯度 $1 - y/x$ 却是有限的，还会把输入推得更低。应预测对数，或以 softplus 结尾。",
            ),
            rule="poisson-rate-negative",
        ),
        Trap(
            "poisson-nll-relu-rate",
            Text(
                "Behind a relu a rate of exactly 0 at a count of 1 costs 18.4 and has a gradient of -1e8, which "
                "the relu's own slope of 0 stops: that row never learns again. Use softplus, or the log rate.",
                "以 relu 结尾时，期望计数恰好为 0 而观测为 1，损失 18.4、梯度 -1e8，却被 relu 的零斜率挡住："
                "该样本从此学不动。应改用 softplus，或预测对数。",
            ),
        ),
        Trap(
            "poisson-nll-large-counts",
            Text(
                "From a log rate of 0, counts near 10,000 pull with 10,000: SGD at 0.01 jumps to a log rate of 100, "
                "and the next loss is inf. Start the last bias at the logarithm of the mean count, and keep SGD's "
                "learning rate below 2 over the mean count, or use Adam.",
                "从对数 0 起步，10000 左右的计数有 10000 的拉力：学习率 0.01 的 SGD 一步跳到 100，下一步损失为 inf。"
                "应把最后一层的偏置初始化为平均计数的对数，并使 SGD 的学习率小于 2 除以平均计数，或用 Adam。",
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "poisson-nll-standardised-counts",
            Text(
                "Counts are not to be standardised: a target of -1 has no least loss ($e^x + x$ is -1000 at "
                "$x = -1000$). Give them as they are.",
                "计数不可标准化：目标为 -1 时损失没有下界（$x = -1000$ 时 $e^x + x$ 为 -1000）。应原样传入。",
            ),
        ),
        Trap(
            "poisson-nll-exposure",
            Text(
                "Counts over unequal times are not alike: 3 in one hour and 30 in ten are the same rate. Write "
                "poisson_nll_loss(log_rate + hours.log(), counts); dividing the counts by the hours instead needs "
                "sample_weight=hours to pull the same way.",
                "时长不等的计数不可直接比较：1 小时 3 次与 10 小时 30 次是同样的发生率。应写 "
                "poisson_nll_loss(log_rate + hours.log(), counts)；若改为用计数除以时长，"
                "则须加 sample_weight=hours，梯度方向才相同。",
            ),
        ),
        Trap(
            "poisson-nll-value-without-full",
            Text(
                "By default log y! is left out, and the loss may be negative: a perfect prediction of 100 gives "
                '-360.5. To compare with other likelihoods write full="exact" (3.22 there). full=True is torch\'s '
                "approximation by Stirling, 0.04 too small at a count of 2. The gradient in the prediction is the same "
                "in all three.",
                "默认略去 log y!，损失可能为负：计数 100 被完美预测时为 -360.5。要与其他似然比较，应写 "
                'full="exact"（此处为 3.22）。full=True 是 torch 的斯特林近似，计数为 2 时偏小 0.04。'
                "三者对预测值的梯度相同。",
            ),
        ),
        Trap(
            "poisson-nll-swapped-arguments",
            Text(
                "poisson_nll_loss(counts, prediction) takes the counts for log rates. The gradient in the prediction "
                "is then $-y$ at all times: it grows without end while the loss falls. The prediction comes first.",
                "poisson_nll_loss(counts, prediction) 会把计数当作对数输入；此时对预测值的梯度恒为 $-y$："
                "预测无限增大，损失还一直下降。预测值应放在第一个。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "poisson-nll-half-overflow",
            Text(
                "A float16 result ends at 65504, a log rate of 11.09: beyond it loss and gradient are inf. Write "
                "poisson_nll_loss(output.float(), counts).",
                "float16 的结果上限是 65504，对应的对数为 11.09：超过后损失与梯度都是 inf。应写 "
                "poisson_nll_loss(output.float(), counts)。",
            ),
            rule="half-overflow",
        ),
        Trap(
            "poisson-nll-outer-broadcast",
            Text(
                "An input of (N, 1) against counts of (N,) becomes an (N, N) table of all pairs, of which torch says "
                "nothing here, and every row learns the mean count. Write input.squeeze(1).",
                "输入 (N, 1) 与计数 (N,) 会广播成 (N, N) 的两两配对表，torch 在这里毫无提示，"
                "每一行都只学到平均计数。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "The log form takes no logarithm and overflows only with exp: beyond a log rate of 88.7 in float32, 11.09 in "
        "a float16 result. A count of 0 at a log rate of $-\\infty$ costs 0 (NaN in torch). The rate form adds eps = "
        "1e-8 before the logarithm; half precision is computed in float32, where it is not lost.",
        "对数形式不取对数，只会随 exp 溢出：float32 下对数超过 88.7，float16 结果下超过 11.09。"
        "对数为 $-\\infty$ 而计数为 0 时损失为 0（torch 得 NaN）。"
        "直接预测期望计数时，取对数前加 eps = 1e-8；半精度输入以 float32 计算，eps 不会丢失。",
    ),
    activation=Text("none (log rate)", "无（输出期望计数的对数）"),
    input="(*)",
    target="(*)",
    typical=Text("counts and rates", "计数、发生率"),
    siblings=(
        Sibling(
            "MSELoss",
            Text(
                "Learns the mean as well, but weighs an error of 10 at a mean of 1 like one at 100, and may predict "
                "negative counts.",
                "同样学到均值，但均值 1 处与 100 处的误差 10 同等看待，还可能预测出负的计数。",
            ),
        ),
        Sibling(
            "GaussianNLLLoss",
            Text(
                "Learns the variance from the data instead of taking it from the mean: for large or overdispersed "
                "counts, and for quantities that may be negative.",
                "方差由数据学得，而不取自均值：适合大计数、过度离散的计数和可能为负的量。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "Where counts are few and small, one class a count: any distribution, at the price of more outputs and "
                "of no order among them.",
                "计数种类少且小时，可一个计数一类：能表示任意分布，代价是输出更多，且不利用大小次序。",
            ),
        ),
    ),
    sources=(
        'McCullagh and Nelder, "Generalized Linear Models", Chapman and Hall (1989), chapter 6',
        'Gourieroux, Monfort and Trognon, "Pseudo Maximum Likelihood Methods: Applications to Poisson Models", '
        "Econometrica 52 (1984)",
    ),
    curve=Curve(
        Text("log rate $x$", "期望计数的对数 $x$"),
        (-2.0, 3.0),
        {
            "y = 0": lambda x: {"input": x, "target": torch.zeros_like(x)},
            "y = 1": lambda x: {"input": x, "target": torch.ones_like(x)},
            "y = 5": lambda x: {"input": x, "target": torch.full_like(x, 5.0)},
        },
    ),
    aliases=(
        "poisson",
        "poisson_nll",
        "poisson_loss",
        "poisson_regression",
        "poisson_deviance",
        "mean_poisson_deviance",
        "count_poisson",
    ),
)


LOSS = Loss(
    function=poisson_nll_loss,
    module=PoissonNLLLoss,
    family="regression",
    formulas=(*OF_LOG.values(), *OF_RATE.values()),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.inf,
        prediction=lambda log_input=True, **_: REALS if log_input else NOT_NEGATIVE,
        target=NOT_NEGATIVE,
        minimiser=_least,
        denominator="elements",
        smooth=True,
        optimum="logarithm of the mean",
    ),
    card=CARD,
)
