"""Counters of many entities of one shape, one slot each."""

from typing import Protocol

import numpy as np

from personalization.columns.growth import grown
from personalization.features.view import COUNTS, F64, I64, OFFSET
from personalization.plan import StatePlan


class CounterRow(Protocol):
    """What the rows of items, sellers and segments share."""

    @property
    def offset(self) -> int: ...
    @property
    def at(self) -> int: ...
    @property
    def first_at(self) -> int: ...
    @property
    def counters(self) -> list[float]: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def deleted(self) -> bool: ...


class CounterTable:
    """Counters by slot. Slot 0 is nothing: no row, all zero.

    ``stats`` int64[slots, 3+E] are offset (-1: no row), at, first_at and the plain counts;
    ``counters`` float64[slots, E*H].
    """

    __slots__ = ("_zeros", "counters", "stats")

    def __init__(self, plan: StatePlan, capacity: int) -> None:
        events = len(plan.events)
        self.stats: I64 = np.zeros((capacity, COUNTS + events), np.int64)
        self.counters: F64 = np.zeros((capacity, events * len(plan.half_lives)))
        self.stats[0, OFFSET] = -1
        self._zeros = [0] * events

    def open(self, slot: int) -> None:
        """Make ``slot`` an entity without a row."""
        self.stats = grown(self.stats, slot + 1)
        self.counters = grown(self.counters, slot + 1)
        self.stats[slot, OFFSET] = -1

    def write(self, slot: int, row: CounterRow) -> bool:
        """Put ``row`` into ``slot``, unless a later one is there; says whether it was put."""
        if row.offset < self.stats[slot, OFFSET]:
            return False
        if row.deleted:
            self.stats[slot] = [row.offset, 0, 0, *self._zeros]
            self.counters[slot] = 0.0
        else:
            self.stats[slot] = [row.offset, row.at, row.first_at, *row.counts]
            self.counters[slot] = row.counters
        return True
