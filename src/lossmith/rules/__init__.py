"""The rules, one file each; `all_rules` finds them."""

import importlib
import pkgutil

from ..rule import Rule


def all_rules() -> dict[str, Rule]:
    """Every rule by its name, in the order of their codes: what each file calls RULE."""
    files = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {rule.name: rule for rule in sorted((file.RULE for file in files), key=lambda rule: rule.code)}
