"""What each loss declares of itself, against numbers that would falsify it; and that each declares everything."""

import dataclasses
import importlib
import inspect
import math
import pkgutil
import sys

import pytest
import torch

import lossmith
from cases import CASES, Arguments, Case
from lossmith import functional, losses
from lossmith.facts import REALS, Domain, Facts, Interval, Loss
from lossmith.losses import all_losses

MANY = 1024
# a batch whose rows know each other
TOGETHER = 12
# facts are about losses without weights, in which every row counts
PLAIN = [case for case in CASES if case.counted is None or bool(case.counted(case(TOGETHER)).all())]
each_case = pytest.mark.parametrize("case", PLAIN, ids=str)


def facts_of(case: Case) -> Facts:
    return all_losses()[case.loss].facts


def arguments_of(case: Case, n: int, seed: int = 0) -> Arguments:
    return {name: value for name, value in case(n, seed=seed).items() if name != "weight"}


def unreduced(case: Case, arguments: Arguments) -> torch.Tensor:
    return case.function(**arguments, reduction="none")


# ----- points of a domain -----


def domain_of(declared, arguments: Arguments) -> Domain:
    return declared(**arguments) if callable(declared) else declared


def wide(like: torch.Tensor, batch: int, seed: int, top: float = 5, low: float = -8) -> torch.Tensor:
    """Normal numbers of scales from 10**low to 10**top, one scale a row of the batch."""
    generator = torch.Generator().manual_seed(seed)
    shape = [size if d == batch else 1 for d, size in enumerate(like.shape)]
    scale = 10.0 ** torch.empty(shape, dtype=like.dtype).uniform_(low, top, generator=generator)
    return scale * torch.randn(like.shape, dtype=like.dtype, generator=generator)


def onto(domain: Domain, x: torch.Tensor, dim: int) -> torch.Tensor:
    """Any real numbers, as numbers of the domain."""
    if domain == "log-probabilities":
        return x.log_softmax(dim)
    if domain == "probabilities":
        return x.softmax(dim)
    assert isinstance(domain, Interval), domain
    if domain.low == -math.inf:
        return x if domain.high == math.inf else domain.high - x.abs()
    if domain.high == math.inf:
        return domain.low + x.abs()
    # not nearer to 0 than 1e-26: below 1e-43 torch clamps the logarithm, and the loss of a probability is flat;
    # nor nearer to 1 than 1e-11: there midpoints are rounded
    ends = torch.where(x > 1e3, 1.0, torch.where(x < -1e3, 0.0, x.clamp(-60, 25).sigmoid()))
    return domain.low + (domain.high - domain.low) * ends


def class_dim(case: Case, name: str) -> int:
    """The dimension of an argument that classes or components lie along; the last one, if there are none."""
    axes = case.axes.get(name, "")
    return axes.index("c") if "c" in axes else len(axes) - 1


def targets_of(case: Case) -> list[str]:
    return [name for name in ("target", "targets") if name in case.axes]


def linked(case: Case) -> bool:
    """Whether the rows of a batch know each other, or share a part of the prediction."""
    return case.together or any(name not in case.axes for name in all_losses()[case.loss].prediction)


def spread(case: Case, facts: Facts, seed: int = 0, top: float = 5, low: float = -8) -> Arguments:
    """A batch of the case with predictions, and targets if they are numbers, from all over their domains."""
    arguments = arguments_of(case, TOGETHER if linked(case) else MANY, seed)
    names = [(name, facts.prediction) for name in all_losses()[case.loss].prediction]
    names += [(name, facts.target) for name in targets_of(case)]
    names += [("teacher", REALS)] if "teacher" in case.axes else []
    for number, (name, declared) in enumerate(names):
        domain = domain_of(declared, arguments)
        if isinstance(domain, Interval) or "probabilities" in domain:
            drawn = wide(arguments[name], case.axes.get(name, "").find("n"), 1000 * seed + number, top, low)
            arguments[name] = onto(domain, drawn, class_dim(case, name))
    return arguments


