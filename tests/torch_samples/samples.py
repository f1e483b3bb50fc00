"""The samples as plain calls: torch's (op_db and module_db), and a canonical call of each loss at any batch size."""

import os
import random
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

with warnings.catch_warnings():
    # torch's test code warns of its own dependencies when it is imported.
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db
    from torch.testing._internal.common_utils import noncontiguous_like

__all__ = ["ModuleErrorEnum"]

MODULES = {
    "l1_loss": "L1Loss",
    "mse_loss": "MSELoss",
    "huber_loss": "HuberLoss",
    "smooth_l1_loss": "SmoothL1Loss",
    "nll_loss": "NLLLoss",
    "cross_entropy": "CrossEntropyLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "soft_margin_loss": "SoftMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
    "multilabel_margin_loss": "MultiLabelMarginLoss",
    "multi_margin_loss": "MultiMarginLoss",
    "margin_ranking_loss": "MarginRankingLoss",
    "hinge_embedding_loss": "HingeEmbeddingLoss",
    "cosine_embedding_loss": "CosineEmbeddingLoss",
    "triplet_margin_loss": "TripletMarginLoss",
    "triplet_margin_with_distance_loss": "TripletMarginWithDistanceLoss",
    "kl_div": "KLDivLoss",
    "ctc_loss": "CTCLoss",
    "poisson_nll_loss": "PoissonNLLLoss",
    "gaussian_nll_loss": "GaussianNLLLoss",
}
NAMES = list(MODULES)
"""The losses of torch.nn.functional, each with its Module."""

HALVES = (torch.float16, torch.bfloat16)
BEYOND_TORCH = {"multi_margin_loss": HALVES, "multilabel_margin_loss": HALVES, "ctc_loss": HALVES}
"""Dtypes that torch's CPU kernels lack (rows P37 and P49); the truth is torch's in float64, rounded once."""

NO_SECOND_DERIVATIVE = {"multi_margin_loss", "multilabel_margin_loss", "ctc_loss"}
"""Losses whose double backward torch lacks (rows P37 and P45): gradgradcheck takes its place."""


def everything() -> bool:
    return os.environ.get("LOSSMITH_TESTS") == "all"


@dataclass(frozen=True)
class Call:
    """One call of a loss: positional and keyword arguments, and for Modules those of the constructor."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    origin: str
    constructor: tuple[tuple[Any, ...], dict[str, Any]] | None = field(default=None)

    def __str__(self) -> str:
        built = "" if self.constructor is None else f"[{_listed(*self.constructor)}]"
        return f"{self.origin}: {self.name}{built}({_listed(self.args, self.kwargs)})"

    def map(self, change: Callable[[Tensor], Tensor]) -> "Call":
        """The call with every tensor changed, those of a constructor too."""
        mapped = pytree.tree_map_only(Tensor, change, (self.args, self.kwargs, self.constructor))
        return replace(self, args=mapped[0], kwargs=mapped[1], constructor=mapped[2])

    def tensors(self) -> list[Tensor]:
        """The tensors given in the call, in a fixed order."""
        return [t for t in pytree.tree_leaves((self.args, self.kwargs)) if isinstance(t, Tensor)]

    def with_tensors(self, tensors: Iterable[Tensor]) -> "Call":
        """The call with other tensors in the places of tensors()."""
        new = iter(tensors)
        args, kwargs = pytree.tree_map_only(Tensor, lambda _: next(new), (self.args, self.kwargs))
        return replace(self, args=args, kwargs=kwargs)

    def fresh(self) -> "Call":
        """New leaves without gradient; tensors keep their strides and share their memory."""
        return self.map(lambda t: t.detach())

    def double(self) -> "Call":
        """The same numbers in float64 (complex128); integers stay."""
        return self.map(
            lambda t: t.double() if t.is_floating_point() else t.to(torch.complex128) if t.is_complex() else t
        )

    def non_contiguous(self) -> "Call":
        return self.map(lambda t: noncontiguous_like(t.detach()))

    def structure(self) -> tuple[Any, ...]:
        """What makes a call different in kind: ranks, dtypes, sizes of 1, which keywords, and their words."""
        return (
            tuple(map(_kind, self.args)),
            tuple((key, _kind(value)) for key, value in sorted(self.kwargs.items())),
            None
            if self.constructor is None
            else tuple((key, _kind(value)) for key, value in sorted(self.constructor[1].items())),
        )


def _kind(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.dim(), value.dtype, tuple(size == 1 for size in value.shape), value.numel() == 0
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, int | float):
        return type(value), value > 0, value == 0
    return type(value)


def _listed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return ", ".join([*map(_shown, args), *(f"{key}={_shown(value)}" for key, value in kwargs.items())])


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        small = f" {value.tolist()}" if value.numel() <= 6 else ""
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}{small}"
    return repr(value)


def seeded(*of: object) -> None:
    """Every generator that torch's sample functions draw from."""
    seed = zlib.crc32(repr(of).encode())
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def stratified(calls: list[Call], most: int) -> list[Call]:
    """All in a full run; else one call of each set of keywords, then of each structure, then any, with a fixed seed."""
    if everything() or len(calls) <= most:
        return calls
    order = list(range(len(calls)))
    random.Random(0).shuffle(order)
    by_keywords = {calls[index].structure()[1:]: index for index in reversed(order)}
    by_structure = {calls[index].structure(): index for index in reversed(order)}
    preferred = list(dict.fromkeys([*by_keywords.values(), *by_structure.values(), *order]))
    return [calls[index] for index in sorted(preferred[: max(most, len(by_keywords))])]


