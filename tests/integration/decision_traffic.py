"""A made-up shop's traffic that makes rankings differ in all they can differ in."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import aiohttp

from personalization.guarantee import Guarantee
from personalization.ranking.surface import Blocked, Rule, Seen, SourcePlan, Surface

JSON = dict[str, Any]
ITEMS, SELLERS, CATEGORIES, VISITORS = 300, 12, 8, 40
EVENTS = ("view", "view", "click", "cart", "purchase", "dislike")
LINES = 16
"""How many clients there are, each with visitors of its own and one request at a time."""

_SOURCES = (
    SourcePlan("trending", 60),
    SourcePlan("fresh", 40),
    SourcePlan("covisited", 40),
    SourcePlan("affinity", 40),
)

SURFACES = [
    Surface("found", sources=_SOURCES, seen=Seen(("purchase",))),
    Surface(
        "ruled",
        sources=_SOURCES,
        rules=(
            Rule("no c1", "exclude", {"category": {"eq": "c1"}}),
            Rule("sale", "boost", {"tags": {"in": ["sale"]}}, amount=0.7),
            Rule("dear", "bury", {"price": {"gt": 80}}, amount=1.5),
            Rule("ours", "pin", {"seller": {"eq": "s0"}}, position=3),
        ),
        caps={"seller": 2, "category": 4},
        diversity={"brand": 0.4},
        blocked=Blocked(items=("i3",), sellers=("s5",)),
    ),
    Surface("drawn", sources=_SOURCES, temperature=0.7, caps={"category": 3}, counts_served=True),
    Surface(
        "guaranteed",
        sources=(*_SOURCES, SourcePlan("cold_items"), SourcePlan("cold_sellers")),
        caps={"seller": 3},
        guarantee=Guarantee(impressions=100, within="1m", every=2),
    ),
]


class Served:
    """What clients were told: of each decision its items in order."""

    def __init__(self) -> None:
        self.shown: dict[str, list[str]] = {}
        self.caught_up = 0


async def drive(url: str, rankings: int, seed: int) -> Served:
    """A catalogue, then ``rankings`` rankings among events, stock changes, sign-ups and pages."""
    served = Served()
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(url, timeout=timeout, raise_for_status=True) as http:
        drawn = random.Random(seed)
        listed = await _post(http, "/v1/catalogue", [_item(i, drawn) for i in range(ITEMS)])
        await _known(http, listed["token"], served)
        await asyncio.gather(
            *(
                _line(http, rankings // LINES + 1, line, random.Random(f"{seed} {line}"), served)
                for line in range(LINES)
            )
        )
    return served


async def _known(http: aiohttp.ClientSession, token: str, served: Served) -> None:
    """Rank until a ranking knows what ``token`` is of."""
    caught_up = False
    while not caught_up:
        answer = await _post(http, "/v1/rank", {"token": token})
        served.shown[answer["decision"]] = [shown["item"] for shown in answer["items"]]
        caught_up = answer["freshness"]["caught_up"]


async def _line(
    http: aiohttp.ClientSession, rankings: int, line: int, drawn: random.Random, served: Served
) -> None:
    token, before = None, None
    for number in range(rankings):
        visitor = f"v{drawn.randrange(VISITORS // 8) * LINES + line}"
        if drawn.random() < 0.7:
            token = (await _post(http, "/v1/events", list(_events(visitor, drawn))))["token"]
        if drawn.random() < 0.1:
            some, new = drawn.randrange(ITEMS), drawn.randrange(ITEMS, 2 * ITEMS)
            changes = [_item(some, drawn), _item(new, drawn), _delete(drawn), _seller(drawn)]
            token = (await _post(http, "/v1/catalogue", changes))["token"]
        request = _ranking(visitor, drawn)
        if token is not None and drawn.random() < 0.5:
            request |= {"token": token, "wait": drawn.choice(["own", "all"])}
        if before is not None and drawn.random() < 0.3:
            request |= {"after": before}
        answer = await _post(http, _similar(request, drawn), request)
        before = answer["decision"]
        assert before not in served.shown, number
        served.shown[before] = [shown["item"] for shown in answer["items"]]
        served.caught_up += answer["freshness"]["caught_up"] is True


def _ranking(visitor: str, drawn: random.Random) -> JSON:
    request: JSON = {
        "surface": drawn.choice(["default", "found", "ruled", "drawn", "guaranteed"]),
        "limit": drawn.choice([1, 5, 20, 100]),
        "context": {"device": drawn.choice(["phone", "desktop"]), "utc_offset": 60},
        "explain": drawn.random() < 0.2,
    }
    who = drawn.random()
    if who < 0.8:
        request["visitor"] = visitor
    elif who < 0.9:
        request["user"] = f"u{drawn.randrange(6)}"
    if drawn.random() < 0.6:
        known = drawn.sample(range(ITEMS + 30), drawn.choice([1, 10, 50, 100]))
        request["candidates"] = [
            f"i{item}" if drawn.random() < 0.8 else {"item": f"i{item}", "features": {"score": 0.3}}
            for item in known
        ]
    if drawn.random() < 0.5:
        request["filters"] = drawn.choice(
            [
                {"price": {"lte": 10 * drawn.randrange(10)}},
                {"any": [{"category": {"in": ["c1", "c2"]}}, {"tags": {"in": ["new"]}}]},
                {"not": [{"brand": {"eq": f"b{drawn.randrange(5)}"}}]},
                {"all": [{"price": {"gte": 5, "lt": 90}}, {"seller": {"exists": True}}]},
            ]
        )
    return request


def _similar(request: JSON, drawn: random.Random) -> str:
    """Where to send ``request``; now and then as one for what is near an item."""
    if drawn.random() < 0.85:
        return "/v1/rank"
    del request["surface"]
    request.pop("candidates", None)
    return f"/v1/similar/items/i{drawn.randrange(ITEMS)}"


def _events(visitor: str, drawn: random.Random) -> Iterator[JSON]:
    page = [f"i{item}" for item in drawn.sample(range(ITEMS), 10)]
    yield {"type": "impression", "visitor": visitor, "items": page}
    for _ in range(drawn.randrange(4)):
        yield {"type": drawn.choice(EVENTS), "visitor": visitor, "item": drawn.choice(page)}
    if drawn.random() < 0.1:
        yield {"type": "identify", "visitor": visitor, "user": f"u{drawn.randrange(6)}"}


def _item(number: int, drawn: random.Random) -> JSON:
    attributes: JSON = {
        "category": f"c{drawn.randrange(CATEGORIES)}",
        "brand": f"b{drawn.randrange(5)}",
        "price": round(drawn.uniform(1, 120), 2),
        "in_stock": drawn.random() < 0.9,
        "tags": drawn.sample(["red", "sale", "new", "wool"], drawn.randrange(3)),
    }
    seller = f"s{drawn.randrange(SELLERS)}"
    return {"type": "item", "item": f"i{number}", "seller": seller, "attributes": attributes}


def _seller(drawn: random.Random) -> JSON:
    return {"type": "seller", "seller": f"s{drawn.randrange(SELLERS)}", "attributes": {}}


def _delete(drawn: random.Random) -> JSON:
    return {"type": "delete", "item": f"i{drawn.randrange(ITEMS)}"}


async def _post(http: aiohttp.ClientSession, path: str, body: Any) -> JSON:
    async with http.post(path, json=body) as response:
        answer: JSON = await response.json()
    assert not [result for result in answer.get("results", ()) if result["errors"]], answer
    return answer
