"""What is measured: each loss with inputs of about so many elements."""

import math
from collections.abc import Callable

import torch

Call = tuple[tuple[object, ...], dict[str, object]]


def calls(elements: int, dtype: torch.dtype = torch.float32) -> dict[str, tuple[str, Callable[[], Call]]]:
    """By label: the function's name, and a maker of its arguments, the first of which wants a gradient."""

    def x(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype).requires_grad_()

    def other(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype)

    def unit(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=dtype).clamp(0.01, 0.99)

    def signs(*shape: int) -> torch.Tensor:
        return torch.randint(0, 2, shape).to(dtype) * 2 - 1

    n = elements
    classes = min(1000, max(4, int(math.sqrt(n))))
    rows = max(1, n // classes)
    width = min(256, max(4, int(math.sqrt(n))))
    pairs = max(1, n // width)
    labels = torch.randint(0, classes, (rows,))
    few = torch.full((rows, classes), -1)
    few[:, :3] = torch.randint(0, classes, (rows, 3))

    return {
        "l1_loss": ("l1_loss", lambda: ((x(n), other(n)), {})),
        "mse_loss": ("mse_loss", lambda: ((x(n), other(n)), {})),
        "huber_loss": ("huber_loss", lambda: ((x(n), other(n)), {})),
        "smooth_l1_loss": ("smooth_l1_loss", lambda: ((x(n), other(n)), {})),
        "binary_cross_entropy": ("binary_cross_entropy", lambda: ((unit(n).requires_grad_(), unit(n)), {})),
        "binary_cross_entropy_with_logits": ("binary_cross_entropy_with_logits", lambda: ((x(n), unit(n)), {})),
        "soft_margin_loss": ("soft_margin_loss", lambda: ((x(n), signs(n)), {})),
        "hinge_embedding_loss": ("hinge_embedding_loss", lambda: ((x(n), signs(n)), {})),
        "margin_ranking_loss": ("margin_ranking_loss", lambda: ((x(n), other(n), signs(n)), {"margin": 0.5})),
        "kl_div": ("kl_div", lambda: ((x(n), unit(n)), {"reduction": "sum"})),
        "poisson_nll_loss": ("poisson_nll_loss", lambda: ((x(n), unit(n)), {})),
        "gaussian_nll_loss": ("gaussian_nll_loss", lambda: ((x(n), other(n), unit(n)), {})),
        "cross_entropy": ("cross_entropy", lambda: ((x(rows, classes), labels), {})),
        "cross_entropy, smoothed": ("cross_entropy", lambda: ((x(rows, classes), labels), {"label_smoothing": 0.1})),
        "cross_entropy, probabilities": (
            "cross_entropy",
            lambda: ((x(rows, classes), unit(rows, classes).softmax(1)), {}),
        ),
        "nll_loss": ("nll_loss", lambda: ((x(rows, classes), labels), {})),
        "multi_margin_loss": ("multi_margin_loss", lambda: ((x(rows, classes), labels), {})),
        "multilabel_margin_loss": ("multilabel_margin_loss", lambda: ((x(rows, classes), few), {})),
        "multilabel_soft_margin_loss": (
            "multilabel_soft_margin_loss",
            lambda: ((x(rows, classes), unit(rows, classes).round()), {}),
        ),
        "cosine_embedding_loss": (
            "cosine_embedding_loss",
            lambda: ((x(pairs, width), other(pairs, width), signs(pairs)), {}),
        ),
        "triplet_margin_loss": (
            "triplet_margin_loss",
            lambda: ((x(pairs, width), other(pairs, width), other(pairs, width)), {}),
        ),
        "triplet_margin_with_distance_loss": (
            "triplet_margin_with_distance_loss",
            lambda: ((x(pairs, width), other(pairs, width), other(pairs, width)), {}),
        ),
    }
