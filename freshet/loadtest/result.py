"""The outcome of a load test, as one JSON object."""

import msgspec

from freshet.loadtest.client import Client
from freshet.loadtest.histogram import Quantiles
from freshet.loadtest.measurements import Freshly, Measurements, Second, Times
from freshet.loadtest.options import Options

LATE_MS = 5.0


class Rates(msgspec.Struct, frozen=True):
    """Per second; achieved are those acknowledged and answered before the sending was over."""

    events: float
    ranks: float


class Latency(msgspec.Struct, frozen=True):
    """``from_due``: since the request was due. ``from_sending``: since it was sent, which a
    client's own waiting (for a free connection, for its turn) does not lengthen."""

    from_due: Quantiles
    from_sending: Quantiles


class EventsResult(msgspec.Struct, frozen=True):
    """Of events, those of probes included: each is acknowledged, rejected, or failed."""

    sent: int
    acknowledged: int
    rejected: dict[str, int]
    failed: dict[str, int]
    latency_ms: Latency


class RanksResult(msgspec.Struct, frozen=True):
    """Of rankings, those of probes included; latencies are of those without a token."""

    sent: int
    answered: int
    other_than_200: dict[str, int]
    unanswered: dict[str, int]
    latency_ms: Latency


class FreshnessResult(msgspec.Struct, frozen=True):
    """Of one kind of probe; see ``measurements.Freshly``."""

    sent: int
    known: int
    late: int
    never: int
    wrong: int
    unanswered: int
    looked_up: int
    from_acknowledged_ms: Quantiles
    from_due_ms: Quantiles


class Generator(msgspec.Struct, frozen=True):
    """This process: how late it started requests, and what it used of a core."""

    kept_up: bool
    late_ms: Quantiles
    cpu_percent: float


class LoadtestResult(msgspec.Struct, frozen=True):
    """What happened in ``seconds`` after the warm-up; ``acknowledged`` counts the warm-up too.

    ``connections_died`` by server; ``put_off`` by why writes were sent again though their
    connection lived. ``behind``: the most changelog records a replica had yet to apply, by table.
    ``not_deleted``: why the items are still listed.
    """

    servers: tuple[str, ...]
    run: str
    seed: int
    seconds: float
    interrupted: bool
    asked_per_s: Rates
    achieved_per_s: Rates
    acknowledged: int
    events: EventsResult
    ranks: RanksResult
    freshness: dict[str, FreshnessResult]
    connections_died: dict[str, int]
    put_off: dict[str, int]
    behind: dict[str, int]
    generator: Generator
    by_second: list[Second]
    not_deleted: str | None = None


def to_json(result: LoadtestResult) -> str:
    """The result as one line of JSON."""
    return msgspec.json.encode(result).decode()


def make_result(
    options: Options,
    client: Client,
    run: str,
    warm_up: Measurements,
    measured: Measurements,
    seconds: float,
    interrupted: bool,
    cpu_percent: float,
) -> LoadtestResult:
    """What was measured in ``seconds``."""
    events, ranks = measured.events, measured.ranks
    late = measured.lateness.quantiles()
    return LoadtestResult(
        servers=client.urls,
        run=run,
        seed=options.seed,
        seconds=round(seconds, 2),
        interrupted=interrupted,
        asked_per_s=Rates(options.events, options.ranks),
        achieved_per_s=Rates(round(events.in_time / seconds, 1), round(ranks.in_time / seconds, 1)),
        acknowledged=warm_up.events.acknowledged + events.acknowledged,
        events=EventsResult(
            events.sent,
            events.acknowledged,
            dict(events.rejected),
            dict(events.failed),
            _latency(events.times),
        ),
        ranks=RanksResult(
            ranks.sent,
            ranks.answered,
            dict(ranks.other),
            dict(ranks.unanswered),
            _latency(ranks.times),
        ),
        freshness={kind: _freshness(probe) for kind, probe in measured.probes.items()},
        connections_died=dict(client.died),
        put_off=dict(client.put_off),
        behind=measured.behind,
        generator=Generator(late.p99 is None or late.p99 <= LATE_MS, late, cpu_percent),
        by_second=measured.seconds,
    )


def _latency(times: Times) -> Latency:
    return Latency(times.from_due.quantiles(), times.from_sending.quantiles())


def _freshness(probe: Freshly) -> FreshnessResult:
    return FreshnessResult(
        probe.sent,
        probe.known,
        probe.late,
        probe.never,
        probe.wrong,
        probe.unanswered,
        probe.looked_up,
        probe.from_acknowledged.quantiles(),
        probe.from_due.quantiles(),
    )
