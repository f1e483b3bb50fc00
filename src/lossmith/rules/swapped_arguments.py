"""LM202: the target where the prediction belongs, and the prediction where the target does."""

import math

from torch import Tensor

from ..card import Text
from ..rule import Call, Known, Numbers, Rule, Site, Values
from ..watch.statistics import maximum, minimum
from ..watch.statistics import numbers as read
from ._evidence import DIVERGENCES, LOGARITHMS
from ._names import is_prediction, is_target

SYMMETRIC = (
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss"),
    *("log_cosh_loss", "charbonnier_loss"),
)
LABELLED = ("nll_loss", "multi_margin_loss", "multilabel_margin_loss")
"""They refuse the swapped call."""
IN_SOURCE = ("wasserstein_critic_loss", "dice_loss", "tversky_loss")
"""Their numbers tell nothing."""

# ----- at run time -----


def _at_once(call: Call) -> Text | None:
    if call.loss == "gaussian_nll_loss":
        return _variance_as_target(call)
    if call.loss == "distillation_loss":
        return _student_as_teacher(call)
    if call.loss not in _SEEN or not _learns_from_target(call):
        return None
    input, target = call.arguments["input"], call.arguments["target"]
    if not input.is_floating_point() and target.is_floating_point():
        kind = str(input.dtype).removeprefix("torch.")
        return Text(
            f"the input is {kind}, as labels are, and the target carries the gradient",
            f"输入是 {kind}，像是标签，而梯度在目标一侧",
        )
    if call.loss in SYMMETRIC and not call.detached("input"):
        return Text(
            "the target carries the gradient, the input none; the loss is symmetric, so the numbers are right",
            "梯度在目标一侧，输入不带梯度；该损失是对称的，数值不受影响",
        )
    if call.loss == "quantile_loss" and not call.detached("input"):
        return Text(
            "the target carries the gradient, the input none: the other quantile, 1 - q, is learned",
            "梯度在目标一侧，输入不带梯度：学到的是另一侧的分位数 1 - q",
        )
    made = call.origin("target")
    if call.loss in DIVERGENCES and made is not None and made.op in LOGARITHMS and not call.arguments["log_target"]:
        return Text(
            f"the target is the result of {made.op} and carries the gradient, the input none",
            f"目标是 {made.op} 的结果且梯度在它一侧，输入不带梯度",
        )
    return None


def _learns_from_target(call: Call) -> bool:
    """Whether the target is a result that has a gradient, and the input has none.

    A target that is a leaf is one that is learned. Where both have a gradient (two networks that learn to agree),
    nothing is known.
    """
    return call.arguments["target"].grad_fn is not None and not call.arguments["input"].requires_grad


def _student_as_teacher(call: Call) -> Text | None:
    if call.arguments["teacher"].grad_fn is None or call.arguments["input"].requires_grad or call.detached("input"):
        return None
    return Text(
        "the teacher carries the gradient, the input, which is the student, none",
        "梯度在 teacher 一侧，而 input（学生）不带梯度",
    )


def _variance_as_target(call: Call) -> Text | None:
    """(mean, variance, target) instead of (mean, target, variance)."""
    target, var, made = call.arguments["target"], call.arguments["var"], call.origin("target")
    if made is None or made.op not in ("softplus", "exp") or not isinstance(var, Tensor) or var.requires_grad:
        return None
    if not call.arguments["input"].requires_grad or var.shape != target.shape:
        return None
    return Text(
        f"the target is the result of {made.op} and carries a gradient, as variances do; var carries none",
        f"目标是 {made.op} 的结果且带梯度，像是方差；var 却不带梯度",
    )


def _applies(call: Call) -> bool:
    if call.loss not in _SHOWS or not _learns_from_target(call):
        return False
    input, target = call.arguments["input"], call.arguments["target"]
    if not input.is_floating_point() or not target.is_floating_point() or input.numel() < ENOUGH:
        return False
    # a divergence may be meant the other way round: then the target is a distribution that is learned
    made = call.origin("target")
    return call.loss == "binary_cross_entropy" or made is None or made.op not in ("softmax", "sigmoid", "exp")


def _fractions(call: Call) -> Tensor:
    """How many elements of the input are no whole numbers."""
    input = read(call, "input", hidden=0.0)
    return (input != input.round()).sum()


