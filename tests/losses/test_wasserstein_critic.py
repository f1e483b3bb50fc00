"""The critic's loss and its gradient penalty: the papers' formulas, a GAN that finds its target, wrong calls."""

import math

import pytest
import torch
from torch import Tensor, nn

import lossmith
import lossmith.functional as LF
from lossmith import LossWarning, explain_dispatch

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def uniform(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape, dtype=torch.float64).uniform_(-2, 2, generator=generator)


class Critic(nn.Module):
    """Two layers, smooth, so that derivatives can be checked."""

    def __init__(self, width: int = 8, inputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(inputs, width).double(), nn.Linear(width, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(torch.tanh(self.first(x)))
        return scores


# ----- the loss -----


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 1, 4, 4)], ids=str)
def test_the_mean_is_the_difference_of_means(shape):
    fake, real = uniform(*shape, seed=1).requires_grad_(), uniform(*shape, seed=2).requires_grad_()
    assert explain_dispatch(LF.wasserstein_critic_loss, fake, real).backend == "native"
    loss = LF.wasserstein_critic_loss(fake, real)
    torch.testing.assert_close(loss, fake.mean() - real.mean())
    of_fake, of_real = torch.autograd.grad(loss, (fake, real))
    torch.testing.assert_close(of_fake, torch.full_like(fake, 1 / fake.numel()))
    torch.testing.assert_close(of_real, torch.full_like(real, -1 / real.numel()))


def test_the_penalty_is_one_number_a_sample():
    fake, real = uniform(6, 1, 4, 4, seed=1), uniform(6, 1, 4, 4, seed=2)
    penalty = uniform(6, 1, 1, 1, seed=3).abs().requires_grad_()
    loss = LF.wasserstein_critic_loss(fake, real, penalty, penalty_weight=3.0)
    torch.testing.assert_close(loss, (fake - real).mean() + 3 * penalty.mean())
    torch.testing.assert_close(torch.autograd.grad(loss, penalty)[0], torch.full_like(penalty, 3 / 6))
    assert explain_dispatch(LF.wasserstein_critic_loss, fake, real, penalty).backend == "native"


def test_first_and_second_derivatives():
    points = [uniform(4, seed=s).requires_grad_() for s in range(3)]
    torch.autograd.gradcheck(LF.wasserstein_critic_loss, points)
    torch.autograd.gradgradcheck(LF.wasserstein_critic_loss, points)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_extremes(dtype):
    fake = torch.tensor([1.0, math.inf, -math.inf, math.nan, 0.0], dtype=dtype)
    real = torch.tensor([3.0, 1.0, 1.0, 1.0, -0.0], dtype=dtype)
    found = LF.wasserstein_critic_loss(fake, real, reduction="none")
    assert found.dtype == dtype
    torch.testing.assert_close(found, fake - real, equal_nan=True)


def test_wrong_calls():
    fake = torch.zeros(4, 1)
    with pytest.raises(ValueError, match=r"penalty is \(4,\) float32, expected a shape that broadcasts to the scores"):
        LF.wasserstein_critic_loss(fake, fake, torch.zeros(4))
    with pytest.raises(RuntimeError, match=r"can't be broadcast together: fake .*, real"):
        LF.wasserstein_critic_loss(fake, torch.zeros(3, 1))
    with pytest.warns(LossWarning, match=r"fake \(4, 1\) float32, real \(4,\) float32 broadcast to \(4, 4\)"):
        LF.wasserstein_critic_loss(fake, torch.zeros(4))
    for wrong in (-1.0, math.inf, math.nan, True):
        with pytest.raises(ValueError, match=r"penalty_weight is .*a finite number of 0 or more"):
            LF.wasserstein_critic_loss(fake, fake, penalty_weight=wrong)
        with pytest.raises(ValueError, match="WassersteinCriticLoss: penalty_weight is"):
            lossmith.WassersteinCriticLoss(penalty_weight=wrong)
    with pytest.raises(NotImplementedError, match="floating"):
        LF.wasserstein_critic_loss(fake.long(), fake.long())


# ----- the penalty -----


def penalty_by_hand(critic: nn.Module, fake: Tensor, real: Tensor, share: Tensor) -> Tensor:
    """Equation 3 of Gulrajani et al., sample by sample."""
    found = []
    for made, true, part in zip(fake, real, share, strict=True):
        point = (part * true + (1 - part) * made).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(point[None]).sum(), point, create_graph=True)
        found.append((slope.square().sum().sqrt() - 1) ** 2)
    return torch.stack(found)


