"""LM115: the default mean of kl_div, which divides by the classes too."""

from collections.abc import Mapping
from typing import Any

from ..card import Text
from ..rule import Call, Rule, Site
from ._evidence import DIVERGENCES

_SEEN = Text("reduction is 'mean', the default", "reduction 为默认值 'mean'")


def _divides_by_elements(settings: Mapping[str, Any]) -> bool:
    return settings.get("reduction") == "mean" and settings.get("normalizer") is None


def _at_once(call: Call) -> Text | None:
    return _SEEN if _divides_by_elements(call.arguments) else None


def _in_source(site: Site) -> Text | None:
    written_here = site.kind == "constructor" or (site.kind == "call" and site.functional)
    return _SEEN if written_here and _divides_by_elements(site.settings) else None


RULE = Rule(
    code="LM115",
    name="kl-mean-reduction",
    severity="warning",
    losses=DIVERGENCES,
    what=Text(
        "kl_div or js_div is averaged over all elements, reduction='mean', instead of over the rows.",
        "kl_div 或 js_div 按元素取平均（reduction='mean'），而不是按行取平均。",
    ),
    why=Text(
        "The divergence of a row is the sum over its classes, so the mean is C times too small: with 1000 classes a "
        "divergence of 6.91 reads 0.0069, and its gradient is as small.",
        "一行的散度是对类别求和，因此 mean 小了 C 倍：1000 个类别时，6.91 的散度显示为 0.0069，梯度也同样小。",
    ),
    evidence=Text(
        "The reduction, at run time and in source. With a normalizer of your own, with 'sum' and with 'none' it is "
        "silent.",
        "运行时和源码中都看 reduction。自己给出 normalizer，或用 'sum'、'none' 时不作提示。",
    ),
    fix=Text(
        "Write reduction='batchmean', on rows of (N, C). A learning rate or a weight that was tuned around the mean "
        "changes with it, by C.",
        "对 (N, C) 的各行写 reduction='batchmean'。在 mean 下调好的学习率或权重需随之调整，差 C 倍。",
    ),
    bad="""\
import torch
from torch import nn
from torch.nn import functional as F

student, teacher, criterion = nn.Linear(4, 3), nn.Linear(4, 3), nn.KLDivLoss()
for _ in range(4):
    x = torch.randn(8, 4)
    target = F.softmax(teacher(x).detach(), dim=1)
    loss = criterion(F.log_softmax(student(x), dim=1), target)
    loss.backward()
""",
    good="""\
import torch
from torch import nn
from torch.nn import functional as F

student, teacher, criterion = nn.Linear(4, 3), nn.Linear(4, 3), nn.KLDivLoss(reduction="batchmean")
for _ in range(4):
    x = torch.randn(8, 4)
    target = F.softmax(teacher(x).detach(), dim=1)
    loss = criterion(F.log_softmax(student(x), dim=1), target)
    loss.backward()
""",
    at_once=_at_once,
    in_source=_in_source,
)
