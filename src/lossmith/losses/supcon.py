"""SupCon: all vectors of one label are drawn together, against the rest of the batch."""

import torch
from torch import Tensor

from ..backend import dtypes
from ..card import Card, Sibling, Text, Trap
from ..criterion import Tempered
from ..facts import REALS, Facts, Loss
from ..loops.similarity import Relation, RowLoss, similarity, supcon_in, supcon_out
from ..loops.similarity.inputs import (
    check_labels,
    check_positive,
    check_temperature,
    check_vectors,
    prepared,
    row_mask,
)
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def supcon_loss(
    input: Tensor,
    target: Tensor,
    temperature: float | Tensor = 0.1,
    kind: str = "out",
    base_temperature: float | None = None,
    normalize: bool = True,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Cross-entropy of finding the other vectors of one's label in the batch, by similarity over a temperature.

    .. math::
        \ell^{\text{out}}_i = -\frac1{|P_i|} \sum_{p \in P_i}
            \log \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \ne i} \exp(z_i \cdot z_a / \tau)} \qquad
        \ell^{\text{in}}_i = -\log \frac1{|P_i|} \sum_{p \in P_i}
            \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \ne i} \exp(z_i \cdot z_a / \tau)}

    with :math:`z` the vectors, of length 1, and :math:`P_i` the others of row i's label. A row without any does not
    count. Neither loss gets below :math:`\log |P_i|`.

    Several views of each sample are rows of their own, with the label repeated: views (B, V, D) are
    ``views.flatten(0, 1)`` with ``labels.repeat_interleave(V)``. Without labels, ``torch.arange(B)`` in their place
    makes two views NT-Xent (:func:`lossmith.functional.info_nce_loss`).

    The N x N matrix is never held: similarities are made, used and dropped some rows at a time.

    Source: Khosla et al., "Supervised Contrastive Learning" (2020), eq. 2 (``out``) and eq. 3 (``in``). The authors'
    code multiplies by :math:`\tau / 0.07`, which the equations and pytorch-metric-learning do not:
    ``base_temperature=0.07``.

    Args:
        input: vectors :math:`z` (N, D), floating.
        target: labels (N) of any integer dtype; only which are equal matters.
        temperature: :math:`\tau`, above 0, in the unit of the similarities; a tensor of one element may want a
            gradient.
        kind: ``"out"``, the mean over the positives outside of the logarithm, or ``"in"``.
        base_temperature: the loss is multiplied by temperature / base_temperature, if it is given.
        normalize: whether the vectors are scaled to length 1, so that similarities are cosines.
        reduction: ``none`` gives (N,); or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`. What is masked is in no other row's
            sums either: the result is that of the rows that remain.

    Raises:
        ValueError: shapes other than these; a temperature that is not above 0; an unknown kind or reduction.
        TypeError: vectors that are not floating.
        RuntimeError: labels of a dtype that is no integer.

    >>> import torch, lossmith
    >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # the third has no positive
    >>> lossmith.functional.supcon_loss(vectors, torch.tensor([7, 7, 9]), temperature=0.5)  # log(1 + exp(-2))
    tensor(0.1269)
    """
    loss = "supcon_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_vectors(loss, input=input)
    count = input.shape[0]
    labels = check_labels(loss, "target", target, count)
    check_temperature(loss, temperature)
    row_loss = kind_of(loss, kind)
    factor = 1.0
    if base_temperature is not None:
        check_base_temperature(loss, base_temperature, isinstance(temperature, Tensor))
        factor = float(temperature) / base_temperature
    compute, result = dtypes(input)
    if isinstance(temperature, Tensor):
        temperature = temperature.to(compute)
    kept = row_mask(loss, how, count)
    return similarity(
        loss,
        row_loss,
        (prepared(input, compute, normalize, kept),),
        Relation(
            count,
            count,
            row_labels=labels,
            column_labels=labels,
            own=torch.arange(count, device=input.device),
            kept_rows=kept,
            kept_columns=kept,
        ),
        how,
        (compute, result),
        scale=1 / temperature,
        counted=True,
        factor=factor,
        read=(target,),
    )


def kind_of(loss: str, kind: str) -> RowLoss:
    """The loss of a row; raises ValueError for a kind that does not exist."""
    if kind not in ("out", "in"):
        raise ValueError(
            f"{loss}: kind is {kind!r}, expected 'out' (the mean over the positives of their logarithms, eq. 2 of the "
            f"paper) or 'in' (the logarithm of their mean, eq. 3)"
        )
    return supcon_out if kind == "out" else supcon_in


def check_base_temperature(loss: str, base_temperature: float, learned: bool) -> None:
    """Raises ValueError unless it is a number above 0 beside a temperature that is one too."""
    if isinstance(base_temperature, Tensor) or learned:
        raise ValueError(
            f"{loss}: base_temperature scales the loss by a fixed number, expected temperature and base_temperature to "
            f"be numbers; leave base_temperature out where the temperature is learned"
        )
    check_positive(loss, "base_temperature", base_temperature, "the authors' code has 0.07")


class SupConLoss(Tempered):
    """:func:`lossmith.functional.supcon_loss` as a Module.

    Args:
        temperature: as the function's; with ``learnable`` where it begins.
        kind, base_temperature, normalize, reduction: as the function's.
        learnable: whether the temperature is learned: ``log_scale``, the logarithm of 1 / temperature, is then a
            Parameter, which the optimizer must be given.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.SupConLoss(temperature=0.5)
    >>> views = torch.eye(2).repeat(2, 1).view(2, 2, 2)  # two samples of two views each, both of one label
    >>> criterion(views.flatten(0, 1), torch.tensor([3, 3]).repeat_interleave(2))  # log(exp(2) + 2) - 2 / 3
    tensor(1.5729)
    """

    def __init__(
        self,
        temperature: float = 0.1,
        kind: str = "out",
        base_temperature: float | None = None,
        normalize: bool = True,
        reduction: str = "mean",
        *,
        learnable: bool = False,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        name = type(self).__name__
        check_temperature(name, temperature)
        kind_of(name, kind)
        if base_temperature is not None:
            check_base_temperature(name, base_temperature, learnable)
        super().__init__()
        self.kind, self.base_temperature, self.normalize = kind, base_temperature, normalize
        self.reduction = reduction
        self._start(temperature, learnable)
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
        return supcon_loss(
            input,
            target,
            self.temperature,
            self.kind,
            self.base_temperature,
            self.normalize,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}, {super().extra_repr()}"


CARD = Card(
    title=Text("Supervised contrastive (SupCon) loss", "监督对比（SupCon）损失"),
    summary=Text(
        "Every other vector of a row's label is a positive and the rest of the batch are negatives: the mean over the "
        "positives of the cross-entropy of picking one out of the whole batch, by cosine over a temperature.",
        "同标签的其他向量都是正样本，批内其余向量是负样本：以余弦除以温度为 logits，"
        "求从整批中选出某个正样本的交叉熵，再对所有正样本取平均。",
    ),
    gradient=Text(
        "With the softmax p over all others, each of P positives pulls by $1/P - p$ and each negative pushes by $p$, "
        "all over $\\tau$: a positive that has more than its share is pushed away too. With kind='in' the $1/P$ "
        "becomes the positive's share among the positives, so that the far ones are hardly pulled.",
        "设 p 为对所有其他样本的 softmax，P 个正样本各以 $1/P - p$ 拉近，负样本各以 $p$ 推开，整体除以 $\\tau$；"
        "份额超过均分的正样本反而会被推开。kind='in' 时 $1/P$ 换成该正样本在正样本中的份额，远处的正样本几乎没有拉力。",
    ),
    robustness=Text(
        "A row's loss is at most $\\log(N - 1) + 2/\\tau$ for cosines. A wrong label pulls its row to a wrong class, "
        "by one positive in P for each of the others, and pushes it from its own, where it is nearest and the push "
        "hardest.",
        "用余弦时每行损失不超过 $\\log(N - 1) + 2/\\tau$。错误标签把样本拉向错误的类别（对那一类的每个样本，"
        "它只是 P 个正样本之一），同时把它从真正的同类推开，而同类离得最近，推力也最大。",
    ),
    sparsity=Text(
        "None: every negative pushes a little, though far ones at a low temperature by numbers that are next to 0.",
        "无稀疏性：每个负样本都有推力，只是温度低时远处样本的推力几乎为 0。",
    ),
    smoothness=Text(
        "Smooth wherever the vectors are not 0; not convex in them, since they are scaled to length 1.",
        "向量不为 0 处处处光滑；因向量归一化，对向量非凸。",
    ),
    sensitivity=Text(
        "The temperature (0.1 in the paper, 0.07 in its code), and what a batch holds: how many positives and "
        "negatives a row has is decided by batch size and sampler, and the loss's least value, about $\\log P$, with "
        "it.",
        "首先是温度（论文取 0.1，其代码取 0.07）；其次是批的构成：每行有多少正、负样本由批量大小与采样器决定，"
        "损失的下限（约 $\\log P$）也随之改变。",
    ),
    minimiser=Text(
        "All vectors of a class in one point, and K balanced classes with cosines of $-1/(K - 1)$ to each other where "
        "the width allows it. The loss is then still above $\\log P$ for P positives.",
        "同类向量聚为一点，K 个均衡的类别在维度足够时两两余弦为 $-1/(K - 1)$。"
        "此时若有 P 个正样本，损失仍大于 $\\log P$。",
    ),
    use=(
        Text(
            "Pretraining an encoder on labelled samples, through a projection head that is thrown away afterwards; a "
            "linear classifier then takes the encoder's features.",
            "用带标签样本预训练编码器：损失接在投影头之后，训练完丢弃投影头，再用编码器特征训练线性分类器。",
        ),
        Text(
            "Embeddings for retrieval, where each batch can hold several samples of each label: a sampler that draws m "
            "of each of k labels.",
            "检索用的嵌入学习，且每批能容纳每个标签的多个样本：采样器每次取 k 个标签、各 m 个样本。",
        ),
    ),
    avoid=(
        Text(
            "Most labels occur once in a batch: rows without a positive do not count. Give two views of each sample, "
            "or take InfoNCELoss.",
            "多数标签在一批中只出现一次时：没有正样本的行不计入。应为每个样本提供两个视图，或用 InfoNCELoss。",
        ),
        Text(
            "Many thousands of identities, of which a batch holds few: ArcFaceLoss keeps a vector for each class.",
            "身份数以万计、每批只含少数时：ArcFaceLoss 为每个类别保存一个向量。",
        ),
        Text(
            "A classifier of few classes with enough data: CrossEntropyLoss in one stage does the same.",
            "类别少、数据足的分类：直接用 CrossEntropyLoss 一步训练即可。",
        ),
    ),
    traps=(
        Trap(
            "supcon-no-positives",
            Text(
                "Rows whose label occurs once are left out of the mean: of a random batch of 256 over 1000 classes 77 "
                "% of the rows are, and a batch without any pair gives NaN (on_empty). Draw several samples a label, "
                "or two views of each.",
                "标签只出现一次的行不计入均值：1000 类中随机取 256 个样本，77% 的行如此；若一批中没有任何同类对，"
                "结果为 NaN（见 on_empty）。应让每个标签有多个样本，或为每个样本提供两个视图。",
            ),
            rule="loss-not-finite",
        ),
        Trap(
            "supcon-loss-floor",
            Text(
                "The loss does not fall to 0: with P positives a row it stays above $\\log P$, 3.22 for 25. Batches of "
                "other sizes, samplers or class counts have other floors, so that losses do not compare between them.",
                "损失不会降到 0：每行有 P 个正样本时始终大于 $\\log P$，P 为 25 时即 3.22。"
                "批量大小、采样器或类别数不同，下限就不同，损失值不可相互比较。",
            ),
        ),
        Trap(
            "supcon-base-temperature",
            Text(
                "The authors' code multiplies the loss by temperature / 0.07, 1.43 at 0.1 and 7.14 at 0.5; the paper's "
                "equations and pytorch-metric-learning do not. A learning rate taken over from there needs "
                "base_temperature=0.07 here.",
                "作者的代码会把损失乘以 temperature / 0.07（温度 0.1 时为 1.43，0.5 时为 7.14）；论文公式与 "
                "pytorch-metric-learning 都不乘。沿用其学习率时，这里应写 base_temperature=0.07。",
            ),
        ),
        Trap(
            "supcon-views-order",
            Text(
                "Views (B, V, D) flattened to (B V, D) have the views of a sample side by side: labels must be "
                "`labels.repeat_interleave(V)`. With `labels.repeat(V)`, which fits torch.cat of the views, most "
                "vectors get the label of another sample.",
                "把视图 (B, V, D) 展平为 (B V, D) 后，同一样本的视图相邻：标签应写 `labels.repeat_interleave(V)`。"
                "若写 `labels.repeat(V)`（它对应用 torch.cat 拼接的视图），多数向量会得到别的样本的标签。",
            ),
        ),
        Trap(
            "supcon-in-or-out",
            Text(
                "The two kinds are not the same loss: on ImageNet the paper reports 78.7 % for 'out' and 67.4 % for "
                "'in', whose gradient leaves hard positives alone. They agree for one positive a row.",
                "两种 kind 并非同一损失：论文在 ImageNet 上报告 'out' 为 78.7%，'in' 为 67.4%，"
                "后者的梯度会忽略困难的正样本。每行只有一个正样本时二者相同。",
            ),
        ),
    ),
    stability=Text(
        "Log-sum-exps are taken over the row's greatest. With one positive a row the loss is softplus of its distance "
        "to the negatives' sum, and keeps its digits near 0. Vectors of any length are scaled without overflow; half "
        "precision is computed in float32, the products too, also under autocast.",
        "log-sum-exp 以该行最大值为基准。每行只有一个正样本时，损失写作它与负样本之和的差的 softplus，接近 0 "
        "时也保有有效数字。任意长度的向量归一化都不会溢出；半精度输入（含 autocast 下）连同内积都以 float32 计算。",
    ),
    activation=Text("none (vectors)", "无（向量）"),
    input="(N, D)",
    target="(N) int",
    typical=Text("pretraining with labels, retrieval", "带标签的预训练、检索"),
    siblings=(
        Sibling(
            "InfoNCELoss",
            Text(
                "One positive a row, known by its place; of labels alone it compares each positive with the negatives "
                "only, without the other positives below the fraction.",
                "每行一个正样本，由位置决定；只给标签时，它把每个正样本单独与负样本比较，分母中不含其他正样本。",
            ),
        ),
        Sibling(
            "ArcFaceLoss",
            Text(
                "Compares with one learned vector a class instead of the batch's other rows: no sampler is needed.",
                "与每类一个可学习的向量比较，而不是与批内其他行比较：无需特殊采样器。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "Trains encoder and classifier at once, with no care for what a batch holds.",
                "编码器与分类器一起训练，对批的构成没有要求。",
            ),
        ),
        Sibling(
            "TripletMarginLoss",
            Text(
                "One positive and one negative at a time, and stops at a margin.",
                "一次只比较一个正样本和一个负样本，超出间隔即停止。",
            ),
        ),
    ),
    sources=(
        'Khosla et al., "Supervised Contrastive Learning", NeurIPS 33 (2020)',
        'Graf et al., "Dissecting Supervised Contrastive Learning", ICML (2021)',
    ),
    curve=None,
    aliases=("sup_con", "supervised_contrastive", "supervised_contrastive_loss", "supervised_nt_xent"),
)


LOSS = Loss(
    function=supcon_loss,
    module=SupConLoss,
    family="embedding and ranking",
    facts=Facts(
        convex=False,
        lipschitz=lambda temperature=0.1, **_: float("inf"),
        prediction=REALS,
        target="group labels",
        minimiser=None,
        denominator="rows",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
