"""The newest items."""

import numpy as np

from personalization.candidates.source import Inputs, in_stock
from personalization.features.view import I64


class Fresh:
    """What was listed last, newest first: also what was listed since the index was made."""

    name = "fresh"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        columns, index = inputs.columns, inputs.index
        since = columns.arrivals[max(index.arrivals, len(columns.arrivals) - 4 * n) :]
        if not since:
            return in_stock(columns, index.fresh, n)
        arrived = np.array(list(dict.fromkeys(reversed(since))), np.int64)
        before = index.fresh[: 4 * n]
        slots = np.concatenate([arrived, before[~np.isin(before, arrived)]])
        order = np.argsort(-columns.created_at[slots], kind="stable")
        return in_stock(columns, slots[order], n)
