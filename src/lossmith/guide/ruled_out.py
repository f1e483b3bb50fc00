"""Why a loss is no candidate: a reason for every loss of lossmith and every kind of target."""

from collections.abc import Iterable

_ONE_CLASS = "treats each class as a yes or no of its own; here exactly one class is right"
_ONE_LABEL = "is for several labels a row; here each row has exactly one class"
_EXCLUSIVE = "lets classes exclude each other; here a row may have several labels, or none"
_PAIRS = "compares pairs of examples; here each row is one example with a target of its own"
_TRIPLETS = "compares triplets (anchor, positive, negative); here each row is one example with a target of its own"
_SEQUENCES = "aligns sequences of different lengths; here each row has one target"
_SIGMOID = "is BCEWithLogitsLoss behind a sigmoid of its own, which saturates: the gradient is then 0 or up to 1e12"
_VANISHES = "needs a sigmoid before it, and its gradient vanishes where the network is surely wrong"

_EVERYWHERE = {
    "MarginRankingLoss": _PAIRS,
    "HingeEmbeddingLoss": _PAIRS,
    "CosineEmbeddingLoss": _PAIRS,
    "TripletMarginLoss": _TRIPLETS,
    "TripletMarginWithDistanceLoss": _TRIPLETS,
    "CTCLoss": _SEQUENCES,
    "CTCWithLogitsLoss": _SEQUENCES,
}

_QUANTITY = {
    "SmoothL1Loss": "is HuberLoss in another scale: HuberLoss(delta) = delta x SmoothL1Loss(beta=delta)",
    **dict.fromkeys(
        (
            "NLLLoss",
            "CrossEntropyLoss",
            "BCELoss",
            "BCEWithLogitsLoss",
            "SoftMarginLoss",
            "MultiMarginLoss",
            "MultiLabelMarginLoss",
            "MultiLabelSoftMarginLoss",
        ),
        "wants classes or labels; the target is a quantity",
    ),
    "KLDivLoss": "compares distributions; the target's rows don't sum to 1",
}

_CLASSES = {
    **dict.fromkeys(
        ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "GaussianNLLLoss", "PoissonNLLLoss"),
        "treats class numbers as quantities: class 0 would lie nearer to class 1 than to class 2",
    ),
    "NLLLoss": "is CrossEntropyLoss without its log_softmax, which one then forgets or applies in a less stable way",
    "KLDivLoss": "equals CrossEntropyLoss for one-hot targets and needs log_softmax and one-hot rows by hand",
    "MultiLabelMarginLoss": _ONE_LABEL,
    "MultiLabelSoftMarginLoss": _ONE_LABEL,
}

_BY_KIND = {
    "numbers": {**_QUANTITY, "PoissonNLLLoss": "wants counts, and a network that predicts the logarithm of a rate"},
    "counts": {
        **_QUANTITY,
        "GaussianNLLLoss": "allows negative counts, and must learn a variance that PoissonNLLLoss takes from the mean",
    },
    "binary": {
        **_CLASSES,
        **dict.fromkeys(("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"), _VANISHES),
        **dict.fromkeys(("GaussianNLLLoss", "PoissonNLLLoss"), "wants a quantity; the target has two values"),
        "BCELoss": _SIGMOID,
        "SoftMarginLoss": "is BCEWithLogitsLoss for targets of -1 and 1, without pos_weight",
    },
    "classes": {
        **_CLASSES,
        "BCELoss": _ONE_CLASS,
        "BCEWithLogitsLoss": _ONE_CLASS,
        "SoftMarginLoss": "is for two classes, -1 and 1",
    },
    "labels": {
        "CrossEntropyLoss": _EXCLUSIVE,
        "NLLLoss": _EXCLUSIVE,
        "MultiMarginLoss": _EXCLUSIVE,
        "KLDivLoss": "lets labels compete for one whole; here a row may have several labels, or none",
        "BCELoss": _SIGMOID,
        "SoftMarginLoss": "is BCEWithLogitsLoss for targets of -1 and 1, without pos_weight",
        "MultiLabelSoftMarginLoss": "is BCEWithLogitsLoss averaged over the labels, without pos_weight",
        "MultiLabelMarginLoss": "ranks the labels of a row but sets no threshold, so it can't say how many apply",
        **dict.fromkeys(("L1Loss", "HuberLoss", "SmoothL1Loss"), _VANISHES),
        **dict.fromkeys(("GaussianNLLLoss", "PoissonNLLLoss"), "wants a quantity; the targets are yes or no"),
    },
    "distributions": {
        "CrossEntropyLoss": "has KLDivLoss's gradient for such targets, but its value doesn't reach 0 at a perfect fit",
        **dict.fromkeys(("HuberLoss", "SmoothL1Loss"), "has no outliers to guard against: shares lie between 0 and 1"),
        **dict.fromkeys(
            ("GaussianNLLLoss", "PoissonNLLLoss"), "doesn't know that shares lie between 0 and 1 and sum to 1"
        ),
        **dict.fromkeys(
            ("BCELoss", "BCEWithLogitsLoss"), "treats each share on its own and doesn't know that they sum to 1"
        ),
        **dict.fromkeys(
            ("NLLLoss", "MultiMarginLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "SoftMarginLoss"),
            "wants classes or labels; the target is whole distributions",
        ),
    },
}
RULED_OUT = {kind: {**reasons, **_EVERYWHERE} for kind, reasons in _BY_KIND.items()}


def ruled_out(kind: str, candidates: Iterable[str]) -> dict[str, str]:
    """Each loss that is no candidate, with its reason."""
    tried = set(candidates)
    return {loss: reason for loss, reason in RULED_OUT[kind].items() if loss not in tried}
