"""Exponential decay: one function, for every fold and every kernel.

Everything here is built from IEEE additions, multiplications, divisions, comparisons and exact
scalings by powers of two, never from libm or a vector library, and compiled without
``fastmath``. So the bits are the same scalar or vectorised, live or in bulk, on any CPU.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LAST_POWER = 1074.0  # 2**-1074 is the smallest float64 above 0
_ROUNDER = 1.5 * 2.0**52  # adding and subtracting it rounds to a whole number
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # 21 trailing zeros: times an exponent, exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SQRT2 = float.fromhex("0x1.6a09e667f3bcdp+0")
_MANTISSA = (1 << 52) - 1
_ONE = 1023 << 52


def kernel(*signatures: str) -> Callable[[F], F]:
    """Compile to machine code for exactly these signatures, kept on disk between processes."""
    compiler = numba.njit(list(signatures), cache=True, error_model="numpy")
    return cast("Callable[[F], F]", compiler)


@kernel("float64(float64, float64)")
def decay_factor(elapsed_ms: float, half_life_ms: float) -> float:
    """What is left of 1 after ``elapsed_ms``: ``2 ** (-elapsed_ms / half_life_ms)``.

    ``half_life_ms`` must be above 0, ``elapsed_ms`` not under -1,000 half-lives: below 0 the
    factor is above 1. Within 1 ulp of the power of the rounded quotient; 0 from 1,074
    half-lives on.

    >>> decay_factor(3_600_000, 3_600_000), decay_factor(0, 1), decay_factor(2_000, 1)
    (0.5, 1.0, 0.0)
    >>> decay_factor(-2, 1)
    4.0

    2**n * 2**f with n whole and \\|f\\| <= 1/2; 2**f by the Taylor polynomial of degree 13.
    """
    halvings = elapsed_ms / half_life_ms
    whole = (_ROUNDER - halvings) - _ROUNDER
    if not halvings < _LAST_POWER:
        return 0.0
    f = -halvings - whole
    p = 1.3691488853904128e-12
    p = p * f + 2.5678435993488206e-11
    p = p * f + 4.4455382718708116e-10
    p = p * f + 7.054911620801123e-09
    p = p * f + 1.01780860092397e-07
    p = p * f + 1.321548679014431e-06
    p = p * f + 1.5252733804059841e-05
    p = p * f + 0.0001540353039338161
    p = p * f + 0.0013333558146428443
    p = p * f + 0.009618129107628477
    p = p * f + 0.05550410866482158
    p = p * f + 0.2402265069591007
    p = p * f + 0.6931471805599453
    p = p * f + 1.0
    n = np.int64(whole)
    half = n >> 1  # in two steps, as 2**n itself may be below the smallest normal number
    first = np.int64((half + 1023) << 52).view(np.float64)
    second = np.int64((n - half + 1023) << 52).view(np.float64)
    return float(p * first * second)


@kernel("float64(float64)")
def log1p(x: float) -> float:
    """The natural logarithm of ``1 + x``, within 2 ulp, also for small ``x``.

    >>> log1p(0.0), log1p(1e-300), round(log1p(1.0), 12)
    (0.0, 1e-300, 0.69314718056)

    -inf at -1, NaN below it. 1 + x = m * 2**k with m in [sqrt(1/2), sqrt(2)); log(m) is
    2 * atanh(s) with s = (m - 1) / (m + 1), and what rounding 1 + x lost is put back (the
    method of fdlibm's ``s_log1p.c``).
    """
    if not x > -1.0:
        return -np.inf if x == -1.0 else np.nan
    if x == np.inf:
        return x
    u = 1.0 + x
    lost = (x - (u - 1.0)) / u if x < 1.0 else (1.0 - (u - x)) / u
    bits = np.float64(u).view(np.int64)
    k = (bits >> 52) - 1023
    m = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
    if m > _SQRT2:
        m *= 0.5
        k += 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 23.0
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    f = m - 1.0
    # log(m) = f - s * (f - 2 * z * p): f is exact, so only the small rest is rounded
    rest = s * (f - 2.0 * z * p)
    return float(k * _LN2_HIGH - ((rest - (k * _LN2_LOW + lost)) - f))


@kernel("float64[:, ::1](float64[:, ::1], int64[::1], int64, int64[::1])")
def decay_columns(counters: Floats, at: Ints, now: int, half_lives: Ints) -> Floats:
    """Counters of many rows, each decayed from its own time to ``now``.

    ``counters`` is float64[n, E * H], ``at`` int64[n] in ms, ``half_lives`` int64[H] in ms;
    column ``e * H + h`` decays with half-life ``h``. A row newer than ``now`` stays as it is.
    Returns float64[n, E * H].
    """
    rows, width = counters.shape
    several = len(half_lives)
    decayed = np.empty_like(counters)
    factors = np.empty(several)
    last = -1.0
    for row in range(rows):
        elapsed = float(max(now - at[row], 0))
        if elapsed != last:  # candidates share sellers and segments
            last = elapsed
            for h in range(several):
                factors[h] = decay_factor(elapsed, float(half_lives[h]))
        for h in range(several):
            for column in range(h, width, several):
                decayed[row, column] = counters[row, column] * factors[h]
    return decayed


@kernel("float64[::1](float64[::1], int64[::1], int64, float64)")
def decay_vector(weights: Floats, at: Ints, now: int, half_life: float) -> Floats:
    """Each weight decayed from its own time to ``now``; one newer than ``now`` stays as it is.

    ``weights`` is float64[n], ``at`` int64[n] in ms, ``half_life`` in ms. Returns float64[n].
    """
    decayed = np.empty_like(weights)
    for row in range(len(weights)):
        elapsed = float(max(now - at[row], 0))
        decayed[row] = weights[row] * decay_factor(elapsed, half_life)
    return decayed
