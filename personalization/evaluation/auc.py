"""AUC with intervals, bootstrapped by visitor: the mean over parts, weighted by their results."""

import numpy as np

from personalization.evaluation.bootstrap import Interval, poisson_weights
from personalization.evaluation.cohorts import COHORTS
from personalization.evaluation.metrics import weighted_auc
from personalization.features.view import F64

_MOST = 1 << 20


class Aucs:
    """Keeps scores and outcomes: of more than a million results a random part, as memory is to
    hold whatever stream."""

    def __init__(self, arms: int, *, seed: int, resamples: int) -> None:
        self._arms = arms
        self._seed = seed
        self._resamples = resamples
        self._parts: dict[str, int] = {}
        self._kept: list[tuple[int, int, int, int, tuple[float, ...]]] = []
        self._share = 1.0
        self._random = np.random.default_rng([seed, 2])

    def add(self, visitor: int, cohorts: int, part: str, liked: bool, scores: list[float]) -> None:
        """One exposure with its outcome, and the score of every arm."""
        if self._share < 1.0 and self._random.random() >= self._share:
            return
        place = self._parts.setdefault(part, len(self._parts))
        self._kept.append((visitor, cohorts, place, int(liked), tuple(scores)))
        if len(self._kept) == _MOST:
            self._kept = [one for one in self._kept if self._random.random() < 0.5]
            self._share /= 2.0

    def of_cohorts(self) -> dict[int, tuple[list[Interval], list[Interval]]]:
        """For each cohort: every arm's AUC, and how much greater that of the last arm is.

        Cohorts whose results are all of one kind are left out.
        """
        if not self._kept:
            return {}
        visitors, members, parts, liked = (
            np.array([one[column] for one in self._kept], np.int64) for column in range(4)
        )
        scores = np.array([one[4] for one in self._kept])
        found = {}
        for cohort in range(len(COHORTS)):
            inside = np.flatnonzero(members >> cohort & 1)
            draws = np.zeros((self._arms, self._resamples + 1))
            weight = np.zeros(self._resamples + 1)
            for part in np.unique(parts[inside]):
                rows = inside[parts[inside] == part]
                labels = liked[rows].astype(np.int8)
                if 0 < labels.sum() < len(labels):
                    drawn = poisson_weights(visitors[rows], self._seed, self._resamples)
                    weights = np.ones((self._resamples + 1, len(rows)))
                    weights[1:] = drawn.T
                    draws += self._of_part(scores[rows], labels, weights)
                    weight += len(rows)
            if weight[0] > 0:
                found[cohort] = self._intervals(draws / weight)
        return found

    def _of_part(self, scores: F64, labels: np.typing.NDArray[np.int8], weights: F64) -> F64:
        """AUC x results, of every arm in every resample; resamples without both kinds take the
        value of all."""
        n = len(labels)
        found = np.empty((self._arms, len(weights)))
        for arm in range(self._arms):
            own = np.ascontiguousarray(scores[:, arm])
            order = np.argsort(own, kind="stable")
            for r, drawn in enumerate(weights):
                auc = weighted_auc(order, own, labels, drawn)
                found[arm, r] = n * (found[arm, 0] / n if np.isnan(auc) else auc)
        return found

    def _intervals(self, draws: F64) -> tuple[list[Interval], list[Interval]]:
        ahead = draws[-1] - draws
        return [_interval(one) for one in draws], [_interval(one) for one in ahead]


def _interval(draws: F64) -> Interval:
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return (float(draws[0]), float(low), float(high))
