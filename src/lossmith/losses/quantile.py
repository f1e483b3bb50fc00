"""Quantile loss (pinball): errors above the target cost 1 - q, errors below it q."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks
from ..backend import INTERPRETED, dtypes, readable
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, relu, where
from ..loops.pointwise import Domain, pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def pinball(prediction: Real, target: Real, over: Real, under: Real) -> Reals:
    error = prediction - target
    above = relu(error)
    below = relu(-error)
    slope = where(error <= 0.0, 0.0, over) - where(error >= 0.0, 0.0, under)
    return over * above + under * below, slope, -slope, above, below


@overridable
def quantile_loss(
    input: Tensor,
    target: Tensor,
    quantiles: float | Sequence[float] | Tensor = 0.5,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Pinball loss; its minimiser is the :math:`q`-quantile of the targets: a share :math:`q` of them lies below it.

    .. math::
        \ell_q(x, y) = q \max(y - x, 0) + (1 - q) \max(x - y, 0) \qquad
        \frac{\partial \ell_q}{\partial x} = \begin{cases}
            1 - q & x > y \\
            0 & x = y \\
            -q & x < y
        \end{cases}

    Of one number :math:`q`, ``input`` and ``target`` have the same shape. Of :math:`Q` quantiles, ``input`` is
    (..., Q), a prediction for each, and ``target`` (...); the unreduced loss is (..., Q), and the mean is taken over
    all of it: the sum over the quantiles, averaged over the targets, is Q times as much.

    At a tie any slope from :math:`-q` to :math:`1 - q` is a subgradient. It is 0 here, so that a prediction which is
    met stays, and half of l1_loss is ``quantiles=0.5`` in every derivative. Of the packages, maximum((q - 1) e, q e)
    in torch gives :math:`\frac12 - q`, XGBoost and LightGBM :math:`1 - q`.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978), where its sum over the observations
    defines the regression quantile.

    Args:
        input: predictions :math:`x` in the unit of the target; a floating dtype. Of one quantile any shape, of several
            (..., Q).
        target: :math:`y`. Of one quantile of the input's shape (others broadcast; a result larger than both warns). Of
            several (...), or (..., 1), or the input's shape, a target for each quantile; nothing else is broadcast.
        quantiles: a number between 0 and 1, or a sequence or 1-D tensor of Q such numbers, in any order. A tensor may
            want a gradient: it is :math:`y - x`.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`. Of several quantiles, one for each target is
            (..., 1).

    Raises:
        ValueError: a quantile is not between 0 and 1, 0 and 1 excluded (in a tensor of a device, or compiled: its loss
            is NaN with a gradient of 0); there is none; of several, the shapes don't fit; an unknown reduction.
        TypeError: quantiles are no numbers.
        RuntimeError: of one quantile, the shapes can't be broadcast together.
        NotImplementedError: complex numbers, or an input of integers.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([8.0, 13.0]), torch.tensor([10.0, 10.0])
    >>> lossmith.functional.quantile_loss(x, y, 0.9, reduction="none")  # 0.9 * 2, 0.1 * 3
    tensor([1.8000, 0.3000])
    >>> x = torch.tensor([[8.0, 13.0]], requires_grad=True)
    >>> loss = lossmith.functional.quantile_loss(x, torch.tensor([10.0]), (0.1, 0.9))
    >>> loss.detach()  # (0.1 * 2 + 0.1 * 3) / 2
    tensor(0.2500)
    >>> loss.backward()
    >>> x.grad * 2
    tensor([[-0.1000,  0.1000]])
    """
    loss = "quantile_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    outside = None
    if isinstance(quantiles, Tensor):
        outside = _outside(loss, quantiles)
        several = quantiles.shape[0] if quantiles.dim() else 0
    else:
        quantiles = _numbers(loss, quantiles)
        several = 0 if isinstance(quantiles, float) else len(quantiles)
    if several:
        alike, target = 0, _column(loss, input, target, several)
    else:
        alike = checks.pair(loss, how.reduction, input, target, "input")
    if isinstance(quantiles, float):
        return pointwise(loss, pinball, (input, target, 1.0 - quantiles, quantiles), (), how, alike=alike)
    compute, result = dtypes(input, target)
    over, under = _prices(quantiles, compute, input.device)
    # prices are not of half precision where input and target are: those decide on the result's dtype
    like = next((t for t in (input, target) if t.dtype == result), None)
    domain = None if outside is None else Domain((None,) * 4, lambda _: outside)
    return pointwise(loss, pinball, (input, target, over, under), (), how, like=like, domain=domain)


