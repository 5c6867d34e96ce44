"""How those who thought like the visitor of other items answered the candidates."""

from collections.abc import Sequence

import numpy as np

from personalization.columns.columns import Columns
from personalization.columns.together import place_of, table_of
from personalization.decay import kernel
from personalization.features.view import F32, F64, I32, I64, Opinions


def opinions_in_common(
    columns: Columns, slots: I64, items: Sequence[str], liked: Sequence[bool]
) -> Opinions:
    """What the rows of the items at ``slots`` [n] (0: none) and of ``items`` [m], of which the
    visitor holds an opinion, say of each other."""
    last = columns.slots(items)
    n, m, events = len(slots), len(last), len(columns.plan.events)
    signs = np.array(liked, np.int64)
    before, after = np.zeros((n, m, events)), np.zeros((2, n, m, events))
    add_before(
        *columns.opinions_at(slots), table_of(np.where(last > 0, 2 * last + signs, -1)), before
    )
    add_after(*columns.opinions_at(last), table_of(slots - (slots == 0)), after)
    return Opinions(signs == 1, before, after)


@kernel("void(int32[:, :], float32[:, :, :], int64[:, ::1], float64[:, :, :])")
def add_before(codes: I32, counts: F32, held: I64, out: F64) -> None:
    """Add to ``out`` [n, m, E] the ``counts`` [n, K, E] of those whose ``codes`` [n, K] (-1: none,
    at the end) are in the table ``held``, of m opinions."""
    for i in range(len(codes)):
        for k in range(codes.shape[1]):
            if codes[i, k] < 0:
                break
            place = place_of(held, codes[i, k])
            if place >= 0:
                for e in range(counts.shape[2]):
                    out[i, place, e] += counts[i, k, e]


@kernel("void(int32[:, :], float32[:, :, :], int64[:, ::1], float64[:, :, :, :])")
def add_after(codes: I32, counts: F32, candidates: I64, out: F64) -> None:
    """Add to ``out`` [2, n, m, E] the ``counts`` [m, K, E] of those who had disliked (0) or liked
    (1) one of the n items in the table ``candidates``."""
    for j in range(len(codes)):
        for k in range(codes.shape[1]):
            if codes[j, k] < 0:
                break
            place = place_of(candidates, codes[j, k] >> 1)
            if place >= 0:
                for e in range(counts.shape[2]):
                    out[codes[j, k] & 1, place, j, e] += counts[j, k, e]
