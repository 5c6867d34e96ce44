"""Events and rankings at fixed rates, whatever the server does: an open loop, in its own process.

Prints a line once it runs, and at the end its latencies as JSON, from when each request was due.
Usage: load.py URL SECONDS EVENTS_PER_SECOND EVENTS_PER_REQUEST RANKINGS_PER_SECOND IMPRESSIONS
of which the last is the share of events that are impressions of 10 items.
"""

import asyncio
import json
import sys
import time
from collections import Counter

import aiohttp
import msgspec
import uvloop

from tests.benchmarks.measuring import quantiles
from tests.benchmarks.shop import Shop


class Load:
    """The clients of one server."""

    def __init__(self, url: str, http: aiohttp.ClientSession, impressions: float) -> None:
        self._url = url
        self._http = http
        self._shop = Shop(seed=2, impressions=impressions)
        self.seconds: dict[str, list[float]] = {"events": [], "rank": []}
        self.failures: Counter[str] = Counter()
        self.events = 0

    async def send(self, seconds: float, events: float, per_request: int, rankings: float) -> None:
        """Both for so long; ``events`` and ``rankings`` per second."""
        await asyncio.gather(
            self._every(per_request / events, seconds, per_request),
            self._every(1 / rankings, seconds, 0),
        )

    async def _every(self, period: float, seconds: float, events: int) -> None:
        start = time.perf_counter()  # the loop's own clock ticks once a millisecond
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(seconds / period)):
                due = start + number * period
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                visitor = self._shop.visitor()
                if events:
                    batch = [self._shop.event(visitor) for _ in range(events)]
                    self.events += events
                    tasks.create_task(self._post("events", "/v1/events", batch, due))
                else:
                    request = self._shop.ranking(visitor)
                    tasks.create_task(self._post("rank", "/v1/rank", request, due))

    async def _post(self, name: str, path: str, body: object, due: float) -> None:
        headers = {"Content-Type": "application/json"}
        data = msgspec.json.encode(body)
        try:
            async with self._http.post(self._url + path, data=data, headers=headers) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures[f"{name}: {type(error).__name__}"] += 1
            return
        if response.status == 200:
            self.seconds[name].append(time.perf_counter() - due)
        else:
            self.failures[f"{name}: {response.status}"] += 1


async def main(
    url: str,
    seconds: float,
    events: float,
    per_request: int,
    rankings: float,
    impressions: float,
) -> None:
    """Send, and print."""
    timeout = aiohttp.ClientTimeout(total=20)
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        load = Load(url, http, impressions)
        print("sending", flush=True)
        await load.send(seconds, events, per_request, rankings)
    report = {name: quantiles(values) for name, values in load.seconds.items()}
    print(json.dumps({**report, "events_sent": load.events, "failures": load.failures}))


if __name__ == "__main__":
    url, seconds, events, per_request, rankings, impressions = sys.argv[1:]
    numbers = float(seconds), float(events), int(per_request), float(rankings)
    uvloop.run(main(url, *numbers, float(impressions)))
