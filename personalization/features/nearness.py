"""How near an item is to what the visitor turned to, by the caller's vectors."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel
from personalization.features.family import Feature
from personalization.features.view import F32, F64, View

if TYPE_CHECKING:
    from personalization.spec import Spec

FADE = 0.8
"""What an item counts in the profile, relative to the one that the visitor turned to after it."""


class Nearness(Feature, frozen=True):
    """The cosine of the candidate's vector with those of the visitor's last items of interest.

    Two float32[n], from -1 to 1: ``<vector>_near`` with the visitor's profile, the mean direction
    of the last items, the newest counting most, and ``<vector>_nearest`` with the one of them that
    is nearest. A mean of what a session touched is what Airbnb ranks by (Grbovic & Cheng, KDD
    2018); that newer ones should count more, and that one mean blurs several interests, is from
    PinnerSage (Pal et al., KDD 2020). 0 without a visitor, or where a vector is not known.
    """

    vector: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.vector not in {vector.name for vector in spec.plan.vectors}:
            raise KeyError(self.vector)
        return (f"{self.vector}_near", f"{self.vector}_nearest")

    def compute(self, view: View, out: F32) -> None:
        points = points_of(view.last_vectors[self.vector])
        if points.shape[1]:
            cosines_with(view.candidates.vectors[self.vector], points, out)


@kernel("float64[:, ::1](float32[:, :])")
def points_of(last: F32) -> F64:
    """Where a visitor is, float64[size, 1 + k]: the profile, and the k vectors there are of the
    ``last`` items float32[m, size], newest first; float64[size, 0] where there are none.

    The profile has length 1, or 0 where all add up to nothing.
    """
    m, size = last.shape
    known = np.empty(m, np.int64)
    k = 0
    for j in range(m):
        for d in range(size):
            if last[j, d] != 0.0:
                known[k] = j
                k += 1
                break
    points = np.zeros((size, 1 + k if k else 0))
    if not k:
        return points
    share = 1.0
    for p in range(k):
        for d in range(size):
            points[d, 1 + p] = last[known[p], d]
            points[d, 0] += share * points[d, 1 + p]
        share *= FADE
    total = 0.0
    for d in range(size):
        total += points[d, 0] * points[d, 0]
    length = np.sqrt(total)
    if length > 0.0:
        for d in range(size):
            points[d, 0] /= length
    return points


@kernel("void(float32[:, :], float64[:, ::1], float32[:, :])")
def cosines_with(units: F32, points: F64, out: F32) -> None:
    """The cosine of each of ``units`` [n, size] with the first of ``points`` [size, 1 + k], and
    the largest with any other, into ``out`` [n, 2]; zeros stay where a unit is not known.

    Each sum goes through the dimensions in order, and the points side by side: so the compiler
    may do several at once without changing a bit.
    """
    size, width = points.shape
    sums = np.empty(width)
    for i in range(len(units)):
        known = False
        sums[:] = 0.0
        for d in range(size):
            part = np.float64(units[i, d])
            known |= part != 0.0
            for p in range(width):
                sums[p] += part * points[d, p]
        if known:
            nearest = -1.0
            for p in range(1, width):
                nearest = max(nearest, sums[p])
            out[i, 0] = sums[0]
            out[i, 1] = nearest
