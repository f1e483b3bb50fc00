"""What is measured: each loss with its inputs, at sizes from 64 to 16 M elements and at shapes that occur."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from .. import functional

Layout = Literal["flat", "rows", "pairs", "frames", "batch"]
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call, and those of them that want a gradient."""

    args: tuple[Tensor, ...]
    keywords: dict[str, Any]
    wanted: tuple[Tensor, ...]


@dataclass(frozen=True)
class Draw:
    """Draws tensors, in float32 and then rounded: not every device draws half precision."""

    dtype: torch.dtype
    device: torch.device

    def reals(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device).to(self.dtype)

    def chances(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device).clamp_(0.01, 0.99).to(self.dtype)

    def signs(self, *shape: int) -> Tensor:
        return self.bits(*shape).mul_(2).sub_(1)

    def bits(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device).round_().to(self.dtype)

    def rows(self, *shape: int) -> Tensor:
        """Probabilities over dimension 1."""
        return torch.randn(shape, device=self.device).softmax(1).to(self.dtype)

    def labels(self, rows: int, classes: int, *positions: int) -> Tensor:
        """Class labels of scores that have this shape."""
        return torch.randint(0, classes, (rows, *positions), device=self.device)

    def few_labels(self, rows: int, classes: int) -> Tensor:
        """Three labels a row, padded with -1, as multilabel_margin_loss wants them."""
        padded = torch.full((rows, classes), -1, device=self.device)
        padded[:, :3] = torch.randint(0, classes, (rows, 3), device=self.device)
        return padded

    def sequences(self, frames: int, samples: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Targets of CTC, 60 labels for 400 frames, with both lengths."""
        length = max(1, 3 * frames // 20)
        targets = torch.randint(1, classes, (samples, length), device=self.device)
        return targets, torch.full((samples,), frames), torch.full((samples,), length)


@dataclass(frozen=True, eq=False)
class Case:
    """One row of the tables: a loss, with what it is given."""

    loss: str
    """Its name in lossmith.functional."""
    layout: Layout
    """What a number of elements means: one dimension, rows of classes, pairs of vectors; CTC, and batches whose rows
    are all compared, have shapes alone."""
    draw: Callable[..., tuple[Tensor, ...]]
    """The arguments, from a Draw and the input's shape."""
    form: str = ""
    """What tells this case from others of the same loss."""
    keywords: dict[str, Any] = field(default_factory=dict)
    predictions: tuple[int, ...] = (0,)
    """Positions of the arguments that a network makes: they want a gradient."""
    target: int | None = None
    """Position of a target that may want a gradient, in torch too."""
    streams: bool = True
    """Whether the time can be compared with a copy's: everything of the input's shape is of its dtype and is read."""
    theirs: Loss | None = None
    ours: Loss | None = None
    labels: bool = False
    """Whether theirs is lossmith too, with probabilities where ours has labels."""

    @property
    def name(self) -> str:
        return f"{self.loss} ({self.form})" if self.form else self.loss


@dataclass(frozen=True)
class Workload:
    """A case at a size."""

    case: Case
    size: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def theirs(self) -> Loss:
        loss: Loss = self.case.theirs or getattr(torch_functional, self.case.loss)
        return loss

    @property
    def ours(self) -> Loss:
        loss: Loss = self.case.ours or getattr(functional, self.case.loss)
        return loss

    def inputs(self, dtype: torch.dtype, device: torch.device, target: bool = False) -> Inputs:
        """The same numbers on every call; target: the target wants a gradient too."""
        torch.manual_seed(0)
        args = self.case.draw(Draw(dtype, device), *self.shape)
        positions = self.case.predictions
        if target and self.case.target is not None:
            positions += (self.case.target,)
        return Inputs(args, self.case.keywords, tuple(args[i].requires_grad_() for i in positions))


def _two(d: Draw, n: int) -> tuple[Tensor, ...]:
    return d.reals(n), d.reals(n)


def _signed(d: Draw, n: int) -> tuple[Tensor, ...]:
    return d.reals(n), d.signs(n)


def _classified(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    return d.reals(*shape), d.labels(*shape)


def _triplet(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    return d.reals(*shape), d.reals(*shape), d.reals(*shape)


def _labelled(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    """Eight vectors of each label."""
    return d.reals(*shape), torch.arange(shape[0], device=d.device) % max(1, shape[0] // 8)


def _two_sets(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    return d.reals(*shape), d.reals(*shape)


def _sequence(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    return d.reals(*shape), *d.sequences(*shape)


def _log_sequence(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    return d.reals(*shape).log_softmax(-1), *d.sequences(*shape)


def _their_ctc(logits: Tensor, targets: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    return torch_functional.ctc_loss(logits.log_softmax(-1), targets, frames, lengths)


def _our_ctc(logits: Tensor, targets: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    return functional.ctc_loss(logits.log_softmax(-1), targets, frames, lengths)


def _their_contrastive(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    apart = torch_functional.pairwise_distance(first, second, eps=0.0)
    return torch.where(target == 1, apart.square(), (1 - apart).relu().square()).mean() / 2


def _their_facenet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, **_: Any) -> Tensor:
    anchor, positive, negative = (torch_functional.normalize(x, dim=-1) for x in (anchor, positive, negative))
    near, far = (anchor - positive).square().sum(-1), (anchor - negative).square().sum(-1)
    return (near - far + margin).relu().mean()


def _their_pinball(x: Tensor, y: Tensor, quantiles: float) -> Tensor:
    error = y - x
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean()


def _their_quantiles(x: Tensor, y: Tensor, quantiles: tuple[float, ...]) -> Tensor:
    error = y.unsqueeze(-1) - x
    q = torch.tensor(quantiles, dtype=x.dtype, device=x.device)
    return torch.maximum(q * error, (q - 1) * error).mean()


def _their_log_cosh(x: Tensor, y: Tensor) -> Tensor:
    error = x - y
    return (error + torch_functional.softplus(-2 * error) - math.log(2)).mean()


def _their_charbonnier(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2 + 1e-3**2).sqrt().mean()


def _their_distillation(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """As it is written by hand, at a temperature of 2."""
    soft = torch_functional.kl_div(
        torch_functional.log_softmax(student / 2, 1), torch_functional.softmax(teacher / 2, 1), reduction="batchmean"
    )
    return 0.5 * 4 * soft + 0.5 * torch_functional.cross_entropy(student, labels)


def _their_focal(input: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    surprisal = torch_functional.cross_entropy(input, target, reduction="none")
    return ((1 - torch.exp(-surprisal)) ** gamma * surprisal).mean()


def _their_sigmoid_focal(input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    p = torch.sigmoid(input)
    cost = torch_functional.binary_cross_entropy_with_logits(input, target, reduction="none")
    p_of_target = p * target + (1 - p) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * (1 - p_of_target) ** gamma * cost).mean()


def _regions(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Predictions, one-hot targets, and the dimensions of a region of the whole batch."""
    own = [d for d in range(x.dim()) if d != 1]
    return x.softmax(1), torch_functional.one_hot(labels, x.shape[1]).movedim(-1, 1).to(x.dtype), own


def _their_dice(x: Tensor, labels: Tensor, batch: bool) -> Tensor:
    p, t, own = _regions(x, labels)
    return (1 - (2 * (p * t).sum(own) + 1) / (p.sum(own) + t.sum(own) + 1)).mean()


def _their_tversky(x: Tensor, labels: Tensor, alpha: float, beta: float, batch: bool) -> Tensor:
    p, t, own = _regions(x, labels)
    right, excess, missed = (p * t).sum(own), (p * (1 - t)).sum(own), ((1 - p) * t).sum(own)
    return (1 - (right + 1) / (right + alpha * excess + beta * missed + 1)).mean()


def _their_batch_hard(x: Tensor, labels: Tensor, miner: str) -> Tensor:
    distances, same = torch.cdist(x, x), labels[:, None] == labels
    near = distances.masked_fill(~same, -math.inf).max(1).values
    far = distances.masked_fill(same, math.inf).min(1).values
    return torch_functional.relu(near - far + 1).mean()


def _their_semi_hard(x: Tensor, labels: Tensor) -> Tensor:
    distances, same = torch.cdist(x, x), labels[:, None] == labels
    a, p = same.fill_diagonal_(False).nonzero(as_tuple=True)
    far = distances.masked_fill(labels[:, None] == labels, math.inf).sort(1).values
    near = distances[a, p]
    place = torch.searchsorted(far, distances.detach(), right=True)[a, p].clamp(max=len(x) - 1)
    cost = near - far[a, place] + 1
    return cost[cost > 0].mean()


def _their_info_nce(queries: Tensor, keys: Tensor) -> Tensor:
    queries, keys = torch_functional.normalize(queries, dim=1), torch_functional.normalize(keys, dim=1)
    return torch_functional.cross_entropy(queries @ keys.T / 0.1, torch.arange(len(keys), device=keys.device))


def _their_clip(queries: Tensor, keys: Tensor) -> Tensor:
    queries, keys = torch_functional.normalize(queries, dim=1), torch_functional.normalize(keys, dim=1)
    logits, own = queries @ keys.T / 0.1, torch.arange(len(keys), device=keys.device)
    return (torch_functional.cross_entropy(logits, own) + torch_functional.cross_entropy(logits.T, own)) / 2


def _their_js(log_p: Tensor, q: Tensor, reduction: str) -> Tensor:
    log_m = (0.5 * (log_p.exp() + q)).log()
    of_target = torch_functional.kl_div(log_m, q, reduction=reduction)
    return 0.5 * (of_target + torch_functional.kl_div(log_m, log_p, reduction=reduction, log_target=True))


def _their_supcon(vectors: Tensor, labels: Tensor) -> Tensor:
    vectors = torch_functional.normalize(vectors, dim=1)
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logits = (vectors @ vectors.T / 0.1).masked_fill(own, -math.inf)
    positive = (labels[:, None] == labels) & ~own
    shares = logits.log_softmax(1).masked_fill(~positive, 0)
    return -(shares.sum(1) / positive.sum(1).clamp(min=1)).mean()


def _their_siglip(queries: Tensor, keys: Tensor) -> Tensor:
    queries, keys = torch_functional.normalize(queries, dim=1), torch_functional.normalize(keys, dim=1)
    logits = 10 * queries @ keys.T - 10
    signs = 2 * torch.eye(len(keys), dtype=logits.dtype, device=keys.device) - 1
    return -torch_functional.logsigmoid(signs * logits).sum() / len(keys)


def _against_classes(d: Draw, *shape: int) -> tuple[Tensor, ...]:
    return d.reals(*shape), d.reals(*shape), torch.randint(0, shape[0], shape[:1], device=d.device)


def _their_arcface(x: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    cosine = torch_functional.normalize(x, dim=1) @ torch_functional.normalize(classes, dim=1).T
    own = cosine.gather(1, labels[:, None])
    turned = own * math.cos(0.5) - (1 - own.square()).clamp(0, 1).sqrt() * math.sin(0.5)
    turned = torch.where(own > -math.cos(0.5), turned, own - 0.5 * math.sin(0.5))
    return torch_functional.cross_entropy(64 * cosine.scatter(1, labels[:, None], turned), labels)


def _their_cosface(x: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    cosine = torch_functional.normalize(x, dim=1) @ torch_functional.normalize(classes, dim=1).T
    own = torch.full_like(labels, -0.35, dtype=cosine.dtype)[:, None]
    return torch_functional.cross_entropy(64 * cosine.scatter_add(1, labels[:, None], own), labels)


CASES = (
    Case("l1_loss", "flat", _two, target=1),
    Case("mse_loss", "flat", _two, target=1),
    Case("huber_loss", "flat", _two, target=1),
    Case("smooth_l1_loss", "flat", _two, target=1),
    Case("quantile_loss", "flat", _two, keywords={"quantiles": 0.9}, target=1, theirs=_their_pinball),
    Case(
        "quantile_loss",
        "flat",
        lambda d, n: (d.reals(max(1, n // 3), 3), d.reals(max(1, n // 3))),
        "three quantiles",
        keywords={"quantiles": (0.1, 0.5, 0.9)},
        target=1,
        streams=False,
        theirs=_their_quantiles,
    ),
    Case("log_cosh_loss", "flat", _two, target=1, theirs=_their_log_cosh),
    Case("charbonnier_loss", "flat", _two, target=1, theirs=_their_charbonnier),
    Case("binary_cross_entropy", "flat", lambda d, n: (d.chances(n), d.chances(n)), target=1),
    Case("binary_cross_entropy_with_logits", "flat", lambda d, *n: (d.reals(*n), d.chances(*n)), target=1),
    Case("sigmoid_focal_loss", "flat", lambda d, n: (d.reals(n), d.bits(n)), theirs=_their_sigmoid_focal),
    Case("soft_margin_loss", "flat", _signed),
    Case("hinge_embedding_loss", "flat", _signed),
    Case(
        "margin_ranking_loss",
        "flat",
        lambda d, n: (d.reals(n), d.reals(n), d.signs(n)),
        keywords={"margin": 0.5},
        predictions=(0, 1),
    ),
    Case(
        "js_div",
        "flat",
        lambda d, n: (d.chances(n).log(), d.chances(n)),
        keywords={"reduction": "sum"},
        target=1,
        theirs=_their_js,
    ),
    Case(
        "wasserstein_critic_loss",
        "flat",
        _two,
        predictions=(0, 1),
        theirs=lambda fake, real: fake.mean() - real.mean(),
    ),
    Case("kl_div", "flat", lambda d, n: (d.reals(n), d.chances(n)), keywords={"reduction": "sum"}, target=1),
    Case("poisson_nll_loss", "flat", lambda d, n: (d.reals(n), d.chances(n)), target=1),
    Case(
        "gaussian_nll_loss",
        "flat",
        lambda d, n: (d.reals(n), d.reals(n), d.chances(n)),
        predictions=(0, 2),
        target=1,
    ),
    Case("cross_entropy", "rows", _classified),
    Case("cross_entropy", "rows", _classified, "smoothed", keywords={"label_smoothing": 0.1}),
    Case("cross_entropy", "rows", lambda d, *s: (d.reals(*s), d.rows(*s)), "probabilities", target=1),
    Case(
        "cross_entropy",
        "rows",
        lambda d, *s: (d.reals(*s), d.rows(*s), d.labels(*s)),
        "probabilities over labels",
        streams=False,
        theirs=lambda x, probabilities, labels: functional.cross_entropy(x, probabilities),
        ours=lambda x, probabilities, labels: functional.cross_entropy(x, labels),
        labels=True,
    ),
    Case(
        "distillation_loss",
        "rows",
        lambda d, *s: (d.reals(*s), d.reals(*s), d.labels(*s)),
        theirs=_their_distillation,
    ),
    Case("focal_loss", "rows", _classified, theirs=_their_focal),
    Case("dice_loss", "rows", _classified, keywords={"batch": True}, theirs=_their_dice),
    Case(
        "tversky_loss",
        "rows",
        _classified,
        keywords={"alpha": 0.3, "beta": 0.7, "batch": True},
        theirs=_their_tversky,
    ),
    Case("nll_loss", "rows", _classified, streams=False),
    Case("multi_margin_loss", "rows", _classified),
    Case("multilabel_margin_loss", "rows", lambda d, *s: (d.reals(*s), d.few_labels(*s)), streams=False),
    Case("multilabel_soft_margin_loss", "rows", lambda d, *s: (d.reals(*s), d.bits(*s)), target=1),
    Case(
        "contrastive_loss",
        "pairs",
        lambda d, *s: (d.reals(*s), d.reals(*s), d.signs(s[0])),
        predictions=(0, 1),
        theirs=_their_contrastive,
    ),
    Case(
        "wasserstein_loss",
        "rows",
        lambda d, *s: (d.reals(*s), d.reals(*s)),
        streams=False,
        target=1,
        theirs=lambda x, y: (x.sort(-1).values - y.sort(-1).values).abs().mean(),
    ),
    Case(
        "cosine_embedding_loss",
        "pairs",
        lambda d, *s: (d.reals(*s), d.reals(*s), d.signs(s[0])),
        predictions=(0, 1),
    ),
    Case("triplet_margin_loss", "pairs", _triplet, predictions=(0, 1, 2)),
    Case(
        "triplet_margin_loss",
        "pairs",
        _triplet,
        "FaceNet",
        keywords={"margin": 0.2, "eps": 0.0, "squared": True, "normalize": True},
        predictions=(0, 1, 2),
        theirs=_their_facenet,
    ),
    Case("triplet_margin_with_distance_loss", "pairs", _triplet, predictions=(0, 1, 2)),
    Case(
        "mined_triplet_margin_loss",
        "batch",
        _labelled,
        "batch-hard",
        keywords={"miner": "batch_hard"},
        streams=False,
        theirs=_their_batch_hard,
    ),
    Case("mined_triplet_margin_loss", "batch", _labelled, "semi-hard", streams=False, theirs=_their_semi_hard),
    Case("info_nce_loss", "batch", _two_sets, predictions=(0, 1), streams=False, theirs=_their_info_nce),
    Case(
        "info_nce_loss",
        "batch",
        _two_sets,
        "symmetric",
        keywords={"pairing": "symmetric"},
        predictions=(0, 1),
        streams=False,
        theirs=lambda queries, keys, pairing: _their_clip(queries, keys),
    ),
    Case(
        "supcon_loss",
        "batch",
        _labelled,
        streams=False,
        theirs=_their_supcon,
    ),
    Case("siglip_loss", "batch", _two_sets, predictions=(0, 1), streams=False, theirs=_their_siglip),
    Case("arcface_loss", "batch", _against_classes, predictions=(0, 1), streams=False, theirs=_their_arcface),
    Case("cosface_loss", "batch", _against_classes, predictions=(0, 1), streams=False, theirs=_their_cosface),
    Case("ctc_loss", "frames", _log_sequence, "of log-probabilities", streams=False),
    Case("ctc_loss", "frames", _sequence, "behind log_softmax", streams=False, theirs=_their_ctc, ours=_our_ctc),
    Case("ctc_loss_with_logits", "frames", _sequence, streams=False, theirs=_their_ctc),
)

SIZES = ("64", "64K", "1M", "16M")

_ROWS = tuple(case.name for case in CASES if case.layout == "rows")
_LARGE = ("cross_entropy", "cross_entropy (smoothed)", "nll_loss")

SHAPES: dict[str, tuple[str, ...]] = {
    "256x1000": (*_ROWS, "binary_cross_entropy_with_logits"),
    "4096x32000": _LARGE,
    "8x21x512x512": (*_LARGE, "dice_loss", "tversky_loss"),
    "65536x256": tuple(case.name for case in CASES if case.layout == "pairs"),
    "4096x256": tuple(case.name for case in CASES if case.layout == "batch"),
    "16384x256": tuple(case.name for case in CASES if case.layout == "batch"),
    "400x32x80": tuple(case.name for case in CASES if case.layout == "frames"),
}
"""Images of 1000 classes, a vocabulary of 32000, segmentation, embeddings, speech: the shape, with the cases there."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def elements_of(size: str) -> int | None:
    """How many elements a size such as 64, 64K or 16M asks for; None if it is no such size."""
    found = re.fullmatch(r"(\d{1,15})([KMG]?)", size.upper())
    return int(found[1]) * _UNITS[found[2]] if found else None


def size_name(elements: int) -> str:
    """65536 is 64K."""
    unit = max((unit for unit, factor in _UNITS.items() if elements % factor == 0), key=_UNITS.__getitem__)
    return f"{elements // _UNITS[unit]}{unit}"


def workloads(size: str) -> Iterator[Workload]:
    """Every case that is measured at a size: one of SHAPES, or a number of elements."""
    if size in SHAPES:
        shape = tuple(int(length) for length in size.split("x"))
        yield from (Workload(case, size, shape) for case in CASES if case.name in SHAPES[size])
        return
    n = elements_of(size)
    if n is None:
        raise ValueError(f"no size {size!r}")
    classes = min(1000, max(4, math.isqrt(n)))
    width = min(256, max(4, math.isqrt(n)))
    shapes: dict[Layout, tuple[int, ...]] = {
        "flat": (n,),
        "rows": (max(1, n // classes), classes),
        "pairs": (max(1, n // width), width),
    }
    yield from (Workload(case, size, shapes[case.layout]) for case in CASES if case.layout in shapes)
