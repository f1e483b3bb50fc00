"""Jensen-Shannon divergence of a target distribution and of predicted log-probabilities, also with unequal shares."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..backend import readable
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import Facts, Loss
from ..formula import Real, Reals, exp, expm1, formula, log, log1p, minimum, relu, where
from ..loops.pointwise import Domain, pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan
from .kl_div import floating


@formula
def log_mixture(log_ratio: Real, share: Real) -> Reals:
    """log(1 + share (r - 1)): of a mixture that has a share of r times as much, in units of its other part."""
    near = minimum(log_ratio, 45.0)  # beyond, it is linear
    # autograd's slope of expm1 is made of its value, and loses what is small
    excess = where(near < -1.0, exp(near) - 1.0, expm1(near))
    return log1p(share * excess) + relu(log_ratio - 45.0), share * (excess + 1.0) / (1.0 + share * excess)


@formula
def js_of_ratio(prediction: Real, target: Real, log_ratio: Real, beta: Real, rest: Real) -> Reals:
    # the derivative in the ratio is left out: where the ratio is that of the others, it is 0
    over_target, _ = log_mixture(log_ratio, rest)
    over_prediction, _ = log_mixture(-log_ratio, beta)
    # what can't happen asks for nothing, as under kl_div
    known = where(target == 0.0, 0.0, over_target)
    return (
        -(beta * target * known + rest * prediction * over_prediction),
        -rest * over_prediction,
        -beta * known,
        0.0,
    )


@formula
def js(log_prediction: Real, target: Real, beta: Real, rest: Real) -> Reals:
    prediction = exp(log_prediction)
    finite = log_prediction - log(where(target == 0.0, 1.0, target))
    # where one of them is 0, any ratio that is far enough gives the mixture to the other
    log_ratio = where(target == 0.0, 1000.0, where(prediction == 0.0, -1000.0, finite))
    value, slope, of_target, _ = js_of_ratio(prediction, target, log_ratio, beta, rest)
    return value, prediction * slope, of_target


@formula
def js_of_logs(log_prediction: Real, log_target: Real, beta: Real, rest: Real) -> Reals:
    prediction = exp(log_prediction)
    target = exp(log_target)
    finite = log_prediction - log_target
    log_ratio = where(target == 0.0, 1000.0, where(prediction == 0.0, -1000.0, finite))
    value, slope, of_target, _ = js_of_ratio(prediction, target, log_ratio, beta, rest)
    return value, prediction * slope, target * of_target


@overridable
def js_div(
    input: Tensor,
    target: Tensor,
    log_target: bool = False,
    beta: float = 0.5,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Elements of the Jensen-Shannon divergence of a target :math:`q` and a prediction :math:`p = e^x`: how far both
    are from their mixture :math:`m`.

    .. math::
        \ell(x, q) = \beta\, q \log \frac qm + (1 - \beta)\, p \log \frac pm \qquad m = \beta q + (1 - \beta) p \qquad
        \frac{\partial \ell}{\partial x} = (1 - \beta)\, p \log \frac pm \qquad
        \frac{\partial \ell}{\partial q} = \beta \log \frac qm

    The sum over the classes is the divergence, in nats: symmetric for :math:`\beta = 1/2`, and at most
    :math:`-\beta \log \beta - (1 - \beta) \log (1 - \beta)`, log 2 for :math:`\beta = 1/2`. No element is below 0.
    Divided by :math:`\beta` it goes to :math:`D(q \,\|\, p)` as :math:`\beta \to 0`, and divided by :math:`1 - \beta`
    to :math:`D(p \,\|\, q)` as :math:`\beta \to 1`. Where p or q is 0 it is finite; there :math:`q \log q` has a slope
    of 0, as under :func:`kl_div`.

    ``batchmean`` gives the mean divergence of rows (N, C), while ``mean`` is C times smaller; (N, T, C) is flattened to
    (N T, C) first. The root of it is ``scipy.spatial.distance.jensenshannon``.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Trans. Inf. Theory 37 (1991), equation 4.1;
    Agarwal et al., "On-Policy Distillation of Language Models", ICLR (2024), whose :math:`\beta` is the share of the
    teacher, which is the target here.

    Args:
        input: log-probabilities :math:`x` (from log_softmax), any shape, a floating dtype.
        target: probabilities :math:`q`, or their logarithms with ``log_target=True``, of the same shape (others
            broadcast; a result larger than both warns); a floating dtype.
        log_target: whether target holds logarithms.
        beta: the target's share in the mixture, from 1e-6 to 1 - 1e-6.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together; a dtype that is not floating; a log-probability above 0,
            or a probability outside of 0 to 1, by more than 0.01 (CPU, eager; elsewhere that element's loss is NaN and
            its gradient 0).
        ValueError: beta is out of range; an unknown reduction.

    >>> import torch, lossmith
    >>> p, q = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    >>> divergence = lossmith.functional.js_div(p.log(), q, reduction="batchmean")
    >>> round(divergence.item(), 4)  # m = (3/4, 1/4): (log(2/3) / 2 + log(2) / 2 + log(4/3)) / 2
    0.2158
    """
    loss = "js_div"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    _check_share(loss, beta)
    alike = checks.alike(input, target)
    if not alike:
        floating(loss, input=input, target=target)
        checks.broadcastable(loss, input=input, target=target)
        checks.outer_broadcast(loss, how.reduction, input=input, target=target)

    def outside(operands: Sequence[Tensor]) -> Tensor | None:
        of_input = _outside(loss, "input", operands[0], True, how.mask)
        of_target = _outside(loss, "target", operands[1], log_target, how.mask)
        return of_target if of_input is None else of_input if of_target is None else of_input | of_target

    logs, shares = (-math.inf, _SLACK, True), (-_SLACK, 1.0 + _SLACK, True)
    return pointwise(
        loss,
        js_of_logs if log_target else js,
        (input, target),
        (float(beta), 1.0 - beta),
        how,
        domain=Domain((logs, logs if log_target else shares), outside),
        alike=alike,
    )