def _between(call: Call) -> Tensor:
    """How many elements of the input are neither the least nor the greatest: of labels, smoothed or not, none."""
    input = read(call, "input")
    least, greatest = input.nan_to_num(math.inf).amin(), input.nan_to_num(-math.inf).amax()
    return ((input > least) & (input < greatest)).sum()


def _target_is_no_probability(numbers: Numbers) -> bool:
    return numbers["least_target"] < -SLACK or numbers["greatest_target"] > 1 + SLACK


def _input_is_labels(numbers: Numbers) -> bool:
    least, greatest = numbers["least_input"], numbers["greatest_input"]
    return numbers["between"] == 0 and (least < greatest or least in (0, 1))


def _input_is_counts(numbers: Numbers) -> bool:
    return numbers["fractions"] == 0 and numbers["least_input"] >= 0


ENOUGH = 4
"""Elements of a batch, from which on their values tell what they are."""
SLACK = 0.01

_NO_PROBABILITY = Text(
    "the target carries the gradient and leaves [0, 1], as logits do; the input carries no gradient",
    "梯度在目标一侧，且目标超出 [0, 1]，像是 logits；输入不带梯度",
)
_SHOWS = {
    "cross_entropy": (_target_is_no_probability, _NO_PROBABILITY),
    "binary_cross_entropy_with_logits": (_target_is_no_probability, _NO_PROBABILITY),
    "multilabel_soft_margin_loss": (_target_is_no_probability, _NO_PROBABILITY),
    "focal_loss": (_target_is_no_probability, _NO_PROBABILITY),
    "sigmoid_focal_loss": (_target_is_no_probability, _NO_PROBABILITY),
    "binary_cross_entropy": (
        _input_is_labels,
        Text(
            "the target carries the gradient, and the input takes two values at most, as labels do",
            "梯度在目标一侧，而输入至多只有两种取值，像是标签",
        ),
    ),
    "poisson_nll_loss": (
        _input_is_counts,
        Text(
            "the target carries the gradient, and the input holds whole numbers of 0 and more, as counts do",
            "梯度在目标一侧，而输入都是非负整数，像是计数",
        ),
    ),
}
"""What the values have to show, and how it is told."""
_SEEN = (*_SHOWS, *DIVERGENCES, "quantile_loss", *LABELLED, *SYMMETRIC)


def _says(call: Call, numbers: Numbers) -> Text | None:
    shows, text = _SHOWS[call.loss]
    return text if shows(numbers) else None


# ----- in source -----


def _in_source(site: Site) -> Text | None:
    if site.kind != "call":
        return None
    first, second = _places(site.loss)
    given = site.arguments.get(first, Known()), site.arguments.get(second, Known())
    if site.loss.startswith("triplet_margin"):
        swapped = "neg" in given[0].name.lower() and "pos" in given[1].name.lower()
    elif site.loss in _NAMED:
        swapped = all(word in known.name.lower() for word, known in zip(_NAMED[site.loss], given, strict=True))
    elif site.loss == "gaussian_nll_loss":
        swapped = _is_variance(given[0]) and (is_target(given[1]) or is_prediction(given[1]))
    elif site.loss in DIVERGENCES:
        swapped = (given[1].op in LOGARITHMS and given[0].op == "softmax") or _are_swapped(*given)
        swapped = swapped and site.settings.get("log_target") is False
    else:
        swapped = _are_swapped(*given)
    if not swapped:
        return None
    names = [known.name or known.op for known in given]
    same = Text("; the loss is symmetric, so the numbers are right", "；该损失是对称的，数值不受影响")
    found = Text(
        f"{names[0]} stands where {first} belongs, and {names[1]} where {second} belongs",
        f"{names[0]} 写在了 {first} 的位置，{names[1]} 写在了 {second} 的位置",
    )
    return Text(found.en + same.en, found.zh + same.zh) if site.loss in SYMMETRIC else found


def _places(loss: str) -> tuple[str, str]:
    """The arguments that may stand in each other's place."""
    if loss.startswith("triplet_margin"):
        return "positive", "negative"
    return _PLACES.get(loss, ("input", "target"))


_PLACES = {
    "gaussian_nll_loss": ("target", "var"),
    "distillation_loss": ("input", "teacher"),
    "wasserstein_critic_loss": ("fake", "real"),
}
_NAMED = {"distillation_loss": ("teacher", "student"), "wasserstein_critic_loss": ("real", "fake")}
"""What the names of swapped arguments hold."""


