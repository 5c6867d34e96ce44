"""A shop whose pages are ranked by two processes, each with a replica that lags by chance.

Time is simulated: nothing waits, and the same seed gives the same run. What is new are items of
sellers who were there, and sellers who take over old items, so that each owes its impressions by
itself.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import msgspec
import numpy as np

from personalization.candidates.index import CatalogueIndex, build_index, empty_index
from personalization.decisions import Decision
from personalization.events import CatalogueRecord, StampedEvent
from personalization.features.affinity import Affinity, SessionAffinity
from personalization.features.age import Age
from personalization.features.view import F32, F64
from personalization.guarantee import Guarantee, UnderWay
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import SourcePlan, Surface
from personalization.replaying.world import World
from personalization.spec import Category, Event, Flag, Spec
from personalization.wire import Line

START = 1_795_428_000_000
MINUTE = 60_000
SPEC = Spec(
    events=[Event("impression"), Event("click", weight=1)],
    item=[Category("category"), Flag("in_stock")],
    half_lives=["1h", "1d"],
    features=[
        Affinity("category"),
        SessionAffinity("category"),
        Age("item"),
        Age("seller"),
    ],
)
CATEGORIES, OLD_ITEMS, OLD_SELLERS = 8, 240, 20
INDEX_MS = 4_000
MONTH = 30 * 24 * 60 * MINUTE
PAGE = 10


PROMISE = Guarantee(impressions=10, within="2m", every=5)
SOURCES = (
    SourcePlan("trending", 30),
    SourcePlan("affinity", 20),
    SourcePlan("cold_items", 30),
    SourcePlan("cold_sellers", 20),
)
SURFACES = [Surface(sources=SOURCES, guarantee=PROMISE)]


class Taste:
    """What visitors like comes first, what is new last: it gets no place by its score."""

    name = "taste"
    feature_set = SPEC.feature_set_id

    def score(self, matrix: F32) -> F64:
        """The scores."""
        column = {name: matrix[:, n].astype(np.float64) for n, name in enumerate(SPEC.columns)}
        new = np.minimum(column["item_age"], column["seller_age"]) < 5.0  # of log hours
        return np.asarray(3 * column["affinity_category"] - 8.0 * new - 3.0)

    def reasons(self, matrix: F32, rows: Sequence[int], count: int) -> list[list[str]]:
        """None."""
        return [[] for _ in rows]


TASTE = Taste()


@dataclass
class Run:
    """What came of it, in the order in which it happened: for a ledger, or a recount."""

    surface: Surface
    ended: int
    catalogue: list[CatalogueRecord] = field(default_factory=list)
    events: list[StampedEvent] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


class Process:
    """An API process: its replica, its lists, and what it has shown."""

    def __init__(self) -> None:
        self.world = World(SPEC)
        self.index: CatalogueIndex = empty_index()
        self.under_way = UnderWay()
        self.applied = 0


class Simulation:
    """``load`` is arrivals times impressions, over the places of the guarantee's.

    What is new is listed for so many ``minutes``; the run goes on until all could be in time.
    """

    def __init__(
        self,
        seed: int,
        load: float,
        minutes: float,
        *,
        guarantee: Guarantee = PROMISE,
        pages_per_minute: float = 40.0,
        processes: int = 2,
        seen: float = 1.0,
        lag_ms: float = 1_000.0,
        look_ms: float = 3_000.0,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._processes = [Process() for _ in range(processes)]
        self._guarantee = guarantee
        self._seen, self._lag, self._look = seen, lag_ms, look_ms
        surface = Surface(sources=SOURCES, guarantee=guarantee)
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._items, self._sellers = OLD_ITEMS, OLD_SELLERS
        listing = START + int(minutes * MINUTE)
        self.run = Run(surface, listing + guarantee.within_ms)
        places = pages_per_minute * (PAGE // guarantee.every)
        self._arrivals = load * places / guarantee.impressions / MINUTE
        self._pages = pages_per_minute / MINUTE
        self._listing = listing

    def __call__(self) -> Run:
        """All of it."""
        for seller in range(OLD_SELLERS):
            self._seller(START - MONTH, seller)
        for number in range(OLD_ITEMS):
            self._item(START - MONTH, number, number % OLD_SELLERS)
        self._event("click", START, "v0", ["i0"])
        self._at(START, self._make_index)
        self._at(START + self._after(self._pages), self._page)
        self._at(START + self._after(self._arrivals), self._arrival)
        while self._queue and self._queue[0][0] < self.run.ended:
            now, _, act = heapq.heappop(self._queue)
            act(now)
        return self.run

    def _after(self, rate: float) -> int:
        return int(self._rng.exponential(1.0 / rate)) + 1

    def _at(self, when: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), act))

    def _make_index(self, now: int) -> None:
        for process in self._processes:
            process.index = build_index(process.world.columns, now, [self._guarantee])
        self._at(now + INDEX_MS, self._make_index)

    def _arrival(self, now: int) -> None:
        if now >= self._listing:
            return
        if self._rng.random() < 0.75:
            self._item(now, self._items, int(self._rng.integers(OLD_SELLERS)))
            self._items += 1
        else:
            seller = self._sellers
            self._sellers += 1
            self._seller(now, seller)
            first = 2 * (seller - OLD_SELLERS)
            for number in (first, first + 1):
                self._item(now, number, seller)
        self._at(now + self._after(self._arrivals), self._arrival)

    def _seller(self, now: int, number: int) -> None:
        self._append(now, self._line(type="seller", seller=f"s{number}", at=now, attributes={}))

    def _item(self, now: int, number: int, seller: int) -> None:
        attributes = {"category": f"c{number % CATEGORIES}", "in_stock": True}
        item, of = f"i{number}", f"s{seller}"
        line = self._line(type="item", item=item, seller=of, at=now, attributes=attributes)
        self._append(now, line)

    def _event(self, type: str, now: int, visitor: str, items: list[str], **more: str) -> None:
        who = {"visitor": visitor, "id": f"e{len(self.run.events)}"}
        self._append(now, self._line(type=type, items=items, at=now, **who, **more))

    def _line(self, **fields: object) -> Line:
        return msgspec.convert(fields, Line)

    def _append(self, now: int, line: Line) -> None:
        record = self._processes[0].world.accept(line, now)
        if isinstance(record, CatalogueRecord):
            self.run.catalogue.append(record)
        else:
            self.run.events.append(record)
        for process in self._processes:
            lag = int(self._rng.exponential(self._lag)) if now > START else 0
            process.applied = max(process.applied, now + lag)
            self._at(process.applied, partial(_fold, process.world, record))

    def _page(self, now: int) -> None:
        self._at(now + self._after(self._pages), self._page)
        process = self._processes[int(self._rng.integers(len(self._processes)))]
        number = len(self.run.decisions)
        visitor = f"v{self._rng.integers(300)}"
        decision = rank(
            RankRequest(visitor=visitor, limit=PAGE),
            process.world,
            SPEC,
            self.run.surface,
            TASTE,
            process.index,
            now=now,
            seed=int(self._rng.integers(1 << 62)),
            decision_id=f"{number:026d}",
            under_way=process.under_way,
        )
        self.run.decisions.append(decision)
        if self._rng.random() < self._seen:
            self._at(
                now + int(self._rng.exponential(self._look)),
                lambda then: self._look_at(decision, visitor, then),
            )

    def _look_at(self, decision: Decision, visitor: str, now: int) -> None:
        page = [decision.candidates[one.candidate] for one in decision.shown]
        self._event("impression", now, visitor, page, decision=decision.id)
        mine = hash_of(visitor)
        for item in page:
            likes = int(item[1:]) % CATEGORIES == mine
            if self._rng.random() < (0.3 if likes else 0.02):
                self._event("click", now, visitor, [item], decision=decision.id)


def _fold(world: World, record: StampedEvent | CatalogueRecord, now: int) -> None:
    world.fold(record)


def hash_of(visitor: str) -> int:
    """The category that ``visitor`` likes."""
    return int(visitor[1:]) % CATEGORIES
