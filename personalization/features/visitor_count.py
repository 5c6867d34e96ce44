"""How well the visitor is known."""

from typing import TYPE_CHECKING

from personalization.decay import log1p
from personalization.features.family import Feature
from personalization.features.view import F32, View

if TYPE_CHECKING:
    from personalization.spec import Spec


class VisitorCount(Feature, frozen=True):
    """How often the visitor ever did ``event``.

    float32[n], the same for all candidates: log1p of a plain count; 0 without a visitor.
    """

    event: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        spec.plan.event_index[self.event]
        return (f"visitor_count_{self.event}",)

    def compute(self, view: View, out: F32) -> None:
        visitor = view.visitor
        if visitor is not None:
            out[:, 0] = log1p(float(visitor.counts[view.plan.event_index[self.event]]))
