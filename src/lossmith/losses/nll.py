"""Negative log-likelihood of labels, from log-probabilities."""

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes_of
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import Facts, Loss
from ..loops.rowwise import ClassLabels, Steps, label_steps, negative_pick, rowwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Negative log-likelihood: what the log-probability of the label lacks to 0.

    .. math::
        \ell(x, y) = -w_y\, x_y \qquad \frac{\partial \ell}{\partial x_c} = -w_y\,[c = y]

    On ``log_softmax`` of logits this is :func:`cross_entropy`, which takes the logits themselves and is more accurate.

    Source: Goodfellow, Bengio and Courville, "Deep Learning" (2016), section 5.5.

    Args:
        input: log-probabilities :math:`x` (natural logarithm, so at most 0; that is not checked): (C), (N, C) or
            (N, C, d1, ...); a floating dtype.
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension.
        weight: a weight for each class, (C).
        size_average, reduce: torch's legacy arguments.
        ignore_index: a label that leaves its row out.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. The mean divides by the sum of the rows' class
            weights, as torch does; see :doc:`/reductions`.
        dim: the class dimension; by default 1, or 0 for a row without a batch.
        sample_weight, mask, normalizer, on_empty: per row (they broadcast to the unreduced loss); see
            :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: the batch sizes of input and target differ; an unknown reduction.
        RuntimeError: other shapes or dtypes that do not go together.

    >>> import torch, lossmith
    >>> p = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    >>> lossmith.functional.nll_loss(p.log(), torch.tensor([0, 1]), reduction="none")  # log 2 and log 8
    tensor([0.6931, 2.0794])
    """
    loss = "nll_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty, size_average, reduce)
    alike = checks.alike_rows(input, target) if dim is None and weight is None else 0
    if alike:
        dim = 1
    else:
        dim = checks.class_dim(loss, input, target, dim, probabilities=False)
        checks.class_weight(loss, weight, input, dim)
        target = checks.label_shape(loss, input, target, dim, "give one label for each row of log-probabilities")
    compute, result = dtypes_of(alike, input)
    classes = input.shape[dim]

    def steps() -> Steps:
        per_class = None if weight is None or classes == 0 else weight.to(compute)

        def of(input: Tensor, labels: ClassLabels) -> Tensor:
            return negative_pick(input, labels, dim, per_class, compute)

        return label_steps(loss, how, classes, result, ignore_index, per_class, True, of)

    return rowwise(
        loss,
        "pick",
        input,
        target,
        dim,
        how,
        (compute, result),
        steps,
        weight=weight,
        weight_in_mean=True,
        ignore_index=ignore_index,
        alike=alike,
    )


class NLLLoss(Criterion, torch.nn.NLLLoss):
    """:func:`lossmith.functional.nll_loss` as a Module; a :class:`torch.nn.NLLLoss` with more.

    Args:
        weight, size_average, ignore_index, reduce, reduction, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.NLLLoss(ignore_index=-1)
    >>> criterion(torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]), torch.tensor([1, -1]))
    tensor(2.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
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
        return nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _minimiser(input: Tensor, target: Tensor, dim: int | None = None, **_: object) -> Tensor:
    """All probability on the label."""
    dim = dim if dim is not None else min(input.dim() - 1, 1)
    return torch.full_like(input, -torch.inf).scatter(dim, target.unsqueeze(dim), 0.0)


CARD = Card(
    title=Text("Negative log-likelihood loss", "负对数似然损失"),
    summary=Text(
        "The negative of the label's entry in a row of log-probabilities: how unlikely the network held the right "
        "class. It takes no logarithm itself.",
        "取一行对数概率中标签对应的那一项的相反数：网络认为正确类别有多不可能。它自身并不取对数。",
    ),
    gradient=Text(
        "-1 at the label (times its class weight), 0 at the other classes, whatever the value. Only behind "
        "log_softmax does it become $p - y$ in the logits.",
        "在标签处恒为 -1（乘以该类权重），其他类别处为 0，与取值无关。只有经过前面的 log_softmax，"
        "对 logits 的梯度才是 $p - y$。",
    ),
    robustness=Text(
        "Weak against wrong labels, as cross-entropy: a label of probability 1e-6 costs 13.8, one of probability 0 "
        "costs inf.",
        "与交叉熵一样，对错误标签较弱：标签概率为 1e-6 时损失为 13.8，概率为 0 时为 inf。",
    ),
    sparsity=Text(
        "The gradient is sparse, one entry a row; but no error becomes exactly 0, since the pull never fades in the "
        "log-probabilities.",
        "梯度是稀疏的，每行只有一个非零项；但误差不会恰好变为 0，因为对数概率上的拉力从不消退。",
    ),
    smoothness=Text(
        "Linear in the log-probabilities, so smooth and convex; what curves is the log_softmax before it.",
        "对对数概率是线性的，因而光滑且为凸；弯曲来自前面的 log_softmax。",
    ),
    sensitivity=Text(
        "To what is passed: only natural log-probabilities give a likelihood, and nothing checks that. As "
        "cross-entropy, to class frequencies and `weight`.",
        "取决于传入的是什么：只有自然对数概率才对应似然，而这一点不作检查。与交叉熵一样，"
        "还受类别频率和 `weight` 影响。",
    ),
    minimiser=Text(
        "All probability on the label, where the loss is 0. Where labels scatter, the logarithm of their frequencies: "
        "the maximum-likelihood estimate.",
        "全部概率集中于标签，此时损失为 0。标签有散布时，是类别频率的对数，即极大似然估计。",
    ),
    use=(
        Text(
            "Multi-class classification by a network that already ends in nn.LogSoftmax, because its callers want "
            "log-probabilities.",
            "多分类，且网络最后一层已是 nn.LogSoftmax（调用者需要对数概率）。",
        ),
        Text(
            "Log-probabilities that are no softmax of logits: mixtures, ensembles (logsumexp of members), "
            "hierarchical or copy models.",
            "对数概率并非由 logits 经 softmax 得到：混合模型、集成（各成员的 logsumexp）、层次模型、拷贝机制。",
        ),
    ),
    avoid=(
        Text(
            "The network gives logits: CrossEntropyLoss takes them as they are, is more accurate near 0 and writes no "
            "table of log-probabilities.",
            "网络输出 logits 时：CrossEntropyLoss 可直接接收，在 0 附近更精确，也不必写出一份对数概率。",
        ),
        Text(
            "Soft targets or label_smoothing: it takes neither. CrossEntropyLoss takes logits, KLDivLoss "
            "log-probabilities.",
            "需要软目标或 label_smoothing 时：二者均不支持。用 logits 可选 CrossEntropyLoss，用对数概率可选 "
            "KLDivLoss。",
        ),
    ),
    traps=(
        Trap(
            "nll-probabilities",
            Text(
                "Softmax before it, and no logarithm: the loss is $-p$, between -1 and 0, and behind the softmax a "
                "surely wrong row hardly pulls (4.5e-5 at a lead of 10, where cross-entropy pulls by 1). A negative "
                "loss is the sign. Write log_softmax, or take CrossEntropyLoss on the logits.",
                "前面是 softmax 而没有取对数：损失为 $-p$，介于 -1 与 0 之间；经 softmax 反传后，"
                "错得很确定的样本几乎没有拉力（领先 10 时为 4.5e-5，而交叉熵为 1）。损失为负就是征兆。应写 "
                "log_softmax，或对 logits 使用 CrossEntropyLoss。",
            ),
            rule="probabilities-into-nll",
        ),
        Trap(
            "nll-logits",
            Text(
                "Logits: inputs above 0 are accepted, and the loss falls below 0 without end by raising the label's "
                "logit (-1000 at 1000); nothing pushes the other classes down. Log-probabilities are at most 0. Take "
                "CrossEntropyLoss.",
                "传入 logits：大于 0 的输入也会被接受，只要抬高标签的 logit，损失便可无限下降（logit 为 1000 时为 "
                "-1000），其他类别却不受压制。对数概率不会大于 0。应改用 CrossEntropyLoss。",
            ),
            rule="logits-into-nll",
        ),
        Trap(
            "nll-log-of-softmax",
            Text(
                "torch.log(softmax(x)) is no log_softmax: in float32 the gradient is NaN once the label trails by 89, "
                "and the loss inf from 104. An epsilon under the logarithm bounds the loss and kills the gradient. "
                "Write log_softmax(x, dim=1).",
                "torch.log(softmax(x)) 不等于 log_softmax：float32 下标签落后 89 时梯度即为 NaN，落后 104 时损失为 "
                "inf。在对数里加 epsilon 会限制损失并使梯度消失。应写 log_softmax(x, dim=1)。",
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "nll-softmax-dim",
            Text(
                "nn.LogSoftmax() without dim normalises over dimension 0 for inputs of one or three dimensions, over "
                "the batch then, and only warns. Write dim=1, or -1 with the loss's dim=-1: the dimension of the "
                "classes in both.",
                "nn.LogSoftmax() 不写 dim 时，对一维或三维输入会沿第 0 维（即批维）归一化，且只给出警告。应写 dim=1，"
                "或配合损失的 dim=-1 写 -1：两处都是类别维。",
            ),
            rule="softmax-wrong-dim",
        ),
        Trap(
            "nll-labels",
            Text(
                "Labels are integers from 0 to C - 1, without the class dimension; one-hot rows and floats are "
                "refused. Out of range raises on the CPU; on a GPU or in a compiled graph that row's loss is NaN. "
                "Write target.argmax(1) or target.long().",
                "标签应为 0 到 C - 1 的整数，不带类别维；one-hot 与浮点标签会被拒绝。越界在 CPU 上报错，"
                "在 GPU 上或编译图中该行损失为 NaN。应写 target.argmax(1) 或 target.long()。",
            ),
            rule="index-target-invalid",
        ),
        Trap(
            "nll-weight-batch-one",
            Text(
                "The mean divides by the sum of the rows' class weights: at batch size 1 a weight cancels. "
                'normalizer="count" keeps it.',
                '均值除以各行类别权重之和：批大小为 1 时权重被约掉。normalizer="count" 可保留它。',
            ),
            rule="weight-at-batch-size-one",
        ),
        Trap(
            "nll-all-ignored",
            Text(
                "If every label of a batch is ignore_index (-100 unless given), the mean is NaN. Write "
                'on_empty="zero".',
                '若一个批次的标签全为 ignore_index（默认 -100），均值为 NaN。应写 on_empty="zero"。',
            ),
            rule="loss-not-finite",
        ),
    ),
    stability=Text(
        "It only picks and negates, so nothing overflows here; what is lost is lost in the logarithm before it. A "
        "-inf at another class does no harm, at the label the loss is inf. Half-precision log-probabilities are "
        "rounded before they arrive: to 0.004 near -10 in float16, to 0.03 in bfloat16.",
        "它只取值并取反，此处不会溢出；精度都丢失在前面的对数中。其他类别为 -inf 无妨，标签处为 -inf 则损失为 inf。"
        "半精度的对数概率传入前已被舍入：在 -10 附近，float16 误差约 0.004，bfloat16 约 0.03。",
    ),
    activation=Text("log_softmax", "log_softmax"),
    input="(C), (N, C, *)",
    target="(), (N, *) int",
    typical=Text("multi-class classification from log-probabilities", "以对数概率为输出的多分类"),
    siblings=(
        Sibling(
            "CrossEntropyLoss",
            Text(
                "log_softmax and this loss in one, from logits; with soft targets and label_smoothing. The default "
                "choice.",
                "将 log_softmax 与本损失合为一体，直接接收 logits，并支持软目标与 label_smoothing。默认选择。",
            ),
        ),
        Sibling(
            "KLDivLoss",
            Text(
                "Takes log-probabilities too, against whole distributions; for one-hot rows, their sum over the "
                "classes is this loss.",
                "同样接收对数概率，但目标是完整分布；目标为 one-hot 时，对类别求和即为本损失。",
            ),
        ),
        Sibling(
            "GaussianNLLLoss",
            Text(
                "The same idea for a quantity: the negative log-likelihood of a normal distribution, from its mean "
                "and variance.",
                "同样的思想用于连续量：由均值与方差给出的正态分布的负对数似然。",
            ),
        ),
    ),
    sources=(
        'Goodfellow, Bengio and Courville, "Deep Learning", MIT Press (2016)',
        'Good, "Rational Decisions", Journal of the Royal Statistical Society B 14 (1952)',
        'Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", Journal of the American '
        "Statistical Association 102 (2007)",
    ),
    curve=Curve(
        Text("log-probability of the label", "标签的对数概率"),
        (-5.0, 0.0),
        {"": lambda x: {"input": x.unsqueeze(1), "target": torch.zeros(len(x), dtype=torch.long)}},
    ),
    aliases=("nll", "negative_log_likelihood", "log_likelihood", "maximum_likelihood", "log_score"),
)


LOSS = Loss(
    function=nll_loss,
    module=NLLLoss,
    family="classification",
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction="log-probabilities",
        target="labels",
        minimiser=_minimiser,
        denominator="weights",
        smooth=True,
        optimum="logarithm of the frequencies",
    ),
    card=CARD,
)
