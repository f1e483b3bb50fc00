"""InfoNCE against cross-entropy of the whole matrix and pytorch-metric-learning; its tiles, its extremes, its queue."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import NTXentLoss

import lossmith
from lossmith import explain_dispatch
from lossmith.functional import info_nce_loss
from lossmith.loops.similarity import unit
from similarities import (
    value_and_gradients,
    vectors,
)

N, D = 9, 5
PAIRINGS = ("one-way", "symmetric", "views")


def whole(pairing: str, q: torch.Tensor, k: torch.Tensor, temperature) -> torch.Tensor:
    """What people write: the matrix and torch's cross-entropy."""
    q, k, n = F.normalize(q, dim=1), F.normalize(k, dim=1), q.shape[0]
    if pairing == "views":
        z = torch.cat([q, k])
        logits = (z @ z.T / temperature).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
        return F.cross_entropy(logits, torch.arange(2 * n).roll(n))
    logits = q @ k.T / temperature
    loss = F.cross_entropy(logits, torch.arange(n))
    return loss if pairing == "one-way" else (loss + F.cross_entropy(logits.T, torch.arange(n))) / 2


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_is_cross_entropy_over_the_keys(pairing, way):
    q, k = vectors(N, D), vectors(N, D, seed=1, scale=30)
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    backend = explain_dispatch(info_nce_loss, q, k, temperature=t, pairing=pairing).backend
    assert backend == {"kernels": "native", "operations": "reference"}[way]
    ours = value_and_gradients(info_nce_loss(q, k, temperature=t, pairing=pairing), q, k, t)
    torch.testing.assert_close(ours, value_and_gradients(whole(pairing, q, k, t), q, k, t))


def test_negatives_are_more_keys(way):
    q, k, more = vectors(N, D), vectors(N, D, seed=1), vectors(4, D, seed=2)
    logits = F.normalize(q, dim=1) @ F.normalize(torch.cat([k, more]), dim=1).T / 0.2
    expected = value_and_gradients(F.cross_entropy(logits, torch.arange(N)), q, k, more)
    ours = value_and_gradients(info_nce_loss(q, k, negatives=more, temperature=0.2), q, k, more)
    torch.testing.assert_close(ours, expected)


def test_negatives_in_both_directions(way):
    q, k, more = vectors(N, D), vectors(N, D, seed=1), vectors(4, D, seed=2)
    u, v = F.normalize(q, dim=1), F.normalize(torch.cat([k, more]), dim=1)
    logits, own = u @ v.T / 0.2, torch.arange(N)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, :N].T, own)) / 2
    ours = info_nce_loss(q, k, negatives=more, temperature=0.2, pairing="symmetric")
    torch.testing.assert_close(value_and_gradients(ours, q, k, more), value_and_gradients(expected, q, k, more))


def test_labels_without_keys_are_ntxent_of_pytorch_metric_learning(way):
    z, labels = vectors(N, D), torch.tensor([0, 1, 2, 0, 0, 1, 3, 2, 4])
    expected = value_and_gradients(NTXentLoss(temperature=0.3)(z, labels), z)
    torch.testing.assert_close(value_and_gradients(info_nce_loss(z, labels=labels, temperature=0.3), z), expected)


