"""InfoNCE, NT-Xent: of all keys, each query is to find its own."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Tempered
from ..facts import REALS, Facts, Loss
from ..loops.similarity import Relation, pairs, similarity
from ..loops.similarity.inputs import (
    check_keys,
    check_labels,
    check_negatives,
    check_temperature,
    check_vectors,
    prepared,
    row_mask,
)
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def info_nce_loss(
    input: Tensor,
    keys: Tensor | None = None,
    labels: Tensor | None = None,
    negatives: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    reduction: str = "mean",
    *,
    pairing: str = "one-way",
    normalize: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Cross-entropy of finding each query's key among all keys, by their similarities over a temperature.

    .. math::
        \ell_i = -\log \frac{\exp(q_i \cdot k_i / \tau)}{\sum_j \exp(q_i \cdot k_j / \tau)}
        \qquad \frac{\partial \ell_i}{\partial q_i} = \frac1\tau \Bigl(\sum_j p_{ij} k_j - k_i\Bigr)

    with :math:`p_{ij}` the softmax over the keys and vectors of length 1. ``pairing`` says who is compared with whom:

    - ``"one-way"``: each query with all keys (CPC, MoCo);
    - ``"symmetric"``: the mean of that and of each key with all queries (CLIP);
    - ``"views"``: queries and keys are two views of the same samples, and each vector is compared with all others of
      both views; the mean of both views' losses (NT-Xent of SimCLR).

    With ``labels``, vectors of one label are never negatives of each other. Without ``keys``, each vector has all
    others of its label as positives, each of which is a term :math:`-\log (e^{s_p} / (e^{s_p} + \sum_n e^{s_n}))` over
    the negatives n alone, as NTXentLoss of pytorch-metric-learning; the mean is over these pairs.

    The N x N matrix is never held: similarities are made, used and dropped some rows at a time, and memory grows with
    N x D. Value and gradient take three matrix products, with ``"symmetric"`` four.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding" (2018), eq. 4;
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (2020), eq. 1, for two views;
    He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (2020), eq. 1, for the queue; Radford
    et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), for both directions.

    Args:
        input: queries (N, D), floating.
        keys: (N, D); ``keys[i]`` is the positive of ``input[i]``.
        labels: (N,) integers.
        negatives: (M, D) keys that are nobody's positive, such as earlier ones in a :class:`lossmith.MemoryQueue`.
        temperature: :math:`\tau`, above 0, in the unit of the similarities; a tensor of one element may want a
            gradient.
        reduction: ``none`` gives (N,): a loss for each query, of its two views' mean with ``"views"``, and the sum over
            its positives without ``keys``; or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        pairing: ``"one-way"``, ``"symmetric"`` or ``"views"``.
        normalize: whether the vectors are scaled to length 1, so that similarities are cosines.
        sample_weight, mask, normalizer, on_empty: per query; see :doc:`/reductions`. What is masked is no negative of
            others either: the result is that of the rows that remain.

    Raises:
        ValueError: shapes other than these; neither keys nor labels; a temperature that is not above 0; an unknown
            pairing or reduction.
        TypeError: vectors that are not floating.

    >>> import torch, lossmith
    >>> queries, keys = torch.eye(2), torch.eye(2)
    >>> lossmith.functional.info_nce_loss(queries, keys, temperature=0.5)  # log(1 + exp(-2))
    tensor(0.1269)
    >>> labels = torch.tensor([0, 0, 1])
    >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # two pairs, each against one negative
    >>> lossmith.functional.info_nce_loss(vectors, temperature=0.5, labels=labels)
    tensor(0.1269)
    """
    loss = "info_nce_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_vectors(loss, input=input, **({} if keys is None else {"keys": keys}))
    check_pairing(loss, pairing)
    check_temperature(loss, temperature)
    n = input.shape[0]
    if keys is None and labels is None:
        raise ValueError(
            f"{loss}: neither keys nor labels are given, so nothing is a positive; write "
            f"info_nce_loss(queries, keys) for pairs, or info_nce_loss(embeddings, labels=labels)"
        )
    if keys is not None:
        check_keys(loss, input, keys)
    if keys is None and pairing != "one-way":
        raise ValueError(f"{loss}: pairing={pairing!r} needs keys; with labels alone every vector is query and key")
    check_negatives(loss, input, negatives)
    if labels is not None:
        check_labels(loss, "labels", labels, n)
    given = [v for v in (input, keys, negatives) if v is not None]
    compute, result = dtypes(*given)
    if isinstance(temperature, Tensor):
        temperature = temperature.to(compute)
    mask = row_mask(loss, how, n)
    input, *others = (prepared(v, compute, normalize, None if v is negatives else mask) for v in given)
    extra = others.pop() if negatives is not None else None

    rows = torch.arange(n, device=input.device)
    relation = Relation(n, n, row_labels=labels, column_labels=labels, kept_rows=mask, kept_columns=mask)
    if keys is None:
        relation.own = rows
        queries, against = input, input
    elif pairing == "views":
        queries = against = torch.cat([input, others[0]])
        relation.rows = relation.columns = 2 * n
        relation.own = torch.arange(2 * n, device=input.device)
        relation.match = relation.own.roll(n)
        if labels is not None:
            relation.row_labels = relation.column_labels = labels.repeat(2)
        if mask is not None:
            relation.kept_rows = relation.kept_columns = mask.repeat(2)
    else:
        queries, against = input, others[0]
        relation.match = rows
    if extra is not None:
        against = torch.cat([against, extra])
        relation.add_columns(extra.shape[0])
    return similarity(
        loss,
        pairs,
        (queries,) if against is queries else (queries, against),
        relation,
        how,
        (compute, result),
        scale=1 / temperature,
        both=pairing == "symmetric",
        views=2 if pairing == "views" else 1,
        counted=keys is None,
        share=keys is None,
        read=() if labels is None else (labels,),
    )


