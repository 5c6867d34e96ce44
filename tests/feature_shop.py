"""A small shop of random rows, for tests of columns and features: every kind of gap occurs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from personalization.columns import Columns, view_of
from personalization.events import Attribute
from personalization.features.affinity import Affinity, AffinityCount, SessionAffinity
from personalization.features.age import Age
from personalization.features.agreement import Agreement
from personalization.features.amount import Amount
from personalization.features.candidate import Candidate
from personalization.features.covisited import CoVisited
from personalization.features.decayed import Decayed
from personalization.features.family import Feature
from personalization.features.gap import PriceGap
from personalization.features.nearness import Nearness
from personalization.features.own import Own
from personalization.features.popularity import Popularity
from personalization.features.rate import Rate
from personalization.features.session import SessionCount
from personalization.features.session_covisited import SessionCoVisited
from personalization.features.session_neighbours import SessionNeighbours
from personalization.features.session_shown import SessionShown
from personalization.features.since_last import SinceLast
from personalization.features.spent import AmountNow, Spent
from personalization.features.view import Moment, View
from personalization.features.visitor_count import VisitorCount
from personalization.features.visitor_rate import VisitorRate
from personalization.plan import StatePlan
from personalization.spec import (
    Category,
    Context,
    Event,
    Flag,
    LocalTime,
    Number,
    Spec,
    Tags,
    Vector,
)
from personalization.state import sessions
from personalization.state.rows import (
    CatalogueRow,
    Interaction,
    ItemRow,
    SegmentRow,
    SellerRow,
    Session,
    TopK,
    VisitorRow,
)

NOW = 1_800_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


def wide_spec(*more: Feature) -> Spec:
    """A spec with every family, some of them several times, and ``more``."""
    spec = Spec(
        events=[
            Event("impression"),
            Event("view", weight=1.0),
            Event("purchase", weight=8.0, label=True),
            Event("dislike", weight=-4.0),
        ],
        item=[
            Category("category"),
            Category("brand"),
            Number("price"),
            Flag("in_stock"),
            Tags("tags"),
            Vector("embedding", 5),
        ],
        context=[Context("device", ("phone", "desktop")), Context("page"), LocalTime()],
        half_lives=["1h", "30d"],
        features=[
            Decayed("item", "view", "1h"),
            Decayed("seller", "view", "30d"),
            Decayed("seller*brand", "purchase", "30d"),
            Decayed("global", "view", "1h"),
            Decayed("visitor", "view", "30d"),
            Rate("item", "purchase", per="impression", backoff=("seller*category", "global")),
            Rate("category", "view", per="impression", half_life="1h", strength=3.0, prior=0.1),
            Popularity(half_life="30d"),
            Popularity("view", half_life="1h"),
            Affinity("category"),
            Affinity("seller", half_life="30d", size=4),
            Affinity("tags"),
            Affinity("category", by="daypart", size=32),
            Affinity("tags", by="daypart"),
            AffinityCount("seller"),
            AffinityCount("tags"),
            SessionAffinity("category"),
            SessionAffinity("tags"),
            SessionShown("category"),
            SessionShown("tags"),
            SessionCount(),
            SessionCount("view"),
            VisitorCount("purchase"),
            VisitorRate("view", per="impression"),
            SinceLast("item"),
            SinceLast("visit"),
            Age("item"),
            Age("seller"),
            PriceGap("price"),
            CoVisited(last=3),
            SessionCoVisited(),
            SessionNeighbours(keep=7),
            Own(size=6),
            Nearness("embedding"),
            Agreement("view", per="impression", against="dislike", prior="category", keep=9),
            Amount("price"),
            AmountNow(),
            Spent("seller", half_life="30d", size=4),
            Spent("visitor", half_life="1h"),
            Candidate("score"),
            *more,
        ],
    )

    @spec.feature
    def dearer(item_price, visitor_mean_price, price_gap):  # type: ignore[no-untyped-def]
        return np.log(item_price) - np.log(visitor_mean_price) + price_gap

    return spec


@dataclass
class Shop:
    """Rows by id, as tables would hold them."""

    plan: StatePlan
    catalogue: dict[str, CatalogueRow] = field(default_factory=dict)
    seller_catalogue: dict[str, CatalogueRow] = field(default_factory=dict)
    items: dict[str, ItemRow] = field(default_factory=dict)
    sellers: dict[str, SellerRow] = field(default_factory=dict)
    segments: dict[str, SegmentRow] = field(default_factory=dict)
    visitor: VisitorRow | None = None

    def columns(self) -> Columns:
        """Columns of all rows."""
        columns = Columns(self.plan, items=8, groups=8)
        for id, item in self.items.items():
            columns.apply_item(id, item)
        for id, listed in self.catalogue.items():
            columns.apply_catalogue("item", id, listed)
        for id, seller in self.sellers.items():
            columns.apply_seller(id, seller)
        for id, listed in self.seller_catalogue.items():
            columns.apply_catalogue("seller", id, listed)
        for key, segment in self.segments.items():
            columns.apply_segment(key, segment)
        return columns

    def view(
        self, ids: Sequence[str], moment: Moment, scores: dict[str, float] | None = None
    ) -> View:
        """The view of a request; ``scores`` are the caller's own."""
        caller = None
        if scores is not None:
            caller = {"score": np.array([scores.get(id, np.nan) for id in ids])}
        return view_of(self.columns(), moment, ids, self.visitor, caller)


CATEGORIES = ("shoes", "bags", "toys")
BRANDS = ("acme", "i1", "é|%")
SELLERS = ("s0", "s|1", "s2", "s3")
TAGS = ("red", "new", "sale", "vintage")


