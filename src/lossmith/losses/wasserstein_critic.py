"""The loss of a Wasserstein critic: its scores of made samples less those of real ones, and a gradient penalty."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .. import checks
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..formula import Real, Reals, formula
from ..loops.pointwise import pointwise
from ..overrides import overridable
from ..reduction import Normalizer, plan


@formula
def wasserstein_critic(fake: Real, real: Real) -> Reals:
    return fake - real, 1.0, -1.0


@formula
def penalised_wasserstein_critic(fake: Real, real: Real, penalty: Real, weight: Real) -> Reals:
    return fake - real + weight * penalty, 1.0, -1.0, weight


@overridable
def wasserstein_critic_loss(
    fake: Tensor,
    real: Tensor,
    penalty: Tensor | None = None,
    penalty_weight: float = 10.0,
    reduction: str = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""What a Wasserstein critic is to make small: its scores of made samples, less those of real ones.

    .. math::
        \ell(f(\tilde x), f(x)) = f(\tilde x) - f(x) + \lambda\, g

    with a penalty :math:`g` for each sample, such as :func:`lossmith.gradient_penalty` gives it. The mean of
    :math:`f(x) - f(\tilde x)` over all functions f of slope at most 1 has the Wasserstein distance :math:`W_1` as its
    greatest value, so less the loss without its penalty is an estimate of it. The generator's loss is
    ``-critic(fake).mean()``.

    Source: Arjovsky, Chintala and Bottou, "Wasserstein GAN" (2017), equation 2; Gulrajani et al., "Improved Training of
    Wasserstein GANs" (2017), equation 3, for the penalty and its weight.

    Args:
        fake: the critic's scores of made samples, (N), (N, 1) or more for each; a floating dtype.
        real: its scores of real samples, of the same shape (others broadcast; a result larger than both warns).
        penalty: one number for each sample, that broadcasts to the scores without enlarging them; None: no penalty.
        penalty_weight: :math:`\lambda`, in the unit of the scores over that of the penalty; not negative.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; see :doc:`/reductions`.
        sample_weight, mask, normalizer, on_empty: see :doc:`/reductions`.

    Raises:
        RuntimeError: the shapes can't be broadcast together.
        NotImplementedError: scores that are not floating.
        ValueError: a penalty of another shape; a negative penalty_weight; an unknown reduction.

    >>> import torch, lossmith
    >>> fake, real = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 3.0])
    >>> lossmith.functional.wasserstein_critic_loss(fake, real, reduction="none")
    tensor([-3., -1.])
    >>> lossmith.functional.wasserstein_critic_loss(fake, real, torch.tensor([0.1, 0.3]))  # -2 + 10 * 0.2
    tensor(0.)
    """
    loss = "wasserstein_critic_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    _check_weight(loss, penalty_weight)
    alike = checks.alike(fake, real)
    if not alike:
        checks.real(loss, fake=fake, real=real)
        checks.must_float(loss, fake=fake, real=real)
        checks.broadcastable(loss, fake=fake, real=real)
        checks.outer_broadcast(loss, how.reduction, fake=fake, real=real)
    if penalty is None:
        return pointwise(loss, wasserstein_critic, (fake, real), (), how, alike=alike)
    checks.real(loss, penalty=penalty)
    shape = torch.broadcast_shapes(fake.shape, real.shape)  # type: ignore[no-untyped-call]
    checks.fits(loss, "penalty", penalty, shape, "the scores")
    return pointwise(
        loss,
        penalised_wasserstein_critic,
        (fake, real, penalty),
        (float(penalty_weight),),
        how,
        alike=checks.alike(fake, real, penalty),
    )


def _check_weight(loss: str, penalty_weight: float) -> None:
    if isinstance(penalty_weight, bool) or not 0 <= penalty_weight < math.inf:
        raise ValueError(
            f"{loss}: penalty_weight is {penalty_weight!r}, expected a finite number of 0 or more: a negative one "
            f"rewards the critic for what is to be penalised; write penalty_weight=10.0"
        )


class WassersteinCriticLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.wasserstein_critic_loss` as a Module.

    Args:
        penalty_weight, reduction: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> critic = torch.nn.Linear(3, 1)
    >>> fake, real = torch.randn(8, 3), torch.randn(8, 3)
    >>> penalty = lossmith.gradient_penalty(critic, fake, real)
    >>> lossmith.WassersteinCriticLoss(reduction="none")(critic(fake), critic(real), penalty).shape
    torch.Size([8, 1])
    """

    def __init__(
        self,
        penalty_weight: float = 10.0,
        reduction: str = "mean",
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        _check_weight(type(self).__name__, penalty_weight)
        self.penalty_weight, self.reduction = penalty_weight, reduction
        self._settle(normalizer, on_empty)

    def forward(
        self,
        fake: Tensor,
        real: Tensor,
        penalty: Tensor | None = None,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return wasserstein_critic_loss(
            fake,
            real,
            penalty,
            self.penalty_weight,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _against(score: float) -> Callable[[Tensor], dict[str, Tensor]]:
    return lambda fake: {"fake": fake, "real": torch.full_like(fake, score)}


CARD = Card(
    title=Text("Wasserstein critic loss", "Wasserstein 评论家损失"),
    summary=Text(
        "A critic's scores of made samples less its scores of real ones, with a penalty on its slope: what the critic "
        "of a Wasserstein GAN makes small.",
        "评论网络对生成样本的评分减去对真实样本的评分，外加对其斜率的惩罚：Wasserstein GAN 的评论网络所最小化的量。",
    ),
    gradient=Text(
        "1 at each score of a made sample, -1 at each of a real one, whatever the scores are: only the penalty holds "
        "them.",
        "对每个生成样本的评分为 1，对每个真实样本的评分为 -1，与评分大小无关：只有惩罚项能约束它们。",
    ),
    robustness=Text(
        "A mislabelled or far sample pulls its score no harder than any other; in the penalty its slope is squared.",
        "标错的或偏远的样本对评分的拉力与其他样本相同；但在惩罚项中其斜率会被平方。",
    ),
    sparsity=Text("None: no score and no gradient becomes 0.", "无稀疏性：评分和梯度都不会变为 0。"),
    smoothness=Text(
        "Linear in the scores. The penalty has a kink where the critic is flat; there its gradient is 0.",
        "对评分是线性的。惩罚项在评论网络平坦处（斜率为 0）有尖点，此处梯度取 0。",
    ),
    sensitivity=Text(
        "The scale of the critic, which the penalty fixes; the ratio of critic steps to generator steps (5 to 1 in the "
        "paper); the learning rate.",
        "取决于评论网络的尺度（由惩罚项固定）、评论网络与生成器的更新次数之比（论文为 5 比 1）以及学习率。",
    ),
    minimiser=Text(
        "None: without a bound on the slope the scores part for ever and the loss falls to $-\\infty$. With slope at "
        "most 1, its least mean is $-W_1$.",
        "不存在：斜率不受约束时评分会无限分开，损失趋于 $-\\infty$。斜率不超过 1 时，均值的最小值为 $-W_1$。",
    ),
    use=(
        Text(
            "The critic of a Wasserstein GAN with gradient penalty (WGAN-GP).",
            "带梯度惩罚的 Wasserstein GAN（WGAN-GP）的评论网络。",
        ),
        Text(
            "An estimate of the distance of two sets of samples in many dimensions: less the loss, once the critic is "
            "trained.",
            "估计高维空间中两组样本之间的距离：评论网络训练好之后，取损失的相反数。",
        ),
    ),
    avoid=(
        Text(
            "Numbers, or points whose slices say enough: WassersteinLoss is exact and needs no second network.",
            "一维数值，或切片已足够的点云：WassersteinLoss 精确计算，不需要第二个网络。",
        ),
        Text(
            "A discriminator that gives probabilities: BCEWithLogitsLoss on its logits.",
            "输出概率的判别器：对其 logits 用 BCEWithLogitsLoss。",
        ),
    ),
    traps=(
        Trap(
            "wasserstein-critic-without-a-bound",
            Text(
                "Without a penalty nothing holds the scores: the loss falls for ever and says nothing. Give "
                "penalty=lossmith.gradient_penalty(critic, fake, real), or normalise the critic's weights by their "
                "spectral norm. Clipping weights, as the first paper did, makes the critic too simple or its gradient "
                "vanish.",
                "没有惩罚项时评分不受约束，损失一直下降却毫无意义。应给出 "
                "penalty=lossmith.gradient_penalty(critic, fake, real)，或对评论网络做谱归一化。"
                "像最初论文那样裁剪权重，会使评论网络过于简单或梯度消失。",
            ),
        ),
        Trap(
            "wasserstein-critic-batch-norm",
            Text(
                "Batch normalisation in the critic makes a sample's score depend on the others of its batch, and the "
                "penalty, which is of each sample's slope, means nothing. Use layer or instance normalisation, or "
                "none.",
                "评论网络中若有批归一化，一个样本的评分会依赖同批的其他样本，针对单个样本斜率的惩罚就失去意义。"
                "应改用层归一化或实例归一化，或不做归一化。",
            ),
        ),
        Trap(
            "wasserstein-critic-sign",
            Text(
                "The critic makes fake - real small, so real samples score high. The generator makes "
                "-critic(fake).mean() small. Code that trains on real - fake with the same penalty has a critic of the "
                "other sign: change both, or the generator runs away from the data.",
                "评论网络最小化 fake - real，因此真实样本得分高；生成器最小化 -critic(fake).mean()。"
                "若原代码用 real - fake，评论网络的符号相反，两处须一起改，否则生成器会远离数据。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "wasserstein-critic-sigmoid",
            Text(
                "Scores are any numbers. A sigmoid at the critic's end bounds them, and its gradient vanishes: leave "
                "it out.",
                "评分可取任意实数。评论网络末端若有 sigmoid，评分受限且梯度消失，应去掉。",
            ),
            rule="critic-squashed",
        ),
        Trap(
            "wasserstein-critic-fake-not-detached",
            Text(
                "In the critic's step the samples are the generator's, but the generator is not to learn from it: "
                "score fake.detach(). In the generator's step the critic's parameters are not to be stepped.",
                "更新评论网络时，样本虽来自生成器，但生成器不应从中学习：应对 fake.detach() 评分。"
                "更新生成器时，不应更新评论网络的参数。",
            ),
        ),
        Trap(
            "wasserstein-critic-outer-broadcast",
            Text(
                "Scores of (N, 1) against scores of (N) become an (N, N) table of all pairs. Give both one shape.",
                "评分 (N, 1) 与评分 (N) 会广播成 (N, N) 的两两配对表。应使两者形状一致。",
            ),
            rule="outer-broadcast",
        ),
    ),
    stability=Text(
        "One subtraction; it overflows only where scores do. Half precision is computed in float32. The penalty needs "
        "a second derivative of the critic: under autocast compute it in float32.",
        "只有一次减法，评分本身溢出时才会溢出。半精度输入以 float32 计算。"
        "惩罚项需要评论网络的二阶导数：在 autocast 下应以 float32 计算。",
    ),
    activation=Text("none (scores)", "无（评分）"),
    input="(N, *)",
    target="-",
    typical=Text("GANs: the critic", "GAN 的评论网络"),
    siblings=(
        Sibling(
            "WassersteinLoss",
            Text(
                "The distance itself, of numbers exactly and of points by slices, without a critic.",
                "距离本身：一维精确，点云用切片，不需要评论网络。",
            ),
        ),
        Sibling(
            "MarginRankingLoss",
            Text(
                "Stops once a real sample's score leads by a margin, so that scores stay bounded.",
                "真实样本的评分领先达到间隔即停止，因此评分有界。",
            ),
        ),
        Sibling(
            "BCEWithLogitsLoss",
            Text(
                "The first GAN's discriminator: a probability of being real; its gradient fades once it is sure.",
                "最初 GAN 的判别器：给出为真的概率；一旦十分确信，梯度就消失。",
            ),
        ),
    ),
    sources=(
        'Arjovsky, Chintala and Bottou, "Wasserstein GAN", arXiv:1701.07875 (2017)',
        'Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS (2017)',
    ),
    curve=Curve(
        Text("score $f(\\tilde x)$ of a made sample", "生成样本的评分 $f(\\tilde x)$"),
        (-3.0, 3.0),
        {f"f(x) = {score}": _against(score) for score in (-1.0, 1.0)},
    ),
    aliases=("wgan", "wgan_gp", "wgan_loss", "critic", "critic_loss"),
)


LOSS = Loss(
    function=wasserstein_critic_loss,
    module=WassersteinCriticLoss,
    family="distributions and sequences",
    formulas=(wasserstein_critic, penalised_wasserstein_critic),
    facts=Facts(
        convex=True,
        lipschitz=lambda **_: math.sqrt(2),
        prediction=REALS,
        target="none",
        minimiser=None,
        denominator="elements",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