def slopes(case: Case, arguments: Arguments) -> torch.Tensor:
    """The norm of each unreduced loss's gradient in the prediction."""
    names = all_losses()[case.loss].prediction
    leaves = {name: arguments[name].detach().requires_grad_() for name in names}
    each = unreduced(case, {**arguments, **leaves})
    if linked(case):
        of_each = [torch.autograd.grad(row, list(leaves.values()), retain_graph=True) for row in each]
        return torch.stack([sum(gradient.square().sum() for gradient in of_one) for of_one in of_each]).sqrt()
    squares = 0
    for name, gradient in zip(names, torch.autograd.grad(each.sum(), list(leaves.values())), strict=True):
        own = [d for d, axis in enumerate(case.axes[name]) if axis not in case.unreduced]
        squared = gradient.square()
        squares = squares + (squared.sum(own) if own else squared)
    return squares.sqrt()


# ----- what is declared -----


def check_convexity(case: Case, facts: Facts) -> None:
    names = all_losses()[case.loss].prediction
    worst = -math.inf
    for seed in range(4):
        first, other = spread(case, facts, seed=seed), spread(case, facts, seed=seed + 10)
        if seed % 2:  # neighbours, across a kink or a bend
            other |= {name: 2 * first[name] - other[name] * 1e-3 for name in names if facts.prediction == REALS}
        shared = {name: value for name, value in first.items() if name not in names}
        ends = [unreduced(case, {**shared, **{name: at[name] for name in names}}) for at in (first, other)]
        middle = unreduced(case, {**shared, **{name: (first[name] + other[name]) / 2 for name in names}})
        chord = (ends[0] + ends[1]) / 2
        excess = (middle - chord) / (middle.abs() + chord.abs() + 1e-300)
        worst = max(worst, excess[chord.isfinite()].max().item())
    if domain_of(facts.convex, first):
        assert worst <= 1e-7, f"the loss at a midpoint is above the chord, by {worst:.2g} of it: not convex"
    else:
        assert worst > 1e-3, "no midpoint is above its chord: convex after all?"


def check_curvature(case: Case, facts: Facts) -> None:
    if not domain_of(facts.convex, arguments_of(case, 2)):
        return
    names = all_losses()[case.loss].prediction
    for seed in range(3):
        arguments = arguments_of(case, 2, seed)

        def total(*predictions, arguments=arguments):
            return unreduced(case, {**arguments, **dict(zip(names, predictions, strict=True))}).sum()

        points = tuple(arguments[name] for name in names)
        blocks = torch.autograd.functional.hessian(total, points)
        sizes = [point.numel() for point in points]
        hessian = torch.cat(
            [torch.cat([b.reshape(rows, columns) for b, columns in zip(row, sizes, strict=True)], 1)
             for row, rows in zip(blocks, sizes, strict=True)]
        )  # fmt: skip
        least = torch.linalg.eigvalsh(hessian).min().item()
        assert least >= -1e-9, f"the Hessian has the eigenvalue {least:.2g}: not convex"


def check_lipschitz(case: Case, facts: Facts) -> None:
    closest = 0.0
    for seed in range(4):
        arguments = spread(case, facts, seed=seed)
        bound = facts.lipschitz(**arguments)
        norms = slopes(case, arguments)
        greatest = norms.max().item()
        assert not norms.isnan().any(), "a gradient is NaN inside the domain"
        assert greatest <= bound * (1 + 1e-6), f"a gradient has the norm {greatest!r}, above the bound {bound!r}"
        closest = max(closest, greatest / bound)
    if not shows_least_bound(case, facts):
        return
    if bound == math.inf:
        ends = ({"top": 20}, {"low": -25})  # far out, and next to 0
        far = max(slopes(case, spread(case, facts, **end)).nan_to_num().max().item() for end in ends)
        assert far > 1e15, f"the greatest norm found is {far!r}: is there a bound after all?"
    else:
        assert closest >= 0.97, f"the greatest norm found is {closest:.3g} of the bound: it is not the least bound"


