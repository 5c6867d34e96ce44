"""The items co-visited with any of several, each once."""

import numpy as np

from personalization.columns.together import place_of, table_of
from personalization.decay import kernel
from personalization.features.view import F64, I32, I64


def met_with(codes: I32, weights: F64, without: I64) -> tuple[I64, F64]:
    """The slots among ``codes`` [m, K] (-1: none) in ascending order, and the sums of their
    ``weights`` [m, K]; neither those of ``without`` nor what has no weight.

    >>> codes = np.array([[3, 2, -1], [2, 4, 5]], np.int32)
    >>> met_with(codes, np.array([[1.0, 2.0, 0.0], [4.0, 8.0, 0.0]]), np.array([4]))
    (array([2, 3]), array([6., 1.]))
    """
    slots = distinct(codes, weights, table_of(without))
    total = np.zeros(len(slots))
    add_up(codes, weights, table_of(slots), total)
    return slots, total


@kernel("int64[::1](int32[:, :], float64[:, :], int64[:, ::1])")
def distinct(codes: I32, weights: F64, without: I64) -> I64:
    """The codes above 0 that have a weight, in ascending order, but those in a table."""
    found = np.empty(codes.size, np.int64)
    several = 0
    for j in range(codes.shape[0]):
        for k in range(codes.shape[1]):
            if codes[j, k] > 0 and weights[j, k] > 0.0 and place_of(without, codes[j, k]) < 0:
                found[several] = codes[j, k]
                several += 1
    found = np.sort(found[:several])
    once = 0
    for i in range(several):
        if i == 0 or found[i] != found[i - 1]:
            found[once] = found[i]
            once += 1
    return found[:once].copy()


@kernel("void(int32[:, :], float64[:, :], int64[:, ::1], float64[::1])")
def add_up(codes: I32, weights: F64, table: I64, total: F64) -> None:
    """Add ``weights`` to ``total`` at the place of their code in ``table``."""
    for j in range(codes.shape[0]):
        for k in range(codes.shape[1]):
            if codes[j, k] > 0 and weights[j, k] > 0.0:
                place = place_of(table, codes[j, k])
                if place >= 0:
                    total[place] += weights[j, k]
