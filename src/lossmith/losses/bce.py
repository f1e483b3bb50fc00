"""Binary cross-entropy of probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import UNIT, Facts, Loss
from ..formula import Real, Reals, formula, log_complement, log_probability, maximum
from ..loops.pointwise import Domain, pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def bce(probability: Real, target: Real) -> Reals:
    log_one = log_probability(probability)
    log_zero = log_complement(probability)
    spread = maximum(probability * (1.0 - probability), 1e-12)
    return (
        (target - 1.0) * log_zero - target * log_one,
        (probability - target) / spread,
        log_zero - log_one,
    )


@overridable
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Binary cross-entropy between a target and a probability. From logits, use
    :func:`lossmith.functional.binary_cross_entropy_with_logits`: its gradient neither explodes nor vanishes.

    .. math::
        \ell(x, y) = -w\,[\,y \log x + (1 - y) \log(1 - x)\,] \qquad
        \frac{\partial \ell}{\partial x} = w\,\frac{x - y}{\max(x (1 - x), 10^{-12})}

    As in torch, the logarithms are clamped at -100, so the loss is at most 100 w, and the gradient at most 1e12 w.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2.2; the clamps: torch.nn.BCELoss.

    Args:
        input: probabilities :math:`x` from 0 to 1, any shape, a floating dtype.
        target: :math:`y` from 0 to 1, of the input's shape; floating, integer or bool.
        weight: multiplies the loss; it broadcasts to the input. As in torch, it does not enter the denominator.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Under autocast it runs in float32.

    Raises:
        ValueError: input and target differ in shape; an unknown reduction.
        RuntimeError: a value outside of 0 to 1 (CPU, eager; elsewhere that element's loss is NaN and its gradient 0);
            a weight that does not broadcast to the input.

    >>> import torch, lossmith
    >>> lossmith.functional.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1]))  # log 2
    tensor(0.6931)
    """
    loss = "binary_cross_entropy"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input, target)
    if not alike:
        checks.real(loss, input=input, target=target)
        checks.must_float(loss, input=input)
        checks.same_shape(loss, ValueError, input=input, target=target)
    checks.fits(loss, "weight", weight, input.shape, "input", RuntimeError)
    checks.fits(loss, "mask", how.mask, input.shape, "the unreduced loss")

    def outside(operands: Sequence[Tensor]) -> Tensor | None:
        input, target = operands
        invalid = checks.within_unit(
            loss, "input", input, how.mask, "write torch.sigmoid(input), or better binary_cross_entropy_with_logits"
        )
        beyond = checks.within_unit(loss, "target", target, how.mask, "targets are probabilities, or 0 and 1")
        return beyond if invalid is None else invalid if beyond is None else invalid | beyond

    domain = Domain(((0.0, 1.0, False), (0.0, 1.0, False)), outside)
    return pointwise(loss, bce, (input, target), (), how, weight=weight, domain=domain, alike=alike)


