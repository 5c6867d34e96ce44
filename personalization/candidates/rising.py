"""What is trending within what the visitor likes."""

from personalization.candidates.favourites import of_favourites
from personalization.candidates.source import Inputs
from personalization.features.view import I64


class Rising:
    """The items of the visitor's favourite categories that are wanted more than usual.

    Unlike the hottest (``Affinity``) these are what has changed: an item with a small following
    that doubles within the hour comes before one that always sells. Nothing where a spec has one
    half-life only, which has no usual to compare with.
    """

    name = "rising"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        return of_favourites(inputs, inputs.index.rising, n)
