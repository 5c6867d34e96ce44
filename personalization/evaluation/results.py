"""Results by arm, cohort and metric, with intervals."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from personalization.evaluation.bootstrap import Interval, Means
from personalization.evaluation.cohorts import COHORTS
from personalization.features.view import F64


class Cell(NamedTuple):
    """A metric of an arm in a cohort of ``n`` results. ``ahead`` is how much greater that of
    ``realtime`` is, paired (``None``: this is ``realtime``)."""

    arm: str
    cohort: str
    n: int
    metric: str
    value: Interval
    ahead: Interval | None


class Results:
    """Streams results in. ``arms`` and ``metrics`` are their names."""

    def __init__(
        self, arms: Sequence[str], metrics: Sequence[str], *, seed: int, resamples: int
    ) -> None:
        self.arms = tuple(arms)
        self.metrics = tuple(metrics)
        self._means = Means(len(COHORTS), len(arms) * len(metrics), seed, resamples)

    @property
    def tested(self) -> int:
        """How many results there are."""
        return self._means.count(0)

    def add(self, visitor: int, cohorts: int, values: Sequence[Sequence[float]]) -> None:
        """One result of a visitor: the metrics of every arm; ``cohorts`` are bits."""
        flat: F64 = np.array(values, np.float64).reshape(-1)
        self._means.add(visitor, cohorts, flat)

    def merge(self, other: "Results") -> None:
        """Take in what another pass over the same stream found for other visitors."""
        self._means.merge(other._means)

    def cells(self) -> Iterator[Cell]:
        """Everything there is, arm by arm."""
        width = len(self.metrics)
        best = self.arms.index("realtime") if "realtime" in self.arms else None
        for a, arm in enumerate(self.arms):
            for c, cohort in enumerate(COHORTS):
                n = self._means.count(c)
                if n == 0:
                    continue
                for m, metric in enumerate(self.metrics):
                    ahead = None
                    if best is not None and a != best:
                        ahead = self._means.difference(c, best * width + m, a * width + m)
                    value = self._means.mean(c, a * width + m)
                    yield Cell(arm, cohort, n, metric, value, ahead)
