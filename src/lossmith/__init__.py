"""lossmith: the loss layer for PyTorch. Every loss of torch.nn, written once as mathematics."""

from typing import TYPE_CHECKING, Any

from . import functional, mining, scale, suggest
from .backend import explain_dispatch
from .checks import LossWarning
from .errors import check_errors
from .losses.arcface import ArcFaceLoss
from .losses.bce import BCELoss
from .losses.bce_with_logits import BCEWithLogitsLoss
from .losses.charbonnier import CharbonnierLoss
from .losses.contrastive import ContrastiveLoss
from .losses.cosface import CosFaceLoss
from .losses.cosine_embedding import CosineEmbeddingLoss
from .losses.cross_entropy import CrossEntropyLoss
from .losses.ctc import CTCLoss, CTCWithLogitsLoss
from .losses.dice import DiceLoss
from .losses.distillation import DistillationLoss
from .losses.focal import FocalLoss
from .losses.gaussian_nll import GaussianNLLLoss
from .losses.hinge_embedding import HingeEmbeddingLoss
from .losses.huber import HuberLoss
from .losses.info_nce import InfoNCELoss
from .losses.js_div import JSDivLoss
from .losses.kl_div import KLDivLoss
from .losses.l1 import L1Loss
from .losses.log_cosh import LogCoshLoss
from .losses.margin_ranking import MarginRankingLoss
from .losses.mined_triplet_margin import MinedTripletMarginLoss
from .losses.mse import MSELoss
from .losses.multi_margin import MultiMarginLoss
from .losses.multilabel_margin import MultiLabelMarginLoss
from .losses.multilabel_soft_margin import MultiLabelSoftMarginLoss
from .losses.nll import NLLLoss
from .losses.poisson_nll import PoissonNLLLoss
from .losses.quantile import QuantileLoss
from .losses.siglip import SigLIPLoss
from .losses.sigmoid_focal import SigmoidFocalLoss
from .losses.smooth_l1 import SmoothL1Loss
from .losses.soft_margin import SoftMarginLoss
from .losses.supcon import SupConLoss
from .losses.triplet_margin import TripletMarginLoss
from .losses.triplet_margin_with_distance import TripletMarginWithDistanceLoss
from .losses.tversky import TverskyLoss
from .losses.wasserstein import WassersteinLoss
from .losses.wasserstein_critic import WassersteinCriticLoss
from .penalty import gradient_penalty
from .queue import MemoryQueue

if TYPE_CHECKING:
    from .guide import choose as choose
    from .watch import LossMisuse, guard

__version__ = "0.1.0"

__all__ = [
    "ArcFaceLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CTCWithLogitsLoss",
    "CharbonnierLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "DistillationLoss",
    "FocalLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "InfoNCELoss",
    "JSDivLoss",
    "KLDivLoss",
    "L1Loss",
    "LogCoshLoss",
    "LossMisuse",
    "LossWarning",
    "MSELoss",
    "MarginRankingLoss",
    "MemoryQueue",
    "MinedTripletMarginLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "SigLIPLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "SupConLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "TverskyLoss",
    "WassersteinCriticLoss",
    "WassersteinLoss",
    "check_errors",
    "explain_dispatch",
    "functional",
    "gradient_penalty",
    "guard",
    "mining",
    "scale",
    "suggest",
]


def __getattr__(name: str) -> Any:
    """Imports the guard, and `choose`, when they are first asked for."""
    if name in ("LossMisuse", "guard"):
        from . import watch

        return getattr(watch, name)
    if name != "choose":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not in __all__: `from lossmith import *` needs torch alone.
    try:
        from .guide import choose
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"lossmith.choose needs {error.name}; install it with: pip install 'lossmith[choose]'", name=error.name
        ) from None
    return choose


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "choose"})