def _numbers(loss: str, quantiles: float | Sequence[float]) -> float | tuple[float, ...]:
    """One number, or a tuple of several, if all are between 0 and 1."""
    try:
        one = isinstance(quantiles, (int, float))
        found = (float(quantiles),) if one else tuple([float(q) for q in quantiles])  # type: ignore[arg-type, union-attr]
    except (TypeError, ValueError):
        raise TypeError(
            f"{loss}: quantiles is {quantiles!r}, expected a number between 0 and 1, a sequence of such numbers or a "
            f"1-D tensor of them; write quantiles=0.9, or quantiles=(0.1, 0.5, 0.9)"
        ) from None
    if not found:
        raise ValueError(f"{loss}: quantiles is empty, expected one number or more; write quantiles=0.5 for the median")
    for q in found:
        if not 0 < q < 1:
            raise _not_between(loss, q)
    return found[0] if one else found


def _not_between(loss: str, q: float) -> ValueError:
    advice = f"write {q / 100:g} for {q:g} %" if 1 < q < 100 else "at 0 and at 1 the loss would be least at infinity"
    return ValueError(f"{loss}: quantiles holds {q!r}, expected numbers between 0 and 1, both excluded; {advice}")


def _outside(loss: str, quantiles: Tensor) -> Tensor | None:
    """Which quantiles of a tensor are not between 0 and 1: an error in eager CPU, None if none is."""
    checks.real(loss, quantiles=quantiles)
    if quantiles.dim() > 1 or not quantiles.numel():
        raise ValueError(
            f"{loss}: quantiles is {checks.describe(quantiles)}, expected one number, or (Q) for Q quantiles; "
            f"write quantiles.flatten()"
        )
    outside = ~((quantiles > 0) & (quantiles < 1))
    if not readable(outside):
        return outside
    if bool(outside.any()):
        raise _not_between(loss, quantiles.detach()[outside].tolist()[0])
    return None


def _column(loss: str, input: Tensor, target: Tensor, several: int) -> Tensor:
    """The target with a last dimension beside that of the quantiles."""
    checks.real(loss, input=input, target=target)
    checks.must_float(loss, input=input)
    if input.dim() == 0 or input.shape[-1] != several:
        raise ValueError(
            f"{loss}: input is {checks.describe(input)}, expected a last dimension of {several}, with a prediction for "
            f"each of the {several} quantiles; give the model {several} outputs, or write a number for quantiles"
        )
    rows = input.shape[:-1]
    if target.shape == rows:
        return target.unsqueeze(-1)
    if target.shape != input.shape and target.shape != (*rows, 1):
        raise ValueError(
            f"{loss}: got {checks.shapes(input=input, target=target)} for {several} quantiles, expected a target of "
            f"{tuple(rows)}, {(*rows, 1)} or {tuple(input.shape)}; write target.reshape({tuple(rows)})"
        )
    return target


