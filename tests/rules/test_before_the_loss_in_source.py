"""Rules about what stands before a loss, in source: what is told, and the legal that is not."""

import pytest

from lossmith.lint import lint

HEAD = """\
import torch
from torch import nn
from torch.nn import functional as F

import lossmith
from lossmith import functional as L

"""

WRONG = {
    "softmax-into-cross-entropy": [
        "loss = F.cross_entropy(torch.softmax(model(x), 1), y)",
        "p = model(x).softmax(dim=-1)\nloss = F.cross_entropy(p.view(-1, 10), y.view(-1))",
        "loss = L.focal_loss(model(x).softmax(1), y)",
        "loss = lossmith.DiceLoss()(torch.softmax(model(x), 1), y)",
        "loss = L.distillation_loss(model(x), teacher(x).softmax(-1), y)",
        "loss = L.distillation_loss(model(x).softmax(-1), teacher(x), y)",
    ],
    "log-softmax-into-cross-entropy": [
        "loss = F.cross_entropy(F.log_softmax(model(x), dim=1), y)",
        "loss = F.cross_entropy(F.log_softmax(model(x)), y)",
        "loss = L.tversky_loss(F.log_softmax(model(x), dim=1), y)",
        "loss = L.distillation_loss(model(x), F.log_softmax(b, dim=1))",
    ],
    "sigmoid-into-cross-entropy": [
        "loss = F.cross_entropy(torch.sigmoid(model(x)), y)",
        "loss = L.focal_loss(torch.sigmoid(model(x)), y)",
        "loss = L.dice_loss(torch.sigmoid(model(x)), y)",
    ],
    "sigmoid-into-bce-with-logits": [
        "loss = F.binary_cross_entropy_with_logits(model(x).sigmoid(), y)",
        "loss = F.binary_cross_entropy_with_logits(F.softmax(model(x), 1)[:, 1], y)",
        "loss = nn.MultiLabelSoftMarginLoss()(torch.sigmoid(model(x)), y)",
        "loss = nn.SoftMarginLoss()(torch.sigmoid(model(x)), y)",
        "loss = lossmith.SigmoidFocalLoss()(torch.sigmoid(model(x)), y)",
        "loss = lossmith.DiceLoss(activation='sigmoid')(torch.sigmoid(model(x)), y)",
        "loss = L.tversky_loss(F.softmax(model(x), dim=1), y, activation='sigmoid')",
    ],
    "relu-before-logits": [
        "loss = F.cross_entropy(F.relu(model(x)), y)",
        "loss = F.nll_loss(F.log_softmax(F.relu(model(x)), dim=1), y)",
        "loss = F.binary_cross_entropy(torch.sigmoid(torch.relu(model(x))), y)",
        "loss = L.sigmoid_focal_loss(torch.relu(model(x)), y)",
        "loss = L.dice_loss(torch.relu(model(x)), y)",
        "loss = L.dice_loss(torch.sigmoid(torch.relu(model(x))), y, activation=None)",
    ],
    "softmax-wrong-dim": [
        "loss = F.nll_loss(F.log_softmax(model(x), dim=0), y)",
        "loss = F.nll_loss(F.log_softmax(model(x)), y)",
        "loss = F.nll_loss(torch.log(F.softmax(model(x), dim=0)), y)",
        "loss = F.cross_entropy(F.log_softmax(model(x), 0), y)",
        "loss = F.kl_div(F.log_softmax(a, dim=1), F.softmax(b), reduction='batchmean')",
        "loss = F.kl_div(F.log_softmax(a, dim=0), b, reduction='batchmean')",
        "loss = L.js_div(F.log_softmax(a, dim=0), b, reduction='batchmean')",
    ],
    "probabilities-into-nll": [
        "loss = F.nll_loss(F.softmax(model(x), dim=1), y)",
        "loss = nn.NLLLoss()(torch.sigmoid(model(x)), y)",
    ],
    "logits-into-nll": [
        "loss = F.nll_loss(nn.Linear(4, 3)(x), y)",
        "loss = F.nll_loss(nn.Sequential(nn.Linear(4, 3), nn.ReLU())(x), y)",
    ],
    "logits-into-bce": [
        "loss = F.binary_cross_entropy(nn.Linear(4, 1)(x).squeeze(1), y)",
        "loss = nn.BCELoss()(torch.tanh(model(x)), y)",
        "loss = nn.BCELoss()(F.logsigmoid(model(x)), y)",
        "loss = L.dice_loss(nn.Linear(4, 1)(x), y, activation=None)",
    ],
    "single-logit-cross-entropy": [
        "loss = F.cross_entropy(nn.Linear(4, 1)(x), y)",
        "loss = F.cross_entropy(nn.Conv2d(4, 1, 3)(x), y)",
        "loss = L.focal_loss(nn.Linear(4, 1)(x), y)",
        "loss = lossmith.DiceLoss()(nn.Conv2d(4, 1, 3)(x), y)",
    ],
    "kl-input-not-log": [
        "loss = F.kl_div(F.softmax(a, dim=1), F.softmax(b, dim=1), reduction='batchmean')",
        "loss = F.kl_div(nn.Linear(4, 3)(a), F.softmax(b, dim=1), reduction='batchmean')",
        "loss = lossmith.JSDivLoss(reduction='batchmean')(F.softmax(a, dim=1), F.softmax(b, dim=1))",
    ],
    "kl-target-not-probability": [
        "loss = F.kl_div(F.log_softmax(a, dim=1), F.log_softmax(b, dim=1), reduction='batchmean')",
        "loss = F.kl_div(F.log_softmax(a, dim=1), F.softmax(b, dim=1), reduction='batchmean', log_target=True)",
        "loss = F.kl_div(F.log_softmax(a, dim=1), b.log(), reduction='sum')",
        "loss = L.js_div(F.log_softmax(a, dim=1), F.softmax(b, dim=1), True, reduction='sum')",
    ],
    "kl-mean-reduction": [
        "loss = F.kl_div(F.log_softmax(a, dim=1), b)",
        "loss = F.kl_div(F.log_softmax(a, dim=1), b, size_average=True)",
        "criterion = nn.KLDivLoss(reduction='mean')",
        "criterion = lossmith.JSDivLoss()",
    ],
    "target-not-plus-minus-one": [
        "loss = F.cosine_embedding_loss(a, b, (x == y).float())",
        "loss = F.margin_ranking_loss(a, b, torch.zeros(8))",
        "loss = F.hinge_embedding_loss(a, torch.tensor([1, 0, 1]))",
        "loss = nn.SoftMarginLoss()(a, torch.randint(0, 2, (8,)).float())",
        "loss = lossmith.ContrastiveLoss(margin=2.0)(a, b, (x == y).float())",
    ],
    "cosine-margin-out-of-range": [
        "loss = F.cosine_embedding_loss(a, b, y, margin=1.5)",
        "criterion = nn.CosineEmbeddingLoss(-0.2)",
    ],
}

