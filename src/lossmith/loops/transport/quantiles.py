"""The cost of moving one distribution on a line to another, by torch's operations: any order of derivative."""

import torch
from torch import Tensor

from ...backend import wide
from ...formula import product


def costs(x: Tensor, y: Tensor, x_weight: Tensor | None, y_weight: Tensor | None, p: float) -> Tensor:
    """The least sum of share |difference|^p, for distributions of points (the last dimension) that broadcast.

    Weights need not sum to 1; without them the points weigh the same. Equal points keep their order, and where the
    shares of both end at once, x's ends first: that decides which of the derivatives it is, where there are several.
    """
    batch = _batch(x, y, x_weight, y_weight)
    x, x_ends = _ordered(x, x_weight, batch)
    y, y_ends = _ordered(y, y_weight, batch)
    # each end of a share ends a step, in which a part of the mass goes from one point to one other
    ends, order = torch.cat([x_ends, y_ends], -1).sort(dim=-1, stable=True)
    of_x = order < x.shape[-1]
    x_place = of_x.cumsum(-1) - of_x.to(torch.int64)
    y_place = torch.arange(of_x.shape[-1], device=x.device) - x_place
    difference = x.gather(-1, x_place.clamp(max=x.shape[-1] - 1)) - y.gather(-1, y_place.clamp(max=y.shape[-1] - 1))
    mass = ends - torch.cat([torch.zeros_like(ends[..., :1]), ends[..., :-1]], -1)
    # where nothing is moved a point may be anywhere
    difference = torch.where((mass == 0) & ~(difference.abs() < torch.inf), 0, difference)
    distance = difference.abs()
    cost = distance if p == 1 else difference * difference if p == 2 else distance**p
    return product(mass, cost).sum(-1)


def _batch(*tensors: Tensor | None) -> torch.Size:
    shapes = [t.shape[:-1] for t in tensors if t is not None]
    result: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return result


def _ordered(points: Tensor, weight: Tensor | None, batch: torch.Size) -> tuple[Tensor, Tensor]:
    """The points in order, and up to which share of the mass each of them goes."""
    size = points.shape[-1]
    points, order = wide(points).sort(dim=-1, stable=True)
    points, order = points.expand(*batch, size), order.expand(*batch, size)
    if weight is None:
        ends = torch.arange(1, size + 1, device=points.device, dtype=points.dtype) / size
        return points, ends.expand(*batch, size)
    mass = wide(weight).to(points.dtype).expand(*batch, size).gather(-1, order).cumsum(-1)
    # the last one goes up to 1, whatever the masses are
    ends = mass[..., :-1] / mass[..., -1:]
    return points, torch.cat([ends, torch.ones_like(mass[..., :1])], -1)
