"""The same bits for any number of threads and from run to run, in every thread of Python's, and after a fork."""

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import torch
from torch import Tensor

import lossmith.functional as LF
from cases import Arguments, Case
from kernels import each_dtype, evaluate, everything, leaves_of, mask_for, random_tensor, run_python, same_bits

from .conftest import each_whole_case, ran_natively

NUMBERS = (1, 2, 3, 7) if everything() else (1, 2, 7)


def size(case: Case) -> int:
    """Samples for several pieces; a sequence is a few hundred times the work of its scores, all pairs are many."""
    if case.loss == "mined_triplet_margin_loss":
        return 1500
    return (9000 if everything() else 1000) if "ctc" in case.loss else 40_000 if everything() else 15_000


def logits(*shape: int) -> Tensor:
    return random_tensor(shape, 0, -4.0, 4.0, torch.float32)


def labels(*shape: int, classes: int) -> Tensor:
    return (random_tensor(shape, 1, 0.0, 0.999) * classes).long()


def signs(*shape: int) -> Tensor:
    return random_tensor(shape, 1, dtype=torch.float32).sign()


def vectors(*shape: int) -> Arguments:
    return {name: logits(*shape) + i for i, name in enumerate(("anchor", "positive", "negative"))}


LARGE: dict[str, tuple[Callable[..., Tensor], Callable[[], Arguments], tuple[str, ...]]] = {
    "labels of many classes": (
        LF.cross_entropy,
        lambda: {"input": logits(130, 1000), "target": labels(130, classes=1000), "weight": logits(1000).abs()},
        ("input",),
    ),
    "labels of images": (
        LF.cross_entropy,
        lambda: {"input": logits(3, 11, 70, 60), "target": labels(3, 70, 60, classes=11), "label_smoothing": 0.1},
        ("input",),
    ),
    "labels of channels-last images": (
        LF.cross_entropy,
        lambda: {
            "input": logits(3, 11, 70, 60).contiguous(memory_format=torch.channels_last),
            "target": labels(3, 70, 60, classes=11),
        },
        ("input",),
    ),
    "probabilities": (
        LF.cross_entropy,
        lambda: {"input": logits(900, 100), "target": logits(900, 100).softmax(1)},
        ("input", "target"),
    ),
    "a teacher and labels": (
        LF.distillation_loss,
        lambda: {
            "input": logits(130, 1000),
            "teacher": logits(130, 1000).flip(1),
            "target": labels(130, classes=1000),
            "weight": logits(1000).abs(),
        },
        ("input", "teacher"),
    ),
    "a teacher of images": (
        LF.distillation_loss,
        lambda: {"input": logits(3, 11, 70, 60), "teacher": logits(3, 11, 70, 60).flip(1), "divergence": "js"},
        ("input", "teacher"),
    ),
    "focal labels of many classes": (
        LF.focal_loss,
        lambda: {"input": logits(130, 1000), "target": labels(130, classes=1000), "gamma": 0.7},
        ("input",),
    ),
    "focal labels of images": (
        LF.focal_loss,
        lambda: {"input": logits(3, 11, 70, 60), "target": labels(3, 70, 60, classes=11)},
        ("input",),
    ),
    "focal probabilities": (
        LF.focal_loss,
        lambda: {"input": logits(900, 100), "target": logits(900, 100).softmax(1), "weight": logits(100).abs()},
        ("input", "target"),
    ),
    "focal probabilities of images": (
        LF.focal_loss,
        lambda: {"input": logits(3, 11, 70, 60), "target": logits(3, 11, 70, 60).softmax(1), "gamma": 0.7},
        ("input", "target"),
    ),
    "margins": (
        LF.multi_margin_loss,
        lambda: {"input": logits(900, 100), "target": labels(900, classes=100), "p": 2},
        ("input",),
    ),
    "sets of labels": (
        LF.multilabel_margin_loss,
        lambda: {"input": logits(900, 100), "target": (labels(900, 100, classes=200) - 100).clamp(min=-1)},
        ("input",),
    ),
    "regions of images": (
        LF.dice_loss,
        lambda: {"input": logits(3, 11, 70, 60), "target": labels(3, 70, 60, classes=11), "ignore_index": 4},
        ("input",),
    ),
    "regions of channels-last images": (
        LF.tversky_loss,
        lambda: {
            "input": logits(3, 11, 70, 60).contiguous(memory_format=torch.channels_last),
            "target": logits(3, 11, 70, 60).sigmoid(),
            "beta": 0.9,
            "gamma": 0.75,
            "activation": "sigmoid",
        },
        ("input", "target"),
    ),
    "regions of rows": (
        LF.dice_loss,
        lambda: {"input": logits(900, 100), "target": logits(900, 100).softmax(1), "batch": True, "squared": True},
        ("input", "target"),
    ),
    "broadcast": (
        LF.mse_loss,
        lambda: {"input": logits(400, 300), "target": logits(300)},
        ("input", "target"),
    ),
    "a number": (
        LF.gaussian_nll_loss,
        lambda: {"input": logits(400, 300), "target": logits(400, 300), "var": logits(1, 1).abs() + 0.1},
        ("input", "var"),
    ),
    "weights of positives": (
        LF.binary_cross_entropy_with_logits,
        lambda: {
            "input": logits(400, 300),
            "target": logits(400, 300).sigmoid(),
            "pos_weight": logits(1).abs() + 0.1,
        },
        ("input", "pos_weight"),
    ),
    "one distance": (
        LF.triplet_margin_loss,
        lambda: {**vectors(400, 256), "negative": logits(1, 256)},
        ("anchor", "negative"),
    ),
    "transposed": (
        LF.gaussian_nll_loss,
        lambda: {"input": logits(300, 400).T, "target": logits(400, 300), "var": logits(400, 300).abs() + 0.1},
        ("input", "target", "var"),
    ),
    "long pairs": (
        LF.cosine_embedding_loss,
        lambda: {"input1": logits(400, 256), "input2": logits(400, 256) + 1, "target": signs(400)},
        ("input1", "input2"),
    ),
    "long unit vectors": (
        LF.contrastive_loss,
        lambda: {"input1": logits(400, 256), "input2": logits(400, 256) + 1, "target": signs(400), "normalize": True},
        ("input1", "input2"),
    ),
    "long triplets": (
        LF.triplet_margin_loss,
        lambda: {**vectors(400, 256), "p": 3.0, "swap": True},
        ("anchor", "positive", "negative"),
    ),
    "long mined triplets": (
        LF.mined_triplet_margin_loss,
        lambda: {"input": logits(300, 100), "target": torch.arange(300) % 70, "normalize": True, "margin": 0.5},
        ("input",),
    ),
    "distributions": (
        LF.wasserstein_loss,
        lambda: {"input": logits(60, 700), "target": logits(60, 500) + 1, "input_weight": logits(60, 700).abs()},
        ("input", "target", "input_weight"),
    ),
    "one distribution for all": (
        LF.wasserstein_loss,
        lambda: {"input": logits(300, 200), "target": logits(90), "p": 2},
        ("input", "target"),
    ),
    "long sequences": (
        LF.ctc_loss_with_logits,
        lambda: {
            "logits": logits(80, 20, 30),
            "targets": labels(20, 25, classes=29) + 1,
            "input_lengths": torch.arange(61, 81),
            "target_lengths": torch.arange(6, 26),
        },
        ("logits",),
    ),
}
each_large = pytest.mark.parametrize("name", LARGE)


