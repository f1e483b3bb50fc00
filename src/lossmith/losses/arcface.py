"""ArcFace: the angle between an embedding and its class's vector, with a margin added, against those of all classes."""

import math

from torch import Tensor

from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.similarity import Margin
from ..loops.similarity.classes import against_classes, at_angle, check_angle, check_scale
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def arcface_loss(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    easy_margin: bool = False,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Cross-entropy of scaled cosines with one vector a class, with a margin added to the angle of the right class.

    .. math::
        \ell(x, y) = -\log \frac{\exp(s \cos(\theta_y + m))}
            {\exp(s \cos(\theta_y + m)) + \sum_{c \ne y} \exp(s \cos \theta_c)}
        \qquad \cos \theta_c = \frac{w_c \cdot x}{|w_c|\,|x|}

    So that the loss does not fall again where :math:`\theta_y + m > \pi`, the right class has
    :math:`s(\cos \theta_y - m \sin m)` there, as in the authors' code. With ``easy_margin`` it has
    :math:`s \cos \theta_y` from :math:`\theta_y = \pi / 2` on. At both places the loss jumps.

    The class vectors are an argument, of the layout of ``torch.nn.Linear(D, C, bias=False).weight``: whoever holds them
    gives them to the optimizer. The N x C matrix of cosines is never held: some rows of it are made, used and dropped.

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019), eq. 3.

    Args:
        input: embeddings :math:`x` (N, D), floating, of any length but 0.
        linear_weight: class vectors :math:`w` (C, D), floating, of any length but 0.
        target: labels (N) from 0 to C - 1, of any integer dtype.
        scale: :math:`s`, above 0.
        margin: :math:`m`, an angle in radians, from 0 to pi (pytorch-metric-learning has degrees: its 28.6 is 0.5).
        easy_margin: whether only angles below a right angle get the margin.
        reduction: ``none`` gives (N,); or ``mean``, ``sum``, ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: per row; see :doc:`/reductions`. A mask hides embeddings, no classes.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: shapes other than these; a scale or margin out of range; an unknown reduction.
        TypeError: vectors that are not floating.
        RuntimeError: labels of a dtype that is no integer.

    >>> import torch, lossmith
    >>> classes = torch.eye(2, requires_grad=True)
    >>> x = torch.tensor([[3.0, 0.0]])  # angles 0 and pi / 2: log(1 + exp(0 - cos(0.5)))
    >>> lossmith.functional.arcface_loss(x, classes, torch.tensor([0]), scale=1.0)
    tensor(0.3477, grad_fn=<FusedBackward>)
    """
    loss = "arcface_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_scale(loss, scale)
    check_angle(loss, margin)
    return against_classes(loss, input, linear_weight, target, how, scale, Margin(2, margin, easy_margin))


class ArcFaceLoss(Criterion):
    """:func:`lossmith.functional.arcface_loss` as a Module, without parameters: the class vectors come with each call.

    Args:
        scale, margin, easy_margin, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> classes = torch.nn.Linear(8, 100, bias=False)  # part of the model, and so of its optimizer
    >>> criterion = lossmith.ArcFaceLoss(scale=30.0)
    >>> loss = criterion(torch.randn(16, 8), classes.weight, torch.randint(100, (16,)))
    >>> loss.backward()
    >>> classes.weight.grad.shape
    torch.Size([100, 8])
    """

    def __init__(
        self,
        scale: float = 64.0,
        margin: float = 0.5,
        easy_margin: bool = False,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        check_scale(type(self).__name__, scale)
        check_angle(type(self).__name__, margin)
        super().__init__()
        self.scale, self.margin, self.easy_margin = scale, margin, easy_margin
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
        return arcface_loss(
            input,
            linear_weight,
            target,
            self.scale,
            self.margin,
            self.easy_margin,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )

    def extra_repr(self) -> str:
        parts = [f"scale={self.scale}", f"margin={self.margin}", "easy_margin=True" if self.easy_margin else ""]
        return ", ".join(part for part in (*parts, super().extra_repr()) if part)


CARD = Card(
    title=Text("ArcFace (additive angular margin) loss", "ArcFace（加性角度间隔）损失"),
    summary=Text(
        "Cross-entropy over the classes, of the cosines between an embedding and one learned vector a class times a "
        "scale, in which the angle to the right class counts as larger by a margin.",
        "对各类别的交叉熵，logits 是嵌入与每类一个可学习向量的余弦乘以 scale，其中与正确类别的夹角要先加上一个间隔。",
    ),
    gradient=Text(
        "That of softmax, $p - y$ times the scale, turned through the cosine: embedding and class vector turn towards "
        "each other on the sphere, by $\\sin(\\theta + m)$ where plain cosines have $\\sin \\theta$, so that even at "
        "the angle 0 the pull is not 0. Lengths do not change it but for $1/|x|$.",
        "与 softmax 相同，即 $p - y$ 乘以 scale，再经余弦传到向量：嵌入与类别向量在球面上相互转近，系数是 "
        "$\\sin(\\theta + m)$，而普通余弦为 $\\sin \\theta$，因此夹角趋于 0 时拉力也不为 0。长度只以 $1/|x|$ 起作用。",
    ),
    robustness=Text(
        "Weak against wrong labels: such a row costs up to $s (2 + m \\sin m) + \\log C$, 143.3 by default before the "
        "logarithm, and pulls with the whole scale. Sub-centres, or dropping rows at large angles late in training, "
        "are usual against noisy web data.",
        "对错误标签较弱：这样的样本损失可达 $s (2 + m \\sin m) + \\log C$（默认设置下对数项之外为 143.3），并以整个 "
        "scale 拉动。对含噪的网络数据，常用多子中心，或在训练后期丢弃夹角过大的样本。",
    ),
    sparsity=Text(
        "None in the formula; at a scale of 64 a class that is behind by 0.3, margin included, adds 5e-9 to the loss.",
        "公式上无稀疏性；但 scale 为 64 时，计入间隔后仍落后 0.3 的类别对损失的贡献只有 5e-9。",
    ),
    smoothness=Text(
        "Not convex. It has a tip at the angle 0, where the gradient is taken as 0, and jumps where angle and margin "
        "reach $\\pi$ (with easy_margin at a right angle); elsewhere it is smooth.",
        "非凸。在夹角 0 处有尖点（该处梯度取 0）；夹角加间隔达到 $\\pi$ 处有跳变（easy_margin 时在直角处）；"
        "其余处光滑。",
    ),
    sensitivity=Text(
        "The margin, in radians: 0.5 for faces with clean data, 0.2 to 0.3 where training does not take hold. The "
        "scale must leave room for the classes: about $\\log(C)$ at the least, 30 to 64 in practice.",
        "关键是间隔（弧度）：数据干净的人脸识别取 0.5，训练难以起步时取 0.2 到 0.3。scale 要与类别数相称："
        "至少约为 $\\log(C)$，实践中取 30 到 64。",
    ),
    minimiser=Text(
        "Embeddings on their class's vector, and the class vectors spread over the sphere, with cosines of "
        "$-1/(C - 1)$ where the width allows it.",
        "嵌入与其类别向量同向，各类别向量在球面上散开；维度足够时两两余弦为 $-1/(C - 1)$。",
    ),
    use=(
        Text(
            "Faces, people, vehicles, products: many classes, and at the end embeddings that are compared by cosine, "
            "of classes never seen in training.",
            "人脸、行人、车辆、商品识别：类别很多，最终以余弦比较嵌入，且测试类别在训练中从未出现。",
        ),
        Text(
            "Landmarks and retrieval with labels, as an alternative to mining: each row meets all classes at once.",
            "带标签的地标识别与检索，可替代样本挖掘：每个样本一次即与所有类别比较。",
        ),
    ),
    avoid=(
        Text(
            "The classes are those of the test, and probabilities are wanted: CrossEntropyLoss. The margin makes "
            "training harder and its scaled cosines are no calibrated logits.",
            "测试类别就是训练类别、且需要概率时：用 CrossEntropyLoss。间隔会增加训练难度，放大的余弦也不是校准过的 "
            "logits。",
        ),
        Text(
            "Labels without a fixed number of classes, or one or two samples of each: SupConLoss or InfoNCELoss need "
            "no vector for each class.",
            "类别数不固定，或每类只有一两个样本时：SupConLoss 与 InfoNCELoss 不需要每类一个向量。",
        ),
    ),
    traps=(
        Trap(
            "arcface-hidden-weights",
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
            "arcface-degrees",
            Text(
                "The margin is in radians, as in the paper; pytorch-metric-learning takes degrees, 28.6 for 0.5. "
                "Its weight is (D, C), here it is (C, D).",
                "间隔与论文一致，以弧度计；pytorch-metric-learning 用角度，28.6 即 0.5 弧度。它的权重形状为 (D, C)，"
                "这里为 (C, D)。",
            ),
        ),
        Trap(
            "arcface-high-start",
            Text(
                "With random vectors the angle is about $\\pi/2$ and the right class is behind by $s \\sin m$: the "
                "loss starts near $30.7 + \\log C$ by default, not at $\\log C$. If it stays there, warm up the "
                "learning rate, or begin with a small margin and let it grow.",
                "向量随机时夹角约为 $\\pi/2$，正确类别落后 $s \\sin m$：默认设置下初始损失约为 $30.7 + \\log C$，"
                "而不是 $\\log C$。若停在那里降不下去，应预热学习率，或从小间隔开始逐渐加大。",
            ),
        ),
        Trap(
            "arcface-small-scale",
            Text(
                "Cosines lie in [-1, 1], so with scale 1 the right class of 1000 has a probability of at most 0.0065 "
                "and the loss never gets below 5.0. Keep 30 to 64, and do not divide by a temperature as well.",
                "余弦在 [-1, 1] 内：scale 取 1 时，1000 类中正确类别的概率最高只有 0.0065，损失不会低于 5.0。"
                "应取 30 到 64，且不要再除以温度。",
            ),
        ),
        Trap(
            "arcface-softmax-before",
            Text(
                "The input is the embedding itself, not logits: no linear layer of C outputs, softmax or ReLU before "
                "it (after a ReLU no two embeddings have a cosine below 0). A BatchNorm1d without ReLU is usual.",
                "输入是嵌入本身而不是 logits：前面不要接 C 个输出的线性层、softmax 或 ReLU"
                "（经过 ReLU 的嵌入两两余弦都不小于 0）。通常接一个不带 ReLU 的 BatchNorm1d。",
            ),
        ),
    ),
    stability=Text(
        "No arc cosine is taken: $\\cos(\\theta + m) = \\cos\\theta \\cos m - \\sin\\theta \\sin m$, with the sine of "
        "the right class alone, so that no clamp moves the cosine and derivatives stay finite at the angles 0 and "
        "$\\pi$. The loss is softplus of the distance to the other classes' log-sum-exp, and keeps its digits near 0. "
        "Half precision is computed in float32.",
        "不取反余弦，而用 $\\cos(\\theta + m) = \\cos\\theta \\cos m - \\sin\\theta \\sin m$，且只算正确类别的正弦："
        "余弦不必截断，夹角为 0 与 $\\pi$ 时各阶导数仍有限。损失写作与其他类别 log-sum-exp 之差的 softplus，"
        "接近 0 时也保有有效数字。半精度输入以 float32 计算。",
    ),
    activation=Text("none (vectors)", "无（向量）"),
    input="(N, D), (C, D)",
    target="(N) int",
    typical=Text("faces, re-identification, retrieval", "人脸识别、重识别、检索"),
    siblings=(
        Sibling(
            "CosFaceLoss",
            Text(
                "Takes the margin off the cosine instead of adding it to the angle: without tip or jump, and easier to "
                "train. At m = 0 both are one.",
                "间隔从余弦中减去，而不是加在角度上：没有尖点与跳变，更易训练。m = 0 时二者相同。",
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
            "TripletMarginLoss",
            Text(
                "Compares triplets of embeddings, which must be mined; the number of classes does not matter.",
                "比较嵌入三元组，需要挖掘；与类别数无关。",
            ),
        ),
    ),
    sources=(
        'Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR (2019)',
        'Deng et al., "Sub-center ArcFace: Boosting Face Recognition by Large-scale Noisy Web Faces", ECCV (2020)',
    ),
    curve=Curve(
        Text("angle to the right class, in radians, of 1000 classes", "1000 类中与正确类别的夹角（弧度）"),
        (0.0, math.pi - 0.52),
        {"": at_angle},
    ),
    aliases=("arc_face", "arc_margin", "additive_angular_margin", "additive_angular_margin_loss", "insightface"),
)


LOSS = Loss(
    function=arcface_loss,
    module=ArcFaceLoss,
    family="embedding and ranking",
    facts=Facts(
        convex=False,
        lipschitz=lambda **_: math.inf,
        prediction=REALS,
        target="labels",
        minimiser=None,
        denominator="rows",
        smooth=False,
        optimum=None,
    ),
    card=CARD,
)
