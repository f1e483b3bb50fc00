"""Why a loss is no candidate: a reason for every loss of lossmith and every kind of target."""

from collections.abc import Iterable

from ..card import Text

_ONE_CLASS = Text(
    "treats each class as a yes or no of its own; here exactly one class is right",
    "把每个类别当作独立的是非判断；而这里每行恰好只有一个正确类别",
)
_ONE_LABEL = Text(
    "is for several labels a row; here each row has exactly one class",
    "用于一行有多个标签的情形；而这里每行恰好只有一个类别",
)
_EXCLUSIVE = Text(
    "lets classes exclude each other; here a row may have several labels, or none",
    "假定类别互斥；而这里一行可以有多个标签，也可以没有",
)
_PAIRS = Text(
    "compares pairs of examples; here each row is one example with a target of its own",
    "比较成对的样本；而这里每行是一个带有自己目标值的样本",
)
_TRIPLETS = Text(
    "compares triplets (anchor, positive, negative); here each row is one example with a target of its own",
    "比较三元组（锚点、正例、负例）；而这里每行是一个带有自己目标值的样本",
)
_SEQUENCES = Text(
    "aligns sequences of different lengths; here each row has one target",
    "用于对齐不同长度的序列；而这里每行只有一个目标",
)
_SIGMOID = Text(
    "is BCEWithLogitsLoss behind a sigmoid of its own, which saturates: the gradient is then 0 or up to 1e12",
    "等于在单独的 sigmoid 之后的 BCEWithLogitsLoss，而 sigmoid 会饱和：此时梯度为 0，或高达 1e12",
)
_VANISHES = Text(
    "needs a sigmoid before it, and its gradient vanishes where the network is surely wrong",
    "前面需要 sigmoid，而且在网络非常确信却出错的地方梯度消失",
)
_SOFT_MARGIN = Text(
    "is BCEWithLogitsLoss for targets of -1 and 1, without pos_weight",
    "就是目标为 -1 和 1 的 BCEWithLogitsLoss，但没有 pos_weight",
)
_TWO_VALUES = Text("wants a quantity; the target has two values", "需要数量；而目标只有两个取值")
_YES_OR_NO = Text("wants a quantity; the targets are yes or no", "需要数量；而目标是是非判断")

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
    "SmoothL1Loss": Text(
        "is HuberLoss in another scale: HuberLoss(delta) = delta x SmoothL1Loss(beta=delta)",
        "就是换了尺度的 HuberLoss：HuberLoss(delta) = delta × SmoothL1Loss(beta=delta)",
    ),
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
        Text("wants classes or labels; the target is a quantity", "需要类别或标签；而目标是数量"),
    ),
    "KLDivLoss": Text(
        "compares distributions; the target's rows don't sum to 1", "比较的是分布；而目标的各行之和不为 1"
    ),
}

_CLASSES = {
    **dict.fromkeys(
        ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "GaussianNLLLoss", "PoissonNLLLoss"),
        Text(
            "treats class numbers as quantities: class 0 would lie nearer to class 1 than to class 2",
            "把类别编号当作数量：类别 0 会显得离类别 1 比离类别 2 更近",
        ),
    ),
    "NLLLoss": Text(
        "is CrossEntropyLoss without its log_softmax, which one then forgets or applies in a less stable way",
        "就是去掉 log_softmax 的 CrossEntropyLoss，而人们容易忘记补上它，或用不够稳定的方式去做",
    ),
    "KLDivLoss": Text(
        "equals CrossEntropyLoss for one-hot targets and needs log_softmax and one-hot rows by hand",
        "对 one-hot 目标等于 CrossEntropyLoss，却需要自己做 log_softmax 和 one-hot 编码",
    ),
    "MultiLabelMarginLoss": _ONE_LABEL,
    "MultiLabelSoftMarginLoss": _ONE_LABEL,
}

