"""Nearest neighbours: sessions like this one, and items met together with its items."""

from dataclasses import dataclass

import numpy as np

from personalization.columns.growth import grown
from personalization.decay import kernel
from personalization.evaluation.arm import Ranking, RankingArm
from personalization.evaluation.history import OpenSession
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F64, I64

_SESSIONS = 1 << 15
_LENGTH = 96
_PER_ITEM = 192
_ASKED = 96


@dataclass(frozen=True, slots=True)
class Variant:
    """How neighbours count. ``nearest`` sessions are looked at (0: items met together, by cosine,
    instead of sessions); the weight of an item of the visitor falls with its place by ``fade``,
    and items before this session count ``before`` as much. A session of n items says of each
    n ** -``length`` as much: that a basket of hundreds holds two of them says little. How like it
    is counts to the power of ``sharp``: the larger, the more the nearest say. What the visitor had
    k times before counts 1 + k times ``again`` as much."""

    nearest: int
    fade: float
    before: float
    length: float
    again: float
    sharp: float = 1.0


VARIANTS = (
    Variant(0, 0.95, 0.1, 0.0, 0.0),
    Variant(0, 1.0, 0.1, 0.75, 0.0),
    Variant(0, 1.0, 0.1, 0.75, 1.0),
    Variant(0, 0.8, 0.3, 0.75, 1.0),
    Variant(0, 1.0, 0.1, 1.0, 1.0, 2.0),
    Variant(0, 1.0, 0.1, 1.3, 1.0, 2.0),
    Variant(100, 0.95, 0.3, 0.0, 0.0),
    Variant(100, 1.0, 0.1, 0.5, 1.0),
    Variant(400, 1.0, 0.1, 0.5, 1.0),
)


class Neighbours(RankingArm):
    """The last sessions, and for every item those it was in: bounded, whatever the stream.

    Sessions like the visitor's (VS-kNN: Ludewig & Jannach, UMUAI 2018) and items in the same
    sessions as theirs, by cosine (Sarwar et al., WWW 2001), from one index. ``variant`` is in
    force; the best is found on queries of the training period.
    """

    name = "knn"

    def __init__(self, variant: Variant = VARIANTS[0]) -> None:
        self.variant = variant
        self._numbers: I64 = np.full(_SESSIONS, -1, np.int64)
        self._lengths: I64 = np.zeros(_SESSIONS, np.int64)
        self._items: I64 = np.zeros((_SESSIONS, _LENGTH), np.int64)
        self._of_item: I64 = np.zeros((1024, _PER_ITEM), np.int64)
        self._counts: I64 = np.zeros(1024, np.int64)

    def rank(self, query: Query, size: int) -> Ranking:
        """By the variant in force."""
        return self.rank_by(query, size, self.variant)

    def rank_by(self, query: Query, size: int, variant: Variant) -> Ranking:
        """By ``variant``; items without a neighbour have a score of 0."""
        self._counts = grown(self._counts, size)
        self._of_item = grown(self._of_item, size)
        asked, weights = _asked(query, variant)
        scores = np.zeros(size)
        if len(asked):
            score_neighbours(
                asked,
                weights,
                variant.nearest,
                variant.length,
                variant.sharp,
                self._numbers,
                self._lengths,
                self._items,
                self._of_item,
                self._counts,
                scores,
            )
        if variant.again > 0.0:
            scores *= 1.0 + variant.again * np.bincount(query.mine, minlength=size)[:size]
        return Ranking(np.arange(1, size), scores[1:])

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """``slot`` is in one more session."""
        row = session.number % _SESSIONS
        if self._numbers[row] != session.number:
            self._numbers[row] = session.number
            self._lengths[row] = 0
        length = int(self._lengths[row])
        if length == _LENGTH or slot in self._items[row, :length]:
            return
        self._items[row, length] = slot
        self._lengths[row] += 1
        self._counts = grown(self._counts, slot + 1)
        self._of_item = grown(self._of_item, slot + 1)
        self._of_item[slot, self._counts[slot] % _PER_ITEM] = session.number
        self._counts[slot] += 1


def _asked(query: Query, variant: Variant) -> tuple[I64, F64]:
    """The visitor's last distinct items, newest first, and what each counts."""
    weights: dict[int, float] = {}
    for scale, slots in ((1.0, query.session), (variant.before, query.mine)):
        for slot in reversed(slots.tolist()):
            if len(weights) == _ASKED:
                break
            weights.setdefault(slot, scale * variant.fade ** len(weights))
    return np.fromiter(weights, np.int64), np.fromiter(weights.values(), np.float64)


@kernel(
    "void(int64[::1], float64[::1], int64, float64, float64, int64[::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1], int64[::1], float64[::1])"
)
def score_neighbours(
    asked: I64,
    weights: F64,
    nearest: int,
    length: float,
    sharp: float,
    numbers: I64,
    lengths: I64,
    items: I64,
    of_item: I64,
    counts: I64,
    scores: F64,
) -> None:
    """Add to ``scores`` [slots] what the neighbours of ``asked`` [m] say; see ``Variant``."""
    rows, per_item = len(numbers), of_item.shape[1]
    similar = np.zeros(len(asked) * per_item)
    found = np.empty(len(asked) * per_item, np.int64)
    place = np.full(rows, -1, np.int64)
    several = 0
    for j in range(len(asked)):
        known = min(counts[asked[j]], per_item)
        share = weights[j] / np.sqrt(known + 1.0) if nearest == 0 else weights[j]
        for k in range(known):
            number = of_item[asked[j], k]
            row = number % rows
            if numbers[row] != number:
                continue
            if place[row] < 0:
                place[row] = several
                found[several] = number
                several += 1
            similar[place[row]] += share
    share_of = np.ones(items.shape[1] + 1)
    for n in range(1, len(share_of)):
        share_of[n] = float(n) ** -length
    for s in range(several):
        similar[s] = similar[s] ** sharp * share_of[lengths[found[s] % rows]]
    least = 0.0
    if 0 < nearest < several:
        least = np.sort(similar[:several])[several - nearest]
    for s in range(several):
        if similar[s] < least:
            continue
        row = found[s] % rows
        for i in range(lengths[row]):
            item = items[row, i]
            if item < len(scores):
                scores[item] += similar[s]
    if nearest == 0:
        for item in range(len(scores)):
            if scores[item] > 0.0:
                scores[item] /= np.sqrt(min(counts[item], per_item) + 1.0)
