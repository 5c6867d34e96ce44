"""What is compared: an arm ranks the catalogue for whoever asks, then sees what happened."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from personalization.evaluation.history import OpenSession
from personalization.evaluation.metrics import rank_of
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F64, I64, Bool


class Ranking:
    """``scores`` [n] of the items in ``slots`` [n], in any order; other items come after them.

    Scores may come from a function, which is called if somebody wants to know them: before
    anything more is folded.
    """

    def __init__(self, slots: I64, scores: F64 | Callable[[], F64]) -> None:
        self.slots = slots
        self._scores = scores

    @property
    def scores(self) -> F64:
        """In the order of ``slots``."""
        if callable(self._scores):
            self._scores = self._scores()
        return self._scores

    def place(self, target: int, blocked: Bool) -> int:
        """The place of slot ``target`` among those that are not ``blocked``, from 1; 0 if it is
        not there (see ``rank_of``). Where it is not, nothing need be scored."""
        if not (self.slots == target).any():
            return 0
        return int(rank_of(self.scores, self.slots, blocked, target))

    def top(self, n: int, blocked: Bool) -> list[int]:
        """The best ``n`` slots that are not ``blocked``; of equal scores the lower slot first."""
        scores = np.where(blocked[self.slots], -np.inf, self.scores)
        order = np.lexsort((self.slots, -scores))[:n]
        return [int(self.slots[place]) for place in order if scores[place] > -np.inf]

    def at(self, slots: Sequence[int]) -> F64:
        """The scores of ``slots``; -inf for what was not ranked."""
        known = dict(zip(self.slots.tolist(), self.scores.tolist(), strict=True))
        return np.array([known.get(slot, -np.inf) for slot in slots])


class Listed(NamedTuple):
    """Items to be scored, by id and by slot (0: never heard of) of the live world."""

    ids: list[str]
    slots: list[int]


class Arm(Protocol):
    """One way to rank, live: it knows every event before the one it is asked about."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    def rank(self, query: Query, size: int) -> Ranking:
        """The order for ``query`` of a catalogue with slots below ``size``."""
        ...

    def score(self, query: Query, listed: Listed, size: int) -> F64:
        """The scores of ``listed`` for ``query``: -inf for what the arm does not know."""
        ...

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """The asker had a positive event with ``slot``, in ``session``."""
        ...


class RankingArm:
    """An arm that scores a few items by ranking all."""

    def rank(self, query: Query, size: int) -> Ranking:
        """See ``Arm``."""
        raise NotImplementedError

    def score(self, query: Query, listed: Listed, size: int) -> F64:
        """From the ranking of all."""
        return self.rank(query, size).at(listed.slots)
