"""How soon a ranking knows what was just written, while other clients keep the server busy.

Every time is from when a write was due to be sent until the ranking that carries its token was
read: two requests, the second sent when the first was answered. ``SHARE=0.4`` asks for that share
of all rates: for machines that are at their end with all of them.
"""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.benchmarks.measuring import (
    Connection,
    cpu_seconds,
    quantiles,
    show,
    ticks,
    waited_seconds,
)
from tests.benchmarks.shop import ITEMS, Shop, caught_up, fill
from tests.processes import clean_environ, serving

ROOT = Path(__file__).resolve().parent.parent.parent
SHARE = float(os.environ.get("SHARE", "1"))
EVENTS_PER_SECOND, RANKINGS_PER_SECOND = 500 * SHARE, 100 * SHARE
SECONDS, WARM, EVERY = 60.0, 3.0, 0.04 / SHARE
PROBES = 40  # visitors who are watched

OWN_MS, ALL_MS = 10.0, 25.0
FLOOD, FLOODS, AT_ONCE, STOCK_EVERY = 80_000, 3, 10_000, 0.05
QUEUED = 50_000

JSON = dict[str, Any]


@pytest.mark.parametrize(
    ("events_per_request", "impressions"), [(1, 0.0), (1, 0.3), (5, 0.3)], ids=str
)
def test_freshness_under_load(tmp_path: Path, events_per_request: int, impressions: float) -> None:
    """Beside 500 events/s (a share of them impressions of 10 items) and 100 rankings/s of 100
    candidates: a visitor's event is in the features of the ranking that carries its token, and a
    new item is known to it, within 10 ms; with ``"wait": "all"`` counters too, within 25 ms.
    """
    with serving(tmp_path / "data") as (server, url):
        connection = Connection(url)
        fill(connection, Shop(seed=1))
        probes = Probes(connection)
        kinds = (probes.own_event, probes.new_item, probes.all_counters)
        with _load(url, WARM + SECONDS + 2, events_per_request, impressions) as load:
            _probe(kinds, WARM)
            pid, began = server.process.pid, time.perf_counter()
            used, waited = -cpu_seconds(pid), -waited_seconds(pid)
            measured = _probe(kinds, SECONDS)
            used, waited = used + cpu_seconds(pid), waited + waited_seconds(pid)
            took = time.perf_counter() - began
            beside = json.loads(load.communicate(timeout=60)[0])
        late = probes.not_caught_up
        probes.check()
        connection.close()
    figures = {name: quantiles(seconds) for name, seconds in measured.items()}
    more = {
        "server_cpu_percent": round(100 * used / took),
        "server_waited_for_cpu_percent": round(100 * waited / took, 1),
        "not_caught_up": late,
        "beside": beside,
    }
    mix = {
        "share_of_rates": SHARE,
        "events_per_request": events_per_request,
        "impressions": impressions,
    }
    wanted = {"own_event": OWN_MS, "new_item": OWN_MS, "all_counters": ALL_MS}
    met = {name: figures[name]["p99"] < limit for name, limit in wanted.items()}
    show("freshness_ms", {**mix, **figures, "wanted_p99": wanted, "met": met, **more})
    assert not beside["failures"]
    assert late == 0


def test_stock_behind_a_storm_of_impressions(tmp_path: Path) -> None:
    """With 50,000 impressions queued, ``in_stock: false`` is honoured by the next ranking that
    carries its token: p99 under 10 ms."""
    with serving(tmp_path / "data") as (_, url):
        connection, flooding, watching = (Connection(url) for _ in range(3))
        shop = Shop(seed=3)
        fill(connection, shop)
        stock = Stock(connection, shop)
        for due in ticks(STOCK_EVERY, WARM):
            stock.out(due)
        quiet = [stock.out(due) for due in ticks(STOCK_EVERY, 2 * WARM)]
        storms = [_storm(stock, flooding, watching) for _ in range(FLOODS)]
        for each in (connection, flooding, watching):
            each.close()
    seconds = [each for storm in storms for each in storm["seconds"]]
    for storm in storms:
        storm["stock_ms"] = quantiles(storm.pop("seconds"))
    queued = quantiles(seconds)
    met = queued["p99"] < OWN_MS
    found = {"quiet": quantiles(quiet), "queued": queued, "wanted_p99": OWN_MS, "met": met}
    show("stock_ms", {**found, "storms": storms})
    assert all(storm["queued_at_first"] >= QUEUED for storm in storms)


