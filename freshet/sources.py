"""What the sources of candidates gave and earned, from a log."""

from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from eventlog.protocol import EventLog
from freshet.training.reading import StageProgress, in_order, recorded
from personalization.codec import CodecError
from personalization.decisions import DECISIONS as DECISION
from personalization.training.by_source import BySource, OnSurface
from personalization.training.exposures import Exposures
from tables.topics import VISITOR_EVENT, VISITOR_EVENTS


class Report(NamedTuple):
    """By source; ``unreadable`` records, of another version of Freshet, are left out."""

    found: BySource
    unreadable: int


async def report(
    log: EventLog, labels: dict[str, float], since: int, progress: StageProgress
) -> Report:
    """Of the decisions that ``log`` has from ``since`` (ms) on.

    ``labels`` says what counts as an outcome, and how much. In memory are the pages that were
    seen, about the newest 200,000. Raises ``Stalled``.
    """
    exposures, unreadable = Exposures(labels), 0
    async for _, record in in_order(log, [VISITOR_EVENTS], partial(progress, "events")):
        if record.timestamp >= since:
            try:
                exposures.add(VISITOR_EVENT.decode(record.value or b""))
            except CodecError:
                unreadable += 1
    found = BySource(exposures)
    async for value in recorded(log, since, progress):
        try:
            found.take(DECISION.decode(value))
        except CodecError:
            unreadable += 1
    return Report(found, unreadable)


def by_worth(surface: OnSurface) -> list[str]:
    """The sources, what earned most first."""
    return sorted(surface.asked, key=lambda name: (-surface.of(name).worth, name))


def as_json(report: Report) -> dict[str, Any]:
    """``{"since", "until", "unreadable", "surfaces": {surface: {"rankings", "all": tally,
    "sources": {source: {"rankings", …tally, "alone": tally}}, "together": [{"sources",
    …tally}]}}}``, times in ms."""
    found = report.found
    return {
        "since": found.since,
        "until": found.until,
        "unreadable": report.unreadable,
        "surfaces": {name: _surface(one) for name, one in sorted(found.surfaces.items())},
    }


def _surface(surface: OnSurface) -> dict[str, Any]:
    return {
        "rankings": surface.rankings,
        "all": asdict(surface.all()),
        "sources": {
            name: {
                "rankings": surface.asked[name],
                **asdict(surface.of(name)),
                "alone": asdict(surface.alone(name)),
            }
            for name in by_worth(surface)
        },
        "together": [
            {"sources": list(sources), **asdict(tally)}
            for sources, tally in sorted(surface.together.items())
        ],
    }
