"""InfoNCE, NT-Xent: of all keys, each query is to find its own."""

import math

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.similarity import Relation, pairs, similarity
from ..loops.similarity.inputs import check_labels, check_temperature, check_vectors, prepared
from ..overrides import overridable
from ..reduction import Normalizer, plan


@overridable
def info_nce_loss(
    input: Tensor,
    keys: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    reduction: str = "mean",
    *,
    labels: Tensor | None = None,
    negatives: Tensor | None = None,
    pairing: str = "one-way",
    normalize: bool = True,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    loss = "info_nce_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    check_vectors(loss, input=input, **({} if keys is None else {"keys": keys}))
    check_pairing(loss, pairing)
    check_temperature(loss, temperature)
    n = input.shape[0]
    if keys is None and labels is None:
        raise ValueError(
            f"{loss}: neither keys nor labels are given, so nothing is a positive; write "
            f"info_nce_loss(queries, keys) for pairs, or info_nce_loss(embeddings, labels=labels)"
        )
    if keys is not None and keys.shape != input.shape:
        raise ValueError(
            f"{loss}: {checks.shapes(input=input, keys=keys)}, expected one key for each query; "
            f"write negatives= for keys that are nobody's positive"
        )
    if keys is None and pairing != "one-way":
        raise ValueError(f"{loss}: pairing={pairing!r} needs keys; with labels alone every vector is query and key")
    if negatives is not None:
        check_vectors(loss, negatives=negatives)
        if negatives.shape[1] != input.shape[1]:
            raise ValueError(
                f"{loss}: {checks.shapes(input=input, negatives=negatives)}, expected vectors of one width"
            )
    if labels is not None:
        check_labels(loss, "labels", labels, n)
    given = [v for v in (input, keys, negatives) if v is not None]
    compute, result = dtypes(*given)
    mask = how.mask
    if mask is not None:
        checks.fits(loss, "mask", mask, (n,), "the unreduced loss")
        mask = mask.expand(n)
    input, *others = (prepared(v, compute, normalize, None if v is negatives else mask) for v in given)
    extra = others.pop() if negatives is not None else None

    rows = torch.arange(n, device=input.device)
    relation = Relation(n, n, row_labels=labels, column_labels=labels, kept_rows=mask, kept_columns=mask)
    if keys is None:
        relation.own = rows
        queries, against = input, input
    elif pairing == "views":
        queries = against = torch.cat([input, others[0]])
        relation.rows = relation.columns = 2 * n
        relation.own = torch.arange(2 * n, device=input.device)
        relation.match = relation.own.roll(n)
        if labels is not None:
            relation.row_labels = relation.column_labels = labels.repeat(2)
        if mask is not None:
            relation.kept_rows = relation.kept_columns = mask.repeat(2)
    else:
        queries, against = input, others[0]
        relation.match = rows
    if extra is not None:
        against = torch.cat([against, extra])
        relation.columns += extra.shape[0]
        if relation.kept_columns is not None:
            relation.kept_columns = torch.nn.functional.pad(relation.kept_columns, (0, extra.shape[0]), value=True)
    return similarity(
        loss,
        pairs,
        (queries,) if against is queries else (queries, against),
        relation,
        how,
        (compute, result),
        scale=1 / temperature,
        both=pairing == "symmetric",
        views=2 if pairing == "views" else 1,
        counted=keys is None,
        share=keys is None,
    )


PAIRINGS = ("one-way", "symmetric", "views")


def check_pairing(loss: str, pairing: str) -> None:
    """Raises ValueError for a pairing that does not exist."""
    if pairing not in PAIRINGS:
        raise ValueError(
            f"{loss}: pairing is {pairing!r}, expected 'one-way' (queries against keys, as MoCo), 'symmetric' (keys "
            f"against queries too, as CLIP) or 'views' (every other vector of both is a negative, as SimCLR)"
        )
