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
_STEP = 16_384  # profiles: about a third of a millisecond
_NEARER = 2.0**20  # so much more than what the viewer likes, which is in [-1, 1] by dimension
_LEAST = 0.001  # no term of a user is a smaller part of them


class Near(NamedTuple):
    """Users by the name that events give them (``user:<id>``), the nearest first: how near, in
    [0, 1], and the dimensions that they share with who is looked at."""

    ids: list[str]
    resemblance: list[float]
    sources: list[list[str]]


class ProfileSearch(Iterator[None]):
    """Looks through all profiles for those nearest to ``user`` (``user:<id>``), in steps of about
    a third of a millisecond, between which others may run, and the columns change.

    Near is who shares with them what few have: resemblance is the part of the user's terms that
    a profile has too, each weighed by 1 / log of how many have it (Adamic & Adar, Friends and
    neighbors on the Web, 2003). ``MOST`` are found; of those as near, whose terms the viewer (a
    merged row, or nobody) likes. Whom visitors came to ``user`` from is found too
    (``covisited``). Neither ``user`` nor one of ``without`` is.
    """

    def __init__(
        self, user: str, columns: Columns, viewer: VisitorRow | None, without: frozenset[str]
    ) -> None:
        profiles = self._profiles = columns.profiles
        self._without = {profiles.slots.get(id, 0) for id in (user, *without)}
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
        self._slots: I64 = np.empty(0, np.int64)
        self._keys: F64 = np.empty(0)

    def __next__(self) -> None:
        profiles, first = self._profiles, self._next
        if first >= profiles.size:
            raise StopIteration
        last = self._next = min(first + _STEP, profiles.size)
        if len(self._table) < profiles.vocabulary:
            self._table = grown(self._table, profiles.vocabulary)  # terms that are not shared
        least = float(self._keys.min()) if len(self._keys) == MOST else 0.5 * _NEARER * _LEAST
        slots, keys = np.empty(last - first, np.int64), np.empty(last - first)
        found = resembling(
            profiles.terms,
            profiles.flags,
            first,
            self._flag,
            self._table,
            least,
            slots,
            keys,
        )
        slots = np.concatenate([self._slots, slots[:found]])
        keys = np.concatenate([self._keys, keys[:found]])
        # Those that are not to be found are at most two: room is left for them.
        most = MOST + len(self._without)
        if len(keys) > most:
            best = np.argpartition(-keys, most - 1)[:most]
            slots, keys = slots[best], keys[best]
        kept = [n for n, slot in enumerate(slots.tolist()) if slot not in self._without][:MOST]
        self._slots, self._keys = slots[kept], keys[kept]

    def found(self) -> Near:
        """The nearest, once there are no more steps."""
        profiles = self._profiles
        order = np.lexsort((self._slots, -self._keys))
        slots = list(dict.fromkeys([*self._slots[order].tolist(), *self._met]))
        terms = profiles.terms[slots]
        parts = self._near[np.where(terms < len(self._near), terms, 0)]
        near, met = np.minimum(parts.sum(axis=1), 1.0).tolist(), set(self._met)
        ids, resemblance, sources = [], [], []
        for slot, part, shared in zip(slots, near, (parts > 0.0).tolist(), strict=True):
            if part > 0.0 or slot in met:  # some have changed since they were looked at
                ids.append(profiles.ids[slot])
                resemblance.append(part)
                dimensions = dict.fromkeys(compress(profiles.dimensions, shared))
                sources.append([COVISITED, *dimensions] if slot in met else list(dimensions))
        return Near(ids, resemblance, sources)

    def _covisited(self, user: str, columns: Columns) -> list[int]:
        near = columns.neighbours([user])
        codes = near.codes[0][(near.codes[0] > 0) & (near.weights[0] > 0.0)].tolist()
        slots = [self._profiles.slots.get(columns.item_ids[code], 0) for code in codes]
        return [slot for slot in slots if slot and slot not in self._without]


def _liked(viewer: VisitorRow | None, profiles: Profiles, plan: StatePlan) -> Mapping[int, float]:
    """The viewer's interest by term, as shares of each dimension's; below 0: disliked."""
    if viewer is None:
        return {}
    liked: dict[int, float] = {}
    for index, affinity in enumerate(plan.affinities):
        if affinity.by_daypart:
            continue
        entries = viewer.affinities[index].entries
        total = sum(abs(weight) for weight, _ in entries.values())
        for value, (weight, _) in entries.items():
            term = profiles.term(affinity.dimension, value)
            if term is not None and total > 0.0:
                liked[term] = weight / total
    return liked


@kernel(
    "int64(int32[:, ::1], int8[:, ::1], int64, int64, float64[::1], float64, int64[::1],"
    " float64[::1])"
)
def resembling(
    terms: I32,
    flags: I8,
    first: int,
    flag: int,
    table: F64,
    least: float,
    slots: I64,
    keys: F64,
) -> int:
    """The profiles among the n from slot ``first`` on whose terms come to more than ``least`` in
    ``table`` [V], into ``slots`` and ``keys`` [n]; how many there are. Only those whose
    ``flag`` (-1: none) is not off; who is deleted has no terms."""
    found = 0
    for slot in range(first, first + len(slots)):
        key = 0.0
        for place in range(terms.shape[1]):
            key += table[terms[slot, place]]
        if key > least and (flag < 0 or flags[slot, flag] != 0):
            slots[found] = slot
            keys[found] = key
            found += 1
    return found