def of_kernels(case: Case) -> tuple[str, ...]:
    """The leaves whose gradients kernels compute: those of weights are torch's work."""
    return tuple(name for name in leaves_of(case) if name != "weight")


def results(function: Callable[..., Tensor], arguments: Arguments, leaves: tuple[str, ...]) -> list[Any]:
    """The reduced and the unreduced loss with its gradients."""
    found: list[Any] = []
    for reduction in ("mean", "none"):
        with ran_natively():
            found.append(evaluate(function, arguments, leaves, torch.tensor(0.37), reduction=reduction))
    return found


# ----- any number of threads -----


@each_dtype
@each_whole_case
def test_p10_any_number_of_threads_gives_the_same_bits(case, dtype, threads):
    arguments = case(size(case), dtype=dtype)
    expected = None
    for number in NUMBERS:
        threads(number)
        found = results(case.function, arguments, of_kernels(case))
        expected = expected or found
        same_bits(found, expected)


@each_large
def test_p10_large_calls_too_and_from_run_to_run(name, threads):
    function, make, leaves = LARGE[name]
    arguments = make()
    expected = None
    for number in (*NUMBERS, 7, 1):
        threads(number)
        found = results(function, arguments, leaves)
        expected = expected or found
        same_bits(found, expected)


@each_whole_case
def test_p10_weights_and_masks_too(case, threads):
    arguments = case(size(case))
    shape = case.shape(arguments)
    given = {"mask": mask_for(shape), "sample_weight": random_tensor(shape, 1, 0.2, 2.0)}
    expected = None
    for number in NUMBERS:
        threads(number)
        found = results(case.function, {**arguments, **given}, of_kernels(case))
        expected = expected or found
        same_bits(found, expected)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="threads are counted in /proc")
