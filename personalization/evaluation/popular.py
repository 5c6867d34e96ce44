"""Arms that rank by what is popular: lately, with decay, and by the visitor's own choice first."""

from collections import Counter, deque

import numpy as np

from personalization.columns.growth import grown
from personalization.decay import decay_factor
from personalization.evaluation.arm import Ranking, RankingArm
from personalization.evaluation.history import OpenSession
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F64

DAY = 86_400_000
_HOUR = 3_600_000
_LARGEST = 1e100


class Popularity(RankingArm):
    """How many positive events an item had in the last ``days`` days, to the hour."""

    name = "popularity"

    def __init__(self, days: int = 7) -> None:
        self._hours = days * 24
        self._counts: F64 = np.zeros(1024)
        self._by_hour: deque[tuple[int, Counter[int]]] = deque()

    def rank(self, query: Query, size: int) -> Ranking:
        """By count."""
        self._forget(query.asker.at)
        self._counts = grown(self._counts, size)
        return Ranking(np.arange(1, size), self._counts[1:size])

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """One more."""
        hour = asker.at // _HOUR
        if not self._by_hour or self._by_hour[-1][0] < hour:
            self._by_hour.append((hour, Counter()))
        self._by_hour[-1][1][slot] += 1
        self._counts = grown(self._counts, slot + 1)
        self._counts[slot] += 1.0
        self._forget(asker.at)

    def _forget(self, now: int) -> None:
        while self._by_hour and self._by_hour[0][0] <= now // _HOUR - self._hours:
            for slot, count in self._by_hour.popleft()[1].items():
                self._counts[slot] -= count


class Recent(RankingArm):
    """Popularity that decays: every positive event counts by its age, at ``half_life`` ms."""

    name = "recent"

    def __init__(self, half_life: int = DAY) -> None:
        self.half_life = half_life
        self._at = 0
        self._weights: F64 = np.zeros(1024)
        self._unit = 1.0

    def rank(self, query: Query, size: int) -> Ranking:
        """By decayed count, in a unit of its own: decay changes no order."""
        self._weights = grown(self._weights, size)
        return Ranking(np.arange(1, size), self._weights[1:size])

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """One more; instead of all others shrinking, the newest counts for more."""
        elapsed = asker.at - self._at
        if elapsed > 0:
            self._at = asker.at
            factor = decay_factor(float(elapsed), float(self.half_life))
            if factor == 0.0 or self._unit / factor > _LARGEST:
                self._weights *= factor / self._unit
                self._unit = 1.0
            else:
                self._unit /= factor
        self._weights = grown(self._weights, slot + 1)
        self._weights[slot] += self._unit


class Frequent(RankingArm):
    """The visitor's own most frequent items, of equals the more recent; then what is recent."""

    name = "frequent"

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    def rank(self, query: Query, size: int) -> Ranking:
        """By own count, then by ``recent``."""
        recent = self._recent.rank(query, size)
        highest = float(recent.scores.max(initial=0.0)) or 1.0
        own = recent.scores / highest
        counted, counts = np.unique(query.mine, return_counts=True)
        own[counted - 1] += 1.0 + counts
        return Ranking(recent.slots, own)

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """The visitor's history is kept elsewhere, and ``recent`` learns by itself."""
