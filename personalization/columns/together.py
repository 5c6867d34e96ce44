"""How often candidates and the visitor's last items were met together."""

import numpy as np

from personalization.decay import decay_factor, kernel
from personalization.features.view import F64, I32, I64

_MIX = 0x9E3779B1


@kernel("int64(int64, int64)")
def _home(code: int, size: int) -> int:
    """Where a code is looked for first, in a table of ``size``, a power of two."""
    return ((int(code) * _MIX) >> 7) & (size - 1)


@kernel("int64[:, ::1](int64[:])")
def table_of(codes: I64) -> I64:
    """A hash table of ``codes`` (-1: none) with their places: [size, 2], open addressing."""
    size = 16
    while size < 4 * len(codes):
        size *= 2
    table = np.full((size, 2), -1, np.int64)
    for place in range(len(codes)):
        code = codes[place]
        if code >= 0:
            slot = _home(code, size)
            while table[slot, 0] >= 0 and table[slot, 0] != code:
                slot = (slot + 1) & (size - 1)
            if table[slot, 0] < 0:
                table[slot, 0] = code
                table[slot, 1] = place
    return table


@kernel("int64(int64[:, ::1], int64)")
def place_of(table: I64, code: int) -> int:
    """The first place of ``code``, -1 if it has none."""
    size = len(table)
    slot = _home(code, size)
    while table[slot, 0] >= 0:
        if table[slot, 0] == code:
            return int(table[slot, 1])
        slot = (slot + 1) & (size - 1)
    return -1


@kernel(
    "void(int64[:], int32[:, :], float64[:, :], int64[:], int64[:, ::1], int64, float64,"
    " float64[:, :], float64[:])"
)
def add_kept(
    codes: I64,
    near: I32,
    weights: F64,
    at: I64,
    others: I64,
    now: int,
    half_life: float,
    out: F64,
    degrees: F64,
) -> None:
    """Add to ``out`` [n, m] what each of ``codes`` [n] keeps of those in the table ``others``,
    and to ``degrees`` [n] what it keeps of anything, all decayed to ``now``.

    ``near`` [n, K] are the codes that each keeps (-1: none, at the end) with ``weights``, decayed
    to ``at`` [n].
    """
    for i in range(len(codes)):
        if codes[i] < 0:
            continue
        factor = decay_factor(float(max(now - at[i], 0)), half_life)
        degree = 0.0
        for k in range(near.shape[1]):
            if near[i, k] < 0:
                break
            weight = weights[i, k] * factor
            degree += weight
            place = place_of(others, near[i, k])
            if place >= 0:
                out[i, place] += weight
        degrees[i] += degree
