"""SigLIP: of every query and key a binary decision, whether they belong together."""

import math

import torch
from torch import Tensor

from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.similarity import Relation, sigmoids, similarity
from ..loops.similarity.inputs import (
    check_keys,
    check_labels,
    check_negatives,
    check_positive,
    check_vectors,
    one_number,
    prepared,
    row_mask,
)
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def siglip_loss(
    input: Tensor,
    keys: Tensor,
    labels: Tensor | None = None,
    negatives: Tensor | None = None,
    scale: float | Tensor = 10.0,
    bias: float | Tensor = -10.0,
    reduction: str = "mean",
    *,
    normalize: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Binary cross-entropy of every pair of a query and a key, by their cosine: do they belong together?

    .. math::
        \ell_i = -\sum_j \log \sigma\bigl(z_{ij} (t\, q_i \cdot k_j + b)\bigr) \qquad
        z_{ij} = \begin{cases} 1 & i = j \\ -1 & \text{otherwise} \end{cases}

    with vectors of length 1, the scale :math:`t` and the bias :math:`b`. The mean is over the N queries, not over the
    pairs. With ``labels``, vectors of one label are never each other's negatives. The loss is the same with queries and
    keys exchanged.

    The N x N matrix is never held: similarities are made, used and dropped some rows at a time.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023), algorithm 1.

    Args:
        input: queries :math:`q` (N, D), floating.
        keys: :math:`k` (N, D); ``keys[i]`` belongs to ``input[i]``.
        labels: (N) integers; equal ones leave a pair out, unless it is a query and its own key.
        negatives: (M, D) keys that belong to no query, such as those of other ranks: each rank's mean over its own
            queries, averaged, is then algorithm 1 of the whole batch.
        scale: :math:`t` itself, above 0, not its logarithm; it and the bias may be tensors of one element that want
            gradients.
        bias: :math:`b`; -10 makes up at the start for the many negatives.
        reduction: ``none`` gives (N,), a query's sum over all keys; or ``mean``, ``sum``, ``batchmean``; see
            :doc:`/reductions`.
        normalize: whether the vectors are scaled to length 1, so that similarities are cosines.
        sample_weight, mask, normalizer, on_empty: per query; see :doc:`/reductions`. What is masked is no negative of
            others either: the result is that of the rows that remain.

    Raises:
        ValueError: shapes other than these; a scale that is not above 0; an unknown reduction.
        TypeError: vectors that are not floating.
        RuntimeError: labels of a dtype that is no integer.

    >>> import torch, lossmith
    >>> queries, keys = torch.eye(2), torch.eye(2)
    >>> lossmith.functional.siglip_loss(queries, keys)  # log(1 + exp(-(10 - 10))) + log(1 + exp(0 - 10))
    tensor(0.6932)
    """
    loss = "siglip_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_vectors(loss, input=input, keys=keys)
    check_keys(loss, input, keys)
    check_negatives(loss, input, negatives)
    check_positive(loss, "scale", scale, "the paper begins with 10")
    one_number(loss, "bias", bias)
    count = input.shape[0]
    if labels is not None:
        labels = check_labels(loss, "labels", labels, count)
    compute, result = dtypes(*(v for v in (input, keys, negatives) if v is not None))
    kept = row_mask(loss, how, count)
    queries, against = (prepared(v, compute, normalize, kept) for v in (input, keys))
    relation = Relation(
        count,
        count,
        match=torch.arange(count, device=input.device),
        row_labels=labels,
        column_labels=labels,
        kept_rows=kept,
        kept_columns=kept,
    )
    if negatives is not None:
        against = torch.cat([against, prepared(negatives, compute, normalize, None)])
        relation.add_columns(negatives.shape[0])
    scale, bias = (x.to(compute) if isinstance(x, Tensor) else x for x in (scale, bias))
    return similarity(
        loss,
        sigmoids,
        (queries, against),
        relation,
        how,
        (compute, result),
        scale=scale,
        bias=bias,
        read=() if labels is None else (labels,),
    )


class SigLIPLoss(Criterion):
    """:func:`lossmith.functional.siglip_loss` as a Module.

    Args:
        scale, bias: as the function's; with ``learnable`` where they begin.
        reduction, normalize: as the function's.
        learnable: whether both are learned, as in the paper: ``log_scale``, the scale's logarithm, and ``bias`` are
            then Parameters, which the optimizer must be given.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> criterion = lossmith.SigLIPLoss(learnable=True)
    >>> criterion(torch.eye(2), torch.eye(2))
    tensor(0.6932, grad_fn=<FusedBackward>)
    >>> [name for name, _ in criterion.named_parameters()]
    ['log_scale', 'bias']
    """

    log_scale: torch.nn.Parameter | None
    bias: float | Tensor

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        reduction: str = "mean",
        *,
        normalize: bool = True,
        learnable: bool = False,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_positive(type(self).__name__, "scale", scale, "the paper begins with 10")
        one_number(type(self).__name__, "bias", bias)
        super().__init__()
        self.reduction, self.normalize = reduction, normalize
        self._scale = scale
        if learnable:
            self.log_scale = torch.nn.Parameter(torch.tensor(math.log(scale)))
            self.bias = torch.nn.Parameter(torch.tensor(float(bias)))
        else:
            self.register_parameter("log_scale", None)
            self.bias = bias
        self._settle(normalizer, on_empty)

    @property
    def scale(self) -> float | Tensor:
        return self._scale if self.log_scale is None else self.log_scale.exp()

    def forward(
        self,
        input: Tensor,
        keys: Tensor,
        labels: Tensor | None = None,
        negatives: Tensor | None = None,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return siglip_loss(
            input,
            keys,
            labels,
            negatives,
            self.scale,
            self.bias,
            normalize=self.normalize,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        shown = f"scale={self._scale}, bias={self.bias}" if self.log_scale is None else "learnable scale and bias"
        return ", ".join(part for part in (shown, super().extra_repr()) if part)


def _at_angle(angle: Tensor, own: bool) -> dict[str, object]:
    """Queries at an angle to their own key, or on it and at an angle to the only other one."""
    query = torch.stack([angle.cos(), angle.sin()], 1)
    fixed = angle.new_tensor([[1.0, 0.0]])
    return {
        "input": query,
        "keys": fixed.expand_as(query) if own else query,
        # points of one label are no negatives of each other
        "labels": torch.zeros(angle.shape[0], dtype=torch.int64, device=angle.device),
        "negatives": None if own else fixed,
    }


CARD = Card(
    title=Text("SigLIP (pairwise sigmoid) loss", "SigLIP（逐对 sigmoid）损失"),
    summary=Text(
        "For every query and every key a binary decision, whether they belong together: binary cross-entropy of scale "
        "times cosine plus bias, summed over a query's keys.",
        "对每个查询与每个键做一次二分类，判断二者是否配对：以 scale 乘余弦加 bias 为 logit 的二元交叉熵，"
        "对每个查询的所有键求和。",
    ),
    gradient=Text(
        "A query's own key pulls with $t\\,\\sigma(-(t c + b))$ at the cosine c and every other key pushes with "
        "$t\\,\\sigma(t c + b)$: each pair by itself, whatever the rest of the batch holds.",
        "余弦为 c 时，查询自己的键以 $t\\,\\sigma(-(t c + b))$ 拉近，其余每个键以 $t\\,\\sigma(t c + b)$ 推开："
        "每一对只看自身，与批内其他样本无关。",
    ),
    robustness=Text(
        "A false negative costs at most $\\log(1 + e^{t + b})$, 0.69 with the first values, and takes nothing from "
        "other pairs; a wrong pair costs up to about $t - b$, 20 with the first values.",
        "假负样本的代价不超过 $\\log(1 + e^{t + b})$（初始取值下为 0.69），且不影响其他对；错配的对代价可达约 $t - b$"
        "（初始取值下为 20）。",
    ),
    sparsity=Text(
        "None: a negative at a right angle pushes with a weight of 4.5e-5 at the first bias, and less as the bias "
        "falls.",
        "无稀疏性：初始 bias 下，成直角的负样本的权重为 4.5e-5，bias 降低后更小。",
    ),
    smoothness=Text(
        "Smooth wherever the vectors are not 0; not convex in them, as it is in scale and bias.",
        "向量不为 0 处处处光滑；对向量非凸，对 scale 与 bias 是凸的。",
    ),
    sensitivity=Text(
        "Scale and bias, which is why both are learned: with N - 1 negatives to one positive the bias settles where "
        "the odds are right. The batch size matters less than for InfoNCELoss.",
        "取决于 scale 与 bias，因此二者通常一起学习：每个正样本对应 N - 1 个负样本，bias 会落在与该比例相符之处。"
        "对批量大小不如 InfoNCELoss 敏感。",
    ),
    minimiser=Text(
        "Own pairs in one direction and all others apart; with a learned scale there is none, as the loss falls "
        "towards 0 while the scale grows.",
        "配对样本方向相同，其余彼此远离；scale 可学习时不存在最小点，scale 越大损失越接近 0。",
    ),
    use=(
        Text(
            "Images with texts and other pairs of two encoders, in batches of any size: it needs no softmax over the "
            "batch, and was better than one up to some 16 thousand pairs.",
            "图文等双编码器配对训练，批量大小不限：无需批内 softmax，且在一万六千对以内的批量下优于 softmax。",
        ),
        Text(
            "Data parallelism: each rank passes the keys of all others, gathered with their gradients, as negatives=; "
            "the mean of the ranks' losses is then that of the whole batch.",
            "数据并行：各进程把其他进程的键（连同梯度汇集）作为 negatives= 传入，各进程损失的均值即为整批的损失。",
        ),
        Text(
            "Retrieval that must say whether anything fits at all: the logit is that of one pair, not of a choice.",
            "需要判断“是否有匹配”的检索：logit 针对单独一对，而不是从多个候选中做选择。",
        ),
    ),
    avoid=(
        Text(
            "Exactly one of the keys at hand is right and the others compete: InfoNCELoss.",
            "候选键中恰有一个正确、彼此竞争时：用 InfoNCELoss。",
        ),
        Text(
            "Pairs that come labelled one by one, similar or not, rather than as a batch of matches: ContrastiveLoss "
            "or CosineEmbeddingLoss.",
            "样本对逐个标注相似与否，而非整批配对时：用 ContrastiveLoss 或 CosineEmbeddingLoss。",
        ),
    ),
    traps=(
        Trap(
            "siglip-bias-zero",
            Text(
                "With a bias of 0 all N - 1 negatives of a query start at a chance of one half: the loss is near "
                "$N \\log 2$ (709.8 for N = 1024, with -10 about 10.0), and the first steps do nothing but push "
                "everything apart. Begin with bias=-10 and scale=10, as the paper.",
                "bias 取 0 时，每个查询的 N - 1 个负样本一开始概率都是一半：损失约为 $N \\log 2$（N = 1024 时为 709.8，"
                "取 -10 时约为 10.0），最初的更新只是把所有样本推开。应与论文一致，从 bias=-10、scale=10 开始。",
            ),
        ),
        Trap(
            "siglip-mean-over-pairs",
            Text(
                "binary_cross_entropy_with_logits over the N x N matrix divides by N squared, this loss and the paper "
                "by N: gradients and the right learning rate differ by the batch size.",
                "在 N x N 矩阵上用 binary_cross_entropy_with_logits 取均值会除以 N 的平方，本损失与论文都只除以 N："
                "梯度与合适的学习率相差一个批量大小的倍数。",
            ),
        ),
        Trap(
            "siglip-logarithm-of-scale",
            Text(
                "scale= is t itself. open_clip's and transformers' logit_scale is its logarithm, 2.3 at the start, "
                "which passes here for a very soft scale: write logit_scale.exp().",
                "scale= 是 t 本身。open_clip 与 transformers 的 logit_scale 是它的对数（初值 2.3），"
                "直接传入会被当作很小的 scale：应写 logit_scale.exp()。",
            ),
        ),
        Trap(
            "siglip-criterion-parameters",
            Text(
                "With learnable=True scale and bias are Parameters of the criterion. An optimizer that is given "
                "model.parameters() alone never moves them: pass criterion.parameters() too, without weight decay.",
                "learnable=True 时 scale 与 bias 是损失模块自身的参数。优化器若只拿到 model.parameters()，"
                "它们就不会更新：还应传入 criterion.parameters()，且不加权重衰减。",
            ),
        ),
        Trap(
            "siglip-false-negatives",
            Text(
                "One caption or image that occurs twice in a batch is told to be near and far at once. Give labels= "
                "(equal numbers for what belongs together): such pairs are then left out.",
                "同一标题或图像在一批中出现两次时，会被同时要求靠近与远离。应给出 labels=（同组取同一整数），"
                "这样的对便不计入。",
            ),
            rule="repeated-keys",
        ),
    ),
    stability=Text(
        "Every term is a softplus of the logit, which neither overflows nor loses small losses. Vectors of any length "
        "are scaled without overflow; half precision is computed in float32, the products too, also under autocast. A "
        "vector of zeros has cosine 0 with all.",
        "每一项都是 logit 的 softplus，既不溢出，也不丢失很小的损失。任意长度的向量归一化都不会溢出；"
        "半精度输入（含 autocast 下）连同内积都以 float32 计算。零向量与任何向量的余弦为 0。",
    ),
    activation=Text("none (vectors)", "无（向量）"),
    input="(N, D) x 2",
    target="-",
    typical=Text("images with texts, two encoders", "图文配对、双编码器"),
    siblings=(
        Sibling(
            "InfoNCELoss",
            Text(
                "A choice of one key a query, by softmax over the batch: negatives compete, and the nearest count "
                "most.",
                "每个查询从一批键中选一个（批内 softmax）：负样本相互竞争，最近的影响最大。",
            ),
        ),
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The same terms for logits of one's own: on the N x N matrix, in memory, with a mean over all pairs.",
                "对自备 logits 的同样各项：作用于内存中的 N x N 矩阵，并对所有对取均值。",
            ),
        ),
        Sibling(
            "CosineEmbeddingLoss",
            Text(
                "Pairs given one by one with a sign, by the cosine itself and a margin.",
                "逐个给出带符号的样本对，直接对余弦与间隔计算。",
            ),
        ),
    ),
    sources=(
        'Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV (2023)',
        'Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML (2021)',
    ),
    curve=Curve(
        Text("angle between a query and a key, in radians", "查询与键的夹角（弧度）"),
        (0.0, math.pi),
        {"z = 1": lambda x: _at_angle(x, True), "z = -1": lambda x: _at_angle(x, False)},
    ),
    aliases=("sig_lip", "sigmoid_contrastive", "pairwise_sigmoid", "sigmoid_loss"),
)


LOSS = Loss(
    function=siglip_loss,
    module=SigLIPLoss,
    family="embedding and ranking",
    facts=Facts(
        convex=False,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target="none",
        minimiser=None,
        denominator="rows",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
