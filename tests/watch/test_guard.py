"""The guard: its modes, what it sees, what it leaves alone, and that it changes nothing."""

import contextlib
import copy
import gc
import inspect
import io
import pickle
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.overrides import BaseTorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

import lossmith
from lossmith.card import Text
from lossmith.losses import all_losses
from lossmith.rule import Backward, Call, Numbers, Rule, Values
from lossmith.watch import judge

RULE = "softmax-into-cross-entropy"
LABELS = torch.arange(8) % 3


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert _get_current_function_mode_stack() == []


def logits() -> Tensor:
    return torch.randn(8, 3, requires_grad=True)


def misuse(target: Tensor = LABELS) -> Tensor:
    return F.cross_entropy(logits().softmax(1), target)


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def rule(**parts: Any) -> Rule:
    text = Text("en", "zh")
    given = {"code": "LM999", "name": "test", "severity": "error", "losses": tuple(all_losses())} | parts
    return Rule(**given, what=text, why=text, evidence=text, fix=text, bad="", good="")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves these rules alone to be asked."""

    def replace(*rules: Rule) -> None:
        monkeypatch.setattr(judge, "_rules_of", lambda kind: rules)

    return replace


# ----- modes -----


def test_collect_tells_every_part_of_a_finding() -> None:
    with lossmith.guard("collect") as report:
        loss = misuse()
        assert len(report.findings) == 1  # while it runs
    assert loss.requires_grad
    (finding,) = report.findings
    assert (finding.rule, finding.code, finding.severity) == (RULE, "LM101", "error")
    assert finding.where == f"{__file__}:{inspect.getsourcelines(misuse)[1] + 1}"
    assert "softmax" in finding.message and "softmax" in finding.evidence and "logits" in finding.fix
    assert report.calls == 1


def test_warn_is_the_default_and_warns_at_the_line_of_the_caller() -> None:
    with lossmith.guard() as report, pytest.warns(lossmith.LossWarning, match="LM101 softmax-into-cross-") as caught:
        for _ in range(3):
            F.cross_entropy(logits().softmax(1), LABELS)
            where = line() - 1
        nn.CrossEntropyLoss()(logits().softmax(1), LABELS)
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, where), (__file__, where + 2)]
    assert [f.where for f in report.findings] == [f"{__file__}:{where}", f"{__file__}:{where + 2}"]


def test_warnings_as_errors_reach_the_caller() -> None:
    with lossmith.guard(), pytest.raises(lossmith.LossWarning), warnings.catch_warnings():
        warnings.simplefilter("error")
        misuse()


def test_error_raises_every_time_and_keeps_one_finding() -> None:
    with lossmith.guard("error") as report:
        for _ in range(3):
            with pytest.raises(lossmith.LossMisuse, match="LM101") as caught:
                F.cross_entropy(logits().softmax(1), LABELS)
    assert report.findings == [caught.value.finding]
    assert str(caught.value) == str(caught.value.finding)


def test_error_only_warns_of_what_is_harmless(only: Callable[..., None]) -> None:
    only(rule(severity="info", at_once=lambda call: Text("seen", "")))
    with lossmith.guard("error"), pytest.warns(lossmith.LossWarning, match="LM999"):
        misuse()


def test_chinese() -> None:
    with lossmith.guard("collect", language="zh") as report:
        misuse()
    assert "依据" in str(report.findings[0]) or "证据" in str(report.findings[0])
    assert "概率" in report.findings[0].message


@pytest.mark.parametrize(
    ("arguments", "word"), [(("loud",), "'warn', 'error', 'collect'"), (("warn", "de"), "'en', 'zh'")]
)
def test_other_modes_are_refused(arguments: tuple[str, ...], word: str) -> None:
    keywords = {"language": arguments[1]} if len(arguments) > 1 else {}
    for start in (lossmith.guard, lossmith.guard.enable):
        with pytest.raises(ValueError, match=word):
            start(arguments[0], **keywords)


def test_a_misuse_can_be_pickled_with_its_finding() -> None:
    with lossmith.guard("error"), pytest.raises(lossmith.LossMisuse) as caught:
        misuse()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.finding) == (str(caught.value), caught.value.finding)


# ----- torch's own errors -----


@pytest.mark.parametrize("mode", ["warn", "error", "collect"])
def test_torchs_error_comes_first_and_the_finding_is_kept(mode: Any, only: Callable[..., None]) -> None:
    only(rule(at_once=lambda call: Text("seen", "") if call.error is not None and call.result is None else None))
    with warnings.catch_warnings(record=True) as warned, lossmith.guard(mode) as report:
        warnings.simplefilter("always")
        with pytest.raises(IndexError, match="out of bounds") as caught:
            F.cross_entropy(logits(), LABELS + 7)
    assert [finding.rule for finding in report.findings] == ["test"]
    assert len(warned) == (mode == "warn")
    assert getattr(caught.value, "__notes__", []) == ([str(report.findings[0])] if mode == "error" else [])


def test_a_value_that_is_proof_is_found_in_a_call_that_raised(only: Callable[..., None]) -> None:
    def says(call: Call, numbers: Numbers) -> Text | None:
        return Text(f"label {numbers['label']:.0f}", "")

    reads = {"label": lambda call: call.arguments["target"].max()}
    only(rule(values=Values(reads, says, batches=1)), rule(name="later", values=Values(reads, says, batches=2)))
    with lossmith.guard("collect") as report:
        for _ in range(3):
            with pytest.raises(IndexError):
                F.cross_entropy(logits(), LABELS + 7)
    assert [(f.rule, f.evidence) for f in report.findings] == [("test", "label 9")]


@pytest.mark.parametrize("call", [lambda: F.cross_entropy(logits()), lambda: F.mse_loss(1, 2), lambda: F.mse_loss()])
def test_calls_that_do_not_fit_raise_what_they_raise(call: Callable[[], Any]) -> None:
    with pytest.raises(Exception) as plain:
        call()
    with lossmith.guard("error"), pytest.raises(type(plain.value)) as watched:
        call()
    assert str(watched.value) == str(plain.value)


# ----- what is seen -----


def arguments_of(loss: str) -> dict[str, Any]:
    """A call that torch accepts."""
    x, y = torch.rand(4, 3, requires_grad=True), torch.rand(4, 3)
    signs, labels = torch.ones(4), torch.zeros(4, dtype=torch.long)
    return {
        "contrastive_loss": {"input1": x, "input2": y, "target": signs},
        "cosine_embedding_loss": {"input1": x, "input2": y, "target": signs},
        "cross_entropy": {"input": x, "target": labels},
        "ctc_loss": {
            "log_probs": torch.randn(6, 2, 3, requires_grad=True).log_softmax(2),
            "targets": torch.ones(2, 1, dtype=torch.long),
            "input_lengths": torch.tensor([6, 6]),
            "target_lengths": torch.tensor([1, 1]),
        },
        "ctc_loss_with_logits": {
            "logits": torch.randn(6, 2, 3, requires_grad=True),
            "targets": torch.ones(2, 1, dtype=torch.long),
            "input_lengths": torch.tensor([6, 6]),
            "target_lengths": torch.tensor([1, 1]),
        },
        "arcface_loss": {"input": x, "linear_weight": y, "target": labels},
        "cosface_loss": {"input": x, "linear_weight": y, "target": labels},
        "siglip_loss": {"input": x, "keys": y},
        "info_nce_loss": {"input": x, "keys": y},
        "supcon_loss": {"input": x, "target": labels},
        "distillation_loss": {"input": x, "teacher": y, "target": labels},
        "focal_loss": {"input": x, "target": labels},
        "gaussian_nll_loss": {"input": x, "target": y, "var": torch.ones(4, 3)},
        "hinge_embedding_loss": {"input": x, "target": torch.ones(4, 3)},
        "js_div": {"input": x.log(), "target": y},
        "margin_ranking_loss": {"input1": x, "input2": y, "target": torch.ones(4, 3)},
        "mined_triplet_margin_loss": {"input": x, "target": labels},
        "multi_margin_loss": {"input": x, "target": labels},
        "multilabel_margin_loss": {"input": x, "target": torch.zeros(4, 3, dtype=torch.long)},
        "nll_loss": {"input": x, "target": labels},
        "soft_margin_loss": {"input": x, "target": torch.ones(4, 3)},
        "triplet_margin_loss": {"anchor": x, "positive": y, "negative": y + 1},
        "triplet_margin_with_distance_loss": {"anchor": x, "positive": y, "negative": y + 1},
        "wasserstein_critic_loss": {"fake": x, "real": y},
    }.get(loss, {"input": x, "target": y})


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # torch's, of kl_div
@pytest.mark.parametrize("name", all_losses())
def test_every_loss_of_both_libraries_is_seen_once_with_all_arguments(name: str, only: Callable[..., None]) -> None:
    calls: list[tuple[Any, ...]] = []

    def look(call: Call) -> None:
        calls.append((call.loss, call.own, dict(call.arguments), call.result))

    only(rule(at_once=look))
    loss, given = all_losses()[name], arguments_of(name)
    functions = [loss.function, lambda **kw: loss.module()(*kw.values())]
    if hasattr(F, name):
        functions += [getattr(F, name), lambda **kw: getattr(nn, loss.module.__name__)()(*kw.values())]
    parameters = inspect.signature(loss.function).parameters
    with lossmith.guard("collect") as report:
        for function in functions:
            result = function(**given)
            (call,) = calls
            assert call[:2] == (name, function in functions[:2])
            assert list(parameters) == sorted(call[2], key=list(parameters).index)
            assert all(call[2][key] is value for key, value in given.items())
            assert call[2]["reduction"] == "mean" and call[2]["mask"] is None
            assert call[3] is result
            calls.clear()
    assert report.calls == len(functions)


@pytest.mark.parametrize("name", [name for name in all_losses() if name != "ctc_loss_with_logits"])
def test_torchs_compiled_functions_are_seen_with_their_own_order(name: str, only: Callable[..., None]) -> None:
    from lossmith.watch.calls import _COMPILED

    if name not in _COMPILED:
        written_in_python = ("gaussian_nll_loss", "multilabel_soft_margin_loss", "triplet_margin_with_distance_loss")
        assert name in written_in_python or not hasattr(F, name)
        return
    seen: list[Call] = []
    only(rule(at_once=lambda call: seen.append(call)))
    module, attribute, order = _COMPILED[name]
    given = arguments_of(name)
    defaults = {p.name: p.default for p in inspect.signature(all_losses()[name].function).parameters.values()}
    arguments = [given.get(key, 2 if key == "reduction" else defaults[key]) for key in order.split()]
    with lossmith.guard("collect"):
        result = getattr(module, attribute)(*arguments[:-1], **{order.split()[-1]: arguments[-1]}) if (
            name == "kl_div"
        ) else getattr(module, attribute)(*arguments)  # fmt: skip
    torch.testing.assert_close(result, getattr(F, name)(**given, reduction="sum"))
    (call,) = seen
    assert call.arguments["reduction"] == "sum"
    assert {key: value for key, value in call.arguments.items() if key not in given} == {
        key: value for key, value in defaults.items() if key not in given
    } | {"reduction": "sum"}
    assert all(call.arguments[key] is value for key, value in given.items())


def test_legacy_arguments(only: Callable[..., None]) -> None:
    seen: list[str] = []
    only(rule(at_once=lambda call: seen.append(call.arguments["reduction"])))
    x, y = torch.rand(3, requires_grad=True), torch.rand(3)
    with lossmith.guard("collect"):
        for legacy in ({"size_average": False}, {"reduce": False}, {"reduce": True}):
            with pytest.warns(UserWarning, match="deprecated"):
                F.mse_loss(x, y, **legacy)
    assert seen == ["sum", "none", "mean"]


@pytest.mark.parametrize(
    ("call", "dim"),
    [
        (lambda x: F.cross_entropy(x(4, 3), torch.zeros(4, dtype=torch.long)), 1),
        (lambda x: F.cross_entropy(x(3), torch.tensor(0)), 0),
        (lambda x: F.cross_entropy(x(4, 3, 5), torch.zeros(4, 5, dtype=torch.long)), 1),
        (lambda x: lossmith.functional.cross_entropy(x(4, 5, 3), torch.zeros(4, 5, dtype=torch.long), dim=-1), 2),
        (lambda x: F.nll_loss(x(4, 3), torch.zeros(4, dtype=torch.long)), 1),
        (lambda x: F.multi_margin_loss(x(4, 3), torch.zeros(4, dtype=torch.long)), 1),
        (lambda x: F.multilabel_margin_loss(x(3), torch.zeros(3, dtype=torch.long)), 0),
        (lambda x: F.multilabel_soft_margin_loss(x(4, 5, 3), torch.zeros(4, 5, 3)), 2),
        (lambda x: F.ctc_loss(x(6, 1, 3), torch.ones(1, 1, dtype=torch.long), (6,), (1,)), 2),
        (lambda x: F.kl_div(x(4, 3), torch.rand(4, 3), reduction="sum"), None),
        (lambda x: F.mse_loss(x(4, 3), torch.rand(4, 3)), None),
        (lambda x: lossmith.functional.focal_loss(x(4, 3, 5), torch.zeros(4, 5, dtype=torch.long)), 1),
        (lambda x: lossmith.functional.focal_loss(x(3), torch.tensor(0)), 0),
        (lambda x: lossmith.functional.distillation_loss(x(4, 5, 3), torch.rand(4, 5, 3), dim=-1), 2),
        (lambda x: lossmith.functional.distillation_loss(x(4, 3), torch.rand(4, 3)), 1),
        (lambda x: lossmith.functional.dice_loss(x(4, 3, 5), torch.zeros(4, 5, dtype=torch.long)), 1),
        (lambda x: lossmith.functional.tversky_loss(x(4, 5, 3), torch.zeros(4, 5, dtype=torch.long), dim=-1), 2),
        (lambda x: lossmith.functional.arcface_loss(x(4, 3), x(5, 3), torch.zeros(4, dtype=torch.long)), None),
    ],
)
def test_the_dimension_of_the_classes(call: Callable[..., Tensor], dim: int | None, only: Callable[..., None]) -> None:
    seen: list[int | None] = []
    only(rule(at_once=lambda call: seen.append(call.class_dim())))
    with lossmith.guard("collect"):
        call(lambda *shape: torch.randn(shape, requires_grad=True))
    assert seen == [dim]


def test_a_loss_inside_of_functions_is_blamed_on_the_program(tmp_path: Any) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.CrossEntropyLoss()(x.softmax(1), LABELS)

    expected = inspect.getsourcelines(Model.forward)[1] + 1
    with lossmith.guard("collect") as report:
        nn.Sequential(Model())(logits())
    assert [finding.where for finding in report.findings] == [f"{__file__}:{expected}"]


def test_checkpoints() -> None:
    def loss(x: Tensor) -> Tensor:
        return F.cross_entropy(x.softmax(1), LABELS)

    with lossmith.guard("collect") as report:
        checkpoint(loss, logits(), use_reentrant=False).backward()
        for _ in range(4):  # the softmax can't be seen, its values can
            F.cross_entropy(checkpoint(lambda x: x.softmax(1), logits(), use_reentrant=True), LABELS).backward()
    assert [finding.rule for finding in report.findings] == [RULE, RULE]


def test_autocast() -> None:
    with lossmith.guard("collect") as report, torch.autocast("cpu", dtype=torch.bfloat16):
        F.cross_entropy(nn.Linear(4, 3)(torch.randn(8, 4)).softmax(1), LABELS)
    assert [finding.rule for finding in report.findings] == [RULE]


# ----- what is left alone -----


def test_evaluation_is_silent() -> None:
    with lossmith.guard("error") as report:
        with torch.no_grad():
            misuse()
            F.cross_entropy(torch.rand(8, 1), LABELS * 0)
        with torch.inference_mode():
            misuse()
        torch.set_grad_enabled(False)
        try:
            misuse()
        finally:
            torch.set_grad_enabled(True)
    assert report.calls == 0


def test_transforms_of_torch_func_are_left_alone() -> None:
    def loss(x: Tensor) -> Tensor:
        return F.cross_entropy(x.softmax(-1), torch.tensor(1))

    x = torch.randn(5, 3)
    expected = torch.func.vmap(torch.func.grad(loss))(x), torch.func.hessian(loss)(x[0])
    with lossmith.guard("error"):
        found = torch.func.vmap(torch.func.grad(loss))(x), torch.func.hessian(loss)(x[0])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_whole_graph_is_compiled_under_the_guard() -> None:
    def loss(x: Tensor) -> Tensor:
        p = x.softmax(1)
        return F.cross_entropy(p, LABELS) + lossmith.CrossEntropyLoss()(p, LABELS) + F.relu(x).shape[0]

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    x = logits()
    with lossmith.guard("error") as report:
        result = compiled(x)
        result.backward()
    assert report.calls == 0
    torch.testing.assert_close(result, loss(x))
    torch.testing.assert_close(compiled(x), result)  # and without it
    with lossmith.guard("collect") as report:
        F.cross_entropy(torch.compile(lambda x: x.softmax(1), backend="aot_eager")(x), LABELS)
    assert report.calls == 1 and report.findings == []  # where a compiled result comes from is not known


def test_a_model_is_exported_under_the_guard() -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.cross_entropy(x.softmax(1), LABELS)

    with lossmith.guard("error"):
        torch.export.export(Model(), (logits(),))


def test_meta_tensors_have_no_values(only: Callable[..., None]) -> None:
    def refuse(call: Call) -> Tensor:
        raise AssertionError("read")

    only(rule(values=Values({"number": refuse}, lambda call, numbers: None)))
    with lossmith.guard("warn") as report:
        F.mse_loss(torch.empty(3, device="meta", requires_grad=True), torch.empty(3, device="meta"))
    assert report.calls == 1


def test_what_only_traces_is_left_alone() -> None:
    def loss(x: Tensor) -> Tensor:
        return F.cross_entropy(x.softmax(1), x.detach().softmax(1))

    with lossmith.guard("error") as report, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit
        with FakeTensorMode():
            F.mse_loss(torch.empty(3, requires_grad=True), torch.empty(3))
        make_fx(loss, tracing_mode="symbolic")(logits())
        torch.jit.trace(loss, (logits(),), check_trace=False)  # which calls it once more
        torch.fx.symbolic_trace(lambda x: F.cross_entropy(x.softmax(1), x))
    assert report.calls == 0


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_come_through() -> None:
    nested = torch.nested.nested_tensor([torch.rand(2), torch.rand(3)], requires_grad=True)
    with pytest.raises(Exception) as plain:
        F.mse_loss(nested, nested)
    with lossmith.guard("error"), pytest.raises(type(plain.value)) as watched:
        F.mse_loss(nested, nested)
    assert str(watched.value) == str(plain.value)


def test_tensor_subclasses_come_through(only: Callable[..., None]) -> None:
    class Named(Tensor):
        pass

    seen: list[Any] = []
    only(rule(at_once=lambda call: seen.append((call.loss, type(call.arguments["input"])))))
    with lossmith.guard("collect"):
        result = F.mse_loss(torch.rand(3, requires_grad=True).as_subclass(Named), torch.rand(3))
    assert seen == [("mse_loss", Named)] and type(result) is Named


# ----- values -----


def constant(values: Iterator[float]) -> dict[str, Callable[[Call], Tensor]]:
    return {"number": lambda call: torch.tensor(next(values))}


def test_a_rule_on_values_speaks_when_batches_in_a_row_agree(only: Callable[..., None]) -> None:
    def says(call: Call, numbers: Numbers) -> Text | None:
        return Text("positive", "") if numbers["number"] > 0 else None

    only(rule(values=Values(constant(iter([1, 1, -1, 1, 1, 1.0, 1])), says, batches=3)))
    found = []
    with lossmith.guard("collect") as report:
        for _ in range(7):
            F.mse_loss(torch.rand(3, requires_grad=True), torch.rand(3))
            found.append(len(report.findings))
    assert found == [0, 0, 0, 0, 0, 1, 1]


def test_places_are_judged_apart(only: Callable[..., None]) -> None:
    only(rule(values=Values({"n": lambda call: torch.ones(())}, lambda call, numbers: Text("", ""), batches=2)))
    with lossmith.guard("collect") as report:
        F.mse_loss(torch.rand(3, requires_grad=True), torch.rand(3))
        F.mse_loss(torch.rand(3, requires_grad=True), torch.rand(3))
    assert report.findings == []


def test_values_are_read_at_first_and_then_rarely(only: Callable[..., None]) -> None:
    read: list[int] = []

    def number(call: Call) -> Tensor:
        read.append(report.calls)
        return torch.zeros(())

    only(rule(values=Values({"number": number, "same": number}, lambda call, numbers: None)))
    with lossmith.guard("collect") as report:
        for _ in range(3100):
            F.mse_loss(torch.rand(1, requires_grad=True), torch.rand(1))
    assert read == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072]


def test_of_large_calls_only_powers_of_two_are_read(only: Callable[..., None]) -> None:
    read: list[int] = []

    def number(call: Call) -> Tensor:
        read.append(report.calls)
        return torch.zeros(())

    only(rule(values=Values({"number": number}, lambda call, numbers: None)))
    x, y = torch.rand(2**19, requires_grad=True), torch.rand(2**19)
    with lossmith.guard("collect") as report:
        for _ in range(20):
            F.mse_loss(x, y)
    assert read == [1, 2, 4, 8, 16]


def test_a_rule_that_does_not_apply_is_not_asked_for_values(only: Callable[..., None]) -> None:
    reads = {"n": lambda call: call.arguments["target"].amin()}
    only(rule(values=Values(reads, lambda call, n: Text("", ""), 1, applies=lambda call: call.loss == "l1_loss")))
    with lossmith.guard("collect") as report:
        F.mse_loss(torch.rand(3, requires_grad=True), torch.rand(3))
        F.l1_loss(torch.rand(3, requires_grad=True), torch.rand(3))
    assert len(report.findings) == 1


def test_what_values_are_told_of_has_shapes_and_no_values(only: Callable[..., None]) -> None:
    seen: list[Call] = []
    only(rule(values=Values({"n": lambda call: torch.ones(())}, lambda call, numbers: seen.append(call))))
    with lossmith.guard("collect"):
        F.mse_loss(torch.rand(3, 2, requires_grad=True), torch.rand(3, 2).double())
    (call,) = seen
    assert call.arguments["target"].is_meta and call.arguments["target"].dtype == torch.float64
    assert call.arguments["input"].shape == (3, 2) and call.origin("input") is None
    assert call.result is not None and call.result.shape == ()


def test_a_rule_that_fails_is_told_and_left_out(only: Callable[..., None]) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("oops")

    for broken in (
        rule(at_once=fail),
        rule(values=Values({"n": fail}, fail)),
        rule(values=Values({"n": lambda call: torch.ones(())}, fail)),
        rule(values=Values({}, fail, applies=fail)),
    ):
        only(broken)
        with (
            lossmith.guard("collect") as report,
            pytest.warns(lossmith.LossWarning, match="rule test failed.*oops") as w,
        ):
            for _ in range(3):
                F.mse_loss(torch.rand(3, requires_grad=True), torch.rand(3))
        assert len(w) == 1 and report.findings == []


# ----- backward -----


def test_backward_is_seen_with_the_losses_before_it(only: Callable[..., None]) -> None:
    seen: list[tuple[Any, ...]] = []

    def look(backward: Backward) -> None:
        alone = [id(leaf) for leaf in backward.leaves() or ()] == [id(backward.tensor)]
        seen.append((backward.losses, backward.differentiable, alone))

    only(rule(at_backward=look))
    x, y = torch.rand(3, requires_grad=True), torch.rand(3)
    with lossmith.guard("collect"):
        (F.mse_loss(x, y) + lossmith.functional.l1_loss(x, y)).backward()
        value = F.mse_loss(x, y).item()
        torch.tensor(value, requires_grad=True).backward()
        F.mse_loss(x.detach(), y)
        with pytest.raises(RuntimeError, match="does not require grad"):
            F.l1_loss(x.detach(), y).backward()
        x.sum().backward()
    assert seen == [
        (("mse_loss", "l1_loss"), True, False),
        (("mse_loss",), True, True),
        (("mse_loss", "l1_loss"), False, True),
        ((), False, False),
    ]


def test_a_finding_of_backward_is_told_at_its_line(only: Callable[..., None]) -> None:
    only(rule(at_backward=lambda backward: Text("seen", "")))
    loss = F.mse_loss(torch.rand(3, requires_grad=True), torch.rand(3))
    with lossmith.guard("collect") as report:
        loss.backward()
    assert [finding.where for finding in report.findings] == [f"{__file__}:{line() - 1}"]


# ----- threads, nesting, enable -----


def test_enable_and_disable() -> None:
    report = lossmith.guard.enable("collect")
    misuse()
    lossmith.guard.disable()
    misuse()
    lossmith.guard.disable()
    assert (len(report.findings), report.calls) == (1, 1)


def test_enable_anew_changes_the_mode() -> None:
    first = lossmith.guard.enable("error")
    second = lossmith.guard.enable("collect")
    try:
        assert len(_get_current_function_mode_stack()) == 1
        misuse()
    finally:
        lossmith.guard.disable()
    assert (first.calls, second.calls) == (0, 1)


def test_a_guard_is_its_threads_own() -> None:
    reports = []

    def work() -> None:
        misuse()
        reports.append(lossmith.guard.enable("collect"))
        misuse()
        lossmith.guard.disable()

    with lossmith.guard("collect") as outer:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert (outer.calls, reports[0].calls) == (0, 1)


def test_nested_guards_both_see_a_call_once() -> None:
    guard = lossmith.guard("collect")
    with guard as outer:
        with guard as inner, BaseTorchFunctionMode():
            misuse()
        misuse()
    assert (outer.calls, inner.calls) == (2, 1)


def test_modes_that_came_later_stay() -> None:
    lossmith.guard.enable("collect")
    with BaseTorchFunctionMode() as later:
        lossmith.guard.disable()
        assert _get_current_function_mode_stack() == [later]


def test_a_default_device_beside_it() -> None:
    with lossmith.guard("collect") as report:
        torch.set_default_device("cpu")
        try:
            misuse()
        finally:
            torch.set_default_device(None)
    assert report.calls == 1


def test_it_ends_when_the_program_raises() -> None:
    with pytest.raises(ZeroDivisionError), lossmith.guard("collect"):
        raise ZeroDivisionError


# ----- nothing changes -----


def train(steps: int = 20) -> list[Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters())
    trail = []
    for _ in range(steps):
        x, y = torch.randn(8, 6), torch.randint(3, (8,))
        p = model(x)
        loss = (
            F.cross_entropy(p, y)
            + lossmith.functional.cross_entropy(p.softmax(1), y)
            + nn.MSELoss()(p, torch.randn(8, 3))
            + lossmith.HuberLoss()(p, torch.randn(8, 3))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trail.append(loss.detach())
    return [*trail, *(parameter.detach().clone() for parameter in model.parameters())]


def test_results_are_the_same_bits() -> None:
    expected = train()
    with lossmith.guard("collect"):
        found = train()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_copies_and_pickles_under_the_guard() -> None:
    model = nn.Linear(2, 2)
    with lossmith.guard("collect"):
        copied = copy.deepcopy(model)
        loaded = pickle.loads(pickle.dumps(model))
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        criterion = copy.deepcopy(lossmith.MSELoss())
    assert torch.equal(copied.weight, model.weight) and torch.equal(loaded.weight, model.weight)
    assert isinstance(criterion, nn.MSELoss)


def test_no_tensor_is_kept_alive() -> None:
    gc.collect()
    with lossmith.guard("collect") as report:
        x = logits()
        p = x.softmax(1)
        loss = F.cross_entropy(p, LABELS)
        loss.backward()
        gone = [weakref.ref(t) for t in (x, p, loss)]
        del x, p, loss
        assert [ref() for ref in gone] == [None, None, None]
    assert len(report.findings) == 1


@pytest.mark.parametrize(
    ("name", "words", "call"),
    [
        ("outer-broadcast", "larger than each", lambda f: f.mse_loss(torch.rand(4, 1), torch.rand(4))),
        ("single-logit-cross-entropy", "has size 1", lambda f: f.cross_entropy(torch.rand(8, 1), LABELS * 0)),
        ("single-logit-cross-entropy", "has size 1", lambda f: f.cross_entropy(torch.rand(8, 1), torch.rand(8, 1))),
    ],
)
def test_what_costs_nothing_is_told_by_default_and_not_twice(
    name: str, words: str, call: Callable[[Any], Tensor]
) -> None:
    def told(start: Any) -> list[str]:
        with start as report, pytest.warns(lossmith.LossWarning) as caught:
            call(lossmith.functional)
        assert report is None or [finding.rule for finding in report.findings] == [name]
        return [str(warned.message) for warned in caught if warned.category is lossmith.LossWarning]

    (plain,) = told(contextlib.nullcontext())
    assert words in plain
    (watched,) = told(lossmith.guard("warn"))
    assert name in watched
    with torch.no_grad(), lossmith.guard("error"), pytest.warns(lossmith.LossWarning, match=words):
        call(lossmith.functional)


def test_the_import_is_lazy_and_complete() -> None:
    code = (
        "import sys, lossmith; assert not any(m.startswith(('lossmith.watch', 'lossmith.rules')) for m in sys.modules);"
        "from lossmith import guard; assert guard is lossmith.guard; assert 'guard' in dir(lossmith);"
        "from lossmith import *; assert LossMisuse is lossmith.LossMisuse"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ----- optimizers -----


def test_an_optimizers_step_is_not_watched_and_the_next_loss_is() -> None:
    weight = nn.Parameter(torch.randn(8, 3))
    seen = []

    class Sgd(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            seen.append(len(_get_current_function_mode_stack()))
            return super().step(closure)

    optimizer = Sgd([weight], lr=0.1)
    with lossmith.guard("collect") as outer, lossmith.guard("collect") as inner:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(weight.softmax(1), LABELS).backward()
            optimizer.step()
    assert seen == [0, 0, 0]
    assert (outer.calls, inner.calls) == (3, 3)


def test_a_closure_of_an_optimizer_is_watched() -> None:
    weight = nn.Parameter(torch.randn(8, 3))
    optimizer = torch.optim.LBFGS([weight], max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(weight.softmax(1), LABELS)
        loss.backward()
        return loss

    for step in (lambda: optimizer.step(closure), lambda: optimizer.step(closure=closure)):
        with lossmith.guard("collect") as report:
            step()
        assert [finding.rule for finding in report.findings] == [RULE]


def test_a_mode_that_came_later_stays_on_top_in_a_step() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))])
    with lossmith.guard("collect") as report, BaseTorchFunctionMode() as later:
        optimizer.step()
        assert _get_current_function_mode_stack()[-1] is later
        misuse()
    assert report.calls == 1


def test_a_step_that_raises_or_runs_in_another_thread() -> None:
    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise ZeroDivisionError

    parameter = nn.Parameter(torch.ones(2))
    with lossmith.guard("collect") as report:
        with pytest.raises(ZeroDivisionError):
            Broken([parameter]).step()
        torch.optim.SGD([parameter]).step()
        misuse()
        thread = threading.Thread(target=torch.optim.SGD([parameter]).step)
        thread.start()
        thread.join()
        misuse()
    assert report.calls == 2
    assert not _global_optimizer_pre_hooks and not _global_optimizer_post_hooks


def test_an_optimizers_step_is_compiled_under_the_guard() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    torch.compiler.reset()
    with lossmith.guard("error"):
        torch.compile(optimizer.step, backend="aot_eager")()  # torch breaks the graph itself
    assert parameter.tolist() == [0.5, 0.5]


# ----- numbers on their way from a device -----


def probabilities(device: str = "cpu") -> Tensor:
    """Without anything that tells where they come from."""
    return torch.randn(8, 3, device=device).softmax(1).requires_grad_()


@pytest.mark.parametrize("mode", ["collect", "error"])
def test_numbers_that_come_late_are_judged_late(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = False
    monkeypatch.setattr(judge.Batch, "arrived", lambda batch: arrived)
    guard = lossmith.guard(mode)
    report = guard.__enter__()
    for _ in range(4):
        F.cross_entropy(probabilities(), LABELS)
        where = line() - 1
    assert report.findings == []
    raises = pytest.raises(lossmith.LossMisuse) if mode == "error" else contextlib.nullcontext()
    with raises:
        guard.__exit__(None)
    assert [(finding.rule, finding.where) for finding in report.findings] == [(RULE, f"{__file__}:{where}")]

    arrived = False
    with raises, lossmith.guard(mode) as report:
        for _ in range(4):
            F.cross_entropy(probabilities(), LABELS)
        arrived = True
        F.mse_loss(torch.rand(2, requires_grad=True), torch.rand(2))  # any loss looks for what has arrived
        assert len(report.findings) == 1


@pytest.mark.gpu
def test_no_call_waits_for_a_gpu() -> None:
    p, labels = probabilities("cuda"), LABELS.cuda()
    with lossmith.guard("collect") as report:
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(20):
                F.cross_entropy(p, labels)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert [finding.rule for finding in report.findings] == [RULE]