PAIRINGS = ("one-way", "symmetric", "views")


def check_pairing(loss: str, pairing: str) -> None:
    """Raises ValueError for a pairing that does not exist."""
    if pairing not in PAIRINGS:
        raise ValueError(
            f"{loss}: pairing is {pairing!r}, expected 'one-way' (queries against keys, as MoCo), 'symmetric' (keys "
            f"against queries too, as CLIP) or 'views' (every other vector of both is a negative, as SimCLR)"
        )


class InfoNCELoss(Tempered):
    """:func:`lossmith.functional.info_nce_loss` as a Module.

    Args:
        temperature: as the function's; with ``learnable`` where it begins.
        reduction, pairing, normalize: as the function's.
        learnable: whether the temperature is learned: ``log_scale``, the logarithm of 1 / temperature, is then a
            Parameter, which the optimizer must be given (as CLIP's, which also keeps it below ``log(100)``).
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.InfoNCELoss(temperature=0.5, learnable=True)
    >>> criterion(torch.eye(2), torch.eye(2))
    tensor(0.1269, grad_fn=<FusedBackward>)
    """

    def __init__(
        self,
        temperature: float = 0.1,
        reduction: str = "mean",
        *,
        pairing: str = "one-way",
        normalize: bool = True,
        learnable: bool = False,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_temperature(type(self).__name__, temperature)
        check_pairing(type(self).__name__, pairing)
        super().__init__()
        self.reduction = reduction
        self.pairing, self.normalize = pairing, normalize
        self._start(temperature, learnable)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        keys: Tensor | None = None,
        labels: Tensor | None = None,
        negatives: Tensor | None = None,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return info_nce_loss(
            input,
            keys,
            labels,
            negatives,
            self.temperature,
            pairing=self.pairing,
            normalize=self.normalize,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        return f"pairing={self.pairing!r}, {super().extra_repr()}"


def _against_unrelated(temperature: float, negatives: int = 255) -> Callable[[Tensor], dict[str, object]]:
    """Arguments for points that are the angle of a query to its key, among negatives at right angles to both."""

    def arguments(angle: Tensor) -> dict[str, object]:
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        return {
            "input": torch.stack([one, zero, zero], 1),
            "keys": torch.stack([angle.cos(), angle.sin(), zero], 1),
            # points of one label are no negatives of each other
            "labels": torch.zeros(angle.shape[0], dtype=torch.int64, device=angle.device),
            "negatives": angle.new_tensor([[0.0, 0.0, 1.0]]).expand(negatives, 3),
            "temperature": temperature,
        }

    return arguments


CARD = Card(
    title=Text("InfoNCE (NT-Xent) loss", "InfoNCE（NT-Xent）损失"),
    summary=Text(
        "Cross-entropy of picking each query's own key out of all keys of the batch, by cosine over a temperature: own "
        "pairs are drawn together, all others pushed apart.",
        "以余弦除以温度为 logits，从一批键中选出每个查询自己的键的交叉熵：拉近配对样本，推开其余所有样本。",
    ),
    gradient=Text(
        "Each key pulls with $1 - p$ if it is the query's own and pushes with its softmax share $p$ if not, all over "
        "$\\tau$: the nearest negatives push most, and the colder the temperature, the fewer they are. Scaled vectors "
        "are only turned, by a gradient in which their length stands below: $1/|q|$.",
        "自己的键以 $1 - p$ 拉近，其余的键以各自的 softmax 份额 $p$ 推开，整体除以 $\\tau$：最近的负样本推力最大，"
        "温度越低，起作用的负样本越少。归一化使向量只转动，梯度与长度成反比（$1/|q|$）。",
    ),
    robustness=Text(
        "A row's loss is at most $\\log(\\text{negatives}) + 2/\\tau$ for cosines. False negatives (two photographs of "
        "one cat) are pushed hardest, being nearest; tell them by labels= and they are left out.",
        "用余弦时每行损失不超过 $\\log(\\text{负样本数}) + 2/\\tau$。假负样本（同一只猫的两张照片）离得最近，"
        "受到的推力也最大；可用 labels= 指明，它们便不再当作负样本。",
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
        "The temperature first: 0.05 to 0.1 for images, 0.01 to 0.05 for texts, 0.5 for small batches; too cold and a "
        "few hard (or false) negatives decide, too warm and nothing is separated. Then the number of negatives, which "
        "is the batch size: of N random keys even the right answer costs $\\log N$ at the start.",
        "首先是温度：图像常用 0.05 到 0.1，文本 0.01 到 0.05，小批量 0.5；过低则由少数难（或假）负样本主导，"
        "过高则分不开样本。其次是负样本数，即批量大小：N 个随机键时，初始损失约为 $\\log N$。",
    ),
    minimiser=Text(
        "Own pairs in one direction, and all others as far apart as they can be: N directions with cosines of "
        "$-1/(N - 1)$ where the width allows it. The loss is then not 0, and does not compare between batch sizes.",
        "配对样本方向相同，其余样本彼此尽量远离：维度足够时 N 个方向两两余弦为 $-1/(N - 1)$。"
        "此时损失并不为 0，且不同批量大小的损失不可直接比较。",
    ),
    use=(
        Text(
            "Self-supervised learning from two views of each sample: pairing='views' (SimCLR), or a momentum encoder "
            "with a queue of earlier keys, negatives= (MoCo).",
            "以同一样本的两个视图做自监督学习：pairing='views'（SimCLR），"
            "或动量编码器加历史键队列 negatives=（MoCo）。",
        ),
        Text(
            "Texts with images, questions with passages: pairing='symmetric' (CLIP), with hard passages as negatives=.",
            "图文匹配、问题与段落匹配：pairing='symmetric'（CLIP），难负段落用 negatives= 传入。",
        ),
        Text(
            "Labelled embeddings, each pair of a label against all vectors of other labels: labels= without keys.",
            "带标签的嵌入学习：每个同类对与所有异类向量比较，只给 labels=、不给键。",
        ),
    ),
    avoid=(
        Text(
            "Small batches without a queue: few negatives, little to learn. SigLIPLoss suffers less, as each pair is "
            "judged by itself.",
            "批量小且没有队列时：负样本太少，学不到多少。SigLIPLoss 对每一对单独判断，受影响较小。",
        ),
        Text(
            "All classes are known and each batch has many of each: SupConLoss, or CrossEntropyLoss on a classifier.",
            "类别已知且每批中同类样本很多时：用 SupConLoss，或直接用分类器加 CrossEntropyLoss。",
        ),
    ),
    traps=(
        Trap(
            "info-nce-false-negatives",
            Text(
                "A batch in which one sample or one caption occurs twice makes each a negative of the other's key: "
                "the best the loss can do for a caption that occurs k times is $\\log k$. Give labels= (equal numbers "
                "for what belongs together), or sample batches without repeats.",
                "若一批中同一样本或同一标题出现多次，它们会互为负样本：出现 k 次的标题，损失最低只能到 $\\log k$。"
                "应给出 labels=（同组取同一整数），或采样时避免重复。",
            ),
            rule="repeated-keys",
        ),
        Trap(
            "info-nce-not-normalised",
            Text(
                "With normalize=False the similarities are products of vectors of any length; a temperature of 0.07 "
                "then multiplies products of 100 or more, the softmax is one-hot and gradients vanish or the longest "
                "key wins everything. Leave normalize=True unless the encoder already ends in unit vectors.",
                "normalize=False 时相似度是任意长度向量的内积；再除以 0.07 的温度，100 以上的内积会使 softmax 变成 "
                "one-hot，梯度消失，或由最长的键主导。除非编码器输出已是单位向量，否则应保持 normalize=True。",
            ),
            rule="vectors-not-normalised",
        ),
        Trap(
            "info-nce-criterion-parameters",
            Text(
                "With learnable=True the temperature is a Parameter of the criterion. An optimizer that is given "
                "model.parameters() alone never moves it: pass criterion.parameters() too, without weight decay.",
                "learnable=True 时温度是损失模块自身的参数。优化器若只拿到 model.parameters()，温度就不会更新："
                "还应传入 criterion.parameters()，且不加权重衰减。",
            ),
        ),
        Trap(
            "info-nce-per-rank",
            Text(
                "Under data parallelism each rank sees its own batch alone: 8 ranks of 256 make 8 losses with 255 "
                "negatives, not one with 2047, and the loss is lower by about $\\log 8$. Gather the keys of all ranks "
                "and pass those of others as negatives=, or compare losses at one batch size per rank only.",
                "数据并行时各进程只看到自己的一批：8 个进程各 256 个样本，是 8 个各有 255 个负样本的损失，而不是一个有 "
                "2047 个负样本的损失，数值约低 $\\log 8$。应汇集所有进程的键，把其他进程的键作为 negatives= 传入；"
                "否则只能在相同的每进程批量下比较损失。",
            ),
        ),
    ),
    stability=Text(
        "The negatives' log-sum-exp is taken over the row's greatest, and the loss as softplus of its distance to the "
        "own key, so that a loss near 0 keeps its digits. Vectors of any length are scaled without overflow; half "
        "precision is computed in float32, the products too, also under autocast. A vector of zeros has cosine 0 with "
        "all.",
        "负样本的 log-sum-exp 以该行最大值为基准，损失写作它与自身键之差的 softplus，接近 0 的损失也保有有效数字。"
        "任意长度的向量归一化都不会溢出；半精度输入（含 autocast 下）连同内积都以 float32 计算。"
        "零向量与任何向量的余弦为 0。",
    ),
    activation=Text("none (vectors)", "无（向量）"),
    input="(N, D) x 2",
    target="-",
    typical=Text("SimCLR, MoCo, CLIP, text retrieval", "SimCLR、MoCo、CLIP、文本检索"),
    siblings=(
        Sibling(
            "SupConLoss",
            Text(
                "Averages over a row's positives inside one softmax over all others; here each positive stands alone "
                "against the negatives.",
                "在包含所有其他样本的同一个 softmax 中对正样本取平均；本损失中每个正样本单独与负样本比较。",
            ),
        ),
        Sibling(
            "SigLIPLoss",
            Text(
                "A binary decision for each pair instead of one choice a row: no softmax over the batch.",
                "对每一对做二分类判断，而非每行做一次选择：没有批内 softmax。",
            ),
        ),
        Sibling(
            "TripletMarginLoss",
            Text(
                "One negative at a time, with a margin after which it stops; here all negatives at once, weighted by "
                "how near they are.",
                "一次只比一个负样本，超出间隔即停止；本损失同时比较所有负样本，并按远近加权。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "What this is, with the batch's keys as the classes: on queries @ keys.T / temperature with the labels "
                "0 to N - 1, whose matrix it needs in memory.",
                "本损失即以批内的键为类别的交叉熵：对 queries @ keys.T / temperature 与标签 0 到 N - 1 计算，"
                "但那样需要在内存中保存整个矩阵。",
            ),
        ),
    ),
    sources=(
        'van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding" (2018)',
        'Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML (2020)',
        'He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR (2020)',
        'Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML (2021)',
        'Wang and Liu, "Understanding the Behaviour of Contrastive Loss", CVPR (2021)',
    ),
    curve=Curve(
        Text(
            "angle of a query to its key, in radians, among 255 unrelated keys",
            "查询与其键的夹角（弧度，另有 255 个无关的键）",
        ),
        (0.0, math.pi),
        {"τ = 0.1": _against_unrelated(0.1), "τ = 0.5": _against_unrelated(0.5)},
    ),
    aliases=("infonce", "nt_xent", "ntxent", "ntxent_loss", "simclr", "clip_loss", "moco", "contrastive_cross_entropy"),
)


LOSS = Loss(
    function=info_nce_loss,
    module=InfoNCELoss,
    family="embedding and ranking",
    facts=Facts(
        convex=False,
        lipschitz=lambda temperature=0.1, **_: float("inf"),
        prediction=REALS,
        target="none",
        minimiser=None,
        denominator="rows",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
