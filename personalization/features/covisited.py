"""What others went on to from here."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import decay_factor, kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, I32, I64, View

if TYPE_CHECKING:
    from personalization.spec import Spec


class CoVisited(Feature, frozen=True):
    """How often visitors of the visitor's ``last`` items also came to the candidate.

    Two float32[n]. With w(i, j) the decayed weight of i and j met by one visitor, in either
    order, and d(i) the sum of the weights that item i keeps: ``covisited`` is the sum over the
    last items j of w(i, j) / sqrt((d(i) + 1) (d(j) + 1)), a cosine as in item-to-item
    collaborative filtering (Sarwar et al., WWW 2001), the 1 being a shrinkage for what was
    hardly seen; ``covisited_weight`` is log1p of the plain sum of w. 0 without a visitor.
    """

    last: int = 5

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if not 1 <= self.last <= spec.plan.covisit_window:
            raise ValueError(f"last={self.last} is not from 1 to {spec.plan.covisit_window}")
        return ("covisited", "covisited_weight")

    def compute(self, view: View, out: F32) -> None:
        last = view.last_codes[: self.last]
        if not len(last):
            return
        near, far = view.candidates.covisited, view.last_covisited
        met_together(
            view.candidates.codes,
            near.codes,
            near.weights,
            near.at,
            last,
            far.codes,
            far.weights,
            far.at,
            view.moment.now,
            float(view.plan.covisit_half_life),
            out,
        )


@kernel(
    "void(int64[:], int32[:, :], float64[:, :], int64[:], int64[:], int32[:, :], float64[:, :],"
    " int64[:], int64, float64, float32[:, :])"
)
def met_together(
    codes: I64,
    near: I32,
    near_weights: F64,
    near_at: I64,
    last: I64,
    far: I32,
    far_weights: F64,
    far_at: I64,
    now: int,
    half_life: float,
    out: F32,
) -> None:
    """Co-visitation of candidates ``codes`` [n] with items ``last`` [m] into ``out`` [n, 2].

    ``near`` [n, K] and ``far`` [m, K] are the items that each keeps, with their weights and the
    time these are decayed to; -1 is none.
    """
    m, kept = len(last), near.shape[1]
    far_factor = np.empty(m)
    far_degree = np.empty(m)
    for j in range(m):
        far_factor[j] = decay_factor(float(max(now - far_at[j], 0)), half_life)
        degree = 0.0
        for k in range(kept):
            degree += far_weights[j, k]
        far_degree[j] = degree * far_factor[j] + 1.0
    for i in range(len(codes)):
        factor = decay_factor(float(max(now - near_at[i], 0)), half_life)
        degree = 0.0
        for k in range(kept):
            degree += near_weights[i, k]
        degree = degree * factor + 1.0
        cosine = 0.0
        plain = 0.0
        for j in range(m):
            weight = 0.0
            if last[j] >= 0:
                for k in range(kept):
                    if near[i, k] == last[j]:
                        weight += near_weights[i, k] * factor
            if codes[i] >= 0:
                for k in range(kept):
                    if far[j, k] == codes[i]:
                        weight += far_weights[j, k] * far_factor[j]
            plain += weight
            cosine += weight / np.sqrt(degree * far_degree[j])
        out[i, 0] = cosine
        out[i, 1] = log1p(plain)
