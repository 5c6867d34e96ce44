"""A made-up shop of 20,000 items, and what its visitors do, for benchmarks."""

import random
from typing import Any

import msgspec

from tests.benchmarks.measuring import Connection

ITEMS, SELLERS, CATEGORIES, BRANDS, VISITORS = 20_000, 500, 40, 200, 5_000

JSON = dict[str, Any]


class Shop:
    """Draws events and candidates: few items are popular, many are not."""

    def __init__(self, seed: int, impressions: float = 0.3) -> None:
        self._drawn = random.Random(seed)
        self._impressions = impressions

    def item(self) -> str:
        """An item: half of all draws are among the 400 most popular."""
        return f"i{int(ITEMS * self._drawn.random() ** 5.65)}"

    def items(self, count: int) -> list[str]:
        """Distinct items."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.item()] = None
        return list(found)

    def visitor(self) -> str:
        """A visitor."""
        return f"v{self._drawn.randrange(VISITORS)}"

    def event(self, visitor: str) -> JSON:
        """An impression of 10 items, or an event of one item."""
        if self._drawn.random() < self._impressions:
            return {"type": "impression", "visitor": visitor, "items": self.items(10)}
        kinds, weights = ("view", "click", "cart", "purchase"), (55, 35, 7, 3)
        kind = self._drawn.choices(kinds, weights)[0]
        return {"type": kind, "visitor": visitor, "item": self.item()}

    def ranking(self, visitor: str, candidates: int = 100) -> JSON:
        """A request to rank that many items of the caller's choice."""
        return {"visitor": visitor, "candidates": self.items(candidates)}

    def listing(self, item: str) -> JSON:
        """An item's line."""
        number = self._drawn.randrange
        attributes = {
            "category": f"c{number(CATEGORIES)}",
            "brand": f"b{number(BRANDS)}",
            "price": round(self._drawn.lognormvariate(3.0, 0.8), 2),
            "in_stock": True,
            "tags": self._drawn.sample(("red", "sale", "new", "wool"), 2),
        }
        return {
            "type": "item",
            "item": item,
            "seller": f"s{number(SELLERS)}",
            "attributes": attributes,
        }


def fill(connection: Connection, shop: Shop, events: int = 20_000) -> None:
    """List all items and send some events; waits until all is known."""
    for start in range(0, ITEMS, 2_000):
        lines = [shop.listing(f"i{number}") for number in range(start, start + 2_000)]
        token = connection.call("POST", "/v1/catalogue", lines)["token"]
        caught_up(connection, token)
    for _ in range(0, events, 2_000):
        lines = [shop.event(shop.visitor()) for _ in range(2_000)]
        caught_up(connection, connection.call("POST", "/v1/events", lines)["token"])


def caught_up(connection: Connection, token: str) -> None:
    """Wait until all that ``token`` stands for is in all tables."""
    body = msgspec.json.encode({"candidates": ["i0"], "token": token, "wait": "all"})
    request = connection.request("POST", "/v1/rank", body)
    for _ in range(120):
        if msgspec.json.decode(connection.send(request))["freshness"]["caught_up"]:
            return
    raise AssertionError("the tables do not catch up")
