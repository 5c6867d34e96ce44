"""The users nearest to one, found by looking at all of them."""

from collections.abc import Iterator, Mapping
from itertools import compress
from typing import NamedTuple

import numpy as np

from personalization.candidates.similar import COVISITED
from personalization.columns import Columns
from personalization.columns.growth import grown
from personalization.columns.profiles import Profiles
from personalization.decay import kernel
from personalization.features.view import F64, I8, I32, I64
from personalization.plan import StatePlan
from personalization.state.rows import VisitorRow

IN_STOCK = "in_stock"
MOST = 100
_STEP = 32_768  # profiles: about a third of a millisecond
_BLOCK = 2048  # profiles: their sums stay in the nearest cache
_NEARER = 2.0**20  # so much more than what the viewer likes, which is in [-1, 1] by dimension
_LEAST = 0.001  # no term of a user is a smaller part of them


class Near(NamedTuple):
    """Users by the name that events give them (``user:<id>``), the nearest first: how near, in
    [0, 1], the dimensions that they share with who is looked at, and their ``slots`` among
    profiles."""

    ids: list[str]
    resemblance: list[float]
    sources: list[list[str]]
    slots: I64


class ProfileSearch(Iterator[None]):
    """Looks through all profiles for those nearest to ``user`` (``user:<id>``), in steps of about
    a third of a millisecond, between which others may run, and the columns change.

    Near is who shares with them what few have: resemblance is the part of the user's terms that
    a profile has too, each weighed by 1 / log of how many have it (Adamic & Adar, Friends and
    neighbors on the Web, 2003). ``MOST`` are found; of those as near, whose terms the viewer (a
    merged row, or nobody) likes; of equals, who became known first. Whom visitors came to ``user``
    from is found too (``covisited``). Neither ``user`` nor one of ``without`` is.
    """

    def __init__(
        self, user: str, columns: Columns, viewer: VisitorRow | None, without: frozenset[str]
    ) -> None:
        profiles = self._profiles = columns.profiles
        self._without = {0, *(profiles.slots.get(id, 0) for id in (user, *without))}
        self._met = self._covisited(user, columns)
        plan = columns.plan
        self._flag = plan.flags.index(IN_STOCK) if IN_STOCK in plan.flags else -1
        own = profiles.terms[profiles.slots.get(user, 0)]
        own = own[own > 0]
        weights = 1.0 / np.log(1.0 + np.maximum(profiles.shared[own], 2))
        self._near: F64 = np.zeros(profiles.vocabulary)
        self._near[own] = weights / weights.sum()
        self._table = self._near * _NEARER
        for term, share in _liked(viewer, profiles, plan).items():
            self._table[term] += share
        self._next = 1 if len(own) else profiles.size
        most = MOST + len(self._without)  # room for those that are not to be found
        self._slots: I64 = np.zeros(most, np.int64)
        self._keys: F64 = np.full(most, 0.5 * _NEARER * _LEAST)

    def __next__(self) -> None:
        profiles, first = self._profiles, self._next
        if first >= profiles.size:
            raise StopIteration
        last = self._next = min(first + _STEP, profiles.size)
        if len(self._table) < profiles.vocabulary:
            self._table = grown(self._table, profiles.vocabulary)  # terms that are not shared
        keep_nearest(
            profiles.terms.T,
            profiles.flags,
            first,
            last,
            self._flag,
            self._table,
            self._slots,
            self._keys,
        )

    def found(self) -> Near:
        """The nearest, once there are no more steps."""
        profiles = self._profiles
        order = self._slots[np.lexsort((self._slots, -self._keys))].tolist()
        nearest = [slot for slot in order if slot not in self._without][:MOST]
        slots = list(dict.fromkeys([*nearest, *self._met]))
        terms = np.ascontiguousarray(profiles.terms[slots])
        parts = self._near[np.where(terms < len(self._near), terms, 0)]
        near, met = np.minimum(parts.sum(axis=1), 1.0).tolist(), set(self._met)
        places, width = (parts > 0.0).tobytes(), len(profiles.dimensions)
        named: dict[bytes, list[str]] = {}  # few combinations are shared by many
        found, ids, resemblance, sources = [], [], [], []
        for n, (slot, part) in enumerate(zip(slots, near, strict=True)):
            if part > 0.0 or slot in met:  # some have changed since they were looked at
                shared = places[n * width : (n + 1) * width]
                dimensions = named.get(shared)
                if dimensions is None:
                    dimensions = list(dict.fromkeys(compress(profiles.dimensions, shared)))
                    named[shared] = dimensions
                found.append(slot)
                ids.append(profiles.ids[slot])
                resemblance.append(part)
                sources.append([COVISITED, *dimensions] if slot in met else dimensions)
        return Near(ids, resemblance, sources, np.array(found, np.int64))

    def _covisited(self, user: str, columns: Columns) -> list[int]:
        own = columns.slots([user])
        if not own[0]:
            return []
        near = columns.neighbours_at(own)
        codes = near.codes[0][(near.codes[0] > 0) & (near.weights[0] > 0.0)].tolist()
        slots = [self._profiles.slots.get(columns.item_ids[code], 0) for code in codes]
        return [slot for slot in slots if slot not in self._without]


