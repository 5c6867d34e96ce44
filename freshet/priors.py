"""The priors of a spec's rates, learned from a log or a file, and what they are worth."""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from eventlog.protocol import EventLog
from freshet.evaluation.feed import Feed
from freshet.ledger import WINDOW
from freshet.training.reading import StageProgress, in_order
from personalization.codec import CodecError
from personalization.duplicates import DuplicateWindow
from personalization.events import CatalogueRecord, StampedEvent
from personalization.features.rate import Rate
from personalization.replaying.world import World
from personalization.spec import Spec
from personalization.training.priors import Cell, TooLittle, Values, compare, learn, split
from personalization.training.trials import NEVER, Tried
from personalization.wire import Rejected
from tables.topics import VISITOR_EVENT, VISITOR_EVENTS

_EVERY = 1_000
_EVER = 1 << 60


class OfRate(NamedTuple):
    """What was learned of a rate from ``exposures`` of ``entities``, ``outcomes`` of which led to
    its event, and what it is worth on those that came later, by bucket. ``learned`` is ``None``,
    and ``why`` says why, where there was too little to learn from."""

    rate: Rate
    exposures: int
    entities: int
    outcomes: int
    learned: Values | None
    why: str | None
    later: dict[str, Cell]

    @property
    def better(self) -> bool:
        """Whether the learned values were better on all that came later, beyond chance."""
        return bool(self.later) and self.later["all"].gain[1] > 0.0


class Report(NamedTuple):
    """By the rate's column; ``unreadable`` events are left out."""

    rates: dict[str, OfRate]
    events: int
    unreadable: int


async def priors_of_log(log: EventLog, spec: Spec, progress: StageProgress) -> Report:
    """Learn from all that ``log`` has. Raises ``Stalled``."""
    tried, unreadable = Tried(spec), 0
    take = _once(tried, WINDOW * log.partitions(VISITOR_EVENTS))
    async for _, record in in_order(log, [VISITOR_EVENTS], partial(progress, "events")):
        try:
            take(VISITOR_EVENT.decode(record.value or b""))
        except CodecError:
            unreadable += 1
    return _report(tried, spec, unreadable)


def priors_of_file(feed: Feed, spec: Spec, progress: StageProgress) -> Report:
    """Learn from all that ``feed`` has. Raises ``SourceError``."""
    tried, unreadable = Tried(spec), 0
    take, catalogue = _once(tried, WINDOW), World(spec)
    for number, turn in enumerate(feed):
        if number % _EVERY == 0:
            progress("events", number, max(number, feed.size))
        for line in turn.lines:
            try:
                record = catalogue.accept(line, _EVER)
            except Rejected:
                unreadable += 1
                continue
            if isinstance(record, CatalogueRecord):
                catalogue.fold(record)
            else:
                take(record)
    return _report(tried, spec, unreadable)


def as_json(report: Report) -> dict[str, Any]:
    """``{"events", "unreadable", "rates": {column: {"declared": {"strength", "prior"}, "learned",
    "why", "exposures", "entities", "outcomes", "better", "line", "later": {bucket: {"exposures",
    "entities", "rate", "declared", "learned", "gain"}}}}}``; losses are [value, low, high]."""
    return {
        "events": report.events,
        "unreadable": report.unreadable,
        "rates": {name: _rate_json(one) for name, one in report.rates.items()},
    }


def line(rate: Rate, values: Values) -> str:
    """The declaration of ``rate`` with ``values``, as one types it."""
    backoff = "".join(f'"{level}", ' for level in rate.backoff)
    backoff = backoff.strip() if len(rate.backoff) == 1 else backoff.removesuffix(", ")
    parts = [f'"{rate.entity}"', f'"{rate.event}"', f'per="{rate.per}"']
    parts += [f"backoff=({backoff})"] if backoff else []
    parts += [] if rate.half_life is None else [f'half_life="{rate.half_life}"']
    parts += [f"strength={values.strength:g}", f"prior={values.prior:g}"]
    return f"Rate({', '.join(parts)})"


def declared_values(rate: Rate) -> Values:
    """What the spec says."""
    return Values(rate.strength, rate.prior)


def _once(tried: Tried, window: int) -> Callable[[StampedEvent], None]:
    """Has ``tried`` take each event, but no retry of one within ``window`` events."""
    retries, numbers = DuplicateWindow(window), count()

    def take(event: StampedEvent) -> None:
        number = next(numbers)
        if event.id is None or not retries.seen(f"{event.visitor} {event.id}", number):
            tried.take(event)

    return take


def _report(tried: Tried, spec: Spec, unreadable: int) -> Report:
    rates = {rate.columns(spec)[0]: _of_rate(tried, rate) for rate in tried.rates}
    return Report(rates, tried.events, unreadable)


def _of_rate(tried: Tried, rate: Rate) -> OfRate:
    earlier, later = split(tried.of(rate))
    learned, why, cells = None, None, {}
    try:
        learned = learn(earlier)
        cells = compare(later, declared_values(rate), learned)
    except TooLittle as error:
        why = str(error)
    entities, outcomes = len(set(earlier.entities.tolist())), int((earlier.outcomes != NEVER).sum())
    return OfRate(rate, len(earlier.places), entities, outcomes, learned, why, cells)


def _rate_json(one: OfRate) -> dict[str, Any]:
    declared = declared_values(one.rate)
    return {
        "declared": declared._asdict(),
        "learned": None if one.learned is None else one.learned._asdict(),
        "why": one.why,
        "exposures": one.exposures,
        "entities": one.entities,
        "outcomes": one.outcomes,
        "better": one.better,
        "line": line(one.rate, one.learned or declared),
        "later": {name: cell._asdict() for name, cell in one.later.items()},
    }
