"""What counts towards a mean, over all ranks: the normaliser of a batch that is spread over processes."""

from typing import TypeAlias

import torch
from torch import Tensor
from torch import distributed as dist

Group: TypeAlias = "dist.ProcessGroup | None"


def global_count(local: Tensor | float, *, group: Group = None) -> Tensor:
    r"""The sum over all ranks of what counts on this one, to be the ``normalizer=`` of every loss of one step.

    .. math::
        n = \sum_{\text{ranks}} \sum_i n_i

    A mean is right within one call only. If a batch is taken in parts of different sizes, the mean of the parts'
    means is not the batch's: each part has to be divided by what counts in the **whole** batch.

    *Gradient accumulation.* Count before the first part, give the number to each, and add the gradients up:

    >>> import torch, lossmith
    >>> from lossmith.functional import cross_entropy
    >>> logits, labels = torch.randn(8, 5), torch.tensor([1, 0, -100, 4, -100, -100, 2, 2])
    >>> whole = cross_entropy(logits, labels)
    >>> n = lossmith.scale.global_count(labels != -100)
    >>> parts = [cross_entropy(logits[s], labels[s], normalizer=n) for s in (slice(0, 6), slice(6, 8))]
    >>> torch.allclose(sum(parts), whole)
    True

    *Several ranks.* The same number is right where the ranks' gradients are **added**. DistributedDataParallel and FSDP
    **average** them, which divides by the number of ranks once more. Take that back in the normaliser, or multiply the
    loss by the number of ranks before its backward pass:

    >>> ranks = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    >>> loss = cross_entropy(logits, labels, normalizer=n / ranks)
    >>> torch.allclose(loss, ranks * cross_entropy(logits, labels, normalizer=n))
    True

    Give what the loss's own denominator counts (see :doc:`/reductions`): a mask or the number of elements; with class
    weights ``weight[labels]``; with ``sample_weight=`` the weights themselves.

    Args:
        local: what counts here: a number, a bool mask (its True elements), or a tensor of counts or weights. Every rank
            of the group has to call this, one that has nothing with 0.
        group: the process group; by default all ranks. Without torch.distributed the local sum is returned.

    Returns:
        A tensor of no dimensions, without gradient: int64 for masks and whole numbers, else float64 (float32 on
        devices without it); on the device of ``local`` if the group can reduce there.

    Raises:
        TypeError: ``local`` is complex.
    """
    total = _sum(local)
    if dist.is_available() and dist.is_initialized():
        total = total.to(_device(total, group))
        dist.all_reduce(total, group=group)
    return total


def _sum(local: Tensor | float) -> Tensor:
    local = local.detach() if isinstance(local, Tensor) else torch.tensor(local, dtype=_widest(local))
    if local.is_complex():
        raise TypeError(
            f"global_count: local is of dtype {local.dtype}, expected a mask, counts or weights; write local.abs()"
        )
    if not local.is_floating_point():
        return local.sum(dtype=torch.int64)
    return local.sum(dtype=torch.float32 if local.device.type == "mps" else torch.float64)


def _widest(number: float) -> torch.dtype | None:
    return torch.float64 if isinstance(number, float) else None


def _device(total: Tensor, group: Group) -> torch.device:
    """Where the group can add this up: where it is, or on the accelerator (NCCL knows no CPU tensors)."""
    # such as "cpu:gloo,cuda:nccl"
    devices = [pair.split(":")[0] for pair in dist.get_backend_config(group).split(",")]
    if total.device.type in devices:
        return total.device
    return torch.accelerator.current_accelerator() or total.device
