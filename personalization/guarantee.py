"""The guarantee: what is new gets so many impressions so soon, and how far behind it is.

Nothing is kept for it but what rows hold anyway: when an item or a seller was first listed, and
how often it was seen. Impressions are spread over the first part of the time, so that each can go
to a visitor whom it fits; who is furthest behind that schedule comes first. So under more than
can be shown all wait alike, those listed first before those listed later.

Several processes owe the same. Each knows what the others showed once it was counted, and what it
showed itself at once; as nobody is far ahead of the schedule, what several show at the same time
is a small part of the whole.
"""

from collections import deque
from typing import Annotated

import msgspec
import numpy as np

from personalization.columns import Columns
from personalization.events import IMPRESSION
from personalization.features.view import F64, I64, Bool
from personalization.plan import duration_ms

PACE = 0.25
"""The part of the time over which impressions are spread; the rest is for catching up."""

PATIENCE = 0.5
"""How far behind, in paces, an item is before any visitor will do: see ``choose``."""

BAND = 0.1
"""How much less behind than the furthest, in paces, a candidate may be to be drawn beside it."""

NEW = 10
"""After so many times the time, what still waits is not new any more."""

UNSEEN = 20
"""What was shown and not counted within this part of the time was not seen."""

AT_ONCE = 4
"""One process has at most this part of the impressions under way at a time (1, if that is less)."""

NOT_OWED = -np.inf
ITEMS, SELLERS = 0, 1
_MOST_UNDER_WAY = 20_000


class Guarantee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each new item, and each new seller, has ``impressions`` ``within`` a time, as ``"1h"``.

    One place in ``every`` of a page, the last of each, goes to what is behind; no more, so pages
    shorter than that have none.
    """

    impressions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    within: str = "1h"
    every: Annotated[int, msgspec.Meta(ge=2, le=500)] = 5

    @property
    def within_ms(self) -> int:
        """The time in ms. Raises ``ValueError`` where it is none."""
        return duration_ms(self.within)


class UnderWay:
    """What one process has shown of what is owed, and its replica has not counted yet."""

    def __init__(self) -> None:
        self._shown: dict[tuple[int, int], deque[tuple[int, int]]] = {}

    def count(self, key: tuple[int, int], had: int, since: int) -> int:
        """How many of ``key`` were shown after ``since`` (ms) and are not among the ``had``."""
        shown = self._shown.get(key)
        if shown is None:
            return 0
        while shown and (shown[0][0] <= had or shown[0][1] < since):
            shown.popleft()
        if not shown:
            del self._shown[key]
        return len(shown)

    def add(self, key: tuple[int, int], had: int, now: int) -> None:
        """One more of ``key``, of which ``had`` were counted, is shown at ``now`` (ms).

        It will have been counted once there are more than before, those under way included.
        """
        shown = self._shown.setdefault(key, deque())
        shown.append((max(had, shown[-1][0] if shown else had) + 1, now))
        while len(self._shown) > _MOST_UNDER_WAY:
            del self._shown[next(iter(self._shown))]


class Owed:
    """What is owed under ``guarantee`` at ``now`` (ms), as ``columns`` know it.

    ``under_way`` is what this process has shown lately.
    """

    def __init__(
        self, columns: Columns, guarantee: Guarantee, under_way: UnderWay | None, now: int
    ) -> None:
        self.guarantee = guarantee
        self._columns = columns
        self._under_way = under_way
        self._now = now
        self._event = columns.plan.event_index[IMPRESSION]
        self._within = guarantee.within_ms

    def lateness(self, slots: I64) -> F64:
        """How far items, and their sellers, are behind: float64[2, n], ``NOT_OWED`` if nothing is.

        In paces: 0 is on schedule, above it late. Only what was listed after the first visitor
        came is new: a catalogue that was there before is not.
        """
        keys, listed_at, had = self._columns.listings(slots, self._event)
        total, age = self.guarantee.impressions, self._now - listed_at
        owed = self._owed(listed_at, had)
        if not owed.any():
            return np.full(owed.shape, NOT_OWED)
        late = np.where(owed, age / (PACE * self._within) - had / total, NOT_OWED)
        if self._under_way is not None:
            since, most = self._now - self._within // UNSEEN, max(1, total // AT_ONCE)
            for kind, place in zip(*(part.tolist() for part in owed.nonzero()), strict=True):
                key, counted = (kind, int(keys[kind, place])), int(had[kind, place])
                shown = self._under_way.count(key, counted, since)
                # Another process may have as many under way, which nobody here knows of yet.
                enough = shown >= most or (shown > 0 and counted + 2 * shown >= total)
                late[kind, place] = NOT_OWED if enough else late[kind, place] - shown / total
        return late

    def shown(self, slots: I64) -> None:
        """Note that the items of ``slots`` are on a page."""
        if self._under_way is None:
            return
        keys, listed_at, had = self._columns.listings(slots, self._event)
        owed = self._owed(listed_at, had)
        for kind, place in zip(*(part.tolist() for part in owed.nonzero()), strict=True):
            key = (kind, int(keys[kind, place]))
            self._under_way.add(key, int(had[kind, place]), self._now)

    def _owed(self, listed_at: I64, had: I64) -> Bool:
        first = self._columns.first_event_at
        if first == 0:
            return np.zeros(listed_at.shape, np.bool_)
        since = max(first, self._now - NEW * self._within)
        owed: Bool = (listed_at > since) & (had < self.guarantee.impressions)
        return owed
