"""What the rules about losses of vectors share: by what their similarities are multiplied."""

import torch
from torch import Tensor

from ..rule import Call


def similarity_scale(call: Call) -> Tensor:
    """The scale, or one over the temperature, which may be learned; 1 for losses without either."""
    scale = call.arguments.get("scale", 1.0)
    if isinstance(scale, Tensor):
        return scale.detach().reshape(())
    temperature = call.arguments.get("temperature", 1.0)
    if isinstance(temperature, Tensor):
        return temperature.detach().reciprocal().reshape(())
    return torch.tensor(scale / temperature)
