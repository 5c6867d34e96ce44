"""What many have wanted for long."""

from personalization.candidates.source import Inputs, in_stock
from personalization.features.view import I64


class Popular:
    """The items of the most lasting heat: as ``Trending``, at the longest half-life."""

    name = "popular"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        return in_stock(inputs.columns, inputs.index.lasting, n)
