"""SigLIP against the paper's algorithm and binary cross-entropy of the whole matrix; its tiles, its extremes."""

import math

import pytest
import torch
import torch.nn.functional as F

import lossmith
from lossmith.functional import siglip_loss
from similarities import (
    close_to_float64,
    megabytes,
    ran,
    value_and_gradients,
    vectors,
)

N, D = 9, 5


def algorithm(img_emb, txt_emb, t, b):
    """Algorithm 1 of the paper, with t = exp(t_prime)."""
    n = img_emb.shape[0]
    zimg, ztxt = F.normalize(img_emb, dim=1), F.normalize(txt_emb, dim=1)
    logits = zimg @ ztxt.T * t + b
    labels = 2 * torch.eye(n, dtype=logits.dtype) - torch.ones(n, n, dtype=logits.dtype)
    return -F.logsigmoid(labels * logits).sum() / n


def numbers(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]


def test_is_the_papers_algorithm(way):
    q, k = vectors(N, D), vectors(N, D, seed=1, scale=30)
    assert ran(way, siglip_loss, q, k)
    torch.testing.assert_close(
        value_and_gradients(siglip_loss(q, k), q, k), value_and_gradients(algorithm(q, k, 10.0, -10.0), q, k)
    )
    for t, b in (numbers(10.0, -10.0), numbers(117.0, -13.0), numbers(0.5, 2.0)):
        ours = value_and_gradients(siglip_loss(q, k, scale=t, bias=b), q, k, t, b)
        torch.testing.assert_close(ours, value_and_gradients(algorithm(q, k, t, b), q, k, t, b))


def test_an_unreduced_loss_is_the_sum_over_a_querys_keys(way):
    q, k = vectors(N, D), vectors(N, D, seed=1)
    logits = 10 * F.normalize(q, dim=1) @ F.normalize(k, dim=1).T - 10
    expected = F.binary_cross_entropy_with_logits(logits, torch.eye(N, dtype=torch.float64), reduction="none").sum(1)
    upstream = torch.linspace(-1, 2, N, dtype=torch.float64)
    each = siglip_loss(q, k, reduction="none")
    torch.testing.assert_close(each, expected)
    torch.testing.assert_close(
        torch.autograd.grad(each, (q, k), upstream), torch.autograd.grad(expected, (q, k), upstream)
    )
    torch.testing.assert_close(siglip_loss(q, k, reduction="sum"), expected.sum())


def test_queries_and_keys_may_change_places(way):
    q, k = vectors(N, D), vectors(N, D, seed=1)
    torch.testing.assert_close(
        value_and_gradients(siglip_loss(q, k), q, k), value_and_gradients(siglip_loss(k, q), q, k)
    )


def test_keys_of_other_ranks_make_up_the_whole_batch(way):
    q, k = vectors(8, D), vectors(8, D, seed=1)
    ranks = [slice(0, 4), slice(4, 8)]
    shares = [siglip_loss(q[own], k[own], negatives=k[other]) for own, other in zip(ranks, ranks[::-1], strict=True)]
    torch.testing.assert_close(
        value_and_gradients(sum(shares) / 2, q, k), value_and_gradients(algorithm(q, k, 10.0, -10.0), q, k)
    )


def test_pairs_of_one_label_are_left_out(way):
    q, k, labels = vectors(N, D), vectors(N, D, seed=1), torch.tensor([0, 1, 2, 0, 0, 1, 3, 2, 4])
    more = vectors(3, D, seed=2)
    t, b = numbers(4.0, -1.0)
    logits = t * F.normalize(q, dim=1) @ F.normalize(torch.cat([k, more]), dim=1).T + b
    own = torch.eye(N, N + 3, dtype=torch.float64)
    counts = F.pad(labels[:, None] != labels, (0, 3), value=True) | own.bool()
    each = F.binary_cross_entropy_with_logits(logits, own, reduction="none")
    expected = torch.where(counts, each, 0).sum() / N
    ours = siglip_loss(q, k, labels, more, t, b)
    assert ran(way, siglip_loss, q, k, labels, more, t, b)
    leaves = (q, k, more, t, b)
    torch.testing.assert_close(value_and_gradients(ours, *leaves), value_and_gradients(expected, *leaves))


