"""LM218: a teacher that learns from its student, or that is the student."""

import torch
from torch import Tensor

from ..card import Text
from ..rule import Call, Rule


def _at_once(call: Call) -> Text | None:
    student, teacher = call.arguments["input"], call.arguments["teacher"]
    if not student.requires_grad:
        return None
    plain = all(type(given) is Tensor and given.layout == torch.strided for given in (student, teacher))
    if teacher is student or (plain and teacher.dtype == student.dtype and teacher.is_set_to(student)):
        return Text("student and teacher are the same tensor", "学生与教师是同一个张量")
    if teacher.grad_fn is None:
        return None
    return Text("the teacher carries a gradient, as the student does", "教师与学生一样带梯度")


RULE = Rule(
    code="LM218",
    name="teacher-not-detached",
    severity="warning",
    losses=("distillation_loss",),
    what=Text(
        "The teacher's logits carry a gradient, or are the student's own.",
        "教师的 logits 带有梯度，或者就是学生自己的 logits。",
    ),
    why=Text(
        "What is taught moves towards its student: both can agree on anything, and the teacher's weights change if an "
        "optimizer has them. Its activations are kept for backward besides, for a teacher ten times the student's size "
        "ten times the student's. Of one tensor against itself the divergence is 0, and so is its gradient.",
        "教师会向学生靠拢：双方可能在任何结果上达成一致；若优化器含有教师的参数，教师也会被改动。"
        "此外还要为反向传播保存教师的激活值，教师大十倍，所占内存也大十倍。张量与自身的散度为 0，梯度也为 0。",
    ),
    evidence=Text(
        "At run time a teacher that is the result of an operation and has a gradient, beside a student that has one; "
        "or that is the student's tensor, detached or not. Where both networks are to learn from each other, each "
        "usually detaches the other.",
        "运行时看：教师是某个运算的结果且带梯度，而学生也带梯度；或教师就是学生的张量（无论是否 detach）。"
        "让两个网络互相学习时，通常各自 detach 对方。",
    ),
    fix=Text(
        "Compute the teacher under torch.no_grad(), in eval mode, or give teacher.detach().",
        "在 torch.no_grad() 下以 eval 模式计算教师，或传入 teacher.detach()。",
    ),
    bad="""\
import torch
from torch import nn

from lossmith import DistillationLoss

student, teacher, criterion = nn.Linear(4, 3), nn.Linear(4, 3), DistillationLoss()
for _ in range(4):
    x = torch.randn(8, 4)
    loss = criterion(student(x), teacher(x))
    loss.backward()
""",
    good="""\
import torch
from torch import nn

from lossmith import DistillationLoss

student, teacher, criterion = nn.Linear(4, 3), nn.Linear(4, 3), DistillationLoss()
for _ in range(4):
    x = torch.randn(8, 4)
    with torch.no_grad():
        taught = teacher(x)
    loss = criterion(student(x), taught)
    loss.backward()
""",
    at_once=_at_once,
)