# ----- op_db -----


@cache
def op_info(name: str) -> Any:
    (info,) = [op for op in op_db if op.name == f"nn.functional.{name}" and not op.variant_test_name]
    return info


def op_dtypes(name: str) -> list[torch.dtype]:
    """Every dtype that op_db lists for the CPU or for CUDA, and those that lossmith takes beyond torch."""
    info = op_info(name)
    listed = {*info.supported_dtypes("cpu"), *info.dtypesIfCUDA, *BEYOND_TORCH.get(name, ())}
    return sorted(listed, key=str)


def op_cases() -> Iterator[tuple[str, torch.dtype]]:
    """All pairs of a loss and a dtype."""
    for name in NAMES:
        for dtype in op_dtypes(name):
            yield name, dtype


@cache
def op_calls(name: str, dtype: torch.dtype) -> tuple[Call, ...]:
    """All sample_inputs and reference_inputs of op_db."""
    info = op_info(name)
    sources = {"sample": info.sample_inputs}
    if info.reference_inputs_func is not None:
        sources["reference"] = info.reference_inputs
    wants_grad = dtype.is_floating_point or dtype.is_complex
    calls = []
    for kind, source in sources.items():
        seeded(name, str(dtype), kind)
        for index, sample in enumerate(source("cpu", dtype, requires_grad=wants_grad)):
            origin = f"op_db {kind} {index} in {str(dtype).removeprefix('torch.')}"
            calls.append(Call(name, (sample.input, *sample.args), dict(sample.kwargs), origin))
    return tuple(calls)


def op_error_calls(name: str) -> list[tuple[Call, type[Exception]]]:
    """op_db's error inputs, with the type that torch promises."""
    info = op_info(name)
    if info.error_inputs_func is None:
        return []
    seeded(name, "errors")
    return [
        (
            Call(
                name,
                (error.sample_input.input, *error.sample_input.args),
                dict(error.sample_input.kwargs),
                f"op_db error {index}",
            ),
            error.error_type,
        )
        for index, error in enumerate(info.error_inputs("cpu"))
    ]


# ----- module_db -----


@cache
def module_info(name: str) -> Any | None:
    """module_db's entry; torch has none for the triplet losses."""
    found = [m for m in module_db if m.module_cls is getattr(torch.nn, MODULES[name])]
    return found[0] if found else None


