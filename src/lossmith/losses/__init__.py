"""The losses, one file each; `all_losses` finds them."""

import importlib
import pkgutil

from ..facts import Loss


def all_losses() -> dict[str, Loss]:
    """Every loss by its function's name, in the order of their files: what each file calls LOSS or LOSSES."""
    found: dict[str, Loss] = {}
    for module in pkgutil.iter_modules(__path__):
        file = importlib.import_module(f"{__name__}.{module.name}")
        for loss in getattr(file, "LOSSES", None) or (file.LOSS,):
            found[loss.name] = loss
    return found
