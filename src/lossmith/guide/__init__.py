"""The guide: from one's own data to the right loss. It needs the extra `choose`."""

from .chooser import Candidate, Choice, choose
from .experiment import Settings
from .read import BUNDLED, BadData

__all__ = ["BUNDLED", "BadData", "Candidate", "Choice", "Settings", "choose"]
