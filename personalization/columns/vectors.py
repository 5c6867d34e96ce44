"""The vectors of items: one table for each that is declared."""

import numpy as np

from personalization.columns.growth import grown
from personalization.columns.vector_index import VectorIndex
from personalization.events import Attribute
from personalization.features.view import F32, I64
from personalization.vectors import unit_of


class VectorTable:
    """``units`` float32[slots, size]: vectors at length 1, zeros where there is none.

    What may be shown is also in an index, from the moment that it is written.
    """

    def __init__(self, size: int, capacity: int) -> None:
        self.units: F32 = np.zeros((capacity, size), np.float32)
        self._size = size
        self._index = VectorIndex(size, capacity)

    def open(self, slot: int) -> None:
        """Make ``slot`` an item without a vector."""
        self.units = grown(self.units, slot + 1)

    def write(self, slot: int, value: Attribute, shown: bool) -> None:
        """Put an item's vector into ``slot``: what was told of it, ``None`` where nothing was.
        It is found by ``nearest`` if the item is ``shown``."""
        unit = unit_of(value, self._size)
        moves = not np.array_equal(unit, self.units[slot])
        self.units[slot] = unit
        if not shown or not unit.any():
            self._index.drop(slot)
        elif moves or slot not in self._index:
            self._index.put(slot, unit)

    def nearest(self, unit: F32, n: int) -> tuple[I64, F32]:
        """Up to ``n`` slots of items in stock, the nearest to ``unit`` float32[size] first, and
        their cosines; nothing is near to zeros."""
        return self._index.nearest(unit, n if unit.any() else 0)
