"""Kullback-Leibler divergence of a target distribution from predicted log-probabilities."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import Facts, Loss
from ..formula import Real, Reals, exp, formula, log, product, where, xlogy
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def kl(log_prediction: Real, target: Real) -> Reals:
    # what can't happen adds nothing and asks for nothing, even if its log-probability is infinite
    finite = where(log_prediction - log_prediction == 0.0, log_prediction, 0.0)
    return (
        xlogy(target, target) - product(target, log_prediction),
        -target,
        where(target == 0.0, -finite, log(target) + 1.0 - log_prediction),
    )


@formula
def kl_of_logs(log_prediction: Real, log_target: Real) -> Reals:
    target = exp(log_target)
    # both logarithms may be minus infinity, and their difference NaN, where the target is 0
    log_ratio = where(target == 0.0, 0.0, log_target - log_prediction)
    return target * log_ratio, -target, target * (log_ratio + 1.0)


@overridable
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Elements of the Kullback-Leibler divergence :math:`D(q \,\|\, p)` of a target :math:`q` from a prediction
    :math:`p = e^x`.

    .. math::
        \ell(x, q) = q\,(\log q - x) \qquad \frac{\partial \ell}{\partial x} = -q \qquad
        \frac{\partial \ell}{\partial q} = \log q + 1 - x

    An element with :math:`q = 0` costs 0, whatever :math:`x` is, and so do two log-probabilities of :math:`-\infty`;
    there :math:`q \log q` has a slope of 0 (that is the convention of torch.xlogy), and no gradient is NaN.

    The sum over the classes is the divergence, so ``batchmean`` gives the mean divergence of rows (N, C), while
    ``mean`` is C times smaller. ``batchmean`` divides by the first size alone: for (N, T, C) it is T times the mean
    divergence; flatten to (N T, C). Between two Gaussians, as in a VAE, use the closed form instead.

    Source: Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22 (1951).

    Args:
        input: log-probabilities :math:`x` (from log_softmax), any shape, a floating dtype.
        target: probabilities :math:`q`, or their logarithms with ``log_target=True``, of the same shape (others
            broadcast; a result larger than both warns); a floating dtype.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`. The result is in nats.
        log_target: whether target holds logarithms.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together; a dtype that is not floating.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> p, q = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])
    >>> divergence = lossmith.functional.kl_div(p.log(), q, reduction="batchmean")
    >>> round(divergence.item(), 4)  # 0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75)
    0.1438
    """
    loss = "kl_div"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input, target)
    if not alike:
        floating(loss, input=input, target=target)
        checks.broadcastable(loss, input=input, target=target)
        checks.outer_broadcast(loss, how.reduction, input=input, target=target)
    # torch divides a batchmean by the input's first size, even where the target broadcasts it to another
    batch = input.shape[0] if input.dim() > 0 else 1
    return pointwise(loss, kl_of_logs if log_target else kl, (input, target), (), how, batch=batch, alike=alike)


def floating(loss: str, **tensors: Tensor) -> None:
    """Raises torch's RuntimeError, in better words, unless all are of a floating dtype."""
    for name, tensor in tensors.items():
        checks.tensor(loss, name, tensor)
        if not tensor.is_floating_point():
            raise RuntimeError(
                f"{loss}: {name} is {checks.describe(tensor)}, expected a floating dtype; write one-hot targets as "
                f"target.float(), and for class labels use cross_entropy or nll_loss"
            )


