"""CTC's lattice: the sum over all alignments of a label sequence to frames, by forward-backward in log space.

An alignment gives each frame a label or a blank; dropping repeats and then blanks leaves the label sequence
l(1) ... l(S). The lattice has a state "blank" before, between and after the labels (blank 0 ... blank S) and a state
for each label. From one frame to the next an alignment stays, goes on by one state, or skips the blank between two
labels that differ. With B and L the log-probabilities of all beginnings of alignments which end in a blank or a label
(L(0), which does not exist, at -inf), a frame with log-probabilities e does

    into blank j      = B(j) (+) L(j)                                     (+) is logaddexp
    into label j      = L(j) (+) [into blank j-1 if l(j) may follow l(j-1) at once, else B(j-1)]
    B(j), L(j)        = into blank j + e(blank), into label j + e(l(j))

Before the first frame only blank 0 is occupied, after the last the sum is what goes into blank S. A frame past the
end of a shorter sample holds a certain blank (e = 0) and nothing else, which leaves its sum as it is.
Going backward is the same recursion with time and states reversed, so both directions run as one batch.

Source: Graves et al., "Connectionist Temporal Classification" (2006).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...backend import transforming

Adder = Callable[[Tensor, Tensor], Tensor]


def ctc_nll(log_probs: Tensor, labels: Tensor, frames: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """-log of the sum of the probabilities of all alignments, for each sample; inf where there is none.

    log_probs is (T, N, C), labels (N, S) padded with any label, frames and lengths (N) with the numbers of frames and
    labels which count; all must be in range. The result is in float64 where the device has it: an occupancy is the
    exponential of a difference of sums over all frames, of which float32 would leave a few digits.

    The gradient is the derivative of the value, minus the probability that an alignment uses a class at a frame, and
    0 for a sample without an alignment. Every order of derivative exists, with no NaN for log-probabilities of -inf.
    """
    columns = pad(labels, (1, 0), value=blank)
    emissions = _emissions(log_probs, columns, frames)
    repeated = columns[:, 1:] == columns[:, :-1]
    # What all states of a frame have in common is summed apart: the smaller the sums, the less their rounding.
    common = emissions.detach().amax(2)
    common = torch.where(torch.isfinite(common), common, 0)
    emissions = emissions - common.unsqueeze(2)
    if transforming():
        log_sum = _forward(emissions, repeated, lengths, _add)
    else:
        with_occupancy = torch.is_grad_enabled() and emissions.requires_grad
        log_sum = torch.ops.lossmith.ctc_lattice(emissions, repeated, lengths, with_occupancy)[0]
    return -(log_sum + common.sum(0))


def _emissions(log_probs: Tensor, columns: Tensor, frames: Tensor) -> Tensor:
    """The log-probabilities of the blank and of each label: (T, N, S + 1)."""
    emissions = log_probs.gather(2, columns.expand(log_probs.shape[0], -1, -1))
    emissions = emissions.to(torch.float32 if log_probs.device.type == "mps" else torch.float64)
    certain_blank = torch.where(torch.arange(columns.shape[1], device=columns.device) == 0, 0.0, -torch.inf)
    active = active_frames(log_probs.shape[0], frames).unsqueeze(2)
    return torch.where(active, emissions, certain_blank.to(emissions.dtype))


def active_frames(size: int, frames: Tensor) -> Tensor:
    """Where a frame belongs to its sample: (T, N)."""
    return torch.arange(size, device=frames.device).unsqueeze(1) < frames


# ----- the recursion; states before samples, so that neighbouring states are contiguous -----


def _sweep(frames: Iterable[Tensor], skip: Tensor, start: Tensor, add: Adder) -> Iterator[Tensor]:
    """B(0) ... B(S), L(0) ... L(S) after each frame, (2S + 2, N), from those before it and emissions (S + 1, N).

    skip (S, N) is 0 where a label may follow the one before at once, else -inf.
    """
    blank, label = start.chunk(2)
    nothing = label[:1]
    for emissions in frames:
        into_blank = add(blank, label)
        into_label = torch.maximum(blank[:-1], into_blank[:-1] + skip)
        states = torch.cat([into_blank + emissions[:1], nothing, add(label[1:], into_label) + emissions[1:]])
        yield states
        blank, label = states.chunk(2)


def _add(a: Tensor, b: Tensor) -> Tensor:
    """logaddexp whose derivatives, of every order, are 0 where both are -inf."""
    greatest = torch.maximum(a, b).detach()
    greatest = torch.where(greatest == -torch.inf, 0, greatest)
    total = torch.exp(a - greatest) + torch.exp(b - greatest)
    nothing = total == 0
    return torch.where(nothing, -torch.inf, greatest + torch.log(torch.where(nothing, 1, total)))


def _skip(emissions: Tensor, repeated: Tensor) -> Tensor:
    return torch.where(repeated, -torch.inf, 0.0).to(emissions.dtype).t()


def _only(at: Tensor, emissions: Tensor) -> Tensor:
    """The states when blank number `at` is certain: (2S + 2, N)."""
    states = torch.arange(2 * emissions.shape[2], device=at.device).unsqueeze(1)
    return torch.where(states == at, 0.0, -torch.inf).to(emissions.dtype)


def _log_sum(states: Tensor, lengths: Tensor, add: Adder) -> Tensor:
    """The log of the sum over all alignments, which end in blank S: (N)."""
    blank, label = states.chunk(2)
    return add(blank, label).gather(0, lengths.unsqueeze(0)).squeeze(0)


def _forward(emissions: Tensor, repeated: Tensor, lengths: Tensor, add: Adder) -> Tensor:
    """The log of the sum over all alignments of each sample: (N), from emissions (T, N, S + 1)."""
    frames = emissions.transpose(1, 2).contiguous().unbind()
    for states in _sweep(frames, _skip(emissions, repeated), _only(torch.zeros_like(lengths), emissions), add):
        last = states
    return _log_sum(last, lengths, add)


def _forward_backward(emissions: Tensor, repeated: Tensor, lengths: Tensor, add: Adder) -> tuple[Tensor, Tensor]:
    """The same, and its derivative: the probability that an alignment uses each emission, (T, N, S + 1)."""
    samples, columns = emissions.shape[1:]
    skip = _skip(emissions, repeated)
    first, last = _only(torch.zeros_like(lengths), emissions), _only(columns - 1 - lengths, emissions)
    history = list(
        _sweep(
            _both_ways(emissions),
            torch.cat([skip, _reversed_labels(skip, 0)], 1),
            torch.cat([first, last], 1),
            add,
        )
    )
    log_sum = _log_sum(history[-1][:, :samples], lengths, add)
    past, future = [h[:, :samples] for h in history], [h[:, samples:] for h in reversed(history)]
    possible = log_sum != -torch.inf
    occupancy = [
        _occupancy(part, torch.stack(past[i : i + _FRAMES]), torch.stack(future[i : i + _FRAMES]), possible)
        for i, part in zip(range(0, len(past), _FRAMES), torch.split(emissions, _FRAMES), strict=True)
    ]
    return log_sum, torch.cat(occupancy)


_FRAMES = 32
"""How many frames are prepared or finished at once: few enough for the cache, enough to make the calls cheap."""


def _both_ways(emissions: Tensor) -> Iterator[Tensor]:
    """Each frame's emissions, (S + 1, 2N): the samples, then the samples with frames and labels reversed."""
    for ahead, back in zip(torch.split(emissions, _FRAMES), torch.split(emissions.flip(0), _FRAMES), strict=True):
        yield from torch.cat([ahead, _reversed_labels(back, 2)], 1).transpose(1, 2).contiguous().unbind()


