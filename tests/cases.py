"""One small, valid example of each way to call each loss, with what the tests have to know about its arguments."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from lossmith import mining
from lossmith.losses import all_losses

Arguments = dict[str, Any]


class Draw:
    """Seeded random tensors of one dtype on one device, for a batch of n."""

    def __init__(self, n: int, dtype: torch.dtype, device: str, seed: int):
        self.n, self.dtype, self.device = n, dtype, device
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, *shape: int, low: float = -2.0, high: float = 2.0) -> torch.Tensor:
        drawn = torch.empty(shape, dtype=torch.float64).uniform_(low, high, generator=self.generator)
        return drawn.to(self.device, self.dtype)

    def long(self, *shape: int) -> torch.Tensor:
        """Vectors of a length at which the gradients of cosines, scaled as far as by 64, are of size 1."""
        return self.uniform(*shape, low=-100.0, high=100.0)

    def weights(self, *shape: int) -> torch.Tensor:
        return self.uniform(*shape, low=0.2, high=2.0)

    def unit(self, *shape: int) -> torch.Tensor:
        return self.uniform(*shape, low=0.05, high=0.95)

    def distribution(self, *shape: int, dim: int = 1) -> torch.Tensor:
        return self.uniform(*shape).softmax(dim)

    def whole(self, *shape: int, low: int = 0, high: int) -> torch.Tensor:
        """Whole numbers from low to high - 1."""
        return torch.randint(low, high, shape, generator=self.generator).to(self.device)

    def labels(self, *shape: int, classes: int, ignored: bool = False) -> torch.Tensor:
        """Labels; if some are to be ignored, the second row is."""
        labels = self.whole(*shape, high=classes)
        if ignored:
            labels[1:2] = -100
        return labels

    def signs(self, *shape: int) -> torch.Tensor:
        return (2 * self.whole(*shape, high=2) - 1).to(self.dtype)


@dataclass(frozen=True)
class Case:
    """A way to call a loss.

    The axes of each tensor are named by letters, n being the batch: an element of the unreduced loss depends on those
    elements of an argument that have its own position on the axes which both have.
    """

    loss: str
    variant: str
    draw: Callable[[Draw], Arguments]
    axes: dict[str, str]
    unreduced: str = "n"
    differentiable: tuple[str, ...] = ()
    share: Callable[[Arguments], torch.Tensor] | None = None
    """d of docs/reductions.md, the shares in torch's denominator; None: each element has the share 1."""
    counted: Callable[[Arguments], torch.Tensor] | None = None
    """False where an element is ignored."""
    weighted: Callable[[Arguments], torch.Tensor] | None = None
    """w, which normalizer="weight" sums; None: as the share."""
    term: Callable[[Arguments], torch.Tensor] | None = None
    """What an unreduced loss is divided by before the mean sums it up; None: 1."""
    together: bool = False
    """Whether the rows of a batch know each other: then a mask, which has one number a row, leaves a row out of the
    others' losses too."""
    mixed: str = ""
    """Axes along which all of an argument enters each loss, as under softmax: what enters several is kept if one is."""
    garbage: dict[str, int] = field(default_factory=dict)
    """What may stand in a masked row of an integer argument, though the loss would refuse it elsewhere."""

    def __str__(self) -> str:
        return f"{self.loss}-{self.variant}" if self.variant else self.loss

    def __call__(
        self, n: int = 4, *, dtype: torch.dtype = torch.float64, device: str = "cpu", seed: int = 0
    ) -> Arguments:
        return self.draw(Draw(n, dtype, device, seed))

    @property
    def function(self) -> Callable[..., torch.Tensor]:
        return all_losses()[self.loss].function

    def shape(self, arguments: Arguments) -> torch.Size:
        """The shape of the unreduced loss."""
        sizes = {a: s for name, axes in self.axes.items() for a, s in zip(axes, arguments[name].shape, strict=True)}
        return torch.Size(sizes[axis] for axis in self.unreduced)

    def align(self, per_element: torch.Tensor, name: str) -> torch.Tensor:
        """A tensor of the unreduced loss's shape, made to broadcast to an argument."""
        axes, own = self.axes[name], self.unreduced
        for axis in self.mixed:
            per_element = per_element.any(own.index(axis), keepdim=True).expand(per_element.shape)
        for axis in own:
            if axis not in axes:  # it enters several losses, and is kept if one of them is
                per_element = per_element.any(own.index(axis))
                own = own.replace(axis, "")
        order = [own.index(a) for a in axes if a in own]
        aligned = per_element.permute(order)
        for position, axis in enumerate(axes):
            if axis not in own:
                aligned = aligned.unsqueeze(position)
        return aligned

    def spoil(self, arguments: Arguments, mask: torch.Tensor) -> Arguments:
        """Rubbish where the mask is False: NaN in floating arguments, garbage in integer ones."""
        spoiled = dict(arguments)
        for name in self.axes:
            value = arguments[name]
            if value.is_floating_point():
                spoiled[name] = torch.where(self.align(mask, name), value, torch.nan)
            elif name in self.garbage:
                spoiled[name] = torch.where(self.align(mask, name), value, self.garbage[name])
        return spoiled

    def rows(self, arguments: Arguments, index: torch.Tensor) -> Arguments:
        """Some rows of the batch, by number."""
        some = {name: arguments[name].index_select(axes.index("n"), index) for name, axes in self.axes.items()}
        return {**arguments, **some}

    def module(self, arguments: Arguments, **settings: Any) -> tuple[torch.nn.Module, list[torch.Tensor]]:
        """The loss's Module with what its constructor gets, and what its call gets (by position, as most calls)."""
        names = [*inspect.signature(self.function).parameters][: len(call_arguments(self.loss))]
        constructed = {name: value for name, value in arguments.items() if name not in names}
        return all_losses()[self.loss].module(**constructed, **settings), [arguments.get(name) for name in names]


