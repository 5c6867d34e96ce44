"""What goes with the visitor's session as a whole."""

import numpy as np

from personalization.candidates.met import met_with
from personalization.candidates.source import Inputs, in_stock
from personalization.columns import Columns
from personalization.columns.views import met_together
from personalization.features.popularity import weighted_columns
from personalization.features.session_neighbours import neighbours
from personalization.features.view import F64, I64
from personalization.plan import StatePlan
from personalization.state import sessions
from personalization.state.rows import VisitorRow

_CONSIDERED = 512  # takes a quarter of a millisecond


class SessionNeighbours:
    """Of what was met with items of the current session, what sessions like it hold most of.

    Sessions are alike as in the feature family ``SessionNeighbours`` (VS-kNN: Ludewig & Jannach,
    UMUAI 2018), where the spec has it: then items keep the sessions they were wanted in. Else the
    cosines of what is near to any item of the session with all of them are summed. Without a
    session, the visitor's last items stand for it. Only those met most often are looked at.
    """

    name = "session"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        visitor, columns, now = inputs.visitor, inputs.columns, inputs.now
        last, own = ([], 0) if visitor is None else _session(visitor, now, columns.plan)
        ours = columns.slots(last)
        near = columns.neighbours(last)
        slots, met = met_with(near.codes, near.weights, ours)
        if len(slots) > _CONSIDERED:
            slots = slots[np.sort(np.argsort(-met, kind="stable")[:_CONSIDERED])]
        if not len(slots):
            return slots
        if columns.plan.sessions:
            total = _alike(columns, slots, ours, own)
        else:
            total = _cosines(columns, slots, ours, now)
        order = np.argsort(-total, kind="stable")
        return in_stock(columns, slots[order[: np.count_nonzero(total > 0.0)]], n)


def _alike(columns: Columns, slots: I64, ours: I64, own: int) -> F64:
    told = np.zeros((len(slots), 4), np.float32)
    neighbours(columns.sessions_at(slots), columns.sessions_at(ours), len(ours), own, told)
    return told[:, 0].astype(np.float64)


def _cosines(columns: Columns, slots: I64, ours: I64, now: int) -> F64:
    plan = columns.plan
    counters, weights = weighted_columns(None, max(plan.half_lives), plan)
    interest = columns.decayed(slots, now)[:, counters] @ weights + 1.0
    theirs = columns.decayed(ours, now)[:, counters] @ weights + 1.0
    met = met_together(columns, slots, columns.neighbours_at(slots), ours, now)[0]
    total: F64 = (met / np.sqrt(theirs)).sum(axis=1) / np.sqrt(interest)
    return total


def _session(visitor: VisitorRow, now: int, plan: StatePlan) -> tuple[list[str], int]:
    """The distinct items of interest of the visitor's session, and its mark; else the last ones
    (and 0)."""
    session, weights = visitor.session, plan.weights
    since, own = 0, 0
    if session is not None and now - session.last <= plan.session_gap:
        since, own = session.start, sessions.mark(session.opened, session.start)
    items = dict.fromkeys(
        interaction.item
        for interaction in reversed(visitor.last)
        if interaction.at >= since and weights[interaction.event] > 0.0
    )
    return list(items), own
