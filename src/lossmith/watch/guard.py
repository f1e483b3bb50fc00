"""`lossmith.guard`: where it begins and ends, and what it does with what is found."""

import threading
from typing import Literal, get_args

from ..card import Language
from .judge import Judge, Place
from .mode import Watch
from .report import Finding, Report

Mode = Literal["warn", "error", "collect"]


class LossMisuse(Exception):
    """A loss held wrongly, which the guard raises in mode ``"error"``. ``finding`` has the parts of the message."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding

    def __reduce__(self) -> tuple[type["LossMisuse"], tuple[Finding]]:
        return LossMisuse, (self.finding,)


class guard:
    """Watches the losses of lossmith and of torch.nn, and tells when one is held wrongly.

    It sees the calls of this thread, those that have gradients switched on, in eager mode: not those of other threads,
    of compiled graphs, of torch.func's transforms, or that backward() makes (the second run of a checkpoint). Results,
    gradients and random numbers are what they are without it.

    Args:
        mode: ``"warn"``: a :class:`lossmith.LossWarning` for each rule and line. ``"error"``: raises
            :class:`lossmith.LossMisuse`, after what torch itself raises; what is harmless is a warning. ``"collect"``:
            nothing but the report.
        language: of messages, ``"en"`` or ``"zh"``.

    Raises:
        ValueError: another mode or language.

    As a context it gives the report, whose ``findings`` have ``rule``, ``code``, ``severity``, ``message``,
    ``evidence``, ``where`` (``file:line``) and ``fix``.

    >>> import torch, lossmith
    >>> logits = torch.randn(8, 3, requires_grad=True)
    >>> with lossmith.guard("collect") as report:
    ...     loss = torch.nn.functional.cross_entropy(logits.softmax(1), torch.zeros(8, dtype=torch.long))
    >>> [finding.rule for finding in report.findings]
    ['softmax-into-cross-entropy']
    """

    def __init__(self, mode: Mode = "warn", *, language: Language = "en") -> None:
        _check(mode, language)
        self._mode: Mode = mode
        self._language: Language = language
        self._entered: list[Watch] = []

    def __enter__(self) -> Report:
        watch = _watch(self._mode, self._language)
        self._entered.append(watch)
        watch.start()
        return watch.judge.report

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        watch = self._entered.pop()
        watch.stop()
        if kind is None:
            watch.judge.close()

    @staticmethod
    def enable(mode: Mode = "warn", *, language: Language = "en") -> Report:
        """Watches from now on, until :meth:`disable`, and gives the report. It covers this thread alone: call it in
        each thread that computes losses. Called again, it starts anew in the new mode.
        """
        _check(mode, language)
        guard.disable()
        watch = _thread.watch = _watch(mode, language)
        watch.start()
        return watch.judge.report

    @staticmethod
    def disable() -> None:
        """Ends what :meth:`enable` began in this thread; nothing happens if nothing did."""
        watch, _thread.watch = _thread.watch, None
        if watch is not None:
            watch.stop()
            watch.judge.close()


class _Thread(threading.local):
    watch: Watch | None = None


_thread = _Thread()


def _collect(finding: Finding, place: Place, error: Exception | None, new: bool) -> None:
    pass


def _warn(finding: Finding, place: Place, error: Exception | None, new: bool) -> None:
    if new:
        place.warn(str(finding))


def _raise(finding: Finding, place: Place, error: Exception | None, new: bool) -> None:
    if error is not None:
        error.add_note(str(finding))
    elif finding.severity == "info":
        _warn(finding, place, error, new)
    else:
        raise LossMisuse(finding)


_TELL = {"warn": _warn, "error": _raise, "collect": _collect}


def _watch(mode: Mode, language: Language) -> Watch:
    return Watch(Judge(_TELL[mode], language, again=mode == "error"))


def _check(mode: str, language: str) -> None:
    for name, value, choices in (("mode", mode, get_args(Mode)), ("language", language, get_args(Language))):
        if value not in choices:
            raise ValueError(
                f"lossmith.guard: {value!r} is not a valid value for {name}; write one of "
                f"{', '.join(map(repr, choices))}"
            )