def _liked(viewer: VisitorRow | None, profiles: Profiles, plan: StatePlan) -> Mapping[int, float]:
    """The viewer's interest by term, as shares of each dimension's; below 0: disliked."""
    if viewer is None:
        return {}
    liked: dict[int, float] = {}
    for index, affinity in enumerate(plan.affinities):
        if affinity.by_daypart or affinity.dimension not in profiles.dimensions:
            continue
        entries = viewer.affinities[index].entries
        total = sum(abs(weight) for weight, _ in entries.values())
        for value, (weight, _) in entries.items():
            term = profiles.term(affinity.dimension, value)
            if term is not None and total > 0.0:
                liked[term] = weight / total
    return liked


@kernel("boolean(int64, float64, int64, float64)")
def _is_worse(slot: int, key: float, other_slot: int, other_key: float) -> bool:
    """Whether the first is to give way to the other."""
    return key < other_key or (key == other_key and slot > other_slot)


@kernel("void(int64, float64, int64[::1], float64[::1])")
def _replace_worst(slot: int, key: float, slots: I64, keys: F64) -> None:
    """Put ``slot`` and its ``key`` into the heap, for the first."""
    place = 0
    while True:
        below = 2 * place + 1
        next_ = below + 1
        if next_ < len(keys) and _is_worse(slots[next_], keys[next_], slots[below], keys[below]):
            below = next_
        if below >= len(keys) or _is_worse(slot, key, slots[below], keys[below]):
            break
        slots[place], keys[place] = slots[below], keys[below]
        place = below
    slots[place], keys[place] = slot, key


@kernel(
    "void(int32[:, ::1], int8[:, ::1], int64, int64, int64, float64[::1], int64[::1], float64[::1])"
)
def keep_nearest(
    terms: I32, flags: I8, first: int, last: int, flag: int, table: F64, slots: I64, keys: F64
) -> None:
    """Keep in ``slots`` and ``keys`` [m] the best of themselves and of the profiles from slot
    ``first`` to before ``last``.

    A profile's key is what its ``terms`` [W, slots] come to in ``table`` [V]; of equal keys the
    lower slot is better. The arrays are a heap, the worst first: they begin with keys that must
    be exceeded. Only profiles whose ``flag`` (-1: none) is not off; who is deleted has no terms.
    """
    sums = np.empty(_BLOCK)
    for start in range(first, last, _BLOCK):
        several = min(_BLOCK, last - start)
        sums[:several] = 0.0
        for place in range(len(terms)):
            theirs = terms[place, start : start + several]
            some = np.int32(0)
            for n in range(several):
                some |= theirs[n]
            if some:  # few have as many tags as there are places for
                for n in range(several):
                    sums[n] += table[np.uint32(theirs[n])]  # unsigned: none is from the end
        for n in range(several):
            slot = start + n
            if sums[n] > keys[0] and (flag < 0 or flags[slot, flag] != 0):
                _replace_worst(slot, sums[n], slots, keys)
