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

_SMOOTH_HUBER = Text(
    "is HuberLoss with a round corner, quadratic near 0 and linear far off; HuberLoss has a delta from the data",
    "相当于拐角被磨圆的 HuberLoss，在 0 附近是二次的，远处是线性的；而 HuberLoss 的 delta 由数据算出",
)
_NONE_IS_RARE = Text(
    "turns from the many easy rows to the hard ones, which can help where a class is rare; here none is",
    "把注意力从大量容易的样本转向难的样本，在有稀有类别时可能有用；而这里没有",
)
_DIVERGENCE = Text("compares distributions; the target is none", "比较的是分布；而目标不是分布")
_NO_CLASSES = Text(
    "brings the rows of one class together; the target has no classes", "把同一类别的样本聚到一起；而目标没有类别"
)
_NEIGHBOURS = Text(
    "learns vectors whose neighbours are of one class, no prediction; embedding=True (--embedding) asks for those",
    "学习的是近邻属于同一类别的向量，而不是预测；需要这种向量时请用 embedding=True（--embedding）",
)
_CLASSES_BY_ANGLE = Text(
    "learns vectors to be compared, with a margin between the angles of very many classes, such as faces",
    "学习用于比较的向量，在极多类别（例如人脸）的角度之间留出间隔",
)
_TWO_NETWORKS = Text(
    "compares what two networks make of one thing, such as a picture and its caption; here a row has one target",
    "比较两个网络对同一事物给出的向量，例如图片和它的说明；而这里每行有一个目标",
)
_REGIONS = Text(
    "measures how far two regions of an image overlap, as a whole; here each row is judged on its own",
    "从整体上衡量图像中两个区域的重叠；而这里每行单独评判",
)
_TEACHER = Text("wants the logits of a teacher beside the target", "除目标之外还需要教师网络的 logit")
_SAMPLES = Text(
    "compares samples as wholes, as by how far one has to be moved to become the other; here a row has one target",
    "把样本当作整体来比较，例如要移动多远才能变成另一个；而这里每行只有一个目标",
)
_CRITIC = Text(
    "trains a critic that tells generated examples from true ones; here a target is to be predicted",
    "训练用来分辨生成样本与真实样本的评判网络；而这里要预测一个目标",
)

_EVERYWHERE = {
    "MarginRankingLoss": _PAIRS,
    "HingeEmbeddingLoss": _PAIRS,
    "CosineEmbeddingLoss": _PAIRS,
    "ContrastiveLoss": _PAIRS,
    "TripletMarginLoss": _TRIPLETS,
    "TripletMarginWithDistanceLoss": _TRIPLETS,
    "SigLIPLoss": _TWO_NETWORKS,
    "DiceLoss": _REGIONS,
    "TverskyLoss": _REGIONS,
    "CTCLoss": _SEQUENCES,
    "CTCWithLogitsLoss": _SEQUENCES,
    "DistillationLoss": _TEACHER,
    "WassersteinCriticLoss": _CRITIC,
}
_LABELLED_BATCHES = ("MinedTripletMarginLoss", "InfoNCELoss", "SupConLoss")
_BY_ANGLE = ("ArcFaceLoss", "CosFaceLoss")
_WITHOUT_CLASSES = dict.fromkeys((*_LABELLED_BATCHES, *_BY_ANGLE), _NO_CLASSES)

_QUANTITY = {
    **_WITHOUT_CLASSES,
    **dict.fromkeys(("CharbonnierLoss", "LogCoshLoss"), _SMOOTH_HUBER),
    "QuantileLoss": Text(
        "learns the ends of an interval, which interval=0.9 (--interval 0.9) asks for; its median alone is L1Loss's",
        "学习的是区间的两端，需要时请用 interval=0.9（--interval 0.9）；单取中位数则与 L1Loss 相同",
    ),
    "WassersteinLoss": _SAMPLES,
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
            "FocalLoss",
            "SigmoidFocalLoss",
        ),
        Text("wants classes or labels; the target is a quantity", "需要类别或标签；而目标是数量"),
    ),
    **dict.fromkeys(
        ("KLDivLoss", "JSDivLoss"),
        Text("compares distributions; the target's rows don't sum to 1", "比较的是分布；而目标的各行之和不为 1"),
    ),
}

