"""Decayed counters and plain counts: what visitors, items, sellers and segments share.

A counter vector has one float64 for every event and half-life, all decayed to one time. Adding
in any order gives the same sums to 1e-9: the counters form a commutative monoid.
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import Protocol

from personalization.decay import decay_factor
from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state.errors import FoldError

Counters = tuple[int, list[float], list[int]]


class Counted(Protocol):
    """A row with counters: an item's, a seller's or a segment's."""

    offset: int
    at: int
    first_at: int
    counters: list[float]
    counts: list[int]


def new(plan: StatePlan) -> tuple[list[float], list[int]]:
    """Counters (events x half-lives) and counts (events) of nothing."""
    return [0.0] * (len(plan.events) * len(plan.half_lives)), [0] * len(plan.events)


def add(
    counters: list[float],
    counts: list[int],
    at: int,
    event: int,
    event_at: int,
    count: int,
    plan: StatePlan,
) -> int:
    """Add ``count`` of the plan's event number ``event`` at ``event_at`` ms; both lists change.

    ``at`` is the time the counters are decayed to. Returns the time they are decayed to
    afterwards: the later of the two. A late event counts with what would be left of it at ``at``.
    """
    half_lives = plan.half_lives
    first = event * len(half_lives)
    counts[event] += count
    if event_at > at:
        factors = _factors(event_at - at, half_lives)
        counters[:] = map(mul, counters, factors * len(plan.events))
        at = event_at
    elif event_at < at:
        for column, factor in enumerate(_factors(at - event_at, half_lives), first):
            counters[column] += count * factor
        return at
    for column in range(first, first + len(half_lives)):
        counters[column] += count
    return at


@lru_cache(maxsize=1 << 14)
def _factors(elapsed: int, half_lives: tuple[int, ...]) -> tuple[float, ...]:
    """Kept, as most of a stream comes close together in time."""
    return tuple(decay_factor(float(elapsed), half_life) for half_life in half_lives)


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


def fold_signal(row: Counted, signal: Signal, offset: int, plan: StatePlan) -> int:
    """Count ``signal``, an entry of the record at ``offset``; ``row`` changes.

    Entries of one record share an offset, so whether the record was folded before is for the
    caller to ask, once per record. Returns the number of the signal's event in the plan; raises
    ``FoldError``, with nothing changed, for a type the plan does not know.
    """
    event = plan.event_index.get(signal.type)
    if event is None:
        raise FoldError(f"unknown signal type {signal.type!r}")
    count(row, event, signal, offset, plan)
    return event


def count(row: Counted, event: int, signal: Signal, offset: int, plan: StatePlan) -> None:
    """Count ``signal``, of the plan's event number ``event``; see ``fold_signal``."""
    at = signal.at
    row.at = add(row.counters, row.counts, row.at, event, at, signal.count, plan)
    if at < row.first_at:
        row.first_at = at
    row.offset = offset
