"""What others went on to from here."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, View

if TYPE_CHECKING:
    from personalization.spec import Spec


class CoVisited(Feature, frozen=True):
    """How often visitors of the visitor's ``last`` items also came to the candidate.

    Two float32[n]. With w(i, j) the decayed weight of i and j met by one visitor in one session,
    in either order, and d(i) the sum of the weights that item i keeps: ``covisited`` is the sum
    over the last items j of w(i, j) / sqrt((d(i) + 1) (d(j) + 1)), a cosine as in item-to-item
    collaborative filtering (Sarwar et al., WWW 2001), the 1 being a shrinkage for what was
    hardly seen; ``covisited_weight`` is log1p of the plain sum of w. 0 without a visitor.
    """

    last: int = 5

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if not 1 <= self.last <= spec.plan.covisit_window:
            raise ValueError(f"last={self.last} is not from 1 to {spec.plan.covisit_window}")
        return ("covisited", "covisited_weight")

    def compute(self, view: View, out: F32) -> None:
        together = view.together[:, : self.last]
        if together.shape[1]:
            cosines(together, view.degrees, view.last_degrees, out)


@kernel("void(float64[:, :], float64[:], float64[:], float32[:, :])")
def cosines(together: F64, degrees: F64, last_degrees: F64, out: F32) -> None:
    """The cosine of each candidate with all last items, and log1p of the plain weight, into
    ``out`` [n, 2]."""
    for i in range(len(together)):
        cosine = 0.0
        plain = 0.0
        for j in range(together.shape[1]):
            weight = together[i, j]
            plain += weight
            cosine += weight / np.sqrt((degrees[i] + 1.0) * (last_degrees[j] + 1.0))
        out[i, 0] = cosine
        out[i, 1] = log1p(plain)
