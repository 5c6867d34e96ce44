"""What every source of candidates is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from personalization.candidates.index import CatalogueIndex
from personalization.columns import Columns
from personalization.columns.columns import IN_STOCK
from personalization.features.view import I64
from personalization.guarantee import Owed
from personalization.state.rows import VisitorRow


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a source may look at: the catalogue, lists made from it a moment ago, and the
    visitor's merged row (``None``: context only) at ``now`` (ms); what is owed to new items and
    sellers, where the surface has a guarantee."""

    columns: Columns
    index: CatalogueIndex
    visitor: VisitorRow | None
    now: int
    owed: Owed | None = None


class Source(Protocol):
    """A way to find candidates."""

    @property
    def name(self) -> str:
        """As surfaces and decisions name it."""
        ...

    def draw(self, inputs: Inputs, n: int) -> I64:
        """Up to ``n`` slots of items in stock, the best first, without repeats."""
        ...


def in_stock(columns: Columns, slots: I64, n: int) -> I64:
    """The first ``n`` of ``slots`` that are items, not known to be out of stock."""
    flags = columns.flag(IN_STOCK) if IN_STOCK in columns.plan.flags else None
    start, width, found = 0, 2 * n, slots[:0]
    while start < len(slots) and len(found) < n:
        part = slots[start : start + width]
        shown = columns.are_items(part)
        if flags is not None:
            shown &= flags[part] != 0
        found = np.concatenate([found, part[shown]])
        start, width = start + width, 4 * width
    return found[:n]
