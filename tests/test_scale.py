"""Gradient accumulation and uneven ranks: with one normaliser for all parts, their sum is the whole batch's mean."""

import itertools
import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

import lossmith
from cases import CASES, Arguments, Case
from lossmith.losses import all_losses
from lossmith.scale import global_count

N = 7
CUTS = (0, 1, 3, 3, 7)  # parts of 1, 2, 0 and 4 rows


def share(case: Case, arguments: Arguments) -> torch.Tensor | int:
    """What torch's mean counts."""
    if case.share is not None:
        return case.share(arguments)
    shape = case.shape(arguments)
    return shape.numel() if case.counted is None else case.counted(arguments).expand(shape)


def gradients(case: Case, arguments: Arguments, parts: list[tuple[int, int]], **settings) -> list[torch.Tensor]:
    """The sum of the parts' losses, and the gradients in the whole tensors after a backward pass for each part."""
    # a gradient through the denominator is none that a given normaliser can have
    names = [name for name in case.differentiable if not (case.share and name == "weight")]
    leaves = {name: arguments[name].clone().requires_grad_() for name in names}
    total = torch.zeros((), dtype=torch.float64)
    for start, stop in parts:
        loss = case.function(**case.rows({**arguments, **leaves}, torch.arange(start, stop)), **settings)
        loss.backward()
        total += loss.detach()
    return [total, *(leaf.grad for leaf in leaves.values())]


# where rows know each other, parts are other batches
@pytest.mark.parametrize("case", [case for case in CASES if not case.together], ids=str)
def test_p54_accumulated_gradients_are_those_of_the_whole_batch(case):
    arguments = case(N)
    whole = gradients(case, arguments, [(0, N)])
    parts = list(itertools.pairwise(CUTS))
    counts = [share(case, case.rows(arguments, torch.arange(*part))) for part in parts]
    n = global_count(torch.stack([global_count(count) for count in counts]))
    torch.testing.assert_close(n, global_count(share(case, arguments)))
    torch.testing.assert_close(gradients(case, arguments, parts, normalizer=n), whole)


@pytest.mark.parametrize("name", all_losses())
def test_p54_every_loss_takes_a_global_normalizer(name):
    assert any(case.loss == name for case in CASES), f"tests/cases.py has no example of {name}"


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (3, torch.tensor(3)),
        (True, torch.tensor(1)),
        (2.5, torch.tensor(2.5, dtype=torch.float64)),
        (torch.tensor([[True, False], [True, True]]), torch.tensor(3)),
        (torch.tensor([3, 4], dtype=torch.uint8), torch.tensor(7)),
        (torch.full((300,), 300, dtype=torch.int16), torch.tensor(90_000)),
        (torch.full((3000,), 1.0, dtype=torch.float16), torch.tensor(3000.0, dtype=torch.float64)),
        (torch.tensor([2.0**24, 1.0]), torch.tensor(2.0**24 + 1, dtype=torch.float64)),
        (torch.ones(0), torch.tensor(0.0, dtype=torch.float64)),
    ],
    ids=repr,
)
def test_global_count_of_one_process_is_the_local_sum(local, expected):
    torch.testing.assert_close(global_count(local), expected, rtol=0, atol=0)


def test_global_count_has_no_gradient_and_leaves_its_argument_alone():
    weights = torch.ones(3, requires_grad=True)
    assert not global_count(weights).requires_grad
    single = torch.tensor(5.0, dtype=torch.float64)
    global_count(single).add_(1)
    assert single == 5


def test_global_count_refuses_complex_numbers():
    with pytest.raises(TypeError, match=r"global_count: local is .*complex64, expected.*write local\.abs\(\)"):
        global_count(torch.ones(2, dtype=torch.complex64))


# ----- two processes -----

RANKS = ((0, 2), (2, 7))  # uneven: two rows and five


def joint_case() -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A model, a batch of seven, labels of which some are ignored, and weights of classes."""
    generator = torch.Generator().manual_seed(3)
    model = torch.nn.Linear(4, 3, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    x = torch.randn(N, 4, dtype=torch.float64, generator=generator)
    return model, x, torch.tensor([1, -100, 0, 2, 2, -100, 1]), torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)


def normaliser(labels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return global_count(weight[labels[labels != -100]])


def one_rank(rank: int, folder: str) -> None:
    """What each of two processes does; it saves what it found."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        model, x, labels, weight = joint_case()
        x, labels = x[slice(*RANKS[rank])], labels[slice(*RANKS[rank])]
        n = normaliser(labels, weight)
        found = {"n": n, "mask": global_count(labels != -100), "number": global_count(rank + 1)}
        found["alone"] = global_count(rank + 1.5, group=[dist.new_group([0]), dist.new_group([1])][rank])

        criterion = lossmith.CrossEntropyLoss(weight)
        criterion(model(x), labels, normalizer=n).backward()
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
        found["added"] = [parameter.grad.clone() for parameter in model.parameters()]

        model.zero_grad()
        averaging = torch.nn.parallel.DistributedDataParallel(model)
        criterion(averaging(x), labels, normalizer=n / dist.get_world_size()).backward()
        found["averaged"] = [parameter.grad.clone() for parameter in model.parameters()]

        averaging.zero_grad()
        (criterion(averaging(x), labels, normalizer=n) * dist.get_world_size()).backward()
        found["multiplied"] = [parameter.grad.clone() for parameter in model.parameters()]

        averaging.zero_grad()
        criterion(averaging(x), labels).backward()
        found["naive"] = [parameter.grad.clone() for parameter in model.parameters()]
        torch.save(found, os.path.join(folder, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()


def test_p54_uneven_ranks_give_the_gradient_of_the_joint_batch(tmp_path):
    torch.multiprocessing.spawn(one_rank, (str(tmp_path),), nprocs=2)
    model, x, labels, weight = joint_case()
    lossmith.CrossEntropyLoss(weight)(model(x), labels).backward()
    joint = [parameter.grad for parameter in model.parameters()]
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found["n"], normaliser(labels, weight))
        assert (found["mask"].item(), found["number"].item(), found["alone"].item()) == (5, 3, rank + 1.5)
        for way in ("added", "averaged", "multiplied"):
            torch.testing.assert_close(found[way], joint)
        # without a common normaliser it is another gradient, or the test would show nothing
        assert not torch.allclose(found["naive"][0], joint[0], rtol=1e-2)