LEGAL = [
    "loss = F.cross_entropy(model(x), y)\naccuracy = (model(x).softmax(1).argmax(1) == y).float().mean()",
    "loss = F.cross_entropy(10 * torch.sigmoid(model(x)), y)",
    "loss = L.dice_loss(F.softmax(model(x), dim=1), y, activation=None)",
    "loss = L.dice_loss(torch.sigmoid(model(x)), y, activation=None)",
    "loss = L.dice_loss(torch.sigmoid(model(x)), y, activation=how)",
    "loss = L.dice_loss(nn.Conv2d(4, 1, 3)(x), y, activation='sigmoid')",
    "loss = L.dice_loss(nn.Conv2d(4, 2, 3)(x), y)",
    "loss = L.contrastive_loss(a, b, (x == y).float(), labels='binary')",
    "loss = L.contrastive_loss(a, b, (x == y).float(), labels=how)",
    "loss = L.distillation_loss(model(x), teacher(x), y)",
    "loss = L.sigmoid_focal_loss(model(x), F.softmax(b, dim=1))",
    "loss = L.js_div(F.log_softmax(a, dim=1), F.softmax(b, dim=1), reduction='batchmean')",
    "loss = L.js_div(F.log_softmax(a, dim=1), F.softmax(b, dim=1), normalizer=8)",
    "loss = L.arcface_loss(F.relu(model(x)), w, y)",
    "loss = F.cross_entropy(model(x), F.softmax(b, dim=1))",
    "loss = F.cross_entropy(nn.Linear(8, 1)(x).view(-1, 4), y)",
    "loss = F.cross_entropy(nn.Linear(8, 1)(x).squeeze(-1), y)",
    "loss = F.cross_entropy(nn.Linear(8, outputs)(x), y)",
    "loss = F.cross_entropy(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))(x), y)",
    "loss = F.cross_entropy(F.leaky_relu(model(x)), y)",
    "loss = F.nll_loss(F.log_softmax(model(x), dim=1), y)",
    "loss = F.nll_loss(F.log_softmax(model(x), dim=dim), y)",
    "loss = F.nll_loss(torch.log(F.softmax(model(x), dim=1) + 1e-8), y)",
    "loss = F.nll_loss(model(x), y)",
    "loss = F.nll_loss(F.log_softmax(a @ b.T, dim=0), torch.arange(8))",
    "loss = F.binary_cross_entropy(F.softmax(model(x), dim=1)[:, 1], y)",
    "loss = F.binary_cross_entropy(torch.sigmoid(nn.Linear(4, 1)(x)), y)",
    "loss = F.binary_cross_entropy((torch.tanh(model(x)) + 1) / 2, y)",
    "loss = F.binary_cross_entropy_with_logits(model(x), torch.sigmoid(b))",
    "loss = F.kl_div(F.log_softmax(a, dim=1), F.softmax(b, dim=1), reduction='batchmean')",
    "loss = F.kl_div(F.log_softmax(a, dim=0), F.softmax(b, dim=0), reduction='sum')",
    "loss = F.kl_div(F.log_softmax(a, 1), F.log_softmax(b, 1), reduction='batchmean', log_target=True)",
    "loss = F.kl_div(F.log_softmax(a, 1), F.log_softmax(b, 1), reduction='batchmean', log_target=logs)",
    "loss = F.kl_div(a, b, size_average=False)",
    "loss = F.kl_div(a, b, reduce=False)",
    "loss = F.kl_div(a, b, reduction=how)",
    "loss = nn.KLDivLoss(reduction='none')(a, b)",
    "loss = F.cosine_embedding_loss(a, b, 2 * (x == y).float() - 1)",
    "loss = F.cosine_embedding_loss(a, b, torch.ones(8))",
    "loss = F.cosine_embedding_loss(a, b, -torch.ones(8))",
    "loss = F.cosine_embedding_loss(a, b, torch.tensor([1, -1, 1]))",
    "loss = F.cosine_embedding_loss(a, b, torch.where(x == y, 1, -1))",
    "loss = F.cosine_embedding_loss(a, b, y, margin=0.5)",
    "loss = F.cosine_embedding_loss(a, b, y, margin=margin)",
    "loss = F.margin_ranking_loss(a, b, torch.sign(x - y))",
]


def found(program: str, tmp_path) -> list[str]:
    file = tmp_path / "program.py"
    file.write_text(HEAD + program + "\n")
    report = lint([file])
    assert not report.passed_over
    return [finding.rule for finding in report.findings]


@pytest.mark.parametrize(
    ("rule", "program"), [pytest.param(rule, program, id=rule) for rule, some in WRONG.items() for program in some]
)
def test_it_is_told(rule, program, tmp_path):
    assert found(program, tmp_path) == [rule]


@pytest.mark.parametrize("program", LEGAL)
def test_what_is_legal_is_silent(program, tmp_path):
    assert found(program, tmp_path) == []
