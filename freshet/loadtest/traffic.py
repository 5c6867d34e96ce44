"""Events, rankings and probes in an open loop."""

import asyncio
import threading
from time import perf_counter

import msgspec

from freshet.loadtest.answers import RANKED, WRITTEN
from freshet.loadtest.client import Client, Unanswered
from freshet.loadtest.measurements import Measurements
from freshet.loadtest.options import Options
from freshet.loadtest.probes import Probes
from freshet.loadtest.schedule import Due, pace, schedule
from freshet.loadtest.shop import Shop


class Traffic:
    """All clients of one load test. ``prefix`` begins the ids of its events."""

    def __init__(
        self, client: Client, shop: Shop, probes: Probes, options: Options, prefix: str
    ) -> None:
        self._client = client
        self._shop = shop
        self._probes = probes
        self._options = options
        self._prefix = prefix
        self._sent = 0

    async def send(
        self, warm_up: Measurements, measured: Measurements, stop: threading.Event
    ) -> float:
        """Send, and wait for all answers: what is due before ``measured.start`` is the warm-up.

        Returns the time at which the sending was over, earlier than planned after ``stop``.
        """
        options = self._options
        rates = {
            "events": max(0.0, options.events - options.probes / 2) / options.batch,
            "rank": max(0.0, options.ranks - options.probes),
            "probe": options.probes,
        }
        dues = schedule(rates, warm_up.start, measured.end - warm_up.start)
        async with asyncio.TaskGroup() as tasks:

            def start(due: Due) -> None:
                if stop.is_set():
                    return
                counted = warm_up if due.at < measured.start else measured
                counted.lateness.add(perf_counter() - due.at)
                tasks.create_task(self._started(due, counted))

            try:
                await pace(dues, start, stop)
            except asyncio.CancelledError:
                stop.set()  # the thread that keeps the time ends too
                raise
            return perf_counter()

    async def _started(self, due: Due, measured: Measurements) -> None:
        match due.what:
            case "events":
                await self._send_events(due.at, measured)
            case "rank":
                await self._rank(due.at, measured)
            case _:
                await self._probes.send(due, measured)

    async def _send_events(self, due: float, measured: Measurements) -> None:
        lines = [self._shop.event(self._next_id()) for _ in range(self._options.batch)]
        counts = measured.events
        counts.sent += len(lines)
        try:
            body = msgspec.json.encode(lines)
            answer = await self._client.write("POST", "/v1/events", body)
        except Unanswered as error:
            counts.failed[str(error)] += len(lines)
            return
        if answer.status != 200:
            counts.failed[str(answer.status)] += len(lines)
            return
        taken = 0
        for result in WRITTEN.decode(answer.content).results:
            taken += not result.errors
            for wrong in result.errors[:1]:
                counts.rejected[f"{wrong.field}: {wrong.reason}"] += 1
        measured.acknowledged(due, answer.sent, answer.done, taken)

    async def _rank(self, due: float, measured: Measurements) -> None:
        body = msgspec.json.encode(self._shop.ranking(self._options.candidates))
        counts = measured.ranks
        counts.sent += 1
        try:
            answer = await self._client.ask("POST", "/v1/rank", body)
        except Unanswered as error:
            counts.unanswered[str(error)] += 1
            return
        if answer.status != 200:
            counts.other[str(answer.status)] += 1
            return
        freshness = RANKED.decode(answer.content).freshness
        measured.ranked(due, answer.sent, answer.done, freshness)

    def _next_id(self) -> str:
        self._sent += 1
        return f"{self._prefix}{self._sent}"
