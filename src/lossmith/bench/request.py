"""What is asked for: names made into tasks, or an error that says which names there are."""

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from ..losses import all_losses
from .peers import PEERS
from .steps import VARIANTS
from .workloads import CASES, SHAPES, SIZES, Workload, elements_of, size_name, workloads

AGAINST = {
    "eager": "torch.nn, eager",
    "compile": "torch.nn inside torch.compile",
    "labels": "probabilities, both lossmith",
    **{name: peer.title for name, peer in PEERS.items()},
}
LARGE = "64M"
"""What a GPU is measured at besides: less fits into its caches."""
PICTURES = (".png", ".svg", ".pdf")
DTYPES = ("float32", "bfloat16", "float16", "float64")


class BadRequest(ValueError):
    """Something is asked for that can't be measured."""


@dataclass(frozen=True)
class Task:
    """One measurement: a row of the tables."""

    workload: Workload
    against: str
    variant: str

    @property
    def skipped(self) -> str | None:
        """Why it is not tried."""
        if self.workload.case.loss == "multilabel_margin_loss" and self.against == "compile":
            rows, classes = self.workload.shape
            if 4 * rows * classes**2 > 1 << 28:
                return "skipped: torch compiled asks for rows × classes × classes of memory"
        return None

    def estimate(self, seconds: float) -> float:
        """About how many seconds it takes, on two cores."""
        around = 15e-9 * self.workload.elements + 1e-4  # one round: theirs, ours, the copy
        compiled = 2 if self.variant == "compile" else self.against == "compile"
        return 0.0 if self.skipped else max(seconds, 7 * around) + 8 * around + 2.5 * compiled


@dataclass(frozen=True)
class Request:
    """The tasks, and what all of them have in common."""

    tasks: tuple[Task, ...]
    dtype: torch.dtype
    device: torch.device
    seconds: float

    @classmethod
    def of(
        cls,
        losses: Sequence[str] = (),
        sizes: Sequence[str] = (),
        against: Sequence[str] = (),
        variants: Sequence[str] = (),
        dtype: str = "float32",
        device: str = "cpu",
        seconds: float = 0.5,
    ) -> Self:
        """From names; nothing named means every loss and size, against eager and labels, plain."""
        names = _case_names(losses)
        where = device_named(device)
        usual = SIZES if where.type == "cpu" else (*SIZES, LARGE)
        wanted_sizes = [_size(size) for size in sizes] or [*usual, *SHAPES]
        opponents = [_one("opponent", name, list(AGAINST)) for name in against] or ["eager", "labels"]
        wanted_variants = [_one("variant", name, list(VARIANTS)) for name in variants] or ["plain"]
        for opponent in opponents:
            _there(opponent, where)
        element = getattr(torch, _one("dtype", dtype, DTYPES))
        tasks = tuple(
            Task(workload, opponent, variant)
            for size in dict.fromkeys(wanted_sizes)
            for opponent in dict.fromkeys(opponents)
            for variant in dict.fromkeys(wanted_variants)
            for workload in workloads(size)
            if workload.case.name in names and _goes(workload, opponent, variant)
        )
        # both compiled is one measurement, whatever plain calls are measured against
        tasks = tuple(dict.fromkeys(_as_compiled(task) for task in tasks))
        if not tasks:
            raise BadRequest(_nothing(names, wanted_sizes, wanted_variants, opponents))
        _fits(tasks, element, where)
        return cls(tasks, element, where, seconds)

    @property
    def estimate(self) -> float:
        """About how many seconds all of it takes."""
        return sum(task.estimate(self.seconds) for task in self.tasks)


def _goes(workload: Workload, opponent: str, variant: str) -> bool:
    case = workload.case
    if case.labels != (opponent == "labels") or (opponent in PEERS and case.name not in PEERS[opponent].losses):
        return False
    return variant != "target" or case.target is not None


def _as_compiled(task: Task) -> Task:
    if task.variant == "compile" and task.against == "eager":
        return Task(task.workload, "compile", task.variant)
    return task


def _there(opponent: str, device: torch.device) -> None:
    """Refuses a library that is not installed, or does not run where it is asked for."""
    peer = PEERS.get(opponent)
    if peer and device.type == "cpu":
        raise BadRequest(f"{peer.title} runs on a GPU alone; write --device cuda")
    if peer and not peer.installed:
        raise BadRequest(f"{peer.title} is not installed; install it with: pip install {peer.package}")


