"""Rankings of what is near one item, for the viewer."""

import msgspec

from personalization.plan import StatePlan
from personalization.ranking.surface import Surface
from personalization.state.rows import Interaction, VisitorRow
from personalization.state.visitor import new_visitor

SIMILAR = "similar"


def similar_surface() -> Surface:
    """The surface of similar items, where none of that name is declared.

    It does not mix categories: what is near an item is mostly of its own.
    """
    return Surface(SIMILAR)


def looking_at(visitor: VisitorRow | None, item: str, now: int, plan: StatePlan) -> VisitorRow:
    """The row of a visitor who came to ``item`` at ``now`` (ms), or of somebody never seen.

    Only among the last interactions, so that features of co-visitation say how near candidates
    are to ``item``; counters, affinities and session are as they were.
    """
    row = new_visitor(plan) if visitor is None else visitor
    event = next((n for n, weight in enumerate(plan.weights) if weight > 0.0), None)
    if event is None:
        return row
    at = max(now, row.last[-1].at) if row.last else now
    return msgspec.structs.replace(row, last=[*row.last, Interaction(at, -1, 0, event, item)])
