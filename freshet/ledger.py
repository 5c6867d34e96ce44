"""The ledger of a surface's guarantee, from a log."""

from collections import Counter
from functools import partial
from typing import Any

from eventlog.protocol import EventLog
from freshet.training.reading import StageProgress, in_order, recorded
from personalization.codec import CodecError
from personalization.decisions import DECISIONS as DECISION
from personalization.duplicates import DuplicateWindow
from personalization.guarantee import Guarantee
from personalization.ledger import Entry, Ledger
from personalization.plan import StatePlan
from tables.topics import CATALOGUE, CATALOGUE_RECORD, VISITOR_EVENT, VISITOR_EVENTS

WINDOW = 100_000
"""How many events of a partition may lie between one and its retry."""


async def ledger_of(
    log: EventLog,
    surface: str,
    guarantee: Guarantee,
    plan: StatePlan,
    since: int,
    progress: StageProgress,
) -> Ledger:
    """Of what was listed after ``since`` (ms). What cannot be read is left out, as folds do.

    Raises ``Stalled``.
    """
    ledger = Ledger(surface, guarantee, plan, since)
    async for _, record in in_order(log, [CATALOGUE], partial(progress, "catalogue")):
        try:
            ledger.listed(CATALOGUE_RECORD.decode(record.value or b""), record.offset)
        except CodecError:
            continue
    retries, number = DuplicateWindow(WINDOW * log.partitions(VISITOR_EVENTS)), 0
    async for _, record in in_order(log, [VISITOR_EVENTS], partial(progress, "events")):
        number += 1
        try:
            event = VISITOR_EVENT.decode(record.value or b"")
        except CodecError:
            continue
        if event.id is None or not retries.seen(f"{event.visitor} {event.id}", number):
            ledger.happened(event)
    async for value in recorded(log, since, progress):
        try:
            ledger.decided(DECISION.decode(value))
        except CodecError:
            ledger.unexplained += 1
    return ledger


def summary(entries: list[Entry]) -> dict[str, Any]:
    """``{"new", "kept", …, "waited_ms": {"p50", "p99", "most"}, "places", "cost"}``: how many are
    in each state, how long those with all impressions had waited, and what it took."""
    states = Counter(entry.state for entry in entries)
    waited = sorted(entry.waited for entry in entries if entry.enough_at is not None)
    return {
        "new": len(entries),
        **{name: states[name] for name in ("kept", "late", "waiting", "given_up", "withdrawn")},
        "waited_ms": {
            "p50": _quantile(waited, 0.5),
            "p99": _quantile(waited, 0.99),
            "most": _quantile(waited, 1.0),
        },
        "places": sum(entry.places for entry in entries),
        "cost": sum(entry.cost for entry in entries),
    }


def _quantile(ordered: list[int], share: float) -> int | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
