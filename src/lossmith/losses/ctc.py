"""CTC: the probability of a label sequence, summed over all its alignments to frames."""

from collections.abc import Callable

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.lattice import LabelSequences, Lengths, Steps, active_frames, ctc_nll, label_sequences, lattice
from ..overrides import overridable
from ..reduction import Normalizer, Reduction, plan, reduce


@overridable
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Connectionist temporal classification: how improbable a label sequence is, however it is aligned to the frames.

    An alignment :math:`\pi` gives each of T frames a label or the blank; it stands for the labels :math:`l` that are
    left when repeats and then blanks are dropped. With :math:`y_{t,c}` the log-probability of class c at frame t,

    .. math::
        \ell(y, l) = -\log \sum_{\pi \to l} \exp \sum_t y_{t, \pi_t} \qquad
        \frac{\partial \ell}{\partial y_{t,c}} = -P(\pi_t = c \mid \pi \to l)

    The gradient is the derivative of the value, whatever made the log-probabilities. torch's is right only behind
    log_softmax, for which it already subtracts the softmax; behind log_softmax both give the same gradient. Every
    order of derivative exists.

    A sequence has an alignment if its frames are at least its labels and its adjacent equal labels. One that has none
    gets the loss inf, or 0 with ``zero_infinity``, and a gradient of 0; the other samples are what they are without it.

    Source: Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent
    Neural Networks" (ICML 2006).

    Args:
        log_probs: log-probabilities :math:`y` (T, N, C), frames first, or (T, C) for one sample; a floating dtype, as
            log_softmax gives them (:func:`ctc_loss_with_logits` takes scores).
        targets: labels from 0 to C - 1, without blanks: (N, S), each row padded with anything past its length, or all
            samples' labels one after another, (sum of target_lengths).
        input_lengths: how many frames of each sample count, 0 to T: a tensor (N) of any integer dtype, or a tuple of
            ints. Frames past it have a gradient of 0.
        target_lengths: how many labels each sample has, 0 or more; the same.
        blank: the blank's class.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. As in torch, ``mean`` first divides the loss of each
            sample by its number of labels (at least 1). See :doc:`/reductions`.
        zero_infinity: whether a loss of inf becomes 0.
        sample_weight, mask, normalizer, on_empty: for each sample, (N); see :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that sample's loss is NaN and its gradient 0).
        RuntimeError: a length is negative or longer than what there is (where labels raise, or the same NaN); shapes
            or dtypes that do not go together; blank is no class.
        NotImplementedError: log_probs has no floating dtype.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> y = torch.full((2, 1, 2), 0.5).log().requires_grad_()  # two frames; the blank and one label, each with 1/2
    >>> loss = lossmith.functional.ctc_loss(y, torch.tensor([[1]]), (2,), (1,))
    >>> round((-loss).exp().item(), 4)  # three of the four alignments give the label: 1 1, 1 blank, blank 1
    0.75
    >>> loss.backward()
    >>> y.grad[:, 0]  # at each frame, two of these three have the label
    tensor([[-0.3333, -0.6667],
            [-0.3333, -0.6667]])
    """
    loss = "ctc_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    batch = _batch(loss, "log_probs", log_probs, blank)
    sequences = label_sequences(
        loss, targets, input_lengths, target_lengths, batch, blank, _of_samples(loss, log_probs, how)
    )
    compute, result = dtypes(log_probs)

    def of(batch: Tensor) -> Tensor:
        return ctc_nll(batch.to(compute), sequences.labels, sequences.frames, sequences.lengths, blank)

    steps = Steps(of, _reduction(loss, log_probs.shape[1:-1], sequences, zero_infinity, how, result))
    return lattice(loss, batch, False, sequences, blank, how, steps)


@overridable
def ctc_loss_with_logits(
    logits: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r""":func:`ctc_loss` of scores as a network gives them: log_softmax over the classes is taken inside.

    .. math::
        \ell(x, l) = -\log \sum_{\pi \to l} \prod_t \mathrm{softmax}(x_t)_{\pi_t} \qquad
        \frac{\partial \ell}{\partial x_{t,c}} = \mathrm{softmax}(x_t)_c - P(\pi_t = c \mid \pi \to l)

    Source: as of :func:`ctc_loss`.

    Args:
        logits: scores :math:`x`, (T, N, C) or (T, C), a floating dtype; no softmax before it.
        targets, input_lengths, target_lengths, blank, reduction, zero_infinity: as :func:`ctc_loss`'s.
        sample_weight, mask, normalizer, on_empty: for each sample, (N); see :doc:`/reductions`.

    Raises:
        As :func:`ctc_loss`.

    >>> import torch, lossmith
    >>> x = torch.zeros(2, 1, 2, requires_grad=True)
    >>> lossmith.functional.ctc_loss_with_logits(x, torch.tensor([[1]]), (2,), (1,)).backward()
    >>> x.grad[:, 0]  # 1/2 - 1/3, 1/2 - 2/3
    tensor([[ 0.1667, -0.1667],
            [ 0.1667, -0.1667]])
    """
    loss = "ctc_loss_with_logits"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    batch = _batch(loss, "logits", logits, blank)
    sequences = label_sequences(
        loss, targets, input_lengths, target_lengths, batch, blank, _of_samples(loss, logits, how)
    )
    compute, result = dtypes(logits)

    def of(batch: Tensor) -> Tensor:
        batch = batch.to(compute)
        if not sequences.full:
            # what a frame beyond its sample holds, NaN even, must not come back through the softmax
            batch = torch.where(active_frames(batch.shape[0], sequences.frames).unsqueeze(2), batch, 0)
        log_probs = torch.log_softmax(batch, 2)
        return ctc_nll(log_probs, sequences.labels, sequences.frames, sequences.lengths, blank)

    steps = Steps(of, _reduction(loss, logits.shape[1:-1], sequences, zero_infinity, how, result))
    return lattice(loss, batch, True, sequences, blank, how, steps)


def _batch(loss: str, name: str, scores: Tensor, blank: int) -> Tensor:
    """Scores as (T, N, C), checked."""
    checks.tensor(loss, name, scores)
    if not scores.is_floating_point():
        raise NotImplementedError(
            f"{loss}: {name} is {checks.describe(scores)}, expected a floating dtype; write {name}.float()"
        )
    if scores.dim() not in (2, 3):
        raise RuntimeError(
            f"{loss}: {name} is {checks.describe(scores)}, expected (T, N, C), frames, samples and classes, or (T, C)"
        )
    if scores.shape[0] == 0:
        raise RuntimeError(f"{loss}: {name} must not be empty, got {checks.describe(scores)}, which has no frames")
    if isinstance(blank, bool) or not isinstance(blank, int | torch.SymInt):
        raise TypeError(f"{loss}: blank is {blank!r}, expected the int of a class")
    classes = scores.shape[-1]
    if not 0 <= blank < classes:
        raise RuntimeError(
            f"{loss}: blank must be in label range, got {blank}, expected a class from 0 to {classes - 1} for {name} "
            f"{checks.describe(scores)}"
        )
    return scores if scores.dim() == 3 else scores.unsqueeze(1)


def _of_samples(loss: str, scores: Tensor, how: Reduction) -> Tensor | None:
    """The mask as (N)."""
    checks.fits(loss, "mask", how.mask, scores.shape[1:-1], "the unreduced loss")
    return None if how.mask is None else how.mask.expand(scores.shape[1:-1]).reshape(-1)


def _reduction(
    loss: str,
    shape: torch.Size,
    sequences: LabelSequences,
    zero_infinity: bool,
    how: Reduction,
    result: torch.dtype,
) -> Callable[[Tensor], Tensor]:
    """What makes the result of the losses of the samples (N)."""

    def finish(values: Tensor) -> Tensor:
        if zero_infinity:
            values = torch.where(values == torch.inf, 0, values)
        values = sequences.spoil(values)
        if how.reduction == "mean":
            values = values / sequences.lengths.clamp(min=1)
        return reduce(loss, values.reshape(shape), how, result)

    return finish


class CTCLoss(Criterion, torch.nn.CTCLoss):
    """:func:`lossmith.functional.ctc_loss` as a Module; a :class:`torch.nn.CTCLoss` with weights and masks.

    Args:
        blank, reduction, zero_infinity: as the function's.
        normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> y = torch.zeros(5, 1, 4).log_softmax(2)
    >>> criterion = lossmith.CTCLoss(zero_infinity=True)
    >>> criterion(y, torch.tensor([[1, 1, 2, 2]]), (5,), (4,))  # needs six frames
    tensor(0.)
    """

    def __init__(
        self,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(blank, reduction, zero_infinity)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Lengths,
        target_lengths: Lengths,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            zero_infinity=self.zero_infinity,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


class CTCWithLogitsLoss(CTCLoss):
    """:func:`lossmith.functional.ctc_loss_with_logits` as a Module; :class:`CTCLoss` of scores.

    Args:
        blank, reduction, zero_infinity: as the function's.
        normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> x = torch.randn(5, 1, 4)
    >>> given = torch.tensor([[1, 2]]), (5,), (2,)
    >>> torch.allclose(lossmith.CTCWithLogitsLoss()(x, *given), lossmith.CTCLoss()(x.log_softmax(2), *given))
    True
    """

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        input_lengths: Lengths,
        target_lengths: Lengths,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return ctc_loss_with_logits(
            logits,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            zero_infinity=self.zero_infinity,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _least(
    scores: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0, **_: object
) -> Tensor:
    """Log-probabilities that are sure of one path: a label a frame, a blank between equal ones and at the end."""
    path = torch.full(scores.shape[:2], blank)
    for n, length in enumerate(target_lengths.tolist()):
        frame, previous = 0, None
        for label in targets[n, :length].tolist():
            frame += label == previous
            path[frame, n] = label
            frame, previous = frame + 1, label
    return torch.log(torch.nn.functional.one_hot(path, scores.shape[-1]).to(scores.dtype))


LOSSES = (
    Loss(
        function=ctc_loss,
        module=CTCLoss,
        family="distributions and sequences",
        facts=Facts(
            convex=False,
            lipschitz=lambda log_probs, **_: float(log_probs.shape[0] ** 0.5),
            prediction="log-probabilities",
            target="label sequences",
            minimiser=lambda log_probs, **arguments: _least(log_probs, **arguments),
            denominator="samples",
        ),
    ),
    Loss(
        function=ctc_loss_with_logits,
        module=CTCWithLogitsLoss,
        family="distributions and sequences",
        facts=Facts(
            convex=False,
            lipschitz=lambda logits, **_: float((2 * logits.shape[0]) ** 0.5),
            prediction=REALS,
            target="label sequences",
            minimiser=lambda logits, **arguments: _least(logits, **arguments),
            denominator="samples",
        ),
    ),
)
