"""LM211: backward from a loss that was cut from its network."""

from torch import Tensor
from torch.nn import Parameter

from ..card import Text
from ..losses import all_losses
from ..rule import Backward, Rule, Site


def _at_backward(backward: Backward) -> Text | None:
    if not backward.losses:
        return None
    names = ", ".join(backward.losses)
    if backward.tensor.grad_fn is None:
        if not backward.tensor.requires_grad:
            return Text(
                f"backward() is called on a tensor without a graph, after {names}",
                f"在 {names} 之后，对没有计算图的张量调用了 backward()",
            )
        return Text(
            f"backward(), after {names}, is called on a leaf: its gradient stays in the loss itself",
            f"在 {names} 之后，对叶子张量调用了 backward()：梯度只留在损失自身",
        )
    leaves = backward.leaves()
    if backward.differentiable or not leaves or not all(_is_scalar(leaf) for leaf in leaves):
        return None
    return Text(
        f"backward(), after {names}, reaches no weight, only a number that was made to require a gradient",
        f"在 {names} 之后，backward() 到不了任何权重，只到达一个被设成需要梯度的数",
    )


def _is_scalar(leaf: Tensor) -> bool:
    return leaf.dim() == 0 and not isinstance(leaf, Parameter)


def _in_source(site: Site) -> Text | None:
    if site.kind != "backward" or not site.arguments["result"].detached:
        return None
    return Text(
        "backward() is called on a loss whose prediction, or which itself, was detached, made a number or an argmax",
        "对损失调用了 backward()，但该损失或其预测值已被 detach、转成数值或取了 argmax",
    )


RULE = Rule(
    code="LM211",
    name="loss-detached",
    severity="error",
    losses=tuple(all_losses()),
    what=Text(
        "backward() is called on a loss that was cut from the network: nothing is learned.",
        "对已经与网络断开的损失调用 backward()：什么也学不到。",
    ),
    why=Text(
        "Behind detach(), .data, item(), numpy(), argmax, torch.tensor(...) or torch.no_grad() no gradient reaches a "
        "weight. torch refuses a loss that does not require one; `loss.requires_grad = True` silences it, and then "
        "every gradient is None, the optimizer does nothing and the loss never falls.",
        "经过 detach()、.data、item()、numpy()、argmax、torch.tensor(...) 或 torch.no_grad() 之后，"
        "梯度到不了任何权重。不需要梯度的损失，torch 会拒绝 backward()；写上 loss.requires_grad = True 就不再报错，"
        "但所有梯度都是 None，优化器什么也不做，损失永远不降。",
    ),
    evidence=Text(
        "At run time a backward() on a loss without a graph, whether it raises or was made a leaf that requires a "
        "gradient. In source a backward() on the result of such an operation. Losses that are only logged may be "
        "detached, and so may targets: without backward() it is silent.",
        "运行时看 backward() 的对象：没有计算图的损失，不论是因此报错，还是被设成了需要梯度的叶子张量。"
        "源码中看 backward() 的对象是否经过上述运算。只用于记录的损失和目标都可以断开：没有 backward() 就不作声。",
    ),
    fix=Text(
        "Compute the loss of what the network gave, under gradients, and detach only what is logged: "
        "loss = criterion(model(x), y); loss.backward(); total += loss.item(). Remove requires_grad = True.",
        "应在记录梯度时直接对网络输出计算损失，只对要记录的值断开：loss = criterion(model(x), y)；loss.backward()；"
        "total += loss.item()。并删去 requires_grad = True。",
    ),
    bad="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
for _ in range(4):
    outputs = model(torch.randn(8, 4)).detach()
    loss = criterion(outputs, torch.randint(3, (8,)))
    loss.requires_grad = True
    loss.backward()
""",
    good="""\
import torch
from torch import nn

model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss()
total = 0.0
for _ in range(4):
    outputs = model(torch.randn(8, 4))
    loss = criterion(outputs, torch.randint(3, (8,)))
    loss.backward()
    total += loss.detach()
""",
    at_backward=_at_backward,
    in_source=_in_source,
)