def shows_least_bound(case: Case, facts: Facts) -> bool:
    """Whether the declared bound takes all settings of the call: of others it is a bound, and not the least one."""
    settings = {name for name, value in arguments_of(case, 2).items() if not isinstance(value, torch.Tensor)}
    known = settings <= set(inspect.signature(facts.lipschitz).parameters)
    return known and not any(callable(value) for value in arguments_of(case, 2).values())


def check_minimiser(case: Case, facts: Facts) -> None:
    names = all_losses()[case.loss].prediction
    arguments = spread(case, facts)
    if facts.minimiser is None and linked(case):
        return
    if facts.minimiser is None:
        lowest = [unreduced(case, spread(case, facts, seed=seed)).min().item() for seed in range(4)]
        assert min(lowest) < -1e3, f"the least loss found is {min(lowest)!r}: is there a minimiser after all?"
        return
    least = at_minimiser(case, facts, arguments)
    base = minimiser_of(facts, arguments)
    for seed in range(6):
        tried = dict(arguments)
        for number, (name, m) in enumerate(zip(names, base, strict=True)):
            domain = domain_of(facts.prediction, arguments)
            noise = wide(m, case.axes[name].index("n"), 50 * seed + number)
            if seed % 2:  # all around the minimiser
                tried[name] = inside(domain, m + 1e-3 * noise, class_dim(case, name))
            else:
                tried[name] = onto(domain, noise, class_dim(case, name))
        value = together(case, facts, unreduced(case, tried), arguments)
        below = (least - value) / (1 + least.abs())
        assert below.max() <= 1e-9, f"a loss is lower than at the minimiser, by {below.max().item():.2g}"


def minimiser_of(facts: Facts, arguments: Arguments) -> tuple[torch.Tensor, ...]:
    found = facts.minimiser(**arguments)
    return found if isinstance(found, tuple) else (found,)


def at_minimiser(case: Case, facts: Facts, arguments: Arguments) -> torch.Tensor:
    names = all_losses()[case.loss].prediction
    found = dict(zip(names, minimiser_of(facts, arguments), strict=True))
    for name in names:
        assert found[name].shape == arguments[name].shape
        domain = domain_of(facts.prediction, arguments)
        torch.testing.assert_close(inside(domain, found[name], class_dim(case, name)), found[name])
    value = together(case, facts, unreduced(case, {**arguments, **found}), arguments)
    assert value.isfinite().all(), "the loss at its minimiser is not finite"
    return value


def together(case: Case, facts: Facts, value: torch.Tensor, arguments: Arguments) -> torch.Tensor:
    """Unreduced losses that can be compared: of rows, where a row of the prediction is a distribution."""
    if domain_of(facts.prediction, arguments) == "log-probabilities" and case.unreduced == "nd":
        return value.sum(-1)
    return value


def inside(domain: Domain, x: torch.Tensor, dim: int) -> torch.Tensor:
    if domain == "log-probabilities":
        return x.log_softmax(dim)
    assert isinstance(domain, Interval)
    return x.clamp(domain.low, domain.high)


def belongs(domain: Domain, value: torch.Tensor, dim: int, arguments: Arguments) -> bool:
    """Whether a tensor is of the kind that a domain says."""
    if isinstance(domain, Interval):
        return bool(((value >= domain.low) & (value <= domain.high)).all())
    if domain in ("log-probabilities", "probabilities"):
        p = value.exp() if domain == "log-probabilities" else value
        return bool((p >= 0).all()) and torch.allclose(p.sum(dim), torch.ones((), dtype=p.dtype))
    if domain == "signs":
        return bool((value.abs() == 1).all())
    whole = not value.is_floating_point()
    if domain == "group labels":
        return whole
    if domain == "label sequences":
        return whole and "target_lengths" in arguments
    return whole and "target_lengths" not in arguments and bool((value >= (-1 if domain == "label sets" else 0)).all())


