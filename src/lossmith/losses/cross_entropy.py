"""Cross-entropy of softmax(logits), against labels or class probabilities."""

from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.rowwise import softmax_loss
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Cross-entropy between a target and :math:`p = \mathrm{softmax}(x)`, from logits.

    .. math::
        \ell(x, y) = -w_y \log \frac{\exp x_y}{\sum_c \exp x_c} \qquad
        \ell(x, q) = -\sum_c w_c\, q_c \log p_c \qquad
        \frac{\partial \ell}{\partial x_c} = p_c - [c = y] \text{ for } w = 1

    With ``label_smoothing`` :math:`\varepsilon`, :math:`q = (1 - \varepsilon)[c = y] + \varepsilon / C`. The value near
    0 and the gradient of an almost certain row keep their relative accuracy (labels without smoothing). A class with
    :math:`q_c = 0` adds 0, even at a logit of :math:`-\infty`.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 6.2.2; label smoothing: Szegedy et al.,
    "Rethinking the Inception Architecture for Computer Vision" (2016), section 7.

    Args:
        input: logits :math:`x`: (C), (N, C) or (N, C, d1, ...); a floating dtype; no softmax before it.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension; or
            probabilities, floating, of the input's shape.
        weight: a weight for each class, (C).
        size_average, reduce: torch's legacy arguments.
        ignore_index: a label that leaves its row out; for labels only.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. For labels the mean divides by the sum of the rows'
            class weights, for probabilities by the number of rows, as torch does; ``normalizer="weight"`` or
            ``"count"`` makes both the same. See :doc:`/reductions`.
        label_smoothing: from 0 to 1.
        dim: the class dimension; by default 1, or 0 for a row without a batch.
        sample_weight, mask, normalizer, on_empty: per row (they broadcast to the unreduced loss); see
            :doc:`/reductions`. ``mask`` works with every kind of target.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: the batch sizes of input and target differ; an unknown reduction.
        RuntimeError: other shapes or dtypes that do not go together; label_smoothing out of range.

    >>> import torch, lossmith
    >>> x = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    >>> loss = lossmith.functional.cross_entropy(x, torch.tensor([0]))
    >>> loss.backward()
    >>> p = x.detach().softmax(1)
    >>> torch.allclose(x.grad, p - torch.tensor([[1.0, 0.0, 0.0]]))  # p - y
    True
    """
    loss = "cross_entropy"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    checks.smoothing(loss, label_smoothing)
    return softmax_loss(loss, input, target, weight, ignore_index, dim, how, smoothing=label_smoothing)


class CrossEntropyLoss(Criterion, torch.nn.CrossEntropyLoss):
    """:func:`lossmith.functional.cross_entropy` as a Module; a :class:`torch.nn.CrossEntropyLoss` with more.

    Args:
        weight, size_average, ignore_index, reduce, reduction, label_smoothing, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.CrossEntropyLoss(ignore_index=-1, on_empty="zero")
    >>> criterion(torch.zeros(2, 4), torch.tensor([-1, -1]))
    tensor(0.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        checks.smoothing(type(self).__name__, label_smoothing)
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
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _least(input: Tensor, target: Tensor, dim: int | None = None, label_smoothing: float = 0.0, **_: object) -> Tensor:
    """The logits of the (smoothed) target itself."""
    dim = dim if dim is not None else 0 if input.dim() == 1 else 1
    if target.shape != input.shape:
        target = torch.nn.functional.one_hot(target, input.shape[dim]).movedim(-1, dim)
    return torch.log((1 - label_smoothing) * target.to(input.dtype) + label_smoothing / input.shape[dim])


def _against_a_rival(x: Tensor) -> dict[str, Any]:
    """Rows of two classes: the right one's logit is x, the other's 0."""
    return {"input": torch.stack([x, torch.zeros_like(x)], 1), "target": torch.zeros(len(x), dtype=torch.long)}


CARD = Card(
    title=Text("Cross-entropy loss", "交叉熵损失"),
    summary=Text(
        "The negative logarithm of the probability that softmax(logits) gives to the right class, or its mean over a "
        "target of class probabilities: the default where exactly one class is right.",
        "softmax(logits) 赋予正确类别的概率的负对数；若目标是类别概率，则是它在该分布下的均值。"
        "每个样本恰有一个正确类别时，它是默认选择。",
    ),
    gradient=Text(
        "$p - y$ for each row: softmax probabilities less the one-hot or soft target. That is before class weights "
        "and before the mean divides. Each logit is pulled by what its probability is off.",
        "每一行为 $p - y$：softmax 概率减去 one-hot 或软目标（尚未乘类别权重，也未除以均值的分母）。"
        "每个 logit 受到的拉力正是其概率的偏差。",
    ),
    robustness=Text(
        "Weak against wrong labels: such a row costs about the lead of the wrong class (10.0 at a lead of 10, without "
        "bound), and its pull rises to the norm $\\sqrt 2$ and stays there. No row ever pulls harder.",
        "对错误标签较弱：这样的样本的损失约等于错误类别领先的幅度（领先 10 时为 10.0，没有上界），拉力增至范数 "
        "$\\sqrt 2$ 后不再消退；但任何样本的拉力都不会更大。",
    ),
    sparsity=Text(
        "None: a right row still pulls, by about $e^{-m}$ at a lead of m (exactly 0 only beyond 104 in float32, where "
        "that underflows). So logits keep growing; weight decay, early stopping or label_smoothing stops them.",
        "无稀疏性：分类正确的样本仍有拉力，领先 m 时约为 $e^{-m}$（float32 下领先超过 104 才下溢为 0）。"
        "因此 logits 会不断增大，需靠权重衰减、早停或 label_smoothing 抑制。",
    ),
    smoothness=Text(
        "Infinitely differentiable, and convex in the logits: not strictly, as a constant added to all logits of a "
        "row changes nothing. In the weights of a network it is not convex.",
        "无穷次可导，且对 logits 是凸的：但非严格凸，因为同一行的 logits 加上同一常数，损失不变。对网络权重则非凸。",
    ),
    sensitivity=Text(
        "Only differences of logits count, so their scale does (a temperature). Class frequencies f go into the "
        "prediction, and `weight` makes it $w_c f_c / \\sum_k w_k f_k$: better recall of rare classes, but no longer "
        "probabilities to take at their word.",
        "只有 logits 之差起作用，因而其尺度（温度）很重要。类别频率 f 会进入预测；`weight` 使预测变为 "
        "$w_c f_c / \\sum_k w_k f_k$：稀有类别的召回率提高，但概率不再能按字面解读。",
    ),
    minimiser=Text(
        "For one label no finite logits: its lead grows without end. Where labels scatter, logits whose softmax is "
        "their frequencies, so $\\log f$ up to a constant. A soft target q is met by $\\log q$; the loss is then the "
        "entropy of q, not 0.",
        "只有一个标签时不存在有限的最优 logits：其领先幅度无限增大。标签有散布时，"
        "最优 logits 的 softmax 等于类别频率，即 $\\log f$ 加任意常数。软目标 q 的最优解是 $\\log q$，"
        "此时损失等于 q 的熵而非 0。",
    ),
    use=(
        Text(
            "Classification with exactly one right class: images (ImageNet), texts, the next token of a language "
            "model.",
            "恰有一个正确类别的分类：图像（ImageNet）、文本、语言模型的下一个词元。",
        ),
        Text(
            "A class for each pixel or token: logits (N, C, d1, ...) against labels (N, d1, ...), with ignore_index "
            "(-100 by default) for padding and void.",
            "逐像素或逐词元的分类：logits 为 (N, C, d1, ...)，标签为 (N, d1, ...)；"
            "填充与无效位置用 ignore_index（默认 -100）标出。",
        ),
        Text(
            "Soft targets of the input's shape: mixup, distillation, several annotators. With them use mask= for what "
            "does not count; ignore_index is for labels only.",
            "与输入同形状的软目标：mixup、蒸馏、多人标注。此时不计入的位置用 mask=，ignore_index 只用于标签。",
        ),
        Text(
            "Imbalanced classes: `weight` (C) lets rare ones count more; lossmith.suggest.class_weight computes it "
            "from the labels.",
            "类别不平衡：形状为 (C) 的 `weight` 让稀有类别占更大比重；lossmith.suggest.class_weight 可由标签算出。",
        ),
    ),
    avoid=(
        Text(
            "A row may have several labels, or none: softmax makes classes compete for one whole. Take "
            "BCEWithLogitsLoss.",
            "一个样本可有多个标签或没有标签时：softmax 使各类别争夺同一份概率。应改用 BCEWithLogitsLoss。",
        ),
        Text(
            "Two classes and one logit: BCEWithLogitsLoss is the same with $x = x_1 - x_0$ and half the outputs.",
            "二分类且只输出一个 logit 时：BCEWithLogitsLoss 与之等价（$x = x_1 - x_0$），输出少一半。",
        ),
        Text(
            "Ordered classes such as ratings: to this loss, 4 is as wrong for 5 as 1 is.",
            "有序类别（如评分）：在该损失看来，把 5 判成 4 与判成 1 同样错误。",
        ),
    ),
    traps=(
        Trap(
            "cross-entropy-softmax",
            Text(
                "Softmax before it: the softmax is taken twice. The loss can't fall below $\\log(1 + (C - 1)/e)$, "
                "1.461 for 10 classes and 5.909 for 1000 (untrained: $\\log C$, 2.303 and 6.908), and the gradient of "
                "a surely wrong row vanishes (1e-4 at a lead of 10). It still learns a little, so nobody notices. "
                "Pass the logits; take softmax for metrics only.",
                "前面加了 softmax，等于做了两次。损失不可能低于 $\\log(1 + (C - 1)/e)$：10 类为 1.461，"
                "1000 类为 5.909（未训练时是 $\\log C$，即 2.303 与 6.908）；而错得很确定的样本梯度消失（领先 10 时仅 "
                "1e-4）。模型仍能学到一点，因此难以察觉。应直接传入 logits，softmax 只用于计算指标。",
            ),
            rule="softmax-into-cross-entropy",
        ),
        Trap(
            "cross-entropy-sigmoid",
            Text(
                "Sigmoid before it confines the logits to 0 to 1: the same lower bound, 1.461 for 10 classes, and "
                "saturated gradients. Pass the logits; or, where classes don't exclude each other, take "
                "BCEWithLogitsLoss.",
                "前面加了 sigmoid，logits 被限制在 0 到 1 之间：下界与上面相同（10 类为 1.461），梯度还会饱和。"
                "应直接传入 logits；若类别并不互斥，则改用 BCEWithLogitsLoss。",
            ),
            rule="sigmoid-into-cross-entropy",
        ),
        Trap(
            "cross-entropy-log-softmax",
            Text(
                "log_softmax before it changes nothing, since the log_softmax of log-probabilities is themselves; it "
                "costs another pass over the logits and their gradient. Leave it out, or take NLLLoss.",
                "前面加了 log_softmax 不改变结果（对数概率的 log_softmax 仍是它自身），"
                "只是对 logits 及其梯度多扫描一遍。去掉它，或改用 NLLLoss。",
            ),
            rule="log-softmax-into-cross-entropy",
        ),
        Trap(
            "cross-entropy-relu",
            Text(
                "ReLU on the last layer: wrong classes can't go below 0, so the right one must do all the work, and a "
                "class whose logit is below 0 gets no gradient, even if it is the right one. Leave it out.",
                "最后一层加了 ReLU：错误类别的 logit 无法低于 0，只能靠正确类别不断增大；"
                "logit 小于 0 的类别得不到梯度，即使它正是正确类别。应去掉 ReLU。",
            ),
            rule="relu-before-logits",
        ),
        Trap(
            "cross-entropy-single-logit",
            Text(
                "One output, (N, 1): the softmax of a single logit is 1, so loss and gradient are 0 for ever; label 1 "
                "is refused as out of range, but a float target of (N, 1) is taken for probabilities and passes. Two "
                "classes with one logit are BCEWithLogitsLoss.",
                "只有一个输出 (N, 1)：单个 logit 的 softmax 恒为 1，损失与梯度永远为 0。标签 1 会因越界而报错，"
                "但形状为 (N, 1) 的浮点目标会被当作概率而通过。单个 logit 的二分类应使用 BCEWithLogitsLoss。",
            ),
            rule="single-logit-cross-entropy",
        ),
        Trap(
            "cross-entropy-labels",
            Text(
                "Labels are integers from 0 to C - 1, without the class dimension; integer one-hot rows, (N, 1) and "
                "floats are refused. Counted from 1, each passes for the next class, until a C is out of range: an "
                "error on the CPU, NaN for that row on a GPU or in a compiled graph. Write target - 1, "
                "target.argmax(1), target.squeeze(1), target.long().",
                "标签应为 0 到 C - 1 的整数，不带类别维；整数 one-hot、形状 (N, 1) 与浮点类型会被拒绝。若从 1 数起，"
                "每个标签都被当作下一类，直到出现 C 而越界：CPU 上报错，GPU 上或编译图中该行为 NaN。应写 target - 1、"
                "target.argmax(1)、target.squeeze(1) 或 target.long()。",
            ),
            rule="index-target-invalid",
        ),
        Trap(
            "cross-entropy-multi-hot",
            Text(
                "A float multi-hot target (N, C) passes for probabilities though its rows sum to 2 or more: the "
                "labels compete, and for two of them the loss can't fall below $2 \\log 2 = 1.386$. Take "
                "BCEWithLogitsLoss.",
                "浮点 multi-hot 目标 (N, C) 会被当作概率，尽管每行之和可能达到 2 或更多：各标签相互竞争，"
                "有两个标签时损失不可能低于 $2 \\log 2 = 1.386$。应改用 BCEWithLogitsLoss。",
            ),
        ),
        Trap(
            "cross-entropy-swapped",
            Text(
                "With soft targets both arguments have one shape, and the swapped call passes: targets as logits, "
                "logits as probabilities, a loss that falls below 0 without end. The prediction comes first.",
                "使用软目标时两个参数形状相同，写反也能运行：目标被当作 logits，logits 被当作概率，"
                "损失可无限降到 0 以下。预测值应在前。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "cross-entropy-class-dim",
            Text(
                "The class dimension is 1. Logits (N, T, C) of a transformer against labels (N, T) raise an error, "
                "but where T happens to equal C they are read along time, in silence. Write dim=-1, which copies "
                "nothing; torch's way is logits.transpose(1, 2).",
                "类别维是第 1 维。Transformer 的 logits (N, T, C) 配标签 (N, T) 会报错；但若 T 恰好等于 C，"
                "就会悄悄地沿时间维计算。应写 dim=-1（不产生拷贝）；torch 的写法是 logits.transpose(1, 2)。",
            ),
        ),
        Trap(
            "cross-entropy-padding",
            Text(
                "Padding with 0 is class 0 to this loss: the network learns to predict padding, and the loss looks "
                "small. Pad labels with ignore_index (-100 unless given), or pass mask=.",
                "用 0 填充的标签会被当作第 0 类：网络学会预测填充，损失也显得偏小。填充标签应使用 ignore_index（默认 "
                "-100），或传入 mask=。",
            ),
        ),
        Trap(
            "cross-entropy-all-ignored",
            Text(
                "If every label of a batch is ignored, the mean is 0/0 = NaN. Its gradient is 0, but every sum and "
                'running mean that it enters is NaN from then on. on_empty="zero" makes it 0.',
                "若一个批次的标签全部被忽略，均值为 0/0 = NaN。它的梯度是 0，但凡把它加进去的总和与滑动平均"
                '从此都是 NaN。on_empty="zero" 使其为 0。',
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "cross-entropy-weight-batch-one",
            Text(
                "The mean divides by the sum of the rows' class weights, so at batch size 1 a weight cancels: 50 or "
                '1, the loss is the same. normalizer="count" divides by the rows instead.',
                "均值除以各行类别权重之和，因此批大小为 1 时权重被约掉：取 50 还是 1，损失都一样。"
                'normalizer="count" 改为除以行数。',
            ),
            rule="weight-at-batch-size-one",
        ),
        Trap(
            "cross-entropy-weighted-mean",
            Text(
                "With `weight`, labels and the same labels as one-hot rows have different means, as in torch: labels "
                "divide by the sum of weights, probabilities by the number of rows (0.693 and 17.675 for weights 1 "
                'and 50, one row of each class, at equal logits). normalizer="weight" or "count" makes both the '
                "same.",
                "给出 `weight` 时，标签与相应的 one-hot 目标均值不同（与 torch 一致）：前者除以权重之和，"
                '后者除以行数（权重 1 与 50、两类各一行、logits 相等时为 0.693 与 17.675）。normalizer="weight" 或 '
                '"count" 可使二者一致。',
            ),
        ),
        Trap(
            "cross-entropy-mean-of-means",
            Text(
                "Averaging the means of micro-batches or ranks is not the mean of all tokens when their numbers "
                "differ: a token in a short batch counts more. Pass normalizer= the global count, and add up.",
                "各微批次（或各进程）的词元数不同时，均值的平均不等于全体词元的均值：短批次中的词元占比更大。应传入 "
                "normalizer=全局计数，再把各部分相加。",
            ),
        ),
        Trap(
            "cross-entropy-smoothing-floor",
            Text(
                "label_smoothing has a floor, the entropy of the smoothed target: 0.500 for 0.1 and 10 classes, 1.015 "
                "for 1000. Compare models by the loss without it. The best lead is then finite (4.51 and 9.11), and "
                "all wrong classes look alike, which makes worse teachers for distillation.",
                "label_smoothing 使损失有下限，即平滑后目标的熵：取 0.1 时，10 类为 0.500，1000 类为 1.015。"
                "比较模型时应用未平滑的损失。此时最优领先幅度有限（4.51 与 9.11），且各错误类别彼此无异，"
                "因此不适合作蒸馏的教师模型。",
            ),
        ),
    ),
    stability=Text(
        "log-sum-exp with the largest logit subtracted: exp never overflows, where the naive form does above 88 in "
        "float32. A loss near 0 keeps its relative accuracy for labels (2.06e-9 at a lead of 20, where torch gives "
        "0). Half precision is computed in float32; a logit that already overflowed to inf (above 65504 in float16) "
        "gives inf or NaN.",
        "采用减去最大 logit 的 log-sum-exp：exp 不会溢出（直接计算时 float32 超过 88 即溢出）。对标签而言，"
        "接近 0 的损失仍保持相对精度（领先 20 时为 2.06e-9，torch 给出 0）。半精度以 float32 计算；已溢出为 inf 的 "
        "logit（float16 超过 65504）会得到 inf 或 NaN。",
    ),
    activation=Text("none (logits)", "无（logits）"),
    input="(C), (N, C, *)",
    target="(), (N, *) int; (C), (N, C, *) float",
    typical=Text("multi-class classification, language models", "多分类、语言模型"),
    siblings=(
        Sibling(
            "NLLLoss",
            Text(
                "The same without log_softmax: for labels without smoothing, CrossEntropyLoss is log_softmax, then "
                "NLLLoss. It knows neither soft targets nor label_smoothing.",
                "相同，但不含 log_softmax：对无平滑的标签，CrossEntropyLoss 即 log_softmax 之后接 NLLLoss。"
                "它不支持软目标与 label_smoothing。",
            ),
        ),
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "A yes or no for each class on its own: several may hold. For two classes and the logit $x_1 - x_0$ "
                "both are equal.",
                "对每个类别独立判断是或否，可以同时成立多个。二分类且 logit 取 $x_1 - x_0$ 时二者相等。",
            ),
        ),
        Sibling(
            "MultiMarginLoss",
            Text(
                "Scores need only lead by a margin, then the row is done (exactly 0). Fewer samples pull, but there "
                "are no probabilities.",
                "得分只需领先一个间隔，该样本的损失便恰好为 0。起作用的样本更少，但得不到概率。",
            ),
        ),
        Sibling(
            "KLDivLoss",
            Text(
                "For soft targets: cross-entropy less the target's entropy. The gradient in the logits is the same, a "
                "perfect fit costs 0, and log_softmax must stand before it.",
                "用于软目标：等于交叉熵减去目标的熵。对 logits 的梯度相同，完美拟合时为 0，但前面须接 log_softmax。",
            ),
        ),
    ),
    sources=(
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016)',
        'Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs, with Relationships to '
        'Statistical Pattern Recognition", Neurocomputing, NATO ASI Series F68 (1990)',
        'Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR (2016)',
        'Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS (2019)',
    ),
    curve=Curve(
        Text("logit of the right class, a rival at 0", "正确类别的 logit（另一类别为 0）"),
        (-5.0, 5.0),
        {
            "label_smoothing = 0": _against_a_rival,
            "label_smoothing = 0.1": lambda x: {**_against_a_rival(x), "label_smoothing": 0.1},
        },
    ),
    aliases=(
        "ce",
        "xent",
        "crossentropy",
        "log_loss",
        "softmax_loss",
        "softmax_regression",
        "softmax_cross_entropy",
        "softmax_cross_entropy_with_logits",
        "softmax_cross_entropy_with_integer_labels",
        "sparse_softmax_cross_entropy_with_logits",
        "categorical_crossentropy",
        "categorical_cross_entropy",
        "sparse_categorical_crossentropy",
        "multinomial_logistic_regression",
        "multinomial_deviance",
        "multiclass_logistic_loss",
        "multi_logloss",
        "mlogloss",
        "multi_softmax",
        "multi_softprob",
        "multiclass",
    ),
)


LOSS = Loss(
    function=cross_entropy,
    module=CrossEntropyLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 2**0.5,
        prediction=REALS,
        target=lambda input, target, **_: "probabilities" if target.shape == input.shape else "labels",
        minimiser=_least,
        denominator="weights",
        smooth=True,
        optimum="logarithm of the frequencies",
    ),
    card=CARD,
)