def test_they_do_run_in_threads():
    code = """
import os, torch, lossmith
x = torch.zeros(200_000)
lossmith.functional.mse_loss(x, x)
torch.set_num_threads(7)
before = len(os.listdir("/proc/self/task"))
lossmith.functional.mse_loss(x[:1000], x[:1000])
few = len(os.listdir("/proc/self/task"))
lossmith.functional.mse_loss(x, x)
print(before, few, len(os.listdir("/proc/self/task")))
"""
    before, few, after = map(int, run_python(code, OMP_NUM_THREADS="1").split())
    assert few == before, "threads for a thousand numbers"
    assert after - before == 6


# ----- threads of Python's -----


@each_large
def test_in_a_second_thread(name, threads):
    threads(2)
    function, make, leaves = LARGE[name]
    arguments = make()
    expected = results(function, arguments, leaves)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(results(function, arguments, leaves)))
    thread.start()
    thread.join()
    same_bits(found, expected)


@pytest.mark.parametrize("pool", [ThreadPool, ThreadPoolExecutor], ids=lambda pool: pool.__name__)
def test_in_a_pool_of_threads(pool, threads):
    """At once, which they may: kernels run without Python's lock."""
    threads(2)
    calls = [(function, make(), leaves) for function, make, leaves in LARGE.values()]

    def evaluated(call: tuple[Any, Any, Any]) -> Any:
        return evaluate(*call, torch.tensor(0.37))

    expected = [evaluated(call) for call in calls]
    with pool(4) as workers:
        for _ in range(3):
            for found, right in zip(workers.map(evaluated, calls), expected, strict=True):
                same_bits(found, right)


def test_backward_in_another_thread_than_forward(threads):
    threads(2)
    x, y = logits(200_000).requires_grad_(), logits(200_000) + 1
    expected = torch.autograd.grad(LF.mse_loss(x, y), x)[0]
    loss = LF.mse_loss(x, y)
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    same_bits(x.grad, expected)


# ----- after a fork -----

FORKED = """
import json, os, signal, sys, torch
import lossmith
from kernels import evaluate
from native.test_threads import LARGE, results

# what torch itself would need threads for is done before: its own operations hang in a child that needs them
torch.set_num_threads(2)
calls = {name: (function, make(), leaves) for name, (function, make, leaves) in LARGE.items()}
upstreams = {"1": torch.tensor(1.0), "0.37": torch.tensor(0.37)}

def bits(call, upstream):
    function, arguments, leaves = call
    loss, gradients = evaluate(function, arguments, leaves, upstream)
    return [loss.numpy().tobytes(), *(g.numpy().tobytes() for g in gradients.values())]

found = {}
for name, call in calls.items():
    for said, upstream in upstreams.items():
        if said != "1" and name not in ("broadcast", "margins", "long pairs"):
            continue
        expected = bits(call, upstream)
        child = os.fork()
        if not child:
            signal.alarm(5)
            os._exit(0 if bits(call, upstream) == expected else 3)
        status = os.waitpid(child, 0)[1]
        found[f"{name}, {said}"] = {0: "right", signal.SIGALRM: "hangs"}.get(status, f"ends with {status}")
        assert bits(call, upstream) == expected, "the parent"
print(json.dumps(found))
"""

LOADER = """
import torch, lossmith
from torch.utils.data import DataLoader, Dataset

class Losses(Dataset):
    def __init__(self):
        self.x = torch.linspace(-1, 1, 100_000)

    def __len__(self):
        return 4

    def __getitem__(self, i):
        x = (self.x * i).requires_grad_()
        loss = lossmith.functional.mse_loss(x, self.x)
        loss.backward()
        return loss.detach(), x.grad.sum()

if __name__ == "__main__":
    torch.set_num_threads(2)
    data = Losses()
    expected = [data[i] for i in range(4)]
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for (loss, total), (right, right_total) in zip(loader, expected, strict=True):
        assert loss.equal(right), (loss, right)
        torch.testing.assert_close(total, right_total)
    print("right")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork():
    found = json.loads(run_python(FORKED, OMP_NUM_THREADS="2"))
    wrong = {name: how for name, how in found.items() if how != "right"}
    assert len(found) == len(LARGE) + 3 and not wrong, wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_in_the_forked_workers_of_a_data_loader(tmp_path):
    file = tmp_path / "loader.py"
    file.write_text(LOADER)
    assert run_python(f"import runpy; runpy.run_path({str(file)!r}, run_name='__main__')") == "right\n"
