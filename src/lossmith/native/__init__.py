"""The compiled kernels, if this installation has them. `backend` decides which calls they get."""

from importlib import import_module
from typing import Any

import torch

core: Any
"""The extension module, or None."""
missing: str
"""Why there is none."""

try:
    core = import_module("._core", __name__)
    core.use_torch(torch.Tensor, torch.nn.Parameter)
    missing = ""
except (ImportError, AttributeError, RuntimeError) as error:  # not built, not loadable, or of another torch
    core = None
    missing = f"the kernels are not built or can't be loaded ({error})"