def check_domain(case: Case, facts: Facts) -> None:
    assert (domain_of(facts.target, arguments_of(case, 2)) == "none") == (not targets_of(case))
    for seed in range(2):
        assert not unreduced(case, spread(case, facts, seed=seed)).isnan().any(), "NaN inside the domain"
    for name in (*all_losses()[case.loss].prediction, *targets_of(case)):
        arguments = arguments_of(case, 8)
        role = facts.target if name in targets_of(case) else facts.prediction
        domain = domain_of(role, arguments)
        assert belongs(domain, arguments[name], class_dim(case, name), arguments), f"the example's {name} is outside"
        if isinstance(domain, Interval):
            ends = [(domain.low, domain.open_low, -1), (domain.high, domain.open_high, 1)]
            for end, is_open, direction in ends:
                if not math.isfinite(end):
                    continue
                at_end = {**arguments, name: torch.full_like(arguments[name], end)}
                finite = unreduced(case, at_end).isfinite().all()
                assert finite == (not is_open), f"{name}={end} is {'' if finite else 'not '}finite"
                beyond = {**arguments, name: torch.full_like(arguments[name], end + direction)}
                assert refused_or_lower(case, facts, beyond, name, at_end), f"{name}={end + direction} is accepted"
        elif domain == "log-probabilities":
            base = arguments[name] if role is facts.target else minimiser_of(facts, arguments)[0]
            beyond = ({**arguments, name: base + by} for by in (-1.0, 1.0))
            assert any(refused_or_lower(case, facts, b, name, arguments) for b in beyond), f"any {name} is accepted"
        elif domain == "probabilities":
            sure = torch.zeros_like(arguments[name]).index_fill(class_dim(case, name), torch.tensor([0]), 1.0)
            rolled = sure.roll(1, class_dim(case, name))
            beyond = {**arguments, name: 1.5 * sure - 0.5 * rolled}
            assert refused_or_lower(case, facts, beyond, name, {**arguments, name: sure}), (
                "negative probabilities are accepted"
            )
        elif domain == "group labels":
            for label in (50, -1):
                same = unreduced(case, {**arguments, name: torch.full_like(arguments[name], label)})
                torch.testing.assert_close(
                    same, unreduced(case, {**arguments, name: torch.zeros_like(arguments[name])})
                )
        elif domain in ("labels", "label sets", "label sequences"):
            for label in (50, -2) if domain == "label sets" else (50, -1):
                with pytest.raises((IndexError, ValueError), match="out of range"):
                    unreduced(case, {**arguments, name: torch.full_like(arguments[name], label)})
            if domain == "label sets":
                assert unreduced(case, {**arguments, name: torch.full_like(arguments[name], -1)}).isfinite().all()
        else:
            assert domain == "signs", domain
            for sign in (-1.0, 1.0):
                assert unreduced(case, {**arguments, name: torch.full_like(arguments[name], sign)}).isfinite().all()


def refused_or_lower(case: Case, facts: Facts, beyond: Arguments, name: str, valid: Arguments) -> bool:
    """Whether a call outside of the domain is an error, NaN, or somewhere below the least loss of a valid call."""
    predictions = all_losses()[case.loss].prediction
    least = at_minimiser(case, facts, valid)
    tries = [beyond]
    if name not in predictions:  # a target: is there a prediction that pays more than it should?
        tries += [{**beyond, **{p: shifted(case, facts, valid, p, by) for p in predictions}} for by in (-200.0, 200.0)]
    try:
        values = [together(case, facts, unreduced(case, tried), beyond) for tried in tries]
    except (ValueError, RuntimeError):
        return True
    return any(bool((value.isnan() | (value < least - 1e-6)).any()) for value in values)


def shifted(case: Case, facts: Facts, arguments: Arguments, name: str, by: float) -> torch.Tensor:
    """A prediction moved up or down, in the first class if there are classes."""
    value, dim = arguments[name], class_dim(case, name)
    if "c" in case.axes[name]:
        by = torch.zeros_like(value).index_fill(dim, torch.tensor([0]), by)
    return inside(domain_of(facts.prediction, arguments), value + by, dim)


