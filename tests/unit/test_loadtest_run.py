"""The load test against a stand-in server that stalls, refuses, dies and lies when told to."""

import asyncio
import io
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import structs
from rich.console import Console

from freshet.loadtest.answers import Freshness
from freshet.loadtest.client import CannotMeasure, Client
from freshet.loadtest.live import dashboard
from freshet.loadtest.measurements import PROBES, Measurements
from freshet.loadtest.options import Options
from freshet.loadtest.report import print_summary
from freshet.loadtest.result import LoadtestResult
from freshet.loadtest.run import run_loadtest

JSON = dict[str, Any]


class StandIn:
    """Remembers what it took. ``before`` sees every request first: it may wait, or answer."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.clicks: Counter[str] = Counter()
        self.listed: set[str] = set()
        self.out: set[str] = set()
        self.decisions: dict[str, JSON] = {}
        self.keys: set[str | None] = set()
        self.ready = True
        self.caught_up = True
        self.forgets = False

    async def before(self, request: web.Request) -> web.Response | None:
        """Nothing special."""
        return None

    def app(self) -> web.Application:
        app = web.Application()
        for method, path, handler in (
            ("POST", "/v1/events", self.post_events),
            ("POST", "/v1/catalogue", self.post_catalogue),
            ("PUT", "/v1/items/{id}", self.put_item),
            ("PATCH", "/v1/items/{id}", self.patch_item),
            ("POST", "/v1/rank", self.rank),
            ("GET", "/v1/decisions/{id}", self.decision),
        ):
            app.router.add_route(method, path, self._guarded(handler))
        app.router.add_get("/readyz", self.readyz)
        return app

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            self.keys.add(request.headers.get("X-API-Key"))
            return await self.before(request) or await handler(request)

        return handle

    async def readyz(self, request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if self.ready else 503)

    async def post_events(self, request: web.Request) -> web.Response:
        body = await request.json()
        lines = body if isinstance(body, list) else [body]
        for line in lines:
            if line["type"] == "click" and not self.events[line["id"]]:
                self.clicks[line["visitor"]] += 1
            self.events[line["id"]] += 1
        return web.json_response({"results": [{"errors": []} for _ in lines], "token": "t"})

    async def post_catalogue(self, request: web.Request) -> web.Response:
        for line in await request.json():
            act = self.listed.remove if line["type"] == "delete" else self.listed.add
            act(line["item"])
        return web.json_response({"results": [], "token": "t"})

    async def put_item(self, request: web.Request) -> web.Response:
        self.listed.add(request.match_info["id"])
        return web.json_response({"token": "t"})

    async def patch_item(self, request: web.Request) -> web.Response:
        assert request.match_info["id"] in self.listed
        self.out.add(request.match_info["id"])
        return web.json_response({"token": "t"})

    async def rank(self, request: web.Request) -> web.Response:
        body = await request.json()
        clicks = 0 if self.forgets else self.clicks[body.get("visitor", "")]
        known = {"visitor_count_click": math.log1p(clicks), "item_click_30d": math.log1p(1)}
        decision = f"d{len(self.decisions)}"
        items = body["candidates"]
        self.decisions[decision] = {
            "candidates": [{"item": item, "features": known} for item in items]
        }
        return web.json_response(
            {
                "decision": decision,
                "items": [
                    {"item": item, "reasons": [] if item in self.listed else ["unknown"]}
                    for item in items
                    if item not in self.out
                ],
                "freshness": {
                    "behind": {"items": 3, "visitors": 1},
                    "caught_up": self.caught_up if "token" in body else None,
                },
            }
        )

    async def decision(self, request: web.Request) -> web.Response:
        return web.json_response(self.decisions[request.match_info["id"]])


class Two:
    """Two servers over what they share, as two replicas have one log."""

    def __init__(self) -> None:
        self.one, self.other = StandIn(), StandIn()
        for name in ("events", "clicks", "listed", "out", "decisions"):
            setattr(self.other, name, getattr(self.one, name))


@pytest.fixture
async def two() -> AsyncIterator[tuple[Two, tuple[str, str]]]:
    made = Two()
    servers = TestServer(made.one.app()), TestServer(made.other.app())
    for server in servers:
        await server.start_server()
    one, other = (str(server.make_url("/")) for server in servers)
    yield made, (one, other)
    for server in servers:
        await server.close()


Measure = Callable[..., Awaitable[LoadtestResult]]


@pytest.fixture
async def alone() -> AsyncIterator[tuple[StandIn, Measure]]:
    """A server, and how to measure it."""
    stand_in = StandIn()
    async with TestServer(stand_in.app()) as server:

        async def measure(**more: Any) -> LoadtestResult:
            return await measured((str(server.make_url("/")),), **more)

        yield stand_in, measure


async def measured(servers: tuple[str, ...], **more: Any) -> LoadtestResult:
    options = Options(
        servers, events=40, ranks=40, probes=20, seconds=1, warm_up=0, items=50, visitors=5
    )
    console = Console(file=io.StringIO())
    return await run_loadtest(structs.replace(options, **more), console, threading.Event())


async def test_a_server_in_good_order(alone: tuple[StandIn, Measure]) -> None:
    """All that was asked for was sent, was answered and is known; the items are gone again."""
    server, measure = alone
    result = await measure(api_key="a-key", batch=3, warm_up=0.5)
    assert result.asked_per_s == result.achieved_per_s or result.achieved_per_s.events > 30
    assert result.events.acknowledged == result.events.sent
    assert result.acknowledged == len(server.events) > result.events.sent
    assert result.ranks.answered == result.ranks.sent == 40
    assert result.ranks.latency_ms.from_due.n == 20
    for probe in result.freshness.values():
        assert probe.sent == probe.known == 5
        assert probe.late == probe.never == probe.wrong == probe.unanswered == 0
    assert result.freshness["own_event"].looked_up == 5
    assert result.freshness["all_counters"].looked_up == 10
    assert result.behind == {"items": 3, "visitors": 1}
    assert [second.behind for second in result.by_second] == [4]
    assert not server.listed
    assert server.keys == {"a-key"}
    assert all(id.startswith(result.run) for id in server.events)


async def test_a_stall_is_in_the_percentiles(alone: tuple[StandIn, Measure]) -> None:
    """A server that stands still for a second with one connection: timed from when it was sent,
    one request was slow; timed from when each was due, a third of them were."""
    server, measure = alone
    stalls = iter([1.0])

    async def before(request: web.Request) -> None:
        if request.path == "/v1/rank" and len(server.decisions) == 50:
            await asyncio.sleep(next(stalls, 0.0))

    server.before = before  # type: ignore[method-assign]
    result = await measure(events=0, ranks=100, probes=0, seconds=3, connections=1)
    latency = result.ranks.latency_ms
    assert latency.from_due.n == latency.from_sending.n == 300
    assert latency.from_due.p99 is not None
    assert latency.from_due.p99 > 900
    assert latency.from_sending.p99 is not None
    assert latency.from_sending.p99 < 300
    assert latency.from_sending.max is not None
    assert latency.from_sending.max > 900
    assert max(second.rank_max_ms for second in result.by_second) > 900


async def test_what_is_put_off_is_sent_again_with_its_id(alone: tuple[StandIn, Measure]) -> None:
    """A log that takes nothing for a while loses no event, and none counts twice."""
    server, measure = alone
    seen: Counter[str] = Counter()

    async def before(request: web.Request) -> web.Response | None:
        if request.path == "/v1/events":
            body = await request.text()
            seen[body] += 1
            if seen[body] == 1 and len(seen) % 2:
                return web.json_response({"title": "Service Unavailable"}, status=503)
        return None

    server.before = before  # type: ignore[method-assign]
    result = await measure()
    assert result.acknowledged == result.events.sent == len(server.events) == 40
    assert set(server.events.values()) == {1}
    assert result.put_off == {"503": 20}
    assert result.events.failed == {}


async def test_what_cannot_be_taken_is_counted(alone: tuple[StandIn, Measure]) -> None:
    """A refused event, one of an unknown type, a ranking that fails: each under its reason."""
    server, measure = alone

    async def before(request: web.Request) -> web.Response | None:
        if request.path == "/v1/events":
            wrong = {"errors": [{"field": "type", "reason": "is none of these"}]}
            return web.json_response({"results": [wrong], "token": "t"})
        if request.path == "/v1/rank" and server.listed and len(server.decisions) % 2:
            server.decisions["more"] = {}
            return web.json_response({}, status=500)
        return None

    server.before = before  # type: ignore[method-assign]
    result = await measure(probes=0)
    assert result.events.rejected == {"type: is none of these": 40}
    assert result.acknowledged == 0
    assert result.ranks.other_than_200 == {"500": 40 - result.ranks.answered}
    assert result.ranks.answered < 40


async def test_a_server_that_dies_is_left_out(two: tuple[Two, tuple[str, str]]) -> None:
    """Connections that die are counted, by server, and no failure: the other answers. It is asked
    again when it is ready."""
    servers, urls = two
    asked: Counter[str] = Counter()

    async def die(request: web.Request) -> None:
        asked["dying"] += 1
        if asked["dying"] > 20:
            servers.one.ready = False
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionError

    servers.one.before = die  # type: ignore[method-assign]
    result = await measured(urls)
    dead = urls[0].rstrip("/")
    assert result.connections_died.keys() == {dead}
    assert result.events.acknowledged == result.events.sent == len(servers.one.events)
    assert result.ranks.answered == result.ranks.sent == 40
    assert not result.ranks.other_than_200
    assert not result.ranks.unanswered
    assert sum(probe.known for probe in result.freshness.values()) == 20


async def test_what_is_not_known_is_not_called_known(alone: tuple[StandIn, Measure]) -> None:
    """A server that says ``caught_up`` and has not counted the click is found out."""
    server, measure = alone
    server.forgets = True
    result = await measure()
    assert result.freshness["own_event"].wrong == 5
    assert result.freshness["all_counters"].wrong == 5
    assert result.freshness["new_item"].wrong == 0


async def test_freshness_lasts_until_it_is_there(alone: tuple[StandIn, Measure]) -> None:
    """Where the first ranking's own wait is too short, others follow, and the time goes on."""
    server, measure = alone
    server.caught_up = False
    asked: Counter[str] = Counter()

    async def before(request: web.Request) -> None:
        if request.path == "/v1/rank":
            body = await request.json()
            if body["candidates"] == ["-"]:
                server.caught_up = True
                return
            token = body["candidates"][0] if "token" in body else None
            if token is not None:
                asked[token] += 1
                server.caught_up = asked[token] > 3
                await asyncio.sleep(0.02)
                server.caught_up = asked[token] > 3

    server.before = before  # type: ignore[method-assign]
    result = await measure(probes=4)
    for probe in result.freshness.values():
        assert probe.sent == probe.late == probe.known == 1
        assert probe.from_acknowledged_ms.p50 is not None
        assert probe.from_acknowledged_ms.p50 >= 80
        assert probe.from_due_ms.p50 is not None
        assert probe.from_due_ms.p50 >= probe.from_acknowledged_ms.p50