def _reversed_labels(rows: Tensor, dim: int) -> Tensor:
    """Rows 1 to S in reverse; row 0 holds the blank, or nothing, and stays."""
    return rows.flip(dim).roll(1, dim)


def _occupancy(emissions: Tensor, past: Tensor, future: Tensor, possible: Tensor) -> Tensor:
    """How likely each emission is used, (T, N, S + 1), from the sums (T, 2S + 2, N) over what is before and after it.

    A frame's states are compared by a softmax, so that their occupancies sum to 1 whatever was rounded before.
    """
    blank, label = past.chunk(2, 1)
    blank_after, label_after = future.chunk(2, 1)
    emissions = emissions.transpose(1, 2)
    once = torch.where(emissions == -torch.inf, 0, emissions)  # both sums have it; where it is -inf, so are they
    scores = torch.cat([blank + blank_after.flip(1) - once[:, :1], label + _reversed_labels(label_after, 1) - once], 1)
    states = torch.softmax(torch.where(possible, scores, 0), 1)
    blank, label = torch.where(possible, states, 0).chunk(2, 1)
    return torch.cat([blank.sum(1, keepdim=True), label[:, 1:]], 1).transpose(1, 2)


# ----- as one operator, which the compiler and autograd see instead of the steps -----


def _lattice(emissions: Tensor, repeated: Tensor, lengths: Tensor, with_occupancy: bool) -> tuple[Tensor, Tensor]:
    if with_occupancy:
        log_sum, occupancy = _forward_backward(emissions, repeated, lengths, torch.logaddexp)
        return log_sum, occupancy.contiguous()
    return _forward(emissions, repeated, lengths, torch.logaddexp), emissions.new_empty(0)


def _shapes(emissions: Tensor, repeated: Tensor, lengths: Tensor, with_occupancy: bool) -> tuple[Tensor, Tensor]:
    occupancy = emissions.new_empty(emissions.shape) if with_occupancy else emissions.new_empty(0)
    return emissions.new_empty(emissions.shape[1]), occupancy


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.with_occupancy = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, of_log_sum: Tensor | None, of_occupancy: Tensor | None) -> tuple[Tensor | None, ...]:
    """The occupancy is the derivative of the log-sum; its own is found by going through every step."""
    emissions, repeated, lengths, occupancy = ctx.saved_tensors
    if not ctx.with_occupancy:
        occupancy = torch.ops.lossmith.ctc_lattice(emissions, repeated, lengths, True)[1]
    grad = None
    if of_log_sum is not None:
        grad = of_log_sum.unsqueeze(1) * occupancy
    if of_occupancy is not None and ctx.with_occupancy:
        pull = torch.func.vjp(lambda e: _forward_backward(e, repeated, lengths, _add)[1], emissions)[1]
        (second,) = pull(of_occupancy)
        grad = second if grad is None else grad + second
    return grad, None, None, None


_LIBRARY = torch.library.Library("lossmith", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "ctc_lattice(Tensor emissions, Tensor repeated, Tensor lengths, bool with_occupancy) -> (Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
_LIBRARY.impl("ctc_lattice", _lattice, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
torch.library.register_fake("lossmith::ctc_lattice", _shapes, lib=_LIBRARY)
torch.library.register_autograd("lossmith::ctc_lattice", _backward, setup_context=_setup_context, lib=_LIBRARY)
