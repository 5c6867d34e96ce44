"""A shop whose guarantee is tested on real replicas: what is listed, and who looks."""

import asyncio
from typing import Any

import aiohttp
import numpy as np

from personalization.guarantee import Guarantee
from personalization.ranking.surface import SourcePlan, Surface

IMPRESSIONS, EVERY = 10, 3
SURFACES = [
    Surface(
        name,
        sources=(
            SourcePlan("trending", 30),
            SourcePlan("affinity", 20),
            SourcePlan("cold_items", 30),
            SourcePlan("cold_sellers", 20),
        ),
        guarantee=Guarantee(impressions=IMPRESSIONS, within=within, every=EVERY),
    )
    for name, within in (("calm", "2m"), ("crowded", "1m"))
]
PAGE, PAGES_PER_SECOND, LOOK_SECONDS, VISITORS = 12, 8.0, 1.0, 100
OLD_ITEMS, OLD_SELLERS, NEW_SELLER_SHARE = 1_200, 20, 0.25
LIKED = frozenset(f"i{number}" for number in range(OLD_ITEMS - 40, OLD_ITEMS))

JSON = dict[str, Any]


class Market:
    """Pages of ``surface`` at a fixed rate, on either replica, each seen a moment later, with a
    click on what is liked: a few old items, so that what is new gets no place by its score. What
    is listed is at ``load`` of the guarantee's places, for so many ``minutes``. Pages go on until
    all that was listed could have its impressions in time.
    """

    def __init__(
        self, urls: list[str], surface: Surface, load: float, minutes: float, seed: int
    ) -> None:
        assert surface.guarantee is not None
        self._rng = np.random.default_rng(seed)
        places = PAGES_PER_SECOND * (PAGE // EVERY)
        self._arrivals = load * places / IMPRESSIONS
        self._listing = 60.0 * minutes
        self._within = surface.guarantee.within_ms / 1000
        self._surface = surface.name
        self._urls = urls
        self._items, self._sellers = OLD_ITEMS, OLD_SELLERS

    async def run(self) -> None:
        """All of it."""
        pages = self._listing + self._within
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as self._http:
            old = [_seller(number) for number in range(OLD_SELLERS)]
            old += [_item(number, number % OLD_SELLERS) for number in range(OLD_ITEMS)]
            listed = await self._send("/v1/catalogue", old)
            liked = sorted(LIKED)
            clicks = [
                {
                    "type": "click",
                    "visitor": f"v{n % VISITORS}",
                    "item": liked[n % 40],
                    "id": f"l{n}",
                }
                for n in range(2_000)
            ]
            clicked = await self._send("/v1/events", clicks)
            for token in (listed["token"], clicked["token"]):
                await self._known_everywhere(token)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._at_rate(self._arrivals, self._listing, self._arrive))
                group.create_task(self._at_rate(PAGES_PER_SECOND, pages, self._page))

    async def _known_everywhere(self, token: str) -> None:
        """No page is empty because a replica does not know the shop yet."""
        asked = {"candidates": ["i0"], "token": token, "wait": "all"}
        for url in self._urls:
            known = False
            async with asyncio.timeout(60):
                while not known:
                    async with self._http.post(f"{url}/v1/rank", json=asked) as response:
                        known = (await response.json())["freshness"]["caught_up"]

    async def _at_rate(self, rate: float, seconds: float, act: Any) -> None:
        """An open loop: what is slow does not hold up what comes next."""
        clock = asyncio.get_running_loop().time
        due, ends = clock(), clock() + seconds
        async with asyncio.TaskGroup() as group:
            while (due := due + self._rng.exponential(1.0 / rate)) < ends:
                await asyncio.sleep(max(0.0, due - clock()))
                group.create_task(act())

    async def _arrive(self) -> None:
        """A new item of an old seller; or a new seller, who takes over two old items."""
        if self._rng.random() >= NEW_SELLER_SHARE:
            number, self._items = self._items, self._items + 1
            lines = [_item(number, int(self._rng.integers(OLD_SELLERS)))]
        else:
            seller, self._sellers = self._sellers, self._sellers + 1
            first = 2 * (seller - OLD_SELLERS)
            lines = [_seller(seller), _item(first, seller), _item(first + 1, seller)]
        await self._send("/v1/catalogue", lines)

    async def _page(self) -> None:
        visitor = f"v{self._rng.integers(VISITORS)}"
        asked = {"visitor": visitor, "surface": self._surface, "limit": PAGE}
        page = await self._send("/v1/rank", asked)
        await asyncio.sleep(self._rng.exponential(LOOK_SECONDS))
        seen = {
            "type": "impression",
            "visitor": visitor,
            "decision": page["decision"],
            "id": page["decision"],
            "items": [shown["item"] for shown in page["items"]],
        }
        clicked = [
            {
                "type": "click",
                "visitor": visitor,
                "item": shown["item"],
                "id": f"{seen['id']} click",
            }
            for shown in page["items"]
            if shown["item"] in LIKED
        ]
        await self._send("/v1/events", [seen, *clicked[:1]])

    async def _send(self, path: str, body: Any) -> JSON:
        url = self._urls[int(self._rng.integers(len(self._urls)))]
        async with self._http.post(url + path, json=body) as response:
            answer: JSON = await response.json()
        assert not [result for result in answer.get("results", ()) if result["errors"]], answer
        return answer


def _item(number: int, seller: int) -> JSON:
    attributes = {"category": f"c{number % 8}", "price": 1.0 + number % 90, "in_stock": True}
    return {"type": "item", "item": f"i{number}", "seller": f"s{seller}", "attributes": attributes}


def _seller(number: int) -> JSON:
    return {"type": "seller", "seller": f"s{number}", "attributes": {}}
