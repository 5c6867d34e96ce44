"""The demand side: sessions arrive at random, look at pages, and leave events behind.

Arrivals do not wait for the server (an open loop), so a slow server shows as latency, not as less
traffic; only above ``MAX_SESSIONS`` at once are sessions left out, and counted. A share of the
pages is served by the shop itself, in random order, as on any product whose search and category
pages are not personalized; the rest asks Freshet, most with candidates, some without.

The time-line of a page: ranking asked with the token of the events before it, page looked at,
events sent, next ranking asked at once. ``freshness`` is the time from the acknowledgement of the
events to the ranking that carries their token and says that it has caught up.
"""

import asyncio
import time
from typing import Any

import numpy as np

from freshet.demo.behaviour import Visit, act
from freshet.demo.client import Client, Ranking, Written
from freshet.demo.evaluation import PageView, page_rates
from freshet.demo.measurements import Measurements
from freshet.demo.people import Customer, People
from freshet.demo.policies import (
    PURCHASE_WEIGHT,
    Popularity,
    baseline_pages,
    draw_candidates,
)
from freshet.demo.world import Floats, Ints, World

SESSIONS_PER_S = 13.0  # server and simulator together: two slow cores keep up with it
MAX_SESSIONS = 500
MIN_PAGES, MEAN_MORE_PAGES, MAX_PAGES = 2, 5.0, 15
LOOK_S = 0.3
SHOWN = 12
SHOP_SHARE = 0.5
OWN_SOURCES_SHARE = 0.1
CATCH_UP_S, ASK_AGAIN_S = 5.0, 0.002
WARM_UP_S, WARM_UP_SHARE = 5.0, 0.2


