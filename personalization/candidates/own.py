"""What the visitor had before, and may want again."""

import numpy as np

from personalization.candidates.source import Inputs, in_stock
from personalization.features.own import ITEM_ITSELF
from personalization.features.view import I64


class Own:
    """The items that the visitor turned to most, by decayed weight: frequent ones, and recent.

    What needs replenishing is among them. Nothing where the spec keeps no items of visitors
    (``features.own.Own``), or for disliked ones.
    """

    name = "own"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        index = inputs.columns.plan.affinity_index.get((ITEM_ITSELF, False))
        if inputs.visitor is None or index is None:
            return np.empty(0, np.int64)
        kept = inputs.visitor.affinities[index].entries
        liked = [(-weight, item) for item, (weight, _) in kept.items() if weight > 0.0]
        slots = inputs.columns.slots([item for _, item in sorted(liked)])
        return in_stock(inputs.columns, slots[slots > 0], n)
