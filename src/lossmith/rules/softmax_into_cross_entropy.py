"""LM101: a softmax before cross-entropy, which takes one itself."""

from torch import Tensor

from ..card import Text
from ..rule import Call, Numbers, Rule, Site, Values
from ..watch.statistics import Statistic, maximum, minimum, row_error
from ._evidence import (
    OVERLAP,
    PROBABILITY_ROWS,
    ROWS,
    TAKE_SOFTMAX,
    are_rows_of_probabilities,
    given,
    last_operation,
    own_activation,
    score_arguments,
)


def _at_once(call: Call) -> Text | None:
    if own_activation(call.loss, call.arguments) != "softmax":
        return None
    for argument in score_arguments(call.loss):
        origin = call.origin(argument)
        if origin is not None and origin.op == "softmax" and origin.whole:
            return last_operation(argument, "softmax")
    return None


def _several_classes(call: Call) -> bool:
    classes = call.class_dim()
    takes_logits = own_activation(call.loss, call.arguments) == "softmax" and "input" in call.arguments
    return takes_logits and classes is not None and call.arguments["input"].shape[classes] > 1


def _of_teacher(statistic: Statistic, otherwise: Statistic) -> Statistic:
    def read(call: Call) -> Tensor:
        return statistic(call) if "teacher" in call.arguments else otherwise(call)

    return read


_TEACHER = {
    "minimum": _of_teacher(minimum("teacher"), minimum("input")),
    "maximum": _of_teacher(maximum("teacher"), maximum("input")),
    "row_error": _of_teacher(row_error("teacher"), row_error("input")),
}


def _says(call: Call, numbers: Numbers) -> Text | None:
    if are_rows_of_probabilities(numbers):
        return PROBABILITY_ROWS
    if are_rows_of_probabilities({name: numbers[f"teacher_{name}"] for name in _TEACHER}):
        return Text(
            "the teacher lies between 0 and 1 and sums to 1 over the classes, as probabilities do",
            "teacher 都在 0 与 1 之间，且沿类别维之和为 1，与概率无异",
        )
    return None


def _in_source(site: Site) -> Text | None:
    if own_activation(site.loss, site.settings) != "softmax":
        return None
    found = (argument for argument in score_arguments(site.loss) if given(site, argument).op == "softmax")
    argument = next(found, None)
    return None if argument is None else last_operation(argument, "softmax")


RULE = Rule(
    code="LM101",
    name="softmax-into-cross-entropy",
    severity="error",
    losses=(*TAKE_SOFTMAX, *OVERLAP),
    what=Text(
        "Probabilities from a softmax are given to a loss that takes the softmax itself, such as cross_entropy.",
        "把 softmax 输出的概率传给自己就会做 softmax 的损失，如 cross_entropy。",
    ),
    why=Text(
        "The softmax is taken twice. The loss can't fall below log(1 + (C - 1)/e), 1.461 for 10 classes, and the "
        "gradient of a row that is surely wrong vanishes (1e-4 at a lead of 10, where 1 is right): it still learns, a "
        "little, so nobody notices. A perfect Dice loss of two classes is 0.27 instead of 0, and a teacher who is sure "
        "of one of 10 classes gives it 0.155 at a temperature of 2.",
        "softmax 做了两次。损失不可能低于 log(1 + (C - 1)/e)（10 类为 1.461），"
        "错得很确定的样本梯度消失（领先 10 时仅 1e-4，正确值为 1）："
        "模型仍能学到一点，因此难以察觉。二分类的 Dice 损失，完美预测为 0.27 而不是 0；"
        "教师对 10 类中的一类完全确信时，温度为 2 也只给它 0.155。",
    ),
    evidence=Text(
        "At run time the operation that made the input (or the teacher) or, where that is unknown, values in [0, 1] "
        "that sum to 1 over the classes in several batches. In source the last operation before the call. A softmax "
        "that feeds something else (metrics, attention) is not meant, nor one column of it; nor Dice with another "
        "activation.",
        "运行时看输入（或教师）由哪个运算产生；看不到时，看连续几个批次的值是否都在 [0, 1] 内"
        "且沿类别维之和为 1。源码中看调用前的最后一个运算。"
        "用于其他目的（指标、注意力）的 softmax 不算，只取其中一列也不算；Dice 另设 activation 时也不算。",
    ),
    fix=Text(
        "Give the logits to the loss; take the softmax only for what is shown or measured. Dice and Tversky take "
        "probabilities with activation=None.",
        "把 logits 直接传给损失函数；softmax 只用于展示或计算指标。Dice 与 Tversky 写 activation=None 即接受概率。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    logits = model(torch.randn(8, 4))
    loss = criterion(F.softmax(logits, dim=1), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    logits = model(torch.randn(8, 4))
    loss = criterion(logits, torch.randint(3, (8,)))
    loss.backward()
""",
    at_once=_at_once,
    values=Values(
        {**ROWS, **{f"teacher_{name}": read for name, read in _TEACHER.items()}}, _says, applies=_several_classes
    ),
    in_source=_in_source,
)
