"""Every loss has a card, its two languages say the same, and what it claims of slope and optimum is true."""

import dataclasses
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import torch
from matplotlib.mathtext import MathTextParser

from cases import CASES, Case
from lossmith.card import Card, Text
from lossmith.cards import mathematics
from lossmith.cards.curves import curve_of, lines
from lossmith.cards.names import UnknownName, find, key, names
from lossmith.facts import Loss
from lossmith.losses import all_losses

LOSSES = all_losses()
each = pytest.mark.parametrize("name", LOSSES)
WITH_CURVE = [name for name, loss in LOSSES.items() if loss.card.curve is not None]


def texts(card: object, where: str = "") -> Iterator[tuple[str, Text]]:
    """Every text of a card, with the way to it."""
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Text):
                yield f"{where}{field.name}", part
            elif dataclasses.is_dataclass(part):
                yield from texts(part, f"{where}{field.name}.")


# ----- completeness -----


@each
def test_a_loss_has_a_card_and_the_card_everything(name):
    card = LOSSES[name].card
    assert isinstance(card, Card)
    for field in dataclasses.fields(Card):
        assert getattr(card, field.name) or field.name == "curve", f"the card of {name} lacks {field.name}"


def test_a_loss_without_a_card_is_refused():
    arguments = {field.name: getattr(LOSSES["mse_loss"], field.name) for field in dataclasses.fields(Loss)}
    del arguments["card"]
    with pytest.raises(TypeError, match="card"):
        Loss(**arguments)


def test_only_sequences_and_batches_that_know_each_other_have_no_curve():
    assert set(LOSSES) - set(WITH_CURVE) == {
        "ctc_loss",
        "ctc_loss_with_logits",
        "mined_triplet_margin_loss",
        "supcon_loss",
    }


@each
def test_traps_have_ids(name):
    loss = LOSSES[name]
    file = loss.function.__module__.rpartition(".")[2].replace("_", "-")
    for trap in loss.card.traps:
        assert re.fullmatch(rf"{file}(-[a-z0-9]+)+", trap.id), f"{trap.id!r} is not kebab-case that begins with {file}-"


def test_ids_of_traps_are_unique():
    count = Counter(trap.id for loss in LOSSES.values() for trap in loss.card.traps)
    assert [id for id, times in count.items() if times > 1] == []


def test_siblings_exist_once_and_one_way_at_least_is_back():
    """Each loss is some loss's sibling, so that one can come to it from a neighbour."""
    modules = {loss.module.__name__ for loss in LOSSES.values()}
    named = set()
    for loss in LOSSES.values():
        own = [sibling.loss for sibling in loss.card.siblings]
        assert set(own) <= modules - {loss.module.__name__}, f"{loss.name}: {own}"
        assert len(own) == len(set(own))
        named |= set(own)
    assert named == modules


# ----- names -----


def test_no_name_means_two_losses():
    meant: dict[str, set[str]] = {}
    for loss in LOSSES.values():
        for name in names(loss):
            meant.setdefault(key(name), set()).add(loss.name)
    assert {name: losses for name, losses in meant.items() if len(losses) > 1} == {}


@each
def test_a_loss_is_found_by_all_its_names(name):
    loss = LOSSES[name]
    module = loss.module.__name__
    written = [module, f"nn.{module}", f"torch.nn.{module}", f"lossmith.{module}", module.lower(), module.upper()]
    written += [name, f"F.{name}", f"torch.nn.functional.{name}", name.replace("_", "-"), name.replace("_", " ")]
    written += [name.removesuffix("_loss"), module.removesuffix("Loss"), *loss.card.aliases]
    for each_name in written:
        assert find(each_name) is loss, each_name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("log_loss", {"binary_cross_entropy", "cross_entropy"}),
        ("categorical_crossentropy", {"cross_entropy"}),
        ("CategoricalCrossentropy", {"cross_entropy"}),
        ("tf.keras.losses.SparseCategoricalCrossentropy", {"cross_entropy"}),
        ("binary_crossentropy", {"binary_cross_entropy"}),
        ("mae", {"l1_loss"}),
        ("MeanAbsoluteError", {"l1_loss"}),
        ("mean_squared_error", {"mse_loss"}),
        ("KLDivergence", {"kl_div"}),
    ],
)
def test_other_libraries_names_are_found(name, found):
    assert find(name).name in found


