"""The gradient penalty: keeps the slope of a critic, such as a GAN's, near a number between two sets of samples."""

from collections.abc import Callable

import torch
from torch import Tensor

from . import checks


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    fake: Tensor,
    real: Tensor,
    center: float = 1.0,
    one_sided: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""How far the slope of a critic is from `center`, at a point between each made and each real sample.

    .. math::
        g_i = \bigl( \lVert \nabla f(\hat x_i) \rVert_2 - c \bigr)^2 \qquad
        \hat x_i = \epsilon_i\, x_i + (1 - \epsilon_i)\, \tilde x_i \qquad \epsilon_i \sim U[0, 1]

    with real samples :math:`x` and fake ones :math:`\tilde x`. It can be differentiated in the critic's parameters; the
    samples get no gradient. The critic must judge each sample by itself: batch normalisation in it mixes them, so the
    slope of a sample's score is no longer that of the sum (write layer or instance normalisation).

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), equation 3; center 0: Thanh-Tung, Tran and
    Venkatesh, "Improving Generalization and Stability of Generative Adversarial Networks" (2019); one-sided: Petzka,
    Fischer and Lukovnikov, "On the regularization of Wasserstein GANs" (2018).

    Args:
        critic: what gives scores, (N), (N, 1) or more for each sample, of samples (N, ...). For a critic of labels too
            write ``lambda x: critic(x, labels)``.
        fake, real: samples (N, ...) of one shape; a floating dtype.
        center: :math:`c`, the slope that costs nothing.
        one_sided: whether slopes below the center cost nothing either.
        generator: draws :math:`\epsilon`, on the samples' device.

    Returns:
        One number for each sample, with as many dimensions as the scores, so that it can be added to them: the
        ``penalty`` of :func:`lossmith.functional.wasserstein_critic_loss`.

    Raises:
        ValueError: samples of different shapes; scores that are not one or more a sample, or do not depend on the
            samples.
        NotImplementedError: samples that are not floating.

    >>> import torch, lossmith
    >>> critic = lambda x: 3 * x[:, 0] - 4 * x[:, 1]  # its slope is 5 everywhere
    >>> lossmith.gradient_penalty(critic, torch.zeros(2, 2), torch.ones(2, 2))
    tensor([16., 16.])
    """
    name = "gradient_penalty"
    checks.real(name, fake=fake, real=real)
    checks.must_float(name, fake=fake)
    checks.must_float(name, real=real)
    if fake.shape != real.shape or fake.dim() == 0:
        raise ValueError(
            f"{name}: fake and real must be samples (N, ...) of one shape, since each point lies between one of each, "
            f"got {checks.shapes(fake=fake, real=real)}; cut both to the smaller batch: fake[:n], real[:n]"
        )
    each = (fake.shape[0], *[1] * (fake.dim() - 1))
    share = torch.rand(each, generator=generator, dtype=fake.dtype, device=fake.device)
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        points = torch.lerp(fake.detach(), real.detach().to(fake.dtype), share).requires_grad_()
        scores = critic(points)
        _check_scores(name, scores, points)
        (slopes,) = torch.autograd.grad(scores.sum(), points, create_graph=differentiable, allow_unused=True)
    if slopes is None:
        raise ValueError(f"{name}: {_UNRELATED}")
    squares = slopes.reshape(slopes.shape[0], -1).square().sum(1)
    # the root has no slope at 0: where the critic is flat, the penalty's gradient is 0
    flat = squares == 0
    excess = torch.where(flat, 0, torch.where(flat, 1, squares).sqrt()) - center
    if one_sided:
        excess = excess.clamp(min=0)
    return excess.square().reshape(-1, *[1] * (scores.dim() - 1))


_UNRELATED = (
    "the critic's scores do not depend on the samples that it got, so they have no slope; give the critic itself, "
    "which must not detach them, compute under torch.no_grad(), or return scores that were computed before"
)


def _check_scores(name: str, scores: Tensor, points: Tensor) -> None:
    checks.tensor(name, "the critic's result", scores)
    if scores.dim() == 0 or scores.shape[0] != points.shape[0]:
        raise ValueError(
            f"{name}: the critic gave scores {checks.describe(scores)} for samples {checks.describe(points)}, expected "
            f"one or more for each of the {points.shape[0]}, (N) or (N, 1); leave out a mean over the batch"
        )
    if not scores.requires_grad:
        raise ValueError(f"{name}: {_UNRELATED}")
