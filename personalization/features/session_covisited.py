"""What goes together with the whole of the current session."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel
from personalization.features.family import Feature
from personalization.features.popularity import weighted_columns
from personalization.features.session import current_session
from personalization.features.view import F32, F64, I64, ITEM, View
from personalization.state.rows import Session, VisitorRow

if TYPE_CHECKING:
    from personalization.spec import Spec


class SessionCoVisited(Feature, frozen=True):
    """How the candidate goes together with the items of the current session.

    Four float32[n], over the session's items j among the visitor's last ones. With w and d as
    in ``CoVisited`` and n(i) the decayed weight of all events of item i (the plan's longest
    half-life): ``session_covisited`` is the sum of w(i, j) / sqrt((d(i) + 1) (d(j) + 1)), as in
    session neighbours (Ludewig & Jannach, UMUAI 2018: all items of the session, not only the
    last); ``session_covisited_max`` the largest w(i, j) / sqrt((n(i) + 1) (n(j) + 1)), that of
    the one item it fits best; ``session_covisited_share`` the sum of w(i, j) / (n(j) + 1), the
    share of those with j that also have i (an association rule); ``session_covisited_squared``
    the sum of w(i, j)^2 / ((n(i) + 1) (n(j) + 1)): of a long session the items that fit best say
    most. 0 without a session.
    """

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        name = "session_covisited"
        return (name, f"{name}_max", f"{name}_share", f"{name}_squared")

    def compute(self, view: View, out: F32) -> None:
        session = current_session(view)
        if session is None or view.visitor is None:
            return
        last = session_length(view.visitor, session, view.plan.weights)
        together = view.together[:, :last]
        if not together.shape[1]:
            return
        columns, weights = weighted_columns(None, max(view.plan.half_lives), view.plan)
        goes_with(
            together,
            view.degrees,
            view.last_degrees,
            view.at_level(ITEM),
            view.last_decayed,
            columns,
            weights,
            out,
        )


def session_length(visitor: VisitorRow, session: Session, weights: tuple[float, ...]) -> int:
    """How many of the visitor's last distinct items of interest are of ``session``."""
    return len(
        {
            interaction.item
            for interaction in visitor.last
            if interaction.at >= session.start and weights[interaction.event] > 0.0
        }
    )


@kernel("float64(float64[:], int64[:], float64[:])")
def interest(counters: F64, columns: I64, weights: F64) -> float:
    """The weighted sum of some counters of one item."""
    total = 0.0
    for c in range(len(columns)):
        total += weights[c] * counters[columns[c]]
    return total


@kernel(
    "void(float64[:, :], float64[:], float64[:], float64[:, :], float64[:, :], int64[:],"
    " float64[:], float32[:, :])"
)
def goes_with(
    together: F64,
    degrees: F64,
    last_degrees: F64,
    counters: F64,
    last_counters: F64,
    columns: I64,
    weights: F64,
    out: F32,
) -> None:
    """The four columns from ``together`` [n, m] into ``out`` [n, 4]."""
    m = together.shape[1]
    last = np.empty(m)
    for j in range(m):
        last[j] = interest(last_counters[j], columns, weights) + 1.0
    for i in range(len(together)):
        own = interest(counters[i], columns, weights) + 1.0
        cosine = 0.0
        best = 0.0
        share = 0.0
        squared = 0.0
        for j in range(m):
            weight = together[i, j]
            if weight > 0.0:
                cosine += weight / np.sqrt((degrees[i] + 1.0) * (last_degrees[j] + 1.0))
                square = weight * weight / (own * last[j])
                best = max(best, square)
                share += weight / last[j]
                squared += square
        out[i, 0] = cosine
        out[i, 1] = np.sqrt(best)
        out[i, 2] = share
        out[i, 3] = squared
