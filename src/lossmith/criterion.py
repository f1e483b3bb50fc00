"""What every loss Module of lossmith adds to torch's class of the same name; and a temperature that may be learned."""

import math
from typing import Any, NoReturn

import torch
from torch import Tensor

from .overrides import refuse_script
from .reduction import Normalizer, check_settings


class Criterion(torch.nn.Module):
    """Mixed in before torch's class: settings of the reduction, their repr, and a sentence for TorchScript."""

    reduction: str
    normalizer: Normalizer
    on_empty: str

    def _settle(self, normalizer: Normalizer, on_empty: str) -> None:
        """Checks and keeps the settings; the last step of a constructor."""
        check_settings(type(self).__name__, self.reduction, normalizer, on_empty)
        self.normalizer, self.on_empty = normalizer, on_empty

    def _reduction(
        self, sample_weight: Tensor | None, mask: Tensor | None, normalizer: Normalizer, on_empty: str | None
    ) -> dict[str, Any]:
        """The reduction's keywords for the function: what the call gives comes before what the constructor got."""
        return {
            "reduction": self.reduction,
            "sample_weight": sample_weight,
            "mask": mask,
            "normalizer": self.normalizer if normalizer is None else normalizer,
            "on_empty": self.on_empty if on_empty is None else on_empty,
        }

    def extra_repr(self) -> str:
        parts = [super().extra_repr()]
        if self.normalizer is not None:
            parts.append(f"normalizer={self.normalizer!r}")
        if self.on_empty != "nan":
            parts.append(f"on_empty={self.on_empty!r}")
        return ", ".join(part for part in parts if part)

    def _repr_html_(self) -> str | None:
        """The card of the loss with the settings of this instance, for notebooks."""
        from .cards.notebook import page  # above this layer; loaded when a notebook asks

        return page(self)

    def __prepare_scriptable__(self) -> NoReturn:
        refuse_script(type(self).__name__)()


class Tempered(Criterion):
    """A loss of similarities over a temperature: a setting, or a Parameter in the form of its inverse's logarithm."""

    log_scale: torch.nn.Parameter | None

    def _start(self, temperature: float, learnable: bool) -> None:
        """Keeps the temperature; before `_settle`."""
        self._temperature = temperature
        start = torch.nn.Parameter(torch.tensor(-math.log(temperature))) if learnable else None
        self.register_parameter("log_scale", start)

    @property
    def temperature(self) -> float | Tensor:
        return self._temperature if self.log_scale is None else torch.exp(-self.log_scale)

    def extra_repr(self) -> str:
        shown = f"temperature={self._temperature}" if self.log_scale is None else "learnable temperature"
        return ", ".join(part for part in (shown, super().extra_repr()) if part)
