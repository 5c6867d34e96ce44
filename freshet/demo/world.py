"""The simulated marketplace: what a server may see of it, and the hidden reasons for its clicks.

The hidden part is :meth:`World.click_probability` and all that feeds it. Of it nothing is ever
sent: the server sees item and seller lines (:meth:`World.item_line`) and what visitors do.

``tastes``
    The probability of a click is ``logistic(BASE + taste + price + quality)``. *Taste* is the
    session's intent (one or two categories), the person's lasting liking of categories, brands and
    sellers' styles; *price* how far the item is from the person's price level; *quality* the item's
    own and its seller's. Intents are drawn anew for each session, from lasting taste and the part
    of the day in the person's own time zone, where a part of the day has a component that everyone
    shares and one of one's own.
``null``
    The probability is ``NULL_RATE``, whoever looks at whatever: nothing can be learned.

Pure: every draw comes from the seed, and the time is an argument.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

WorldKind = Literal["tastes", "null"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CATEGORIES = (
    "shoes", "dresses", "bags", "watches", "phones", "laptops", "audio", "games",
    "books", "news", "toys", "garden", "kitchen", "beauty", "sports", "groceries",
)  # fmt: skip
STYLES = ("vintage", "modern", "handmade", "premium")
COLOURS = ("red", "blue", "green", "black", "white", "gold")
BRANDS_PER_CATEGORY = 4
DAYPART_HOURS = 6
DAYPARTS = 24 // DAYPART_HOURS

BASE = -4.0
NULL_RATE = 0.08
PRIMARY_INTENT, SECONDARY_INTENT = 3.4, 2.4
LASTING, BRAND, STYLE, PRICE = 0.25, 0.4, 0.35, 0.3
QUALITY, SELLER_QUALITY = 0.45, 0.25


@dataclass(frozen=True)
class Person:
    """Someone's hidden tastes. ``utc_offset`` in minutes; arrays by category, brand, style."""

    number: int
    utc_offset: int
    has_account: bool
    categories: Floats
    dayparts: Floats
    brands: Floats
    styles: Floats
    price_level: float


@dataclass(frozen=True)
class Intent:
    """What a session is for: indexes into ``CATEGORIES``; ``secondary`` is -1 if there is none."""

    primary: int
    secondary: int