def _case_names(losses: Sequence[str]) -> set[str]:
    """The cases that names mean: functions (with or without _loss), Modules, files in losses/, single cases."""
    known: dict[str, set[str]] = {}
    written: dict[str, str] = {}
    modules = {name: loss.module for name, loss in all_losses().items()}
    for case in CASES:
        module = modules[case.loss]
        file = module.__module__.rpartition(".")[2]
        for name in (case.name, case.loss, case.loss.removesuffix("_loss"), module.__name__, file):
            known.setdefault(name.lower(), set()).add(case.name)
            written[name.lower()] = name
    if not losses:
        return {case.name for case in CASES}
    return set().union(*(known[_one("loss", loss.lower(), written)] for loss in losses))


def _size(size: str) -> str:
    if size in SHAPES:
        return size
    if elements := elements_of(size):
        return size_name(elements)
    raise BadRequest(
        f"unknown size {size!r}: write a number of elements ({', '.join(SIZES)}, 100000) or one of {', '.join(SHAPES)}"
    )


def _one(kind: str, name: str, known: Mapping[str, str] | Iterable[str]) -> str:
    """The name, if it is known; a mapping says how known names are written in the error."""
    written = known if isinstance(known, Mapping) else {one: one for one in known}
    if name in written:
        return name
    if near := difflib.get_close_matches(name, written, n=3):
        raise BadRequest(f"unknown {kind} {name!r}: did you mean {' or '.join(written[one] for one in near)}?")
    there = sorted({case.loss for case in CASES}) if kind == "loss" else written
    raise BadRequest(f"unknown {kind} {name!r}: there are {', '.join(there)}")


def device_named(name: str) -> torch.device:
    """The device, if there is one of the name."""
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise BadRequest(f"unknown device {name!r}: write cpu, cuda or cuda:1")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise BadRequest(f"no CUDA device here: torch {torch.__version__} finds none; write --device cpu")
    if int(index or 0) >= torch.cuda.device_count():
        raise BadRequest(f"no device {name}: there are {torch.cuda.device_count()}, counted from cuda:0")
    return torch.device("cuda", int(index or 0))


def _nothing(names: set[str], sizes: Sequence[str], variants: Sequence[str], opponents: Sequence[str]) -> str:
    """Why no task is left."""
    who = ", ".join(sorted(names))
    there = [size for size in (*SIZES, *SHAPES) if names & {workload.case.name for workload in workloads(size)}]
    if not any(names & {workload.case.name for workload in workloads(size)} for size in sizes):
        return f"nothing to measure: {who} at {', '.join(sizes)}; write --size {','.join(there)}"
    if "target" in variants:
        return f"nothing to measure: the target of {who} takes no gradient; leave out --variant target"
    if "labels" in opponents:
        return f"nothing to measure: {who} has no other form of target; leave out --against labels"
    has = sorted({name for opponent in opponents for name in PEERS[opponent].losses})
    return f"nothing to measure: {', '.join(opponents)} has {', '.join(has)}, and no other of the losses here"


def _fits(tasks: Iterable[Task], dtype: torch.dtype, device: torch.device) -> None:
    """Refuses what can't fit: two inputs, a gradient, and as much again for torch's intermediate results."""
    task = max(tasks, key=lambda task: task.workload.elements)
    needed = 6 * task.workload.elements * dtype.itemsize
    if device.type == "cuda":
        there = torch.cuda.get_device_properties(device).total_memory
    else:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise BadRequest(
            f"size {task.workload.size} needs about {needed / 1e9:.0f} GB and there are {there / 1e9:.0f}; "
            "write a smaller --size"
        )


def writable(path: Path, endings: Sequence[str] = ()) -> None:
    """Refuses a file that can't be written, or whose name has none of these endings, before hours of measuring."""
    if endings and path.suffix not in endings:
        raise BadRequest(f"can't draw into {path}: write a name that ends in {', '.join(endings)}")
    there = path.exists()
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise BadRequest(f"can't write {path}: {error.strerror}") from None
    if not there:
        path.unlink()