def _are_swapped(input: Known, target: Known) -> bool:
    return is_target(input) and is_prediction(target)


def _is_variance(known: Known) -> bool:
    return any(word in known.name.lower() for word in ("var", "sigma", "scale", "std"))


RULE = Rule(
    code="LM202",
    name="swapped-arguments",
    severity="error",
    losses=(
        *_SEEN,
        *IN_SOURCE,
        "distillation_loss",
        "gaussian_nll_loss",
        "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
    ),
    harmless=SYMMETRIC,
    what=Text(
        "The arguments stand in each other's place: the prediction comes first, then the target (then the variance).",
        "参数写反了：预测值在前，目标在后（方差再后）。",
    ),
    why=Text(
        "It runs, and learns something else. Swapped, binary_cross_entropy is 100 |x - y|, whose optimum is 0 or 1 "
        "instead of a probability, and torch's gradient of it is infinite; binary_cross_entropy_with_logits is linear, "
        "so the prediction for a 1 runs to infinity and that for a 0 gets no gradient; "
        "poisson_nll_loss and cross_entropy fall below 0 without end; a "
        "Gaussian mean learns to agree with its own variance; a quantile becomes the other one, 0.1 for 0.9; a teacher "
        "is trained, or nothing is. mse, l1, smooth_l1, huber, log_cosh, Charbonnier and soft margin are "
        "symmetric: their numbers stay right, and only the reader is misled.",
        "程序照常运行，学到的却是别的东西。写反之后，binary_cross_entropy 成了 100 |x - y|，"
        "最优解是 0 或 1 而不是概率，且 torch 给出的梯度为无穷大；"
        "binary_cross_entropy_with_logits 变成线性，标签为 1 的预测奔向无穷，标签为 0 的得不到梯度；"
        "poisson_nll_loss 与 cross_entropy 无限下降到 0 以下；高斯的均值学到的只是与方差一致；"
        "分位数变成另一侧的（0.9 成了 0.1）；蒸馏则训练了教师，或什么也没训练。"
        "mse、l1、smooth_l1、huber、log_cosh、Charbonnier 与 soft margin 是对称的：数值不变，只会误导读者。",
    ),
    evidence=Text(
        "At run time the gradient: the target is a network's result and the input carries none, while the target is no "
        "probability, or the input holds nothing but labels or counts. Teachers without "
        "gradient as targets, two networks that learn to agree, learned targets and reversed divergences are silent; "
        "so are symmetric losses of a detached input. In source what is written: names such as labels and logits in "
        "each other's place, a constant before the result of a softmax.",
        "运行时看梯度：目标是网络的输出而输入不带梯度，且目标不是概率，或输入只有标签、计数那样的值。"
        "无梯度的教师作目标、两个网络互相靠拢、可学习的目标、反向散度都不作声；对称损失的输入经过 detach 时也不作声。"
        "源码中看写法：如 labels 与 logits 互换了位置，或常数写在 softmax 的结果之前。",
    ),
    fix=Text(
        "Write criterion(prediction, target), for Gaussians criterion(mean, target, var=var), for triplets "
        "criterion(anchor, positive, negative), for distillation criterion(student, teacher), for critics "
        "criterion(fake, real).",
        "应写 criterion(prediction, target)；高斯写 criterion(mean, target, var=var)；"
        "三元组写 criterion(anchor, positive, negative)；蒸馏写 criterion(student, teacher)；"
        "判别器写 criterion(fake, real)。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.BCELoss()
for _ in range(4):
    labels = torch.randint(2, (8, 1)).float()
    outputs = torch.sigmoid(model(torch.randn(8, 4)))
    loss = criterion(labels, outputs)
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 1), nn.BCELoss()
for _ in range(4):
    labels = torch.randint(2, (8, 1)).float()
    outputs = torch.sigmoid(model(torch.randn(8, 4)))
    loss = criterion(outputs, labels)
    loss.backward()
""",
    at_once=_at_once,
    values=Values(
        {
            "least_target": minimum("target"),
            "greatest_target": maximum("target"),
            "least_input": minimum("input"),
            "greatest_input": maximum("input"),
            "fractions": _fractions,
            "between": _between,
        },
        _says,
        batches=1,
        applies=_applies,
    ),
    in_source=_in_source,
)
