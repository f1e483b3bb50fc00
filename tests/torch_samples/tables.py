"""Tables of our own: wrong calls with the words of a good message, and calls that a row makes legal."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .samples import NAMES, Call


@dataclass(frozen=True)
class Wrong:
    """A call that torch refuses; the words that our message must hold. error: the type, where a row changes torch's."""

    call: Call
    words: tuple[str, ...]
    row: str | None = None
    error: type[Exception] | None = None

    def __str__(self) -> str:
        return str(self.call)


@dataclass(frozen=True)
class Legal:
    """A call that torch refuses and a row makes legal; the same loss as torch takes it."""

    row: str
    call: Call
    same_as: Callable[[], Tensor]


def numbers(*shape: int, low: float = -2.0, high: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.empty(*shape).uniform_(low, high, generator=generator)


def wrong(name: str, *args: Any, words: str, row: str | None = None, error: Any = None, **kwargs: Any) -> Wrong:
    """words: separated by `;`."""
    return Wrong(Call(name, args, kwargs, "own table"), tuple(words.split("; ")), row, error)


def labels(*values: int) -> Tensor:
    return torch.tensor(values)


x34, x35, x3, x4 = numbers(3, 4), numbers(3, 5), numbers(3), numbers(4)
p34 = numbers(3, 4, low=0.1, high=0.9)
y012 = labels(0, 1, 2)


def _labelled(name: str) -> list[Wrong]:
    """nll_loss and cross_entropy, which torch checks alike."""
    return [
        wrong(name, x34, labels(0, 1), words="(3, 4); (2,); (3,)"),
        wrong(name, x34, labels(0, 1, 4), words="label 4; row 2; 4 classes"),
        wrong(name, x34, labels(0, -1, 2), words="label -1; row 1; ignore_index=-1"),
        wrong(name, x34, labels(0, -100, 2), ignore_index=1, words="label -100; row 1"),
        wrong(name, x34, x3, words="(3,); float32; .long()"),
        wrong(name, x34, torch.tensor([True, False, True]), words="bool; .long()"),
        wrong(name, x4, labels(0, 1), words="(4,); (2,)"),
        wrong(name, numbers(3, 4, 2), torch.zeros(3, 3, dtype=torch.long), words="(3, 4, 2); (3, 3); (3, 2)"),
        wrong(name, numbers(3, 4, 2, 2), torch.zeros(3, 3, 2, dtype=torch.long), words="(3, 3, 2); (3, 2, 2)"),
        wrong(name, x34, y012, weight=numbers(3, low=0, high=1), words="weight; (3,); 4 classes"),
        wrong(name, x34, y012, weight=numbers(4, 1, low=0, high=1), words="weight; (4, 1); 4 classes"),
        wrong(name, x34.long(), y012, words="int64; .float()"),
        wrong(name, x34 + 0j, y012, words="complex64"),
        wrong(name, torch.tensor(1.0), torch.tensor(0), words="()"),
    ]


def _ctc(words: str, *, log_probs: Tensor | None = None, **changed: Any) -> Wrong:
    given = {
        "targets": torch.tensor([[1, 2], [3, 4], [1, 1]]),
        "input_lengths": torch.tensor([7, 7, 7]),
        "target_lengths": torch.tensor([2, 2, 2]),
        **changed,
    }
    return wrong("ctc_loss", numbers(7, 3, 5).log_softmax(-1) if log_probs is None else log_probs, words=words, **given)


WRONG: list[Wrong] = [
    # a reduction that does not exist, for every loss
    *(
        wrong(name, *args, **kwargs, reduction="abc", words="'abc'; 'none'; 'mean'; 'sum'; 'batchmean'")
        for name, args, kwargs in [
            ("mse_loss", (x3, x3), {}),
            ("smooth_l1_loss", (x3, x3), {}),
            ("nll_loss", (x34, y012), {}),
            ("cross_entropy", (x34, y012), {}),
            ("cross_entropy", (x34, p34), {}),
            ("binary_cross_entropy", (p34, p34), {}),
            ("binary_cross_entropy_with_logits", (x34, p34), {}),
            ("multilabel_soft_margin_loss", (x34, p34), {}),
            ("kl_div", (x34, p34), {}),
            ("cosine_embedding_loss", (x34, x34, x3), {}),
            ("ctc_loss", (numbers(7, 1, 5), labels(1, 2), labels(7), labels(2)), {}),
        ]
    ),
    # l1, mse, huber, smooth l1
    wrong("mse_loss", x34, x35, words="(3, 4); (3, 5); dimension -1"),
    wrong("mse_loss", x34.long(), x34.long(), words="int64"),
    wrong("mse_loss", x34 + 0j, x34 + 0j, words="complex64"),
    wrong("mse_loss", x34, x34, weight=x3, words="weight; (3,); (3, 4)"),
    wrong("l1_loss", x34, x34, weight=x4, words="weight; (4,); (3, 4)"),
    wrong("l1_loss", x34.long(), x34.long(), words="int64"),
    wrong("huber_loss", x34, x34, weight=x4, words="weight; (4,); (3, 4)"),
    wrong("huber_loss", x34, x35, words="(3, 4); (3, 5)"),
    wrong("huber_loss", x34.long(), x34.long(), words="int64"),
    wrong("huber_loss", x34 + 0j, x34 + 0j, words="complex64"),
    wrong("smooth_l1_loss", x34, x35, words="(3, 4); (3, 5); dimension -1"),
    wrong("smooth_l1_loss", x34, x34, beta=-1.5, words="beta; -1.5"),
    wrong("smooth_l1_loss", x34.long(), x34.long(), words="int64"),
    wrong("smooth_l1_loss", x34 + 0j, x34 + 0j, words="complex64"),
    # labels
    *_labelled("nll_loss"),
    wrong("nll_loss", x34, torch.zeros(3, 4, dtype=torch.long), words="(3, 4); (3,)"),
    *_labelled("cross_entropy"),
    wrong("cross_entropy", x34, torch.zeros(3, 4, dtype=torch.long), words="(3, 4); int64; .float()"),
    wrong("cross_entropy", x34, p34, ignore_index=1, words="ignore_index=1; mask="),
    wrong("cross_entropy", x34, p34, weight=x3, words="weight; (3,); 4 classes"),
    wrong("cross_entropy", x34, y012, label_smoothing=1.5, words="label_smoothing; 1.5"),
    wrong("cross_entropy", x34, [0, 1, 2], words="target; list; torch.as_tensor"),
    # binary
    wrong("binary_cross_entropy", p34, p34[:, :1], words="(3, 4); (3, 1)"),
    wrong(
        "binary_cross_entropy", torch.tensor([0.5, -0.25]), torch.ones(2), words="input; -0.25; position (1,); sigmoid"
    ),
    wrong("binary_cross_entropy", torch.tensor([0.5, torch.nan]), torch.ones(2), words="input; nan; position (1,)"),
    wrong(
        "binary_cross_entropy", torch.tensor([0.5, 0.5]), torch.tensor([1.5, 0.0]), words="target; 1.5; position (0,)"
    ),
    wrong("binary_cross_entropy", p34, p34, weight=x3, words="weight; (3,); (3, 4)"),
    wrong("binary_cross_entropy", p34[0], p34[0], weight=p34, words="weight; (3, 4); (4,)"),
    wrong("binary_cross_entropy", p34 + 0j, p34, words="complex64"),
    wrong("binary_cross_entropy_with_logits", x34, p34[:, :1], words="(3, 4); (3, 1)"),
    wrong("binary_cross_entropy_with_logits", x34, p34, weight=x3, words="weight; (3,); (3, 4)"),
    wrong("binary_cross_entropy_with_logits", x34[0], p34[0], weight=p34, words="weight; (3, 4); (4,)"),
    wrong(
        "binary_cross_entropy_with_logits", x34, p34, pos_weight=x3, words="pos_weight; (3,); (3, 4); dim=", row="P24"
    ),
    wrong("binary_cross_entropy_with_logits", x34 + 0j, p34, words="complex64"),
    wrong("binary_cross_entropy_with_logits", x34.long(), p34, words="int64"),
    # several labels
    wrong("multilabel_soft_margin_loss", x34, numbers(3, 5), words="(3, 4); (3, 5)"),
    wrong("multilabel_soft_margin_loss", x34, p34, weight=x3, words="weight; (3,); (3, 4)"),
    wrong("multilabel_soft_margin_loss", torch.tensor(1.0), torch.tensor(1.0), words="()"),
    wrong("multilabel_soft_margin_loss", x34 + 0j, p34, words="complex64"),
    wrong("multilabel_soft_margin_loss", x34.long(), p34, words="int64"),
    wrong("multilabel_margin_loss", numbers(2, 3, 4), torch.zeros(2, 3, 4, dtype=torch.long), words="(2, 3, 4)"),
    wrong("multilabel_margin_loss", x34[0], labels(0), words="(4,); (1,)"),
    wrong("multilabel_margin_loss", x34, p34, words="float32; .long()"),
    wrong(
        "multilabel_margin_loss",
        x34,
        torch.tensor([[0, -1, 0, 0], [1, 4, -1, 0], [0, 1, 2, 3]]),
        words="label 4; 4 classes",
        row="P35",
        error=IndexError,
    ),
    wrong(
        "multilabel_margin_loss",
        x34,
        torch.tensor([[0, -1, 0, 0], [1, -2, -1, 0], [0, 1, 2, 3]]),
        words="label -2; 4 classes",
        row="P35",
        error=IndexError,
    ),
    wrong("multi_margin_loss", numbers(2, 3, 4), labels(0, 1), words="(2, 3, 4)"),
    wrong("multi_margin_loss", x34, labels(0, 1), words="(3, 4); (2,); (3,)"),
    wrong("multi_margin_loss", x34, labels(0, 1, 4), words="label 4; row 2; 4 classes", row="P35", error=IndexError),
    wrong("multi_margin_loss", x34, labels(0, -1, 2), words="label -1; row 1; 4 classes", row="P35", error=IndexError),
    # pairs and triplets
    wrong("margin_ranking_loss", x34, x34, x3, words="(3, 4); (3,); unsqueeze", row="P38"),
    wrong("margin_ranking_loss", x34, x35, x34, words="(3, 4); (3, 5)"),
    wrong("margin_ranking_loss", x34 + 0j, x34, x34, words="complex64"),
    wrong("hinge_embedding_loss", x34, x35, words="(3, 4); (3, 5)"),
    wrong("hinge_embedding_loss", x34 + 0j, x34, words="complex64"),
    wrong("cosine_embedding_loss", x34, x35, torch.ones(3), words="(3, 4); (3, 5)"),
    wrong("cosine_embedding_loss", x34, x34, torch.tensor(1.0), words="(3, 4); ()"),
    wrong("cosine_embedding_loss", x3, x3, torch.ones(3), words="(3,)"),
    wrong("cosine_embedding_loss", x34, x34, torch.ones(3, 1), words="(3, 4); (3, 1)"),
    wrong("cosine_embedding_loss", numbers(2, 3, 4), numbers(2, 3, 4), torch.ones(2), words="(2, 3, 4); (2,)"),
    wrong("cosine_embedding_loss", x34, x4, torch.ones(3), words="(3, 4); (4,)"),
    wrong("cosine_embedding_loss", x34, x34, torch.ones(2), words="(3, 4); (2,)"),
    wrong("cosine_embedding_loss", x34 + 0j, x34, torch.ones(3), words="complex64"),
    wrong("triplet_margin_loss", x34, x34, x34, margin=0, words="margin; 0"),
    # distributions and sequences
    wrong("kl_div", x34, x35, words="(3, 4); (3, 5)"),
    wrong("kl_div", x34.long(), p34, words="input; int64"),
    wrong("kl_div", x34, p34.long(), words="target; int64"),
    wrong("kl_div", x34 + 0j, p34, words="complex64"),
    wrong("gaussian_nll_loss", x34, x34, torch.full((3, 4), -0.5), words="var; -0.5"),
    wrong("gaussian_nll_loss", x34, x34, -0.5, words="var; -0.5"),
    wrong("gaussian_nll_loss", x34, x34, numbers(3, 5, low=1, high=2), words="var; (3, 5); (3, 4)"),
    _ctc("input_lengths; 2 numbers; 3 samples", input_lengths=[7, 7], target_lengths=[2, 2, 2]),
    _ctc("target_lengths; 2 numbers; 3 samples", input_lengths=[7, 7, 7], target_lengths=[2, 2]),
    _ctc("input_lengths; 2 numbers; 3 samples", input_lengths=labels(7, 7)),
    _ctc("target_lengths; 2 numbers; 3 samples", target_lengths=labels(2, 2)),
    _ctc("input_lengths[1]; 8; 0 to 7", input_lengths=labels(7, 8, 7)),
    _ctc("target_lengths[2]; 3; (3, 2)", target_lengths=labels(2, 2, 3)),
    _ctc("input_lengths[0]; -7", input_lengths=labels(-7, 7, 7)),
    _ctc("target_lengths[0]; -2", target_lengths=labels(-2, 2, 2)),
    _ctc("blank; got 5; 0 to 4", blank=5),
    _ctc("blank; got -1; 0 to 4", blank=-1),
    _ctc("input_lengths; float32", input_lengths=torch.tensor([7.0, 7.0, 7.0])),
    _ctc("log_probs; (7, 3, 5, 2)", log_probs=numbers(7, 3, 5, 2)),
    _ctc("log_probs; (7,)", log_probs=numbers(7)),
    _ctc("log_probs; int64", log_probs=numbers(7, 3, 5).long()),
    _ctc("targets; (1, 3, 2)", targets=torch.ones(1, 3, 2, dtype=torch.long)),
    _ctc("targets; (2, 2); 3", targets=torch.ones(2, 2, dtype=torch.long)),
    _ctc("targets; 5; 6", targets=torch.ones(5, dtype=torch.long)),
    _ctc("(0, 3, 5)", log_probs=numbers(0, 3, 5), input_lengths=labels(0, 0, 0)),
    _ctc("(7, 3, 0)", log_probs=numbers(7, 3, 0)),
]

CTC_LABELS: list[tuple[Call, tuple[str, ...]]] = [
    # torch reads and writes out of range here (row P46), so only lossmith is called
    (
        Call("ctc_loss", (numbers(7, 2, 5), torch.tensor(targets), labels(7, 7), labels(*lengths)), {}, "own table"),
        words,
    )
    for targets, lengths, words in [
        ([[1, 2], [3, 5]], (2, 2), ("label 5", "sample 1", "position 1", "5 classes")),
        ([[1, -2], [3, 4]], (2, 2), ("label -2", "sample 0", "position 1", "5 classes")),
        ([1, 2, 3, 9], (2, 2), ("label 9", "sample 1", "position 1", "5 classes")),
        ([1, 2, 9, 3], (3, 1), ("label 9", "sample 0", "position 2", "5 classes")),
    ]
]

WRONG_CONSTRUCTORS: list[Wrong] = [
    # torch's constructors of the triplet losses and of MultiMarginLoss refuse these too
    *(
        Wrong(Call(name, (), {}, "own table", ((), kwargs)), tuple(words.split("; ")))
        for name, kwargs, words in [
            ("triplet_margin_loss", {"margin": -1.0}, "TripletMarginLoss; margin; -1.0"),
            ("triplet_margin_with_distance_loss", {"margin": -1.0}, "TripletMarginWithDistanceLoss; margin; -1.0"),
            ("triplet_margin_with_distance_loss", {"margin": 0}, "TripletMarginWithDistanceLoss; margin; 0"),
            ("multi_margin_loss", {"p": 3}, "MultiMarginLoss; p; 3"),
            ("multi_margin_loss", {"weight": numbers(2, 2)}, "MultiMarginLoss; weight; (2, 2)"),
            ("huber_loss", {"delta": 1j}, "HuberLoss; delta; 1j"),
        ]
    ),
    # torch's constructors take these; rows P17 and P53 refuse them
    *(
        Wrong(
            Call(name, (), {}, "own table", ((), {"reduction": "abc"})),
            ("'abc'", "'none'", "'mean'"),
            "P53",
            ValueError,
        )
        for name in NAMES
    ),
    Wrong(
        Call("cross_entropy", (), {}, "own table", ((), {"label_smoothing": 5.0})),
        ("label_smoothing", "5.0"),
        "P17",
        RuntimeError,
    ),
    Wrong(
        Call("cross_entropy", (), {}, "own table", ((), {"label_smoothing": -0.1})),
        ("label_smoothing", "-0.1"),
        "P17",
        RuntimeError,
    ),
]


def legal(row: str, same_as: Callable[[], Tensor], name: str, *args: Any, **kwargs: Any) -> Legal:
    return Legal(row, Call(name, args, kwargs, "own table"), same_as)


F = torch.nn.functional
w4, int8s = numbers(4, low=0.5, high=1.5), torch.tensor([0, 1, 2], dtype=torch.int8)
var = numbers(3, 4, low=0.5, high=2.0)
multi_hot = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 0]])
sets = torch.tensor([[0, 3, -1, 0], [1, -1, 0, 0], [2, 0, 1, -1]])