def check_denominator(case: Case, facts: Facts) -> None:
    arguments = case(5)
    each = unreduced(case, arguments)
    if case.term is not None:
        each = each / case.term(arguments)
    mean = case.function(**arguments)
    shared = case.together or (facts.denominator == "weights" and "weight" in arguments)
    divisor = (
        case.share(arguments).sum()
        if shared and case.share is not None
        else (torch.ones_like(each) if case.counted is None else case.counted(arguments).to(each.dtype)).sum()
    )
    torch.testing.assert_close(mean, each.sum() / divisor)
    lost = arguments[all_losses()[case.loss].prediction[0]].dim() - each.dim()
    axes = case.axes[all_losses()[case.loss].prediction[0]]
    assert lost == len(set(axes) - set(case.unreduced))
    expected = {
        "elements": lost == 0,
        "rows": lost == 1,
        "samples": case.unreduced == "n",
        "regions": lost >= 1,
        "weights": lost <= 1,
    }
    assert expected[facts.denominator], f"an unreduced loss has {lost} dimensions less than the prediction"


@each_case
def test_convexity(case):
    check_convexity(case, facts_of(case))
    check_curvature(case, facts_of(case))


@each_case
def test_lipschitz_constant(case):
    check_lipschitz(case, facts_of(case))


@each_case
def test_minimiser(case):
    check_minimiser(case, facts_of(case))