def module_dtypes(name: str) -> list[torch.dtype]:
    info = module_info(name)
    return [torch.float32, torch.float64] if info is None else list(info.dtypes)


def module_cases() -> Iterator[tuple[str, torch.dtype]]:
    for name in NAMES:
        for dtype in module_dtypes(name):
            yield name, dtype


@cache
def module_calls(name: str, dtype: torch.dtype) -> tuple[Call, ...]:
    """All module inputs of module_db; for Modules that it lacks, op_db's keywords go to the constructor."""
    info = module_info(name)
    if info is None:
        return tuple(
            replace(call, kwargs={}, constructor=((), call.kwargs), origin=f"as a Module, {call.origin}")
            for call in op_calls(name, dtype)
        )
    seeded(name, str(dtype), "module")
    inputs = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=True)
    return tuple(
        Call(
            name,
            tuple(given.forward_input.args),
            dict(given.forward_input.kwargs),
            f"module_db {index} in {str(dtype).removeprefix('torch.')}",
            (tuple(given.constructor_input.args), dict(given.constructor_input.kwargs)),
        )
        for index, given in enumerate(inputs)
    )


def module_error_calls(name: str, dtype: torch.dtype) -> list[tuple[Call, type[Exception], Any]]:
    """module_db's error inputs, with the type that torch promises and whether the constructor or the call raises."""
    info = module_info(name)
    if info is None or info.module_error_inputs_func is None:
        return []
    seeded(name, str(dtype), "module errors")
    errors = info.module_error_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=True)
    listed = []
    for index, error in enumerate(errors):
        given = error.module_error_input
        forward = given.forward_input
        call = Call(
            name,
            () if forward is None else tuple(forward.args),
            {} if forward is None else dict(forward.kwargs),
            f"module_db error {index}",
            (tuple(given.constructor_input.args), dict(given.constructor_input.kwargs)),
        )
        listed.append((call, error.error_type, error.error_on))
    return listed


# ----- one canonical call of each loss, at any batch size -----

CLASSES, WIDTH, FRAMES, LABELS = 5, 4, 7, 2


def canonical(name: str, n: int, dtype: torch.dtype = torch.float64, seed: int = 0, **kwargs: Any) -> Call:
    """A plain call with a batch of n, its numbers inside the loss's domain and off its kinks."""
    generator = torch.Generator().manual_seed(seed + 1000 * n)

    def real(*shape: int, low: float = -2.0, high: float = 2.0) -> Tensor:
        return torch.empty(*shape, dtype=torch.float64).uniform_(low, high, generator=generator).to(dtype)

    def whole(*shape: int, low: int = 0, high: int = CLASSES) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    def sign(*shape: int) -> Tensor:
        return (whole(*shape, high=2) * 2 - 1).to(dtype)

    pair = (real(n, WIDTH), real(n, WIDTH))
    args: tuple[Any, ...]
    if name == "nll_loss":
        args = real(n, CLASSES).log_softmax(1), whole(n)
    elif name in ("cross_entropy", "multi_margin_loss"):
        args = real(n, CLASSES), whole(n)
    elif name == "multilabel_margin_loss":
        rows = [[0, 3, -1, -1, -1], [4, -1, 2, 2, 2], [1, 2, 0, 4, 3], [-1, 1, 1, 1, 1]]
        args = real(n, CLASSES), torch.tensor(rows)[torch.arange(n) % len(rows)]
    elif name == "binary_cross_entropy":
        args = real(n, WIDTH, low=0.05, high=0.95), real(n, WIDTH, low=0.0, high=1.0)
    elif name in ("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"):
        args = real(n, WIDTH), real(n, WIDTH, low=0.0, high=1.0)
    elif name in ("soft_margin_loss", "hinge_embedding_loss"):
        args = real(n, WIDTH), sign(n, WIDTH)
    elif name == "margin_ranking_loss":
        args = real(n), real(n), sign(n)
    elif name == "cosine_embedding_loss":
        args = *pair, sign(n)
    elif name in ("triplet_margin_loss", "triplet_margin_with_distance_loss"):
        args = *pair, real(n, WIDTH)
    elif name == "kl_div":
        args = pair[0].log_softmax(-1), pair[1].softmax(-1)
        kwargs = {"reduction": "batchmean", **kwargs}
    elif name == "ctc_loss":
        lengths = torch.full((n,), FRAMES), torch.full((n,), LABELS)
        args = real(FRAMES, n, CLASSES).log_softmax(-1), whole(n, LABELS, low=1), *lengths
    elif name == "poisson_nll_loss":
        args = pair[0], whole(n, WIDTH).to(dtype)
    elif name == "gaussian_nll_loss":
        args = *pair, real(n, WIDTH, low=0.5, high=2.0)
    else:
        args = pair
    return Call(name, args, kwargs, f"canonical batch of {n} in {str(dtype).removeprefix('torch.')}")


