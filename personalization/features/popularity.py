"""What everyone likes now."""

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
        share_of_all(
            view.at_level(ITEM),
            view.at_level(GLOBAL),
            np.array(columns, np.int64),
            np.array(weights),
            out,
        )

    def _columns_read(self, plan: StatePlan) -> tuple[list[int], list[float]]:
        half_life = duration_ms(self.half_life)
        if self.event is not None:
            return [plan.counter(self.event, half_life)], [1.0]
        told = [(e, w) for e, w in zip(plan.events, plan.weights, strict=True) if w > 0]
        return [plan.counter(event, half_life) for event, _ in told], [weight for _, weight in told]


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
