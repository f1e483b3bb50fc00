"""Shapes of code: the made-up rule speaks at each line that is marked `# found`, and nowhere else."""

from pathlib import Path

import pytest

from .made_up import checked

HEAD = """\
import torch
import torch.nn as nn
import torch.nn.functional as F

x, y = torch.randn(8, 4), torch.randint(3, (8,))
model = nn.Linear(4, 3)
"""

CASES = {
    # ----- the criterion -----
    "inline": "nn.CrossEntropyLoss()(model(x).softmax(1), y)  # found",
    "functional": "F.cross_entropy(torch.softmax(model(x), dim=1), y)  # found",
    "constructor": """
criterion = nn.CrossEntropyLoss()
loss = criterion(F.softmax(model(x), dim=-1), y)  # found
""",
    "on a device": """
criterion = nn.CrossEntropyLoss().to("cuda").cuda()
loss = criterion(F.softmax(model(x), dim=-1), y)  # found
""",
    "weights": """
criterion = nn.CrossEntropyLoss(weight=torch.ones(3).cuda(), reduction="sum")
criterion(input=model(x).softmax(dim=1), target=y)  # found
""",
    "aliases": """
from torch import nn as layers
from torch.nn import functional as functions, CrossEntropyLoss as CE
import torch as t
CE()(functions.softmax(model(x), 1), y)  # found
layers.NLLLoss()(t.nn.functional.softmax(model(x), 1), y)  # found
layers.modules.loss.NLLLoss()(t.softmax(model(x), 1), y)  # found
""",
    "star import": """
from torch.nn import *
from torch.nn.functional import *
CrossEntropyLoss()(Softmax(dim=1)(model(x)), y)  # found
nll_loss(softmax(model(x), 1), y)  # found
""",
    "lossmith's": """
import lossmith
import lossmith as nn
from lossmith import functional as LF
lossmith.CrossEntropyLoss()(model(x).softmax(1), y)  # found
nn.CrossEntropyLoss()(model(x).softmax(1), y)  # found
LF.cross_entropy(model(x).softmax(1), y)  # found
""",
    "names that are something else": """
from sklearn.metrics import log_loss as cross_entropy
from tensorflow.nn import softmax
cross_entropy(F.softmax(model(x), 1), y)
F.cross_entropy(softmax(model(x)), y)
class CrossEntropyLoss:
    def __call__(self, a, b):
        return a
CrossEntropyLoss()(F.softmax(model(x), 1), y)
""",
    "attribute": """
class Trainer:
    def __init__(self, net):
        self.net = net
        self.criterion = nn.CrossEntropyLoss()
        self.mse = nn.functional.mse_loss
    def step(self, x, y):
        p = F.softmax(self.net(x), dim=1)
        self.mse(p, y)  # found
        return self.criterion(p, y)  # found
""",
    "class attribute": """
class Trainer:
    criterion = nn.CrossEntropyLoss()
    def step(self, x, y):
        return self.criterion(self.net(x).softmax(1), y)  # found
""",
    "attribute set by another method": """
class Trainer:
    def step(self, x, y):
        return self.criterion(self.net(x).softmax(1), y)  # found
    def prepare(self):
        self.criterion = nn.CrossEntropyLoss()
""",
    "default argument": """
def step(x, y, criterion=nn.CrossEntropyLoss()):
    return criterion(model(x).softmax(1), y)  # found
def other(x, y, *, loss_fn=F.cross_entropy):
    return loss_fn(model(x).softmax(1), y)  # found
""",
    "default of None": """
def step(x, y, criterion=None):
    if criterion is None:
        criterion = nn.CrossEntropyLoss()
    return criterion(model(x).softmax(1), y)  # found
def other(x, y, criterion=None):
    criterion = criterion or nn.CrossEntropyLoss()
    return criterion(model(x).softmax(1), y)  # found
""",
    "annotation": """
def step(x, y, criterion: nn.CrossEntropyLoss):
    return criterion(model(x).softmax(1), y)  # found
""",
    "argument": """
def train(net, criterion):
    for a, b in [(x, y)]:
        loss = criterion(net(a).softmax(1), b)  # found
        loss.backward()
train(model, nn.CrossEntropyLoss())
""",
    "argument that is no loss": """
def train(net, criterion):
    return criterion(net(x).softmax(1), y)
train(model, print)
""",
    "dictionary": """
losses = {"ce": nn.CrossEntropyLoss(), "other": print}
losses["ce"](model(x).softmax(1), y)  # found
losses["other"](model(x).softmax(1), y)
losses.get("ce")(model(x).softmax(1), y)  # found
def by_name(name):
    return losses[name](model(x).softmax(1), y)  # found
""",
    "dictionary of classes": """
LOSSES = {"ce": nn.CrossEntropyLoss}
LOSSES["ce"]()(model(x).softmax(1), y)  # found
""",
    "list": """
criteria = [nn.CrossEntropyLoss(), nn.CrossEntropyLoss()]
for criterion in criteria:
    criterion(model(x).softmax(1), y)  # found
criteria[0](model(x).softmax(1), y)  # found
total = sum(c(model(x).softmax(1), y) for c in criteria)  # found
""",
    "ModuleDict": """
losses = nn.ModuleDict({"ce": nn.CrossEntropyLoss()})
losses["ce"](model(x).softmax(1), y)  # found
""",
    "partial": """
from functools import partial
import functools
criterion = partial(F.cross_entropy, label_smoothing=0.1)
criterion(model(x).softmax(1), y)  # found
functools.partial(nn.CrossEntropyLoss, reduction="sum")()(model(x).softmax(1), y)  # found
""",
    "ternary": """
criterion = nn.CrossEntropyLoss() if model.training else nn.NLLLoss()
criterion(model(x).softmax(1), y)  # found
""",
    "function that returns one": """
def make(name):
    if name == "ce":
        return nn.CrossEntropyLoss()
    elif name == "own":
        return print
    raise ValueError(name)
make("ce")(model(x).softmax(1), y)  # found
make("own")(model(x).softmax(1), y)
""",
    "getattr": """
getattr(nn, "CrossEntropyLoss")()(model(x).softmax(1), y)  # found
getattr(F, "cross_entropy")(model(x).softmax(1), y)  # found
""",
    "lambda": """
criterion = lambda out, target: F.cross_entropy(F.softmax(out, 1), target)  # found
other = lambda out, target: F.cross_entropy(out, target)
other(model(x), y)
""",
    "wrapped": """
class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.ce = nn.CrossEntropyLoss()
    def forward(self, out, target):
        return self.ce(F.softmax(out, dim=1), target)  # found
""",
    "wrapped, with what it is called with": """
class Loss(nn.Module):
    def __init__(self):
        super(Loss, self).__init__()
        self.ce = nn.CrossEntropyLoss()
    def forward(self, out, target):
        return self.ce(out, target)  # found
Loss()(model(x).softmax(1), y)
""",
    "subclass": """
class Plain(nn.CrossEntropyLoss):
    pass
class Soft(nn.CrossEntropyLoss):
    def forward(self, input, target):
        return super().forward(F.softmax(input, 1), target)  # found
class Named(nn.CrossEntropyLoss):
    def __init__(self):
        super().__init__(reduction="sum")
Plain()(model(x).softmax(1), y)  # found
Named()(model(x).softmax(1), y)  # found
""",
    "its forward": """
nn.CrossEntropyLoss().forward(model(x).softmax(1), y)  # found
""",
    # ----- the tensor -----
    "assigned before": """
p = F.softmax(model(x), dim=1)
F.cross_entropy(p, y)  # found
""",
    "the last assignment counts": """
p = F.softmax(model(x), dim=1)
p = model(x)
F.cross_entropy(p, y)
q = model(x)
q = q.softmax(1)
F.cross_entropy(q, y)  # found
""",
    "seen through": """
p = model(x).softmax(1)
F.cross_entropy(p.view(-1, 3).float().cuda().contiguous(), y)  # found
F.cross_entropy(p.permute(0, 1).squeeze().unsqueeze(0)[0].clone().to(torch.float32), y)  # found
F.cross_entropy(p[y > 0], y)  # found
F.cross_entropy(F.dropout(p, 0.1), y)  # found
F.cross_entropy(torch.flatten(p, 1), y)  # found
F.cross_entropy(p.clamp(1e-7, 1 - 1e-7), y)  # found
F.cross_entropy(torch.cat([p, p]), y)  # found
F.cross_entropy(torch.stack((p, p)).mean(0), y)
""",
    "another operation since": """
p = model(x).softmax(1)
F.nll_loss(p.log(), y)
F.cross_entropy(p / 0.1, y)
F.cross_entropy(p @ x, y)
F.cross_entropy(p[:, 1], y)
F.cross_entropy(model(p), y)
""",
    "softmax after the loss": """
out = model(x)
loss = F.cross_entropy(out, y)
probabilities = F.softmax(out, dim=1)
""",
    "softmax for something else": """
out = model(x)
probabilities = F.softmax(out, dim=1)
accuracy = (probabilities.argmax(1) == y).float().mean()
loss = F.cross_entropy(out, y)
""",
    "softmax is the target": """
F.cross_entropy(model(x), F.softmax(model(x), 1))
F.kl_div(F.log_softmax(model(x), 1), F.softmax(model(x), 1), reduction="batchmean")
""",
    "branch": """
out = model(x)
if x.sum() > 0:
    out = out.softmax(1)
F.cross_entropy(out, y)
""",
    "both branches": """
if x.sum() > 0:
    out = model(x).softmax(1)
else:
    out = F.softmax(model(x), dim=1)
F.cross_entropy(out, y)  # found
""",
    "within a branch": """
out = model(x)
if x.sum() > 0:
    F.cross_entropy(out.softmax(1), y)  # found
else:
    F.cross_entropy(out, y)
""",
    "a branch that leaves": """
def step(x, y, flag):
    out = model(x)
    if flag:
        out = out.softmax(1)
        return out
    return F.cross_entropy(out, y)
""",
    "try": """
try:
    out = model(x).softmax(1)
except RuntimeError:
    raise
F.cross_entropy(out, y)  # found
""",
    "loop": """
for a, b in [(x, y)] * 3:
    out = model(a)
    out = F.softmax(out, dim=1)
    F.cross_entropy(out, b)  # found
""",
    "a loop that may skip": """
for a in range(100):
    out = model(x)
    if a % 2:
        continue
    out = out.softmax(1)
    F.cross_entropy(out, y)  # found
F.cross_entropy(out, y)
""",
    "a flag that a loop changes": """
first = True
out = model(x)
while True:
    if first:
        first = False
    else:
        F.cross_entropy(out.softmax(1), y)  # found
""",
    "with": """
with torch.autocast("cuda"):
    out = model(x).softmax(1)
    F.cross_entropy(out, y)  # found
""",
    "walrus": """
F.cross_entropy((p := model(x).softmax(1)), y)  # found
F.cross_entropy(p, y)  # found
""",
    "tuples": """
def both(x):
    out = model(x)
    return out, F.softmax(out, 1)
logits, probabilities = both(x)
F.cross_entropy(logits, y)
F.cross_entropy(probabilities, y)  # found
F.cross_entropy(both(x)[0], y)
F.cross_entropy(both(x)[-1], y)  # found
result = both(x)
F.cross_entropy(result[1], y)  # found
first, *rest = both(x)
F.cross_entropy(rest[0], y)  # found
""",
    "dictionary of results": """
def both(x):
    out = model(x)
    return {"logits": out, "probs": F.softmax(out, 1)}
result = both(x)
F.cross_entropy(result["logits"], y)
F.cross_entropy(result["probs"], y)  # found
F.cross_entropy(both(x).get("probs"), y)  # found
""",
    "named results": """
from dataclasses import dataclass
from typing import NamedTuple
from transformers.modeling_outputs import SequenceClassifierOutput
@dataclass
class Output:
    logits: torch.Tensor
    probs: torch.Tensor
out = Output(model(x), probs=model(x).softmax(1))
F.cross_entropy(out.logits, y)
F.cross_entropy(out.probs, y)  # found
F.cross_entropy(SequenceClassifierOutput(logits=model(x)).logits, y)
F.cross_entropy(SequenceClassifierOutput(logits=model(x).softmax(1)).logits, y)  # found
""",
    "unpacked in the loop": """
for i, (a, b) in enumerate([(x, y)]):
    F.cross_entropy(F.softmax(a, 1), b)  # found
for out, target in zip([model(x).softmax(1)], [y]):
    F.cross_entropy(out, target)  # found
""",
    "None first": """
out = None
for a in range(100):
    out = model(x).softmax(1)
F.cross_entropy(out, y)  # found
""",
    "list of results": """
outs = []
for a in range(100):
    outs.append(model(x).softmax(1))
F.cross_entropy(torch.cat(outs), y)  # found
F.cross_entropy(torch.stack([model(x).softmax(-1) for _ in range(9)]), y)  # found
""",
    # ----- the model -----
    "last layer": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.softmax = nn.Softmax(dim=1)
    def forward(self, x):
        return self.softmax(self.fc(x))
net = Net().to("cuda")
F.cross_entropy(net(x), y)  # found
F.cross_entropy(Net()(x), y)  # found
F.cross_entropy(net.forward(x), y)  # found
F.cross_entropy(nn.DataParallel(net)(x), y)  # found
F.cross_entropy(torch.compile(net).eval()(x), y)  # found
""",
    "attention within": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.softmax = nn.Softmax(dim=1)
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        weights = self.softmax(x)
        return self.fc(weights * x)
F.cross_entropy(Net()(x), y)
""",
    "every return counts": """
class Net(nn.Module):
    def forward(self, x):
        out = model(x)
        if self.training:
            return out
        return out.softmax(1)
class Both(nn.Module):
    def forward(self, x):
        if self.training:
            return model(x).softmax(1)
        return F.softmax(model(x), 1)
F.cross_entropy(Net()(x), y)
F.cross_entropy(Both()(x), y)  # found
""",
    "an option": """
class Net(nn.Module):
    def __init__(self, soft=False):
        super().__init__()
        self.soft = soft
    def forward(self, x):
        out = model(x)
        return F.softmax(out, dim=1) if self.soft else out
F.cross_entropy(Net()(x), y)
F.cross_entropy(Net(soft=True)(x), y)  # found
F.cross_entropy(Net(True)(x), y)  # found
""",
    "an option of forward": """
class Net(nn.Module):
    def forward(self, x, logits=True):
        out = model(x)
        if logits:
            return out
        return F.softmax(out, dim=1)
F.cross_entropy(Net()(x), y)
F.cross_entropy(Net()(x, logits=False), y)  # found
""",
    "an option that is not known": """
class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation
    def forward(self, x):
        out = model(x)
        if self.activation == "softmax":
            out = F.softmax(out, dim=1)
        return out
def make(args):
    return Net(args.activation)
F.cross_entropy(make(x)(x), y)
F.cross_entropy(Net("softmax")(x), y)  # found
F.cross_entropy(Net(None)(x), y)
""",
    "an activation that is handed over": """
class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation
    def forward(self, x):
        return self.activation(model(x))
F.cross_entropy(Net(nn.Softmax(dim=1))(x), y)  # found
F.cross_entropy(Net(nn.Identity())(x), y)
""",
    "Sequential": """
net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
F.cross_entropy(net(x), y)  # found
F.cross_entropy(nn.Sequential(nn.Softmax(1), nn.Linear(3, 3))(x), y)
F.cross_entropy(nn.Sequential(nn.Linear(4, 3), nn.Softmax(1), nn.Dropout(0.1), nn.Flatten())(x), y)  # found
F.cross_entropy(nn.Sequential(*[nn.Linear(4, 3), nn.Softmax(dim=1)])(x), y)  # found
F.cross_entropy(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 3), nn.Softmax(1)))(x), y)  # found
""",
    "Sequential by names": """
from collections import OrderedDict
net = nn.Sequential(OrderedDict([("fc", nn.Linear(4, 3)), ("softmax", nn.Softmax(dim=1))]))
F.cross_entropy(net(x), y)  # found
other = nn.Sequential(OrderedDict({"fc": nn.Linear(4, 3), "softmax": nn.Softmax(dim=1)}))
F.cross_entropy(other(x), y)  # found
""",
    "Sequential by steps": """
net = nn.Sequential()
net.add_module("fc", nn.Linear(4, 3))
net.add_module("softmax", nn.Softmax(dim=1))
F.cross_entropy(net(x), y)  # found
other = nn.Sequential(nn.Linear(4, 3))
other.append(nn.Softmax(1))
F.cross_entropy(other(x), y)  # found
other[1] = nn.Identity()
F.cross_entropy(other(x), y)
""",
    "layers from a list": """
def build(sizes, soft):
    layers = []
    for size in sizes:
        layers += [nn.Linear(size, size), nn.ReLU()]
    layers.append(nn.Linear(4, 3))
    if soft:
        layers.append(nn.Softmax(dim=1))
    return nn.Sequential(*layers)
def surely(sizes):
    layers = [nn.Linear(a, a) for a in sizes]
    layers.extend([nn.Linear(4, 3), nn.Softmax(dim=1)])
    return nn.Sequential(*layers)
F.cross_entropy(build(y, True)(x), y)  # found
F.cross_entropy(build(y, False)(x), y)
F.cross_entropy(surely(y)(x), y)  # found
""",
    "ModuleList": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 3), nn.ReLU()])
        self.layers.append(nn.Softmax(dim=1))
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
F.cross_entropy(Net()(x), y)  # found
""",
    "a Sequential of one's own": """
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3), nn.Softmax(dim=1))
class Steps(nn.Sequential):
    def __init__(self):
        super().__init__()
        self.add_module("fc", nn.Linear(4, 3))
        self.add_module("softmax", nn.Softmax(dim=1))