_SLACK = 0.01
"""By how much rounding, in bfloat16 too, may take a probability beyond 1."""


def _check_share(loss: str, beta: float) -> None:
    if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 1e-6 <= beta <= 1 - 1e-6:
        raise ValueError(
            f"{loss}: beta is {beta!r}, expected the target's share in the mixture, a number from 1e-6 to 1 - 1e-6; at "
            f"0 and 1 the divergence is 0: write kl_div(input, target) for its limit near 0, divided by beta"
        )


def _outside(loss: str, name: str, value: Tensor, logs: bool, mask: Tensor | None) -> Tensor | None:
    """Where there are no (log-)probabilities: raises RuntimeError in eager CPU, else returns it."""
    wrong = value > _SLACK if logs else (value < -_SLACK) | (value > 1 + _SLACK)
    if mask is not None:
        wrong = wrong & mask
    if not readable(wrong):
        return wrong
    if bool(wrong.any()):
        at = tuple(int(i) for i in wrong.nonzero()[0])
        expected, advice = (
            ("log-probabilities, 0 or less", f"log_softmax of the logits, or {name}.log() of probabilities")
            if logs
            else ("probabilities from 0 to 1", "softmax of the logits, or log_target=True for their logarithms")
        )
        raise RuntimeError(
            f"{loss}: {name} holds {torch.broadcast_to(value, wrong.shape)[at].item():.6g} at position {at} of "
            f"{checks.describe(value)}, expected {expected}; write {advice}"
        )
    return None


class JSDivLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.js_div` as a Module.

    Args:
        log_target, beta, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> p, q = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> lossmith.JSDivLoss(reduction="batchmean")(p.log(), q)  # log 2: they have nothing in common
    tensor(0.6931)
    """

    def __init__(
        self,
        log_target: bool = False,
        beta: float = 0.5,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        _check_share(type(self).__name__, beta)
        self.log_target, self.beta, self.reduction = log_target, beta, reduction
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
        return js_div(
            input,
            target,
            self.log_target,
            self.beta,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _element(target: float) -> Callable[[Tensor], dict[str, Any]]:
    return lambda probability: {"input": probability.log(), "target": torch.full_like(probability, target)}


CARD = Card(
    title=Text("Jensen-Shannon divergence", "JS 散度（Jensen–Shannon）"),
    summary=Text(
        "How far a predicted distribution p and a target distribution q are from their mixture: a symmetric, bounded "
        "kin of the Kullback-Leibler divergence, in nats.",
        "预测分布 p 与目标分布 q 各自偏离两者混合分布的程度：KL 散度的对称、有界的近亲，单位为奈特（nat）。",
    ),
    gradient=Text(
        "$(1 - \\beta)\\, p \\log(p / m)$ at each log-probability: it fades where p is small, even if the target is "
        "large there.",
        "对每个对数概率为 $(1 - \\beta)\\, p \\log(p / m)$：p 很小处梯度消失，即使目标在该处很大。",
    ),
    robustness=Text(
        "Robust: a wrong label costs at most log 2, a target class that the prediction rules out half of its mass "
        "times log 2; under kl_div both have no bound.",
        "鲁棒：错误标签的代价不超过 log 2，预测认为不可能的目标类别只按其质量的一半乘以 log 2 计；"
        "kl_div 下两者都没有上界。",
    ),
    sparsity=Text(
        "None; a class with p = 0 has a gradient of exactly 0, and is not found again.",
        "无稀疏性；p = 0 的类别梯度恰好为 0，无法再被找回。",
    ),
    smoothness=Text(
        "Infinitely differentiable where p and q are above 0. Convex in the probabilities, not in log-probabilities "
        "or logits.",
        "p 与 q 大于 0 处无穷次可导。对概率是凸的，对对数概率或 logits 则不是。",
    ),
    sensitivity=Text(
        "Beta: near 0 it is beta times kl_div, which covers all of the target, near 1 it follows the reverse "
        "divergence, which settles on a peak. And the reduction, a factor of C.",
        "取决于 beta：接近 0 时为 beta 倍的 kl_div，会覆盖整个目标；接近 1 时趋向反向散度，会收缩到某一个峰。"
        "此外取决于 reduction（差 C 倍）。",
    ),
    minimiser=Text(
        "The target: p = q, where every element is 0. Where targets scatter there is no closed form.",
        "目标分布本身：p = q，此时每个元素都为 0。目标有散布时没有闭式解。",
    ),
    use=(
        Text(
            "Distillation of language models, on the student's own outputs (GKD), with beta between the two directions "
            "of the divergence.",
            "语言模型蒸馏，尤其是在学生自己的输出上（GKD），用 beta 在两个方向的散度之间折中。",
        ),
        Text(
            "Consistency of several views or models, none of which is the teacher; targets with errors.",
            "多个视图或模型之间的一致性（没有谁是教师），以及含有错误的目标。",
        ),
    ),
    avoid=(
        Text(
            "Labels that are right: the gradient of a confident mistake fades. Take CrossEntropyLoss.",
            "标签正确可靠时：对自信的错误预测，梯度会消失。应改用 CrossEntropyLoss。",
        ),
        Text(
            "Distributions that do not overlap: it is log 2 however far apart they are. Take WassersteinLoss where "
            "classes have positions.",
            "互不重叠的分布：无论相距多远都等于 log 2。类别有位置含义时应改用 WassersteinLoss。",
        ),
    ),
    traps=(
        Trap(
            "js-div-input-not-log",
            Text(
                "input holds log-probabilities, target probabilities (or logarithms with log_target=True). Logits are "
                "refused where one is above 0, and otherwise give a number that means nothing. Write "
                "log_softmax(logits, dim=1).",
                "input 应为对数概率，target 应为概率（或写 log_target=True 传入对数概率）。"
                "传入 logits 时，只要有一个大于 0 就会报错，否则得到没有意义的数。应写 log_softmax(logits, dim=1)。",
            ),
            rule="kl-input-not-log",
        ),
        Trap(
            "js-div-mean-reduction",
            Text(
                "The default mean divides by the elements, so by C as well: with 1000 classes two distributions that "
                'have nothing in common are at 0.0007 instead of 0.69. Write reduction="batchmean", and flatten '
                "(N, T, C) to (N T, C) before.",
                "默认的 mean 按元素个数平均，多除了 C：1000 个类别时，毫无重叠的两个分布显示为 0.0007 而不是 0.69。"
                '应写 reduction="batchmean"，(N, T, C) 先展平为 (N T, C)。',
            ),
            rule="kl-mean-reduction",
        ),
        Trap(
            "js-div-beta-of-the-target",
            Text(
                "Beta is the target's share, as in GKD where the target is the teacher. In code that weighs the "
                "student with beta, write 1 - beta. The size changes with it: the greatest value is 0.69 at 0.5 and "
                "0.33 at 0.1.",
                "beta 是目标的份额，与 GKD 一致（目标即教师）。若原代码用 beta 乘学生一侧，应写 1 - beta。"
                "数值大小也随之改变：最大值在 0.5 时为 0.69，在 0.1 时为 0.33。",
            ),
        ),
        Trap(
            "js-div-divergence-or-distance",
            Text(
                "scipy's jensenshannon is the root of this divergence: 0.83 where it is 0.69. Its base=2 divides by "
                "log 2 before the root.",
                "scipy 的 jensenshannon 是本散度的平方根：散度为 0.69 时它为 0.83；写 base=2 时先除以 log 2 再开方。",
            ),
        ),
        Trap(
            "js-div-teacher-gradient",
            Text(
                "The target gets a gradient too. Run a teacher under torch.no_grad(), or write target.detach(); "
                "between two views leave it.",
                "target 也会得到梯度。教师应在 torch.no_grad() 下运行，或写 target.detach()；两个视图之间则应保留。",
            ),
        ),
        Trap(
            "js-div-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs. Give both one "
                "shape: target.view_as(input).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表。应使两者形状一致：target.view_as(input)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "Made of $\\log(p / q)$, so that what cancels near p = q is not the logarithms of p and q themselves; -inf and "
        "probabilities of 0 are fine on both sides, and no gradient is NaN. Half precision is computed in float32; a "
        "beta near 0 or 1 costs float32 about 1e-7 / beta of relative accuracy.",
        "由 $\\log(p / q)$ 构成，因此 p 接近 q 时相消的不是 p、q 各自的对数；两边都允许 -inf 和概率 0，"
        "梯度不会出现 NaN。半精度输入以 float32 计算；beta 接近 0 或 1 时，float32 的相对误差约为 1e-7 / beta。",
    ),
    activation=Text("log_softmax", "log_softmax"),
    input="(N, *)",
    target="(N, *)",
    typical=Text("distillation, consistency, noisy targets", "知识蒸馏、一致性正则、含噪目标"),
    siblings=(
        Sibling(
            "KLDivLoss",
            Text(
                "Its limit for beta near 0, divided by beta: not symmetric, without a bound, and its gradient does not "
                "fade on a confident mistake.",
                "beta 趋于 0 时（除以 beta）的极限：不对称、无上界，对自信的错误预测梯度不消失。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "For labels, hard or soft, on logits.",
                "用于标签（硬或软）配 logits。",
            ),
        ),
        Sibling(
            "WassersteinLoss",
            Text(
                "Sees how far apart the classes lie, where they have positions.",
                "类别有位置时，能看出它们相距多远。",
            ),
        ),
    ),
    sources=(
        'Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory 37 (1991)',
        'Agarwal et al., "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", '
        "ICLR (2024)",
    ),
    curve=Curve(
        Text("predicted probability $p$ of one class", "某一类别的预测概率 $p$"),
        (0.01, 1.0),
        {f"q = {target}": _element(target) for target in (0.1, 0.5, 0.9)},
    ),
    aliases=("js", "jsd", "js_divergence", "jensen_shannon", "jensen_shannon_divergence", "generalized_jsd"),
)


LOSS = Loss(
    function=js_div,
    module=JSDivLoss,
    family="distributions and sequences",
    formulas=(js, js_of_logs),
    facts=Facts(
        convex=False,
        lipschitz=lambda beta=0.5, **_: -(1 - beta) * math.log(1 - beta),
        prediction="log-probabilities",
        target=lambda log_target=False, **_: "log-probabilities" if log_target else "probabilities",
        minimiser=lambda target, log_target=False, **_: target if log_target else torch.log(target),
        denominator="elements",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
