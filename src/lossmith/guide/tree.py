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


REGRESSION = ("mse", "huber", "l1", "gaussian")

TREE = Question(
    "Is it a quantity?",
    "quantities",
    yes=Question(
        "Is it a count?",
        "counts",
        yes=Leaf(
            "counts",
            "poisson",
            "counts vary more where they are larger and are never negative: PoissonNLLLoss expects exactly that, and the "
            "network learns the logarithm of the rate",
            ("poisson", "mse", "huber", "l1"),
            "rmse",
        ),
        no=Question(
            "Are there outliers?",
            "outliers",
            yes=Question(
                "Are 10 % or more of the rows outliers?",
                "gross outliers",
                yes=Leaf(
                    "regression with gross outliers",
                    "l1",
                    "with this many outliers no threshold separates them from the rest: L1Loss lets every row pull with the "
                    "same force, however far off it is",
                    REGRESSION,
                    "mae",
                ),
                no=Leaf(
                    "regression with outliers",
                    "huber",
                    "HuberLoss treats the rows near the fit as MSELoss does and lets outliers pull no harder than delta",
                    REGRESSION,
                    "mae",
                ),
            ),
            no=Question(
                "Does the noise grow?",
                "growing noise",
                yes=Leaf(
                    "regression with growing noise",
                    "gaussian",
                    "GaussianNLLLoss learns the noise of each row beside its mean: noisy rows pull less, and each prediction "
                    "comes with its uncertainty",
                    REGRESSION,
                    "mae",
                ),
                no=Leaf(
                    "regression",
                    "mse",
                    "with even noise and no outliers the mean is what to predict, and MSELoss finds it with the least data",
                    REGRESSION,
                    "rmse",
                ),
            ),
        ),
    ),
    no=Question(
        "Are rows distributions?",
        "distributions",
        yes=Leaf(
            "distributions",
            "kl",
            "KLDivLoss compares whole distributions; reduction='batchmean' makes its value the true divergence of a row",
            ("kl", "mse_of_shares", "l1_of_shares"),
            "total_variation",
        ),
        no=Question(
            "Are there several labels at once?",
            "several labels",
            yes=Question(
                "Are labels skewed?",
                "skewed",
                yes=Leaf(
                    "multi-label classification, skewed",
                    "labels_pos_weight",
                    "each label is a yes or no of its own, so BCEWithLogitsLoss on each; pos_weight lets the few ones of a rare "
                    "label weigh as much as its zeros",
                    ("labels_pos_weight", "labels", "mse_of_labels"),
                    "macro_f1",
                ),
                no=Leaf(
                    "multi-label classification",
                    "labels",
                    "each label is a yes or no of its own, so BCEWithLogitsLoss on each",
                    ("labels", "labels_pos_weight", "mse_of_labels"),
                    "macro_f1",
                ),
            ),
            no=Question(
                "Are there two values?",
                "two values",
                yes=Leaf(
                    "binary classification",
                    "binary_pos_weight",
                    "one logit is enough for two classes; BCEWithLogitsLoss takes it as it is, which is stable, and pos_weight "
                    "lets both classes weigh the same",
                    ("binary_pos_weight", "binary", "cross_entropy", "multi_margin"),
                    "macro_f1",
                ),
                no=Question(
                    "Are classes skewed?",
                    "skewed",
                    yes=Leaf(
                        "multi-class classification, skewed",
                        "cross_entropy_weight",
                        "one logit a class and CrossEntropyLoss; weight lets a rare class count as much as a frequent one",
                        ("cross_entropy_weight", "cross_entropy", "cross_entropy_smoothed", "multi_margin"),
                        "macro_f1",
                    ),
                    no=Leaf(
                        "multi-class classification",
                        "cross_entropy",
                        "one logit a class and CrossEntropyLoss, whose gradient is simply probability minus truth",
                        ("cross_entropy", "cross_entropy_weight", "cross_entropy_smoothed", "multi_margin"),
                        "accuracy",
                    ),
                ),
            ),
        ),
    ),
)
