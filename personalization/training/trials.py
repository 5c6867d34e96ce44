"""What every ``Rate`` knew before each exposure, and whether its event followed.

The log is counted once more with the functions that fold tables, one event after another, so what
is noted before an exposure is what the feature would have read, and nothing that came later.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from personalization.decay import decay_factor
from personalization.events import Stamp, StampedEvent
from personalization.features.rate import Rate
from personalization.features.view import F64, I64, ITEM, SELLER
from personalization.plan import GLOBAL, StatePlan
from personalization.signals import signals_of
from personalization.spec import Spec
from personalization.state import keys
from personalization.state.counters import count, increment
from personalization.state.rows import SegmentRow
from personalization.state.segment import new_segment
from personalization.training.exposures import OUTCOME_MS

MOST = 200_000
NEVER = 1 << 62

_NOBODY = -1


class Trials(NamedTuple):
    """n exposures of the entities of one ``Rate``, in the order of the log.

    ``known`` float64[n, L, 2] are the decayed events and exposures of each of its levels before,
    the widest first. ``entities`` [n] are numbers that stand for them, and ``before`` [n] says how
    often the entity had been exposed, without decay. ``places`` [n] is which event of the log it
    was, and ``outcomes`` [n] which followed from it (``NEVER``: none).
    """

    known: F64
    entities: I64
    before: I64
    places: I64
    outcomes: I64

    def where(self, chosen: slice) -> "Trials":
        """Some of them."""
        return Trials(
            self.known[chosen],
            self.entities[chosen],
            self.before[chosen],
            self.places[chosen],
            self.outcomes[chosen],
        )


class Tried:
    """Takes events in the order of the log, and keeps the newest trials of every ``Rate``.

    An exposure's outcome is the rate's event by the same visitor on the same item, within 24
    hours and before the visitor's next exposure to it. ``most`` exposures are kept, about, of each
    type of event that rates are per.
    """

    def __init__(self, spec: Spec, most: int = MOST) -> None:
        self.rates = tuple(f for f in spec.features if isinstance(f, Rate))
        self.events = 0
        self._plan = spec.plan
        self._rows: dict[str, SegmentRow] = {}
        self._exposures = {
            per: _Exposures([rate for rate in self.rates if rate.per == per], spec.plan, most)
            for per in {rate.per for rate in self.rates}
        }

    def take(self, event: StampedEvent) -> None:
        """The next event."""
        number = self._plan.event_index.get(event.type)
        if number is None:
            return
        for per, exposures in self._exposures.items():
            exposures.follow(event, self.events)
            if event.type == per:
                exposures.open(event, self.events, self._rows)
        self._count(event, number)
        self.events += 1

    def of(self, rate: Rate) -> Trials:
        """The trials of ``rate``, one of ``rates``."""
        return self._exposures[rate.per].of(rate)

    def _count(self, event: StampedEvent, number: int) -> None:
        """What the event means for others, who it is from left out: only co-visits need that."""
        more, rows = increment(number, event.at, self._plan), self._rows
        for signal in signals_of(None, event, self.events, self._plan):
            if signal.type != event.type:
                continue  # a link to a user
            for key, many in signal.counts.items():
                row = rows.get(key)
                if row is None:
                    row = rows[key] = new_segment(self.events, event.at, self._plan)
                count(row, more, many, self.events, self._plan)


class _Exposures:
    """What one type of event exposed, for all rates per it: row by row, the oldest dropped."""

    def __init__(self, rates: Sequence[Rate], plan: StatePlan, most: int) -> None:
        self._plan = plan
        self._kept = {rate: _Kept(rate, plan) for rate in dict.fromkeys(rates)}
        self._levels = {level for kept in self._kept.values() for level in kept.levels}
        self._most = most
        self._first = 0
        self._places = array("q")
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}

    def open(self, event: StampedEvent, place: int, rows: dict[str, SegmentRow]) -> None:
        """Note what is known of the items of ``event`` before it is counted."""
        for stamp in event.items:
            self._newest[event.visitor, stamp.item] = (self._first + len(self._places), event.at)
            self._places.append(place)
            found = {level: rows.get(_key(level, stamp) or "") for level in self._levels}
            for kept in self._kept.values():
                kept.note(stamp, event.at, found)
        if len(self._places) > self._most + self._most // 10:
            self._drop(len(self._places) - self._most)

    def follow(self, event: StampedEvent, place: int) -> None:
        """Note whose outcome ``event`` is."""
        followed = [kept for rate, kept in self._kept.items() if rate.event == event.type]
        if not followed:
            return
        for stamp in event.items:
            row, at = self._newest.get((event.visitor, stamp.item), (-1, 0))
            if row >= self._first and 0 <= event.at - at <= OUTCOME_MS:
                for kept in followed:
                    kept.outcomes[row - self._first] = min(kept.outcomes[row - self._first], place)

    def of(self, rate: Rate) -> Trials:
        kept = self._kept[rate]
        places: I64 = np.array(self._places, np.int64)
        entities: I64 = np.array(kept.entities, np.int64)
        somebody = entities != _NOBODY
        return Trials(
            np.array(kept.known).reshape(len(places), len(kept.levels), 2)[somebody],
            entities[somebody],
            np.array(kept.before, np.int64)[somebody],
            places[somebody],
            np.array(kept.outcomes, np.int64)[somebody],
        )

    def _drop(self, many: int) -> None:
        self._first += many
        del self._places[:many]
        for kept in self._kept.values():
            kept.drop(many)
        first = self._first
        self._newest = {who: newest for who, newest in self._newest.items() if newest[0] >= first}


class _Kept:
    """The columns of one rate's trials."""

    def __init__(self, rate: Rate, plan: StatePlan) -> None:
        self.levels = (*rate.backoff[::-1], rate.entity)
        self.known = array("d")
        self.entities = array("q")
        self.before = array("q")
        self.outcomes = array("q")
        self._half_life = rate.half_life_ms(plan.half_lives)
        self._event = plan.counter(rate.event, self._half_life)
        self._exposure = plan.counter(rate.per, self._half_life)
        self._per = plan.event_index[rate.per]
        self._numbers: dict[str, int] = {}

    def note(self, stamp: Stamp, at: int, found: dict[str, SegmentRow | None]) -> None:
        """An exposure at ``at`` (ms), of whose levels the rows ``found`` are known."""
        for level in self.levels:
            row = found[level]
            if row is None:
                self.known.extend((0.0, 0.0))
                continue
            left = decay_factor(float(max(at - row.at, 0)), float(self._half_life))
            self.known.append(left * row.counters[self._event])
            self.known.append(left * row.counters[self._exposure])
        key, own = _key(self.levels[-1], stamp), found[self.levels[-1]]
        numbers = self._numbers
        self.entities.append(_NOBODY if key is None else numbers.setdefault(key, len(numbers)))
        self.before.append(0 if own is None else own.counts[self._per])
        self.outcomes.append(NEVER)

    def drop(self, many: int) -> None:
        """Forget the first ``many`` rows."""
        del self.known[: 2 * len(self.levels) * many]
        for column in (self.entities, self.before, self.outcomes):
            del column[:many]


def _key(level: str, stamp: Stamp) -> str | None:
    """The signal key of an item's ``level``; ``None`` where it has none."""
    if level == ITEM:
        return keys.item_key(stamp.item)
    if level == SELLER:
        return None if stamp.seller is None else keys.seller_key(stamp.seller)
    if level == GLOBAL:
        return keys.segment_key(GLOBAL)
    within_seller, dimension = keys.segment_level(level)
    value = stamp.attributes.get(dimension)
    if not isinstance(value, str) or (within_seller and stamp.seller is None):
        return None
    return keys.segment_key(level, stamp.seller if within_seller else None, value)
