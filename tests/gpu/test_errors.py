"""What a kernel on a GPU can't raise: the note that it leaves, `check_errors`, and the guard."""

import re
import warnings

import pytest
import torch

import lossmith
import lossmith.functional as F
from kernels import ran, run_python
from lossmith import errors

BEYOND = (-0.5, 1.5, torch.inf, -torch.inf, torch.nan)


@pytest.fixture(autouse=True)
def nothing_noted_before():
    """A test that failed may have left a note."""
    for note in errors._notes.values():
        note.zero_()


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("probability", BEYOND)
def test_a_number_outside_of_the_domain(probability, reduction, device):
    """Its loss is NaN, its gradient 0; the others' are what they are."""
    p = torch.tensor([0.5, probability, 0.25], device=device, requires_grad=True)
    with ran("triton"):
        loss = F.binary_cross_entropy(p, torch.tensor([1.0, 1.0, 0.0], device=device), reduction=reduction)
        (gradient,) = torch.autograd.grad(loss, p, torch.ones_like(loss))
    assert loss.isnan() if reduction == "mean" else loss.isnan().tolist() == [False, True, False]
    share = 3 if reduction == "mean" else 1
    assert gradient.tolist() == pytest.approx([-2 / share, 0, 4 / 3 / share])
    with pytest.raises(RuntimeError, match=r"^binary_cross_entropy: element 1 of operand 0 is outside"):
        lossmith.check_errors()
    lossmith.check_errors()  # once


def test_a_masked_number_may_be_anything(device):
    p = torch.tensor([0.5, 7.0], device=device)
    F.binary_cross_entropy(p, torch.ones_like(p), mask=torch.tensor([True, False], device=device))
    lossmith.check_errors()


@pytest.mark.parametrize("what", ["mask", "sample_weight"])
def test_a_mean_of_nothing(what, device):
    x = torch.ones(3, device=device, requires_grad=True)
    nothing = {what: torch.zeros(3, device=device, dtype=torch.bool if what == "mask" else torch.float32)}
    for on_empty in ("nan", "zero", "error"):
        with ran("triton"):
            loss = F.mse_loss(x, torch.zeros_like(x), on_empty=on_empty, **nothing)
            (gradient,) = torch.autograd.grad(loss, x)
        assert loss.item() == 0 if on_empty == "zero" else loss.isnan()
        assert (what == "sample_weight" and on_empty != "zero") or not gradient.any()
        if on_empty == "error":
            with pytest.raises(ValueError, match="nothing counted towards the mean"):
                lossmith.check_errors()
        lossmith.check_errors()


def test_the_first_is_told(device):
    p = torch.tensor([2.0], device=device)
    F.binary_cross_entropy(p, p)
    F.mse_loss(p, p, mask=p > 5, on_empty="error")
    with pytest.raises(RuntimeError, match=r"^binary_cross_entropy: "):
        lossmith.check_errors()
    lossmith.check_errors()


@pytest.mark.parametrize("mode", ["warn", "collect"])
def test_the_guard_raises_it(mode, device):
    """At its next look, or at its end: P11."""
    p, ones = torch.tensor([2.0], device=device), torch.ones(1, device=device)
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match=r"^binary_cross_entropy: element 0"):
        warnings.simplefilter("ignore", lossmith.LossWarning)
        with lossmith.guard(mode):
            F.binary_cross_entropy(p, ones)
    lossmith.check_errors()


def test_the_guard_leaves_alone_what_is_right(device):
    p, y = (
        torch.tensor([0.5, 0.2, 0.7], device=device, requires_grad=True),
        torch.tensor([1.0, 0.0, 1.0], device=device),
    )
    with lossmith.guard("error"):
        for _ in range(12):
            F.binary_cross_entropy(p, y).backward()


def test_triton_is_loaded_by_the_first_call_on_a_gpu_alone():
    code = (
        "import sys, torch, lossmith; lossmith.MSELoss()(torch.ones(2), torch.ones(2)); print('triton' in sys.modules)"
    )
    assert run_python(code).split() == ["False"]


@pytest.mark.parametrize("name", ["", "interpreted"])
def test_a_forced_backend_says_why_it_can_not_run(name):
    code = "import torch, lossmith; lossmith.MSELoss()(torch.ones(2), torch.ones(2).to_sparse())"
    if not name:
        code = code.replace(".to_sparse()", "")
    environment = {"LOSSMITH_BACKEND": "triton", **({"TRITON_INTERPRET": "1"} if name else {})}
    with pytest.raises(AssertionError) as failure:
        run_python(code, **environment)
    expected = "of another layout" if name else "TRITON_INTERPRET=1 alone"
    assert re.search(rf"LOSSMITH_BACKEND=triton, but no kernel runs this call of mse: .*{expected}", str(failure.value))
