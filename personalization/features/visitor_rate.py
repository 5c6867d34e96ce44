"""How often the visitor does something with what they are shown."""

from typing import TYPE_CHECKING

from personalization.features.family import Feature
from personalization.features.view import F32, View
from personalization.plan import GLOBAL

if TYPE_CHECKING:
    from personalization.spec import Spec

PRIOR = 10.0


class VisitorRate(Feature, frozen=True):
    """The visitor's own ``event`` per ``per``, of plain counts: some like most of what they see.

    float32[n], the same for all candidates, in [0, 1]. Smoothed with ``PRIOR`` exposures at the
    rate of all visitors (a beta-binomial posterior mean), which is also the value without a
    visitor.
    """

    event: str
    per: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        for name in (self.event, self.per):
            spec.plan.event_index[name]
        return (f"visitor_{self.event}_per_{self.per}",)

    def compute(self, view: View, out: F32) -> None:
        if not len(out):
            return
        event, per = (view.plan.event_index[name] for name in (self.event, self.per))
        everybody = view.candidates.at_level(GLOBAL).counts[0].tolist()
        rate = min(everybody[event] / (everybody[per] + PRIOR), 1.0)
        counts = [0] * len(everybody) if view.visitor is None else view.visitor.counts
        out[:, 0] = min((counts[event] + PRIOR * rate) / (counts[per] + PRIOR), 1.0)
