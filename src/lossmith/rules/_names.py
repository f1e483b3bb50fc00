"""What the names of variables tell of a loss's arguments, where the source tells no more."""

from ..rule import Known

TARGETS = frozenset(
    {
        *("target", "targets", "label", "labels", "gt", "gts", "ground_truth", "truth", "truths", "tgt", "tgts"),
        *("y", "y_true", "ytrue", "true_y", "y_batch", "batch_y", "y_train", "train_y", "y_test", "true_labels"),
        "batch_labels",
    }
)
PREDICTIONS = frozenset(
    {
        *("output", "outputs", "out", "outs", "logit", "logits", "y_logits", "recon", "recon_x", "reconstruction"),
        *("pred", "preds", "prediction", "predictions", "predicted", "predict", "predicts"),
        *("y_pred", "y_preds", "ypred", "pred_y", "y_hat", "yhat"),
    }
)

CONSTANTS = frozenset({"one_hot", "zeros", "ones", "full", "randint", "literal"})
"""Nobody predicts these."""
HEADS = frozenset({"softmax", "log_softmax", "sigmoid", "logsigmoid", "linear", "conv2d"})
"""What a network ends in."""


def is_target(known: Known) -> bool:
    """Whether it is named as targets are, or is a constant."""
    return (_named(known, TARGETS) or known.op in CONSTANTS) and known.op not in HEADS


def is_prediction(known: Known) -> bool:
    """Whether it is named as predictions are, or comes from what networks end in, and has its gradient."""
    return (_named(known, PREDICTIONS) or known.op in HEADS) and known.op not in CONSTANTS and not known.detached


def _named(known: Known, names: frozenset[str]) -> bool:
    return known.name.lower() in names
