"""The decision tree, as data: questions about the target, and at each end a loss with its rivals."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Leaf:
    """Where the tree ends: what is to be learned, under which loss, and what the experiment compares it with."""

    task: str
    recipe: str  # keys of recipes.RECIPES
    why: str
    rivals: tuple[str, ...]
    decided_by: str  # the metric that the experiment decides by, a key of metrics.METRICS


@dataclass(frozen=True)
class Question:
    """A question that a fact about the target answers."""

    asks: str
    fact: str
    yes: "Question | Leaf"
    no: "Question | Leaf"


@dataclass(frozen=True)
class Step:
    """One question with the answer that the data gave."""

    asks: str
    answer: bool


def walk(facts: Mapping[str, bool], node: Question | Leaf | None = None) -> tuple[list[Step], Leaf]:
    """The path through the tree that the facts lead along, and the leaf at its end."""
    node = node or TREE
    path: list[Step] = []
    while isinstance(node, Question):
        answer = facts[node.fact]
        path.append(Step(node.asks, answer))
        node = node.yes if answer else node.no
    return path, node


# The ends: one for each task

_REGRESSION = ("mse", "huber", "l1", "gaussian")
_CLASSES = ("cross_entropy", "cross_entropy_weight", "cross_entropy_smoothed", "multi_margin")
_LABELS = ("labels", "labels_pos_weight", "mse_of_labels")

COUNTS = Leaf(
    "counts",
    "poisson",
    "counts are never negative and vary more where they are larger, which is what PoissonNLLLoss expects; the network "
    "learns the logarithm of the rate",
    ("poisson", "mse", "huber", "l1"),
    "rmse",
)
GROSS_OUTLIERS = Leaf(
    "regression with gross outliers",
    "l1",
    "with this many outliers no threshold tells them from the rest: under L1Loss every row pulls with the same force, "
    "however far off it is",
    _REGRESSION,
    "median_error",
)
OUTLIERS = Leaf(
    "regression with outliers",
    "huber",
    "HuberLoss treats rows near the fit as MSELoss does, and an outlier pulls no harder than a row delta away",
    _REGRESSION,
    "median_error",
)
GROWING_NOISE = Leaf(
    "regression with growing noise",
    "gaussian",
    "GaussianNLLLoss learns the noise of each row beside its mean: noisy rows pull less, and each prediction comes "
    "with its uncertainty",
    _REGRESSION,
    "mae",
)
REGRESSION = Leaf(
    "regression",
    "mse",
    "with even noise and no outliers the mean is what to predict, and MSELoss needs the least data to find it",
    _REGRESSION,
    "rmse",
)
DISTRIBUTIONS = Leaf(
    "distributions",
    "kl",
    "KLDivLoss compares whole distributions; reduction='batchmean' makes its value the divergence of a row",
    ("kl", "mse_of_shares", "l1_of_shares"),
    "total_variation",
)
SKEWED_LABELS = Leaf(
    "multi-label classification, skewed",
    "labels_pos_weight",
    "each label is a yes or no of its own, so BCEWithLogitsLoss on each; pos_weight lets the few ones of a rare label "
    "weigh as much as its zeros",
    _LABELS,
    "macro_f1",
)
LABELS = Leaf(
    "multi-label classification",
    "labels",
    "each label is a yes or no of its own, so BCEWithLogitsLoss on each",
    _LABELS,
    "macro_f1",
)
TWO_VALUES = Leaf(
    "binary classification",
    "binary_pos_weight",
    "one logit is enough for two classes, and BCEWithLogitsLoss takes it without a sigmoid, which is stable; "
    "pos_weight lets both classes weigh the same",
    ("binary_pos_weight", "binary", "cross_entropy", "multi_margin"),
    "macro_f1",
)
SKEWED_CLASSES = Leaf(
    "multi-class classification, skewed",
    "cross_entropy_weight",
    "one logit a class and CrossEntropyLoss, which takes them without a softmax; weight lets a rare class count as "
    "much as a frequent one",
    _CLASSES,
    "macro_f1",
)
CLASSES = Leaf(
    "multi-class classification",
    "cross_entropy",
    "one logit a class and CrossEntropyLoss, which takes them without a softmax; its gradient is probability less "
    "truth",
    _CLASSES,
    "accuracy",
)

TREE = Question(
    "a quantity?",
    "quantities",
    yes=Question(
        "counts?",
        "counts",
        yes=COUNTS,
        no=Question(
            "outliers?",
            "outliers",
            yes=Question("10 % or more?", "gross outliers", yes=GROSS_OUTLIERS, no=OUTLIERS),
            no=Question("growing noise?", "growing noise", yes=GROWING_NOISE, no=REGRESSION),
        ),
    ),
    no=Question(
        "distributions?",
        "distributions",
        yes=DISTRIBUTIONS,
        no=Question(
            "several labels at once?",
            "several labels",
            yes=Question("skewed?", "skewed", yes=SKEWED_LABELS, no=LABELS),
            no=Question(
                "two values?",
                "two values",
                yes=TWO_VALUES,
                no=Question("skewed?", "skewed", yes=SKEWED_CLASSES, no=CLASSES),
            ),
        ),
    ),
)
