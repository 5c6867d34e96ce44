"""What others went to from the visitor's last items."""

import numpy as np

from personalization.candidates.met import met_with
from personalization.candidates.source import Inputs, in_stock
from personalization.columns.views import last_items
from personalization.decay import decay_factor
from personalization.features.view import I64


class CoVisited:
    """The items most co-visited with the visitor's last items of interest.

    Item-to-item collaborative filtering (Linden, Smith & York, 2003) on decayed weights, summed
    over the last items.
    """

    name = "covisited"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        plan = inputs.columns.plan
        last = [] if inputs.visitor is None else last_items(inputs.visitor, plan)
        near = inputs.columns.neighbours(last)
        half_life = float(plan.covisit_half_life)
        fresh = [decay_factor(float(max(inputs.now - at, 0)), half_life) for at in near.at.tolist()]
        weights = near.weights * np.array(fresh)[:, None]
        slots, total = met_with(near.codes, weights, np.empty(0, np.int64))
        return in_stock(inputs.columns, slots[np.argsort(-total, kind="stable")], n)
