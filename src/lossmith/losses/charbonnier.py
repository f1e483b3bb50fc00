"""Charbonnier loss: the absolute error, rounded off below eps by a hyperbola."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula, sqrt, step, where
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def charbonnier(prediction: Real, target: Real, eps: Real) -> Reals:
    error = prediction - target
    size = where(error >= 0.0, error, -error)
    # of the two legs the longer one is taken out of the root: no square overflows or vanishes
    far = size > eps
    longer = where(far, size, eps)
    shorter = where(far, eps, size)
    ratio = shorter / longer
    root = sqrt(1.0 + ratio * ratio)
    slope = (2.0 * step(error) - 1.0) * where(far, 1.0, ratio) / root
    # longer * root, in a form whose derivative exists where the error is infinite
    return longer + shorter * (ratio / (1.0 + root)), slope, -slope


@overridable
def charbonnier_loss(
    input: Tensor,
    target: Tensor,
    eps: float = 1e-3,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Charbonnier loss: the absolute error, rounded off below :math:`\epsilon`, where it is a parabola.

    .. math::
        \ell(x, y) = \sqrt{(x - y)^2 + \epsilon^2} \qquad
        \frac{\partial \ell}{\partial x} = \frac{x - y}{\sqrt{(x - y)^2 + \epsilon^2}}

    Its least value is :math:`\epsilon`, not 0. It is finite wherever the error is, and its gradient right for every
    :math:`\epsilon`, since no square is taken of anything above 1.

    Source: Charbonnier, Blanc-Féraud, Aubert and Barlaud, "Two Deterministic Half-Quadratic Regularization Algorithms
    for Computed Imaging", ICIP (1994), whose potential is :math:`2 \sqrt{1 + e^2} - 2`; in this form and with
    :math:`\epsilon = 10^{-3}` Lai, Huang, Ahuja and Yang, "Deep Laplacian Pyramid Networks for Fast and Accurate
    Super-Resolution", CVPR (2017).

    Args:
        input: predictions :math:`x`, any shape, in the unit of the target; a floating dtype.
        target: :math:`y`, of the same shape (others broadcast; a result larger than both warns).
        eps: :math:`\epsilon`, how wide the loss is rounded off, in the unit of the target; above 0. It is squared
            here: code that adds a bare 1e-6 to the squared error has an ``eps`` of 1e-3.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        ValueError: eps is not a finite number above 0; an unknown reduction.
        RuntimeError: the shapes can't be broadcast together.
        NotImplementedError: complex numbers, or an input of integers.

    >>> import torch, lossmith
    >>> x = torch.tensor([0.3, 0.0], requires_grad=True)
    >>> loss = lossmith.functional.charbonnier_loss(x, torch.zeros(2), eps=0.4, reduction="none")
    >>> loss.detach()  # sqrt(0.3**2 + 0.4**2), sqrt(0 + 0.4**2)
    tensor([0.5000, 0.4000])
    >>> loss.sum().backward()
    >>> x.grad  # 0.3 / 0.5
    tensor([0.6000, 0.0000])
    """
    loss = "charbonnier_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    if not 0 < eps < math.inf:
        raise ValueError(
            f"{loss}: eps is {eps!r}, expected a finite number above 0, in the unit of the target; write 1e-3, or take "
            f"l1_loss, which it becomes at 0"
        )
    alike = checks.pair(loss, how.reduction, input, target, "input")
    if not 1e-30 < eps < 1e30:
        limits = torch.finfo(dtypes(input, target)[0])
        eps = min(max(eps, limits.tiny), limits.max)
    return pointwise(loss, charbonnier, (input, target), (eps,), how, alike=alike)


class CharbonnierLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.charbonnier_loss` as a Module.

    Args:
        eps, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> lossmith.CharbonnierLoss(eps=3.0)(torch.tensor([4.0]), torch.tensor([0.0]))
    tensor(5.)
    """

    def __init__(
        self, eps: float = 1e-3, reduction: str = "mean", *, normalizer: Normalizer = None, on_empty: str = "nan"
    ) -> None:
        super().__init__()
        self.eps, self.reduction = eps, reduction
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
        return charbonnier_loss(input, target, self.eps, **self._reduction(sample_weight, mask, normalizer, on_empty))


CARD = Card(
    title=Text("Charbonnier loss", "Charbonnier 损失"),
    summary=Text(
        "The absolute error with its kink rounded off below eps: the length of a vector whose legs are the error and "
        "eps.",
        "尖点在 eps 以内被磨圆的绝对误差：以误差和 eps 为两直角边的斜边长。",
    ),
    gradient=Text(
        "The error over the loss: $e / \\epsilon$ for errors far below eps, 0.71 at eps, and nearly 1 or -1 beyond: "
        "all errors above a few eps pull alike.",
        "误差除以损失：远小于 eps 时为 $e / \\epsilon$，等于 eps 时为 0.71，更大时接近 1 或 -1："
        "超过几个 eps 的误差拉力都相同。",
    ),
    robustness=Text(
        "Robust: an outlier pulls with less than 1, however far off it is.",
        "鲁棒：离群点无论多远，拉力都小于 1。",
    ),
    sparsity=Text(
        "Nearly L1's: errors are driven to well below eps, but not to exactly 0.",
        "接近 L1：误差会被压到远小于 eps，但不会恰好为 0。",
    ),
    smoothness=Text(
        "Infinitely differentiable and convex. The curvature is 1/eps at 0 and there alone: the default of 0.001 makes "
        "it 1000, nearly a kink.",
        "无穷次可导且凸。曲率在 0 处为 1/eps，并只集中在那里：默认 0.001 时为 1000，近乎尖点。",
    ),
    sensitivity=Text(
        "To eps, in the target's unit: 0.001 suits images in [0, 1] (a quarter of a grey level of 255); for images in "
        "[0, 255] it is L1.",
        "关键是 eps，其单位与目标相同：0.001 适合 [0, 1] 的图像（255 级灰度的四分之一级）；"
        "对 [0, 255] 的图像它就是 L1。",
    ),
    minimiser=Text(
        "The target, where the loss is eps and not 0. Where targets scatter, a centre between their median and their "
        "mean: with the small eps of practice, the median.",
        "目标值本身，此时损失为 eps 而非 0。目标有散布时，最优预测介于中位数与均值之间；eps 取常用的小值时即中位数。",
    ),
    use=(
        Text(
            "Image restoration and super-resolution: sharper than MSE, which averages the possible images, and smooth "
            "where L1 has its kink.",
            "图像复原与超分辨率：比 MSE 更锐利（MSE 会对可能的图像取平均），又避免了 L1 的尖点。",
        ),
        Text(
            "Optical flow, depth, and total variation, as a smooth norm of gradients.",
            "光流、深度估计，以及作为梯度的光滑范数用于全变分。",
        ),
    ),
    avoid=(
        Text(
            "Errors to be squared up to a threshold: HuberLoss, or this loss with an eps of the noise's scale.",
            "希望阈值以内按平方计的误差：HuberLoss，或把 eps 取为噪声的尺度。",
        ),
        Text(
            "Gross outliers that should not pull at all: it is convex, and each of them keeps pulling with 1.",
            "希望完全不受严重离群点影响时：它是凸函数，每个离群点始终以 1 的力拉动。",
        ),
    ),
    traps=(
        Trap(
            "charbonnier-eps-squared",
            Text(
                "eps is squared here, as in the papers. Much code adds it bare, torch.sqrt(diff * diff + 1e-6), which "
                "is eps=0.001; eps=1e-6 carried over from there is a thousand times narrower, and L1 in practice.",
                "这里与论文一致，eps 要取平方。许多代码直接相加：torch.sqrt(diff * diff + 1e-6)，对应 eps=0.001；"
                "若照搬成 eps=1e-6，则窄了一千倍，实际上就是 L1。",
            ),
        ),
        Trap(
            "charbonnier-unit",
            Text(
                "eps is in the target's unit. On images of 0 to 255 the default rounds off nothing: write eps=0.255, "
                "or divide the images by 255.",
                "eps 以目标的单位计。图像取值 0 到 255 时默认值不起作用：应写 eps=0.255，或把图像除以 255。",
            ),
            rule="unscaled-regression-target",
        ),
        Trap(
            "charbonnier-variants",
            Text(
                "Packages differ. The pseudo-Huber loss of XGBoost and SciPy is $\\delta \\ell - \\delta^2$ with eps = "
                "delta: 0 at the target, and delta as steep far off. Optical flow raises it to a power, $(e^2 + "
                "\\epsilon^2)^{\\alpha}$ with an exponent of 0.45, which is not convex; here it is 1/2. Barron's "
                "general loss at alpha = 1 is $\\ell / \\epsilon - 1$.",
                "各软件包定义不同。XGBoost 与 SciPy 的伪 Huber 损失是 $\\delta \\ell - \\delta^2$（eps 即 delta）："
                "在目标处为 0，远处斜率为 delta。光流中取幂 $(e^2 + \\epsilon^2)^{\\alpha}$，指数为 0.45 时非凸；"
                "这里指数为 1/2。Barron 的通用损失在 alpha = 1 时为 $\\ell / \\epsilon - 1$。",
            ),
        ),
        Trap(
            "charbonnier-mean-of-the-sum",
            Text(
                "The LapSRN paper sums over the pixels and averages over the images. The mean here is over all of "
                'them, smaller by the number of pixels of an image; its number is reduction="batchmean".',
                "LapSRN 论文对像素求和、对图像取平均。这里的 mean 对全部元素取平均，差一个每幅图像像素数的倍数；"
                '要得到论文的数值应写 reduction="batchmean"。',
            ),
        ),
        Trap(
            "charbonnier-outer-broadcast",
            Text(
                "An input of (N, 1) against a target of (N) becomes an (N, N) table of all pairs; the loss still "
                "falls, toward the median of all targets. Write input.squeeze(1).",
                "输入 (N, 1) 与目标 (N) 会广播成 (N, N) 的两两配对表；损失照样下降，"
                "模型却只学到全部目标的中位数。应写 input.squeeze(1)。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "The longer leg is taken out of the root, as hypot does: an error of 1e30 gives 1e30 in float32, where its "
        "square overflows, and eps=1e-30 keeps its gradient, where its square vanishes. Half precision is computed in "
        "float32.",
        "与 hypot 一样把较长的直角边提到根号外：float32 下误差 1e30 得 1e30（其平方会溢出），"
        "eps=1e-30 时梯度仍正确（其平方会变成 0）。半精度输入以 float32 计算。",
    ),
    activation=Text("none", "无"),
    input="(*)",
    target="(*)",
    typical=Text("super-resolution, image restoration, optical flow", "超分辨率、图像复原、光流"),
    siblings=(
        Sibling(
            "L1Loss",
            Text(
                "Its limit as eps goes to 0: with a kink, and 0 at the target.",
                "eps 趋于 0 时的极限：有尖点，在目标处为 0。",
            ),
        ),
        Sibling(
            "HuberLoss",
            Text(
                "A parabola up to delta and exactly linear beyond; delta times as steep, with a seam in the second "
                "derivative.",
                "delta 以内为抛物线，其外严格线性；斜率是 delta 倍，二阶导数有接缝。",
            ),
        ),
        Sibling(
            "SmoothL1Loss",
            Text(
                "Keeps L1's slope of 1 as this does, rounds off below beta by a parabola, and is 0 at the target.",
                "同样保持 L1 的斜率 1，在 beta 以内用抛物线磨圆，在目标处为 0。",
            ),
        ),
        Sibling(
            "LogCoshLoss",
            Text(
                "As smooth, without a parameter: its bend sits at errors of about 1.",
                "同样光滑而没有参数：弯折处固定在误差约为 1 的地方。",
            ),
        ),
    ),
    sources=(
        'Charbonnier, Blanc-Féraud, Aubert and Barlaud, "Two Deterministic Half-Quadratic Regularization Algorithms '
        'for Computed Imaging", ICIP (1994)',
        'Lai, Huang, Ahuja and Yang, "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", '
        "CVPR (2017)",
        'Sun, Roth and Black, "Secrets of Optical Flow Estimation and Their Principles", CVPR (2010)',
        'Barron, "A General and Adaptive Robust Loss Function", CVPR (2019), equation 1 at alpha = 1',
    ),
    curve=Curve(
        Text("error $x - y$", "误差 $x - y$"),
        (-4.0, 4.0),
        {
            "eps = 0.001": lambda x: {"input": x, "target": torch.zeros_like(x)},
            "eps = 1": lambda x: {"input": x, "target": torch.zeros_like(x), "eps": 1.0},
        },
    ),
    aliases=("pseudo_huber", "pseudo_huber_loss", "pseudohubererror", "l1_charbonnier"),
)


LOSS = Loss(
    function=charbonnier_loss,
    module=CharbonnierLoss,
    family="regression",
    formulas=(charbonnier,),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: 1.0,
        prediction=REALS,
        target=REALS,
        minimiser=lambda target, **_: target,
        denominator="elements",
        smooth=True,
        optimum="between median and mean",
    ),
    card=CARD,
)
