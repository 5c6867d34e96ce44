"""The demo end to end, against a stand-in server that ranks at random and learns nothing."""

import io
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from freshet.demo.market import CatalogueRefused
from freshet.demo.report import print_summary, verdict
from freshet.demo.result import to_json
from freshet.demo.run import run_demo
from freshet.demo.world import WorldKind
from personalization.ranking.request import RankRequest
from personalization.wire import Line


@dataclass
class RandomServer:
    """Takes everything, ranks at random, remembers what it was sent."""

    __test__ = False
    received: list[dict[str, Any]] = field(default_factory=list)
    ranked: list[dict[str, Any]] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    fail_every: int = 0
    luck: random.Random = field(default_factory=lambda: random.Random(1))

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/events", self.write)
        app.router.add_post("/v1/catalogue", self.write)
        app.router.add_post("/v1/identify", self.write)
        app.router.add_patch("/v1/items/{id}", self.write)
        app.router.add_post("/v1/rank", self.rank)
        return app

    async def write(self, request: web.Request) -> web.Response:
        body = await request.json()
        lines = body if isinstance(body, list) else [body]
        self.received += lines
        results = [{"index": i, "status": "accepted", "id": None} for i in range(len(lines))]
        return web.json_response({"results": results, "token": f"t{len(self.received)}"})

    async def rank(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.ranked.append(body)
        if self.fail_every and len(self.ranked) % self.fail_every == 0:
            return web.json_response({"title": "busy"}, status=503)
        candidates = body.get("candidates") or [f"i{n}" for n in range(100)]
        chosen = self.luck.sample(candidates, min(body["limit"], len(candidates)))
        answer = {
            "decision": f"d{len(self.ranked)}",
            "items": [{"item": item, "score": 0.0, "propensity": 1.0} for item in chosen],
            "freshness": {"newest_event_ms": 1, "behind": {}, "caught_up": True},
        }
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[str, RandomServer]]:
    stand_in = RandomServer()
    async with TestServer(stand_in.app()) as running:
        yield str(running.make_url("")).rstrip("/"), stand_in


async def run(url: str, world: WorldKind, seconds: float = 3.0) -> tuple[Any, str]:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=False)
    result = await run_demo(
        url, seconds=seconds, seed=3, world=world, json_out=False, console=console
    )
    print_summary(result, console)
    return result, out.getvalue()


async def test_against_a_random_ranker_popularity_wins_and_the_summary_says_so(
    server: tuple[str, RandomServer],
) -> None:
    """Random pages get random's click rate, and the demo does not dress that up."""
    url, stand_in = server
    result, printed = await run(url, "tastes", seconds=12.0)
    rate, low, high = result.click_rate["freshet"]
    other, other_low, other_high = result.click_rate["random"]
    # Two samples of the same: 3.1 standard errors of their difference, half widths being 1.96.
    assert abs(rate - other) < 1.6 * math.hypot(high - low, other_high - other_low) / 2
    assert rate < result.click_rate["popularity"][0] < result.click_rate["oracle"][0]
    assert verdict(result).startswith("Popularity wins")
    assert "Popularity wins" in printed
    assert "Against category_popularity: -" in printed
    assert "True click rate of a page" in printed
    assert result.errors == {}
    kinds = Counter(line.get("type") for line in stand_in.received)
    assert kinds["item"] >= 1500
    assert kinds["seller"] >= 60
    assert {"impression", "click", "view", "cart"} <= set(kinds)
    tokens = [request for request in stand_in.ranked if "token" in request]
    assert len(tokens) > len(stand_in.ranked) / 2
    assert len(result.try_next) == 3
    assert all(url in command for command in result.try_next)


async def test_the_json_has_the_agreed_shape(server: tuple[str, RandomServer]) -> None:
    """One line, with the keys and shapes that scripts rely on; and no lift in the null world."""
    result, printed = await run(server[0], "null")
    text = to_json(result)
    found = json.loads(text)
    assert "\n" not in text
    assert found["events"] > 0
    assert found["events_per_s"] > 0
    assert set(found["freshness_ms"]) == set(found["rank_ms"]) == {"p50", "p99"}
    policies = {"freshet", "popularity", "category_popularity", "random", "oracle"}
    assert set(found["click_rate"]) == policies
    for value, low, high in found["click_rate"].values():
        assert low <= value <= high
    for cohort in ("first_time", "returning", "logged_out"):
        assert set(found["click_rate_by_cohort"][cohort]) == policies
    for kind in ("items", "sellers"):
        assert {"p50", "p90"} <= set(found["first_click_s"][kind])
    assert found["lift_over_popularity"]["freshet"] == [0.0, 0.0, 0.0]
    assert "Drawn click rate of a page" in printed
    assert "No lift found" in printed or "A problem" in printed


async def test_all_that_is_sent_is_in_the_wire_format(server: tuple[str, RandomServer]) -> None:
    """The server's own strict types take every line and every rank request: nothing else is sent,
    so nothing hidden is."""
    url, stand_in = server
    await run(url, "tastes", seconds=1.0)
    assert len(msgspec.convert(stand_in.ranked, list[RankRequest])) > 10
    lines = [line for line in stand_in.received if "type" in line]
    assert len(msgspec.convert(lines, list[Line])) > 1500
    patches_and_sign_ins = [set(line) for line in stand_in.received if "type" not in line]
    assert all(keys in ({"attributes"}, {"visitor", "user"}) for keys in patches_and_sign_ins)


async def test_failed_calls_are_counted_and_the_run_goes_on(
    server: tuple[str, RandomServer],
) -> None:
    """Every fifth ranking fails: the others are evaluated, the failures are in the result."""
    url, stand_in = server
    stand_in.fail_every = 5
    result, printed = await run(url, "tastes", seconds=1.5)
    assert result.errors["rank: HTTP 503"] > 0
    assert result.evaluated_pages > 0
    assert "rank: HTTP 503" in printed


async def test_without_a_server_the_demo_says_why() -> None:
    """Nothing listens there: an exception that names the failed call, not an empty result."""
    with pytest.raises(CatalogueRefused, match="catalogue"):
        await run("http://127.0.0.1:9", "tastes")