async def test_a_slow_client_says_so(alone: tuple[StandIn, Measure]) -> None:
    """Where this process could not send in time, the figures are marked as its own."""
    server, measure = alone

    async def before(request: web.Request) -> None:
        if request.path == "/v1/rank":
            time.sleep(0.05)  # noqa: ASYNC251 - holds the loop that both run in

    server.before = before  # type: ignore[method-assign]
    result = await measure(probes=0)
    assert not result.generator.kept_up
    out = io.StringIO()
    print_summary(result, Console(file=out, width=200))
    assert "It did not keep up" in out.getvalue()


async def test_the_summary_names_what_went_wrong(alone: tuple[StandIn, Measure]) -> None:
    """In words, and only what did."""
    server, measure = alone
    server.forgets = True
    out = io.StringIO()
    print_summary(await measure(), Console(file=out, width=200))
    text = out.getvalue()
    assert "a visitor's own event: 5 of 5 said to be known, and was not" in text
    assert "ranking, since it was due" in text
    assert "rankings answered other than 200" not in text
    assert "connections died" not in text


def test_the_view_fits_eighty_columns() -> None:
    """With long figures too, nothing is cut."""
    options = Options(("http://localhost:8400",), seconds=3600)
    client = Client(options.servers, None, 1)
    client.died["http://localhost:8400"] = 9
    measured = Measurements(time.perf_counter() - 3000, time.perf_counter() + 600)
    for number in range(200):
        measured.acknowledged(0.0, 0.0, 59.99, 1_000_000)
        measured.ranked(0.0, 0.0, 59.99, Freshness({"items": number}))
    for kind in PROBES:
        measured.known(kind, 0.0, 0.0, 59.99)
    measured.ranks.other["503"] = 1_234_567
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(dashboard(client, measured, options))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown.get()
    assert "1,234,567" in shown.get()


@pytest.mark.parametrize(
    ("status", "says"), [(401, "refuses the catalogue: 401"), (200, "is not a Freshet server")]
)
async def test_what_cannot_be_measured_is_said(
    alone: tuple[StandIn, Measure], status: int, says: str
) -> None:
    """A key that is missing, a server that is something else."""
    server, measure = alone

    async def before(request: web.Request) -> web.Response:
        return web.Response(text="<html>", status=status)

    server.before = before  # type: ignore[method-assign]
    with pytest.raises(CannotMeasure, match=says):
        await measure()


async def test_a_server_that_is_not_ready_is_not_measured(alone: tuple[StandIn, Measure]) -> None:
    """Recovery is no part of what it can do."""
    server, measure = alone
    server.ready = False
    with pytest.raises(CannotMeasure, match="is not ready"):
        await measure()
