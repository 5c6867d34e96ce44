"""What everyone likes now."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, I64, ITEM, View
from personalization.plan import GLOBAL, StatePlan, duration_ms

if TYPE_CHECKING:
    from personalization.spec import Spec

PRIOR = 100.0


class Popularity(Feature, frozen=True):
    """The item's share of all that happened lately.

    float32[n], log1p of its events per thousand: ``log1p(1000 * item / (global + PRIOR))`` of
    counts decayed at ``half_life``, so that it does not drift with traffic and a shop's first
    clicks do not count as a large share. Without ``event``: all events with a weight above 0,
    each times its weight.
    """

    event: str | None = None
    half_life: str = "1d"

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        self._columns_read(spec.plan)
        event = "" if self.event is None else f"_{self.event}"
        return (f"popularity{event}_{self.half_life}",)

    def compute(self, view: View, out: F32) -> None:
        columns, weights = self._columns_read(view.plan)
        share_of_all(view.at_level(ITEM), view.at_level(GLOBAL), columns, weights, out)

    def _columns_read(self, plan: StatePlan) -> tuple[I64, F64]:
        return weighted_columns(self.event, duration_ms(self.half_life), plan)


@lru_cache
def weighted_columns(event: str | None, half_life: int, plan: StatePlan) -> tuple[I64, F64]:
    """The counters that are summed, and their weights; without ``event`` all of interest."""
    told = [(event, 1.0)] if event is not None else zip(plan.events, plan.weights, strict=True)
    summed = [(plan.counter(name, half_life), weight) for name, weight in told if weight > 0]
    return np.array([column for column, _ in summed], np.int64), np.array([w for _, w in summed])


@kernel("void(float64[:, :], float64[:, :], int64[:], float64[:], float32[:, :])")
def share_of_all(items: F64, everything: F64, columns: I64, weights: F64, out: F32) -> None:
    """The weighted share per thousand, in log1p, into ``out`` [n, 1]."""
    for i in range(len(items)):
        own = 0.0
        total = PRIOR
        for c in range(len(columns)):
            own += weights[c] * items[i, columns[c]]
            total += weights[c] * everything[i, columns[c]]
        out[i, 0] = log1p(1000.0 * own / total)
