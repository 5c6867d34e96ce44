"""What is new and has not had the impressions that a surface guarantees."""

import numpy as np

from personalization.candidates.source import Inputs, in_stock
from personalization.features.view import I64
from personalization.guarantee import ITEMS, SELLERS


class ColdItems:
    """New items, those furthest behind the guarantee first; nothing where there is none."""

    name = "cold_items"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        return _furthest_behind(inputs, ITEMS, n)


class ColdSellers:
    """The hottest items of new sellers, those furthest behind the guarantee first."""

    name = "cold_sellers"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        return _furthest_behind(inputs, SELLERS, n)


def _furthest_behind(inputs: Inputs, kind: int, n: int) -> I64:
    if inputs.owed is None:
        return np.empty(0, np.int64)
    listed = inputs.index.owed.get(inputs.owed.guarantee)
    if listed is None:
        return np.empty(0, np.int64)
    late = inputs.owed.lateness(listed[kind])[kind]
    behind = late >= 0.0
    order = np.argsort(-late[behind], kind="stable")
    return in_stock(inputs.columns, listed[kind][behind][order], n)