def test_the_papers_equation_with_its_gradients():
    critic, fake, real = Critic(), uniform(5, 3, seed=1), uniform(5, 3, seed=2)
    share = torch.rand(5, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    found = lossmith.gradient_penalty(critic, fake, real, generator=torch.Generator().manual_seed(7))
    expected = penalty_by_hand(critic, fake, real, share)
    assert found.shape == (5, 1)
    torch.testing.assert_close(found[:, 0], expected)
    wanted = torch.autograd.grad(expected.mean(), critic.first.weight)
    torch.testing.assert_close(torch.autograd.grad(found.mean(), critic.first.weight), wanted)


def test_a_linear_critics_slope_is_its_length():
    weight = torch.tensor([[3.0, 4.0]], requires_grad=True)
    x, y = torch.randn(6, 2), torch.randn(6, 2)
    for keywords, expected in (
        ({}, 16.0),
        ({"center": 0.0}, 25.0),
        ({"center": 7.0}, 4.0),
        ({"center": 7.0, "one_sided": True}, 0.0),
        ({"center": 2.0, "one_sided": True}, 9.0),
    ):
        for critic in (lambda x: x @ weight.T, lambda x: (x @ weight.T)[:, 0]):
            found = lossmith.gradient_penalty(critic, x, y, **keywords)
            assert found.shape == critic(x).shape
            torch.testing.assert_close(found, torch.full_like(found, expected))
    (gradient,) = torch.autograd.grad(lossmith.gradient_penalty(lambda x: x @ weight.T, x, y).mean(), weight)
    torch.testing.assert_close(gradient, 2 * (5 - 1) * weight / 5)


def test_the_points_lie_between_the_samples_one_share_each():
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    fake, real = torch.zeros(1000, 2, 3), torch.ones(1000, 2, 3)
    lossmith.gradient_penalty(critic, fake, real)
    shares = seen[0].flatten(1)
    assert (shares == shares[:, :1]).all() and 0 <= shares.min() < 0.01 and 0.99 < shares.max() <= 1
    assert shares[:, 0].mean() == pytest.approx(0.5, abs=0.05)


def test_a_flat_critic_has_a_penalty_without_nan():
    weight = torch.zeros(2, requires_grad=True)
    for center, expected in ((1.0, 1.0), (0.0, 0.0)):
        found = lossmith.gradient_penalty(lambda x: x @ weight, torch.zeros(3, 2), torch.ones(3, 2), center)
        assert found.tolist() == [expected] * 3
        assert torch.autograd.grad(found.sum(), weight)[0].tolist() == [0.0, 0.0]


def test_of_images_labels_and_patches():
    convolution = nn.Conv2d(1, 1, 3)
    fake, real = torch.randn(4, 1, 6, 6), torch.randn(4, 1, 6, 6)
    found = lossmith.gradient_penalty(convolution, fake, real)
    assert found.shape == (4, 1, 1, 1)
    loss = lossmith.WassersteinCriticLoss()(convolution(fake), convolution(real), found)
    loss.backward()
    assert convolution.weight.grad.isfinite().all()
    labels = torch.tensor([0, 1, 1, 0])
    table = nn.Embedding(2, 36)
    assert lossmith.gradient_penalty(lambda x: (x.flatten(1) * table(labels)).sum(1), fake, real).shape == (4,)


def test_samples_get_no_gradient_and_evaluation_no_graph():
    critic, fake, real = Critic(), uniform(5, 3, seed=1).requires_grad_(), uniform(5, 3, seed=2)
    found = lossmith.gradient_penalty(critic, fake, real)
    found.mean().backward()
    assert fake.grad is None and critic.first.weight.grad is not None
    with torch.no_grad():
        assert not lossmith.gradient_penalty(critic, fake, real).requires_grad


def test_wrong_critics():
    x = torch.zeros(4, 3)
    weight = torch.ones(3, requires_grad=True)
    for unrelated in (
        lambda x: torch.zeros(4),
        lambda x: x.detach() @ weight,
        lambda x: weight.sum().expand(4),
    ):
        with pytest.raises(ValueError, match="scores do not depend on the samples that it got"):
            lossmith.gradient_penalty(unrelated, x, x)
    for wrong in (lambda x: x.sum(), lambda x: x.sum(0)):
        with pytest.raises(ValueError, match=r"expected one or more for each of the 4, \(N\) or \(N, 1\).*a mean over"):
            lossmith.gradient_penalty(wrong, x, x)
    with pytest.raises(TypeError, match="the critic's result is a list"):
        lossmith.gradient_penalty(lambda x: [x], x, x)
    with pytest.raises(ValueError, match=r"of one shape.*cut both to the smaller batch: fake\[:n\], real\[:n\]"):
        lossmith.gradient_penalty(Critic(), x, torch.zeros(5, 3))
    with pytest.raises(NotImplementedError, match=r"expected real of a floating dtype.*real\.float\(\)"):
        lossmith.gradient_penalty(Critic(), x, torch.zeros(4, 3, dtype=torch.int64))


# ----- as it is used -----


def test_a_trained_critic_measures_the_distance():
    """W1 is 3 for samples that are shifted by 3; at a slope s less the loss is 3 s - 10 (s - 1)^2, greatest at 1.15."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion, optimizer = lossmith.WassersteinCriticLoss(), torch.optim.Adam(critic.parameters(), 1e-2)
    estimates = []
    for _ in range(400):
        real, fake = torch.randn(256, 1), torch.randn(256, 1) + 3
        penalty = lossmith.gradient_penalty(critic, fake, real)
        loss = criterion(critic(fake), critic(real), penalty)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        estimates.append(-LF.wasserstein_critic_loss(critic(fake), critic(real)).item())
    assert sum(estimates[-50:]) / 50 == pytest.approx(3 * 1.15, abs=0.15)
    # the critic scores real samples above made ones
    assert critic(torch.tensor([[0.0]])) > critic(torch.tensor([[3.0]]))
