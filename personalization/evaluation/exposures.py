"""Arms that say how likely it is that what a visitor is shown will be liked."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from personalization.columns.growth import grown
from personalization.decay import decay_factor, kernel
from personalization.evaluation.arm import Arm, Listed
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F64, I8, I64

DAY = 86_400_000
_LEAST = 1e-3
_PRIOR = 5.0
_VISITORS = 4096
_SLOTS = 1 << 16


class ExposureArm(Protocol):
    """One way to predict, live."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    def predict(self, query: Query, listed: Listed, size: int) -> F64:
        """The probability, for each of ``listed``, that the visitor will like it."""
        ...

    def expose(self, asker: Asker, slots: Sequence[int]) -> None:
        """The visitor is shown ``slots``."""
        ...

    def like(self, asker: Asker, slot: int) -> None:
        """The visitor liked what was shown."""
        ...


class Probable:
    """An arm of rankings: its scores are logits."""

    def __init__(self, arm: Arm) -> None:
        self.name = arm.name
        self._arm = arm

    def predict(self, query: Query, listed: Listed, size: int) -> F64:
        """The logistic function of its scores; next to nothing for what it does not know."""
        scores = np.clip(self._arm.score(query, listed, size), -30.0, 30.0)
        return np.clip(1.0 / (1.0 + np.exp(-scores)), _LEAST, 1.0 - _LEAST)

    def expose(self, asker: Asker, slots: Sequence[int]) -> None:
        """The world learns by itself."""

    def like(self, asker: Asker, slot: int) -> None:
        """The world learns by itself."""


class ItemRate:
    """The share of an item's exposures that were liked, decayed at ``half_life`` ms (0: never),
    smoothed towards that of all items."""

    def __init__(self, name: str, half_life: int = 0) -> None:
        self.name = name
        self._half_life = half_life
        self._shown: F64 = np.zeros(1024)
        self._liked: F64 = np.zeros(1024)
        self._at: I64 = np.zeros(1024, np.int64)
        self._all = np.array([1.0, 2.0])

    def predict(self, query: Query, listed: Listed, size: int) -> F64:
        """The smoothed shares."""
        self._grow(size)
        return self.rates(np.array(listed.slots, np.int64))

    def rates(self, slots: I64) -> F64:
        """The smoothed shares of ``slots`` that have been seen."""
        share = self._all[0] / self._all[1]
        found: F64 = (self._liked[slots] + _PRIOR * share) / (self._shown[slots] + _PRIOR)
        return np.clip(found, _LEAST, 1.0 - _LEAST)

    def expose(self, asker: Asker, slots: Sequence[int]) -> None:
        """One more exposure of each."""
        for slot in slots:
            self._grow(slot + 1)
            self._decay(slot, asker.at)
            self._shown[slot] += 1.0
            self._all[1] += 1.0

    def like(self, asker: Asker, slot: int) -> None:
        """One of them was liked."""
        self._grow(slot + 1)
        self._decay(slot, asker.at)
        self._liked[slot] += 1.0
        self._all[0] += 1.0

    def _decay(self, slot: int, now: int) -> None:
        if self._half_life and now > self._at[slot]:
            factor = decay_factor(float(now - self._at[slot]), float(self._half_life))
            self._shown[slot] *= factor
            self._liked[slot] *= factor
            self._at[slot] = now

    def _grow(self, size: int) -> None:
        self._shown, self._liked = grown(self._shown, size), grown(self._liked, size)
        self._at = grown(self._at, size)


