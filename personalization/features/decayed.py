"""How much happened lately."""

from typing import TYPE_CHECKING

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.levels import VISITOR, check_level, label
from personalization.features.view import F32, F64, View
from personalization.plan import duration_ms

if TYPE_CHECKING:
    from personalization.spec import Spec


class Decayed(Feature, frozen=True):
    """Decayed count of ``event`` at ``half_life``: of the item, its seller, one of its segments,
    or the visitor.

    float32[n], log1p of events, 0 where there were none.
    """

    entity: str
    event: str
    half_life: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.entity != VISITOR:
            check_level(self.entity, spec.plan)
        spec.plan.counter(self.event, duration_ms(self.half_life))
        return (f"{label(self.entity)}_{self.event}_{self.half_life}",)

    def compute(self, view: View, out: F32) -> None:
        column = view.plan.counter(self.event, duration_ms(self.half_life))
        if self.entity == VISITOR:
            out[:, 0] = log1p(view.visitor_decayed[column])
        else:
            log_column(view.at_level(self.entity), column, out)


@kernel("void(float64[:, :], int64, float32[:, :])")
def log_column(counters: F64, column: int, out: F32) -> None:
    """log1p of one column of ``counters`` [n, E*H] into ``out`` [n, 1]."""
    for i in range(len(counters)):
        out[i, 0] = log1p(counters[i, column])
