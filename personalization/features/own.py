"""What the visitor keeps coming back for."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import decay_factor, kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, View
from personalization.plan import AffinityPlan, duration_ms

if TYPE_CHECKING:
    from personalization.spec import Spec

ITEM_ITSELF = "item"
_ID_BYTES = 16


class Own(Feature, frozen=True):
    """What the visitor had to do with this very item before.

    Three float32[n]: ``own_weight``, the decayed weight w of their events as
    sign(w) * log1p(\\|w\\|); ``own_count``, log1p of how many events it were; ``own_rate``, events
    per session of theirs (frequency beats recency in repeat consumption: Reiter-Haas et al.,
    RecSys 2021; both are here). 0 for an item never met, or met long ago: the ``size`` heaviest
    items are kept, at ``half_life``; where the longest id is longer than 16 bytes, as many fewer.
    """

    half_life: str = "60d"
    size: int = 160

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        return ("own_weight", "own_count", "own_rate")

    def affinities(self) -> tuple[AffinityPlan, ...]:
        half_life = duration_ms(self.half_life)
        return (AffinityPlan(ITEM_ITSELF, False, half_life, self.size, _ID_BYTES),)

    def compute(self, view: View, out: F32) -> None:
        visitor = view.visitor
        if visitor is None:
            return
        index = view.plan.affinity_index[ITEM_ITSELF, False]
        topk = visitor.affinities[index]
        if topk.entries.keys().isdisjoint(view.candidates.ids):
            return
        nothing = (0.0, 0)
        kept = np.array([topk.entries.get(id, nothing) for id in view.candidates.ids], np.float64)
        factor = decay_factor(
            float(max(view.moment.now - topk.at, 0)), view.plan.affinities[index].half_life
        )
        sessions = 1 if visitor.session is None else visitor.session.number
        own_history(kept, factor, float(sessions), out)


@kernel("void(float64[:, :], float64, float64, float32[:, :])")
def own_history(kept: F64, factor: float, sessions: float, out: F32) -> None:
    """Weights and counts ``kept`` [n, 2] into ``out`` [n, 3]."""
    for i in range(len(kept)):
        size = log1p(abs(kept[i, 0]) * factor)
        out[i, 0] = size if kept[i, 0] >= 0.0 else -size
        out[i, 1] = log1p(kept[i, 1])
        out[i, 2] = kept[i, 1] / sessions
