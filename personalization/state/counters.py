"""Decayed counters and plain counts: what visitors, items, sellers and segments share.

A counter vector has one float64 for every event and half-life, all decayed to one time. Adding
in any order gives the same sums to 1e-9: the counters form a commutative monoid.

That time is not that of the newest event: it is the start of the newest event's span of 16 of the
shortest half-lives, counted from 1970, and what came within the span weighs more than 1. So an
event changes its own counters only, and what it adds is worked out once for all the rows that it
counts in (forward decay: Cormode et al., ICDE 2009).
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import NamedTuple, Protocol

from personalization.decay import decay_factor
from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state.errors import FoldError

Counters = tuple[int, list[float], list[int]]


class Counted(Protocol):
    """A row with counters."""

    offset: int
    at: int
    first_at: int
    counters: list[float]
    counts: list[int]


def new(plan: StatePlan) -> tuple[list[float], list[int]]:
    """Counters (events x half-lives) and counts (events) of nothing."""
    return [0.0] * (len(plan.events) * len(plan.half_lives)), [0] * len(plan.events)


class Increment(NamedTuple):
    """What one of an event adds: to ``columns``, as of ``start``, the start of its span (ms)."""

    event: int
    at: int
    start: int
    columns: Sequence[tuple[int, float]]


def increment(event: int, at: int, plan: StatePlan) -> Increment:
    """What the plan's event number ``event`` at ``at`` ms adds to counters that are not newer."""
    start = at - at % plan.span
    return Increment(event, at, start, _columns(event, at - start, plan.half_lives))


def add(row: Counted, more: Increment, many: int, plan: StatePlan) -> None:
    """Add so ``many`` of an event to the counters and counts of ``row``, and move ``row.at`` on.

    A late event counts with what would be left of it at ``row.at``.
    """
    event, at, start, columns = more
    row.counts[event] += many
    counters = row.counters
    if start > row.at:
        factors = _factors(start - row.at, plan.half_lives)
        counters[:] = map(mul, counters, factors * len(plan.events))
        row.at = start
    elif start < row.at:
        columns = _columns(event, at - row.at, plan.half_lives)
    for column, weight in columns:
        counters[column] += many * weight


def _columns(event: int, later: int, half_lives: tuple[int, ...]) -> list[tuple[int, float]]:
    return list(enumerate(_factors(-later, half_lives), event * len(half_lives)))


@lru_cache(maxsize=1 << 14)
def _factors(elapsed: int, half_lives: tuple[int, ...]) -> tuple[float, ...]:
    """Kept, as most of a stream comes close together in time."""
    return tuple([decay_factor(float(elapsed), half_life) for half_life in half_lives])


def merge(parts: Sequence[Counters], plan: StatePlan) -> Counters:
    """The sum of several (at, counters, counts), decayed to the latest ``at``.

    Summed in the order given: to 1e-9 any order gives the same.
    """
    at = max(part[0] for part in parts)
    counters, counts = new(plan)
    events = len(plan.events)
    for part_at, part_counters, part_counts in parts:
        elapsed = float(at - part_at)
        factors = [decay_factor(elapsed, half_life) for half_life in plan.half_lives] * events
        for column, factor in enumerate(factors):
            counters[column] += part_counters[column] * factor
        for event, count in enumerate(part_counts):
            counts[event] += count
    return at, counters, counts


def fold_signal(row: Counted, key: str, signal: Signal, offset: int, plan: StatePlan) -> Increment:
    """Count what ``signal``, an entry of the record at ``offset``, tells ``key``; ``row`` changes.

    Entries of one record share an offset, so whether the record was folded before is for the
    caller to ask, once per record. Returns what one of the event adds; raises ``FoldError``, with
    nothing changed, for a type the plan does not know.
    """
    event = plan.event_index.get(signal.type)
    if event is None:
        raise FoldError(f"unknown signal type {signal.type!r}")
    more = increment(event, signal.at, plan)
    count(row, more, signal.counts[key], offset, plan)
    return more


def count(row: Counted, more: Increment, many: int, offset: int, plan: StatePlan) -> None:
    """Count so ``many`` of an event, from the record at ``offset``; see ``fold_signal``."""
    add(row, more, many, plan)
    if more.at < row.first_at:
        row.first_at = more.at
    row.offset = offset
