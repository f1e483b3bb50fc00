"""One guard at work: it asks the rules of each call of a loss, and of each backward(), and tells what they say."""

import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import FrameType
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from .. import checks, errors
from ..card import Language, Text
from ..checks import LossWarning
from ..rule import Rule
from ..rules import all_rules
from .batch import Batch, Statistic, capturing, due, readable
from .calls import WATCHED, Form, Watched, WatchedCall, bind
from .provenance import leaves
from .report import Finding, Report

_CUTS = frozenset({Tensor.detach, Tensor.data.__get__})  # type: ignore[attr-defined]
"""What takes a tensor's gradient away."""
SEEN = frozenset({*WATCHED, *_CUTS, Tensor.backward})
"""What `Judge.call` is for."""

MOST_FORMS = 256
"""At one place, to be remembered."""

Said = list[tuple[Rule, Text]]


class Place:
    """One place in the program that computes one loss, or calls backward()."""

    __slots__ = ("calls", "file", "kind", "line", "module", "quiet", "rules", "streaks", "told")

    def __init__(self, frame: FrameType, kind: str, rules: Sequence[Rule]) -> None:
        self.kind = kind
        self.file, self.line = frame.f_code.co_filename, frame.f_lineno
        self.module = frame.f_globals.get("__name__", "")
        self.calls = 0
        self.rules = rules
        """Those that are asked here."""
        self.quiet: set[Form] = set()
        """Forms of calls of which no rule says anything at once."""
        self.told: set[str] = set()
        """The names of those that have spoken here."""
        self.streaks: dict[str, int] = {}
        """How many batches in a row have agreed with a rule."""

    def leave_out(self, rule: Rule) -> None:
        self.rules = [other for other in self.rules if other is not rule]

    def warn(self, message: str) -> None:
        """A LossWarning at this line."""
        warnings.warn_explicit(message, LossWarning, self.file, self.line, self.module)


Tell = Callable[[Finding, Place, Exception | None, bool], None]
"""Is called with a finding, its place, what the call raised, and whether the finding is new."""


class Backward:
    """See `rule.Backward`."""

    def __init__(self, tensor: Tensor, losses: tuple[str, ...], differentiable: bool) -> None:
        self.tensor, self.losses, self.differentiable = tensor, losses, differentiable

    def leaves(self) -> list[Tensor] | None:
        return leaves(self.tensor)