class BCELoss(Criterion, torch.nn.BCELoss):
    """:func:`lossmith.functional.binary_cross_entropy` as a Module; a :class:`torch.nn.BCELoss` with more.

    Args:
        weight, size_average, reduce, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.BCELoss()(torch.tensor([1.0]), torch.tensor([0.0]))  # clamped
    tensor(100.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
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
        return binary_cross_entropy(
            input, target, self.weight, **self._reduction(sample_weight, mask, normalizer, on_empty)
        )


CARD = Card(
    title=Text("Binary cross-entropy loss", "二元交叉熵损失"),
    summary=Text(
        "The negative logarithm of the probability that was given to what happened: $-\\log x$ if yes, "
        "$-\\log(1 - x)$ if no.",
        "对实际结果所给概率的负对数：正样本取 $-\\log x$，负样本取 $-\\log(1 - x)$。",
    ),
    gradient=Text(
        "$(x - y) / (x (1 - x))$ in the probability: at least 1 for targets of 0 and 1, exploding toward the wrong "
        "end, up to 1e12 where it is clamped. Behind a sigmoid it becomes $\\sigma - y$, until one of the two "
        "saturates.",
        "对概率的梯度为 $(x - y) / (x (1 - x))$：目标为 0 与 1 时绝对值至少为 1，向错误的一端急剧增大，因截断最大为 "
        "1e12。经 sigmoid 反传后成为 $\\sigma - y$，直到其中之一饱和为止。",
    ),
    robustness=Text(
        "Weak against wrong labels: the surer the network was, the harder such a row pulls. Its loss ends at 100, "
        "where the logarithm is clamped.",
        "对错误标签较弱：网络原本越确定，这样的样本拉力越大。损失的上限为 100，即对数被截断之处。",
    ),
    sparsity=Text(
        "None: a right prediction short of 0 or 1 still pulls, by about 1. Exactly at 0 or 1, on the right side, loss "
        "and gradient are 0.",
        "无稀疏性：正确的预测只要未到 0 或 1，仍有约为 1 的拉力；恰为 0 或 1 且方向正确时，损失与梯度为 0。",
    ),
    smoothness=Text(
        "Infinitely differentiable between 0 and 1, and convex in the probability. Within 1e-12 of the ends the "
        "gradient is clamped; it stays continuous.",
        "在 0 与 1 之间无穷次可导，对概率是凸的。距两端 1e-12 以内梯度被截断，但仍连续。",
    ),
    sensitivity=Text(
        "To the ends: 0.001 for a yes costs 6.9, 0 costs 100. To what stands before it: the sigmoid's rounding "
        "decides where learning stops. To class frequencies; `weight` multiplies elements, there is no pos_weight.",
        "对两端敏感：正样本的概率为 0.001 时损失为 6.9，为 0 时为 100。也取决于前面的 sigmoid："
        "其舍入决定了学习在何处停止。受类别频率影响；`weight` 逐元素相乘，没有 pos_weight。",
    ),
    minimiser=Text(
        "The target. Where targets scatter for one input, their mean: the share of ones, so it predicts calibrated "
        "probabilities. A soft target of 0.3 is met at 0.3, where the loss is its entropy, 0.611, not 0.",
        "目标值本身。同一输入的目标有散布时，是其均值，即正样本的比例，因而预测的概率是校准的。软目标 0.3 的最优解是 "
        "0.3，此时损失为其熵 0.611 而非 0。",
    ),
    use=(
        Text(
            "Yes or no, once or for each of many labels, where the model truly gives probabilities: products or "
            "mixtures of them, noisy-or, a calibrated model.",
            "二分类或多标签分类，且模型输出的确是概率：概率的乘积或混合、noisy-or、已校准的模型。",
        ),
        Text(
            "Existing networks that end in a sigmoid, to evaluate them; also images in [0, 1] as Bernoulli means "
            "(VAEs).",
            "评估以 sigmoid 结尾的现成网络；也用于把 [0, 1] 内的像素视为伯努利均值（VAE）。",
        ),
    ),
    avoid=(
        Text(
            "The network has logits: BCEWithLogitsLoss, always, instead of sigmoid and this loss. It is the same "
            "mathematics and does not stop learning.",
            "网络能给出 logits 时：总应使用 BCEWithLogitsLoss，而不是 sigmoid 加本损失。数学上相同，但不会停止学习。",
        ),
        Text(
            "Classes that exclude each other: CrossEntropyLoss knows that they sum to 1.",
            "类别互斥时：CrossEntropyLoss 知道它们的概率之和为 1。",
        ),
    ),
    traps=(
        Trap(
            "bce-saturated",
            Text(
                "A sigmoid before it saturates. In float32 it rounds to 1 above a logit of 16.6: loss 100, gradient "
                "1e12 times 0 = 0, so the surest mistake is never corrected. Below -27.6 the clamp on the gradient "
                "does the same (0.09 at -30, 4e-6 at -40, where 1 is right). In half precision it starts at 8.3 "
                "(float16, where 1e12 overflows and the gradient is NaN) and 6.2 (bfloat16). Take BCEWithLogitsLoss.",
                "前面的 sigmoid 会饱和。float32 下 logit 超过 16.6 时它舍入为 1：损失为 100，梯度为 1e12 乘 0 = 0，"
                "最确定的错误永远得不到纠正。logit 低于 -27.6 时，梯度的截断造成同样后果（-30 处为 0.09，-40 处为 "
                "4e-6，而正确值为 1）。半精度下始于 8.3（float16，此时 1e12 溢出，梯度为 NaN）和 6.2（bfloat16）。"
                "应改用 BCEWithLogitsLoss。",
            ),
            rule="bce-saturated",
        ),
        Trap(
            "bce-logits",
            Text(
                "Logits without a sigmoid: refused on the CPU at the first value outside of 0 to 1, NaN for that "
                "element on a GPU or in a compiled graph. A batch that lies inside by chance passes. Take "
                "BCEWithLogitsLoss.",
                "传入未经 sigmoid 的 logits：CPU 上一旦有值超出 0 到 1 即报错，GPU 上或编译图中该元素为 NaN。"
                "碰巧都落在区间内的批次则会通过。应改用 BCEWithLogitsLoss。",
            ),
            rule="logits-into-bce",
        ),
        Trap(
            "bce-swapped",
            Text(
                "The swapped call passes, as both are probabilities: with targets of 0 and 1 the clamped logarithms "
                "make it $100\\,|x - y|$, a scaled L1Loss whose optimum is 0 or 1 instead of a probability. The "
                "prediction comes first.",
                "参数写反也能运行，因为两者都是概率：目标为 0 与 1 时，被截断的对数使损失变成 $100\\,|x - y|$，"
                "即放大的 L1Loss，最优解是 0 或 1 而不是概率。预测值应在前。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "bce-targets",
            Text(
                "Targets are 0 and 1 or shares between them. -1 and 1, or masks of 0 and 255, are refused on the CPU "
                "and NaN on a GPU or in a compiled graph. Write (target + 1) / 2, or target / 255.",
                "目标应为 0 与 1，或介于其间的比例。-1 与 1，或 0 与 255 的掩码，在 CPU 上报错，在 GPU 上或编译图中为 "
                "NaN。应写 (target + 1) / 2 或 target / 255。",
            ),
            rule="target-not-in-unit-interval",
        ),
        Trap(
            "bce-epsilon",
            Text(
                "A clamp of the probability, such as x.clamp(1e-7, 1 - 1e-7), has gradient 0 outside of it: the "
                "surest mistakes stop pulling, and the loss ends at 16. The logarithms are clamped already.",
                "对概率先做截断，如 x.clamp(1e-7, 1 - 1e-7)，在截断区外梯度为 0：最确定的错误不再有拉力，损失也止于 "
                "16。对数本已截断，无需再做。",
            ),
        ),
    ),
    stability=Text(
        "The logarithms are clamped at -100, as in torch, so the loss is at most 100, never inf; $\\log(1 - x)$ is "
        "taken as log1p. Near 1 the probability itself is coarse: in float32 the last losses of a wrong yes are 15.9, "
        "16.6, then 100. Half precision and autocast are computed in float32.",
        "与 torch 一样，对数截断于 -100，因此损失至多为 100，不会为 inf；$\\log(1 - x)$ 以 log1p 计算。"
        "概率接近 1 时本身就很粗：float32 下，把负样本误判为正时，损失的最后几档为 15.9、16.6，接着就是 100。半精度与 "
        "autocast 下以 float32 计算。",
    ),
    activation=Text("sigmoid", "sigmoid"),
    input="(*)",
    target="(*)",
    typical=Text("binary and multi-label, from probabilities", "以概率为输出的二分类、多标签分类"),
    siblings=(
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The sigmoid inside, computed stably: the gradient $\\sigma(x) - y$ never saturates on the wrong "
                "side. Has pos_weight.",
                "内含 sigmoid 并以稳定方式计算：梯度 $\\sigma(x) - y$ 在错误的一侧绝不饱和。支持 pos_weight。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "For classes that exclude each other, from logits.",
                "用于互斥的类别，接收 logits。",
            ),
        ),
        Sibling(
            "MSELoss",
            Text(
                "On probabilities the Brier score: also least at the share of ones, and bounded by 1; but behind a "
                "sigmoid a surely wrong row hardly pulls (9e-5 at a logit of -10).",
                "作用于概率时即 Brier 分数：同样在正样本的比例处最小，且不超过 1；但经 sigmoid 反传后，"
                "错得很确定的样本几乎没有拉力（logit 为 -10 时为 9e-5）。",
            ),
        ),
    ),
    sources=(
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016)',
        'Good, "Rational Decisions", Journal of the Royal Statistical Society B 14 (1952)',
        'Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR (2014)',
    ),
    curve=Curve(
        Text("probability $x$", "概率 $x$"),
        (0.01, 0.99),
        {
            "y = 1": lambda x: {"input": x, "target": torch.ones_like(x)},
            "y = 0": lambda x: {"input": x, "target": torch.zeros_like(x)},
        },
    ),
    aliases=("bce", "binary_crossentropy", "bernoulli_nll"),
)


LOSS = Loss(
    function=binary_cross_entropy,
    module=BCELoss,
    family="classification",
    formulas=(bce,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1e12,
        prediction=UNIT,
        target=UNIT,
        minimiser=lambda target, **_: target,
        denominator="elements",
        smooth=True,
        optimum="mean",
    ),
    card=CARD,
)
