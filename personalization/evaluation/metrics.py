"""Metrics of rankings and of probabilities."""

import numpy as np

from personalization.decay import kernel
from personalization.features.view import F64, I8, I64, Bool

TOP = 10


def rank_metrics(rank: int) -> tuple[float, float, float]:
    """HR@10, NDCG@10 and reciprocal rank of one relevant item at ``rank`` (0: not ranked).

    >>> rank_metrics(1), rank_metrics(3), rank_metrics(0)
    ((1.0, 1.0, 1.0), (1.0, 0.5, 0.3333333333333333), (0.0, 0.0, 0.0))
    """
    if rank == 0:
        return (0.0, 0.0, 0.0)
    if rank > TOP:
        return (0.0, 0.0, 1.0 / rank)
    return (1.0, 1.0 / float(np.log2(rank + 1)), 1.0 / rank)


def basket_metrics(shown: list[int], basket: set[int]) -> tuple[float, float]:
    """HR@10 (at least one hit) and NDCG@10 of ``shown``, for a basket that is not empty.

    >>> basket_metrics([5, 6], {6, 9})[0], round(basket_metrics([5, 6], {6, 9})[1], 3)
    (1.0, 0.387)
    """
    gains = [1.0 / np.log2(place + 2) for place in range(TOP)]
    hits = [gain for slot, gain in zip(shown[:TOP], gains, strict=False) if slot in basket]
    return (float(bool(hits)), float(sum(hits) / sum(gains[: len(basket)])))


@kernel("int64(float64[:], int64[:], boolean[:], int64)")
def rank_of(scores: F64, slots: I64, blocked: Bool, target: int) -> int:
    """The place of ``target`` among ``slots`` [n] by ``scores`` [n], from 1; 0 if it is not there.

    Slots that are ``blocked`` [slots] do not count; of equal scores the lower slot comes first;
    what has the score -inf is not ranked.
    """
    own = -np.inf
    for i in range(len(slots)):
        if slots[i] == target:
            own = scores[i]
    if own == -np.inf:
        return 0
    rank = 1
    for i in range(len(slots)):
        ahead = scores[i] > own or (scores[i] == own and slots[i] < target)
        if ahead and not blocked[slots[i]]:
            rank += 1
    return rank


@kernel("float64(int64[::1], float64[::1], int8[::1], float64[::1])")
def weighted_auc(order: I64, scores: F64, labels: I8, weights: F64) -> float:
    """The area under the ROC curve of weighted results; NaN without both outcomes.

    ``order`` sorts ``scores`` [n] ascending; ``labels`` are 0 or 1. Equal scores count half.
    """
    negatives = 0.0
    positives = 0.0
    area = 0.0
    i = 0
    while i < len(order):
        score = scores[order[i]]
        tied_negatives = 0.0
        tied_positives = 0.0
        while i < len(order) and scores[order[i]] == score:
            if labels[order[i]] == 1:
                tied_positives += weights[order[i]]
            else:
                tied_negatives += weights[order[i]]
            i += 1
        area += tied_positives * (negatives + 0.5 * tied_negatives)
        negatives += tied_negatives
        positives += tied_positives
    if positives == 0.0 or negatives == 0.0:
        return np.nan
    return area / (positives * negatives)


def list_metrics(scores: F64, chosen: Bool) -> tuple[float, float]:
    """Reciprocal rank of the first item ``chosen`` [n], and NDCG over the whole list.

    Items with equal scores stand in the order in which they were given.

    >>> list_metrics(np.array([0.1, 0.9, 0.5]), np.array([False, False, True]))
    (0.5, 0.6309297535714575)
    """
    gains = chosen[np.argsort(-scores, kind="stable")]
    discounts = 1.0 / np.log2(np.arange(2, len(scores) + 2))
    best = discounts[: int(chosen.sum())].sum()
    return (1.0 / (1.0 + int(np.argmax(gains))), float((gains * discounts).sum() / best))
