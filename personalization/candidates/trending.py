"""What many want now."""

from personalization.candidates.source import Inputs, in_stock
from personalization.features.view import I64


class Trending:
    """The hottest items: decayed counts of what visitors did, whoever asks."""

    name = "trending"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        return in_stock(inputs.columns, inputs.index.hot, n)
