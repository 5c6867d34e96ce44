"""Users who may be looked at, in columns: few bytes each, to be looked through as a whole."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from personalization.columns.growth import grown
from personalization.columns.interner import Interner
from personalization.decay import log1p
from personalization.features.view import F64, I8, I32, I64, OFFSET
from personalization.plan import StatePlan
from personalization.stamping import MAX_TAGS, stamp_items
from personalization.state.keys import USER_VISITOR
from personalization.state.rows import CatalogueRow

CREATED, LISTED = 1, 2  # the columns of ``facts`` after the offset

_HALF_OCTAVE = 0.34657359027997264  # ln(2) / 2


class Profiles:
    """What the catalogue says of users, by slot. Slot 0 is nothing.

    Users have the attributes that the spec declares of items. A *term* is what two profiles can
    share: a value of a category, a tag, or a number to half an octave. ``terms`` int32[slots, W]
    are their codes (0: none), with a place for each of ``dimensions`` [W]: the categories, 8 for
    each of the tags, the numbers; laid out place by place. ``facts`` int64 are offset (-1: no
    row), created_at (ms) and whether the user is listed; ``numbers`` are NaN and ``flags`` -1 where
    unknown. ``items`` are their slots among items (0: nobody looked at them yet). ``shared`` is how
    many profiles have each term.
    """

    def __init__(self, plan: StatePlan, texts: Interner, capacity: int = 4096) -> None:
        self.ids = [""]
        self.slots: dict[str, int] = {}
        self.dimensions = (
            *plan.categories,
            *(name for name in plan.tags for _ in range(MAX_TAGS)),
            *plan.numbers,
        )
        self._plan = plan
        self._texts = texts
        self._codes: dict[tuple[str, str | int], int] = {("", ""): 0}
        self._spoken = len(plan.categories) + MAX_TAGS * len(plan.tags)
        self._text_of: I32 = np.full(1024, -1, np.int32)  # of each term; -1: a number's
        self.shared: I64 = np.zeros(1024, np.int64)
        self.facts: I64 = np.zeros((capacity, 3), np.int64)
        self.items: I64 = np.zeros(capacity, np.int64)
        self.terms: I32 = np.zeros((capacity, len(self.dimensions)), np.int32, order="F")
        self.numbers: F64 = np.zeros((capacity, len(plan.numbers)))
        self.flags: I8 = np.zeros((capacity, len(plan.flags)), np.int8)
        self._open(0)

    @property
    def size(self) -> int:
        """How many slots there are, slot 0 included."""
        return len(self.ids)

    @property
    def vocabulary(self) -> int:
        """How many terms there are, with that of nothing."""
        return len(self._codes)

    def term(self, dimension: str, value: str) -> int | None:
        """The code of a category's value or a tag; ``None`` where no profile ever had it."""
        return self._codes.get((dimension, value))

    def texts(self, slots: I64) -> I64:
        """What ``slots`` [n] say in categories and tags, as codes of texts (-1: nothing)."""
        return self._text_of[self.terms[slots, : self._spoken]].astype(np.int64)

    def write(self, user: str, row: CatalogueRow, items: Mapping[str, int]) -> None:
        """Put a user's attributes into their slot, unless a later row is there; ``items`` are the
        slots of what was looked at."""
        name = USER_VISITOR + user
        slot = self.slots.get(name)
        if slot is None:
            slot = self.slots[name] = len(self.ids)
            self.ids.append(name)
            self._open(slot)
            self.items[slot] = items.get(name, 0)
        if row.offset < self.facts[slot, OFFSET]:
            return
        plan = self._plan
        attributes: dict[str, Any] = stamp_items((name,), lambda _: row, plan)[0].attributes
        terms = [self._code(c, attributes.get(c)) for c in plan.categories]
        for name in plan.tags:
            tags = [self._code(name, tag) for tag in attributes.get(name, ())]
            terms += tags + [0] * (MAX_TAGS - len(tags))
        for name in plan.numbers:
            value = attributes.get(name)
            terms.append(self._code(name, None if value is None else _size_of(value)))
        self._count(slot, -1)
        self.terms[slot] = terms
        self._count(slot, 1)
        self.facts[slot] = [row.offset, row.created_at, 0 if row.deleted else 1]
        self.numbers[slot] = [attributes.get(name, np.nan) for name in plan.numbers]
        self.flags[slot] = [attributes.get(name, -1) for name in plan.flags]

    def _open(self, slot: int) -> None:
        self.facts = grown(self.facts, slot + 1)
        self.items = grown(self.items, slot + 1)
        self.terms = grown(self.terms, slot + 1)
        self.numbers = grown(self.numbers, slot + 1)
        self.flags = grown(self.flags, slot + 1)
        self.facts[slot, OFFSET] = -1
        self.numbers[slot] = np.nan
        self.flags[slot] = -1

    def _count(self, slot: int, change: int) -> None:
        self.shared[self.terms[slot]] += change

    def _code(self, dimension: str, value: str | int | None) -> int:
        if value is None:
            return 0
        code = self._codes.setdefault((dimension, value), len(self._codes))
        if code == len(self._codes) - 1:
            self.shared = grown(self.shared, code + 1)
            self._text_of = grown(self._text_of, code + 1)
            self._text_of[code] = self._texts.intern(value) if isinstance(value, str) else -1
        return code


def _size_of(number: float) -> int:
    """A number to half an octave: what is about as much is the same.

    >>> _size_of(30.0), _size_of(35.0), _size_of(60.0)
    (9, 10, 11)
    """
    return int(log1p(number) / _HALF_OCTAVE)
