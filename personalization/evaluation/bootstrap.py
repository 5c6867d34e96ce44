"""Means with 95 % intervals, bootstrapped by visitor while the results stream by.

Every visitor has, in every resample, a weight drawn from Poisson(1), made from a hash of seed,
visitor and resample (the Poisson bootstrap: Chamandy et al., Estimating Uncertainty for Massive
Data Streams, 2012). So nothing but sums is kept, all arms and cohorts see the same resamples, and
the difference of two means is paired.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from personalization.decay import kernel
from personalization.features.view import F64, I64

Interval = tuple[float, float, float]

_BLOCK = 4096
_LEVEL = (0.025, 0.975)


def visitor_number(visitor: str) -> int:
    """63 bits that stand for a visitor."""
    return int.from_bytes(blake2b(visitor.encode(), digest_size=8).digest(), "little") >> 1


def poisson_weights(visitors: I64, seed: int, resamples: int) -> F64:
    """The weight of each visitor [n] in each resample: float64[n, resamples]."""
    with np.errstate(over="ignore"):  # hashing is arithmetic modulo 2**64
        return draw_weights(visitors, seed, resamples)


@kernel("float64[:, ::1](int64[::1], int64, int64)")
def draw_weights(visitors: I64, seed: int, resamples: int) -> F64:
    """See ``poisson_weights``."""
    weights = np.empty((len(visitors), resamples))
    for i in range(len(visitors)):
        for r in range(resamples):
            # splitmix64 (Steele, Lea & Flood, 2014) of visitor, seed and resample
            z = np.uint64(visitors[i]) ^ (np.uint64(seed) * np.uint64(0xD6E8FEB86659FD93))
            z += np.uint64(r + 1) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            uniform = float(np.int64(z >> np.uint64(11))) * 2.0**-53
            drawn = 0.0
            probability = 0.36787944117144233
            passed = probability
            while uniform >= passed and drawn < 12.0:
                drawn += 1.0
                probability /= drawn
                passed += probability
            weights[i, r] = drawn
    return weights


class Means:
    """Streams results in, gives means out: for each cohort the mean of every column.

    A result has a visitor, the cohorts it belongs to (bits), and one value for each column.
    """

    def __init__(self, cohorts: int, columns: int, seed: int, resamples: int = 1000) -> None:
        self._seed = seed
        self._resamples = resamples
        self._visitors: I64 = np.empty(_BLOCK, np.int64)
        self._members: I64 = np.empty(_BLOCK, np.int64)
        self._values: F64 = np.empty((_BLOCK, columns))
        self._waiting = 0
        self._counts: I64 = np.zeros(cohorts, np.int64)
        self._totals: F64 = np.zeros((cohorts, columns))
        self._weights: F64 = np.zeros((cohorts, resamples))
        self._sums: F64 = np.zeros((cohorts, resamples, columns))

    def add(self, visitor: int, cohorts: int, values: F64 | Sequence[float]) -> None:
        """One result."""
        place = self._waiting
        self._visitors[place] = visitor
        self._members[place] = cohorts
        self._values[place] = values
        self._waiting += 1
        if self._waiting == _BLOCK:
            self._take()

    def merge(self, other: "Means") -> None:
        """Take in the results of ``other``, of the same seed and shape."""
        self._take()
        other._take()
        self._counts += other._counts
        self._totals += other._totals
        self._weights += other._weights
        self._sums += other._sums

    def count(self, cohort: int) -> int:
        """How many results a cohort has."""
        self._take()
        return int(self._counts[cohort])

    def mean(self, cohort: int, column: int) -> Interval:
        """A column's mean in a cohort that has results, with its interval."""
        return self._interval(cohort, {column: 1.0})

    def difference(self, cohort: int, column: int, other: int) -> Interval:
        """How much greater a column's mean is than another's, paired."""
        return self._interval(cohort, {column: 1.0, other: -1.0})

    def ratio(self, cohort: int, column: int, other: int) -> Interval:
        """A column's mean divided by another's, which is above 0."""
        self._take()
        totals, sums = self._totals[cohort], self._sums[cohort]
        there = sums[:, other] > 0.0
        draws = sums[there, column] / sums[there, other]
        value = totals[column] / totals[other]
        low, high = np.quantile(draws, _LEVEL) if there.any() else (value, value)
        return (float(value), float(low), float(high))

    def _interval(self, cohort: int, columns: dict[int, float]) -> Interval:
        self._take()
        value, draws = 0.0, np.zeros(self._resamples)
        there = self._weights[cohort] > 0.0
        for column, sign in columns.items():
            value += sign * self._totals[cohort, column] / self._counts[cohort]
            draws[there] += sign * self._sums[cohort, there, column] / self._weights[cohort, there]
        low, high = np.quantile(draws[there], _LEVEL) if there.any() else (value, value)
        return (float(value), float(low), float(high))

    def _take(self) -> None:
        n, self._waiting = self._waiting, 0
        if n == 0:
            return
        weights = poisson_weights(self._visitors[:n], self._seed, self._resamples)
        for cohort in range(len(self._counts)):
            inside = np.flatnonzero(self._members[:n] >> cohort & 1)
            if len(inside):
                values = self._values[inside]
                self._counts[cohort] += len(inside)
                self._totals[cohort] += values.sum(axis=0)
                drawn = weights[inside]
                self._weights[cohort] += drawn.sum(axis=0)
                self._sums[cohort] += drawn.T @ values