@pytest.mark.parametrize(("name", "nearest"), [("hubert", "huber"), ("CrossEntopyLoss", "CrossEntropyLoss")])
def test_an_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(UnknownName, match=f"there is no loss '{name}'; did you mean .*{nearest}"):
        find(name)


def test_a_name_like_no_other_says_where_names_are():
    with pytest.raises(UnknownName, match="lossmith list shows all of them"):
        find("qqqqqqqq")


@each
def test_aliases_are_in_lower_case_with_underscores(name):
    for alias in LOSSES[name].card.aliases:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", alias), alias


# ----- words -----


def numbers(text: str) -> set[float]:
    """Numbers that are more than a word: with a decimal point, or of three digits and more."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    found = re.finditer(r"(?<![\w.])(\d+(?:\.\d+)?)(?![\w.]*[A-Za-z])\s?(million|万|亿)?", text)
    scale = {"million": 1e6, "万": 1e4, "亿": 1e8}
    values = {(m[1], float(m[1]) * scale.get(m[2], 1)) for m in found}
    return {value for written, value in values if "." in written or value >= 1000}


def code(text: str) -> set[str]:
    """Words of code: names with an underscore, dotted names, losses, what stands between backquotes."""
    found = re.findall(r"\b[A-Za-z]\w*_\w+\b|\b[A-Z]\w*Loss\b|\b[a-z]\w+\.\w+\.\w+|`[^`]+`", text)
    return {word.strip("`").removesuffix("s") for word in found}


@each
def test_both_languages_say_the_same(name):
    for where, text in texts(LOSSES[name].card):
        assert text.en and text.zh, where
        assert code(text.en) == code(text.zh), f"{where}: words of code that stand in one language alone"
        assert numbers(text.en) == numbers(text.zh), f"{where}: numbers that stand in one language alone"


@each
def test_english_is_english_and_chinese_is_chinese(name):
    """Cells that are code or a formula alone are the same in both."""
    for where, text in texts(LOSSES[name].card):
        assert not re.search("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", text.en), f"{where}: {text.en}"
        if text.en == text.zh:
            assert where in ("activation", "curve.axis"), f"{where} is not translated"
        else:
            assert re.search("[\u4e00-\u9fff]", text.zh), f"{where}: {text.zh}"
        half = re.search(r"[\u4e00-\u9fff] ?[,;:!?]|[,;:!?][\u4e00-\u9fff]", text.zh)
        assert not half, f"{where}: punctuation of half width in {text.zh!r}"


@each
def test_formulas_in_texts_are_latex(name):
    """Each has a form in the terminal, for which it is parsed, strictly; matplotlib draws those of the curves."""
    parser = MathTextParser("agg")
    for where, text in texts(LOSSES[name].card):
        for words in (text.en, text.zh):
            assert words.count("$") % 2 == 0, f"{where}: {words}"
            assert all(formula.strip() == formula != "" for formula in words.split("$")[1::2]), f"{where}: {words}"
            assert not re.search(r"[$\\{}]", mathematics.inline(words)), f"{where}: {mathematics.inline(words)}"
            if where == "curve.axis":
                parser.parse(words)


# ----- curves -----


@pytest.mark.parametrize("name", WITH_CURVE)
def test_a_curve_is_a_finite_vector_with_a_gradient(name):
    loss = LOSSES[name]
    low, high = curve_of(loss).span
    assert low < high
    found = lines(loss, points=101)
    assert [line.label for line in found] == list(curve_of(loss).lines)
    assert len(found) == 1 or all(line.label for line in found)
    for line in found:
        assert len(line.points) == len(line.values) == len(line.slopes) == 101
        assert all(math.isfinite(number) for number in (*line.values, *line.slopes))
        assert any(line.slopes), f"{line.label}: the loss does not depend on the axis"
        steps = zip(
            line.values, line.values[1:], line.points, line.points[1:], line.slopes, line.slopes[1:], strict=False
        )
        for y0, y1, x0, x1, slope0, slope1 in steps:  # the mean value theorem, for the convex and for the concave
            rise, slack = (y1 - y0) / (x1 - x0), 0.1 * (1 + abs(slope0) + abs(slope1))
            assert min(slope0, slope1) - slack <= rise <= max(slope0, slope1) + slack


# ----- smooth: does the gradient jump? -----


ROWS = 32


def segment(case: Case, loss: Loss) -> Callable[[torch.Tensor], torch.Tensor]:
    """The losses of a batch whose row i goes from one prediction to another as t[i] goes from 0 to 1."""
    first, other = case(ROWS, seed=1), case(ROWS, seed=2)

    def at(t: torch.Tensor) -> torch.Tensor:
        moved = {}
        for argument in loss.prediction:
            if argument not in case.axes:
                continue  # it is everybody's
            along = t.reshape([-1 if axis == "n" else 1 for axis in case.axes[argument]])
            moved[argument] = first[argument] + along * (other[argument] - first[argument])
        values = case.function(**(first | moved), reduction="none")
        return values.movedim(case.unreduced.index("n"), 0).reshape(ROWS, -1).sum(1)

    return at


def curve_segments(loss: Loss) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """The card's curves as functions of t."""
    if loss.card.curve is None:
        return
    low, high = loss.card.curve.span
    for arguments in loss.card.curve.lines.values():
        yield lambda t, arguments=arguments: loss.function(**arguments(low + (high - low) * t), reduction="none")


