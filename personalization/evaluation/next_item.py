"""Next item: before each positive event the live catalogue is ranked, then the event happens."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from personalization.evaluation import cohorts
from personalization.evaluation.arm import Arm
from personalization.evaluation.bootstrap import Means, visitor_number
from personalization.evaluation.cohorts import BIT, COHORTS, Target
from personalization.evaluation.history import History, OpenSession, Sessions
from personalization.evaluation.learning import Collected
from personalization.evaluation.metrics import rank_metrics, rank_of
from personalization.evaluation.neighbours import VARIANTS, Neighbours, Variant
from personalization.evaluation.pipeline import Considered, Realtime
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F64, I64
from personalization.replaying.world import World

METRICS = ("hr@10", "ndcg@10", "mrr")
NEGATIVES = 60


class NextItem:
    """The protocol. ``arms`` begin with popularity, which also says what is a head; ``realtime``
    is among them and gives the examples to learn from; ``knn`` is tuned.

    Items already in the session are neither ranked nor tested; all others are, also those the
    visitor had before. The cohort ``new_to_visitor`` ranks only what is new to the visitor.
    """

    metrics = METRICS

    def __init__(
        self,
        world: World,
        arms: Sequence[Arm],
        realtime: Realtime,
        knn: Neighbours,
        history: History,
        *,
        seed: int,
        resamples: int = 1000,
    ) -> None:
        self.means = Means(len(COHORTS), len(arms) * len(METRICS), seed, resamples)
        self.collected = Collected()
        self.missed = 0
        self._world = world
        self._arms = arms
        self._realtime = realtime
        self._knn = knn
        self._tuned: dict[Variant, list[float]] = {variant: [] for variant in VARIANTS}
        self._history = history
        self._sessions = Sessions(world.spec.plan.session_gap)
        self._random = np.random.default_rng([seed, 1])
        self._blocked = np.zeros(1024, np.bool_)

    def query(self, asker: Asker) -> Query:
        """What is known of ``asker`` before the event."""
        session = self._sessions.current(asker)
        return Query(
            asker,
            self._world.who(asker.visitor, asker.user),
            self._history.of(asker.key),
            np.array([] if session is None else session.slots, np.int64),
        )

    def test(self, query: Query, item: str, logged_out: bool) -> bool:
        """Rank for ``query`` in every arm, and hold it against ``item``, which comes next.

        False: it is in the session already, and was not tested.
        """
        size, target = self._world.columns.size, self._world.slot(item)
        if target in query.session:
            return False
        rankings = [arm.rank(query, size) for arm in self._arms]
        visitor = visitor_number(query.asker.key)
        prior = 0 if query.row is None else sum(query.row.counts)
        members = cohorts.of_query(query, prior, logged_out)
        for blocked, own in ((query.session, False), (query.mine, True)):
            if own and target in query.mine:
                break
            self._block(blocked, size, True)
            ranks = [
                rank_of(ranking.scores, ranking.slots, self._blocked, target) if target else 0
                for ranking in rankings
            ]
            self._block(blocked, size, False)
            members |= cohorts.of_target(self._target(target, query.asker.at, ranks[0], size))
            values: F64 = np.array([rank_metrics(rank) for rank in ranks]).reshape(-1)
            self.means.add(visitor, BIT["new_to_visitor"] if own else members, values)
        return True

    def study(self, query: Query, item: str) -> None:
        """Take ``query`` as an example to learn from: ``item`` comes next."""
        target = self._world.slot(item)
        considered = self._realtime.consider(query)
        wanted = np.flatnonzero(considered.slots == target)
        if target in query.session:
            return
        if target == 0 or not len(wanted):
            self.missed += 1
            return
        self._collect(query, considered, int(wanted[0]))

    def tune(self, query: Query, item: str) -> None:
        """Let every variant of ``knn`` rank for ``query``."""
        size, target = self._world.columns.size, self._world.slot(item)
        if target == 0 or target in query.session:
            return
        self._block(query.session, size, True)
        for variant, gains in self._tuned.items():
            ranking = self._knn.rank_by(query, size, variant)
            rank = rank_of(ranking.scores, ranking.slots, self._blocked, target)
            gains.append(rank_metrics(rank)[1])
        self._block(query.session, size, False)

    def settle(self) -> None:
        """Tuning is over: the best variant of ``knn`` is in force."""
        means = {variant: np.mean(gains) for variant, gains in self._tuned.items() if gains}
        if means:
            self._knn.variant = max(means, key=lambda variant: means[variant])

    def learn(self, asker: Asker, item: str) -> None:
        """The event happened, and the world has it: the arms learn."""
        slot = self._world.slot(item)
        session = self._sessions.touch(asker)
        for arm in self._arms:
            arm.learn(asker, session, slot)
        session.slots.append(slot)
        self._history.add(asker.key, slot)

    def touch(self, asker: Asker) -> OpenSession:
        """Something else happened in a session."""
        return self._sessions.touch(asker)

    def _collect(self, query: Query, considered: Considered, wanted: int) -> None:
        others = np.flatnonzero(~np.isin(considered.slots, query.session))
        others = others[others != wanted]
        if len(others) > NEGATIVES:
            others = np.sort(self._random.choice(others, NEGATIVES, replace=False))
        rows = np.concatenate([[wanted], others])
        labels = np.zeros(len(rows), np.float32)
        labels[0] = 1.0
        self.collected.add(query.asker.at, considered.matrix[rows], labels)

    def _block(self, slots: I64, size: int, blocked: bool) -> None:
        if len(self._blocked) < size:
            self._blocked = np.zeros(2 * size, np.bool_)
        self._blocked[slots] = blocked

    def _target(self, slot: int, now: int, place: int, size: int) -> Target:
        if slot == 0:
            return Target(0, -1, 0, size - 1)
        columns = self._world.columns.candidates([self._world.columns.item_id(slot)])
        listed = int(columns.created_at[0]) or int(columns.items.first_at[0])
        seller = int(columns.seller_created_at[0]) or int(columns.sellers.first_at[0])
        return Target(
            now - listed if listed else 0,
            now - seller if seller else -1,
            place,
            size - 1,
        )


def drawn(seed: int, number: int, share: float) -> bool:
    """Whether the event with this ``number`` is in a sample of ``share`` of all."""
    digest = blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * 2.0**64
