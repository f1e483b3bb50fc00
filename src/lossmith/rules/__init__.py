"""The rules, one file each; `all_rules` finds them. Files that begin with an underscore hold what rules share."""

import importlib
import pkgutil

from ..rule import Rule


def all_rules() -> dict[str, Rule]:
    """Every rule by its name, in the order of their codes: what each file calls RULE."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    files = (importlib.import_module(f"{__name__}.{name}") for name in names)
    return {rule.name: rule for rule in sorted((file.RULE for file in files), key=lambda rule: rule.code)}
