"""Binary cross-entropy of sigmoid(logit): for two classes, or many labels that do not exclude one another."""

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, UNIT, Facts, Loss
from ..formula import Real, Reals, exp, formula, log1p, product, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def bce_with_logits(prediction: Real, target: Real, positive_weight: Real) -> Reals:
    # both costs, softplus(-x) and softplus(x), are |x| or 0 more than the tail log(1 + exp(-|x|)); |x| is written with
    # `where`, so that derivatives of every order are right at 0 too
    toward_zero = where(prediction >= 0, -prediction, prediction)
    small = exp(toward_zero)
    tail = log1p(small)
    one = positive_weight * target
    zero = 1.0 - target
    scale = 1.0 / (1.0 + small)
    return (
        (one + zero) * tail - product(where(prediction >= 0, zero, one), toward_zero),
        where(prediction >= 0, zero - one * small, zero * small - one) * scale,
        (positive_weight - 1.0) * tail - where(prediction >= 0, -toward_zero, positive_weight * toward_zero),
        product(target, tail - where(prediction >= 0, 0.0, toward_zero)),
    )


@overridable
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Binary cross-entropy between a target and :math:`\sigma(x)`, from logits.

    .. math::
        \ell(x, y) = -w\,[\,p\,y \log \sigma(x) + (1 - y) \log(1 - \sigma(x))\,] \qquad
        \frac{\partial \ell}{\partial x} = w\,[(1 - y)\,\sigma(x) - p\,y\,\sigma(-x)]

    with :math:`p` the ``pos_weight`` of the element's class. Value and gradient keep their relative accuracy for
    confident predictions on both sides, and a right answer at an infinite logit costs 0.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2.2.

    Args:
        input: logits :math:`x`, any shape, a floating dtype; no sigmoid before it.
        target: :math:`y` from 0 to 1, of the input's shape; floating, integer or bool.
        weight: multiplies the loss; it broadcasts to the input. As in torch, it does not enter the denominator.
        size_average, reduce: torch's legacy arguments.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        pos_weight: the weight of positives, which broadcasts to the input: (C,) goes with the last dimension.
        dim: the class dimension that a ``pos_weight`` of shape (C,) goes with, such as 1 for (N, C, H, W).
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        ValueError: input and target differ in shape; an unknown reduction.
        RuntimeError: weight or pos_weight does not broadcast to the input.

    >>> import torch, lossmith
    >>> x, y = torch.tensor([0.5, -1.0]), torch.tensor([1.0, 0.0])
    >>> with_logits = lossmith.functional.binary_cross_entropy_with_logits(x, y)
    >>> torch.allclose(with_logits, lossmith.functional.binary_cross_entropy(x.sigmoid(), y))
    True
    """
    loss = "binary_cross_entropy_with_logits"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike(input, target)
    if not alike:
        checks.real(loss, input=input, target=target)
        checks.must_float(loss, input=input)
        checks.same_shape(loss, ValueError, input=input, target=target)
    checks.fits(loss, "weight", weight, input.shape, "input", RuntimeError)
    if pos_weight is not None:
        pos_weight = _along(loss, pos_weight, input, dim)
    return pointwise(
        loss,
        bce_with_logits,
        (input, target, 1.0 if pos_weight is None else pos_weight.to(input.dtype)),
        (),
        how,
        weight=weight,
        like=target if target.is_floating_point() else input,
        alike=alike if pos_weight is None else 0,
    )


def _along(loss: str, pos_weight: Tensor, input: Tensor, dim: int | None) -> Tensor:
    """pos_weight with dimensions of 1 behind it, so that it goes with the class dimension."""
    if dim is not None:
        if not -input.dim() <= dim < input.dim():
            raise IndexError(f"{loss}: dim={dim} is out of range for input {checks.describe(input)}; write dim=1")
        if pos_weight.dim() != 1:
            raise RuntimeError(f"{loss}: dim= goes with a pos_weight of shape (C,), got {checks.describe(pos_weight)}")
        pos_weight = pos_weight.reshape([-1] + [1] * (input.dim() - 1 - dim % input.dim()))
    classes = [d for d, size in enumerate(input.shape) if pos_weight.dim() == 1 and size == pos_weight.shape[0]]
    if classes and classes[-1] != input.dim() - 1 and pos_weight.shape[0] != 1:
        raise RuntimeError(
            f"{loss}: pos_weight goes with the last dimension, got "
            f"{checks.shapes(pos_weight=pos_weight, input=input)}; "
            f"write dim={classes[-1]} for weights of dimension {classes[-1]}"
        )
    checks.fits(loss, "pos_weight", pos_weight, input.shape, "input", RuntimeError)
    return pos_weight


class BCEWithLogitsLoss(Criterion, torch.nn.BCEWithLogitsLoss):
    """:func:`lossmith.functional.binary_cross_entropy_with_logits` as a Module.

    Args:
        weight, size_average, reduce, reduction, pos_weight, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))
    >>> criterion(torch.tensor([[0.0]]), torch.tensor([[1.0]]))  # 3 log 2
    tensor(2.0794)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction, pos_weight)
        self.dim = dim
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
        return binary_cross_entropy_with_logits(
            input,
            target,
            self.weight,
            pos_weight=self.pos_weight,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _log(pos_weight: Tensor | None) -> Tensor | float:
    return 0.0 if pos_weight is None else torch.log(pos_weight)


CARD = Card(
    title=Text("Binary cross-entropy with logits", "带 logits 的二元交叉熵损失"),
    summary=Text(
        "Sigmoid and binary cross-entropy in one: the negative logarithm of the probability $\\sigma(x)$, or "
        "$1 - \\sigma(x)$, that was given to what happened. The default for yes or no, once or for many labels.",
        "将 sigmoid 与二元交叉熵合为一体：对实际发生的结果所给概率 $\\sigma(x)$ 或 $1 - \\sigma(x)$ 的负对数。"
        "二分类与多标签分类的默认选择。",
    ),
    gradient=Text(
        "$\\sigma(x) - y$: the probability less the truth, never larger than 1, and close to 1 for as long as the "
        "network is surely wrong. With pos_weight p, that of a positive is $-p\\,\\sigma(-x)$.",
        "$\\sigma(x) - y$：概率减去真值，绝对值不超过 1；只要网络错得很确定，就一直接近 1。给出 pos_weight p 时，"
        "正样本的梯度为 $-p\\,\\sigma(-x)$。",
    ),
    robustness=Text(
        "Weak against wrong labels: such an element costs about |x| and pulls by almost 1 without fading; but never "
        "by more (pos_weight for a positive).",
        "对错误标签较弱：这样的元素损失约为 |x|，拉力接近 1 且不消退；但也绝不更大（正样本至多为 pos_weight）。",
    ),
    sparsity=Text(
        "None: a right element still pulls, by about $e^{-|x|}$, so logits keep growing. Where that matters, soften "
        "the targets (0.05 and 0.95) or use weight decay.",
        "无稀疏性：判断正确的元素仍有约 $e^{-|x|}$ 的拉力，logits 会不断增大。若有影响，可软化目标（如 0.05 与 0.95）"
        "或使用权重衰减。",
    ),
    smoothness=Text(
        "Infinitely differentiable and strictly convex in the logit; the curvature is at most 1/4 (without "
        "pos_weight). In the weights of a network it is not convex.",
        "对 logit 无穷次可导且严格凸，曲率不超过 1/4（无 pos_weight 时）。对网络权重则非凸。",
    ),
    sensitivity=Text(
        "To the scale of the logits, and to the share of ones: with few positives the zeros decide, which pos_weight "
        "= negatives / positives evens out. The mean is over all elements, so with many labels each counts little.",
        "受 logits 的尺度和正样本比例影响：正样本很少时由负样本主导，可用 pos_weight = 负样本数 / 正样本数 来平衡。"
        "均值对全部元素计算，标签很多时每个标签的分量都很小。",
    ),
    minimiser=Text(
        "The log-odds of the target: $\\pm\\infty$ for 1 and 0. Where targets scatter, the log-odds of their mean, so "
        "$\\sigma(x)$ is the share of ones. pos_weight adds $\\log p$ to it.",
        "目标的对数几率：目标为 1 与 0 时是 $\\pm\\infty$。目标有散布时，是其均值的对数几率，"
        "因而 $\\sigma(x)$ 等于正样本的比例。pos_weight 使其增加 $\\log p$。",
    ),
    use=(
        Text(
            "Two classes with one logit: click or not, spam or not, real or generated (GAN discriminators), "
            "foreground or not.",
            "只用一个 logit 的二分类：是否点击、是否垃圾邮件、真实还是生成（GAN 判别器）、是否前景。",
        ),
        Text(
            "Many labels that don't exclude each other, one logit each (one versus all): a picture with a cat and a "
            "dog.",
            "多个互不排斥的标签，每个标签一个 logit（One-vs-All）：一张图里同时有猫和狗。",
        ),
        Text(
            "Rare positives: pos_weight = 3 makes each positive count as three; lossmith.suggest.pos_weight(targets) "
            "computes negatives over positives for each label.",
            "正样本稀少：pos_weight = 3 使每个正样本相当于三个；lossmith.suggest.pos_weight(targets) 按标签计算负样本"
            "数与正样本数之比。",
        ),
        Text(
            "Shares between 0 and 1 as targets: soft labels, rates, quality scores.",
            "以 0 到 1 之间的比例为目标：软标签、比率、质量分数。",
        ),
    ),
    avoid=(
        Text(
            "Exactly one of several classes is right: CrossEntropyLoss knows that their probabilities sum to 1.",
            "多个类别中恰有一个正确时：CrossEntropyLoss 知道它们的概率之和为 1。",
        ),
        Text(
            "The prediction is a probability already and no logit is to be had: BCELoss.",
            "预测已是概率，且无法得到 logit 时：使用 BCELoss。",
        ),
    ),
    traps=(
        Trap(
            "bce-with-logits-sigmoid",
            Text(
                "A sigmoid before it is the second one: all probabilities lie between 0.5 and 0.731, so a yes costs "
                "at least 0.313 and a no at least 0.693, no gradient exceeds 0.157, and that of a sure mistake "
                "vanishes (2e-5 for a yes at -10). Pass the logits; take sigmoid for metrics only.",
                "前面再加 sigmoid 就成了两次：所有概率落在 0.5 与 0.731 之间，正样本的损失至少 0.313，负样本至少 "
                "0.693；梯度不超过 0.157，错得很确定时则消失（正样本的输入为 -10 时仅 2e-5）。应直接传入 logits，"
                "sigmoid 只用于计算指标。",
            ),
            rule="sigmoid-into-bce-with-logits",
        ),
        Trap(
            "bce-with-logits-relu",
            Text(
                "ReLU before it: no logit is below 0, no probability below 0.5, a no costs at least 0.693. Leave it "
                "out.",
                "前面加了 ReLU：logit 不会小于 0，概率不会低于 0.5，负样本的损失至少为 0.693。应去掉 ReLU。",
            ),
            rule="relu-before-logits",
        ),
        Trap(
            "bce-with-logits-threshold",
            Text(
                "The threshold for a logit is 0. logits > 0.5 asks for a probability above 0.622; write logits > 0, "
                "or logits.sigmoid() > 0.5.",
                "logit 的判定阈值是 0。写成 logits > 0.5 等于要求概率大于 0.622；应写 logits > 0，"
                "或 logits.sigmoid() > 0.5。",
            ),
        ),
        Trap(
            "bce-with-logits-targets",
            Text(
                "Targets outside of 0 to 1 are accepted, as in torch, and the loss falls without end: a mask of 255 "
                "gives -1270 at a logit of 5, and -1 for a no or for padding pulls for ever. Write mask / 255, "
                "(target + 1) / 2, or mask= for padding.",
                "与 torch 一样，0 到 1 以外的目标也会被接受，损失可无限下降：取值 255 的掩码在 logit 为 5 时给出 "
                "-1270；用 -1 表示负样本或填充，则产生永不消退的拉力。应写 mask / 255、(target + 1) / 2，填充则用 "
                "mask=。",
            ),
            rule="target-not-in-unit-interval",
        ),
        Trap(
            "bce-with-logits-swapped",
            Text(
                "The swapped call passes: targets as logits, logits as targets. It is linear in the prediction, so "
                "that of a 1 runs away to infinity and that of a 0 gets no gradient. The prediction comes first.",
                "参数写反也能运行：目标被当作 logits，logits 被当作目标。损失对预测是线性的：目标为 1 的预测奔向无穷，"
                "目标为 0 的得不到梯度。预测值应在前。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "bce-with-logits-pos-weight-shift",
            Text(
                "pos_weight p multiplies the predicted odds by p: with 9, a true probability of 0.1 is predicted as "
                "0.5. Good for a threshold of 0.5, wrong as a probability; subtract $\\log p$ from the logits to get "
                "it back.",
                "pos_weight p 使预测的几率变为 p 倍：取 9 时，真实概率 0.1 会被预测为 0.5。便于以 0.5 为阈值，"
                "但不再是概率；从 logits 中减去 $\\log p$ 即可还原。",
            ),
        ),
        Trap(
            "bce-with-logits-pos-weight-dim",
            Text(
                "A pos_weight of (C,) goes with the last dimension. For (N, C, H, W) it raises an error, but where W "
                "happens to equal C it weighs columns of pixels in silence. Write dim=1, or pos_weight[:, None, None].",
                "形状为 (C,) 的 pos_weight 与最后一维对齐。输入为 (N, C, H, W) 时会报错，但若 W 恰好等于 C，"
                "就会悄悄地按像素列加权。应写 dim=1，或 pos_weight[:, None, None]。",
            ),
        ),
    ),
    stability=Text(
        "log-sum-exp of 0 and x: $\\max(x, 0) - x y + \\log(1 + e^{-|x|})$, arranged so that exp never overflows and "
        "a confident element keeps its relative accuracy on both sides (gradient -2.06e-9 at a logit of 20, where "
        "torch gives 0). A right answer at an infinite logit costs 0, a wrong one inf. Half precision is computed in "
        "float32.",
        "即 0 与 x 的 log-sum-exp：$\\max(x, 0) - x y + \\log(1 + e^{-|x|})$，其写法使 exp 不会溢出，"
        "且很确定的元素在两侧都保持相对精度（logit 为 20 时梯度为 -2.06e-9，torch 给出 0）。logit 为无穷时，"
        "判断正确损失为 0，错误则为 inf。半精度以 float32 计算。",
    ),
    activation=Text("none (logits)", "无（logits）"),
    input="(*)",
    target="(*)",
    typical=Text("binary and multi-label classification", "二分类、多标签分类"),
    siblings=(
        Sibling(
            "BCELoss",
            Text(
                "The same from probabilities. With a sigmoid before it, it saturates: a negative whose logit is above "
                "16.6 is no longer learned in float32.",
                "相同，但接收概率。前面接 sigmoid 时会饱和：float32 下 logit 超过 16.6 的负样本不再被学习。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "For classes that exclude each other. With two of them and $x = x_1 - x_0$ both are equal.",
                "用于互斥的类别。二分类且 $x = x_1 - x_0$ 时二者相等。",
            ),
        ),
        Sibling(
            "MultiLabelSoftMarginLoss",
            Text(
                "The same, averaged over the labels of a row before the reduction, and without pos_weight. Their "
                "means are equal.",
                "相同，只是先对一行的各标签取平均再归约，且没有 pos_weight。二者的均值相等。",
            ),
        ),
        Sibling(
            "SoftMarginLoss",
            Text(
                "The same for targets of -1 and 1: $y = 2t - 1$. Neither soft targets nor pos_weight.",
                "相同，但目标为 -1 与 1：$y = 2t - 1$。不支持软目标与 pos_weight。",
            ),
        ),
    ),
    sources=(
        'Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B 20 (1958)',
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016)',
        'King and Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9 (2001)',
        'Goodfellow et al., "Generative Adversarial Nets", NIPS (2014)',
    ),
    curve=Curve(
        Text("logit $x$", "logit $x$"),
        (-5.0, 5.0),
        {
            "y = 1": lambda x: {"input": x, "target": torch.ones_like(x)},
            "y = 0": lambda x: {"input": x, "target": torch.zeros_like(x)},
        },
    ),
    aliases=(
        "bce_with_logits",
        "binary_logloss",
        "sigmoid_cross_entropy",
        "sigmoid_binary_cross_entropy",
        "sigmoid_cross_entropy_with_logits",
        "weighted_cross_entropy_with_logits",
        "logistic",
        "logistic_loss",
        "logistic_regression",
        "binary_logistic",
        "binary_logistic_loss",
        "reg_logistic",
        "multiclassova",
        "one_vs_all",
        "one_vs_rest",
    ),
)


LOSS = Loss(
    function=binary_cross_entropy_with_logits,
    module=BCEWithLogitsLoss,
    family="classification",
    formulas=(bce_with_logits,),
    facts=Facts(
        convex=True,
        lipschitz=lambda pos_weight=None, **_: 1.0 if pos_weight is None else max(1.0, pos_weight.max().item()),
        prediction=REALS,
        target=UNIT,
        minimiser=lambda target, pos_weight=None, **_: torch.logit(target) + _log(pos_weight),
        denominator="elements",
        smooth=True,
        optimum="log-odds",
    ),
    card=CARD,
)
