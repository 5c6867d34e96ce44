"""How often one thing leads to another, for what has hardly been tried too."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel
from personalization.features.family import Feature
from personalization.features.levels import check_level, label
from personalization.features.view import F32, F64, I64, View
from personalization.plan import duration_ms

if TYPE_CHECKING:
    from personalization.spec import Spec

MARGIN = 1e-6


class Rate(Feature, frozen=True):
    """Smoothed rate of ``event`` per ``per``, backing off through segments.

    float32[n], events per exposure, from ``MARGIN`` to 1 - ``MARGIN``. Counts are decayed at
    ``half_life`` (the plan's longest if not given); fewer exposures than events count as many.
    The rate of a level is ``(events + strength * prior) / (exposures + strength)``: ``strength``
    is how many exposures the prior is worth, and the prior is the rate of the next level of
    ``backoff``, in the end ``prior`` itself. So what is new starts at its parent's rate.

    Beta-binomial smoothing with the parent's rate as prior (Agarwal & Chen, Statistical Methods
    for Recommender Systems, 2016, §7).
    """

    entity: str
    event: str
    per: str
    backoff: tuple[str, ...] = ()
    half_life: str | None = None
    strength: float = 20.0
    prior: float = 0.02

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        for level in (self.entity, *self.backoff):
            check_level(level, spec.plan)
        if self.strength <= 0 or not 0 < self.prior < 1:
            raise ValueError("strength must be above 0, and prior between 0 and 1")
        for event in (self.event, self.per):
            spec.plan.counter(event, self.half_life_ms(spec.plan.half_lives))
        ending = "" if self.half_life is None else f"_{self.half_life}"
        return (f"{label(self.entity)}_{self.event}_per_{self.per}{ending}",)

    def compute(self, view: View, out: F32) -> None:
        half_life = self.half_life_ms(view.plan.half_lives)
        smoothed_rate(
            view.decayed,
            _layers(view.candidates.levels, self.entity, self.backoff),
            view.plan.counter(self.event, half_life),
            view.plan.counter(self.per, half_life),
            self.strength,
            self.prior,
            out,
        )

    def half_life_ms(self, half_lives: tuple[int, ...]) -> int:
        """The half-life of its counts: the longest of ``half_lives`` unless one is declared."""
        return max(half_lives) if self.half_life is None else duration_ms(self.half_life)


@lru_cache
def _layers(levels: tuple[str, ...], entity: str, backoff: tuple[str, ...]) -> I64:
    """The layer of each level, the widest first."""
    return np.array([levels.index(level) for level in (*backoff[::-1], entity)], np.int64)


@kernel("void(float64[:, :, :], int64[:], int64, int64, float64, float64, float32[:, :])")
def smoothed_rate(
    counters: F64, layers: I64, event: int, per: int, strength: float, prior: float, out: F32
) -> None:
    """The rate of the last of ``layers`` of ``counters`` [L, n, E*H], each of them the prior of
    the next, into ``out`` [n, 1]; ``event`` and ``per`` are columns."""
    for i in range(counters.shape[1]):
        rate = prior
        for layer in layers:
            events = counters[layer, i, event]
            exposures = max(counters[layer, i, per], events)
            rate = (events + strength * rate) / (exposures + strength)
        out[i, 0] = min(max(rate, MARGIN), 1.0 - MARGIN)
