"""What the session was shown, and what came of it."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel, log1p
from personalization.features.affinity import check_dimension, codes_of
from personalization.features.family import Feature
from personalization.features.session import current_session
from personalization.features.view import F32, F64, I64, View
from personalization.plan import ShownPlan

if TYPE_CHECKING:
    from personalization.spec import Spec

STRENGTH = 5.0


class SessionShown(Feature, frozen=True):
    """How much the current session was shown of the candidate's value of ``dimension``, and how
    much of it was wanted: what was passed over again and again says as much as what was clicked.

    Two float32[n]: log1p of n, how many items with that value the session's ``event`` events had
    (of an item's tags the sum); and w / (n + ``STRENGTH``), with w the weight of the interest shown
    in the value (``SessionAffinity`` has its share): interest per exposure, smoothed towards none.
    Both 0 without a session. The ``shown_size`` values shown most are kept. Needs
    ``Affinity(dimension)`` in the same spec.
    """

    dimension: str
    event: str = "impression"

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        check_dimension(self.dimension, spec.plan)
        if self.dimension not in spec.plan.session_index:
            raise ValueError(f"needs Affinity({self.dimension!r}) in the same spec")
        spec.plan.event_index[self.event]
        name = f"session_{self.dimension}"
        return (f"{name}_{self.event}", f"{name}_per_{self.event}")

    def shown(self) -> tuple[ShownPlan, ...]:
        return (ShownPlan(self.event, self.dimension),)

    def compute(self, view: View, out: F32) -> None:
        session = current_session(view)
        if session is None:
            return
        shown = session.shown[view.plan.shown.index(self.shown()[0])]
        wanted = session.affinities[view.plan.session_index[self.dimension]]
        values = list(dict.fromkeys((*shown, *wanted)))
        if values:
            wanted_per_shown(
                codes_of(view, self.dimension),
                np.array([view.code.get(value, -1) for value in values], np.int64),
                np.array([shown.get(value, 0.0) for value in values]),
                np.array([wanted.get(value, 0.0) for value in values]),
                STRENGTH,
                out,
            )


@kernel("void(int64[:, :], int64[:], float64[:], float64[:], float64, float32[:, :])")
def wanted_per_shown(
    values: I64, keys: I64, shown: F64, wanted: F64, strength: float, out: F32
) -> None:
    """For each row of ``values`` [n, T] (-1: none) log1p of what was ``shown`` [k] of those
    ``keys`` [k] (-1: of no candidate) that are among them, and what was ``wanted`` [k] of them per
    exposure, into ``out`` [n, 2]."""
    for i in range(len(values)):
        exposures = 0.0
        interest = 0.0
        for t in range(values.shape[1]):
            for k in range(len(keys)):
                if values[i, t] >= 0 and keys[k] == values[i, t]:
                    exposures += shown[k]
                    interest += wanted[k]
        out[i, 0] = log1p(exposures)
        out[i, 1] = interest / (exposures + strength)