@each_case
def test_domains(case):
    check_domain(case, facts_of(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_denominator(case):
    check_denominator(case, facts_of(case))


@pytest.mark.parametrize("name", all_losses())
def test_the_least_bound_is_shown_by_a_case(name):
    facts = all_losses()[name].facts
    assert any(shows_least_bound(case, facts) for case in PLAIN if case.loss == name)


@pytest.mark.parametrize("name", all_losses())
def test_weights_in_the_denominator_are_shown_by_a_case(name):
    loss = all_losses()[name]
    shown = any(case.share is not None and not case.together for case in CASES if case.loss == name)
    assert shown == (loss.facts.denominator == "weights")


def torch_takes(case: Case) -> bool:
    """Whether torch has the loss, with these arguments; `dim` is for where the classes lie."""
    theirs = getattr(torch.nn.functional, case.loss, None)
    return theirs is not None and {*case(2)} - {"dim"} <= {*inspect.signature(theirs).parameters}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss by both:UserWarning")
@pytest.mark.parametrize("case", [case for case in CASES if torch_takes(case)], ids=str)
def test_torch_divides_by_the_same(case):
    theirs, arguments = getattr(torch.nn.functional, case.loss), case(5)
    if "dim" in arguments:
        del arguments["dim"]
        arguments |= {name: arguments[name].movedim(-1, 1) for name in ("input", "target")}
    each = theirs(**arguments, reduction="none")
    if case.term is not None:
        each = each / case.term(arguments)
    divisor = each.numel() if case.share is None else case.share(arguments).sum()
    torch.testing.assert_close(theirs(**arguments), each.sum() / divisor)


# ----- that everything is declared -----

# a loss without a lower bound; targets that do not scatter
MAY_BE_NONE = ("minimiser", "optimum")


def lacks(loss: object, cases: tuple[Case, ...] = CASES) -> list[str]:
    """What a loss would have to declare and does not."""
    if not isinstance(loss, Loss):
        return ["a Loss"]
    lacking = []
    if not isinstance(loss.facts, Facts):
        lacking.append("facts")
    elif any(getattr(loss.facts, f.name) is None for f in dataclasses.fields(Facts) if f.name not in MAY_BE_NONE):
        lacking.append("a fact")
    if not any(case.loss == loss.name for case in cases):
        lacking.append("an example in tests/cases.py")
    if hasattr(sys.modules[loss.function.__module__], "pointwise") and not loss.formulas:
        lacking.append("its formula")
    for formula in loss.formulas:
        if not any(formula.differentiable):
            lacking.append(f"a derivative of {formula.name}")
    if loss.module.__base__ is None or loss.module.__doc__ is None:
        lacking.append("a Module")
    return lacking


@pytest.mark.parametrize("name", all_losses())
def test_a_loss_declares_everything(name):
    assert lacks(all_losses()[name]) == []


def test_a_loss_that_lacks_something_is_found():
    whole = all_losses()["huber_loss"]
    assert lacks(None) == ["a Loss"]
    assert lacks(dataclasses.replace(whole, facts=None)) == ["facts"]
    assert lacks(dataclasses.replace(whole, facts=dataclasses.replace(whole.facts, lipschitz=None))) == ["a fact"]
    assert lacks(dataclasses.replace(whole, formulas=())) == ["its formula"]
    assert lacks(whole, tuple(case for case in CASES if case.loss != "huber_loss")) == ["an example in tests/cases.py"]


def test_every_file_of_losses_declares_its_own():
    for found in pkgutil.iter_modules(losses.__path__):
        file = importlib.import_module(f"lossmith.losses.{found.name}")
        declared = getattr(file, "LOSSES", None) or (getattr(file, "LOSS", None),)
        assert all(isinstance(loss, Loss) for loss in declared), f"losses/{found.name}.py has no LOSS or LOSSES"
        functions = [value for value in vars(file).values() if inspect.isfunction(value)]
        public = {
            f.__name__ for f in functions if hasattr(f, "__prepare_scriptable__") and f.__module__ == file.__name__
        }
        assert public == {loss.name for loss in declared}, (
            f"losses/{found.name}.py has a function that no LOSS declares"
        )


def test_functions_and_modules_are_those_of_the_losses():
    assert set(functional.__all__) == set(all_losses())
    for name, loss in all_losses().items():
        assert getattr(functional, name) is loss.function
        assert getattr(lossmith, loss.module.__name__) is loss.module
    public = {name for name in lossmith.__all__ if inspect.isclass(getattr(lossmith, name))}
    modules = {name for name in public if issubclass(getattr(lossmith, name), torch.nn.Module)}
    assert modules - {"MemoryQueue"} == {loss.module.__name__ for loss in all_losses().values()}


# losses that torch.nn lacks, with the names of their Modules
BEYOND_TORCH = {
    "arcface_loss": "ArcFaceLoss",
    "charbonnier_loss": "CharbonnierLoss",
    "contrastive_loss": "ContrastiveLoss",
    "cosface_loss": "CosFaceLoss",
    "ctc_loss_with_logits": "CTCWithLogitsLoss",
    "dice_loss": "DiceLoss",
    "distillation_loss": "DistillationLoss",
    "focal_loss": "FocalLoss",
    "info_nce_loss": "InfoNCELoss",
    "js_div": "JSDivLoss",
    "log_cosh_loss": "LogCoshLoss",
    "mined_triplet_margin_loss": "MinedTripletMarginLoss",
    "quantile_loss": "QuantileLoss",
    "siglip_loss": "SigLIPLoss",
    "sigmoid_focal_loss": "SigmoidFocalLoss",
    "supcon_loss": "SupConLoss",
    "tversky_loss": "TverskyLoss",
    "wasserstein_critic_loss": "WassersteinCriticLoss",
    "wasserstein_loss": "WassersteinLoss",
}


def test_names_are_torchs():
    assert set(BEYOND_TORCH) <= set(all_losses())
    for name, loss in all_losses().items():
        if name in BEYOND_TORCH:
            assert loss.module.__name__ == BEYOND_TORCH[name]
            assert not hasattr(torch.nn, loss.module.__name__)
            continue
        assert hasattr(torch.nn.functional, name)
        assert issubclass(loss.module, getattr(torch.nn, loss.module.__name__))


def test_losses_to_come_are_not_pretended():
    assert not hasattr(functional, "linear_cross_entropy")
    assert not hasattr(lossmith, "AdaptiveLogSoftmaxWithLoss")
    assert not hasattr(lossmith, "LinearCrossEntropyLoss")


def test_every_loss_of_torch_is_here():
    """In the signatures of torch's functional module, a loss is what has a `reduction`."""
    later = {"linear_cross_entropy"}
    for name, function in vars(torch.nn.functional).items():
        if name.startswith("_") or not callable(function) or inspect.isclass(function):
            continue
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):
            continue
        if "reduction" in parameters and name not in later:
            assert name in all_losses(), f"torch.nn.functional.{name} has no counterpart"
