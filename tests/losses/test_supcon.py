"""SupCon against pytorch-metric-learning, the authors' code and the paper's equations; its tiles, its extremes."""

import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import SupConLoss as Theirs

import lossmith
from lossmith.functional import info_nce_loss, supcon_loss
from similarities import (
    close_to_float64,
    megabytes,
    ran,
    value_and_gradients,
    vectors,
)

N, D = 9, 5
LABELS = torch.tensor([0, 1, 2, 0, 0, 1, 3, 2, 4])
"""Two labels occur once."""
KINDS = ("out", "in")


def equations(kind: str, z: torch.Tensor, labels: torch.Tensor, temperature) -> torch.Tensor:
    """Equations 2 and 3 of the paper, row by row; the mean over the rows that have positives."""
    z, rows = F.normalize(z, dim=1), len(labels)
    losses = []
    for i in range(rows):
        positives = [p for p in range(rows) if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        total = sum((z[i] @ z[a] / temperature).exp() for a in range(rows) if a != i)
        shares = [(z[i] @ z[p] / temperature).exp() / total for p in positives]
        logs = sum(share.log() for share in shares) / len(shares)
        losses.append(-logs if kind == "out" else -(sum(shares) / len(shares)).log())
    return torch.stack(losses).mean()


def authors(features: torch.Tensor, labels: torch.Tensor, temperature: float, base: float = 0.07) -> torch.Tensor:
    """What the authors' SupContrast computes of views (B, V, D) whose length is 1, with contrast_mode "all"."""
    views = features.shape[1]
    contrast = torch.cat(features.unbind(1))
    alike = (labels[:, None] == labels).double().repeat(views, views)
    others = 1 - torch.eye(len(contrast), dtype=torch.float64)
    logits = contrast @ contrast.T / temperature
    log_share = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    mean = (alike * others * log_share).sum(1) / (alike * others).sum(1)
    return -(temperature / base) * mean.mean()


def test_is_that_of_pytorch_metric_learning(way):
    z = vectors(N, D, scale=30)
    assert ran(way, supcon_loss, z, LABELS)
    for temperature in (0.1, 0.7):
        expected = value_and_gradients(Theirs(temperature=temperature)(z, LABELS), z)
        torch.testing.assert_close(value_and_gradients(supcon_loss(z, LABELS, temperature), z), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_papers_equation(kind, way):
    z = vectors(N, D)
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert ran(way, supcon_loss, z, LABELS, t, kind)
    expected = value_and_gradients(equations(kind, z, LABELS, t), z, t)
    torch.testing.assert_close(value_and_gradients(supcon_loss(z, LABELS, t, kind), z, t), expected)


def test_the_authors_code_scales_by_the_temperature():
    views, labels = vectors(4, 2, D), torch.tensor([3, 5, 3, 8])
    for temperature in (0.07, 0.5):
        criterion = lossmith.SupConLoss(temperature, base_temperature=0.07)
        ours = criterion(views.flatten(0, 1), labels.repeat_interleave(2))
        expected = authors(F.normalize(views, dim=2), labels, temperature)
        torch.testing.assert_close(value_and_gradients(ours, views), value_and_gradients(expected, views))
    each = supcon_loss(views.flatten(0, 1), labels.repeat_interleave(2), 0.5, base_temperature=0.07, reduction="none")
    torch.testing.assert_close(each.mean(), authors(F.normalize(views, dim=2), labels, 0.5))


def test_two_views_without_labels_are_nt_xent():
    views = vectors(6, 2, D)
    expected = info_nce_loss(views[:, 0], views[:, 1], pairing="views")
    ours = supcon_loss(views.flatten(0, 1), torch.arange(6).repeat_interleave(2))
    torch.testing.assert_close(value_and_gradients(ours, views), value_and_gradients(expected, views))


def test_products_of_vectors_as_they_are(way):
    z = vectors(N, D)
    unit = F.normalize(z, dim=1)
    expected = value_and_gradients(supcon_loss(z, LABELS), z)
    torch.testing.assert_close(value_and_gradients(supcon_loss(unit, LABELS, normalize=False), z), expected)
    longer = supcon_loss(3 * unit, LABELS, temperature=0.9, normalize=False)
    torch.testing.assert_close(longer, supcon_loss(z, LABELS, temperature=0.1))


@pytest.mark.parametrize("kind", KINDS)
def test_one_positive_a_row_makes_both_kinds_one(kind):
    z, labels = vectors(8, D), torch.arange(8) % 4
    torch.testing.assert_close(supcon_loss(z, labels, kind=kind), supcon_loss(z, labels))
    near = torch.eye(2).repeat(2, 1).requires_grad_()
    each = supcon_loss(near, torch.tensor([0, 1, 0, 1]), temperature=0.02, kind=kind, reduction="none")
    torch.testing.assert_close(each.double(), torch.full((4,), 2 * math.exp(-50.0)).double())


@pytest.mark.parametrize("kind", KINDS)
def test_the_floor_is_the_logarithm_of_the_number_of_positives(kind, way):
    z = torch.ones(5, D, dtype=torch.float64, requires_grad=True)
    each = supcon_loss(z, torch.zeros(5, dtype=torch.int64), kind=kind, reduction="none")
    torch.testing.assert_close(each, torch.full((5,), math.log(4.0), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(each.sum(), z)
    assert gradient.abs().max() < 1e-12
    apart = supcon_loss(vectors(N, D), LABELS, kind=kind, reduction="none")
    assert (apart >= (LABELS[:, None] == LABELS).sum(1).sub(1).clamp(min=1).log()).all()


def test_rows_without_a_positive_do_not_count():
    z = vectors(N, D)
    each = supcon_loss(z, LABELS, reduction="none")
    lonely = torch.tensor([False] * 6 + [True, False, True])
    assert (each[lonely] == 0).all() and (each[~lonely] > 0).all()
    torch.testing.assert_close(supcon_loss(z, LABELS), each[~lonely].mean())
    torch.testing.assert_close(supcon_loss(z, LABELS, normalizer=9.0), each.mean())
    for labels in (torch.arange(3), torch.arange(1), torch.arange(0)):
        some = z[: len(labels)]
        assert supcon_loss(some, labels).isnan()
        zero = supcon_loss(some, labels, on_empty="zero")
        assert zero == 0 and (torch.autograd.grad(zero, z)[0] == 0).all()
        assert supcon_loss(some, labels, reduction="sum") == 0
        with pytest.raises(ValueError, match="supcon_loss: nothing counts"):
            supcon_loss(some, labels, on_empty="error")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_dtype(dtype):
    z = vectors(N, D)
    torch.testing.assert_close(supcon_loss(z, LABELS.to(dtype)), supcon_loss(z, LABELS), rtol=0, atol=0)
    if dtype == torch.int64:
        far = torch.where(LABELS == 0, torch.iinfo(dtype).max, torch.iinfo(dtype).min + LABELS)
        torch.testing.assert_close(supcon_loss(z, far), supcon_loss(z, LABELS))
        strided = torch.stack([LABELS, LABELS.flip(0)], 1)[:, 0]
        torch.testing.assert_close(supcon_loss(z, strided), supcon_loss(z, LABELS), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_dtypes_against_float64(kind, dtype):
    z, labels = vectors(40, 16, dtype=dtype), torch.arange(40) % 7
    close_to_float64(lambda z: supcon_loss(z, labels, kind=kind), lambda z: equations(kind, z, labels, 0.1), [z])


def test_vectors_of_any_length():
    z = vectors(N, D, dtype=torch.float32)
    for scale in (2.0**100, 2.0**-100):
        long = (z * scale).detach().requires_grad_()
        loss, gradient = value_and_gradients(supcon_loss(long, LABELS), long)
        torch.testing.assert_close(loss, supcon_loss(z, LABELS).detach())
        assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_a_vector_of_zeros_is_at_right_angles_to_all():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    each = supcon_loss(z, torch.zeros(3, dtype=torch.int64), temperature=1.0, reduction="none")
    torch.testing.assert_close(each, torch.full((3,), math.log(2.0)))
    assert torch.autograd.grad(each.sum(), z)[0].isfinite().all()


def test_nan_spoils_what_it_meets_and_a_mask_hides_it(way):
    z = vectors(N, D).detach()
    z[2] = torch.nan
    z.requires_grad_()
    assert supcon_loss(z, LABELS).isnan()
    mask = torch.arange(N) != 2
    loss, gradient = value_and_gradients(supcon_loss(z, LABELS, mask=mask), z)
    rest = z[mask].detach().requires_grad_()
    expected, of_rest = value_and_gradients(supcon_loss(rest, LABELS[mask]), rest)
    torch.testing.assert_close((loss, gradient[mask]), (expected, of_rest))
    assert (gradient[2] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_and_transforms(kind):
    z, labels = vectors(5, 3), torch.tensor([0, 0, 1, 1, 2])

    def loss(z, temperature=0.3):
        return supcon_loss(z, labels, temperature, kind)

    t = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (z, t)) and torch.autograd.gradgradcheck(loss, (z, t))
    torch.testing.assert_close(torch.func.grad(loss)(z), torch.autograd.grad(loss(z), z)[0])
    batch = torch.stack([z.detach(), z.detach().flip(0)])
    torch.testing.assert_close(torch.func.vmap(loss)(batch), torch.stack([loss(one) for one in batch]))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(value_and_gradients(compiled(z), z), value_and_gradients(loss(z), z))


def test_a_mask_in_transforms_and_without_values():
    z, labels = vectors(5, 3).detach(), torch.tensor([0, 0, 1, 1, 2])
    mask = torch.tensor([True, True, False, True, True])
    expected = supcon_loss(z, labels, mask=mask)

    def loss(z, mask):
        return supcon_loss(z, labels.to(z.device), mask=mask)

    torch.testing.assert_close(torch.func.vmap(loss)(z[None], mask[None]), expected[None])
    torch.testing.assert_close(torch.compile(loss, fullgraph=True, backend="aot_eager")(z, mask), expected)
    assert loss(z.to("meta"), mask.to("meta")).shape == ()


def test_memory_grows_with_the_vectors_alone():
    """The matrix would be 1 GiB."""
    draw = "z, y = torch.randn(16384, 8, requires_grad=True), torch.arange(16384) % 1000"
    small = "supcon_loss(z[:64], y[:64] % 9, kind='in').backward(); supcon_loss(z[:64], y[:64] % 9).backward()"
    assert megabytes(draw, small, "supcon_loss(z, y).backward(); supcon_loss(z, y, kind='in').backward()") < 100


def test_a_learned_temperature():
    criterion = lossmith.SupConLoss(temperature=0.2, learnable=True).double()
    z = vectors(N, D)
    assert [name for name, _ in criterion.named_parameters()] == ["log_scale"]
    t = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    expected, slope = value_and_gradients(equations("out", z, LABELS, t), t)
    loss, found = value_and_gradients(criterion(z, LABELS), criterion.log_scale)
    torch.testing.assert_close((loss, found), (expected, -slope * 0.2), rtol=1e-6, atol=0)
    assert "kind='out', learnable temperature" in repr(criterion)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"input": torch.ones(4, 2, 3)}, ValueError, r"batch of vectors \(N, D\); write input.flatten\(0, -2\)"),
        ({"input": torch.ones(4)}, ValueError, r"input.unsqueeze\(0\)"),
        ({"input": torch.ones(4, 2, dtype=torch.int64)}, TypeError, r"write input.float\(\)"),
        ({"target": torch.zeros(3, dtype=torch.int64)}, ValueError, r"\(3,\).*one label for each of 4"),
        ({"target": torch.zeros(4, 1, dtype=torch.int64)}, ValueError, "one label for each of 4"),
        ({"target": torch.zeros(4)}, RuntimeError, r"integer dtype; write target.long\(\)"),
        ({"target": [0, 0, 1, 1]}, TypeError, "expected a torch.Tensor"),
        ({"kind": "inside"}, ValueError, "'out'.*eq. 2.*'in'.*eq. 3"),
        ({"temperature": 0.0}, ValueError, "temperature is 0.0.*above 0"),
        ({"temperature": "cold"}, TypeError, "temperature is 'cold', expected a number"),
        ({"temperature": torch.ones(2)}, ValueError, "one floating number"),
        ({"base_temperature": -0.07}, ValueError, "base_temperature is -0.07.*0.07"),
        ({"base_temperature": 0.07, "temperature": torch.tensor(0.1)}, ValueError, "leave base_temperature out"),
        ({"mask": torch.ones(3, dtype=torch.bool)}, ValueError, r"mask is \(3,\).*unreduced loss \(4,\)"),
    ],
)
def test_wrong_inputs(arguments, error, said):
    given = {"input": torch.ones(4, 2), "target": torch.zeros(4, dtype=torch.int64)} | arguments
    with pytest.raises(error, match=f"supcon_loss: .*{said}"):
        supcon_loss(**given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"kind": "both"}, "kind is 'both'"),
        ({"base_temperature": 0.07, "learnable": True}, "leave base_temperature out"),
    ],
)
def test_wrong_settings(arguments, said):
    with pytest.raises(ValueError, match=f"SupConLoss: {said}|SupConLoss: .*{said}"):
        lossmith.SupConLoss(**arguments)