class Additive:
    """Item and visitor: the log-odds of the item's share, plus how much the visitor's own differ
    from those of the items shown to them."""

    name = "frequent"

    def __init__(self, items: ItemRate) -> None:
        self._items = items
        self._visitors: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    def predict(self, query: Query, listed: Listed, size: int) -> F64:
        """The sum, as a probability."""
        liked, expected, shown = self._visitors.get(query.asker.key, (0.0, 0.0, 0.0))
        share = (expected + _PRIOR / 2) / (shown + _PRIOR)
        own = (liked + _PRIOR / 2) / (shown + _PRIOR)
        odds = _odds(self._items.predict(query, listed, size)) + _odds(own) - _odds(share)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)), np.float64)

    def expose(self, asker: Asker, slots: Sequence[int]) -> None:
        """What the visitor would like if they were as all are."""
        liked, expected, shown = self._visitors.get(asker.key, (0.0, 0.0, 0.0))
        rates = self._items.rates(np.array(slots, np.int64))
        self._keep(asker, (liked, expected + float(rates.sum()), shown + len(slots)))

    def like(self, asker: Asker, slot: int) -> None:
        """And what they did like."""
        liked, expected, shown = self._visitors.get(asker.key, (0.0, 0.0, 0.0))
        self._keep(asker, (liked + 1.0, expected, shown))

    def _keep(self, asker: Asker, sums: tuple[float, float, float]) -> None:
        self._visitors[asker.key] = sums
        self._visitors.move_to_end(asker.key)
        if len(self._visitors) > 1 << 18:
            self._visitors.popitem(last=False)


class LikeMinded:
    """What the visitors who liked the same things thought of it (user-based collaborative
    filtering: Resnick et al., CSCW 1994), of the last 4,096 visitors."""

    name = "knn"

    def __init__(self, items: ItemRate) -> None:
        self._items = items
        self._rows: OrderedDict[str, int] = OrderedDict()
        self._opinions: I8 = np.zeros((_VISITORS, 1024), np.int8)

    def predict(self, query: Query, listed: Listed, size: int) -> F64:
        """The item's share, moved by theirs."""
        found = self._items.predict(query, listed, size)
        row = self._rows.get(query.asker.key)
        if row is None:
            return found
        own = np.flatnonzero(self._opinions[row])
        rates = self._items.rates(np.arange(self._opinions.shape[1]))
        for place, slot in enumerate(listed.slots):
            if 0 < slot < self._opinions.shape[1] and len(own):
                found[place] += like_minded(self._opinions, row, own, slot, rates)
        return np.clip(found, _LEAST, 1.0 - _LEAST)

    def expose(self, asker: Asker, slots: Sequence[int]) -> None:
        """Not liked, until it is."""
        row = self._row(asker)
        for slot in slots:
            if slot < _SLOTS:
                self._widen(slot + 1)
                self._opinions[row, slot] = 1

    def like(self, asker: Asker, slot: int) -> None:
        """Liked."""
        if slot < _SLOTS:
            self._widen(slot + 1)
            self._opinions[self._row(asker), slot] = 2

    def _row(self, asker: Asker) -> int:
        row = self._rows.get(asker.key)
        if row is None:
            row = len(self._rows)
            if row == _VISITORS:
                _, row = self._rows.popitem(last=False)
                self._opinions[row] = 0
            self._rows[asker.key] = row
        self._rows.move_to_end(asker.key)
        return row

    def _widen(self, size: int) -> None:
        self._items._grow(size)
        width = self._opinions.shape[1]
        if size > width:
            wider = np.zeros((_VISITORS, max(size, 2 * width)), np.int8)
            wider[:, :width] = self._opinions
            self._opinions = wider
            self._items._grow(wider.shape[1])


def _odds(share: F64 | float) -> F64:
    return np.asarray(np.log(share) - np.log1p(-np.asarray(share)), np.float64)


@kernel("float64(int8[:, ::1], int64, int64[::1], int64, float64[::1])")
def like_minded(opinions: I8, row: int, own: I64, slot: int, rates: F64) -> float:
    """By how much those with an opinion on ``slot`` differ from its rate, the more weight the
    more they agree with ``row`` on ``own`` [m] other slots; ``rates`` [slots] are what all like."""
    moved = 0.0
    weight = 2.0
    for u in range(len(opinions)):
        if u == row or opinions[u, slot] == 0:
            continue
        dot = 0.0
        mine = 0.0
        theirs = 0.0
        shared = 0
        for j in own:
            if j != slot and opinions[u, j] != 0:
                a = opinions[row, j] - 1.0 - rates[j]
                b = opinions[u, j] - 1.0 - rates[j]
                dot += a * b
                mine += a * a
                theirs += b * b
                shared += 1
        if shared > 0 and dot > 0.0:
            alike = dot / np.sqrt(mine * theirs) * shared / (shared + 8.0)
            alike *= alike
            moved += alike * (opinions[u, slot] - 1.0 - rates[slot])
            weight += alike
    return moved / weight
