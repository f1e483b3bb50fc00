"""CTC on a GPU: the recursion of ctc.py from both ends at once, then the gradients of all segments of frames.

One program follows the lattice of a sample frame by frame, forward or, with labels and frames reversed, backward: that
is the same recursion, so both run at the same time. They leave the states at the borders of segments of frames; a
program for each segment computes its states again from there, and the gradient in its scores. Before all that, the
softmax of logits has its sums taken, for all frames at once.

A probability is a float64 in 1 to 2 times a power of two whose exponent is another float64, as in kernel.cpp: no
alignment underflows, and states take neither exponentials nor logarithms, which are left for the scores. States lie in
memory, where each finds its neighbour; between frames the threads of a program wait for each other. They take 4 T bytes
for each label of a sample of T frames, and 608 more for each label in each of the programs, 512 at most, that compute
segments.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
from torch import Tensor

from ....backend import HALVES
from ....errors import note_on, number_of
from ...launches import enqueue, on
from ...triton import divisor_of_call, finish, rescale
from .gradient import gradient_kernel
from .plan import plan_kernel
from .softmax import normalise_kernel
from .sweep import SEGMENT, sweep_kernel

if TYPE_CHECKING:
    from ..native import _CallOnDevice

MOST_AT_ONCE = 1024
"""So many states, or classes, are looked at side by side at most."""
MOST_PROGRAMS = 512
"""So many programs compute segments at most, each in memory of its own; beyond, each computes more segments."""


def launch(
    call: "_CallOnDevice",
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of a call of CTC."""
    scores, targets, frames, lengths = tensors[:4]
    weight = tensors[4] if call.weighed else None
    mask = tensors[-1] if call.masked else None
    size, samples, classes = scores.shape
    device = scores.device
    most = targets.shape[-1]
    first = upstream is None
    again = upstream is not None and call.reduced and scores.dtype not in HALVES
    if again and into is not None and upstream is not None:
        rescale(into, upstream)
        return None, [*into]
    stored = into is not None
    gradient = None
    if wanted[0]:
        gradient = torch.empty_like(scores) if into is None or into[0] is None else into[0]
    value = partials = None
    if first and call.reduced:
        value = torch.empty((), dtype=call.result, device=device)
        partials = torch.empty(samples, dtype=torch.float64, device=device)
    elif first:
        value = torch.empty(samples if call.shape is None else call.shape, dtype=call.result, device=device)
    divisor = divisor_of_call(call)

    # a sequence that is longer than all frames has no alignment, and no states
    width = min(most, size) + 1
    block, across = (max(16, min(MOST_AT_ONCE, triton.next_power_of_2(n))) for n in (width, classes))
    segments = triton.cdiv(size, SEGMENT.value)
    slots = (segments + 1 if gradient is not None else 0) + 2
    programs = samples * (2 if gradient is not None else 1)
    states = torch.empty(programs, slots, 4, width, dtype=torch.float64, device=device)
    plan = torch.empty(samples, 4, dtype=torch.int64, device=device)
    order = losses = tops = logs = None
    if gradient is not None:
        order = torch.empty(samples, 2, width, dtype=torch.int32, device=device)
        losses = torch.empty(samples, dtype=torch.float64, device=device)
    note = note_on(device) if first else None
    number = upstream if stored else None

    with on(scores):
        if samples and call.logits:
            tops, logs = (torch.empty(size, samples, dtype=torch.float64, device=device) for _ in range(2))
            rows = max(1, 1024 // across)
            enqueue(
                normalise_kernel,
                (triton.cdiv(size * samples, rows),),
                scores,
                frames,
                mask,
                number,
                tops,
                logs,
                scores.stride(),
                frames.stride(0),
                _stride(mask),
                samples,
                classes,
                size * samples,
                WIDE=scores.dtype == torch.float64,
                STORED=stored,
                ROWS=rows,
                BLOCK=across,
            )
        if samples:
            enqueue(
                plan_kernel,
                (samples,),
                targets,
                frames,
                lengths,
                mask,
                number,
                plan,
                order,
                note,
                targets.stride(),
                frames.stride(0),
                lengths.stride(0),
                _stride(mask),
                samples,
                size,
                most,
                classes,
                call.blank,
                width,
                CONCATENATED=targets.dim() == 1,
                STORED=stored,
                LOSS=number_of(call.loss),
                WHOLE=width <= block,
                BLOCK=block,
                num_warps=_warps(block),
            )
            enqueue(
                sweep_kernel,
                (programs,),
                scores,
                targets,
                weight,
                tops,
                logs,
                states,
                plan,
                losses,
                None if partials is not None else value,
                partials,
                scores.stride(),
                targets.stride(-1),
                _stride(weight),
                samples,
                call.blank,
                width,
                slots,
                KEEP=gradient is not None,
                ZERO_INFINITY=call.zero_infinity,
                PER_LABEL=call.per_label,
                WHOLE=width <= block,
                BLOCK=block,
                num_warps=_warps(block),
            )
        if partials is not None and value is not None:
            finish(call.loss, partials, divisor, value)
        if samples and gradient is not None:
            at_once = min(MOST_PROGRAMS, samples * segments)
            scratch = torch.empty(at_once, SEGMENT.value + 3, 4, width, dtype=torch.float64, device=device)
            narrow = min(MOST_AT_ONCE, 256)  # it has more to keep in registers
            enqueue(
                gradient_kernel,
                (at_once,),
                scores,
                targets,
                weight,
                None if again else upstream,
                tops,
                logs,
                states,
                scratch,
                plan,
                order,
                losses,
                gradient,
                scores.stride(),
                gradient.stride(),
                targets.stride(-1),
                _stride(weight),
                0 if upstream is None or upstream.dim() == 0 else upstream.stride(0),
                samples,
                size,
                classes,
                call.blank,
                width,
                slots,
                segments,
                *divisor.arguments,
                REDUCED=call.reduced,
                PER_LABEL=call.per_label,
                ON_EMPTY=divisor.on_empty,
                WIDE=scores.dtype == torch.float64,
                STORED=stored,
                WHOLE=width <= narrow,
                ALL_CLASSES=classes <= narrow,
                BLOCK=min(block, narrow),
                ACROSS=min(across, narrow),
                num_warps=_warps(min(max(block, across), narrow)),
            )
    if again and upstream is not None:  # a later backward goes through the same steps as the first, for the same bits
        rescale((gradient,), upstream)
    return value, [gradient, *[None] * (len(tensors) - 1)]


def _stride(numbers: Tensor | None) -> int:
    """The step between numbers of which each sample has one."""
    return 0 if numbers is None else numbers.stride(0)


def _warps(block: int) -> int:
    return max(1, min(16, block // 32))
