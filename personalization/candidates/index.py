"""Lists over the whole catalogue, made a few times a second rather than per request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from personalization.columns import Columns
from personalization.features.view import F64, I64
from personalization.guarantee import NOT_OWED, Guarantee, Owed

FRESH = 2000
LASTING = 2000
OWED = 300
OF_SELLER = 5
DAY = 86_400_000
SELLER = "seller"
RISE = 2.0  # standard deviations: one buyer more than usual is not a trend
_NEWEST_FIRST = 1e-6  # of equal (or no) heat, the newer item comes first


@dataclass(frozen=True, slots=True)
class Grouped:
    """Slots by code, each group in the order of heat."""

    codes: I64
    starts: I64
    slots: I64

    def of(self, code: int) -> I64:
        """The slots of one code; empty if there are none."""
        place = int(np.searchsorted(self.codes, code))
        if place == len(self.codes) or self.codes[place] != code:
            return self.slots[:0]
        end = self.starts[place + 1] if place + 1 < len(self.starts) else len(self.slots)
        return self.slots[self.starts[place] : end]


@dataclass(frozen=True, slots=True)
class CatalogueIndex:
    """Slots of items that can be shown, as they were at one moment.

    ``fresh`` are the last listed, newest first, ``hot`` all by heat, ``groups`` the same by the
    code of each category and of ``seller``, ``lasting`` the first of all by heat at the longest
    half-life. ``owed`` are, for each guarantee, items that are behind it, the furthest first, and
    the hottest items of sellers that are. ``rising`` are, by the code of each category, items
    that are wanted more than usual, by how much. ``arrivals`` is how many had arrived: later ones
    are at the end of ``Columns.arrivals``.
    """

    arrivals: int
    fresh: I64
    hot: I64
    groups: dict[str, Grouped]
    lasting: I64
    owed: Mapping[Guarantee, tuple[I64, I64]] = field(default_factory=dict)
    rising: Mapping[str, Grouped] = field(default_factory=dict)


def empty_index() -> CatalogueIndex:
    """The index of nothing: all items are later arrivals."""
    nothing = np.empty(0, np.int64)
    return CatalogueIndex(0, nothing, nothing, {}, nothing)


def build_index(columns: Columns, now: int, guarantees: Sequence[Guarantee] = ()) -> CatalogueIndex:
    """The lists at ``now`` (ms).

    An item's heat is the sum of its counters (half-life nearest to a day) of events with a weight
    above 0, times their weights. May run in a thread beside the one that writes ``columns``: an
    item that is being written may be in the wrong place of a list until the next one, and nothing
    else. All is NumPy on long arrays, which lets other threads run: 200,000 items take about
    0.03 s in a thread and stop the others for about 1 ms at most.
    """
    plan, size, arrivals = columns.plan, columns.size, len(columns.arrivals)
    created = columns.created_at[:size].copy()
    listed = columns.listed[:size]
    shown = listed | (created == 0)  # known by its counters only: not deleted
    if "in_stock" in plan.flags:
        shown &= columns.flag("in_stock")[:size] != 0
    shown[0] = False
    slots = np.flatnonzero(shown)
    slots = slots[columns.are_items(slots)]
    shortest, longest = min(plan.half_lives), max(plan.half_lives)
    nearest = min(plan.half_lives, key=lambda ms: (abs(ms - DAY), ms))
    heat = {ms: _heat(columns, size, now, ms)[slots] for ms in {shortest, nearest, longest}}
    order = np.argsort(-(heat[nearest] + created[slots] / now * _NEWEST_FIRST))
    hot = slots[order]
    groups = {name: _grouped(columns.category(name)[:size], hot) for name in plan.categories}
    groups[SELLER] = _grouped(columns.sellers[:size], hot)
    first = slots[np.argsort(-heat[longest], kind="stable")[:LASTING]]
    usual = heat[nearest if nearest > shortest else longest]
    heaviest = max((weight for weight in plan.weights if weight > 0.0), default=1.0)
    rise = _rise(heat[shortest], usual, heaviest)
    above = np.flatnonzero(rise >= RISE)
    up = slots[above[np.argsort(-rise[above], kind="stable")]]
    rising = {name: _grouped(columns.category(name)[:size], up) for name in plan.categories}
    owed = {guarantee: _owed(columns, guarantee, hot, now) for guarantee in guarantees}
    return CatalogueIndex(
        arrivals, _fresh(created, listed & shown), hot, groups, first, owed, rising
    )


def _owed(columns: Columns, guarantee: Guarantee, hot: I64, now: int) -> tuple[I64, I64]:
    items, sellers = Owed(columns, guarantee, None, now).lateness(hot)
    first = np.argsort(-items, kind="stable")[:OWED]
    behind = (sellers > NOT_OWED).nonzero()[0]
    # Of each seller the hottest few: their places among those of the same lateness and seller.
    keys = columns.sellers[hot[behind]]
    order = np.lexsort((keys, -sellers[behind]))
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    place = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    few = behind[order[place < OF_SELLER]][:OWED]
    return hot[first[items[first] > NOT_OWED]], hot[few]


def _heat(columns: Columns, size: int, now: int, half_life: int) -> F64:
    plan = columns.plan
    counters = columns.counters[:size]
    heat = np.zeros(size)
    for event, weight in zip(plan.events, plan.weights, strict=True):
        if weight > 0.0:
            heat += weight * counters[:, plan.counter(event, half_life)]
    elapsed = np.maximum(now - columns.counted_at[:size], 0)
    decayed: F64 = heat * np.exp2(-elapsed / half_life)  # a list's order needs no exact bits
    return decayed


def _rise(recent: F64, usual: F64, heaviest: float) -> F64:
    """How much more each item is wanted than it would be with its share of what is usual.

    In standard deviations of a Poisson count of the expected size, and one more so that little is
    no surprise (Hendrickson et al., Trend detection in social data, 2015); counted in events of
    the ``heaviest`` weight. What all items do alike, such as a busy hour, is no rise.
    """
    expected = usual * (recent.sum() / max(usual.sum(), 1.0))
    rise: F64 = (recent - expected) / np.sqrt(heaviest * (expected + heaviest))
    return rise


def _fresh(created: I64, shown: np.typing.NDArray[np.bool_]) -> I64:
    slots = np.flatnonzero(shown)
    times = created[slots]
    if len(slots) > FRESH:
        newest = np.argpartition(times, len(slots) - FRESH)[-FRESH:]
        slots, times = slots[newest], times[newest]
    return slots[np.argsort(-times, kind="stable")]


def _grouped(codes: I64, hot: I64) -> Grouped:
    of_hot = codes[hot]
    known = of_hot >= 0
    slots, of_hot = hot[known], of_hot[known]
    order = np.argsort(of_hot, kind="stable")
    ordered = of_hot[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    return Grouped(ordered[starts], starts, slots[order])
