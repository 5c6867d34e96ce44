"""The shop whose traffic is sent: few items are popular, many are not."""

import random
from typing import Any

CATEGORIES, BRANDS, ITEMS_PER_SELLER = 40, 200, 40
POPULARITY = 5.65  # half of all draws are among the 2 % most popular items
IN_AN_IMPRESSION = 10

JSON = dict[str, Any]


class Shop:
    """Draws events and rankings from ``seed``. All ids begin with ``prefix``.

    ``impressions`` is the share of events that are impressions of 10 items.
    """

    def __init__(
        self, prefix: str, seed: int, items: int, visitors: int, impressions: float
    ) -> None:
        self._prefix = prefix
        self._drawn = random.Random(seed)
        self._items = items
        self._visitors = visitors
        self._impressions = impressions

    def item(self) -> str:
        """An item."""
        return f"{self._prefix}i{int(self._items * self._drawn.random() ** POPULARITY)}"

    def some(self, count: int) -> list[str]:
        """Distinct items, ``count`` of them or all there are."""
        if count >= self._items:
            return self.items()
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.item()] = None
        return list(found)

    def items(self) -> list[str]:
        """All items."""
        return [f"{self._prefix}i{number}" for number in range(self._items)]

    def visitor(self) -> str:
        """A visitor."""
        return f"{self._prefix}v{self._drawn.randrange(self._visitors)}"

    def event(self, id: str) -> JSON:
        """An impression, or an event of one item."""
        event: JSON = {"id": id, "visitor": self.visitor()}
        if self._drawn.random() < self._impressions:
            return event | {"type": "impression", "items": self.some(IN_AN_IMPRESSION)}
        kinds, weights = ("view", "click", "cart", "purchase"), (55, 35, 7, 3)
        kind = self._drawn.choices(kinds, weights)[0]
        return event | {"type": kind, "item": self.item()}

    def ranking(self, candidates: int) -> JSON:
        """A request to rank that many items; with 0 the server finds some."""
        if not candidates:
            return {"visitor": self.visitor()}
        return {"visitor": self.visitor(), "candidates": self.some(candidates)}

    def attributes(self) -> JSON:
        """What a listing says of an item beside its id."""
        number = self._drawn.randrange
        return {
            "seller": f"{self._prefix}s{number(1 + self._items // ITEMS_PER_SELLER)}",
            "attributes": {
                "category": f"{self._prefix}c{number(CATEGORIES)}",
                "brand": f"{self._prefix}b{number(BRANDS)}",
                "price": round(self._drawn.lognormvariate(3.0, 0.8), 2),
                "in_stock": True,
                "tags": self._drawn.sample(("red", "sale", "new", "wool"), 2),
            },
        }
