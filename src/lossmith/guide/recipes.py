"""Recipes: a loss with the last layer, target and prediction that it needs, as the one text that is printed and run."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import suggest
from ..card import Text
from .inputs import Inputs
from .noise import first_fit
from .pairs import KINDS, margin
from .target import Target

RESIDUALS = 2_000  # rows whose residuals give delta; a scale is known to 2 % from as many


@dataclass(frozen=True)
class Head:
    """How a last layer, a target and a prediction fit a loss. `{outputs}` stands for the numbers to predict."""

    final_layer: Text
    target: Text
    layer: str
    to_target: str
    to_prediction: str
    to_loss: str = "return criterion(output, target)"
    to_std: str = ""  # the standard deviation around the prediction, where it is learned
    to_interval: str = ""  # lower and upper end around the prediction, where an interval is asked for
    setup: tuple[str, ...] = ()  # names from LINES
    examples: int = 1  # examples in a row: 2 of a pair; the output is then of shape (N, 2, ...)


LINES = {
    "units": "center = {center}  # the training targets' {center_is}\nscale = {scale}  # their {scale_is}",
    "bias": "last_layer.bias.data = torch.tensor({log_mean})  # start at the mean count",
    "positive": "positive = {positive}",
    "classes": "classes = {classes}",
    "offsets": "offsets = -{z} * scale, {z} * scale  # better: quantiles of target - prediction, on rows kept back",
    "classifier": "classifier = nn.Linear(32, {outputs})  # trained along with the network, and then left out",
}

NUMBERS = "torch.as_tensor(values, dtype=torch.float32).reshape(-1, {outputs})"
EXACT_NUMBERS = NUMBERS.replace("float32", "float64")

STANDARDISED = Head(
    final_layer=Text("Linear(hidden, {outputs}), no activation", "Linear(hidden, {outputs})，不加激活函数"),
    target=Text(
        "float32 of shape (N, {outputs}), standardised with {center_is} and {scale_is} of the training targets",
        "float32，形状 (N, {outputs})，用训练目标的{center_is}和{scale_is}标准化",
    ),
    layer="nn.Linear(hidden, {outputs})",
    # In double precision: in single, a target far from 0 would lose its digits.
    to_target=f"(({EXACT_NUMBERS} - center) / scale).float()",
    to_prediction="output.cpu().double() * scale + center",
    setup=("units",),
)
MEAN_AND_VARIANCE = Head(
    final_layer=Text(
        "Linear(hidden, {twice}): the mean as it is, the variance behind softplus",
        "Linear(hidden, {twice})：均值直接输出，方差经过 softplus",
    ),
    target=STANDARDISED.target,
    layer="nn.Linear(hidden, {twice})  # mean and raw variance",
    to_target=STANDARDISED.to_target,
    to_prediction="output.chunk(2, dim=1)[0].cpu().double() * scale + center",
    to_loss="mean, raw = output.chunk(2, dim=1)\nreturn criterion(mean, target, nn.functional.softplus(raw) + 1e-4)",
    to_std="(nn.functional.softplus(output.chunk(2, dim=1)[1]) + 1e-4).sqrt().cpu().double() * scale",
    setup=("units",),
)
QUANTILES = Head(
    final_layer=Text(
        "Linear(hidden, {thrice}), no activation: lower end, median and upper end",
        "Linear(hidden, {thrice})，不加激活函数：区间下端、中位数、区间上端",
    ),
    target=STANDARDISED.target,
    layer="nn.Linear(hidden, {thrice})  # lower end, median, upper end",
    to_target=STANDARDISED.to_target,
    to_prediction="output.unflatten(1, (-1, 3)).sort(dim=2).values[..., 1].cpu().double() * scale + center",
    to_loss="return criterion(output.unflatten(1, (-1, 3)), target)",
    to_interval=(
        "ends = output.unflatten(1, (-1, 3)).sort(dim=2).values.cpu().double()  # sorted, so that none cross\n"
        "return ends[..., 0] * scale + center, ends[..., 2] * scale + center"
    ),
    setup=("units",),
)
NORMAL_INTERVAL = replace(
    MEAN_AND_VARIANCE,
    to_interval="reach = {z} * to_std(output)\nreturn to_prediction(output) - reach, to_prediction(output) + reach",
)
EVEN_INTERVAL = replace(
    STANDARDISED,
    to_interval="return to_prediction(output) + offsets[0], to_prediction(output) + offsets[1]",
    setup=("units", "offsets"),
)
LOG_RATE = Head(
    final_layer=Text("Linear(hidden, {outputs}): the logarithm of the rate", "Linear(hidden, {outputs})：发生率的对数"),
    target=Text("float32 counts of shape (N, {outputs}), as they are", "float32 计数，形状 (N, {outputs})，保持原样"),
    layer="nn.Linear(hidden, {outputs})  # the logarithm of the rate",
    to_target=NUMBERS,
    to_prediction="output.exp()",
    setup=("bias",),
)
ONE_LOGIT = Head(
    final_layer=Text("Linear(hidden, 1): one logit, no sigmoid", "Linear(hidden, 1)：一个 logit，不加 sigmoid"),
    target=Text(
        "float32 of shape (N, 1), 1 for {positive} and 0 for {negative}",
        "float32，形状 (N, 1)，{positive} 为 1，{negative} 为 0",
    ),
    layer="nn.Linear(hidden, 1)  # one logit, no sigmoid",
    to_target="torch.tensor([[float(value == positive)] for value in values])",
    to_prediction="output.sigmoid()",
    setup=("positive",),
)
LOGITS = Head(
    final_layer=Text(
        "Linear(hidden, {outputs}): one logit a class, no softmax",
        "Linear(hidden, {outputs})：每个类别一个 logit，不加 softmax",
    ),
    target=Text("int64 class numbers of shape (N,), from 0 to {last}", "int64 类别编号，形状 (N,)，从 0 到 {last}"),
    layer="nn.Linear(hidden, {outputs})  # one logit a class, no softmax",
    to_target="{class_numbers}",
    to_prediction="output.softmax(dim=1)",
    setup=("classes",),
)
LABEL_LOGITS = Head(
    final_layer=Text(
        "Linear(hidden, {outputs}): one logit a label, no sigmoid",
        "Linear(hidden, {outputs})：每个标签一个 logit，不加 sigmoid",
    ),
    target=Text("float32 of 0 and 1, of shape (N, {outputs})", "由 0 和 1 组成的 float32，形状 (N, {outputs})"),
    layer="nn.Linear(hidden, {outputs})  # one logit a label, no sigmoid",
    to_target=NUMBERS,
    to_prediction="output.sigmoid()",
)
LABEL_PROBABILITIES = Head(
    final_layer=Text("Linear(hidden, {outputs}) and sigmoid", "Linear(hidden, {outputs}) 加 sigmoid"),
    target=LABEL_LOGITS.target,
    layer="nn.Linear(hidden, {outputs})",
    to_target=NUMBERS,
    to_prediction="output.sigmoid()",
    to_loss="return criterion(output.sigmoid(), target)",
)
LOG_SHARES = Head(
    final_layer=Text(
        "Linear(hidden, {outputs}) and log_softmax over dim 1", "Linear(hidden, {outputs}) 加 dim 1 上的 log_softmax"
    ),
    target=Text(
        "float32 of shape (N, {outputs}); each row is divided by its sum, so that it sums to 1",
        "float32，形状 (N, {outputs})；每行除以其总和，使总和为 1",
    ),
    layer="nn.Linear(hidden, {outputs})",
    to_target="nn.functional.normalize(" + NUMBERS + ", p=1, dim=1)",
    to_prediction="output.softmax(dim=1)",
    to_loss="return criterion(output.log_softmax(dim=1), target)",
)
SHARES = Head(
    final_layer=Text(
        "Linear(hidden, {outputs}) and softmax over dim 1", "Linear(hidden, {outputs}) 加 dim 1 上的 softmax"
    ),
    target=LOG_SHARES.target,
    layer=LOG_SHARES.layer,
    to_target=LOG_SHARES.to_target,
    to_prediction=LOG_SHARES.to_prediction,
    to_loss="return criterion(output.softmax(dim=1), target)",
)
PLACED_SHARES = replace(
    SHARES,
    to_loss=(
        "places = torch.arange({outputs}, dtype=output.dtype, device=output.device)  # of the columns, in their order\n"
        "return criterion(places, places, output.softmax(dim=1), target)"
    ),
)

LABELLED_VECTORS = Head(
    final_layer=Text(
        "Linear(hidden, 32): a vector, whose direction is compared", "Linear(hidden, 32)：一个向量，比较的是它的方向"
    ),
    target=Text(
        "int64 class numbers of shape (N,), of which only equality matters; give each batch several rows of a class",
        "int64 类别编号，形状 (N,)，只看是否相同；每个批次中同一类别要有多行",
    ),
    layer="nn.Linear(hidden, 32)  # a vector for each row",
    to_target="{class_numbers}",
    to_prediction="nn.functional.normalize(output, dim=1)",
    setup=("classes",),
)
VECTORS_WITH_LABELS = replace(LABELLED_VECTORS, to_loss="return criterion(output, labels=target)")
CLASSIFIED_VECTORS = replace(
    LABELLED_VECTORS,
    to_loss="return criterion(classifier(output), target)",
    setup=("classes", "classifier"),
)

_PAIR_TARGET = Text(
    "float32 of shape (N,), 1 for {positive} and -1 for {negative}",
    "float32，形状 (N,)，{positive} 为 1，{negative} 为 -1",
)
_EMBEDDING = Text(
    "Linear(hidden, 32): an embedding, by the same network for all examples of a row",
    "Linear(hidden, 32)：嵌入向量，一行中的所有样本都用同一个网络",
)
COSINES_OF_PAIRS = Head(
    final_layer=_EMBEDDING,
    target=_PAIR_TARGET,
    layer="nn.Linear(hidden, 32)  # an embedding of each example",
    to_target="torch.tensor([1.0 if value == positive else -1.0 for value in values])",
    to_prediction="nn.functional.cosine_similarity(*output.unbind(dim=1)).unsqueeze(1)",
    to_loss="first, second = output.unbind(dim=1)\nreturn criterion(first, second, target)",
    setup=("positive",),
    examples=2,
)
DISTANCES_OF_PAIRS = replace(
    COSINES_OF_PAIRS,
    to_prediction="-nn.functional.pairwise_distance(*output.unbind(dim=1)).unsqueeze(1)",
    to_loss="return criterion(nn.functional.pairwise_distance(*output.unbind(dim=1)), target)",
)
VECTORS_OF_PAIRS = replace(DISTANCES_OF_PAIRS, to_loss=COSINES_OF_PAIRS.to_loss)
SCORES_OF_PAIRS = replace(
    COSINES_OF_PAIRS,
    final_layer=Text(
        "Linear(hidden, 1): a score, by the same network for both examples of a row",
        "Linear(hidden, 1)：一个分数，一行中的两个样本都用同一个网络",
    ),
    layer="nn.Linear(hidden, 1)  # a score of each example",
    to_prediction="output[:, 0] - output[:, 1]",
    to_loss="first, second = output.squeeze(2).unbind(dim=1)\nreturn criterion(first, second, target)",
)
DIFFERENCES_OF_PAIRS = replace(
    SCORES_OF_PAIRS,
    to_loss="first, second = output.squeeze(2).unbind(dim=1)\nreturn criterion(first - second, target)",
)
DISTANCES_OF_TRIPLETS = Head(
    final_layer=_EMBEDDING,
    target=Text(
        "none: the order anchor, positive, negative says all",
        "没有目标：锚点、正例、负例的顺序已说明一切",
    ),
    layer=COSINES_OF_PAIRS.layer,
    to_target="torch.ones(len(values))  # a triplet has no other target than its order",
    to_prediction=(
        "torch.stack([-nn.functional.pairwise_distance(output[:, 0], output[:, i]) for i in (1, 2)], dim=1)"
    ),
    to_loss="anchor, positive, negative = output.unbind(dim=1)\nreturn criterion(anchor, positive, negative)",
    examples=3,
)
COSINES_OF_TRIPLETS = replace(
    DISTANCES_OF_TRIPLETS,
    to_prediction="torch.stack([nn.functional.cosine_similarity(output[:, 0], output[:, i]) for i in (1, 2)], dim=1)",
    to_loss=(
        "anchor, positive, negative = output.unbind(dim=1)\n"
        "return (criterion(anchor, positive, target) + criterion(anchor, negative, -target)) / 2"
    ),
)


@dataclass(frozen=True)
class Recipe:
    """A loss of lossmith with its head and arguments; those in `computed` come from training data."""

    loss: str
    head: Head
    computed: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    gives_probabilities: bool = True

    @property
    def label(self) -> str:
        """The loss with the names of its arguments, but for what a mean of nothing is: short enough for a table."""
        names = ", ".join(name for name in (*self.fixed, *self.computed) if name != "on_empty")
        return f"{self.loss}({names})" if names else self.loss

    def arguments(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.fixed, **{name: numbers[name] for name in self.computed}}


RECIPES = {
    "mse": Recipe("MSELoss", STANDARDISED),
    "l1": Recipe("L1Loss", STANDARDISED),
    "huber": Recipe("HuberLoss", STANDARDISED, ("delta",)),
    "gaussian": Recipe("GaussianNLLLoss", MEAN_AND_VARIANCE),
    "quantiles": Recipe("QuantileLoss", QUANTILES, ("quantiles",)),
    "gaussian_interval": Recipe("GaussianNLLLoss", NORMAL_INTERVAL),
    "mse_interval": Recipe("MSELoss", EVEN_INTERVAL),
    "poisson": Recipe("PoissonNLLLoss", LOG_RATE, fixed={"log_input": True}),
    "binary": Recipe("BCEWithLogitsLoss", ONE_LOGIT),
    "binary_pos_weight": Recipe("BCEWithLogitsLoss", ONE_LOGIT, ("pos_weight",)),
    "sigmoid_focal": Recipe("SigmoidFocalLoss", ONE_LOGIT, ("alpha",), {"gamma": 2.0}),
    "cross_entropy": Recipe("CrossEntropyLoss", LOGITS),
    "cross_entropy_weight": Recipe("CrossEntropyLoss", LOGITS, ("weight",)),
    "cross_entropy_smoothed": Recipe("CrossEntropyLoss", LOGITS, fixed={"label_smoothing": 0.1}),
    "focal": Recipe("FocalLoss", LOGITS, fixed={"gamma": 2.0}),
    "focal_weight": Recipe("FocalLoss", LOGITS, ("weight",), fixed={"gamma": 2.0}),
    "multi_margin": Recipe("MultiMarginLoss", LOGITS, gives_probabilities=False),
    "labels": Recipe("BCEWithLogitsLoss", LABEL_LOGITS),
    "labels_pos_weight": Recipe("BCEWithLogitsLoss", LABEL_LOGITS, ("pos_weight",)),
    "labels_focal": Recipe("SigmoidFocalLoss", LABEL_LOGITS, ("alpha",), {"gamma": 2.0}),
    "mse_of_labels": Recipe("MSELoss", LABEL_PROBABILITIES),
    "kl": Recipe("KLDivLoss", LOG_SHARES, fixed={"reduction": "batchmean"}),
    "mse_of_shares": Recipe("MSELoss", SHARES),
    "l1_of_shares": Recipe("L1Loss", SHARES),
    "wasserstein": Recipe("WassersteinLoss", PLACED_SHARES),
    "mined_triplets": Recipe(
        "MinedTripletMarginLoss",
        LABELLED_VECTORS,
        fixed={"miner": "semi_hard", "margin": 0.2, "normalize": True, "on_empty": "zero"},
    ),
    "info_nce": Recipe("InfoNCELoss", VECTORS_WITH_LABELS, fixed={"on_empty": "zero"}),
    "supcon": Recipe("SupConLoss", LABELLED_VECTORS, fixed={"on_empty": "zero"}),
    "classified_vectors": Recipe("CrossEntropyLoss", CLASSIFIED_VECTORS),
    "cosine_pairs": Recipe("CosineEmbeddingLoss", COSINES_OF_PAIRS, ("margin",)),
    "hinge_pairs": Recipe("HingeEmbeddingLoss", DISTANCES_OF_PAIRS),
    "contrastive_pairs": Recipe("ContrastiveLoss", VECTORS_OF_PAIRS),
    "ranking": Recipe("MarginRankingLoss", SCORES_OF_PAIRS, fixed={"margin": 1.0}),
    "ranking_softly": Recipe("SoftMarginLoss", DIFFERENCES_OF_PAIRS),
    "ranking_without_margin": Recipe("MarginRankingLoss", SCORES_OF_PAIRS),
    "triplet": Recipe("TripletMarginLoss", DISTANCES_OF_TRIPLETS),
    "triplet_swapped": Recipe("TripletMarginLoss", DISTANCES_OF_TRIPLETS, fixed={"swap": True}),
    "cosine_triplets": Recipe("CosineEmbeddingLoss", COSINES_OF_TRIPLETS, ("margin",)),
}

TENSORS = ("weight", "pos_weight")  # arguments that the losses take as tensors

COMPUTED = {
    "delta": Text(
        "delta is 1.345 robust standard deviations of a first fit's residuals, in the standardised target's unit",
        "delta 为初步拟合残差的稳健标准差的 1.345 倍，以标准化后目标的单位计",
    ),
    "quantiles": Text(
        "quantiles are the ends of the interval that was asked for, and the median between them",
        "quantiles 为所求区间的两端，以及其间的中位数",
    ),
    "pos_weight": Text("pos_weight is the number of negatives over that of positives", "pos_weight 为负例数除以正例数"),
    "alpha": Text(
        "alpha is 0.75 where ones are rarer, and 0.25 where zeros are: the rarer side weighs three times as much",
        "1 较少时 alpha 取 0.75，0 较少时取 0.25：较少的一侧权重为另一侧的三倍",
    ),
    "weight": Text(
        "weight is n / (K n_c): rows over classes times rows of the class",
        "weight 为 n / (K n_c)：行数除以类别数与该类行数之积",
    ),
    "margin": Text(
        "margin is the median cosine of the unlike pairs' inputs, standardised, between 0 and 0.5",
        "margin 为不相似样本对的（标准化后的）输入的余弦中位数，限制在 0 到 0.5 之间",
    ),
}


def from_training(target: Target, inputs: Inputs, rows: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """Every number that a recipe takes from data, computed from the given rows alone."""
    if target.kind in KINDS:
        return {"margin": _rounded([margin(target.take(rows), inputs.take(rows))])[0]}
    if target.kind in ("binary", "classes"):
        codes = np.asarray(target.codes)[rows]
        weights = suggest.class_weight(codes, len(target.classes))
        pos_weight = _rounded(suggest.pos_weight(codes == 1))
        return {"weight": _rounded(weights), "pos_weight": pos_weight[0], "alpha": _alpha(pos_weight)}
    values = np.asarray(target.values)[rows]
    if target.kind == "labels":
        pos_weight = _rounded(suggest.pos_weight(values))
        return {"pos_weight": pos_weight, "alpha": _alpha(pos_weight)}
    if target.kind in ("distributions", "embedding"):
        return {}
    if target.facts["counts"]:
        log_mean = np.log(values.mean(axis=0).clip(1e-6))
    else:
        log_mean = np.zeros(values.shape[1])
    if target.facts.get("outliers"):
        center = np.median(values, axis=0)
        scale = np.array([suggest.robust_scale(column) for column in values.T])
    else:
        center, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.array(_rounded(np.where(scale > 0, scale, 1.0), 6))
    far = np.log10((np.abs(center) / scale).clip(1)).max()  # a center far from 0 is printed with more digits
    center = np.array(_rounded(center, 6 + int(far)))
    sample = np.random.default_rng(seed).permutation(len(rows))[:RESIDUALS]
    design = inputs.take(rows[sample]).design(np.arange(len(sample)))
    fits = [first_fit(design, column, seed) for column in ((values[sample] - center) / scale).T]
    return _ends(target.level) | {
        "delta": _rounded([suggest.delta(np.concatenate([fit.residuals for fit in fits]))])[0],
        "center": center.tolist(),
        "scale": scale.tolist(),
        "log_mean": _rounded(log_mean),
    }


def _alpha(pos_weight: Sequence[float]) -> float:
    """The weight of ones, that of zeros being the rest: thrice as much for the side that is mostly the rarer."""
    return 0.75 if float(np.median(pos_weight)) > 1 else 0.25


def _ends(level: float | None) -> dict[str, Any]:
    """The quantiles of an interval with its median, and how many standard deviations it reaches if it is normal."""
    if level is None:
        return {}
    low, high = _rounded([(1 - level) / 2, (1 + level) / 2], 10)
    return {"quantiles": [low, 0.5, high], "z": _rounded([NormalDist().inv_cdf(high)])[0]}


def _rounded(values: Any, digits: int = 4) -> list[float]:
    """Numbers as they are printed, so that what is printed is what is run."""
    return [float(f"{value:.{digits}g}") for value in values]


# Texts

CHINESE = {
    "mean": "均值",
    "median": "中位数",
    "standard deviation": "标准差",
    "robust standard deviation": "稳健标准差",
}

STEP = """

