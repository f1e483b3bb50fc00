"""CosFace: the cosine between an embedding and its class's vector, less a margin, against those of all classes."""

import math

from torch import Tensor

from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.similarity import Margin
from ..loops.similarity.classes import against_classes, at_angle, check_margin, check_scale
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def cosface_loss(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    scale: float = 64.0,
    margin: float = 0.35,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Cross-entropy of scaled cosines with one vector a class, with a margin taken off the cosine of the right class.

    .. math::
        \ell(x, y) = -\log \frac{\exp(s (\cos \theta_y - m))}
            {\exp(s (\cos \theta_y - m)) + \sum_{c \ne y} \exp(s \cos \theta_c)}
        \qquad \cos \theta_c = \frac{w_c \cdot x}{|w_c|\,|x|}

    The class vectors are an argument, of the layout of ``torch.nn.Linear(D, C, bias=False).weight``: whoever holds them
    gives them to the optimizer. The N x C matrix of cosines is never held: some rows of it are made, used and dropped.

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition" (2018), eq. 4.

    Args:
        input: embeddings :math:`x` (N, D), floating, of any length but 0.
        linear_weight: class vectors :math:`w` (C, D), floating, of any length but 0.
        target: labels (N) from 0 to C - 1, of any integer dtype.
        scale: :math:`s`, above 0.
        margin: :math:`m`, a difference of cosines, from 0 to 2.
        reduction: ``none`` gives (N,); or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`. A mask hides embeddings, no classes.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: shapes other than these; a scale or margin out of range; an unknown reduction.
        TypeError: vectors that are not floating.
        RuntimeError: labels of a dtype that is no integer.

    >>> import torch, lossmith
    >>> classes = torch.eye(2)
    >>> x = torch.tensor([[3.0, 0.0]])  # cosines 1 and 0: log(1 + exp(0 - (1 - 0.35)))
    >>> lossmith.functional.cosface_loss(x, classes, torch.tensor([0]), scale=1.0)
    tensor(0.4201)
    """
    loss = "cosface_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_scale(loss, scale)
    _check_margin(loss, margin)
    return against_classes(loss, input, linear_weight, target, how, scale, Margin(1, margin))


def _check_margin(loss: str, margin: float) -> None:
    check_margin(loss, margin, 2, "0.35 is usual, a difference of cosines")


class CosFaceLoss(Criterion):
    """:func:`lossmith.functional.cosface_loss` as a Module, without parameters: the class vectors come with each call.

    Args:
        scale, margin, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> classes = torch.nn.Linear(8, 100, bias=False)  # part of the model, and so of its optimizer
    >>> criterion = lossmith.CosFaceLoss(scale=30.0)
    >>> loss = criterion(torch.randn(16, 8), classes.weight, torch.randint(100, (16,)))
    >>> loss.backward()
    >>> classes.weight.grad.shape
    torch.Size([100, 8])
    """

    def __init__(
        self,
        scale: float = 64.0,
        margin: float = 0.35,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_scale(type(self).__name__, scale)
        _check_margin(type(self).__name__, margin)
        super().__init__()
        self.scale, self.margin = scale, margin
        self.reduction = reduction
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        linear_weight: Tensor,
        target: Tensor,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return cosface_loss(
            input,
            linear_weight,
            target,
            self.scale,
            self.margin,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        parts = (f"scale={self.scale}", f"margin={self.margin}", super().extra_repr())
        return ", ".join(part for part in parts if part)


CARD = Card(
    title=Text("CosFace (large margin cosine) loss", "CosFace（大间隔余弦）损失"),
    summary=Text(
        "Cross-entropy over the classes, of the cosines between an embedding and one learned vector a class times a "
        "scale, in which the right class's cosine counts as smaller by a margin.",
        "对各类别的交叉熵，logits 是嵌入与每类一个可学习向量的余弦乘以 scale，其中正确类别的余弦要先减去一个间隔。",
    ),
    gradient=Text(
        "That of softmax, $p - y$ times the scale, turned through the cosine: embedding and class vector turn towards "
        "each other on the sphere, by $\\sin \\theta$. The margin only shifts p: a right row pulls until it is ahead "
        "by the margin and some.",
        "与 softmax 相同，即 $p - y$ 乘以 scale，再经余弦传到向量：嵌入与类别向量在球面上相互转近，系数是 "
        "$\\sin \\theta$。间隔只改变 p：正确的样本要领先超过间隔才不再拉动。",
    ),
    robustness=Text(
        "Weak against wrong labels: such a row costs up to $s (2 + m) + \\log C$, 150.4 by default before the "
        "logarithm, and pulls with the whole scale.",
        "对错误标签较弱：这样的样本损失可达 $s (2 + m) + \\log C$（默认设置下对数项之外为 150.4），并以整个 scale "
        "拉动。",
    ),
    sparsity=Text(
        "None in the formula; at a scale of 64 a class that is behind by 0.3, margin included, adds 5e-9 to the loss.",
        "公式上无稀疏性；但 scale 为 64 时，计入间隔后仍落后 0.3 的类别对损失的贡献只有 5e-9。",
    ),
    smoothness=Text(
        "Smooth wherever the vectors are not 0; not convex in them, since they are scaled to length 1.",
        "向量不为 0 处处处光滑；因向量归一化，对向量非凸。",
    ),
    sensitivity=Text(
        "The margin, a difference of cosines: 0.35 for faces, 0.1 to 0.25 where training does not take hold. The scale "
        "must leave room for the classes: about $\\log(C)$ at the least, 30 to 64 in practice.",
        "关键是间隔，即余弦之差：人脸识别取 0.35，训练难以起步时取 0.1 到 0.25。scale 要与类别数相称："
        "至少约为 $\\log(C)$，实践中取 30 到 64。",
    ),
    minimiser=Text(
        "Embeddings on their class's vector, and the class vectors spread over the sphere, with cosines of "
        "$-1/(C - 1)$ where the width allows it.",
        "嵌入与其类别向量同向，各类别向量在球面上散开；维度足够时两两余弦为 $-1/(C - 1)$。",
    ),
    use=(
        Text(
            "Faces, people, speakers, products: many classes, and at the end embeddings that are compared by cosine, "
            "of classes never seen in training.",
            "人脸、行人、说话人、商品识别：类别很多，最终以余弦比较嵌入，且测试类别在训练中从未出现。",
        ),
        Text(
            "Where ArcFaceLoss does not take hold: the pull fades with the angle, and no angle has a jump.",
            "ArcFaceLoss 难以起步时：拉力随夹角减小而减弱，任何角度都没有跳变。",
        ),
    ),
    avoid=(
        Text(
            "The classes are those of the test, and probabilities are wanted: CrossEntropyLoss.",
            "测试类别就是训练类别、且需要概率时：用 CrossEntropyLoss。",
        ),
        Text(
            "Labels without a fixed number of classes, or one or two samples of each: SupConLoss or InfoNCELoss need "
            "no vector for each class.",
            "类别数不固定，或每类只有一两个样本时：SupConLoss 与 InfoNCELoss 不需要每类一个向量。",
        ),
    ),
    traps=(
        Trap(
            "cosface-hidden-weights",
            Text(
                "In pytorch-metric-learning and insightface the criterion itself holds the class vectors, and an "
                "optimizer that is given model.parameters() alone leaves them at random: the loss falls a little and "
                "stops. Here they are an argument: keep an nn.Linear(D, C, bias=False) in the model and pass its "
                "weight.",
                "在 pytorch-metric-learning 与 insightface 中，类别向量藏在损失模块里；优化器若只拿到 "
                "model.parameters()，它们便始终是随机值，损失略降后就停住。这里它们是参数：在模型中放一个 "
                "nn.Linear(D, C, bias=False)，调用时传入其 weight。",
            ),
        ),
        Trap(
            "cosface-margin-of-arcface",
            Text(
                "The margin is a cosine and ArcFaceLoss's an angle: its 0.5 here asks for more than 0.35 does, and "
                "early in training, at a right angle, costs 32 at a scale of 64. Take 0.35 when changing over.",
                "这里的间隔是余弦，ArcFaceLoss 的间隔是角度：照搬它的 0.5 比 0.35 更严，训练初期（夹角约为直角）在 "
                "scale 为 64 时就要付出 32。换用本损失时应取 0.35。",
            ),
        ),
        Trap(
            "cosface-high-start",
            Text(
                "With random vectors the right class is behind by $s m$: the loss starts near $22.4 + \\log C$ by "
                "default, not at $\\log C$. If it stays there, warm up the learning rate, or let the margin grow.",
                "向量随机时正确类别落后 $s m$：默认设置下初始损失约为 $22.4 + \\log C$，而不是 $\\log C$。"
                "若停在那里降不下去，应预热学习率，或逐渐加大间隔。",
            ),
        ),
        Trap(
            "cosface-small-scale",
            Text(
                "Cosines lie in [-1, 1], so with scale 1 the right class of 1000 has a probability of at most 0.0052 "
                "and the loss never gets below 5.2. Keep 30 to 64, and do not divide by a temperature as well.",
                "余弦在 [-1, 1] 内：scale 取 1 时，1000 类中正确类别的概率最高只有 0.0052，损失不会低于 5.2。"
                "应取 30 到 64，且不要再除以温度。",
            ),
        ),
    ),
    stability=Text(
        "The loss is softplus of the distance to the other classes' log-sum-exp, and keeps its digits near 0. Vectors "
        "of any length are scaled without overflow; half precision is computed in float32, the products too, also "
        "under autocast.",
        "损失写作与其他类别 log-sum-exp 之差的 softplus，接近 0 时也保有有效数字。任意长度的向量归一化都不会溢出；"
        "半精度输入（含 autocast 下）连同内积都以 float32 计算。",
    ),
    activation=Text("none (vectors)", "无（向量）"),
    input="(N, D), (C, D)",
    target="(N) int",
    typical=Text("faces, speakers, retrieval", "人脸识别、说话人识别、检索"),
    siblings=(
        Sibling(
            "ArcFaceLoss",
            Text(
                "Adds the margin to the angle: it goes on pulling as the angle nears 0, and is harder to train.",
                "间隔加在角度上：夹角趋于 0 时仍有拉力，也更难训练。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "On scaled cosines it is this loss without a margin; on plain logits lengths and biases count too.",
                "对放大的余弦计算即为不带间隔的本损失；对普通 logits，长度与偏置也起作用。",
            ),
        ),
        Sibling(
            "SupConLoss",
            Text(
                "Compares with the other rows of the batch: no vector for each class, but a sampler.",
                "与批内其他行比较：不需要每类一个向量，但需要采样器。",
            ),
        ),
        Sibling(
            "MultiMarginLoss",
            Text(
                "A hinge for each class in place of the softmax: it stops where the margin is kept.",
                "以逐类合页代替 softmax：满足间隔后即停止。",
            ),
        ),
    ),
    sources=(
        'Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR (2018)',
        'Wang et al., "Additive Margin Softmax for Face Verification", IEEE Signal Processing Letters 25 (2018)',
    ),
    curve=Curve(
        Text("angle to the right class, in radians, of 1000 classes", "1000 类中与正确类别的夹角（弧度）"),
        (0.0, math.pi),
        {"": at_angle},
    ),
    aliases=("cos_face", "am_softmax", "large_margin_cosine", "large_margin_cosine_loss", "additive_margin_softmax"),
)


LOSS = Loss(
    function=cosface_loss,
    module=CosFaceLoss,
    family="embedding and ranking",
    facts=Facts(
        convex=False,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target="labels",
        minimiser=None,
        denominator="rows",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