_OF_SIZE = ("L1Loss", "HuberLoss", "SmoothL1Loss", "CharbonnierLoss", "LogCoshLoss")
_OF_A_DISTRIBUTION = ("GaussianNLLLoss", "PoissonNLLLoss", "QuantileLoss")
_CLASSES = {
    **dict.fromkeys(_LABELLED_BATCHES, _NEIGHBOURS),
    **dict.fromkeys(_BY_ANGLE, _CLASSES_BY_ANGLE),
    "WassersteinLoss": _SAMPLES,
    "JSDivLoss": _DIVERGENCE,
    **dict.fromkeys(
        ("MSELoss", *_OF_SIZE, *_OF_A_DISTRIBUTION),
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
    "interval": {
        **{loss: reason for loss, reason in _QUANTITY.items() if loss != "QuantileLoss"},
        **dict.fromkeys(
            _OF_SIZE,
            Text(
                "tells where the middle is, but no ends: its interval would be as wide for every row, as MSELoss's is",
                "只给出中间位置而没有两端：其区间只能各行同宽，与 MSELoss 一样",
            ),
        ),
        "PoissonNLLLoss": Text(
            "takes the spread from the mean, and so the interval, which holds for true Poisson counts alone",
            "由均值得到离散程度，进而得到区间，这只对真正的 Poisson 计数成立",
        ),
    },
    "binary": {
        **_CLASSES,
        **dict.fromkeys(("MSELoss", *_OF_SIZE), _VANISHES),
        **dict.fromkeys(_OF_A_DISTRIBUTION, _TWO_VALUES),
        "FocalLoss": Text(
            "is SigmoidFocalLoss(alpha=None) with a logit more than two classes need",
            "就是 SigmoidFocalLoss(alpha=None)，只是对两个类别多用了一个 logit",
        ),
        "SigmoidFocalLoss": _NONE_IS_RARE,
        "BCELoss": _SIGMOID,
        "SoftMarginLoss": _SOFT_MARGIN,
    },
    "classes": {
        **_CLASSES,
        "FocalLoss": _NONE_IS_RARE,
        **dict.fromkeys(("BCELoss", "BCEWithLogitsLoss", "SigmoidFocalLoss"), _ONE_CLASS),
        "SoftMarginLoss": Text("is for two classes, -1 and 1", "只用于两个类别：-1 和 1"),
    },
    "embedding": {
        **{loss: reason for loss, reason in _CLASSES.items() if reason is not _NEIGHBOURS},
        **dict.fromkeys(
            (
                "NLLLoss",
                "BCELoss",
                "BCEWithLogitsLoss",
                "SoftMarginLoss",
                "MultiMarginLoss",
                "MultiLabelMarginLoss",
                "MultiLabelSoftMarginLoss",
                "FocalLoss",
                "SigmoidFocalLoss",
                "KLDivLoss",
            ),
            Text(
                "learns the classes there are, and vectors by the way alone; CrossEntropyLoss is tried for all of them",
                "学习的是现有的类别，向量只是副产品；CrossEntropyLoss 已代表它们参加比较",
            ),
        ),
        **dict.fromkeys(
            _BY_ANGLE,
            Text(
                "is CrossEntropyLoss with a margin between the angles of classes; it pays with thousands of them, such "
                "as faces, once scale and margin are tuned",
                "是在类别的角度之间加了间隔的 CrossEntropyLoss；类别成千上万（如人脸）且调好 scale 与 margin 时才值得",
            ),
        ),
    },
    "labels": {
        **dict.fromkeys(("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss", "FocalLoss"), _EXCLUSIVE),
        **dict.fromkeys(
            (*_LABELLED_BATCHES, *_BY_ANGLE),
            Text(
                "brings the rows of one class together; here a row may have several labels, or none",
                "把同一类别的样本聚到一起；而这里一行可以有多个标签，也可以没有",
            ),
        ),
        **dict.fromkeys(
            ("KLDivLoss", "JSDivLoss"),
            Text(
                "lets labels compete for one whole; here a row may have several labels, or none",
                "让各标签瓜分一个整体；而这里一行可以有多个标签，也可以没有",
            ),
        ),
        "WassersteinLoss": _SAMPLES,
        "SigmoidFocalLoss": _NONE_IS_RARE,
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
        **dict.fromkeys(_OF_SIZE, _VANISHES),
        **dict.fromkeys(_OF_A_DISTRIBUTION, _YES_OR_NO),
    },
    "distributions": {
        **_WITHOUT_CLASSES,
        "JSDivLoss": Text(
            "is bounded: a share that the network misses altogether hardly pulls; it is there for comparing",
            "有上界：网络完全漏掉的占比几乎不产生拉力；它更适合用来比较",
        ),
        "WassersteinLoss": Text(
            "wants places in an order, as bins of a histogram; the names of these columns don't end in rising numbers",
            "需要有顺序的位置，例如直方图的各个分箱；而这些列的名称末尾不是递增的数",
        ),
        "CrossEntropyLoss": Text(
            "has KLDivLoss's gradient for such targets, but its value doesn't reach 0 at a perfect fit",
            "对这样的目标与 KLDivLoss 梯度相同，但完全拟合时其值不会降到 0",
        ),
        **dict.fromkeys(
            [name for name in _OF_SIZE if name != "L1Loss"],
            Text(
                "has no outliers to guard against: shares lie between 0 and 1",
                "没有需要防备的离群点：占比都在 0 和 1 之间",
            ),
        ),
        **dict.fromkeys(
            _OF_A_DISTRIBUTION,
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
            (
                "NLLLoss",
                "MultiMarginLoss",
                "MultiLabelMarginLoss",
                "MultiLabelSoftMarginLoss",
                "SoftMarginLoss",
                "FocalLoss",
                "SigmoidFocalLoss",
            ),
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
_NO_CLASSES_OF_EXAMPLES = Text(
    "wants the class of each example; here a row only says how its examples compare",
    "需要每个样本的类别；而这里每行只说明几个样本之间的关系",
)
_BATCH_IS_UNLIKE = Text(
    "takes every other example of the batch as unlike; here the rows say which are",
    "把批内其他样本都当作不相似；而这里由各行说明哪些不相似",
)
_OF_ONE_EXAMPLE = {
    **dict.fromkeys((loss for reasons in _BY_KIND.values() for loss in reasons), _ONE_EXAMPLE),
    **dict.fromkeys(("MinedTripletMarginLoss", "SupConLoss", *_BY_ANGLE), _NO_CLASSES_OF_EXAMPLES),
    **dict.fromkeys(("InfoNCELoss", "SigLIPLoss"), _BATCH_IS_UNLIKE),
    **{
        loss: _EVERYWHERE[loss]
        for loss in ("CTCLoss", "CTCWithLogitsLoss", "DiceLoss", "TverskyLoss", "DistillationLoss")
    },
    "WassersteinCriticLoss": Text(
        "trains a critic that tells generated examples from true ones; here examples are compared",
        "训练用来分辨生成样本与真实样本的评判网络；而这里是在比较样本",
    ),
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
        **dict.fromkeys(
            ("CosineEmbeddingLoss", "HingeEmbeddingLoss", "ContrastiveLoss", "InfoNCELoss", "SigLIPLoss"), _ALIKE
        ),
        **dict.fromkeys(("TripletMarginLoss", "TripletMarginWithDistanceLoss"), _NO_TRIPLETS),
        "BCEWithLogitsLoss": Text(
            "on the difference of the scores is SoftMarginLoss with labels of 0 and 1",
            "用在分数之差上，就是标签为 0 和 1 的 SoftMarginLoss",
        ),
    },
    "triplets": {
        **dict.fromkeys(
            ("HingeEmbeddingLoss", "ContrastiveLoss"),
            Text(
                "wants one distance for all unlike pairs; a triplet only says which of two is nearer",
                "要求所有不相似的样本对都达到同一个距离；而三元组只说明两者谁更近",
            ),
        ),
        "MarginRankingLoss": Text(
            "on the two distances is TripletMarginLoss, which computes them itself",
            "用在两个距离上，就是自己会计算距离的 TripletMarginLoss",
        ),
        "TripletMarginWithDistanceLoss": _OWN_DISTANCE,
    },
}
_NOT_DRAWN = Text(
    "wants pairs or triplets, which one would draw from the labels; MinedTripletMarginLoss finds those that teach",
    "需要成对样本或三元组，得自己从标签中抽取；MinedTripletMarginLoss 会找出其中有用的",
)
_BY_KIND["embedding"] |= dict.fromkeys(
    (loss for loss, reason in _EVERYWHERE.items() if reason in (_PAIRS, _TRIPLETS)), _NOT_DRAWN
)
RULED_OUT = {
    kind: reasons | {loss: why for loss, why in _EVERYWHERE.items() if loss not in reasons}
    for kind, reasons in _BY_KIND.items()
} | {kind: {**_OF_ONE_EXAMPLE, **reasons} for kind, reasons in _OF_SEVERAL.items()}
del RULED_OUT["ranking"]["SoftMarginLoss"]  # a candidate there, for the difference of two scores


def ruled_out(kind: str, candidates: Iterable[str]) -> dict[str, Text]:
    """Each loss that is no candidate, with its reason."""
    tried = set(candidates)
    return {loss: reason for loss, reason in RULED_OUT[kind].items() if loss not in tried}