KEYWORDS: dict[str, list[dict[str, Any]]] = {
    # what torch's samples leave out; tensors are named by their shape and made by `with_keywords`
    "l1_loss": [{"weight": "input"}],
    "mse_loss": [{"weight": "input"}],
    "huber_loss": [{"weight": "input"}, {"delta": 0.3}],
    "smooth_l1_loss": [{"beta": 0.3}],
    "nll_loss": [{"weight": "classes", "ignore_index": 2}],
    "cross_entropy": [
        {"ignore_index": 2},
        {"weight": "classes", "ignore_index": 2},
        {"weight": "classes", "label_smoothing": 0.2},
        {"weight": "classes", "ignore_index": 2, "label_smoothing": 0.2},
    ],
    "binary_cross_entropy_with_logits": [{"weight": "input", "pos_weight": "width"}],
    "multilabel_soft_margin_loss": [{}, {"weight": "width"}],
    "multi_margin_loss": [{"p": 2, "weight": "classes", "margin": 0.5}],
    "margin_ranking_loss": [{"margin": -0.5}],
    "cosine_embedding_loss": [{}, {"margin": -0.5}],
    "triplet_margin_loss": [{"p": 1}, {"p": 3.5, "swap": True}, {"p": float("inf")}, {"eps": 0.1, "swap": True}],
    "triplet_margin_with_distance_loss": [{}, {"swap": True}],
    "ctc_loss": [{"blank": 4}],
    "gaussian_nll_loss": [{"eps": 0.6}],
}


def with_keywords(name: str, dtype: torch.dtype) -> list[Call]:
    """Canonical calls with keywords that op_db leaves out or never lets matter, under each reduction."""
    if not dtype.is_floating_point:
        return []
    generator = torch.Generator().manual_seed(7)
    shapes = {"input": (4, WIDTH), "classes": (CLASSES,), "width": (WIDTH,)}
    calls = []
    for kwargs in KEYWORDS.get(name, ()):
        made = {
            key: torch.empty(shapes[value]).uniform_(0.5, 2, generator=generator).to(dtype)
            if isinstance(value, str)
            else value
            for key, value in kwargs.items()
        }
        for reduction in ("none", "mean", "sum"):
            call = canonical(name, 4, dtype, **made, reduction=reduction)
            if name == "ctc_loss":
                call = replace(call, args=(call.args[0], call.args[1] - 1, *call.args[2:]))
            if "ignore_index" in kwargs:
                call.args[1][1] = kwargs["ignore_index"]
            calls.append(replace(call, origin=f"own keywords in {str(dtype).removeprefix('torch.')}"))
    return calls


def representatives(name: str, most: int = 6, largest: int = 130) -> list[Call]:
    """Small finite float64 samples of op_db, one of each structure as far as `most` goes (all in a full run)."""
    small = [
        call
        for call in op_calls(name, torch.float64)
        if all(t.numel() <= largest and bool(t.isfinite().all()) for t in call.tensors())
    ]
    found = list({call.structure(): call for call in reversed(small)}.values())
    return stratified(found, most)