class Traffic:
    """All sessions of one run. ``start`` is the event loop's time at which the run begins."""

    sessions_per_s = SESSIONS_PER_S

    def __init__(
        self, world: World, client: Client, measurements: Measurements, start: float, seconds: float
    ) -> None:
        self._world = world
        self._client = client
        self._measured = measurements
        self._start = start
        self._seconds = seconds
        self._warm = min(WARM_UP_S, WARM_UP_SHARE * seconds)
        self._popularity = Popularity()
        self._people = People(world)
        self._rng = np.random.default_rng([world.seed, 6])
        self._open = 0

    async def run(self) -> None:
        """Until the seconds are over; whoever still looks at a page then is not waited for."""
        arrival = 0.0
        async with asyncio.TaskGroup() as group:
            while (
                arrival := arrival + self._rng.exponential(1.0 / self.sessions_per_s)
            ) < self._seconds:
                await asyncio.sleep(max(0.0, arrival - self._second()))
                if self._open >= MAX_SESSIONS:
                    self._measured.shed_sessions += 1
                    continue
                self._open += 1
                group.create_task(self._session(self._people.arrive(arrival)))

    def _second(self) -> float:
        return asyncio.get_running_loop().time() - self._start

    async def _session(self, customer: Customer) -> None:
        number = customer.person.number
        rng = np.random.default_rng([self._world.seed, 4, number, customer.sessions])
        visit, signs_in = self._people.begin(customer, self._client.now_ms() / 1000, rng)
        if signs_in and visit.user is not None:
            written = await self._client.identify(visit.visitor, visit.user)
            if written is not None:
                self._acknowledge(visit, written)
        pages = min(MAX_PAGES, MIN_PAGES + int(rng.geometric(1.0 / MEAN_MORE_PAGES)))
        for _ in range(pages):
            if self._second() >= self._seconds:
                break
            await self._page(visit, rng)
        self._people.leave(customer, self._second())
        self._open -= 1

    async def _page(self, visit: Visit, rng: np.random.Generator) -> None:
        """One page: ranked, evaluated, looked at, acted on."""
        world = self._world
        decision = None
        kind = rng.random()
        if kind < SHOP_SHARE:
            in_stock = np.flatnonzero(world.in_stock)
            shown = rng.choice(in_stock, min(SHOWN, len(in_stock)), replace=False)
            luck = rng.random(len(shown))
        elif kind < SHOP_SHARE + (1.0 - SHOP_SHARE) * OWN_SOURCES_SHARE:
            ranking = await self._rank(visit, None)
            if ranking is None:
                return
            decision = ranking.decision
            shown = self._items(ranking, np.arange(world.items))
            luck = rng.random(len(shown))
        else:
            candidates = draw_candidates(world, self._popularity, rng)
            ranking = await self._rank(visit, [f"i{item}" for item in candidates])
            if ranking is None:
                return
            decision = ranking.decision
            shown = self._items(ranking, candidates)
            chances = rng.random(len(candidates))
            place = {int(item): position for position, item in enumerate(candidates)}
            positions = np.array([place[int(item)] for item in shown], np.int64)
            luck = chances[positions]
            self._evaluate(visit, candidates, positions, chances, rng)
        if len(shown):
            look = float(rng.exponential(LOOK_S))
            if self._second() + look > self._seconds:
                return
            await asyncio.sleep(look)
            events = act(world, visit, shown, luck, decision, self._client.now_ms(), rng)
            await self._send(visit, events)
        self._measured.pages += 1

    async def _rank(self, visit: Visit, candidates: list[str] | None) -> Ranking | None:
        """The first ranking; its latency, and when one that knew the token came back."""
        request: dict[str, Any] = {
            "visitor": visit.visitor,
            "limit": SHOWN,
            "context": {"utc_offset": visit.person.utc_offset, "session": visit.session},
        }
        if visit.user is not None:
            request["user"] = visit.user
        if candidates is not None:
            request["candidates"] = candidates
        if visit.token is not None:
            request["token"] = visit.token
        asked = time.perf_counter()
        first = answer = await self._client.rank(request)
        if self._second() >= self._warm and answer is not None:
            self._measured.rank_s.append(time.perf_counter() - asked)
        if visit.token is None:
            return first
        while answer is not None and not answer.freshness.caught_up:
            if time.perf_counter() - visit.acknowledged > CATCH_UP_S:
                self._measured.never_caught_up += 1
                break
            await asyncio.sleep(ASK_AGAIN_S)
            answer = await self._client.rank(request)
        if self._second() >= self._warm and answer is not None:
            self._measured.freshness_s.append(time.perf_counter() - visit.acknowledged)
        visit.token = None
        return first

    def _items(self, ranking: Ranking, allowed: Ints) -> Ints:
        """The ranked items, each once; what was not among ``allowed`` is an error."""
        ours = {f"i{item}": int(item) for item in allowed}
        names = dict.fromkeys(entry.item for entry in ranking.items)
        foreign = sum(1 for name in names if name not in ours)
        if foreign:
            self._client.errors["rank: item not asked for"] += foreign
        return np.array([ours[name] for name in names if name in ours][:SHOWN], np.int64)

    def _evaluate(
        self,
        visit: Visit,
        candidates: Ints,
        freshet: Ints,
        chances: Floats,
        rng: np.random.Generator,
    ) -> None:
        second = self._second()
        if second < self._warm:
            return
        truth = self._world.click_probability(visit.person, visit.intent, candidates)
        pages = baseline_pages(self._world, self._popularity, visit.clicks, candidates, truth, rng)
        pages["freshet"] = freshet
        self._measured.views.append(
            PageView(
                person=visit.person.number,
                returning=visit.returning,
                logged_in=visit.user is not None,
                second=second,
                true=page_rates(pages, truth),
                drawn=page_rates(pages, (chances < truth).astype(np.float64)),
            )
        )

    async def _send(self, visit: Visit, events: list[dict[str, Any]]) -> None:
        """Sends a page's events; the shop's own counters see the same ones."""
        second = self._second()
        for event in events:
            if event["type"] == "click":
                item = int(event["item"][1:])
                self._measured.last_click = (visit.visitor, event["item"])
                self._popularity.add(item, 1.0)
                category = int(self._world.category[item])
                visit.clicks[category] = visit.clicks.get(category, 0) + 1
                self._measured.items.click(item, second)
                self._measured.sellers.click(int(self._world.seller[item]), second)
            elif event["type"] == "purchase":
                self._popularity.add(int(event["item"][1:]), PURCHASE_WEIGHT)
        written = await self._client.events(events)
        if written is not None:
            self._measured.events += len(events)
            self._acknowledge(visit, written)

    def _acknowledge(self, visit: Visit, written: Written) -> None:
        visit.token = written.token
        visit.acknowledged = time.perf_counter()
