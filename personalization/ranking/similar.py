"""Rankings of what is near one item, or of who is like one user, for the viewer."""

import msgspec
import numpy as np

from personalization.candidates.profiles import Near
from personalization.features.view import F64
from personalization.plan import StatePlan
from personalization.ranking.request import CandidateIn, RankRequest
from personalization.ranking.surface import Surface
from personalization.state.rows import Interaction, VisitorRow
from personalization.state.visitor import new_visitor

SIMILAR = "similar"
SCORE = "score"
RESEMBLANCE = 4.0
"""What a user who shares all has on the logit of one who shares nothing."""


def similar_surface() -> Surface:
    """The surface of similar items, where none of that name is declared.

    It does not mix categories: what is near an item is mostly of its own.
    """
    return Surface(SIMILAR)


def bringing(request: RankRequest, near: Near) -> tuple[RankRequest, dict[str, F64]]:
    """``request`` as if its caller had brought the users found, and the features that it then
    has: how near each is, is the caller's ``score``, a logit. So the record says it, and the
    vectors can be computed again."""
    scores = RESEMBLANCE * np.array(near.resemblance, np.float64)
    candidates: list[str | CandidateIn] = [
        CandidateIn(id, {SCORE: score}) for id, score in zip(near.ids, scores.tolist(), strict=True)
    ]
    return msgspec.structs.replace(request, candidates=candidates), {SCORE: scores}


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
