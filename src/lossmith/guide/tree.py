"""The decision tree, as data: questions about the data, and at each end a loss with its rivals."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..card import Text


@dataclass(frozen=True)
class Leaf:
    """Where the tree ends: what is to be learned, under which loss, and what the experiment compares it with."""

    task: Text
    recipe: str  # keys of recipes.RECIPES
    why: Text
    rivals: tuple[str, ...]
    decided_by: str  # the metric that the experiment decides by, a key of metrics.METRICS


@dataclass(frozen=True)
class Question:
    """A question that a fact about the data answers."""

    asks: Text
    fact: str
    yes: "Question | Leaf"
    no: "Question | Leaf"


@dataclass(frozen=True)
class Step:
    """One question with the answer that the data gave."""

    asks: Text
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
_TWO_VALUES = ("binary_pos_weight", "binary", "cross_entropy", "multi_margin")
_CLASSES = ("cross_entropy", "cross_entropy_weight", "cross_entropy_smoothed", "multi_margin")
_LABELS = ("labels", "labels_pos_weight", "mse_of_labels")
_SHARES = ("kl", "mse_of_shares", "l1_of_shares")

_OFTEN_NO_GAIN = Text(
    "often the plain loss does as well, and its probabilities are truer",
    "但普通的损失往往同样好，而且概率更可信",
)

INTERVAL = Leaf(
    Text("regression with an interval", "带区间的回归"),
    "quantiles",
    Text(
        "QuantileLoss learns both ends of each row's interval, and the median, whatever shape the noise has; its "
        "rivals are GaussianNLLLoss, whose interval is normal, and MSELoss with one as wide for every row, from its "
        "residuals on rows kept back",
        "无论噪声是什么形状，QuantileLoss 都直接学习每一行区间的两端和中位数；与之比较的是 GaussianNLLLoss（区间按正态"
        "分布计算）和 MSELoss（区间各行同宽，取自未参与训练的行上的残差）",
    ),
    ("quantiles", "gaussian_interval", "mse_interval"),
    "interval_score",
)

COUNTS = Leaf(
    Text("counts", "计数"),
    "poisson",
    Text(
        "counts are never negative and vary more where they are larger, which is what PoissonNLLLoss expects; the "
        "network learns the logarithm of the rate",
        "计数不会为负，数值越大波动也越大，这正是 PoissonNLLLoss 的假设；网络学习的是发生率的对数",
    ),
    ("poisson", "mse", "huber", "l1"),
    "rmse",
)
GROSS_OUTLIERS = Leaf(
    Text("regression with gross outliers", "带大量离群点的回归"),
    "l1",
    Text(
        "with this many outliers no threshold tells them from the rest: under L1Loss every row pulls with the same "
        "force, however far off it is",
        "离群点多到没有阈值能把它们和其余数据分开：在 L1Loss 下，每一行不论偏离多远，拉力都一样大",
    ),
    _REGRESSION,
    "median_error",
)
OUTLIERS = Leaf(
    Text("regression with outliers", "带离群点的回归"),
    "huber",
    Text(
        "HuberLoss treats rows near the fit as MSELoss does, and an outlier pulls no harder than a row delta away",
        "HuberLoss 对拟合值附近的行与 MSELoss 相同，而离群点的拉力不会超过偏离 delta 的行",
    ),
    _REGRESSION,
    "median_error",
)
GROWING_NOISE = Leaf(
    Text("regression with growing noise", "噪声递增的回归"),
    "gaussian",
    Text(
        "GaussianNLLLoss learns the noise of each row beside its mean: noisy rows pull less, and each prediction comes "
        "with its uncertainty",
        "GaussianNLLLoss 在学习均值的同时学习每一行的噪声：噪声大的行拉力更小，并且每个预测都带有不确定度",
    ),
    _REGRESSION,
    "mae",
)
REGRESSION = Leaf(
    Text("regression", "回归"),
    "mse",
    Text(
        "with even noise and no outliers the mean is what to predict, and MSELoss needs the least data to find it",
        "噪声均匀且没有离群点时，应当预测均值，而 MSELoss 找到均值所需的数据最少",
    ),
    _REGRESSION,
    "rmse",
)
DISTRIBUTIONS = Leaf(
    Text("distributions", "分布"),
    "kl",
    Text(
        "KLDivLoss compares whole distributions; reduction='batchmean' makes its value the divergence of a row",
        "KLDivLoss 比较整个分布；reduction='batchmean' 使其值等于平均每行的散度",
    ),
    _SHARES,
    "total_variation",
)
BINS = Leaf(
    Text("distributions over bins in an order", "有序分箱上的分布"),
    "kl",
    Text(
        "KLDivLoss compares whole distributions; WassersteinLoss, which is tried beside it, also knows that a near bin "
        "is less wrong than a far one: take it if that counts, as 'mass moved' then shows",
        "KLDivLoss 比较整个分布；一同参与比较的 WassersteinLoss 还知道相邻的分箱比远处的错得少：若您看重这一点，"
        "请选它，并看“搬运距离”一项",
    ),
    (*_SHARES, "wasserstein"),
    "total_variation",
)
SKEWED_LABELS = Leaf(
    Text("multi-label classification, skewed", "多标签分类（不均衡）"),
    "labels_pos_weight",
    Text(
        "each label is a yes or no of its own, so BCEWithLogitsLoss on each; pos_weight lets the few ones of a rare "
        "label weigh as much as its zeros",
        "每个标签都是独立的是非判断，因此对每个标签使用 BCEWithLogitsLoss；"
        "pos_weight 让稀有标签的少数正例与其负例权重相同",
    ),
    (*_LABELS, "labels_focal"),
    "macro_f1",
)
RARE_LABEL = Leaf(
    Text("multi-label classification, a label rare", "多标签分类（有稀有标签）"),
    "labels_focal",
    Text(
        f"with a label this rare, pos_weight would be so large that false alarms abound; SigmoidFocalLoss on each "
        f"turns from the many easy rows to the hard ones, with a small alpha; {_OFTEN_NO_GAIN.en}",
        f"某个标签如此稀有时，pos_weight 会大到误报成灾；对每个标签使用 SigmoidFocalLoss，把注意力从大量容易的样本"
        f"转向难的样本，只需温和的 alpha；{_OFTEN_NO_GAIN.zh}",
    ),
    (*_LABELS, "labels_focal"),
    "macro_f1",
)
LABELS = Leaf(
    Text("multi-label classification", "多标签分类"),
    "labels",
    Text(
        "each label is a yes or no of its own, so BCEWithLogitsLoss on each",
        "每个标签都是独立的是非判断，因此对每个标签使用 BCEWithLogitsLoss",
    ),
    _LABELS,
    "macro_f1",
)
TWO_VALUES = Leaf(
    Text("binary classification", "二分类"),
    "binary_pos_weight",
    Text(
        "one logit is enough for two classes, and BCEWithLogitsLoss takes it without a sigmoid, which is stable; "
        "pos_weight lets both classes weigh the same",
        "两个类别只需一个 logit，BCEWithLogitsLoss 直接接收它而不需要 sigmoid，数值稳定；pos_weight 让两个类别权重相同",
    ),
    _TWO_VALUES,
    "macro_f1",
)
RARE_VALUE = Leaf(
    Text("binary classification, one value rare", "二分类（其中一类稀有）"),
    "sigmoid_focal",
    Text(
        f"with a value this rare, pos_weight would be so large that false alarms abound; SigmoidFocalLoss turns from "
        f"the many easy rows to the hard ones, with a small alpha; {_OFTEN_NO_GAIN.en}",
        f"某一类如此稀有时，pos_weight 会大到误报成灾；SigmoidFocalLoss 把注意力从大量容易的样本转向难的样本，"
        f"只需温和的 alpha；{_OFTEN_NO_GAIN.zh}",
    ),
    (*_TWO_VALUES, "sigmoid_focal"),
    "macro_f1",
)
SKEWED_CLASSES = Leaf(
    Text("multi-class classification, skewed", "多分类（不均衡）"),
    "cross_entropy_weight",
    Text(
        "one logit a class and CrossEntropyLoss, which takes them without a softmax; weight lets a rare class count as "
        "much as a frequent one",
        "每个类别一个 logit，CrossEntropyLoss 直接接收它们而不需要 softmax；weight 让稀有类别与常见类别同等重要",
    ),
    (*_CLASSES, "focal"),
    "macro_f1",
)
RARE_CLASS = Leaf(
    Text("multi-class classification, a class rare", "多分类（有稀有类别）"),
    "focal",
    Text(
        f"with a class this rare, weights would be so large that false alarms abound; FocalLoss turns from the many "
        f"easy rows to the hard ones without them; {_OFTEN_NO_GAIN.en}",
        f"某个类别如此稀有时，类别权重会大到误报成灾；FocalLoss 不用权重，就能把注意力从大量容易的样本转向难的样本；"
        f"{_OFTEN_NO_GAIN.zh}",
    ),
    (*_CLASSES, "focal", "focal_weight"),
    "macro_f1",
)
CLASSES = Leaf(
    Text("multi-class classification", "多分类"),
    "cross_entropy",
    Text(
        "one logit a class and CrossEntropyLoss, which takes them without a softmax; its gradient is probability less "
        "truth",
        "每个类别一个 logit，CrossEntropyLoss 直接接收它们而不需要 softmax；其梯度等于预测概率减去真实值",
    ),
    _CLASSES,
    "accuracy",
)

EMBEDDING = Leaf(
    Text("embedding of labelled rows", "带标签样本的嵌入"),
    "mined_triplets",
    Text(
        "MinedTripletMarginLoss asks that each row is nearer to the rows of its class than to others by a margin, and "
        "finds in every batch those for which it is not so yet: no class has an output of its own, and new ones may "
        "come",
        "MinedTripletMarginLoss 要求每一行到同类样本比到其他样本近一个间隔，并在每个批次中找出尚未满足的三元组：各类别"
        "没有自己的输出，因此以后可以出现新的类别",
    ),
    ("mined_triplets", "info_nce", "supcon", "classified_vectors"),
    "recall_at_1",
)

RANKING = Leaf(
    Text("ranking of pairs", "成对排序"),
    "ranking",
    Text(
        "each example gets one score, and MarginRankingLoss asks that the better of two is a margin ahead; with its "
        "default margin of 0 it would be content with equal scores",
        "每个样本得到一个分数，MarginRankingLoss 要求两者中更好的领先一个间隔；若用默认间隔 0，分数相等它就满足了",
    ),
    ("ranking", "ranking_softly", "ranking_without_margin"),
    "ordered",
)
PAIRS_BY_ANGLE = Leaf(
    Text("embedding of pairs", "成对样本的嵌入"),
    "cosine_pairs",
    Text(
        "CosineEmbeddingLoss turns alike pairs to the same direction and unlike ones apart until their cosine is "
        "below the margin; lengths don't count",
        "CosineEmbeddingLoss 让相似的一对朝向同一方向，把不相似的一对推开，直到余弦低于间隔；向量长度不起作用",
    ),
    ("cosine_pairs", "hinge_pairs", "contrastive_pairs"),
    "roc_auc",
)
PAIRS_BY_DISTANCE = Leaf(
    Text("embedding of pairs, by distance", "成对样本的嵌入（按距离）"),
    "contrastive_pairs",
    Text(
        "ContrastiveLoss draws alike pairs together by the square of their distance, so that near ones are left in "
        "peace, and pushes unlike ones apart until they are a margin away",
        "ContrastiveLoss 按距离的平方拉近相似的一对，已经很近的几乎不再拉；并把不相似的推开，直到相距一个间隔",
    ),
    ("contrastive_pairs", "hinge_pairs", "cosine_pairs"),
    "roc_auc",
)
TRIPLETS = Leaf(
    Text("embedding of triplets", "三元组的嵌入"),
    "triplet",
    Text(
        "TripletMarginLoss asks that the anchor is nearer to the positive than to the negative by a margin; once it "
        "is, the triplet no longer pulls",
        "TripletMarginLoss 要求锚点到正例比到负例近一个间隔；满足之后，该三元组不再产生拉力",
    ),
    ("triplet", "triplet_swapped", "cosine_triplets"),
    "ordered",
)

_EXAMPLES = Question(
    Text("triplets?", "是三元组吗？"),
    "triplets",
    yes=TRIPLETS,
    no=Question(
        Text("which of two is better?", "是比较两者谁更好吗？"),
        "ranking",
        yes=RANKING,
        no=Question(
            Text("does distance tell more than angle?", "距离比角度更能区分吗？"),
            "distance",
            yes=PAIRS_BY_DISTANCE,
            no=PAIRS_BY_ANGLE,
        ),
    ),
)


def _rare(yes: Leaf, no: Leaf) -> Question:
    return Question(Text("one below 5 % of the rows?", "有少于 5% 的吗？"), "rare", yes, no)


_TARGETS = Question(
    Text("a quantity?", "是数量吗？"),
    "quantities",
    yes=Question(
        Text("an interval around the prediction?", "要预测值的区间吗？"),
        "interval",
        yes=INTERVAL,
        no=Question(
            Text("counts?", "是计数吗？"),
            "counts",
            yes=COUNTS,
            no=Question(
                Text("outliers?", "有离群点吗？"),
                "outliers",
                yes=Question(Text("10 % or more?", "达到 10% 吗？"), "gross outliers", yes=GROSS_OUTLIERS, no=OUTLIERS),
                no=Question(Text("growing noise?", "噪声递增吗？"), "growing noise", yes=GROWING_NOISE, no=REGRESSION),
            ),
        ),
    ),
    no=Question(
        Text("distributions to match (generation, distillation)?", "要匹配分布吗（生成、蒸馏）？"),
        "distributions",
        yes=Question(Text("bins in an order?", "是有顺序的分箱吗？"), "in order", yes=BINS, no=DISTRIBUTIONS),
        no=Question(
            Text("several labels at once?", "可以同时有多个标签吗？"),
            "several labels",
            yes=Question(
                Text("skewed?", "不均衡吗？"), "skewed", yes=_rare(yes=RARE_LABEL, no=SKEWED_LABELS), no=LABELS
            ),
            no=Question(
                Text("vectors to compare, for neighbours or new classes?", "要用于比较的向量吗（找近邻、新类别）？"),
                "embedding",
                yes=EMBEDDING,
                no=Question(
                    Text("two values?", "只有两个取值吗？"),
                    "two values",
                    yes=_rare(yes=RARE_VALUE, no=TWO_VALUES),
                    no=Question(
                        Text("skewed?", "不均衡吗？"),
                        "skewed",
                        yes=_rare(yes=RARE_CLASS, no=SKEWED_CLASSES),
                        no=CLASSES,
                    ),
                ),
            ),
        ),
    ),
)
TREE = Question(
    Text("pairs or triplets of examples?", "是成对或三元组的样本吗？"), "several examples", yes=_EXAMPLES, no=_TARGETS
)
