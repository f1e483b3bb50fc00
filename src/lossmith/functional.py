"""The losses as functions, by torch's names."""

from .losses.arcface import arcface_loss
from .losses.bce import binary_cross_entropy
from .losses.bce_with_logits import binary_cross_entropy_with_logits
from .losses.charbonnier import charbonnier_loss
from .losses.contrastive import contrastive_loss
from .losses.cosface import cosface_loss
from .losses.cosine_embedding import cosine_embedding_loss
from .losses.cross_entropy import cross_entropy
from .losses.ctc import ctc_loss, ctc_loss_with_logits
from .losses.dice import dice_loss
from .losses.distillation import distillation_loss
from .losses.focal import focal_loss
from .losses.gaussian_nll import gaussian_nll_loss
from .losses.hinge_embedding import hinge_embedding_loss
from .losses.huber import huber_loss
from .losses.info_nce import info_nce_loss
from .losses.js_div import js_div
from .losses.kl_div import kl_div
from .losses.l1 import l1_loss
from .losses.log_cosh import log_cosh_loss
from .losses.margin_ranking import margin_ranking_loss
from .losses.mined_triplet_margin import mined_triplet_margin_loss
from .losses.mse import mse_loss
from .losses.multi_margin import multi_margin_loss
from .losses.multilabel_margin import multilabel_margin_loss
from .losses.multilabel_soft_margin import multilabel_soft_margin_loss
from .losses.nll import nll_loss
from .losses.poisson_nll import poisson_nll_loss
from .losses.quantile import quantile_loss
from .losses.siglip import siglip_loss
from .losses.sigmoid_focal import sigmoid_focal_loss
from .losses.smooth_l1 import smooth_l1_loss
from .losses.soft_margin import soft_margin_loss
from .losses.supcon import supcon_loss
from .losses.triplet_margin import triplet_margin_loss
from .losses.triplet_margin_with_distance import triplet_margin_with_distance_loss
from .losses.tversky import tversky_loss
from .losses.wasserstein import wasserstein_loss
from .losses.wasserstein_critic import wasserstein_critic_loss

__all__ = [
    "arcface_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "charbonnier_loss",
    "contrastive_loss",
    "cosface_loss",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "ctc_loss_with_logits",
    "dice_loss",
    "distillation_loss",
    "focal_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "info_nce_loss",
    "js_div",
    "kl_div",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mined_triplet_margin_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "quantile_loss",
    "siglip_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "supcon_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "tversky_loss",
    "wasserstein_critic_loss",
    "wasserstein_loss",
]
