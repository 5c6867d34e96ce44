"""What is hot within what the visitor likes."""

from personalization.candidates.favourites import of_favourites
from personalization.candidates.source import Inputs
from personalization.features.view import I64


class Affinity:
    """The hottest items of the visitor's favourite categories and sellers."""

    name = "affinity"

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots."""
        return of_favourites(inputs, inputs.index.groups, n)