def test_the_first_bias():
    """709.8 and 10.0 for 1024 vectors at right angles, as the card has it."""
    q, k = torch.eye(2048, dtype=torch.float64).split(1024)
    assert siglip_loss(q, k, bias=0.0).item() == pytest.approx(1024 * math.log(2), rel=1e-9)
    assert siglip_loss(q, k).item() == pytest.approx(10 + 1024 * math.exp(-10), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_dtypes_against_float64(dtype):
    q, k = vectors(40, 16, dtype=dtype), vectors(40, 16, seed=1, dtype=dtype)
    close_to_float64(siglip_loss, lambda q, k: algorithm(q, k, 10.0, -10.0), [q, k])


def test_vectors_of_any_length_and_of_none():
    q, k = vectors(N, D, dtype=torch.float32), vectors(N, D, seed=1, dtype=torch.float32)
    for scale in (2.0**100, 2.0**-100):
        long = (q * scale).detach().requires_grad_()
        loss, gradient = value_and_gradients(siglip_loss(long, k), long)
        torch.testing.assert_close(loss, siglip_loss(q, k).detach())
        assert gradient.isfinite().all() and gradient.abs().max() > 0
    zero = torch.zeros(1, D, requires_grad=True)
    loss, gradient = value_and_gradients(siglip_loss(zero, zero, scale=1.0, bias=0.0), zero)
    assert loss == pytest.approx(math.log(2)) and gradient.isfinite().all()


def test_losses_neither_overflow_nor_vanish():
    q, k = torch.eye(2, requires_grad=True), torch.eye(2)
    near = siglip_loss(q, k, scale=200.0, bias=-100.0)  # logits of 100 and -100
    torch.testing.assert_close(near, torch.tensor(2 * math.exp(-100.0), dtype=torch.float64).float())
    far = siglip_loss(q, -k, scale=1e30, bias=0.0)
    torch.testing.assert_close(far, torch.tensor(1e30))
    assert torch.autograd.grad(far, q)[0].isfinite().all()


def test_no_rows_and_one():
    q, k = vectors(0, D), vectors(0, D, seed=1)
    assert siglip_loss(q, k).isnan() and siglip_loss(q, k, on_empty="zero") == 0
    q, k = vectors(1, D), vectors(1, D, seed=1)
    cosine = F.cosine_similarity(q, k)
    torch.testing.assert_close(siglip_loss(q, k), F.softplus(-(10 * cosine - 10)).squeeze())


def test_second_derivatives_and_transforms():
    q, k = vectors(4, 3), vectors(4, 3, seed=1)
    t, b = numbers(3.0, -1.0)
    assert torch.autograd.gradcheck(lambda *v: siglip_loss(v[0], v[1], scale=v[2], bias=v[3]), (q, k, t, b))
    assert torch.autograd.gradgradcheck(lambda *v: siglip_loss(v[0], v[1], scale=v[2], bias=v[3]), (q, k, t, b))
    expected = torch.autograd.grad(siglip_loss(q, k), q)[0]
    torch.testing.assert_close(torch.func.grad(siglip_loss)(q, k.detach()), expected)
    batch = torch.stack([q.detach(), k.detach()])
    each = torch.func.vmap(siglip_loss)(batch, batch.flip(0))
    torch.testing.assert_close(each, torch.stack([siglip_loss(q, k), siglip_loss(k, q)]).detach())
    compiled = torch.compile(lossmith.SigLIPLoss(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(value_and_gradients(compiled(q, k), q, k), value_and_gradients(siglip_loss(q, k), q, k))


def test_memory_grows_with_the_vectors_alone():
    """The matrix would be 1 GiB."""
    draw = "q, k = (torch.randn(16384, 8, requires_grad=True) for _ in range(2))"
    assert megabytes(draw, "siglip_loss(q[:64], k[:64]).backward()", "siglip_loss(q, k).backward()") < 100


def test_scale_and_bias_are_learned_as_in_the_paper():
    criterion = lossmith.SigLIPLoss(scale=3.0, bias=-2.0, learnable=True).double()
    assert [name for name, _ in criterion.named_parameters()] == ["log_scale", "bias"]
    q, k = vectors(N, D), vectors(N, D, seed=1)
    t, b = numbers(3.0, -2.0)
    expected, of_t, of_b = value_and_gradients(algorithm(q, k, t, b), t, b)
    found = value_and_gradients(criterion(q, k), criterion.log_scale, criterion.bias)
    torch.testing.assert_close(found, (expected, 3.0 * of_t, of_b), rtol=1e-6, atol=1e-9)
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.1)
    before = criterion(q, k)
    before.backward()
    optimizer.step()
    assert criterion(q, k) < before
    assert "learnable scale and bias" in repr(criterion)
    assert "scale=10.0, bias=-10.0" in repr(lossmith.SigLIPLoss())
    assert not list(lossmith.SigLIPLoss().parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"keys": torch.ones(3, 2)}, ValueError, "one key for each query.*negatives="),
        ({"keys": torch.ones(4, 3)}, ValueError, "one key for each query"),
        ({"keys": torch.ones(4, 2, dtype=torch.int64)}, TypeError, r"write keys.float\(\)"),
        ({"negatives": torch.ones(1, 3)}, ValueError, "vectors of one width"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, "one label for each of 4"),
        ({"labels": torch.zeros(4)}, RuntimeError, "integer dtype"),
        ({"scale": 0.0}, ValueError, "scale is 0.0, expected a finite number above 0; the paper begins with 10"),
        ({"scale": torch.tensor(-1.0)}, ValueError, "scale is -1.0"),
        ({"scale": torch.ones(2)}, ValueError, "scale is .*one floating number"),
        ({"bias": torch.ones(2)}, ValueError, "bias is .*one floating number"),
        ({"bias": None}, TypeError, "bias is None, expected a number"),
    ],
)
def test_wrong_inputs(arguments, error, said):
    given = {"input": torch.ones(4, 2), "keys": torch.ones(4, 2)} | arguments
    with pytest.raises(error, match=f"siglip_loss: .*{said}"):
        siglip_loss(**given)
    if "scale" in arguments or "bias" in arguments:
        with pytest.raises(error, match=f"SigLIPLoss: {said}"):
            lossmith.SigLIPLoss(**arguments)
