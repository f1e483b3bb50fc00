"""The overlap loop on a GPU: sums over the pixels of regions, the loss of each region, and the gradient in backward.

A first kernel sums over pieces of pixels, a second makes losses and slopes of the sums; those are kept, and backward is
one more kernel. Those that read scores have tiles of classes and pixels, whatever the order in memory; where the
classes are too many for one tile, they are walked through.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import triton
from torch import Tensor

from ....errors import note_on, number_of
from ....formula.triton import triton_function
from ...launches import enqueue, on
from ...triton import COUNTS, Divisor, Layout, finish
from ..regions import Settings
from .slopes import differentiate_kernel
from .sums import SLOPES, SUMS, judge_kernel, measure_kernel

if TYPE_CHECKING:
    from ..native import _Call

TILE = 1024
"""So many elements a program takes at a time."""
MOST_CLASSES = 128
"""So many classes are in one tile at most."""
MOST_PIECES = 2048
"""So many programs sum over regions whose classes are in one tile; beyond, each walks over more tiles."""
JUDGED = 1024
"""So many sums of regions one program takes at a time."""


def launch(
    call: "_Call", tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor | None = None
) -> tuple[Tensor | None, list[Tensor | None]]:
    """`fused.DeviceKernel.launch` of an overlap call; gradients are all made in backward."""
    input, target = tensors[:2]
    element_mask, sample_weight, mask, weight = call.apart(tensors)
    of, shape, device, dim = call.of, call.shape, input.device, call.of.dim
    compute = call.dtypes[0]
    classes, n = input.shape[dim], math.prod([input.shape[d] for d in of.pixels(input)])
    samples = 1 if of.batch else input.shape[0]
    labelled = target.dim() < input.dim()
    gradients: list[Tensor | None] = [None] * len(tensors)
    if upstream is not None:
        for i, tensor in enumerate((input, target)):
            gradients[i] = torch.empty_like(tensor) if wanted[i] and tensor.is_floating_point() else None
    if element_mask is not None:
        element_mask = element_mask.expand(input.shape)

    once = classes <= MOST_CLASSES
    if once:
        tile = triton.next_power_of_2(classes)
    else:  # along what lies side by side
        tile = MOST_CLASSES if input.stride(dim) == 1 else 8
    pixels = max(1, min(TILE // tile, triton.next_power_of_2(max(1, n))))
    pieces = triton.cdiv(n, pixels)
    fields = (input, target, element_mask, gradients[0], gradients[1])
    sizes, pixel_strides, sample_strides, steps = _apart(fields, input, of)
    common: dict[str, Any] = {
        "ACTIVATION": of.activation or "none",
        "LABELLED": labelled,
        "SQUARED": of.squared,
        "BACKGROUND": of.include_background,
        "WIDE": compute == torch.float64,
        "LONG": n + pixels >= 2**31,
        "CLASSES": tile,
        "PIXELS": pixels,
        "ONCE": once,
        "num_warps": max(1, min(4, tile * pixels // 128)),
    }
    with on(input):
        if upstream is not None:
            assert call.judged is not None
            slopes, divisor = call.judged
            if n * samples:
                enqueue(
                    differentiate_kernel,
                    (samples * pieces,),
                    input,
                    target,
                    element_mask,
                    mask,
                    slopes,
                    *gradients[:2],
                    upstream,
                    sizes,
                    pixel_strides,
                    sample_strides,
                    steps,
                    _of_regions(mask, shape),
                    (0, 0) if call.reduced else _of_regions(upstream, shape),
                    n,
                    classes,
                    of.ignore_index,
                    pieces,
                    *divisor.arguments,
                    REDUCED=call.reduced,
                    ON_EMPTY=divisor.on_empty,
                    **common,
                )
            return None, gradients

        blocks = max(1, triton.cdiv(samples * pieces, MOST_PIECES)) if once else 1
        pieces = triton.cdiv(pieces, blocks)
        sums = torch.empty(samples * pieces * classes * SUMS.value, dtype=torch.float64, device=device)
        if sums.numel():
            enqueue(
                measure_kernel,
                (samples * pieces,),
                input,
                target,
                element_mask,
                mask,
                sums,
                note_on(device),
                sizes,
                pixel_strides[:3],
                sample_strides[:3],
                steps[:3],
                _of_regions(mask, shape),
                n,
                classes,
                of.ignore_index,
                blocks,
                pieces,
                LOSS=number_of(call.loss),
                **common,
            )
        return _judged(call, sums, pieces, sample_weight, mask, weight), gradients


def _judged(
    call: "_Call", sums: Tensor, pieces: int, sample_weight: Tensor | None, mask: Tensor | None, weight: Tensor | None
) -> Tensor:
    """The value out of the sums of pieces. The slopes of regions, and the divisor, stay in the call."""
    shape, of, counting = call.shape, call.of, call.counted
    regions, device = shape.numel(), sums.device
    value = torch.empty(() if call.reduced else shape, dtype=call.dtypes[1], device=device)
    slopes = torch.empty(regions * SLOPES.value, dtype=torch.float64, device=device)
    at_once = min(256, triton.next_power_of_2(max(1, pieces)))
    tile = min(JUDGED // at_once, triton.next_power_of_2(max(1, regions)))
    tiles = max(1, triton.cdiv(regions, tile))
    blocks = triton.cdiv(tiles, COUNTS.value)
    programs = triton.cdiv(tiles, blocks)
    alone = call.reduced and programs == 1
    partials = counts = None
    if call.reduced and not alone:
        partials = torch.empty(programs, dtype=torch.float64, device=device)
    if counting != "number":
        counts = torch.empty(programs, dtype=torch.float64, device=device)
    rule = call.how.on_empty if call.reduced and call.how.reduction != "sum" else "nan"
    divisor = Divisor(call.divisor if call.reduced else 1.0, call.normalizer if counts is None else counts, rule)
    enqueue(
        judge_kernel,
        (programs,),
        sums,
        slopes,
        value,
        partials,
        counts,
        weight,
        sample_weight,
        mask,
        note_on(device),
        0 if weight is None else weight.stride(0),
        _of_regions(sample_weight, shape),
        _of_regions(mask, shape),
        regions,
        shape[-1],
        pieces,
        blocks,
        divisor.number,
        call.normalizer,
        *of.parameters,
        of.gamma,
        FORMULA=triton_function(call.formula),
        POWER=of.gamma != 1,
        BACKGROUND=of.include_background,
        COUNTING=counting,
        LOSS=number_of(call.loss),
        ON_EMPTY=rule,
        ALONE=alone,
        REGIONS=tile,
        PIECES=at_once,
    )
    if partials is not None:
        finish(call.loss, partials, divisor, value)
    call.judged = slopes, divisor
    return value


def _of_regions(tensor: Tensor | None, shape: torch.Size) -> tuple[int, int]:
    """The strides of what broadcasts to the regions, from sample to sample and from class to class."""
    if tensor is None:
        return 0, 0
    strides = tensor.expand(shape).stride()
    return (0, strides[0]) if len(strides) == 1 else (strides[0], strides[1])


def _apart(
    fields: Sequence[Tensor | None], input: Tensor, of: Settings
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, ...]]:
    """How tensors lie: the sizes of the pixels, and for each tensor strides of pixels, of samples and of classes."""
    dims = of.pixels(input)
    views, samples, steps = [], [], []
    for t in fields:
        if t is None or not input.numel():
            samples.append(0)
            steps.append(0)
            continue
        samples.append(0 if of.batch else t.stride(0))
        steps.append(t.stride(of.dim) if t.dim() == input.dim() else 0)
        t = t.select(of.dim, 0) if t.dim() == input.dim() else t
        views.append(t if of.batch else t.select(0, 0))
    layout = Layout.of([input.shape[d] for d in dims] if views else [], views)
    strides = iter(layout.strides)
    none = (0,) * len(layout.sizes)
    every = tuple([none if t is None or not views else next(strides) for t in fields])
    return layout.sizes, every, tuple(samples), tuple(steps)