# One training step: values are {what},
# h what your hidden layers return for {them}.
values = {values}
h = torch.randn({shape})
loss = to_loss(last_layer(h), to_target(values))
loss.backward()
print(loss.item(), to_prediction(last_layer(h)){interval})
"""


def words(recipe: Recipe, target: Target) -> tuple[Text, Text]:
    """The final layer and the form of the target, in words."""
    names = _names(target, {})
    chinese = names | {"center_is": CHINESE[names["center_is"]], "scale_is": CHINESE[names["scale_is"]]}

    def filled(words: Text) -> Text:
        return Text(words.en.format(**names), words.zh.format(**chinese))

    return filled(recipe.head.final_layer), filled(recipe.head.target)


def signature(recipe: Recipe, numbers: Mapping[str, Any], longest: int = 4) -> str:
    """The loss as one writes it, with long lists shortened."""
    arguments = []
    for name, value in recipe.arguments(numbers).items():
        shown = "[...]" if isinstance(value, list) and len(value) > longest else repr(value)
        arguments.append(f"{name}={shown}")
    return f"{recipe.loss}({', '.join(arguments)})"


def definitions(recipe: Recipe, target: Target, numbers: Mapping[str, Any], hidden: int = 64) -> str:
    """The part of the snippet that the experiment runs too: layer, criterion, target, loss and prediction."""
    names = _names(target, numbers)
    arguments = ", ".join(f"{name}={_argument(name, value)}" for name, value in recipe.arguments(numbers).items())
    head = recipe.head
    setup = [LINES[line].format(**names) for line in head.setup if not (line == "classes" and target.one_hot)]
    lines = [
        "import torch",
        "from torch import nn",
        "",
        "import lossmith",
        "",
        f"hidden = {hidden}  # width of your network's last hidden layer",
        "last_layer = " + head.layer.format(**names),
        f"criterion = lossmith.{recipe.loss}({arguments})",
        *setup,
        "",
        "",
        "def to_target(values):",
        "    return " + head.to_target.format(**names),
        "",
        "",
        "def to_loss(output, target):",
        textwrap.indent(head.to_loss.format(**names), "    "),
        "",
        "",
        "def to_prediction(output):",
        "    return " + head.to_prediction.format(**names),
    ]
    if head.to_std:
        lines += ["", "", "def to_std(output):", "    return " + head.to_std]
    if head.to_interval:
        lines += ["", "", "def to_interval(output):", textwrap.indent(head.to_interval.format(**names), "    ")]
    return "\n".join(lines) + "\n"


def snippet(recipe: Recipe, target: Target, numbers: Mapping[str, Any]) -> str:
    """The whole snippet, which runs as it is: the definitions and one training step on targets from the table."""
    examples = recipe.head.examples
    step = STEP.format(
        what="the numbers of a few triplets" if target.kind == "triplets" else "the targets of a few rows",
        values=_literal(_examples(target)),
        them="them" if examples == 1 else f"the {examples} examples of each row",
        interval=", to_interval(last_layer(h))" if recipe.head.to_interval else "",
        shape="len(values), hidden" if examples == 1 else f"len(values), {examples}, hidden",
    )
    return definitions(recipe, target, numbers) + step


def _examples(target: Target, most: int = 4) -> list[Any]:
    """A few targets as the table has them; of classes, different ones, each twice where rows of one are compared."""
    if target.kind == "embedding":
        codes = np.asarray(target.codes)
        target, most = target.take(np.concatenate([np.flatnonzero(codes == code)[:2] for code in (0, 1)])), 4
    if isinstance(target.values, np.ndarray):
        rows = target.values[:most].tolist()
        return [row[0] for row in rows] if len(target.columns) == 1 else rows
    values = target.values if target.kind == "embedding" else list(dict.fromkeys(target.values))
    return values[:most]


def _names(target: Target, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """What the placeholders of heads and lines stand for."""
    robust = target.facts.get("outliers", False)
    names: dict[str, Any] = {
        "outputs": target.outputs,
        "twice": 2 * target.outputs,
        "thrice": 3 * target.outputs,
        "z": numbers.get("z"),
        "last": target.outputs - 1,
        "center_is": "median" if robust else "mean",
        "scale_is": "robust standard deviation" if robust else "standard deviation",
        "class_numbers": "torch.tensor([classes.index(value) for value in values])",
        "classes": _literal(list(target.classes)),
        "log_mean": numbers.get("log_mean"),
    }
    if target.one_hot:
        names["class_numbers"] = "torch.as_tensor(values).argmax(dim=1)"
    if len(target.classes) == 2:
        names["negative"], names["positive"] = map(repr, target.classes)
    for name in ("center", "scale"):
        given = numbers.get(name, [])
        names[name] = repr(given[0]) if len(given) == 1 else f"torch.tensor({given}, dtype=torch.float64)"
    return names


def _argument(name: str, value: Any) -> str:
    if name in TENSORS:
        return f"torch.tensor({_literal(value if isinstance(value, list) else [value])})"
    return repr(value)


def _literal(values: Sequence[Any], width: int = 88) -> str:
    """A list as Python, over several lines where it is long."""
    text = repr(list(values))
    if len(text) <= width:
        return text
    lines = ["   "]
    for value in values:
        if len(lines[-1]) + len(repr(value)) + 2 > width:
            lines.append("   ")
        lines[-1] += f" {value!r},"
    return "\n".join(["[", *lines, "]"])