def daypart(at: float, utc_offset: int) -> int:
    """The part of the day, 0 (night) to 3 (evening), at unix second ``at`` in a time zone."""
    return int((at / 60 + utc_offset) // 60 % 24) // DAYPART_HOURS


class World:
    """Items, sellers and people of one seed. Items, sellers and people are numbered from 0."""

    def __init__(self, seed: int, kind: WorldKind) -> None:
        self.seed = seed
        self.kind = kind
        self._rng = np.random.default_rng([seed, 0])
        n = len(CATEGORIES)
        ranks = self._rng.permutation(n) + 1.0
        self._category_share = ranks**-0.6 / (ranks**-0.6).sum()
        self._category_appeal = self._rng.normal(0.0, 0.4, n) - 0.2 * np.log(ranks)
        self._daypart_appeal = self._rng.normal(0.0, 1.0, (DAYPARTS, n))
        self._category_price = np.exp(self._rng.normal(3.5, 0.9, n))
        self._seller_categories: list[Ints] = []
        self._seller_style: list[int] = []
        self._seller_quality: list[float] = []
        self.seller: Ints = np.empty(0, np.int64)
        self.category: Ints = np.empty(0, np.int64)
        self.brand: Ints = np.empty(0, np.int64)
        self.style: Ints = np.empty(0, np.int64)
        self.price_level: Floats = np.empty(0)
        self.quality: Floats = np.empty(0)
        self.in_stock: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._price: list[float] = []
        self._tags: list[list[str]] = []

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self._price)

    @property
    def sellers(self) -> int:
        """How many sellers there are."""
        return len(self._seller_style)

    def add_seller(self) -> int:
        """A new seller, with one to three categories, a style and a hidden quality."""
        rng = self._rng
        count = int(rng.integers(1, 4))
        self._seller_categories.append(
            rng.choice(len(CATEGORIES), count, replace=False, p=self._category_share)
        )
        self._seller_style.append(int(rng.integers(len(STYLES))))
        self._seller_quality.append(float(rng.normal(0.0, SELLER_QUALITY)))
        return self.sellers - 1

    def add_item(self, seller: int) -> int:
        """A new item of ``seller``; ``in_stock`` stays False until the shop offers it."""
        rng = self._rng
        category = int(rng.choice(self._seller_categories[seller]))
        level = float(rng.normal())
        style = self._seller_style[seller]
        self.seller = np.append(self.seller, seller)
        self.category = np.append(self.category, category)
        brand = category * BRANDS_PER_CATEGORY + int(rng.integers(BRANDS_PER_CATEGORY))
        self.brand = np.append(self.brand, brand)
        self.style = np.append(self.style, style)
        self.price_level = np.append(self.price_level, level)
        hidden = float(rng.normal(0.0, QUALITY)) + self._seller_quality[seller]
        self.quality = np.append(self.quality, hidden)
        self.in_stock = np.append(self.in_stock, False)
        self._price.append(round(float(self._category_price[category] * np.exp(0.5 * level)), 2))
        self._tags.append([STYLES[style], str(rng.choice(COLOURS))])
        return self.items - 1

    def price(self, item: int) -> float:
        """The price of ``item``, as listed."""
        return self._price[item]

    def seller_line(self, seller: int, at_ms: int) -> dict[str, Any]:
        """All that the server is told of a seller."""
        return {"type": "seller", "seller": f"s{seller}", "at": at_ms, "attributes": {}}

    def item_line(self, item: int, at_ms: int) -> dict[str, Any]:
        """All that the server is told of an item when it is listed."""
        return {
            "type": "item",
            "item": f"i{item}",
            "seller": f"s{self.seller[item]}",
            "at": at_ms,
            "attributes": {
                "category": CATEGORIES[self.category[item]],
                "brand": f"b{self.brand[item]}",
                "price": self._price[item],
                "in_stock": True,
                "tags": self._tags[item],
            },
        }

    def person(self, number: int) -> Person:
        """Person ``number``: the same one whenever asked."""
        rng = np.random.default_rng([self.seed, 1, number])
        n = len(CATEGORIES)
        return Person(
            number=number,
            utc_offset=60 * int(rng.integers(-12, 15)),
            has_account=bool(rng.random() < 0.3),
            categories=rng.normal(0.0, 1.4, n),
            dayparts=rng.normal(0.0, 0.7, (DAYPARTS, n)),
            brands=rng.normal(0.0, 1.0, n * BRANDS_PER_CATEGORY),
            styles=rng.normal(0.0, 1.0, len(STYLES)),
            price_level=float(rng.normal(0.0, 0.8)),
        )

    def intent(self, person: Person, at: float, rng: np.random.Generator) -> Intent:
        """What ``person`` wants in a session that begins at unix second ``at``."""
        part = daypart(at, person.utc_offset)
        logits = (
            self._category_appeal
            + self._daypart_appeal[part]
            + person.categories
            + person.dayparts[part]
        )
        weights = np.exp(logits - logits.max())
        drawn = rng.choice(len(CATEGORIES), 2, replace=False, p=weights / weights.sum())
        return Intent(int(drawn[0]), int(drawn[1]) if rng.random() < 0.5 else -1)

    def click_probability(self, person: Person, intent: Intent, items: Ints) -> Floats:
        """The true probability, float64[n], that ``person`` clicks each of ``items`` if seen."""
        if self.kind == "null":
            return np.full(len(items), NULL_RATE)
        category = self.category[items]
        logit = (
            BASE
            + PRIMARY_INTENT * (category == intent.primary)
            + SECONDARY_INTENT * (category == intent.secondary)
            + LASTING * person.categories[category]
            + BRAND * person.brands[self.brand[items]]
            + STYLE * person.styles[self.style[items]]
            - PRICE * np.minimum((self.price_level[items] - person.price_level) ** 2, 4.0)
            + self.quality[items]
        )
        return np.asarray(1.0 / (1.0 + np.exp(-logit)), np.float64)