def call_arguments(loss: str) -> tuple[str, ...]:
    """The names of what a loss's Module takes by position in a call."""
    names = inspect.signature(all_losses()[loss].module.forward).parameters.values()
    return tuple(p.name for p in names if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self")


def matrices(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "nd")


def elementwise(
    loss: str,
    variant: str,
    draw: Callable[[Draw], Arguments],
    differentiable: tuple[str, ...] = ("input", "target"),
    tensors: tuple[str, ...] = ("input", "target"),
    **more: Any,
) -> Case:
    return Case(loss, variant, draw, matrices(*tensors), "nd", differentiable, **more)


def plain(d: Draw) -> Arguments:
    return {"input": d.uniform(d.n, 3), "target": d.uniform(d.n, 3)}


def weighted(d: Draw) -> Arguments:
    return {**plain(d), "weight": d.weights(d.n, 3)}


WITH_WEIGHT: dict[str, Any] = {
    "tensors": ("input", "target", "weight"),
    "differentiable": ("input", "target", "weight"),
    "weighted": lambda a: a["weight"],
}


def class_weights(a: Arguments) -> torch.Tensor:
    return torch.where(a["target"] == -100, 0, a["weight"][a["target"].clamp(min=0)])


def not_ignored(a: Arguments) -> torch.Tensor:
    return a["target"] != -100


ROWS = {"input": "nc", "target": "n"}
TAUGHT = {"input": "nc", "teacher": "nc", "target": "n"}
PAIRS = {"input1": "nd", "input2": "nd", "target": "n"}
TRIPLETS = matrices("anchor", "positive", "negative")
CTC_GARBAGE = {"targets": 77, "input_lengths": 99, "target_lengths": 55}


def logits_of_two(d: Draw, *shape: int) -> Arguments:
    return {"input": d.uniform(*shape), "teacher": d.uniform(*shape)}


def ranking(d: Draw) -> Arguments:
    return {"input1": d.uniform(d.n, 3), "input2": d.uniform(d.n, 3), "target": d.signs(d.n, 3)}


def distances(d: Draw) -> Arguments:
    return {"input": d.weights(d.n, 3), "target": d.signs(d.n, 3)}


def pairs(d: Draw) -> Arguments:
    return {"input1": d.uniform(d.n, 3), "input2": d.uniform(d.n, 3), "target": d.signs(d.n)}


def triplet(d: Draw) -> Arguments:
    return {name: d.uniform(d.n, 3) for name in TRIPLETS}


def alignment(d: Draw, scores: str, blank: int) -> Arguments:
    """Six frames of four classes; targets of 0 to 2 labels, which fit even if both are the same."""
    label = 0 if blank else 1
    return {
        scores: d.uniform(6, d.n, 4).log_softmax(-1) if scores == "log_probs" else d.uniform(6, d.n, 4),
        "targets": d.whole(d.n, 2, low=label, high=label + 3),
        "input_lengths": d.whole(d.n, low=4, high=7),
        "target_lengths": d.whole(d.n, low=0, high=3),
    }


def ctc(loss: str, variant: str, scores: str, **arguments: Any) -> Case:
    return Case(
        loss,
        variant,
        lambda d: {**alignment(d, scores, arguments.get("blank", 0)), **arguments},
        {scores: "tnc", "targets": "ns", "input_lengths": "n", "target_lengths": "n"},
        differentiable=(scores,),
        term=lambda a: a["target_lengths"].clamp(min=1),
        garbage=CTC_GARBAGE,
    )


def regions(loss: str, variant: str, draw: Callable[[Draw], Arguments], **more: Any) -> Case:
    """Three classes of samples of four pixels; more: of the case."""
    usual = {"axes": {"input": "ncd", "target": "ncd"}, "unreduced": "nc", "differentiable": ("input", "target")}
    return Case(loss, variant, draw, **{**usual, **more})


def labelled_regions(loss: str, variant: str, **arguments: Any) -> Case:
    """Softmax over the classes, against labels of which the second sample's are ignored."""
    return regions(
        loss,
        variant,
        lambda d: {
            "input": d.uniform(d.n, 3, 4),
            "target": d.labels(d.n, 4, classes=3, ignored=True),
            **arguments,
        },
        axes={"input": "ncd", "target": "nd"},
        differentiable=("input",),
        counted=lambda a: (a["target"] != -100).any(1, keepdim=True).expand(-1, 3),
        mixed="c",
        garbage={"target": 99},
    )


def two_labels(first: torch.Tensor) -> torch.Tensor:
    """Two neighbours of four classes in each row, then what ends the set, then a label that is not read."""
    return torch.cat([first, (first + 1) % 4, torch.full_like(first, -1), (first + 2) % 4], 1)


def contrasted(loss: str, variant: str, draw: Callable[[Draw], Arguments], **more: Any) -> Case:
    """A loss of queries and keys in which the rows of a batch know each other."""
    names = [name for name in ("input", "keys", "labels") if name in draw(Draw(2, torch.float64, "cpu", 0))]
    axes = {name: "n" if name == "labels" else "nd" for name in names}
    vectors = tuple(name for name in names if name != "labels")
    return Case(loss, variant, draw, axes, differentiable=(*vectors, *more.pop("more", ())), together=True, **more)


def keyed(d: Draw) -> Arguments:
    return {"input": d.uniform(d.n, 3), "keys": d.uniform(d.n, 3)}


def positives_by_label(a: Arguments) -> torch.Tensor:
    """How many others of its label each row has."""
    return (a["labels"][:, None] == a["labels"]).sum(1) - 1


def grouped(d: Draw) -> Arguments:
    """Each label occurs twice, or three times."""
    return {"input": d.uniform(d.n, 3), "target": 7 * (torch.arange(d.n, device=d.device) % max(1, d.n // 2)) - 3}


def has_a_positive(a: Arguments) -> torch.Tensor:
    return (a["target"][:, None] == a["target"]).sum(1) > 1


def clustered(d: Draw) -> Arguments:
    """Vectors of one label lie near each other, those of the next one not much farther."""
    drawn = grouped(d)
    vectors = 0.2 * drawn["input"]
    vectors[:, 0] += 1
    vectors[:, 1] += 0.1 * drawn["target"]
    return {**drawn, "input": vectors}


def scattered(d: Draw) -> Arguments:
    """Each pulls on each."""
    return {**grouped(d), "input": d.long(d.n, 3)}


def mined_by_hand(a: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """How many triplets each anchor has, and how many of them cost something, of miners that do not draw."""
    x, y, margin = a["input"].double(), a["target"].tolist(), a.get("margin", 1.0)
    if a.get("normalize"):
        x = x / x.norm(dim=1, keepdim=True)
    distances = (x[:, None] - x).square().sum(-1)
    if not a.get("squared"):
        distances = distances.sqrt()
    counts = torch.zeros(2, len(y), dtype=torch.float64, device=x.device)
    for i, d in enumerate(distances.tolist()):
        near = [d[j] for j in range(len(y)) if j != i and y[j] == y[i]]
        far = [d[j] for j in range(len(y)) if y[j] != y[i]]
        triplets = [(p, n) for p in near for n in far]
        if a.get("miner", "semi_hard") == "semi_hard":
            farther = [(p, [n for n in far if p < n < p + margin]) for p in near]
            triplets = [(p, min(negatives)) for p, negatives in farther if negatives]
        elif a["miner"] != "batch_all":
            triplets = [max(triplets, key=lambda t: t[0] - t[1])] if triplets else []
        counts[0, i] = len(triplets)
        counts[1, i] = sum(margin == "soft" or p - n + margin > 0 for p, n in triplets)
    return counts[0], counts[1]


def hardest(embeddings: torch.Tensor, labels: torch.Tensor) -> mining.Triplets:
    return mining.batch_hard(embeddings, labels)


def with_class_vectors(d: Draw) -> Arguments:
    return {"input": d.long(d.n, 3), "linear_weight": d.long(4, 3), "target": d.labels(d.n, classes=4)}


DIRECTIONS = torch.tensor([[1.0, 0.0, 0.0], [0.6, -0.8, 0.0], [0.0, 0.28, 0.96]], dtype=torch.float64)


def samples(d: Draw) -> Arguments:
    return {"input": d.uniform(d.n, 4), "target": d.uniform(d.n, 3)}


def samples_with_mass(d: Draw) -> Arguments:
    mass = {"input_weight": d.weights(d.n, 3), "target_weight": d.weights(d.n, 4)}
    return {"input": d.uniform(d.n, 3), "target": d.uniform(d.n, 4), **mass}


def clouds(d: Draw) -> Arguments:
    projections = DIRECTIONS.to(d.device, d.dtype)
    return {"input": d.uniform(d.n, 4, 3), "target": d.uniform(d.n, 4, 3), "projections": projections}


def critic_scores(d: Draw) -> Arguments:
    return {"fake": d.uniform(d.n, 3), "real": d.uniform(d.n, 3)}


def manhattan(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x - y).abs().sum(-1)


CASES = (
    # ----- regression -----
    elementwise("l1_loss", "", plain),
    elementwise("l1_loss", "weight", weighted, **WITH_WEIGHT, share=lambda a: a["weight"]),
    elementwise("mse_loss", "", plain),
    elementwise("mse_loss", "weight", weighted, **WITH_WEIGHT, share=lambda a: a["weight"]),
    elementwise("huber_loss", "", lambda d: {**plain(d), "delta": 0.7}),
    elementwise("huber_loss", "weight", weighted, **WITH_WEIGHT),
    elementwise("smooth_l1_loss", "", plain),
    elementwise("smooth_l1_loss", "beta", lambda d: {**plain(d), "beta": 0.7}),
    elementwise("quantile_loss", "", plain),
    elementwise("quantile_loss", "one", lambda d: {**plain(d), "quantiles": 0.9}),
    Case(
        "quantile_loss",
        "several",
        lambda d: {"input": d.uniform(d.n, 3), "target": d.uniform(d.n), "quantiles": (0.1, 0.5, 0.95)},
        {"input": "nq", "target": "n"},
        "nq",
        ("input", "target"),
    ),
    Case(
        "quantile_loss",
        "tensor",
        lambda d: {"input": d.uniform(d.n, 2, 3), "target": d.uniform(d.n, 2), "quantiles": d.unit(3)},
        {"input": "ndq", "target": "nd"},
        "ndq",
        ("input", "target"),
    ),
    elementwise("log_cosh_loss", "", plain),
    elementwise("charbonnier_loss", "", plain),
    elementwise("charbonnier_loss", "eps", lambda d: {**plain(d), "eps": 0.7}),
    elementwise("poisson_nll_loss", "", lambda d: {"input": d.uniform(d.n, 3), "target": d.weights(d.n, 3) * 3}),
    elementwise(
        "poisson_nll_loss",
        "rate",
        lambda d: {"input": d.weights(d.n, 3), "target": d.weights(d.n, 3) * 3, "log_input": False, "full": True},
    ),
    elementwise(
        "gaussian_nll_loss",
        "",
        lambda d: {**plain(d), "var": d.weights(d.n, 3)},
        differentiable=("input", "target", "var"),
        tensors=("input", "target", "var"),
    ),
    elementwise("gaussian_nll_loss", "full, one variance", lambda d: {**plain(d), "var": 1.5, "full": True}),
    # ----- classification -----
    Case(
        "cross_entropy",
        "",
        lambda d: {"input": d.uniform(d.n, 3), "target": d.labels(d.n, classes=3)},
        ROWS,
        differentiable=("input",),
        garbage={"target": 99},
    ),
    Case(
        "cross_entropy",
        "weight, ignored",
        lambda d: {
            "input": d.uniform(d.n, 3),
            "target": d.labels(d.n, classes=3, ignored=True),
            "weight": d.weights(3),
        },
        ROWS,
        differentiable=("input", "weight"),
        share=class_weights,
        counted=not_ignored,
        garbage={"target": 99},
    ),
    Case(
        "cross_entropy",
        "smoothed images",
        lambda d: {
            "input": d.uniform(d.n, 3, 2),
            "target": d.labels(d.n, 2, classes=3, ignored=True),
            "weight": d.weights(3),
            "label_smoothing": 0.2,
        },
        {"input": "ncd", "target": "nd"},
        "nd",
        ("input", "weight"),
        share=class_weights,
        counted=not_ignored,
        garbage={"target": -7},
    ),
    Case(
        "cross_entropy",
        "probabilities",
        lambda d: {"input": d.uniform(d.n, 2, 3), "target": d.distribution(d.n, 2, 3, dim=-1), "dim": -1},
        {"input": "ndc", "target": "ndc"},
        "nd",
        ("input", "target"),
    ),
    Case(
        "cross_entropy",
        "probabilities, weight",
        lambda d: {
            "input": d.uniform(d.n, 3),
            "target": d.distribution(d.n, 3),
            "weight": d.weights(3),
            "label_smoothing": 0.1,
        },
        {"input": "nc", "target": "nc"},
        differentiable=("input", "target", "weight"),
        weighted=lambda a: ((0.9 * a["target"] + 0.1 / 3) * a["weight"]).sum(1),
    ),
    Case(
        "nll_loss",
        "",
        lambda d: {"input": d.uniform(d.n, 3).log_softmax(1), "target": d.labels(d.n, classes=3)},
        ROWS,
        differentiable=("input",),
        garbage={"target": 99},
    ),
    Case(
        "nll_loss",
        "weight, ignored images",
        lambda d: {
            "input": d.uniform(d.n, 3, 2).log_softmax(1),
            "target": d.labels(d.n, 2, classes=3, ignored=True),
            "weight": d.weights(3),
        },
        {"input": "ncd", "target": "nd"},
        "nd",
        ("input", "weight"),
        share=class_weights,
        counted=not_ignored,
        garbage={"target": 99},
    ),
    elementwise("binary_cross_entropy", "", lambda d: {"input": d.unit(d.n, 3), "target": d.unit(d.n, 3)}),
    elementwise(
        "binary_cross_entropy",
        "weight",
        lambda d: {"input": d.unit(d.n, 3), "target": d.unit(d.n, 3), "weight": d.weights(d.n, 3)},
        **WITH_WEIGHT,
    ),
    elementwise(
        "binary_cross_entropy_with_logits", "", lambda d: {"input": d.uniform(d.n, 3), "target": d.unit(d.n, 3)}
    ),
    elementwise(
        "binary_cross_entropy_with_logits",
        "weight, pos_weight",
        lambda d: {
            "input": d.uniform(d.n, 3),
            "target": d.unit(d.n, 3),
            "weight": d.weights(d.n, 3),
            "pos_weight": d.weights(3),
        },
        tensors=("input", "target", "weight"),
        differentiable=("input", "target", "weight", "pos_weight"),
        weighted=lambda a: a["weight"],
    ),
    Case(
        "focal_loss",
        "",
        lambda d: {"input": d.uniform(d.n, 3), "target": d.labels(d.n, classes=3)},
        ROWS,
        differentiable=("input",),
        garbage={"target": 99},
    ),
    Case(
        "focal_loss",
        "gamma, weight, ignored images",
        lambda d: {
            "input": d.uniform(d.n, 3, 2),
            "target": d.labels(d.n, 2, classes=3, ignored=True),
            "gamma": 0.7,
            "weight": d.weights(3),
        },
        {"input": "ncd", "target": "nd"},
        "nd",
        ("input", "weight"),
        share=class_weights,
        counted=not_ignored,
        garbage={"target": -7},
    ),
    Case(
        "focal_loss",
        "probabilities",
        lambda d: {"input": d.uniform(d.n, 2, 3), "target": d.distribution(d.n, 2, 3, dim=-1), "dim": -1},
        {"input": "ndc", "target": "ndc"},
        "nd",
        ("input", "target"),
    ),
    Case(
        "focal_loss",
        "gamma, weight, probabilities",
        lambda d: {
            "input": d.uniform(d.n, 3),
            "target": d.distribution(d.n, 3),
            "gamma": 1.5,
            "weight": d.weights(3),
        },
        {"input": "nc", "target": "nc"},
        differentiable=("input", "target", "weight"),
        weighted=lambda a: (a["target"] * a["weight"]).sum(1),
    ),
    *(
        elementwise(
            "sigmoid_focal_loss",
            ", ".join(settings),
            lambda d, settings=settings: {"input": d.uniform(d.n, 3), "target": d.unit(d.n, 3), **settings},
        )
        for settings in ({}, {"gamma": 0.7}, {"alpha": None, "gamma": 3})
    ),
    elementwise("soft_margin_loss", "", lambda d: {"input": d.uniform(d.n, 3), "target": d.signs(d.n, 3)}, ("input",)),
    Case(
        "multilabel_soft_margin_loss",
        "",
        lambda d: {"input": d.uniform(d.n, 3), "target": d.whole(d.n, 3, high=2).to(d.dtype)},
        {"input": "nc", "target": "nc"},
        differentiable=("input", "target"),
    ),
    Case(
        "multilabel_soft_margin_loss",
        "weight",
        lambda d: {"input": d.uniform(d.n, 2, 3), "target": d.unit(d.n, 2, 3), "weight": d.weights(3)},
        {"input": "ndc", "target": "ndc"},
        "nd",
        ("input", "target", "weight"),
    ),
    Case(
        "multilabel_margin_loss",
        "",
        lambda d: {"input": d.uniform(d.n, 4), "target": two_labels(d.whole(d.n, 1, high=4))},
        {"input": "nc", "target": "nc"},
        differentiable=("input",),
        garbage={"target": 99},
    ),
    Case(
        "multi_margin_loss",
        "",
        lambda d: {"input": d.uniform(d.n, 3), "target": d.labels(d.n, classes=3)},
        ROWS,
        differentiable=("input",),
        garbage={"target": 99},
    ),
    Case(
        "multi_margin_loss",
        "squared, weight",
        lambda d: {
            "input": d.uniform(d.n, 3),
            "target": d.labels(d.n, classes=3),
            "p": 2,
            "margin": 1.5,
            "weight": d.weights(3),
        },
        ROWS,
        differentiable=("input", "weight"),
        weighted=lambda a: a["weight"][a["target"]],
        garbage={"target": -2},
    ),
    labelled_regions("dice_loss", ""),
    regions(
        "dice_loss",
        "predictions",
        lambda d: {"input": d.unit(d.n, 3, 2), "target": d.unit(d.n, 3, 2), "activation": None},
    ),
    regions(
        "dice_loss",
        "squared, weight",
        lambda d: {
            "input": d.uniform(d.n, 3, 4),
            "target": d.unit(d.n, 3, 4),
            "weight": d.weights(3),
            "activation": "sigmoid",
            "squared": True,
        },
        differentiable=("input", "target", "weight"),
        weighted=lambda a: a["weight"].expand(len(a["input"]), 3),
    ),
    regions(
        "dice_loss",
        "of the batch",
        lambda d: {"input": d.uniform(5, d.n), "target": d.unit(5, d.n), "activation": "sigmoid", "batch": True},
        axes={"input": "bn", "target": "bn"},
        unreduced="n",
    ),
    regions(
        "dice_loss",
        "without background",
        lambda d: {
            "input": d.uniform(d.n, 4, 3),
            "target": d.distribution(d.n, 4, 3, dim=-1),
            "include_background": False,
            "smooth": (1e-3, 0.1),
            "dim": -1,
        },
        axes={"input": "ndc", "target": "ndc"},
        counted=lambda a: torch.tensor([False, True, True]).expand(len(a["input"]), 3),
        mixed="c",
    ),
    labelled_regions("tversky_loss", ""),
    regions(
        "tversky_loss",
        "predictions",
        lambda d: {"input": d.unit(d.n, 3, 2), "target": d.unit(d.n, 3, 2), "activation": None},
    ),
    regions(
        "tversky_loss",
        "focal",
        lambda d: {
            "input": d.uniform(d.n, 3, 4),
            "target": d.unit(d.n, 3, 4),
            "alpha": 0.3,
            "beta": 0.7,
            "gamma": 0.75,
            "activation": "sigmoid",
        },
    ),
    # ----- embedding and ranking -----
    *(
        elementwise("margin_ranking_loss", variant, draw, ("input1", "input2"), ("input1", "input2", "target"))
        for variant, draw in {"": ranking, "margin": lambda d: {**ranking(d), "margin": 0.3}}.items()
    ),
    *(
        elementwise("hinge_embedding_loss", variant, draw, ("input",))
        for variant, draw in {"": distances, "margin": lambda d: {**distances(d), "margin": 1.2}}.items()
    ),
    *(
        Case("cosine_embedding_loss", variant, draw, PAIRS, differentiable=("input1", "input2"))
        for variant, draw in {"": pairs, "margin": lambda d: {**pairs(d), "margin": 0.1}}.items()
    ),
    *(
        Case("contrastive_loss", variant, draw, PAIRS, differentiable=("input1", "input2"))
        for variant, draw in {
            "": pairs,
            "hinge, p 3": lambda d: {**pairs(d), "margin": 3.0, "squared": False, "p": 3.0, "positive_margin": 0.4},
            "unit vectors, labels": lambda d: {
                **pairs(d),
                "target": d.whole(d.n, high=2),
                "labels": "hadsell",
                "normalize": True,
            },
        }.items()
    ),
    Case("triplet_margin_loss", "", triplet, TRIPLETS, differentiable=tuple(TRIPLETS)),
    Case(
        "triplet_margin_loss",
        "swap, p 3",
        lambda d: {**triplet(d), "swap": True, "p": 3.0, "margin": 2.0},
        TRIPLETS,
        differentiable=tuple(TRIPLETS),
    ),
    Case(
        "triplet_margin_loss",
        "squared",
        lambda d: {**triplet(d), "squared": True, "margin": 2.0},
        TRIPLETS,
        differentiable=tuple(TRIPLETS),
    ),
    Case(
        "triplet_margin_loss",
        "FaceNet, swap",
        lambda d: {**triplet(d), "squared": True, "normalize": True, "swap": True, "margin": 0.7},
        TRIPLETS,
        differentiable=tuple(TRIPLETS),
    ),
    Case("triplet_margin_with_distance_loss", "", triplet, TRIPLETS, differentiable=tuple(TRIPLETS)),
    Case(
        "triplet_margin_with_distance_loss",
        "of one's own",
        lambda d: {**triplet(d), "distance_function": manhattan, "swap": True, "margin": 2.0},
        TRIPLETS,
        differentiable=tuple(TRIPLETS),
    ),
    contrasted("info_nce_loss", "", lambda d: {"input": d.long(d.n, 3), "keys": d.long(d.n, 3)}),
    contrasted("info_nce_loss", "symmetric, wide", lambda d: {**keyed(d), "pairing": "symmetric", "temperature": 0.7}),
    contrasted(
        "info_nce_loss",
        "views, learned temperature",
        lambda d: {**keyed(d), "pairing": "views", "temperature": d.weights(1)},
        more=("temperature",),
    ),
    contrasted(
        "info_nce_loss",
        "products, queue, labels",
        lambda d: {
            **keyed(d),
            "pairing": "views",
            "normalize": False,
            "negatives": d.uniform(2, 3),
            "labels": d.whole(d.n, high=2),
            "temperature": 1.0,
        },
        more=("negatives",),
        garbage={"labels": 1},
    ),
    contrasted(
        "info_nce_loss",
        "labels alone",
        lambda d: {"input": d.long(d.n, 3), "labels": d.whole(d.n, high=2), "temperature": 0.5},
        counted=lambda a: positives_by_label(a) > 0,
        share=positives_by_label,
        garbage={"labels": 1},
    ),
    *(
        Case(
            "supcon_loss",
            variant,
            lambda d, settings=settings: {**grouped(d), **settings(d)},
            {"input": "nd", "target": "n"},
            differentiable=("input", *[name for name in ("temperature",) if "learned" in variant]),
            counted=has_a_positive,
            together=True,
            garbage={"target": -3},
        )
        for variant, settings in {
            "": lambda d: {"input": d.long(d.n, 3)},
            "in": lambda d: {"input": d.long(d.n, 3), "kind": "in", "temperature": 0.5, "base_temperature": 0.07},
            "products, learned": lambda d: {"normalize": False, "temperature": 4 * d.weights(1)},
        }.items()
    ),
    contrasted("siglip_loss", "", lambda d: {"input": d.long(d.n, 3), "keys": d.long(d.n, 3)}),
    contrasted(
        "siglip_loss",
        "learned, queue, labels",
        lambda d: {
            **keyed(d),
            "labels": d.whole(d.n, high=2),
            "negatives": d.uniform(2, 3),
            "scale": d.weights(1),
            "bias": d.uniform(1),
        },
        more=("negatives", "scale", "bias"),
        garbage={"labels": 1},
    ),
    contrasted("siglip_loss", "products", lambda d: {**keyed(d), "normalize": False, "scale": 0.7, "bias": -1.0}),
    # distance-weighted draws: it has tests of its own
    *(
        Case(
            "mined_triplet_margin_loss",
            variant,
            lambda d, draw=draw, settings=settings: {**draw(d), **settings},
            {"input": "nd", "target": "n"},
            differentiable=("input",),
            share=lambda a: mined_by_hand(a)[a.get("average") == "active"],
            together=True,
            garbage={"target": -3},
        )
        for variant, draw, settings in (
            ("", clustered, {"margin": 1.0}),
            ("squared", clustered, {"miner": "batch_hard", "squared": True}),
            ("active", scattered, {"miner": "batch_all", "normalize": True, "average": "active", "margin": 1.2}),
            ("soft", clustered, {"miner": "batch_hard", "margin": "soft"}),
            ("of one's own", clustered, {"miner": hardest}),
        )
    ),
    *(
        Case(
            loss,
            variant,
            lambda d, settings=settings: {**with_class_vectors(d), **settings},
            {"input": "nd", "target": "n"},
            differentiable=("input", "linear_weight"),
            garbage={"target": 99},
        )
        for loss, variant, settings in (
            ("arcface_loss", "", {}),
            ("arcface_loss", "easy margin", {"easy_margin": True, "scale": 5.0, "margin": 0.3}),
            ("cosface_loss", "", {}),
            ("cosface_loss", "margin", {"scale": 5.0, "margin": 0.1}),
        )
    ),
    # ----- distributions and sequences -----
    elementwise("kl_div", "", lambda d: {"input": d.uniform(d.n, 3).log_softmax(1), "target": d.distribution(d.n, 3)}),
    elementwise(
        "kl_div",
        "log_target",
        lambda d: {
            "input": d.uniform(d.n, 3).log_softmax(1),
            "target": d.distribution(d.n, 3).log(),
            "log_target": True,
        },
    ),
    Case(
        "distillation_loss",
        "",
        lambda d: {**logits_of_two(d, d.n, 3), "target": d.labels(d.n, classes=3)},
        TAUGHT,
        differentiable=("input", "teacher"),
        garbage={"target": 99},
    ),
    Case(
        "distillation_loss",
        "weight, ignored images",
        lambda d: {
            **logits_of_two(d, d.n, 3, 2),
            "target": d.labels(d.n, 2, classes=3, ignored=True),
            "temperature": 4.0,
            "alpha": 0.3,
            "weight": d.weights(3),
        },
        {"input": "ncd", "teacher": "ncd", "target": "nd"},
        "nd",
        ("input", "teacher", "weight"),
        counted=not_ignored,
        weighted=class_weights,
        garbage={"target": -7},
    ),
    Case(
        "distillation_loss",
        "without labels",
        lambda d: {**logits_of_two(d, d.n, 3), "target": None, "temperature": 3.0},
        {"input": "nc", "teacher": "nc"},
        differentiable=("input", "teacher"),
    ),
    Case(
        "distillation_loss",
        "reverse",
        lambda d: {**logits_of_two(d, d.n, 3), "target": None, "temperature": 1.5, "divergence": "reverse"},
        {"input": "nc", "teacher": "nc"},
        differentiable=("input", "teacher"),
    ),
    Case(
        "distillation_loss",
        "js",
        lambda d: {**logits_of_two(d, d.n, 2, 3), "target": None, "divergence": "js", "beta": 0.3, "dim": -1},
        {"input": "ndc", "teacher": "ndc"},
        "nd",
        ("input", "teacher"),
    ),
    elementwise("js_div", "", lambda d: {"input": d.uniform(d.n, 3).log_softmax(1), "target": d.distribution(d.n, 3)}),
    elementwise(
        "js_div",
        "log_target, beta",
        lambda d: {
            "input": d.uniform(d.n, 3).log_softmax(1),
            "target": d.distribution(d.n, 3).log(),
            "log_target": True,
            "beta": 0.1,
        },
    ),
    Case("wasserstein_loss", "", samples, {"input": "ns", "target": "nt"}, differentiable=("input", "target")),
    Case(
        "wasserstein_loss",
        "p 2, weights",
        lambda d: {**samples_with_mass(d), "p": 2},
        {"input": "ns", "target": "nt", "input_weight": "ns", "target_weight": "nt"},
        differentiable=("input", "target", "input_weight", "target_weight"),
    ),
    Case(
        "wasserstein_loss",
        "root",
        lambda d: {"input": d.uniform(d.n, 4), "target": d.uniform(d.n, 4), "p": 2, "root": True},
        {"input": "ns", "target": "nt"},
        differentiable=("input", "target"),
    ),
    Case(
        "wasserstein_loss",
        "sliced, p 2",
        lambda d: {**clouds(d), "p": 2},
        {"input": "nsd", "target": "ntd"},
        differentiable=("input", "target"),
    ),
    *(
        elementwise("wasserstein_critic_loss", variant, draw, names, names)
        for variant, draw, names in (
            ("", critic_scores, ("fake", "real")),
            ("penalty", lambda d: {**critic_scores(d), "penalty": d.weights(d.n, 3)}, ("fake", "real", "penalty")),
        )
    ),
    ctc("ctc_loss", "", "log_probs"),
    ctc("ctc_loss", "zero_infinity, last blank", "log_probs", blank=3, zero_infinity=True),
    ctc("ctc_loss_with_logits", "", "logits"),
)
