"""What every protocol that ranks the catalogue stands on: the live state and the arms."""

from collections.abc import Sequence

import numpy as np

from personalization.evaluation.arm import Arm
from personalization.evaluation.cohorts import Target
from personalization.evaluation.history import History, OpenSession, Sessions
from personalization.evaluation.neighbours import VARIANTS, Neighbours, Variant
from personalization.evaluation.pipeline import Realtime
from personalization.evaluation.query import Asker, Query
from personalization.features.view import I64, Bool
from personalization.replaying.world import World


class Stage:
    """``arms`` in the order of the report; ``realtime`` is one of them and gives the examples to
    learn from; the variants of ``knn``, another, are compared while the model is not there."""

    def __init__(
        self,
        world: World,
        arms: Sequence[Arm],
        realtime: Realtime,
        knn: Neighbours,
        history: History,
    ) -> None:
        self.world = world
        self.arms = arms
        self.realtime = realtime
        self.knn = knn
        self.history = history
        self.sessions = Sessions(world.spec.plan.session_gap)
        self._tuned: dict[Variant, list[float]] = {variant: [] for variant in VARIANTS}
        self._blocked: Bool = np.zeros(1024, np.bool_)

    def query(self, asker: Asker) -> Query:
        """What is known of ``asker`` before the event."""
        session = self.sessions.current(asker)
        return Query(
            asker,
            self.world.who(asker.visitor, asker.user),
            self.history.of(asker.key),
            np.array([] if session is None else session.slots, np.int64),
        )

    def learn(self, asker: Asker, items: Sequence[str]) -> OpenSession:
        """A positive event happened, and the world has it: the arms learn."""
        session = self.sessions.touch(asker)
        for item in items:
            slot = self.world.slot(item)
            for arm in self.arms:
                arm.learn(asker, session, slot)
            session.slots.append(slot)
            self.history.add(asker.key, slot)
        return session

    def without(self, slots: I64, size: int) -> Bool:
        """Marks of ``slots``, which are not to be ranked; used up by the next call."""
        if len(self._blocked) < size:
            self._blocked = np.zeros(2 * size, np.bool_)
        self._blocked[:] = False
        self._blocked[slots] = True
        return self._blocked

    @property
    def tuned(self) -> int:
        """How often the variants were compared."""
        return min(map(len, self._tuned.values()))

    def tune(self, gain: float, variant: Variant) -> None:
        """A ranking by ``variant`` gained so much."""
        self._tuned[variant].append(gain)

    def settle(self) -> None:
        """Tuning is over: the best variant of ``knn`` is in force."""
        means = {variant: np.mean(gains) for variant, gains in self._tuned.items() if gains}
        if means:
            self.knn.variant = max(means, key=lambda variant: means[variant])

    def target(self, slot: int, now: int, place: int) -> Target:
        """What is known of the item that an event was about; ``place`` is by popularity.

        An item that does not exist before the event (slot 0) has no age.
        """
        size = self.world.columns.size
        if slot == 0:
            return Target(-1, -1, 0, size - 1)
        columns = self.world.columns.candidates([self.world.columns.item_id(slot)])
        listed = int(columns.created_at[0]) or int(columns.items.first_at[0])
        seller = int(columns.seller_created_at[0]) or int(columns.sellers.first_at[0])
        return Target(
            now - listed if listed else 0, now - seller if seller else -1, place, size - 1
        )
