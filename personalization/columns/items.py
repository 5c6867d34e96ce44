"""What the catalogue says of items, one slot each; an item's slot is also its code."""

from collections.abc import Collection
from typing import Any

import numpy as np

from personalization.columns.growth import grown
from personalization.columns.interner import Interner
from personalization.events import Stamp
from personalization.features.view import F32, F64, I8, I32, I64, U32
from personalization.plan import GLOBAL, StatePlan
from personalization.stamping import MAX_TAGS
from personalization.state.rows import CatalogueRow, TopK

# The columns of ``facts`` before the slots of segments, the categories and the tags.
CREATED, LISTED, SELLER_CODE, SELLER_SLOT = 1, 2, 3, 4
SEGMENTS = 5
PERSON = 2  # instead of listed: the slot is a user's, whose attributes are in ``Profiles``


class ItemTable:
    """Attributes and co-visited items by slot. Slot 0 is nothing: unknown, unlisted.

    ``facts`` int64 are offset (-1: no row), created_at (ms), listed (0 or 1), the seller's text
    code (-1: none), its slot, the slot of each segment, a code for each category and 8 for each
    of the tags. ``numbers`` are NaN and ``flags`` -1 where unknown. ``neighbours`` int32 are the
    slots of co-visited items (-1: none), ``weights`` theirs, decayed to ``covisited_at``.
    ``opinions`` int32 are codes of opinions (-1: none, at the end), ``given`` float32[slots, K, E]
    the plain counts of the item's events that are due to those who held them. ``sessions`` uint32
    are the sessions it was wanted in, oldest first (0: none, at the end; see ``state.sessions``).
    """

    def __init__(self, plan: StatePlan, texts: Interner, capacity: int, everything: int) -> None:
        self.plan = plan
        self.categories = SEGMENTS + len(plan.segments)
        self.tags = self.categories + len(plan.categories)
        width = self.tags + MAX_TAGS * len(plan.tags)
        self._texts = texts
        self._blank = [-1, 0, 0, -1, 0, *[0] * len(plan.segments)]
        self._blank += [-1] * (width - len(self._blank))
        for index, level in enumerate(plan.segments):
            if level == GLOBAL:
                self._blank[SEGMENTS + index] = everything
        self.facts: I64 = np.zeros((capacity, width), np.int64)
        self.numbers: F64 = np.zeros((capacity, len(plan.numbers)))
        self.flags: I8 = np.zeros((capacity, len(plan.flags)), np.int8)
        self.neighbours: I32 = np.zeros((capacity, plan.covisits), np.int32)
        self.weights: F64 = np.zeros((capacity, plan.covisits))
        self.covisited_at: I64 = np.zeros(capacity, np.int64)
        self.opinions: I32 = np.zeros((capacity, plan.opinions), np.int32)
        self.given: F32 = np.zeros((capacity, plan.opinions, len(plan.events)), np.float32)
        self.sessions: U32 = np.zeros((capacity, plan.sessions), np.uint32)
        self.open(0)

    def open(self, slot: int) -> None:
        """Make ``slot`` an item of which nothing is known."""
        size = slot + 1
        self.facts = grown(self.facts, size)
        self.numbers = grown(self.numbers, size)
        self.flags = grown(self.flags, size)
        self.neighbours = grown(self.neighbours, size)
        self.weights = grown(self.weights, size)
        self.covisited_at = grown(self.covisited_at, size)
        self.opinions = grown(self.opinions, size)
        self.given = grown(self.given, size)
        self.sessions = grown(self.sessions, size)
        self.facts[slot] = self._blank
        self.numbers[slot] = np.nan
        self.flags[slot] = -1
        self.neighbours[slot] = -1
        self.opinions[slot] = -1

    def write(
        self, slot: int, row: CatalogueRow, stamp: Stamp, seller: int, segments: list[int]
    ) -> None:
        """Put the attributes into ``slot``: those that ``stamp`` has, as an event would.

        ``seller`` is the seller's slot, ``segments`` those of the plan's segments.
        """
        plan, intern = self.plan, self._texts.intern
        attributes: dict[str, Any] = stamp.attributes
        facts = [
            row.offset,
            row.created_at,
            0 if row.deleted else 1,
            -1 if stamp.seller is None else intern(stamp.seller),
            seller,
            *segments,
        ]
        for name in plan.categories:
            value = attributes.get(name)
            facts.append(-1 if value is None else intern(value))
        for name in plan.tags:
            codes = [intern(tag) for tag in attributes.get(name, ())]
            facts += codes
            facts += [-1] * (MAX_TAGS - len(codes))
        self.facts[slot] = facts
        if plan.numbers:
            self.numbers[slot] = [attributes.get(name, np.nan) for name in plan.numbers]
        if plan.flags:
            self.flags[slot] = [attributes.get(name, -1) for name in plan.flags]

    def write_covisited(self, slot: int, covisited: TopK, slots: list[int]) -> None:
        """Put the co-visited items, whose slots are ``slots``, into ``slot``."""
        bound = self.plan.covisits
        rest = bound - len(slots)
        self.neighbours[slot] = slots[:bound] + [-1] * rest
        weights = [weight for weight, _ in covisited.entries.values()]
        self.weights[slot] = weights[:bound] + [0.0] * rest
        self.covisited_at[slot] = covisited.at

    def write_opinions(self, slot: int, codes: list[int], counts: Collection[list[int]]) -> None:
        """Put ``counts`` of events, by opinions with these codes, into ``slot``."""
        several = min(len(codes), self.plan.opinions)
        self.opinions[slot, :several] = codes[:several]
        self.opinions[slot, several:] = -1
        if several:
            self.given[slot, :several] = list(counts)[:several]

    def write_sessions(self, slot: int, kept: bytes) -> None:
        """Put the sessions that a row keeps into ``slot``."""
        told = np.frombuffer(kept, "<u4")[-self.plan.sessions :]
        self.sessions[slot, : len(told)] = told
