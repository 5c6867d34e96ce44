"""Many times in little memory: counts in buckets, each 1 % wider than the one before."""

import math

import msgspec

_SMALLEST = 1e-6
_WIDTH = math.log(1.01)


class Quantiles(msgspec.Struct, frozen=True):
    """Of ``n`` times, in ms; ``None`` if there are none."""

    n: int
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class Histogram:
    """Times in seconds. Quantiles are at most 1 % too large, never too small; ``max`` is exact.

    >>> times = Histogram()
    >>> for ms in range(1, 101):
    ...     times.add(ms / 1000)
    >>> round(times.quantile(0.5), 3), times.max
    (0.05, 0.1)
    """

    def __init__(self) -> None:
        self.count = 0
        self.max = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count ``seconds``."""
        bucket = math.ceil(math.log(max(seconds, _SMALLEST) / _SMALLEST) / _WIDTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.max = max(self.max, seconds)

    def quantile(self, share: float) -> float:
        """The least time, in seconds, that ``share`` of all do not exceed; 0 if there are none."""
        missing = math.ceil(share * self.count)
        for bucket in sorted(self._buckets):
            missing -= self._buckets[bucket]
            if missing <= 0:
                return min(self.max, _SMALLEST * math.exp(bucket * _WIDTH))
        return self.max

    def quantiles(self) -> Quantiles:
        """What is reported."""
        if not self.count:
            return Quantiles(0, None, None, None, None)
        p50, p90, p99 = (round(1000 * self.quantile(share), 2) for share in (0.5, 0.9, 0.99))
        return Quantiles(self.count, p50, p90, p99, round(1000 * self.max, 2))
