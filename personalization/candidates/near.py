"""What is near by the caller's vectors: also what nobody has seen yet."""

from collections.abc import Iterable

import numpy as np

from personalization.candidates.source import Inputs
from personalization.columns.vector_index import best_first
from personalization.columns.vectors import VectorTable
from personalization.columns.views import last_items
from personalization.features.nearness import points_of
from personalization.features.view import F32, I64

NEAR = "near"
_RIGHT_ANGLE = 1e-6  # cosines are rounded

Point = tuple[VectorTable, F32]
"""A place to look around: float32[size], in the space of one declared vector."""


class Near:
    """The items nearest to the visitor's profile and to the last item of interest, by cosine.

    An item can be found as soon as its vector is known. Nothing where the spec declares no vector,
    or none is known of the visitor's last items, which are left out themselves.
    """

    name = NEAR

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        columns, visitor = inputs.columns, inputs.visitor
        if visitor is None or not columns.vectors:
            return np.empty(0, np.int64)
        last = columns.slots(last_items(visitor, columns.plan))
        around: list[Point] = []
        for table in columns.vectors.values():
            points = points_of(table.units[last]).T.astype(np.float32)
            looked = points[:2] if len(points) > 2 else points[:1]  # of one item they are the same
            around += [(table, point) for point in looked]
        return nearest_to(around, last, n)


def nearest_to(around: Iterable[Point], without: I64, n: int) -> I64:
    """Up to ``n`` slots of items in stock, the nearest to any of the points first; none of
    ``without``, and nothing at a right angle or beyond."""
    found = [table.nearest(point, n + len(without)) for table, point in around]
    if not found:
        return np.empty(0, np.int64)
    slots = np.concatenate([slots for slots, _ in found])
    cosines = np.concatenate([cosines for _, cosines in found])
    eligible = (cosines > _RIGHT_ANGLE) & ~np.isin(slots, without)
    return best_first(slots[eligible], cosines[eligible], n)[0]