LEGAL: list[Legal] = [
    *(
        legal("P13", lambda name=name: getattr(F, name)(x34, y012), name, x34, y012.to(dtype))
        for name in ("nll_loss", "cross_entropy", "multi_margin_loss")
        for dtype in (torch.int32, torch.int16, torch.int8, torch.uint8)
    ),
    *(
        legal("P13", lambda name=name: getattr(F, name)(x34, y012, weight=w4), name, x34, y012, weight=w4.to(dtype))
        for name in ("nll_loss", "cross_entropy", "multi_margin_loss")
        for dtype in (torch.float64,)
    ),
    *(
        legal("P13", lambda: F.multilabel_margin_loss(x34, sets), "multilabel_margin_loss", x34, sets.to(dtype))
        for dtype in (torch.int32, torch.int16, torch.int8)
    ),
    *(
        legal(
            "P21",
            lambda: F.binary_cross_entropy(p34, multi_hot.float()),
            "binary_cross_entropy",
            p34,
            multi_hot.to(dtype),
        )
        for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool)
    ),
    *(
        legal(
            "P21",
            lambda: F.binary_cross_entropy_with_logits(x34, multi_hot.float()),
            "binary_cross_entropy_with_logits",
            x34,
            multi_hot.to(dtype),
        )
        for dtype in (torch.int64, torch.bool)
    ),
    *(
        legal(
            "P51",
            lambda v=v: F.gaussian_nll_loss(x34, x35[:, :4], v.expand(3, 4).contiguous()),
            "gaussian_nll_loss",
            x34,
            x35[:, :4],
            v,
        )
        for v in (var[0], var[:1], var[:, :1], var[0, 0])
    ),
    legal("P51", lambda: F.gaussian_nll_loss(x34, x34, torch.full((3, 4), 2.0)), "gaussian_nll_loss", x34, x34, 2),
    legal("P51", lambda: F.gaussian_nll_loss(x34, x34, torch.full((3, 4), 2.0)), "gaussian_nll_loss", x34, x34, 2.0),
    legal(
        "P51",
        lambda: F.gaussian_nll_loss(x34[0].expand(3, 4), x34, var),
        "gaussian_nll_loss",
        x34[0],
        x34,
        var,
    ),
    legal("P37", lambda: F.multi_margin_loss(x34.double(), y012).half(), "multi_margin_loss", x34.half(), y012),
    legal(
        "P49",
        lambda: F.ctc_loss(numbers(7, 1, 5).half().double().log_softmax(-1), labels(1, 2), labels(7), labels(2)).half(),
        "ctc_loss",
        numbers(7, 1, 5).half().double().log_softmax(-1).half(),
        labels(1, 2),
        labels(7),
        labels(2),
    ),
]
"""Compared with the default tolerances of the result's dtype."""