def _prices(quantiles: Tensor | tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Sequence[Tensor]:
    """What a unit above the target costs, and a unit below it, of each quantile."""
    if isinstance(quantiles, Tensor):
        wide = quantiles.to(torch.promote_types(quantiles.dtype, dtype))
        return [(1 - wide).to(dtype), wide.to(dtype)]
    numbers = ([1.0 - q for q in quantiles], quantiles)
    if device.type == "cpu" and not INTERPRETED:
        return torch.tensor(numbers, dtype=dtype, device=device).unbind()
    # written by the device: a copy from the host's memory would be read again where a graph of the device is replayed
    return [torch.cat([torch.full((1,), q, dtype=dtype, device=device) for q in side]) for side in numbers]


class QuantileLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.quantile_loss` as a Module.

    Args:
        quantiles: as the function's, kept as numbers: one, or several for an input of (..., Q).
        reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> interval = lossmith.QuantileLoss((0.05, 0.95), reduction="none")
    >>> interval(torch.tensor([[1.0, 5.0]]), torch.tensor([4.0]))  # 0.05 * 3, 0.05 * 1
    tensor([[0.1500, 0.0500]])
    """

    def __init__(
        self,
        quantiles: float | Sequence[float] | Tensor = 0.5,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        self.quantiles = _numbers("QuantileLoss", quantiles.tolist() if isinstance(quantiles, Tensor) else quantiles)
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
        return quantile_loss(
            input, target, self.quantiles, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )

    def extra_repr(self) -> str:
        return ", ".join(part for part in (f"quantiles={self.quantiles}", super().extra_repr()) if part)


CARD = Card(
    title=Text("Quantile loss", "分位数损失"),
    summary=Text(
        "An absolute error whose sides have different prices, 1 - q above the target and q below it: the prediction "
        "becomes the q-quantile of the targets.",
        "两侧价格不同的绝对误差：高于目标每单位代价 1 - q，低于目标每单位代价 q，预测因而成为目标的 q 分位数。",
    ),
    gradient=Text(
        "One of two values, whatever the size of the error: $1 - q$ above the target, $-q$ below it; 0 at a tie. At "
        "the optimum a share q of the predictions is above and pulled down by 1 - q, the rest is pulled up by q: both "
        "sums are alike.",
        "只有两个值，与误差大小无关：高于目标时为 $1 - q$，低于目标时为 $-q$；相等时为 0。"
        "最优时有 q 比例的预测偏高、以 1 - q 的力下拉，其余的以 q 的力上拉，两边合力相等。",
    ),
    robustness=Text(
        "Robust: only the side on which a target lies counts, not how far off it is.",
        "鲁棒：只看目标落在哪一侧，不看离得多远。",
    ),
    sparsity=Text(
        "As L1 drives some errors to exactly 0: a linear model with k coefficients fits k targets exactly.",
        "与 L1 一样会把部分误差压到恰好为 0：有 k 个系数的线性模型会精确拟合 k 个目标。",
    ),
    smoothness=Text(
        "A kink at 0, where the slope jumps from -q to 1 - q; flat curvature elsewhere. The step size must fall for it "
        "to settle.",
        "在 0 处有尖点，斜率由 -q 跳到 1 - q；其余各处曲率为 0。要收敛到位，步长必须逐渐减小。",
    ),
    sensitivity=Text(
        "To q: at 0.99 the one row in a hundred that lies above pulls 99 times as hard as each of the others, so a "
        "tail quantile needs many rows and has a noisy gradient.",
        "对 q 敏感：q = 0.99 时，每一百个样本里落在上方的那一个，拉力是其余每个样本的 99 倍；"
        "尾部分位数需要大量样本，梯度噪声也大。",
    ),
    minimiser=Text(
        "The target. Where targets scatter, their q-quantile: a share q of them lies below the prediction; at 0.5 it "
        "is the median.",
        "目标值本身。目标有散布时为其 q 分位数，即有 q 比例的目标低于预测；q = 0.5 时为中位数。",
    ),
    use=(
        Text(
            "Prediction intervals without a distribution: quantiles (0.05, 0.5, 0.95) give a median and an interval "
            "that holds 90 %, each as wide as the data of that input are.",
            "不假设分布的预测区间：分位数 (0.05, 0.5, 0.95) 给出中位数和覆盖 90% 的区间，宽度随输入处的数据散布而变。",
        ),
        Text(
            "Decisions whose errors have unlike prices (stock, capacity, staff): with prices $a$ of a unit too few and "
            "$b$ of one too many, $q = a / (a + b)$.",
            "多估与少估代价不同的决策（库存、容量、排班）：少一单位代价 $a$、多一单位代价 $b$ 时，$q = a / (a + b)$。",
        ),
        Text(
            "Distributions that are learned by their quantiles, as in forecasting and in distributional reinforcement "
            "learning.",
            "用一组分位数来学习分布，如时间序列预测与分布式强化学习。",
        ),
    ),
    avoid=(
        Text(
            "A point forecast alone: L1Loss is the median's, and twice this loss at 0.5.",
            "只要点预测时：L1Loss 学的就是中位数，等于 q = 0.5 时本损失的两倍。",
        ),
        Text(
            "A quantile beyond what the rows tell: of 100 rows one lies above the 0.99 quantile. GaussianNLLLoss "
            "extends the tail by assuming a shape.",
            "样本不足以说明的极端分位数：100 个样本里只有一个高于 0.99 分位数。"
            "GaussianNLLLoss 借助分布形状的假设来外推尾部。",
        ),
    ),
    traps=(
        Trap(
            "quantile-crossing",
            Text(
                "Nothing keeps the outputs in order: a predicted 0.9 quantile may lie below the 0.1 quantile of the "
                "same row, most of all where there is little data, and the loss does not mind. Predict the lowest and "
                "positive steps, torch.cat([low, low + softplus(steps).cumsum(-1)], -1), or sort the outputs before "
                "they are used, x.sort(-1).values.",
                "没有什么能保证各输出的次序：同一行预测的 0.9 分位数可能低于 0.1 分位数，数据稀少处尤甚，"
                "而损失并不在意。应预测最低的分位数与正的增量："
                "torch.cat([low, low + softplus(steps).cumsum(-1)], -1)，"
                "或在使用前排序：x.sort(-1).values。",
            ),
            rule="quantiles-cross",
        ),
        Trap(
            "quantile-mean-over-quantiles",
            Text(
                "Packages differ by a factor. The mean here is over rows and quantiles; snippets of the temporal "
                "fusion transformer sum over the Q quantiles, which is Q times as much, and pytorch-forecasting and "
                "GluonTS take twice the loss, so that 0.5 gives the mean absolute error. Mind it when a learning rate "
                "or a weight between losses is carried over.",
                "各软件包相差一个常数因子。这里对样本与分位数一并取平均；temporal fusion transformer 的常见实现"
                "对 Q 个分位数求和，是这里的 Q 倍；pytorch-forecasting 与 GluonTS 取两倍，使 0.5 时等于平均绝对误差。"
                "沿用别处的学习率或损失权重时要注意。",
            ),
        ),
        Trap(
            "quantile-other-side",
            Text(
                "q is the share of targets below the prediction, and q = 0.9 makes predictions high: too low costs "
                "nine times as much as too high. With target and input swapped it learns the 0.1 quantile, without an "
                "error.",
                "q 是低于预测的目标所占比例，q = 0.9 会使预测偏高：低估的代价是高估的九倍。"
                "若把 target 与 input 写反，学到的是 0.1 分位数，且不会报错。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "quantile-weights-of-rows",
            Text(
                "The unreduced loss of several quantiles is (N, Q), so weights or a mask of the rows are (N, 1). A "
                "mask of (N) is an error, but where N happens to be Q it is taken for one of the quantiles. Write "
                "mask[:, None].",
                "多个分位数的未归约损失形状为 (N, Q)，因此样本的权重或掩码应为 (N, 1)。形状 (N) 的掩码会报错，"
                "但 N 恰好等于 Q 时会被当成各分位数的掩码。应写 mask[:, None]。",
            ),
        ),
        Trap(
            "quantile-outer-broadcast",
            Text(
                "Of one quantile, an input of (N, 1) against a target of (N) becomes an (N, N) table of all pairs: "
                "every row learns the same quantile of all targets. Write input.squeeze(1), or quantiles=(q,).",
                "只有一个分位数时，输入 (N, 1) 与目标 (N) 会广播成 (N, N) 的两两配对表，"
                "每一行学到的都是全部目标的同一个分位数。应写 input.squeeze(1)，或 quantiles=(q,)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "Nothing is squared: it overflows only where the error does. 1 - q is taken in double precision, so that the "
        "light side of q = 0.999 is right in float32. Half precision is computed in float32.",
        "没有平方运算：只有误差本身溢出时才会溢出。1 - q 以双精度计算，q = 0.999 时较轻的一侧在 float32 下仍准确。"
        "半精度输入以 float32 计算。",
    ),
    activation=Text("none", "无"),
    input="(*), or (*, Q) for Q quantiles",
    target="(*)",
    typical=Text("prediction intervals, unlike prices of errors", "预测区间、两侧代价不同的误差"),
    siblings=(
        Sibling(
            "L1Loss",
            Text(
                "Twice this loss at q = 0.5: both sides cost the same.",
                "等于 q = 0.5 时本损失的两倍：两侧代价相同。",
            ),
        ),
        Sibling(
            "GaussianNLLLoss",
            Text(
                "Intervals from a predicted variance: two outputs for all quantiles, right if the noise is Gaussian.",
                "由预测的方差得到区间：两个输出即可给出所有分位数，前提是噪声为高斯分布。",
            ),
        ),
        Sibling(
            "HuberLoss",
            Text(
                "Rounds the kink off and keeps both sides alike; quantile regression in reinforcement learning weighs "
                "its sides by q and 1 - q.",
                "把尖点磨圆，两侧对称；强化学习中的分位数回归再以 q 与 1 - q 对它的两侧加权。",
            ),
        ),
    ),
    sources=(
        'Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978)',
        'Koenker, "Quantile Regression", Cambridge University Press (2005)',
        'Chernozhukov, Fernández-Val and Galichon, "Quantile and Probability Curves Without Crossing", '
        "Econometrica 78 (2010)",
        'Dabney et al., "Distributional Reinforcement Learning with Quantile Regression", AAAI (2018)',
        'Lim et al., "Temporal Fusion Transformers for Interpretable Multi-horizon Time Series Forecasting", '
        "International Journal of Forecasting 37 (2021)",
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {
            "q = 0.1": lambda x: {"input": x, "target": torch.zeros_like(x), "quantiles": 0.1},
            "q = 0.5": lambda x: {"input": x, "target": torch.zeros_like(x), "quantiles": 0.5},
            "q = 0.9": lambda x: {"input": x, "target": torch.zeros_like(x), "quantiles": 0.9},
        },
    ),
    aliases=(
        "pinball",
        "pinball_loss",
        "mean_pinball_loss",
        "quantile_regression",
        "multi_quantile",
        "check_loss",
        "tick_loss",
        "tilted_absolute_value",
    ),
)


LOSS = Loss(
    function=quantile_loss,
    module=QuantileLoss,
    family="regression",
    formulas=(pinball,),
    facts=Facts(
        convex=True,
        lipschitz=lambda quantiles=0.5, **_: max(
            max(q, 1 - q) for q in torch.as_tensor(quantiles, dtype=torch.float64).flatten().tolist()
        ),
        prediction=REALS,
        target=REALS,
        minimiser=lambda input, target, **_: (
            target if target.dim() == input.dim() else target.unsqueeze(-1)
        ).expand_as(input),
        denominator="elements",
        smooth=False,
        optimum="quantile",
    ),
    card=CARD,
)
