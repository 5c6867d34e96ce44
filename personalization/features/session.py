"""What the visitor is doing now."""

from typing import TYPE_CHECKING

from personalization.decay import log1p
from personalization.features.family import Feature
from personalization.features.view import F32, View
from personalization.state.rows import Session

if TYPE_CHECKING:
    from personalization.spec import Spec


def current_session(view: View) -> Session | None:
    """The visitor's session, unless it is over at the request's moment.

    A request that names its session is in that one or in a new one; else a session is over when
    nothing happened for longer than the plan's gap.
    """
    session = None if view.visitor is None else view.visitor.session
    if session is None:
        return None
    if view.moment.session is not None:
        return session if view.moment.session == session.id else None
    return session if view.moment.now - session.last <= view.plan.session_gap else None


class SessionCount(Feature, frozen=True):
    """How much happened in the current session: ``event``, or all events with a weight.

    float32[n], the same for all candidates: log1p of events; 0 when there is no session.
    """

    event: str | None = None

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.event is None:
            return ("session_count",)
        spec.plan.event_index[self.event]
        return (f"session_count_{self.event}",)

    def compute(self, view: View, out: F32) -> None:
        session = current_session(view)
        if session is None:
            return
        if self.event is not None:
            count = session.counts[view.plan.event_index[self.event]]
        else:
            told = zip(session.counts, view.plan.weights, strict=True)
            count = sum(count for count, weight in told if weight != 0.0)
        out[:, 0] = log1p(float(count))