_BY_KIND = {
    "numbers": {
        **_QUANTITY,
        "PoissonNLLLoss": Text(
            "wants counts, and a network that predicts the logarithm of a rate", "需要计数，以及预测发生率对数的网络"
        ),
    },
    "counts": {
        **_QUANTITY,
        "GaussianNLLLoss": Text(
            "allows negative counts, and must learn a variance that PoissonNLLLoss takes from the mean",
            "允许计数为负，而且必须另外学习方差，而 PoissonNLLLoss 直接由均值得到方差",
        ),
    },
    "binary": {
        **_CLASSES,
        **dict.fromkeys(("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"), _VANISHES),
        **dict.fromkeys(("GaussianNLLLoss", "PoissonNLLLoss"), _TWO_VALUES),
        "BCELoss": _SIGMOID,
        "SoftMarginLoss": _SOFT_MARGIN,
    },
    "classes": {
        **_CLASSES,
        "BCELoss": _ONE_CLASS,
        "BCEWithLogitsLoss": _ONE_CLASS,
        "SoftMarginLoss": Text("is for two classes, -1 and 1", "只用于两个类别：-1 和 1"),
    },
    "labels": {
        "CrossEntropyLoss": _EXCLUSIVE,
        "NLLLoss": _EXCLUSIVE,
        "MultiMarginLoss": _EXCLUSIVE,
        "KLDivLoss": Text(
            "lets labels compete for one whole; here a row may have several labels, or none",
            "让各标签瓜分一个整体；而这里一行可以有多个标签，也可以没有",
        ),
        "BCELoss": _SIGMOID,
        "SoftMarginLoss": _SOFT_MARGIN,
        "MultiLabelSoftMarginLoss": Text(
            "is BCEWithLogitsLoss averaged over the labels, without pos_weight",
            "就是对各标签取平均的 BCEWithLogitsLoss，但没有 pos_weight",
        ),
        "MultiLabelMarginLoss": Text(
            "ranks the labels of a row but sets no threshold, so it can't say how many apply",
            "只给一行的标签排序而不设阈值，因此说不出有几个标签成立",
        ),
        **dict.fromkeys(("L1Loss", "HuberLoss", "SmoothL1Loss"), _VANISHES),
        **dict.fromkeys(("GaussianNLLLoss", "PoissonNLLLoss"), _YES_OR_NO),
    },
    "distributions": {
        "CrossEntropyLoss": Text(
            "has KLDivLoss's gradient for such targets, but its value doesn't reach 0 at a perfect fit",
            "对这样的目标与 KLDivLoss 梯度相同，但完全拟合时其值不会降到 0",
        ),
        **dict.fromkeys(
            ("HuberLoss", "SmoothL1Loss"),
            Text(
                "has no outliers to guard against: shares lie between 0 and 1",
                "没有需要防备的离群点：占比都在 0 和 1 之间",
            ),
        ),
        **dict.fromkeys(
            ("GaussianNLLLoss", "PoissonNLLLoss"),
            Text(
                "doesn't know that shares lie between 0 and 1 and sum to 1",
                "不知道占比在 0 和 1 之间，且总和为 1",
            ),
        ),
        **dict.fromkeys(
            ("BCELoss", "BCEWithLogitsLoss"),
            Text(
                "treats each share on its own and doesn't know that they sum to 1",
                "单独处理每个占比，不知道它们总和为 1",
            ),
        ),
        **dict.fromkeys(
            ("NLLLoss", "MultiMarginLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "SoftMarginLoss"),
            Text("wants classes or labels; the target is whole distributions", "需要类别或标签；而目标是整个分布"),
        ),
    },
}
_ONE_EXAMPLE = Text(
    "judges each example by a target of its own; here a row says how its examples compare",
    "按每个样本自己的目标来评判；而这里每行说的是几个样本之间的关系",
)
_NO_TRIPLETS = Text(
    "needs triplets (anchor, positive, negative); here each row is a pair",
    "需要三元组（锚点、正例、负例）；而这里每行是一对样本",
)
_ALIKE = Text(
    "learns how alike two examples are; here the label says which is better",
    "学习两个样本有多相似；而这里的标签说的是谁更好",
)
_OWN_DISTANCE = Text(
    "is TripletMarginLoss with a distance of your own; take it where you need another one than the Euclidean",
    "就是可自定义距离的 TripletMarginLoss；需要欧氏距离以外的距离时再用它",
)
_OF_ONE_EXAMPLE = {
    **dict.fromkeys((loss for reasons in _BY_KIND.values() for loss in reasons), _ONE_EXAMPLE),
    "CTCLoss": _SEQUENCES,
    "CTCWithLogitsLoss": _SEQUENCES,
}
_OF_SEVERAL = {
    "pairs": {
        "MarginRankingLoss": Text(
            "learns which of two is better; here the label says whether they are alike",
            "学习两者谁更好；而这里的标签说的是两者是否相似",
        ),
        **dict.fromkeys(("TripletMarginLoss", "TripletMarginWithDistanceLoss"), _NO_TRIPLETS),
    },
    "ranking": {
        **dict.fromkeys(("CosineEmbeddingLoss", "HingeEmbeddingLoss"), _ALIKE),
        **dict.fromkeys(("TripletMarginLoss", "TripletMarginWithDistanceLoss"), _NO_TRIPLETS),
        "BCEWithLogitsLoss": Text(
            "on the difference of the scores is SoftMarginLoss with labels of 0 and 1",
            "用在分数之差上，就是标签为 0 和 1 的 SoftMarginLoss",
        ),
    },
    "triplets": {
        "HingeEmbeddingLoss": Text(
            "wants one distance for all unlike pairs; a triplet only says which of two is nearer",
            "要求所有不相似的样本对都达到同一个距离；而三元组只说明两者谁更近",
        ),
        "MarginRankingLoss": Text(
            "on the two distances is TripletMarginLoss, which computes them itself",
            "用在两个距离上，就是自己会计算距离的 TripletMarginLoss",
        ),
        "TripletMarginWithDistanceLoss": _OWN_DISTANCE,
    },
}
RULED_OUT = {kind: {**reasons, **_EVERYWHERE} for kind, reasons in _BY_KIND.items()} | {
    kind: {**_OF_ONE_EXAMPLE, **reasons} for kind, reasons in _OF_SEVERAL.items()
}
del RULED_OUT["ranking"]["SoftMarginLoss"]  # a candidate there, for the difference of two scores


def ruled_out(kind: str, candidates: Iterable[str]) -> dict[str, Text]:
    """Each loss that is no candidate, with its reason."""
    tried = set(candidates)
    return {loss: reason for loss, reason in RULED_OUT[kind].items() if loss not in tried}