class KLDivLoss(Criterion, torch.nn.KLDivLoss):
    """:func:`lossmith.functional.kl_div` as a Module; a :class:`torch.nn.KLDivLoss` with more.

    Args:
        size_average, reduce, reduction, log_target: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> rows = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    >>> lossmith.KLDivLoss(reduction="batchmean")(rows.log(), rows)
    tensor(0.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(size_average, reduce, reduction, log_target)
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
        return kl_div(
            input, target, log_target=self.log_target, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


def _element(target: float) -> Callable[[Tensor], dict[str, Any]]:
    return lambda probability: {"input": probability.log(), "target": torch.full_like(probability, target)}


CARD = Card(
    title=Text("Kullback-Leibler divergence", "KL 散度（Kullback–Leibler）"),
    summary=Text(
        "How far a predicted distribution p is from a target distribution q: the sum over the classes of "
        "$q (\\log q - \\log p)$, in nats.",
        "预测分布 p 偏离目标分布 q 的程度：$q (\\log q - \\log p)$ 对类别求和，单位为奈特（nat）。",
    ),
    gradient=Text(
        "$-q$ at each log-probability: every class is pulled up by its share of the target. Behind log_softmax, "
        "$p - q$ at the logits, as under cross-entropy with the same target.",
        "对每个对数概率为 $-q$：各类别按其目标概率被拉高。经 log_softmax 传到 logits 即为 $p - q$，"
        "与同一目标下的交叉熵相同。",
    ),
    robustness=Text(
        "What the target holds possible and the prediction does not costs $-q \\log p$, without bound; the pull on a "
        "row of logits stays below $\\sqrt 2$. A wrong hard target is the dearest, a softened one less so.",
        "目标认为可能而预测认为几乎不可能的类别，代价为 $-q \\log p$，没有上界；"
        "但对一行 logits 的拉力不超过 $\\sqrt 2$。错误的硬标签代价最大，软化后的标签较小。",
    ),
    sparsity=Text(
        "A class with q = 0 costs exactly 0 and has a gradient of 0, whatever p is; log_softmax alone lowers it. No p "
        "becomes exactly 0.",
        "q = 0 的类别无论 p 为多少，损失和梯度都恰好为 0，只靠 log_softmax 把它压低。预测概率不会恰好为 0。",
    ),
    smoothness=Text(
        "Linear in the log-probability, infinitely differentiable and convex in the logits.",
        "对对数概率是线性的；对 logits 无穷次可导，且为凸函数。",
    ),
    sensitivity=Text(
        "Classes where q is large and p small, far more than those where p is large and q small; the reduction (a "
        "factor of C or T); in distillation, the temperature.",
        "q 大而 p 小的类别影响大，p 大而 q 小的类别影响小得多；此外取决于 reduction（差 C 倍或 T 倍），"
        "蒸馏时还取决于温度。",
    ),
    minimiser=Text(
        "The target: p = q, where the sum over the classes is 0 (a single class's term may be negative). Where target "
        "distributions scatter, their mean.",
        "目标分布本身：p = q，此时对类别求和为 0（单个类别的一项可以为负）。目标分布有散布时为它们的均值。",
    ),
    use=(
        Text(
            "Knowledge distillation: a student learns the softened probabilities of a teacher.",
            "知识蒸馏：学生网络学习教师网络软化后的概率。",
        ),
        Text(
            "Targets that are distributions: votes of several annotators, consistency between two views, histograms; "
            "matching or generating distributions over classes or bins.",
            "目标本身是分布：多名标注者的投票、两个视图之间的一致性、直方图；类别或分箱上的分布匹配与生成。",
        ),
    ),
    avoid=(
        Text(
            "Labels, hard or soft, on logits: CrossEntropyLoss has the same gradient and takes log_softmax itself.",
            "标签（硬或软）配 logits：CrossEntropyLoss 梯度相同，且自带 log_softmax。",
        ),
        Text(
            "A VAE's latent variable: between Gaussians the divergence has a closed form (see the traps).",
            "VAE 的隐变量：高斯分布之间的散度有闭式解（见陷阱）。",
        ),
        Text(
            "Distributions that hardly overlap: it is infinite where p is 0 and q is not, and does not see how far "
            "apart the classes lie; a Wasserstein distance does.",
            "几乎不重叠的分布：p 为 0 而 q 不为 0 时散度为无穷大，也看不出类别之间相距多远；Wasserstein 距离可以。",
        ),
    ),
    traps=(
        Trap(
            "kl-div-input-not-log",
            Text(
                "input holds log-probabilities. Given probabilities, a perfect prediction of 5 equal classes costs "
                "-1.81 instead of 0, and the least loss puts everything on the likeliest class; given logits there is "
                "no least, 10 more on each takes 10 off the loss. Write log_softmax(logits, dim=1), and not "
                "softmax(logits, dim=1).log(), which is -inf where a logit is 200 below the greatest.",
                "input 应为对数概率。若传入概率，对 5 个等概率类别的完美预测得 -1.81 而不是 0，"
                "最小值处全部概率都压在最可能的类别上；若传入 logits，损失没有下界：每个都加 10，损失就减 10。"
                "应写 log_softmax(logits, dim=1)，不要写 softmax(logits, dim=1).log()："
                "某个 logit 比最大值低 200 时，后者为 -inf。",
            ),
            rule="kl-input-not-log",
        ),
        Trap(
            "kl-div-target-not-probability",
            Text(
                "target holds probabilities, or logarithms with log_target=True. Logarithms without it give NaN; "
                "probabilities with it, in one example, 13.7 nats where 0.68 was right. "
                "Class labels belong into CrossEntropyLoss.",
                "target 应为概率；若为对数概率，须写 log_target=True。漏写得 NaN；"
                "传入概率却写了它，有一例中本应为 0.68 奈特的散度变成 13.7。类别标签应改用 CrossEntropyLoss。",
            ),
            rule="kl-target-not-probability",
        ),
        Trap(
            "kl-div-mean-reduction",
            Text(
                "The default mean divides by the elements, so by C as well: with 1000 classes a divergence of 6.91 "
                'reads 0.0069, and its gradient is as small. Write reduction="batchmean". A learning rate or a weight '
                "that was tuned around the mean changes with it.",
                "默认的 mean 按元素个数平均，多除了 C：1000 个类别时，6.91 的散度显示为 0.0069，梯度也同样小。"
                '应写 reduction="batchmean"。在 mean 下调好的学习率或权重需随之调整。',
            ),
            rule="kl-mean-reduction",
        ),
        Trap(
            "kl-div-batchmean-sequences",
            Text(
                "batchmean divides by the first size alone. For (N, T, C) that is T times the mean divergence; flatten "
                'both to (N T, C). For a single row (C) it is C times too small; write reduction="sum".',
                "batchmean 只除以第一维的大小。对 (N, T, C) 得到平均散度的 T 倍，应把两者都展平为 (N T, C)；"
                '对单独一行 (C) 则小了 C 倍，应写 reduction="sum"。',
            ),
        ),
        Trap(
            "kl-div-direction",
            Text(
                "The divergence is not symmetric, and the arguments stand the other way round than in the formula: "
                "kl_div(log p, q) is $D(q \\,\\|\\, p)$. For q = (0.9, 0.1) and p = (0.5, 0.5) it is 0.368, the "
                "reverse 0.511. $D(q \\,\\|\\, p)$ spreads p over all that q holds possible; $D(p \\,\\|\\, q)$, "
                "written kl_div(q.log(), p), settles on one of its peaks.",
                "KL 散度不对称，且参数顺序与公式相反：kl_div(log p, q) 是 $D(q \\,\\|\\, p)$。"
                "q = (0.9, 0.1)、p = (0.5, 0.5) 时为 0.368，反向为 0.511。"
                "$D(q \\,\\|\\, p)$ 让 p 铺满 q 认为可能的一切；"
                "$D(p \\,\\|\\, q)$ 应写 kl_div(q.log(), p)，会收缩到 q 的某一个峰上。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "kl-div-temperature",
            Text(
                "Distillation at a temperature T divides both logits by T, and the gradient shrinks with about "
                "$1/T^2$: with random logits from 6.97 at T = 1 to 0.43 at T = 4. Multiply the loss by "
                "T ** 2 before adding it to the "
                "loss of the labels.",
                "蒸馏时两边的 logits 都除以温度 T，梯度约按 $1/T^2$ 缩小："
                "以随机 logits 为例，T = 1 时为 6.97，T = 4 时只有 0.43。"
                "与标签损失相加之前，应先乘以 T ** 2。",
            ),
        ),
        Trap(
            "kl-div-teacher-gradient",
            Text(
                "The target gets a gradient too, so a teacher that is not detached learns from its student. Run it "
                "under torch.no_grad() or write target.detach().",
                "target 也会得到梯度，未分离的教师网络会反过来向学生学习。应在 torch.no_grad() 下运行教师，"
                "或写 target.detach()。",
            ),
        ),
        Trap(
            "kl-div-vae",
            Text(
                "A VAE does not use this loss: its mean, variance and samples are no log-probabilities. Against a "
                "standard normal write $\\tfrac12 \\sum (\\mu^2 + \\sigma^2 - 1 - \\log \\sigma^2)$, or "
                "torch.distributions.kl_divergence for others.",
                "VAE 不用这个损失：它的均值、方差和采样都不是对数概率。相对标准正态应直接写 "
                "$\\tfrac12 \\sum (\\mu^2 + \\sigma^2 - 1 - \\log \\sigma^2)$，"
                "其他分布用 torch.distributions.kl_divergence。",
            ),
            rule="kl-input-not-log",
        ),
        Trap(
            "kl-div-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N,) becomes an (N, N) table of all pairs; torch does not even "
                "warn. Give both one shape: target.view_as(input).",
                "输入 (N, 1) 与目标 (N,) 会广播成 (N, N) 的两两配对表，torch 连警告都没有。"
                "应使两者形状一致：target.view_as(input)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "$q \\log q$ is 0 at q = 0 and so is its slope, on a log-probability of $-\\infty$ too (torch gives NaN): "
        "one-hot targets are safe. A target that comes from logits is best left a logarithm: log_softmax and "
        "log_target=True. Half precision is computed in float32.",
        "q = 0 处 $q \\log q$ 及其斜率取 0，对数概率为 $-\\infty$ 时也是如此（torch 得 NaN），因此独热目标是安全的。"
        "由 logits 得来的目标最好保持对数形式：log_softmax 加 log_target=True。半精度输入以 float32 计算。",
    ),
    activation=Text("log_softmax", "log_softmax"),
    input="(N, *)",
    target="(N, *)",
    typical=Text("distillation, matching distributions", "知识蒸馏、分布匹配"),
    siblings=(
        Sibling(
            "DistillationLoss",
            Text(
                "From the logits of a teacher and a student: softens both, restores the size of the gradient, averages "
                "over rows and mixes in labels.",
                "直接接收教师与学生的 logits：软化两边、恢复梯度大小、按行平均，并可与标签损失混合。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "With soft targets, the divergence plus the entropy of the target: the same gradient, but its least "
                "value is not 0. It takes logits, and averages over rows.",
                "软标签下等于散度加上目标的熵：梯度相同，但最小值不为 0。它接收 logits，并按行平均。",
            ),
        ),
        Sibling(
            "NLLLoss",
            Text(
                "What remains for a one-hot target, whose entropy is 0; it takes the label instead.",
                "目标为独热（熵为 0）时的特例，直接接收类别标签。",
            ),
        ),
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "For classes that are independent, each with a probability of its own, instead of sharing one.",
                "各类别相互独立、各有自己的概率，而不是共分总和为 1 的概率。",
            ),
        ),
    ),
    sources=(
        'Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22 (1951)',
        'Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015)',
        'Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR (2014)',
    ),
    curve=Curve(
        Text("predicted probability $p$ of one class", "某一类别的预测概率 $p$"),
        (0.01, 1.0),
        {f"q = {target}": _element(target) for target in (0.1, 0.5, 0.9)},
    ),
    aliases=(
        "kl",
        "kld",
        "kl_divergence",
        "kullback_leibler",
        "kullback_leibler_divergence",
        "relative_entropy",
        "rel_entr",
    ),
)


LOSS = Loss(
    function=kl_div,
    module=KLDivLoss,
    family="distributions and sequences",
    formulas=(kl, kl_of_logs),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction="log-probabilities",
        target=lambda log_target=False, **_: "log-probabilities" if log_target else "probabilities",
        minimiser=lambda target, log_target=False, **_: target if log_target else torch.log(target),
        denominator="elements",
        smooth=True,
        optimum="logarithm of the mean",
    ),
    card=CARD,
)