def random_shop(seed: int, plan: StatePlan) -> Shop:
    """Twelve items, i0 to i11; i10 has counters only, i11 nothing at all."""
    rng, thinking = random.Random(seed), random.Random(seed)
    pointing, meeting = random.Random(seed), random.Random(seed)
    shop = Shop(plan)
    ids = [f"i{i}" for i in range(11)]
    for offset, id in enumerate(ids[:10]):
        attributes: dict[str, Attribute] = {
            "category": rng.choice(CATEGORIES),
            "brand": rng.choice(BRANDS),
            "price": round(rng.random() * 100, 2),
            "in_stock": rng.random() < 0.8,
            "tags": rng.sample(TAGS, rng.randrange(4)),
            "undeclared": "x",
        }
        for name in list(attributes):
            if rng.random() < 0.15:
                del attributes[name]
        if pointing.random() < 0.8:
            attributes["embedding"] = [pointing.gauss(0.3, 1.0) for _ in range(5)]
        seller = None if rng.random() < 0.2 else rng.choice(SELLERS)
        created = NOW - rng.randrange(60 * DAY)
        shop.catalogue[id] = CatalogueRow(offset, created, created, seller, attributes)
    for id in (*ids[2:], *ids[:1]):
        topk = TopK(NOW - rng.randrange(9 * DAY), 0.0, {})
        for other in rng.sample([*ids, "i11", "gone"], 5):
            if other != id:
                topk.entries[other] = (rng.random() * 9, rng.randrange(1, 9))
        offset, at, first_at, counters, counts = _counted(rng, plan)
        row = ItemRow(offset, at, first_at, counters, counts, topk)
        for opinion in thinking.sample([sign + other for other in ids for sign in "+-"], 9):
            if plan.opinions and opinion[1:] != id:
                row.opinions[opinion] = [thinking.randrange(30) for _ in plan.events]
        several = meeting.sample(range(9), meeting.randrange(8))
        for mark in (sessions.mark(opened, NOW - HOUR) for opened in several):
            told = mark << sessions.LENGTH_BITS | meeting.randrange(1, 256)
            row.sessions = sessions.add(row.sessions, told, plan)
        shop.items[id] = row
    for id in SELLERS[:3]:
        shop.sellers[id] = SellerRow(*_counted(rng, plan))
        shop.seller_catalogue[id] = CatalogueRow(1, NOW - rng.randrange(9 * DAY), NOW, None, {})
    shop.segments["global"] = SegmentRow(*_counted(rng, plan))
    for category in CATEGORIES[:2]:
        shop.segments[f"category:{category}"] = SegmentRow(*_counted(rng, plan))
    for seller in ("s0", "s%7C1", "s2"):
        for level, values in (("category", CATEGORIES), ("brand", BRANDS)):
            for value in values[:2]:
                key = f"seller*{level}:{seller}|{value}"
                shop.segments[key] = SegmentRow(*_counted(rng, plan))
    shop.visitor = random_visitor(rng, plan)
    return shop


def _values_of(dimension: str) -> str:
    """``seller`` of ``amount:seller:30d``."""
    return dimension.split(":")[1] if ":" in dimension else dimension


def random_visitor(rng: random.Random, plan: StatePlan) -> VisitorRow:
    """A visitor in a session that began an hour ago."""
    offset, at, first_at, counters, counts = _counted(rng, plan)
    pools = {"category": CATEGORIES, "seller": SELLERS, "tags": TAGS}
    pools["item"] = tuple(f"i{number}" for number in range(11))
    pools["visitor"] = ("",)
    affinities = []
    for affinity in plan.affinities:
        values: list[str] = [*pools[_values_of(affinity.dimension)], "elsewhere"]
        if affinity.by_daypart:
            values = [f"{part}|{value}" for part in range(4) for value in values]
        # What amounts draw must not change all that is drawn after them.
        own = random.Random(offset) if ":" in affinity.dimension else rng
        kept = own.sample(values, max(min(affinity.size, len(values)) - 1, 1))
        entries = {value: (own.random() * 20 - 4, own.randrange(1, 9)) for value in kept}
        affinities.append(TopK(NOW - own.randrange(9 * DAY), 0.0, entries))
    times = sorted(NOW - rng.randrange(3 * DAY) for _ in range(8))
    last = [
        Interaction(when, n, 0, rng.randrange(1, len(plan.events)), f"i{rng.randrange(12)}")
        for n, when in enumerate(times)
    ]
    plain = [a.dimension for a in plan.affinities if not a.by_daypart]
    session = Session(
        id="now",
        start=NOW - HOUR,
        last=NOW - HOUR // 4,
        number=3,
        counts=[rng.randrange(5) for _ in plan.events],
        affinities=[
            {value: rng.random() * 9 - 2 for value in pools[_values_of(dimension)][:3]}
            for dimension in plain
        ],
        shown=[
            {value: 1.0 + len(value) % 4 for value in (*pools[one.dimension][1:], "elsewhere")}
            for one in plan.shown
        ],
        opened=4,
    )
    return VisitorRow(
        offset=offset,
        at=at,
        first_at=first_at,
        last_at=NOW - HOUR // 4,
        counters=counters,
        counts=counts,
        affinities=affinities,
        numbers=[(rng.random() * 9, rng.random() * 30)],
        last=last,
        session=session,
    )


def _counted(rng: random.Random, plan: StatePlan) -> tuple[int, int, int, list[float], list[int]]:
    width = len(plan.events) * len(plan.half_lives)
    return (
        rng.randrange(1000),
        NOW - rng.randrange(3 * DAY),
        NOW - rng.randrange(3, 90) * DAY,
        [rng.random() * 50 for _ in range(width)],
        [rng.randrange(99) for _ in plan.events],
    )