class Probes:
    """What a watched client does; the answers are checked afterwards, so that nothing waits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shop = Shop(seed=4)
        self._clicks = [0] * PROBES
        self._number = 0
        self._decided: list[tuple[str, str, str, float]] = []
        self.not_caught_up = 0

    def own_event(self, due: float) -> float:
        """A click: the visitor's features have it."""
        return self._click(due, self._shop.item(), "own")

    def all_counters(self, due: float) -> float:
        """A click on what nobody clicked before: the item's counters have it too."""
        return self._click(due, f"never{self._number}", "all")

    def new_item(self, due: float) -> float:
        """A listing: the item is known."""
        self._number += 1
        item = f"new{self._number}"
        line = self._shop.listing(item)
        body = {"seller": line["seller"], "attributes": line["attributes"]}
        token = self._connection.call("PUT", f"/v1/items/{item}", body)["token"]
        answer, seconds = self._rank(due, "v1", item, token, "own")
        assert [shown["reasons"] for shown in answer["items"] if shown["item"] == item] == [[]]
        return seconds

    def check(self) -> None:
        """Look into all decisions that were taken."""
        for decision, item, feature, value in self._decided:
            opened = self._connection.call("GET", f"/v1/decisions/{decision}")
            (found,) = (each for each in opened["candidates"] if each["item"] == item)
            assert found["features"][feature] >= 0.999 * value, (feature, found)

    def _click(self, due: float, item: str, wait: str) -> float:
        self._number += 1
        probe = self._number % PROBES
        click = {"type": "click", "visitor": f"probe{probe}", "item": item}
        token = self._connection.call("POST", "/v1/events", click)["token"]
        answer, seconds = self._rank(due, f"probe{probe}", item, token, wait)
        self._clicks[probe] += 1
        known = math.log1p(self._clicks[probe])
        self._decided.append((answer["decision"], item, "visitor_count_click", known))
        if wait == "all":
            self._decided.append((answer["decision"], item, "item_click_30d", math.log1p(1)))
        return seconds

    def _rank(
        self, due: float, visitor: str, item: str, token: str, wait: str
    ) -> tuple[JSON, float]:
        request = {
            "visitor": visitor,
            "candidates": [item, *self._shop.items(99)],
            "limit": 100,
            "token": token,
            "wait": wait,
        }
        answer = self._connection.call("POST", "/v1/rank", request)
        seconds = time.perf_counter() - due
        self.not_caught_up += answer["freshness"]["caught_up"] is not True
        return answer, seconds


class Stock:
    """Takes one item after another out of stock."""

    def __init__(self, connection: Connection, shop: Shop) -> None:
        self._connection = connection
        self._shop = shop
        self._next = ITEMS

    def out(self, due: float) -> float:
        """Seconds from ``due`` to the ranking that does not show the item for that reason."""
        self._next -= 1
        item = f"i{self._next}"
        patch = {"attributes": {"in_stock": False}}
        token = self._connection.call("PATCH", f"/v1/items/{item}", patch)["token"]
        request = {"candidates": [item, *self._shop.items(99)], "token": token}
        answer = self._connection.call("POST", "/v1/rank", request)
        seconds = time.perf_counter() - due
        assert answer["freshness"]["caught_up"] is True
        assert answer["dropped"][item] == "out_of_stock"
        return seconds


def _storm(stock: Stock, flooding: Connection, watching: Connection) -> dict[str, Any]:
    """Post impressions as fast as they are taken, then take items out of stock till all is folded.

    How many were queued at the first of these is reckoned from when the rest was folded.
    """
    shop = Shop(seed=5)
    bodies = []
    for _ in range(FLOOD // AT_ONCE):
        lines = [
            {"type": "impression", "visitor": shop.visitor(), "items": [shop.item()]}
            for _ in range(AT_ONCE)
        ]
        bodies.append(flooding.request("POST", "/v1/events", msgspec.json.encode(lines)))
    began = time.perf_counter()
    for body in bodies:
        token = msgspec.json.decode(flooding.send(body))["token"]
    posted = time.perf_counter()
    folded = threading.Thread(target=caught_up, args=(watching, token))
    folded.start()
    seconds = []
    for due in ticks(STOCK_EVERY, 120.0):
        if not folded.is_alive():
            break
        seconds.append(stock.out(due))
    folded.join()
    took = time.perf_counter() - began
    return {
        "posted_s": round(posted - began, 2),
        "folded_s": round(took, 2),
        "queued_at_first": round(FLOOD * (took - (posted - began)) / took),
        "seconds": seconds,
    }


def _probe(kinds: tuple[Callable[[float], float], ...], seconds: float) -> dict[str, list[float]]:
    """One probe of each kind in turn, each when it is due."""
    measured: dict[str, list[float]] = {kind.__name__: [] for kind in kinds}
    for number, due in enumerate(ticks(EVERY, seconds)):
        kind = kinds[number % len(kinds)]
        measured[kind.__name__].append(kind(due))
    return measured


@contextmanager
def _load(
    url: str, seconds: float, events_per_request: int, impressions: float
) -> Iterator["subprocess.Popen[str]"]:
    """The other clients, once they send: with the probes the rates are those that are named."""
    probes = 1 / EVERY  # each is a ranking, and two of three an event: they are of the rates
    events, rankings = EVENTS_PER_SECOND - 2 * probes / 3, RANKINGS_PER_SECOND - probes
    numbers = map(str, (seconds, events, events_per_request, rankings, impressions))
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.load", url, *numbers],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert load.stdout is not None
        assert load.stdout.readline() == "sending\n"
        yield load
    finally:
        load.kill()
        load.wait()