def test_views_are_ntxent_with_one_label_a_pair():
    q, k = vectors(N, D), vectors(N, D, seed=1)
    expected = NTXentLoss(temperature=0.3)(torch.cat([q, k]), torch.arange(N).repeat(2))
    ours = info_nce_loss(q, k, temperature=0.3, pairing="views")
    torch.testing.assert_close(value_and_gradients(ours, q, k), value_and_gradients(expected, q, k))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_keys_of_the_same_label_are_no_negatives(pairing, way):
    q, k, labels = vectors(N, D), vectors(N, D, seed=1), torch.tensor([0, 1, 2, 0, 0, 1, 3, 2, 4])
    ours = info_nce_loss(q, k, labels, temperature=0.3, pairing=pairing)
    u, v = F.normalize(q, dim=1), F.normalize(k, dim=1)
    losses = []
    sides = [(u, v)] if pairing == "one-way" else [(u, v), (v, u)]
    for own, other in sides:
        for i in range(N):
            positive = (own[i] @ other[i] / 0.3).exp()
            against = [other[j] for j in range(N) if labels[j] != labels[i]]
            if pairing == "views":
                against += [own[j] for j in range(N) if labels[j] != labels[i]]
            rest = sum(((own[i] @ key) / 0.3).exp() for key in against)
            losses.append(-(positive / (positive + rest)).log())
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(value_and_gradients(ours, q, k), value_and_gradients(expected, q, k))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_dtypes_against_float64(pairing, dtype):
    q, k = vectors(40, 16, dtype=dtype), vectors(40, 16, seed=1, dtype=dtype)
    loss = info_nce_loss(q, k, pairing=pairing, temperature=0.1)
    assert loss.dtype == dtype and explain_dispatch(info_nce_loss, q, k, pairing=pairing).backend == "native"
    wide = [x.detach().double().requires_grad_() for x in (q, k)]
    expected = value_and_gradients(whole(pairing, *wide, 0.1), *wide)
    for ours, right in zip(value_and_gradients(loss, q, k), expected, strict=True):
        assert ours.dtype == dtype
        tolerance = torch.finfo(dtype).eps * (40 if dtype == torch.float32 else 2)
        torch.testing.assert_close(ours.double(), right, rtol=tolerance, atol=tolerance * right.abs().max().item())


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_same_bits_for_any_number_of_threads(pairing):
    q, k = vectors(300, 64, dtype=torch.float32), vectors(300, 64, seed=1, dtype=torch.float32)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(value_and_gradients(info_nce_loss(q, k, pairing=pairing), q, k))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(results[1:], [results[0]] * 2, rtol=0, atol=0)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_vectors_of_any_length(pairing):
    """P40's kin: lengths whose squares overflow or vanish change nothing."""
    q, k = vectors(N, D, dtype=torch.float32), vectors(N, D, seed=1, dtype=torch.float32)
    plain = info_nce_loss(q, k, pairing=pairing).detach()
    for scale in (2.0**100, 2.0**-100):
        long = (q * scale).detach().requires_grad_()
        loss = info_nce_loss(long, k, pairing=pairing)
        torch.testing.assert_close(loss.detach(), plain)
        (gradient,) = torch.autograd.grad(loss, long)
        assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_a_vector_of_zeros_is_at_right_angles_to_all():
    q = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    k = torch.eye(2, requires_grad=True)
    each = info_nce_loss(q, k, temperature=1.0, reduction="none")
    torch.testing.assert_close(each[0], torch.tensor(2.0).log())
    assert all(g.isfinite().all() for g in torch.autograd.grad(each.sum(), (q, k)))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_without_negatives_there_is_nothing_to_learn(pairing, way):
    q, k = vectors(1, D), vectors(1, D, seed=1)
    loss, of_q, of_k = value_and_gradients(info_nce_loss(q, k, pairing=pairing), q, k)
    assert loss == 0 and (of_q == 0).all() and (of_k == 0).all()
    q, k = vectors(3, D), vectors(3, D, seed=1)
    loss, of_q, _ = value_and_gradients(info_nce_loss(q, k, torch.zeros(3, dtype=torch.int64), pairing=pairing), q, k)
    assert loss == 0 and (of_q == 0).all()


def test_the_loss_keeps_its_digits_near_zero():
    q = torch.eye(3, requires_grad=True)
    loss = info_nce_loss(q, torch.eye(3), temperature=0.02)
    torch.testing.assert_close(loss.double(), torch.tensor(2.0).double() * torch.tensor(-50.0).double().exp())


def test_no_label_has_two_vectors():
    z = vectors(3, D)
    labels = torch.arange(3)
    assert info_nce_loss(z, labels=labels).isnan()
    zero = info_nce_loss(z, labels=labels, on_empty="zero")
    assert zero == 0 and (torch.autograd.grad(zero, z)[0] == 0).all()


def test_second_derivatives_and_transforms():
    q, k = vectors(4, 3), vectors(4, 3, seed=1)
    for pairing in PAIRINGS:
        assert torch.autograd.gradgradcheck(lambda q, k, p=pairing: info_nce_loss(q, k, pairing=p), (q, k))
    (expected,) = torch.autograd.grad(info_nce_loss(q, k), q)
    torch.testing.assert_close(torch.func.grad(info_nce_loss)(q, k.detach()), expected)
    batch = torch.stack([q.detach(), k.detach()])
    each = torch.func.vmap(info_nce_loss)(batch, batch.flip(0))
    torch.testing.assert_close(each, torch.stack([info_nce_loss(q, k), info_nce_loss(k, q)]).detach())


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_compiled(pairing):
    q, k = vectors(6, 4, dtype=torch.float32), vectors(6, 4, seed=1, dtype=torch.float32)
    compiled = torch.compile(lossmith.InfoNCELoss(pairing=pairing), fullgraph=True, backend="aot_eager")
    expected = value_and_gradients(info_nce_loss(q, k, pairing=pairing), q, k)
    torch.testing.assert_close(value_and_gradients(compiled(q, k), q, k), expected)


def test_autocast_does_not_round_the_products():
    q, k = vectors(20, 8, dtype=torch.float32), vectors(20, 8, seed=1, dtype=torch.float32)
    expected = info_nce_loss(q, k)
    for forced in ("", "reference"):
        with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu"):
            patch.setattr(lossmith.backend, "FORCED", forced)
            torch.testing.assert_close(info_nce_loss(q, k), expected)