F.cross_entropy(Net()(x), y)  # found
F.cross_entropy(Steps()(x), y)  # found
""",
    "children in their order": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("fc", nn.Linear(4, 3))
        self.softmax = nn.Softmax(dim=1)
    def forward(self, x):
        for name, child in self.named_children():
            x = child(x)
        return x
F.cross_entropy(Net()(x), y)  # found
""",
    "inheritance": """
class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.softmax = nn.Softmax(dim=1)
    def forward(self, x):
        return self.last(self.features(x))
    def features(self, x):
        return model(x)
class Soft(Base):
    def last(self, x):
        return self.softmax(x)
class Plain(Base):
    def last(self, x):
        return x
F.cross_entropy(Soft()(x), y)  # found
F.cross_entropy(Plain()(x), y)
""",
    "a template": """
class Trainer:
    def step(self, x, y):
        return self.criterion(self.net(x), y)  # found
class Mine(Trainer):
    def __init__(self):
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
        self.criterion = nn.CrossEntropyLoss()
""",
    "helper": """
def probabilities(out):
    return F.softmax(out, dim=-1)
F.cross_entropy(probabilities(model(x)), y)  # found
""",
    "helper method": """
class Net(nn.Module):
    @staticmethod
    def squash(x):
        return torch.softmax(x, 1)
    def head(self, x):
        return self.squash(model(x))
    def forward(self, x):
        return self.head(x)
    @property
    def loss(self):
        return nn.CrossEntropyLoss()
    def step(self, x, y):
        return self.loss(self(x), y)  # found
""",
    "the model is an attribute": """
class Net(nn.Module):
    def forward(self, x):
        return model(x).softmax(1)
class Trainer:
    def __init__(self):
        self.net = Net()
        self.criterion = nn.CrossEntropyLoss()
    def step(self, x, y):
        out = self.net(x)
        return self.criterion(out, y)  # found
""",
    "the model is handed over": """
class Net(nn.Module):
    def forward(self, x):
        return model(x).softmax(1)
class Trainer:
    def __init__(self, net, criterion):
        self.net, self.criterion = net, criterion
    def step(self, x, y):
        return self.criterion(self.net(x), y)  # found
    def unused(self, x, y):
        return self.criterion(self.net(x), y)  # found
def main():
    trainer = Trainer(Net(), nn.CrossEntropyLoss())
    trainer.step(x, y)
if __name__ == "__main__":
    main()
""",
    "a Lightning module": """
import pytorch_lightning as pl
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, index):
        x, y = batch
        return F.cross_entropy(self(x), y)  # found
""",
    "a pretrained model with another head": """
from torchvision import models
net = models.resnet18(weights=None)
net.fc = nn.Sequential(nn.Linear(512, 3), nn.Softmax(dim=1))
F.cross_entropy(net.cuda()(x), y)  # found
other = models.resnet18()
other.fc = nn.Linear(512, 3)
F.cross_entropy(other(x), y)
vgg = models.vgg16()
vgg.classifier[6] = nn.Sequential(nn.Linear(4096, 3), nn.Softmax(dim=1))
F.cross_entropy(vgg(x), y)  # found
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = models.resnet18()
        self.backbone.fc = nn.Sequential(nn.Linear(512, 3), nn.Softmax(dim=1))
    def forward(self, x):
        return self.backbone(x)
F.cross_entropy(Mine()(x), y)  # found
""",
    "a pretrained model whose middle was exchanged": """
from torchvision import models
net = models.resnet18()
net.layer4 = nn.Sequential(net.layer4, nn.Softmax(dim=1))
F.cross_entropy(net(x), y)
""",
    "annotated model": """
class Net(nn.Module):
    def forward(self, x):
        return model(x).softmax(1)
def train(net: Net, x):
    return F.cross_entropy(net(x), y)  # found
""",
    "a model from a function": """
class Soft(nn.Module):
    def forward(self, x):
        return model(x).softmax(1)
class Plain(nn.Module):
    def forward(self, x):
        return model(x)
def make(name):
    if name == "soft":
        return Soft()
    return Plain()
F.cross_entropy(make("soft")(x), y)  # found
F.cross_entropy(make("plain")(x), y)
def any_of_them(name):
    F.cross_entropy(make(name)(x), y)
""",
    "prepared by accelerate": """
from accelerate import Accelerator
accelerator = Accelerator()
net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
net, optimizer = accelerator.prepare(net, optimizer)
F.cross_entropy(net(x), y)  # found
""",
    "settings with a default": """
class Trainer:
    def __init__(self, **settings):
        self.criterion = settings.get("criterion", nn.CrossEntropyLoss())
    def step(self, x, y):
        return self.criterion(model(x).softmax(1), y)  # found
""",
    "ignite and fastai": """
from ignite.engine import create_supervised_trainer
from fastai.vision.all import Learner
net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
trainer = create_supervised_trainer(net, optimizer, nn.CrossEntropyLoss())  # found
learner = Learner(loaders, net, loss_func=nn.CrossEntropyLoss())  # found
other = Learner(loaders, model, loss_func=nn.CrossEntropyLoss())
""",
    "skorch": """
from skorch import NeuralNetClassifier
class Net(nn.Module):
    def forward(self, x):
        return model(x).softmax(1)
net = NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, max_epochs=10)
net.fit(x, y)
""",
    "recursion": """
def again(x, depth):
    return again(x, depth - 1) if depth else x
class Tree(nn.Module):
    def forward(self, x):
        return self.forward(x)
F.cross_entropy(again(x, 3), y)
F.cross_entropy(Tree()(x), y)
""",
    "a name that is not there": """
F.cross_entropy(undefined(x).softmax(1), y)  # found
undefined.attribute[3](F.softmax(x, 1), y)
""",
    "global": """
criterion = None
def prepare():
    global criterion
    criterion = nn.CrossEntropyLoss()
def step(x, y):
    return criterion(model(x).softmax(1), y)  # found
prepare()
""",
    "nested functions": """
def train():
    criterion = nn.CrossEntropyLoss()
    def step(x, y):
        return criterion(model(x).softmax(1), y)  # found
    def closure():
        return step
    return closure
""",
    "decorated": """
@torch.no_grad()
def evaluate(x, y):
    return F.cross_entropy(model(x).softmax(1), y)  # found
""",
    "the criterion goes with the branch": """
class Own(nn.Module):
    def forward(self, p, target):
        return (p * target).sum()
def train(kind, x, y):
    if kind == "own":
        criterion = Own()
    elif kind == "both":
        criterion = Own()
    else:
        criterion = nn.CrossEntropyLoss()
    out = model(x)
    if kind in ("own", "both"):
        return criterion(out.softmax(1), y)
    return criterion(out, y)
""",
    "the criterion does not go with the branch": """
def train(kind, phase, x, y):
    criterion = nn.CrossEntropyLoss() if kind == "ce" else print
    out = model(x).softmax(1)
    if phase == "train":
        return criterion(out, y)  # found
""",
    "the tensor goes with the branch": """
def train(soft, x, y):
    out = model(x)
    if soft:
        out = out.softmax(1)
    if soft:
        return F.nll_loss(out.log(), y)
    return F.cross_entropy(out, y)
def wrong(soft, x, y):
    out = model(x)
    if soft:
        out = out.softmax(1)
    if soft:
        return F.cross_entropy(out, y)  # found
    return F.mse_loss(out, y)
def early(soft, x, y):
    out = model(x)
    if soft:
        out = out.softmax(1)
    if not x.any():
        return None
    if soft:
        return None
    return F.cross_entropy(out, y)
""",
    "a loss by its name": """
losses = {"own": print, "ce": nn.CrossEntropyLoss()}
def train(args, x, y):
    criterion = losses[args.loss]
    if args.loss == "own":
        return criterion(model(x).softmax(1), y)
    return criterion(model(x), y)
""",
    "match": """
match model.kind:
    case "soft":
        out = model(x).softmax(1)
    case _:
        out = F.softmax(model(x), 1)
F.cross_entropy(out, y)  # found
""",
    "async and generators": """
async def step(x, y):
    out = await model(x)
    return F.cross_entropy(out.softmax(1), y)  # found
def batches():
    for i in range(3):
        yield model(x).softmax(1), y
for out, target in batches():
    F.cross_entropy(out, target)  # found
""",
}


@pytest.mark.parametrize("name", CASES)
def test_shape(name: str, tmp_path: Path) -> None:
    code = HEAD + CASES[name]
    result = checked(tmp_path, {"code.py": code})
    assert result.passed_over == []
    expected = [number for number, line in enumerate(code.splitlines(), 1) if line.endswith("# found")]
    assert sorted({finding.line for finding in result.findings}) == expected
