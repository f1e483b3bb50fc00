"""One row of the tables: a loss, measured against something else that computes it."""

import warnings
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch

from ..backend import recorded
from . import paired
from .bandwidth import copied, copy, size_of
from .memory import peak_growth
from .paired import Spread, Step
from .peers import PEERS
from .request import Request, Task
from .steps import forget, step
from .workloads import Inputs

COPY_FROM = 1_000_000
"""Elements from which the copy runs too: below, caches hold everything."""
MEMORY_FROM = 1 << 20
"""Bytes of gradients from which memory is measured: less drowns in the pages of everything else."""


@dataclass(frozen=True)
class Row:
    """What was measured; all figures are None where something is missing."""

    name: str
    loss: str
    layout: str
    size: str
    shape: tuple[int, ...]
    dtype: str
    variant: str
    against: str
    missing: str | None = None
    """Why there are no figures."""
    backend: str | None = None
    """What ran ours: native (a kernel) or reference (torch's operations); None inside torch.compile."""
    rounds: int | None = None
    ratio: Spread | None = None
    """theirs / ours: above 1, ours is faster."""
    theirs_ms: Spread | None = None
    ours_ms: Spread | None = None
    theirs_first_s: float | None = None
    """The first call, which compiles where something is compiled; the compiler's caches are left as they were."""
    ours_first_s: float | None = None
    bytes: int | None = None
    """That must move at least: every input read once, every gradient written once."""
    gb_per_s: float | None = None
    copy_bytes: int | None = None
    copy_ms: Spread | None = None
    copy_gb_per_s: float | None = None
    of_copy: Spread | None = None
    """ours' bandwidth over the copy's."""
    gradient_bytes: int | None = None
    """Of one gradient for each tensor that wants one."""
    theirs_memory: int | None = None
    """Peak growth of memory, in bytes."""
    ours_memory: int | None = None

    @property
    def failed(self) -> bool:
        return self.missing is not None and self.missing.startswith("lossmith")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        spreads = {f.name for f in fields(cls) if "Spread" in str(f.type)}
        values = {key: Spread(**value) if key in spreads and value else value for key, value in found.items()}
        return cls(**values | {"shape": tuple(found["shape"])})


def measure(task: Task, request: Request) -> Row:
    """Measures, or says what is missing; an error of either side becomes its row's text."""
    if reason := task.skipped:
        return _row(task, request, missing=reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.compiler.reset()
        return _measure(task, request)


def _measure(task: Task, request: Request) -> Row:
    device, case = request.device, task.workload.case
    inputs = task.workload.inputs(request.dtype, device, target=task.variant == "target")
    theirs, ours = _steps(task, inputs)
    first: list[float] = []
    opponent = "lossmith" if case.labels else PEERS[task.against].title if task.against in PEERS else "torch"
    for who, call in ((opponent, theirs), ("lossmith", ours)):
        try:
            with recorded() as dispatched:
                first.append(paired.first_call(call, device))
        except Exception as error:  # of any kind: it is shown, and the other rows go on
            return _row(task, request, missing=_said(who, error))
    forward = task.variant == "forward"
    reads = copied(inputs.args, inputs.wanted)
    with_copy = case.streams and not forward and task.workload.elements >= COPY_FROM
    steps = [theirs, ours, *([copy(reads, inputs.wanted)] if with_copy else [])]
    rounds = paired.run(steps, request.seconds, device)
    gradients = size_of(inputs.wanted)
    found: dict[str, Any] = {
        "backend": None if task.variant == "compile" else dispatched[0].backend if dispatched else "reference",
        "rounds": len(rounds.seconds),
        "ratio": rounds.ratio(0, 1),
        "theirs_ms": _ms(rounds.of(0)),
        "ours_ms": _ms(rounds.of(1)),
        "theirs_first_s": first[0],
        "ours_first_s": first[1],
        "gradient_bytes": gradients,
    }
    if with_copy:
        least, moved = size_of(inputs.args) + gradients, size_of(reads) + gradients
        of_copy = rounds.ratio(2, 1)
        share = least / moved
        found |= {
            "bytes": least,
            "gb_per_s": least / rounds.of(1).median / 1e9,
            "copy_bytes": moved,
            "copy_ms": _ms(rounds.of(2)),
            "copy_gb_per_s": moved / rounds.of(2).median / 1e9,
            "of_copy": Spread(of_copy.median * share, of_copy.low * share, of_copy.high * share),
        }
    if gradients >= MEMORY_FROM:
        for key, call in (("theirs_memory", theirs), ("ours_memory", ours)):
            forget(inputs.wanted)
            found[key] = peak_growth(call, device)
    return _row(task, request, **found)


def _steps(task: Task, inputs: Inputs) -> tuple[Step, Step]:
    theirs, ours = task.workload.theirs, task.workload.ours
    if task.against in PEERS:
        theirs = PEERS[task.against].loss(task.workload.case)
    both = task.variant == "compile"
    if both or task.against == "compile":
        theirs = torch.compile(theirs, dynamic=False)
    if both:
        ours = torch.compile(ours, dynamic=False, fullgraph=True)
    return step(theirs, inputs, task.variant), step(ours, inputs, task.variant)


def _said(who: str, error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if who == "torch" and "not implemented" in text:
        return "torch has none"
    return f"{who}: {text.splitlines()[0]}"


def _ms(seconds: Spread) -> Spread:
    return Spread(1e3 * seconds.median, 1e3 * seconds.low, 1e3 * seconds.high)


def _row(task: Task, request: Request, **found: Any) -> Row:
    workload = task.workload
    return Row(
        name=workload.case.name,
        loss=workload.case.loss,
        layout=workload.case.layout,
        size=workload.size,
        shape=workload.shape,
        dtype=str(request.dtype).removeprefix("torch."),
        variant=task.variant,
        against=task.against,
        **found,
    )