def test_memory_grows_with_the_vectors_alone():
    """The matrix would be 1 GiB."""
    program = """
import resource, torch, lossmith
q, k = (torch.randn(16384, 8, requires_grad=True) for _ in range(2))
small = (q[:64].detach().requires_grad_(), k[:64])
for pairing in ("one-way", "symmetric"):
    lossmith.functional.info_nce_loss(*small, pairing=pairing).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for pairing in ("one-way", "symmetric"):
    lossmith.functional.info_nce_loss(q, k, pairing=pairing).backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 100, f"{ran.stdout} MiB"


def test_a_learned_temperature():
    criterion = lossmith.InfoNCELoss(temperature=0.2, learnable=True).double()
    q, k = vectors(N, D), vectors(N, D, seed=1)
    assert [name for name, _ in criterion.named_parameters()] == ["log_scale"]
    loss = criterion(q, k)
    torch.testing.assert_close(loss, whole("one-way", q, k, 0.2).to(loss.dtype), rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(loss, criterion.log_scale)
    step = 1e-5
    with torch.no_grad():
        higher, lower = (whole("one-way", q, k, 0.2 / (1 + by)) for by in (step, -step))
    torch.testing.assert_close(slope, (higher - lower) / (2 * step), rtol=1e-5, atol=1e-8)
    assert "learnable temperature" in repr(criterion)
    assert "temperature=0.2" in repr(lossmith.InfoNCELoss(temperature=0.2))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, ValueError, "neither keys nor labels"),
        ({"keys": torch.ones(3, 2)}, ValueError, "one key for each query.*negatives="),
        ({"keys": torch.ones(4, 3)}, ValueError, "one key for each query"),
        ({"keys": torch.ones(4, 2), "negatives": torch.ones(1, 3)}, ValueError, "vectors of one width"),
        ({"keys": torch.ones(4, 2, dtype=torch.int64)}, TypeError, r"write keys.float\(\)"),
        (
            {"keys": torch.ones(4, 2), "labels": torch.zeros(3, dtype=torch.int64)},
            ValueError,
            "one label for each of 4",
        ),
        ({"labels": torch.zeros(4)}, RuntimeError, "integer dtype"),
        ({"labels": torch.zeros(4, dtype=torch.int64), "pairing": "views"}, ValueError, "needs keys"),
        ({"keys": torch.ones(4, 2), "pairing": "both"}, ValueError, "'one-way'.*'symmetric'.*'views'"),
        ({"keys": torch.ones(4, 2), "temperature": 0.0}, ValueError, "temperature is 0.0.*above 0"),
        ({"keys": torch.ones(4, 2), "temperature": torch.tensor(-1.0)}, ValueError, "temperature is -1.0"),
        ({"keys": torch.ones(4, 2), "temperature": torch.ones(2)}, ValueError, "one floating number"),
    ],
)
def test_wrong_inputs(arguments, error, said):
    with pytest.raises(error, match=f"info_nce_loss: .*{said}"):
        info_nce_loss(torch.ones(4, 2), **arguments)


def test_one_vector_is_no_batch():
    with pytest.raises(ValueError, match=r"input is .*\(5,\).*unsqueeze\(0\)"):
        info_nce_loss(torch.ones(5), torch.ones(5))
    with pytest.raises(ValueError, match="InfoNCELoss: temperature is -1"):
        lossmith.InfoNCELoss(temperature=-1)


def test_unit_vectors():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [3e30, 4e30], [3e-40, 0.0], [torch.inf, 1.0]])
    scaled = unit(x)
    torch.testing.assert_close(scaled[:3], torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.6, 0.8]]))
    torch.testing.assert_close(scaled[3], torch.tensor([1.0, 0.0]), rtol=1e-3, atol=0)
    assert scaled[4].isnan().any()
    assert torch.autograd.gradcheck(unit, vectors(4, 3))


def test_a_queue_keeps_the_latest_keys():
    queue = lossmith.MemoryQueue(size=5, features=2)
    assert queue.keys.shape == (0, 2)
    for batch in (torch.arange(6.0).view(3, 2), torch.arange(6.0, 12).view(3, 2), torch.arange(12.0, 28).view(8, 2)):
        queue.push(batch.requires_grad_())
    assert sorted(queue.keys[:, 0].tolist()) == [18.0, 20.0, 22.0, 24.0, 26.0]
    assert not queue.keys.requires_grad
    restored = lossmith.MemoryQueue(size=5, features=2)
    restored.load_state_dict(queue.state_dict())
    for one in (restored, copy.deepcopy(queue)):
        assert torch.equal(one.keys, queue.keys)
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        queue.push(torch.ones(2, 3))
    with pytest.raises(ValueError, match="numbers of 1 or more"):
        lossmith.MemoryQueue(size=0, features=2)


def test_a_queue_that_moves_on_before_backward_changes_no_gradient():
    queue = lossmith.MemoryQueue(size=4, features=D)
    queue.push(vectors(4, D, dtype=torch.float32))
    q, k = vectors(2, D, dtype=torch.float32), vectors(2, D, seed=1, dtype=torch.float32)
    (expected,) = torch.autograd.grad(info_nce_loss(q, k, negatives=queue.keys), q)
    loss = info_nce_loss(q, k, negatives=queue.keys)
    queue.push(k)
    torch.testing.assert_close(torch.autograd.grad(loss, q)[0], expected, rtol=0, atol=0)
