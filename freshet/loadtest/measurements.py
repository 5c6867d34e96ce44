"""What is counted while the traffic runs, of what was due after the warm-up."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from freshet.loadtest.answers import Freshness
from freshet.loadtest.histogram import Histogram

PROBES = ("own_event", "new_item", "out_of_stock", "all_counters")


@dataclass
class Times:
    """Of requests that were answered: from when each was due, and from when it was sent."""

    from_due: Histogram = field(default_factory=Histogram)
    from_sending: Histogram = field(default_factory=Histogram)

    def add(self, due: float, sent: float, done: float) -> None:
        """One request."""
        self.from_due.add(done - due)
        self.from_sending.add(done - sent)


@dataclass
class Events:
    """``rejected`` by field and reason; ``failed`` by what ended them: some of these may be in the
    log all the same. ``in_time``: acknowledged before the sending was over.
    """

    sent: int = 0
    acknowledged: int = 0
    in_time: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    times: Times = field(default_factory=Times)


@dataclass
class Ranks:
    """``other`` than 200 by status, ``unanswered`` in words, ``in_time`` as of events."""

    sent: int = 0
    answered: int = 0
    in_time: int = 0
    other: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    times: Times = field(default_factory=Times)


@dataclass
class Freshly:
    """One kind of probe: a write, and rankings that carry its token until one knows it.

    ``late``: the first of these rankings did not know it within the server's own bound; ``never``:
    none did within a minute; ``wrong``: it said so and did not; ``unanswered``: the write or the
    rankings failed. ``from_acknowledged`` and ``from_due`` end with the ranking that knew it.
    """

    sent: int = 0
    known: int = 0
    late: int = 0
    never: int = 0
    wrong: int = 0
    unanswered: int = 0
    looked_up: int = 0
    from_acknowledged: Histogram = field(default_factory=Histogram)
    from_due: Histogram = field(default_factory=Histogram)


class Second(msgspec.Struct):
    """What was due in one second: the slowest (ms), and records that replicas were behind."""

    second: int
    events: int = 0
    ranks: int = 0
    event_max_ms: float = 0.0
    rank_max_ms: float = 0.0
    own_event_max_ms: float | None = None
    behind: int = 0


class Measurements:
    """All of what is due from ``start`` to ``end``, which are times of ``perf_counter``."""

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end
        self.events = Events()
        self.ranks = Ranks()
        self.probes = {kind: Freshly() for kind in PROBES}
        self.lateness = Histogram()
        self.behind: dict[str, int] = {}
        self._seconds: dict[int, Second] = {}

    @property
    def seconds(self) -> list[Second]:
        """Second by second."""
        return [self._seconds[second] for second in sorted(self._seconds)]

    def acknowledged(self, due: float, sent: float, done: float, count: int) -> None:
        """A request of ``count`` events that are in the log."""
        self.events.acknowledged += count
        self.events.in_time += count * (done <= self.end)
        self.events.times.add(due, sent, done)
        second = self._second(due)
        second.events += count
        second.event_max_ms = max(second.event_max_ms, _ms(done - due))

    def answered(self, done: float) -> None:
        """A ranking, with a token or without."""
        self.ranks.answered += 1
        self.ranks.in_time += done <= self.end

    def ranked(self, due: float, sent: float, done: float, freshness: Freshness) -> None:
        """A ranking without a token."""
        self.answered(done)
        self.ranks.times.add(due, sent, done)
        second = self._second(due)
        second.ranks += 1
        second.rank_max_ms = max(second.rank_max_ms, _ms(done - due))
        second.behind = max(second.behind, sum(freshness.behind.values()))
        for table, records in freshness.behind.items():
            self.behind[table] = max(self.behind.get(table, 0), records)

    def known(self, kind: str, due: float, acknowledged: float, done: float) -> None:
        """A probe of ``kind`` whose write is known."""
        probe = self.probes[kind]
        probe.known += 1
        probe.from_acknowledged.add(done - acknowledged)
        probe.from_due.add(done - due)
        if kind == "own_event":
            second = self._second(due)
            took = _ms(done - acknowledged)
            second.own_event_max_ms = max(second.own_event_max_ms or 0.0, took)

    def _second(self, due: float) -> Second:
        number = int(due - self.start)
        return self._seconds.setdefault(number, Second(number))


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