def slope(function: Callable[[torch.Tensor], torch.Tensor], t: torch.Tensor) -> torch.Tensor:
    t = t.detach().requires_grad_()
    (found,) = torch.autograd.grad(function(t).sum(), t)
    return found


def greatest_jump(function: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Of a slope: of many steps the one with the greatest change is halved until it is as short as numbers can be."""
    ends = torch.linspace(0, 1, 130, dtype=torch.float64)  # an even number: no point is in the middle, where ties are
    slopes = torch.stack([slope(function, end.expand(ROWS)) for end in ends])
    steepest = slopes.diff(dim=0).abs().argmax(0)
    low, high = ends[steepest], ends[steepest + 1]
    for _ in range(38):
        middle = (low + high) / 2
        left, centre, right = (slope(function, t) for t in (low, middle, high))
        lower = (centre - left).abs() > (right - centre).abs()
        low, high = torch.where(lower, low, middle), torch.where(lower, middle, high)
    return float((slope(function, high) - slope(function, low)).abs().max())


def is_default(case: Case) -> bool:
    defaults = {p.name: p.default for p in inspect.signature(case.function).parameters.values()}
    settings = {n: v for n, v in case(2).items() if isinstance(v, (bool, int, float, str)) or callable(v)}
    return all(defaults[name] in (value, inspect.Parameter.empty) for name, value in settings.items())


@each
def test_the_gradient_is_continuous_as_declared(name):
    loss = LOSSES[name]
    segments = [segment(case, loss) for case in CASES if case.loss == name and is_default(case)]
    jumps = [greatest_jump(function) for function in (*segments, *curve_segments(loss))]
    if loss.facts.smooth:
        assert max(jumps) < 1e-7, f"the gradient jumps by {max(jumps):.3g}"
    else:
        assert max(jumps) > 1e-2, "no jump of the gradient is found: smooth after all?"


# ----- optimum: which constant prediction is best? -----


@dataclasses.dataclass(frozen=True)
class Scatter:
    """Targets that scatter, and the constant prediction that is claimed to be best for them."""

    best: torch.Tensor
    losses: Callable[[torch.Tensor], torch.Tensor]
    """Of a constant prediction: the unreduced losses against all targets."""
    inside: Callable[[torch.Tensor], torch.Tensor] = lambda constant: constant
    """Brings any constant into the domain of predictions."""


def scatter(loss: Loss, generator: torch.Generator) -> Scatter:
    function, n, classes = loss.function, 1001, 4
    kind, optimum = loss.facts.target, loss.facts.optimum
    if optimum in ("frequencies", "logarithm of the frequencies"):
        labels = torch.multinomial(torch.tensor([0.5, 0.2, 0.2, 0.1]), n, True, generator=generator)
        share = torch.bincount(labels, minlength=classes).double() / n
        domain = torch.log_softmax if loss.facts.prediction == "log-probabilities" else (lambda row, _: row)
        return Scatter(
            share.log(),
            lambda row: function(row.expand(n, classes), labels, reduction="none"),
            lambda row: domain(row, -1),
        )
    if kind == "signs" or optimum == "log-odds":
        heads = (torch.rand(n, generator=generator) < 0.3).double()
        odds = torch.logit(heads.mean())
        target = 2 * heads - 1 if kind == "signs" else heads
        one_class = loss.facts.denominator == "rows"
        shape = (n, 1) if one_class else (n,)
        return Scatter(odds, lambda x: function(x.expand(shape), target.reshape(shape), reduction="none"))
    if callable(kind):  # distributions, one a row
        target = torch.randn(n, classes, generator=generator, dtype=torch.float64).softmax(-1)
        return Scatter(
            target.mean(0).log(),
            lambda row: function(row.expand(n, classes), target, reduction="none").sum(-1),
            lambda row: row.log_softmax(-1),
        )
    if loss.name == "binary_cross_entropy":
        target = torch.rand(n, generator=generator, dtype=torch.float64) ** 2
        return Scatter(
            target.mean(), lambda p: function(p.expand(n), target, reduction="none"), lambda p: p.clamp(0, 1)
        )
    if loss.name == "poisson_nll_loss":
        rates = torch.rand(n, generator=generator, dtype=torch.float64) * 5
        target = torch.poisson(rates, generator=generator)
    else:
        target = torch.empty(n, dtype=torch.float64).exponential_(generator=generator)
    if optimum == "mean and variance":
        best = torch.stack([target.mean(), target.var(correction=0)])
        return Scatter(
            best,
            lambda pair: function(pair[0].expand(n), target, pair[1].expand(n), reduction="none"),
            lambda pair: torch.stack([pair[0], pair[1].clamp(min=1e-3)]),
        )
    best = {
        "mean": target.mean(),
        "median": target.median(),
        "quantile": target.median(),  # by default
        "logarithm of the mean": target.mean().log(),
    }[optimum]
    return Scatter(best, lambda x: function(x.expand(n), target, reduction="none"))


SPECIAL = ("between median and mean", "most frequent label", None)


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name].facts.optimum not in SPECIAL])
def test_no_constant_prediction_is_better_than_the_declared_one(name):
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        found = scatter(LOSSES[name], generator)
        least = found.losses(found.best).mean()
        worse = 0.0
        for scale in (1e-3, 1e-2, 0.1, 1.0):
            for _ in range(20):
                step = scale * torch.randn(found.best.shape, generator=generator, dtype=torch.float64)
                tried = found.losses(found.inside(found.best + step)).mean()
                assert tried >= least - 1e-12 * (1 + abs(least)), f"{found.best + step} is better than {found.best}"
                worse = max(worse, float(tried - least))
        assert worse > 1e-3  # the loss does depend on the prediction


@pytest.mark.parametrize(("name", "parameter"), [("huber_loss", "delta"), ("smooth_l1_loss", "beta")])
def test_the_optimum_goes_from_median_to_mean(name, parameter):
    loss = LOSSES[name]
    assert loss.facts.optimum == "between median and mean"
    target = torch.empty(1001, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    best = []
    for value in (1e-3, 0.3, 1.0, 3.0, 100.0):
        low, high = target.min(), target.max()
        for _ in range(100):  # the loss is convex
            thirds = low + (high - low) / 3, high - (high - low) / 3
            a, b = (loss.function(x.expand(1001), target, **{parameter: value}) for x in thirds)
            low, high = (low, thirds[1]) if a <= b else (thirds[0], high)
        best.append(float(low))
    median, mean = float(target.median()), float(target.mean())
    assert best == sorted(best)
    assert best[0] == pytest.approx(median, abs=0.01)
    assert best[-1] == pytest.approx(mean, abs=1e-6)
    assert median + 0.01 < best[2] < mean - 0.01


@pytest.mark.parametrize("name", [n for n in LOSSES if LOSSES[n].facts.optimum == "most frequent label"])
def test_the_most_frequent_label_has_the_highest_score(name):
    generator = torch.Generator().manual_seed(0)
    for share in ([0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.2, 0.2, 0.6]):
        labels = torch.multinomial(torch.tensor(share), 500, True, generator=generator)
        scores, best, lowest = torch.zeros(3, dtype=torch.float64), None, math.inf
        for step in range(4000):
            scores.requires_grad_()
            loss = LOSSES[name].function(scores.expand(500, 3), labels)
            (gradient,) = torch.autograd.grad(loss, scores)
            if loss.item() < lowest:
                lowest, best = loss.item(), scores.detach()
            scores = scores.detach() - 2.0 / (1 + step) ** 0.6 * gradient
        assert best is not None
        assert best[labels.bincount().argmax()] >= best.max() - 0.02