class Judge:
    """Asks the rules and keeps the report.

    again: whether rules that have spoken at a place are asked there again.
    """

    def __init__(self, tell: Tell, language: Language = "en", again: bool = False) -> None:
        self.report = Report()
        self._tell, self._language, self._again = tell, language, again
        self._places: dict[tuple[Any, int, str], Place] = {}
        self._pending: deque[tuple[Place, Batch]] = deque()
        self._cut: deque[ReferenceType[Tensor]] = deque(maxlen=64)
        """Results of `_CUTS`, of the last steps."""
        self._note: errors.Reading | None = None
        """What kernels on a device had to say, on its way."""
        self._losses: dict[str, bool] = {}
        """The losses since the last backward(), and whether a result of theirs had a gradient to give."""

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Makes a call of what is in `SEEN`, and judges it."""
        if function in _CUTS:
            result: Tensor = function(*args, **kwargs)
            self._cut.append(ref(result))
            return result
        if not torch.is_grad_enabled() or _transformed():
            return function(*args, **kwargs)
        watched = WATCHED.get(function)
        if watched is None:
            return self._backward(function, args, kwargs)
        try:
            with checks.told_elsewhere():
                result = function(*args, **kwargs)
        except Exception as error:
            self._loss(watched, args, kwargs, None, error)
            raise
        self._loss(watched, args, kwargs, result, None)
        return result

    def close(self) -> None:
        """Waits for the numbers that are still on their way, and judges them."""
        while self._pending:
            place, batch = self._pending.popleft()
            batch.wait()
            self._say(place, self._by_values(place, batch))
        errors.check_errors()

    # ----- what is seen -----

    def _loss(
        self,
        watched: Watched,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Tensor | None,
        error: Exception | None,
    ) -> None:
        arguments = bind(watched, args, kwargs)
        if arguments is None:
            return
        self.report.calls += 1
        place = self._place(watched.loss, _rules_of(watched.loss))
        place.calls += 1
        with torch._C.DisableTorchFunction():
            call = WatchedCall(watched.loss, watched.own, arguments, result, error, self._cut)
            if result is not None:
                self._losses[watched.loss] = self._losses.get(watched.loss, False) or result.requires_grad
            said = self._at_once(place, call)
            said += self._batch(place, call, [rule for rule, _ in said])
        self._say(place, said, error)
        while self._pending and self._pending[0][1].arrived():
            earlier, batch = self._pending.popleft()
            self._say(earlier, self._by_values(earlier, batch))
        if result is not None:
            self._noted(place, result)

    def _noted(self, place: Place, result: Tensor) -> None:
        """Raises what a kernel on a device has noted, once that arrives; sends for it at calls that are looked at."""
        note, self._note = self._note, None
        if note is None and due(place.calls) and not capturing(result):
            note = errors.reading(result.device)
        if note is not None and not note.arrived():
            self._note = note
        elif note is not None:
            note.check()

    def _backward(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        losses, self._losses = self._losses, {}
        place = self._place("backward", _rules_of("backward"))
        place.calls += 1
        said: Said = []
        if due(place.calls):  # what is cut from the graph is cut at each step
            with torch._C.DisableTorchFunction():
                seen = Backward(args[0], tuple(losses), any(losses.values()))
                said = [
                    (rule, text)
                    for rule in place.rules
                    if rule.at_backward and (text := self._ask(rule, place, rule.at_backward, seen)) is not None
                ]
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            self._say(place, said, error)
            raise
        self._say(place, said)
        return result

    # ----- how it is judged -----

    def _at_once(self, place: Place, call: WatchedCall) -> Said:
        """What a call shows. Where calls of its form have shown nothing, it is only asked when values are."""
        form = call.form()
        if form in place.quiet and call.error is None and not due(place.calls):
            return []
        said = [
            (rule, text)
            for rule in place.rules
            if rule.at_once and (text := self._ask(rule, place, rule.at_once, call)) is not None
        ]
        if not said and len(place.quiet) < MOST_FORMS:
            place.quiet.add(form)
        return said

    def _batch(self, place: Place, call: WatchedCall, done: Sequence[Rule]) -> Said:
        """Reads the values of a call, if it is time; what they say, if that is known at once."""
        if call.error is None and not due(place.calls):
            return []
        rules = [
            rule
            for rule in place.rules
            if rule.values
            and rule not in done
            and (call.error is None or rule.values.batches == 1)
            and self._ask(rule, place, rule.values.applies, call)
        ]
        if not rules or not readable(call, place.calls):
            return []
        answers: dict[Statistic, Tensor] = {}
        with torch.no_grad():
            rules = [rule for rule in rules if self._ask(rule, place, _read, rule, call, answers)]
            batch = Batch(call.faded(), rules, answers)
        if batch.arrived():
            return self._by_values(place, batch)
        if call.error is None:
            self._pending.append((place, batch))
        return []

    def _by_values(self, place: Place, batch: Batch) -> Said:
        said: Said = []
        for rule, numbers in batch.numbers():
            assert rule.values is not None
            text = self._ask(rule, place, rule.values.says, batch.call, numbers)
            place.streaks[rule.name] = place.streaks.get(rule.name, 0) + 1 if text is not None else 0
            if text is not None and place.streaks[rule.name] >= rule.values.batches:
                said.append((rule, text))
        return said

    def _ask(self, rule: Rule, place: Place, question: Callable[..., Any], *about: Any) -> Any:
        """What a rule answers. A rule that fails, or finds no memory, must not stop the program that it watches."""
        try:
            return question(*about)
        except torch.OutOfMemoryError:
            place.leave_out(rule)
            return None
        except Exception as error:
            if any(isinstance(part, WatchedCall) and part.error is not None for part in about):
                return None  # what raised may have shapes that no loss takes, and rules need not foresee them
            place.leave_out(rule)
            place.warn(f"lossmith's rule {rule.name} failed at this call; please report it: {error!r}")
            return None

    # ----- what is told -----

    def _say(self, place: Place, said: Said, error: Exception | None = None) -> None:
        findings = []
        for rule, evidence in said:
            finding = Finding.of(rule, evidence, f"{place.file}:{place.line}", place.kind, self._language)
            new = rule.name not in place.told
            findings.append((finding, new))
            if new:
                place.told.add(rule.name)
                self.report.findings.append(finding)
            if not self._again:
                place.leave_out(rule)
        for finding, new in findings:
            self._tell(finding, place, error, new)

    def _place(self, kind: str, rules: Sequence[Rule]) -> Place:
        frame = checks.caller()
        key = (frame.f_code, frame.f_lineno, kind)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(frame, kind, rules)
        return place


def _transformed() -> bool:
    """Whether the call is not simply computed: under torch.func's transforms, dispatch modes, fake tensors, a trace."""
    return (
        torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_tracing()
    )


def _read(rule: Rule, call: WatchedCall, answers: dict[Statistic, Tensor]) -> bool:
    """Computes what a rule asks for, unless another has asked for it."""
    assert rule.values is not None
    for read in rule.values.reads.values():
        if read not in answers:
            answers[read] = read(call)
    return True


@cache
def _rules_of(kind: str) -> tuple[Rule, ...]:
    """The rules about a loss that are seen at run time; of "backward", those about that."""
    if kind == "backward":
        return tuple(rule for rule in all_rules().values() if rule.at_backward)
    return tuple(rule for rule in all_rules().values() if kind in rule.losses and (rule.at_once or rule.values))
