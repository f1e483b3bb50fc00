"""LM301: the result of a loss takes the criterion's name."""

from ..card import Text
from ..losses import all_losses
from ..rule import Rule, Site


def _in_source(site: Site) -> Text | None:
    if site.kind != "assignment" or not site.in_loop:
        return None
    return Text(
        "the result is assigned to the name of the criterion, which is called again",
        "结果被赋给了损失函数自己的名字，而它还会再次被调用",
    )


RULE = Rule(
    code="LM301",
    name="shadowed-criterion",
    severity="error",
    losses=tuple(all_losses()),
    what=Text(
        "`loss = loss(...)`: the result takes the name of the criterion.",
        "loss = loss(...)：结果占用了损失函数的名字。",
    ),
    why=Text(
        "The first step runs. The second calls a tensor: TypeError: 'Tensor' object is not callable, far from where "
        "the name was lost.",
        "第一步能运行，第二步调用的就是张量：TypeError: 'Tensor' object is not callable，"
        "而报错处与名字被占用之处往往相距很远。",
    ),
    evidence=Text(
        "In source an assignment of the call of a criterion to its own name, where it is met again: in a loop before "
        "which the criterion was made, or to an attribute.",
        "源码中看：调用损失函数并把结果赋给它自己的名字，且之后还会再执行到（损失函数在循环之前创建，或名字是对象属性）。",
    ),
    fix=Text(
        "Name them apart: loss = criterion(output, target).",
        "换个名字：loss = criterion(output, target)。",
    ),
    bad="""\
import torch
from torch import nn

model, loss = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    loss = loss(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(3, (8,)))
    loss.backward()
""",
    in_source=_in_source,
)
