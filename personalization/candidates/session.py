"""What goes with the visitor's session as a whole."""

import numpy as np

from personalization.candidates.source import Inputs, in_stock
from personalization.columns.views import met_together
from personalization.features.popularity import weighted_columns
from personalization.features.view import I64
from personalization.plan import StatePlan
from personalization.state.rows import VisitorRow


class SessionNeighbours:
    """The items nearest to those of the current session, popular ones held back.

    Session-to-item neighbours in the family of VS-kNN (Ludewig & Jannach, UMUAI 2018), from what
    items keep of those they were met with: the cosines of what is near to any item of the session
    with all of them, summed. Without a session, the visitor's last items stand for it.
    """

    name = "session"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        columns, now, plan = inputs.columns, inputs.now, inputs.columns.plan
        last = [] if inputs.visitor is None else _session(inputs.visitor, now, plan)
        ours = columns.slots(last)
        near = columns.neighbours(last)
        slots = np.unique(near.codes[near.codes > 0]).astype(np.int64)
        slots = slots[~np.isin(slots, ours)]
        if not len(slots):
            return slots
        counters, weights = weighted_columns(None, max(plan.half_lives), plan)
        interest = columns.decayed(slots, now)[:, counters] @ weights + 1.0
        theirs = columns.decayed(ours, now)[:, counters] @ weights + 1.0
        met = met_together(columns, slots, columns.neighbours_at(slots), ours, now)[0]
        total = (met / np.sqrt(theirs)).sum(axis=1) / np.sqrt(interest)
        order = np.argsort(-total, kind="stable")
        return in_stock(columns, slots[order[: np.count_nonzero(total > 0.0)]], n)


def _session(visitor: VisitorRow, now: int, plan: StatePlan) -> list[str]:
    """The distinct items of interest of the visitor's session, else the last ones."""
    session, weights = visitor.session, plan.weights
    over = session is None or now - session.last > plan.session_gap
    since = 0 if session is None or over else session.start
    return list(
        dict.fromkeys(
            interaction.item
            for interaction in reversed(visitor.last)
            if interaction.at >= since and weights[interaction.event] > 0.0
        )
    )[: plan.covisit_window]
