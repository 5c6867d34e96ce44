"""How soon a ranking knows what was just written: each probe is a write, then rankings with its
token until one says that it knows it."""

import math
from collections import Counter, deque
from time import perf_counter
from typing import NamedTuple

import msgspec

from freshet.loadtest.answers import DECISION, RANKING, WRITTEN, Ranking
from freshet.loadtest.client import GIVE_UP_SECONDS, Answer, Client, Unanswered
from freshet.loadtest.measurements import PROBES, Freshly, Measurements
from freshet.loadtest.schedule import Due
from freshet.loadtest.shop import JSON, Shop

_VISITORS = 40  # who are watched, in turn
_MAX_LOOKED_UP = 2_000
_MAX_SHOWN = 500
_NEARLY = 0.999  # columns are float32, and counters decay


class _Probe(NamedTuple):
    """A write, whom and what it is about, and the feature that ``column`` must have after it."""

    kind: str
    due: float
    visitor: str
    item: str
    method: str
    path: str
    body: JSON

    @property
    def is_event(self) -> bool:
        """Whether it is one of the events; else it changes the catalogue."""
        return self.kind in ("own_event", "all_counters")


class _Expected(NamedTuple):
    """``decision`` of ``server`` has at least ``value`` in ``column`` of ``item``."""

    counts: Freshly
    decision: str
    server: str
    item: str
    column: str
    value: float


class Probes:
    """Sends probes, one kind after another. ``prefix`` is of this run alone.

    ``listed`` are the items that they added to the catalogue.
    """

    def __init__(self, client: Client, shop: Shop, prefix: str, candidates: int) -> None:
        self._client = client
        self._shop = shop
        self._prefix = prefix
        self._others = min(candidates or 100, _MAX_SHOWN) - 1
        self._number = 0
        self._clicks: Counter[str] = Counter()
        self._expected: deque[_Expected] = deque(maxlen=_MAX_LOOKED_UP)
        self.listed: list[str] = []

    def stock(self, probes: int) -> list[str]:
        """The items that so many probes take out of stock, to be listed before."""
        return [self._stocked(number) for number in range(0, probes, len(PROBES))]

    async def send(self, due: Due, measured: Measurements) -> None:
        """The next probe."""
        probe = self._next(due.at)
        counts = measured.probes[probe.kind]
        counts.sent += 1
        clicks = self._clicks[probe.visitor] + 1
        try:
            written = await self._write(probe, measured)
            if written is None:
                counts.unanswered += 1
                return
            if probe.is_event:
                self._clicks[probe.visitor] += 1
            token = WRITTEN.decode(written.content).token
            known = await self._until_known(probe, token, measured)
        except Unanswered:
            counts.unanswered += 1
            return
        if known is None:
            counts.never += 1
            return
        answer, ranking = known
        if not _shows(probe, ranking):
            counts.wrong += 1
            return
        measured.known(probe.kind, due.at, written.done, answer.done)
        if probe.is_event:
            where = (counts, ranking.decision, answer.server, probe.item)
            expected = _Expected(*where, "visitor_count_click", math.log1p(clicks))
            self._expected.append(expected)
            if probe.kind == "all_counters":
                self._expected.append(_Expected(*where, "item_click_30d", math.log1p(1)))

    async def look_up(self) -> None:
        """Open the decisions (the last 2,000 of them): did they have what they said they knew?

        Afterwards, so that it is no part of the load. Columns that the spec lacks, and decisions
        that cannot be opened any more, are not counted as ``looked_up``.
        """
        for expected in self._expected:
            try:
                path = f"/v1/decisions/{expected.decision}"
                answer = await self._client.ask("GET", path, server=expected.server)
            except Unanswered:
                return
            if answer.status != 200:
                continue
            value = None
            for candidate in DECISION.decode(answer.content).candidates:
                if candidate.item == expected.item and candidate.features is not None:
                    value = candidate.features.get(expected.column)
            if value is not None:
                expected.counts.looked_up += 1
                expected.counts.wrong += value < _NEARLY * expected.value

    def _next(self, due: float) -> _Probe:
        number, self._number = self._number, self._number + 1
        kind = PROBES[number % len(PROBES)]
        visitor = f"{self._prefix}probe{number % _VISITORS}"
        if kind == "new_item":
            item = f"{self._prefix}new{number}"
            self.listed.append(item)
            body = self._shop.attributes()
            return _Probe(kind, due, visitor, item, "PUT", f"/v1/items/{item}", body)
        if kind == "out_of_stock":
            item = self._stocked(number)
            body = {"attributes": {"in_stock": False}}
            return _Probe(kind, due, visitor, item, "PATCH", f"/v1/items/{item}", body)
        # Counters are looked at of an item that nobody else clicks.
        item = f"{self._prefix}never{number}" if kind == "all_counters" else self._shop.item()
        id = f"{self._prefix}p{number}"
        body = {"type": "click", "visitor": visitor, "item": item, "id": id}
        return _Probe(kind, due, visitor, item, "POST", "/v1/events", body)

    def _stocked(self, number: int) -> str:
        return f"{self._prefix}stock{number // len(PROBES)}"

    async def _write(self, probe: _Probe, measured: Measurements) -> Answer | None:
        """The answer to the probe's write, or ``None`` if it was refused."""
        events = measured.events
        events.sent += probe.is_event
        try:
            body = msgspec.json.encode(probe.body)
            answer = await self._client.write(probe.method, probe.path, body)
        except Unanswered as error:
            if probe.is_event:
                events.failed[str(error)] += 1
            raise
        if answer.status != 200:
            if probe.is_event:
                events.failed[str(answer.status)] += 1
            return None
        if not probe.is_event:
            return answer
        for result in WRITTEN.decode(answer.content).results:
            for wrong in result.errors:
                events.rejected[f"{wrong.field}: {wrong.reason}"] += 1
                return None
        measured.acknowledged(probe.due, answer.sent, answer.done, 1)
        return answer

    async def _until_known(
        self, probe: _Probe, token: str, measured: Measurements
    ) -> tuple[Answer, Ranking] | None:
        """The first ranking that knows the write; ``None`` if none did. Raises ``Unanswered``."""
        request = {
            "visitor": probe.visitor,
            "candidates": [probe.item, *self._shop.some(self._others)],
            "limit": _MAX_SHOWN,
            "token": token,
            "wait": "all" if probe.kind == "all_counters" else "own",
        }
        body = msgspec.json.encode(request)
        began, ranks, late = perf_counter(), measured.ranks, False
        while perf_counter() - began < GIVE_UP_SECONDS:
            ranks.sent += 1
            try:
                answer = await self._client.ask("POST", "/v1/rank", body)
            except Unanswered as error:
                ranks.unanswered[str(error)] += 1
                raise
            if answer.status != 200:
                ranks.other[str(answer.status)] += 1
                raise Unanswered(f"the ranking was answered {answer.status}", answer.sent)
            measured.answered(answer.done)
            ranking = RANKING.decode(answer.content)
            if ranking.freshness.caught_up:
                return answer, ranking
            if not late:
                late = True
                measured.probes[probe.kind].late += 1
        return None


def _shows(probe: _Probe, ranking: Ranking) -> bool:
    """Whether the page itself is as it must be after the write."""
    place = next((place for place in ranking.items if place.item == probe.item), None)
    if probe.kind == "out_of_stock":
        return place is None
    if probe.kind == "new_item":
        return place is not None and "unknown" not in place.reasons
    return True
