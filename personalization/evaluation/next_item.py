"""Next item: before each positive event the live catalogue is ranked, then the event happens."""

from collections.abc import Collection

import numpy as np

from personalization.evaluation import cohorts
from personalization.evaluation.bootstrap import visitor_number
from personalization.evaluation.cohorts import BIT
from personalization.evaluation.learning import Collected, some_of
from personalization.evaluation.metrics import rank_metrics
from personalization.evaluation.neighbours import VARIANTS
from personalization.evaluation.protocol import Purpose
from personalization.evaluation.query import Asker, Query
from personalization.evaluation.results import Results
from personalization.evaluation.stage import Stage
from personalization.features.view import I64
from personalization.training.labels import Objective
from personalization.wire import Line

METRICS = ("hr@10", "ndcg@10", "mrr")
NEGATIVES = 30
TUNED = 2_000


class NextItem:
    """The protocol. ``positives`` are the types of the events that are predicted; the first of
    the stage's arms, popularity, says what is a head.

    Items already in the session are neither ranked nor tested; all others are, also those the
    visitor had before. The cohort ``new_to_visitor`` ranks only what is new to the visitor.
    """

    name = "next_item"
    objective: Objective = "lambdarank"

    def __init__(
        self,
        stage: Stage,
        positives: Collection[str],
        *,
        seed: int,
        accounts: bool,
        resamples: int = 1000,
    ) -> None:
        self.arms = stage.arms
        self.collected = Collected()
        self.results = Results(
            [arm.name for arm in stage.arms], METRICS, seed=seed, resamples=resamples
        )
        self._stage = stage
        self._positives = frozenset(positives)
        self._accounts = accounts
        self._random = np.random.default_rng([seed, 1])

    def predicts(self, asker: Asker, line: Line) -> bool:
        """A positive event."""
        return line.type in self._positives

    def before(self, asker: Asker, line: Line, purpose: Purpose) -> None:
        """Ask, for every item of ``line``."""
        query = self._stage.query(asker)
        for item in items_of(line):
            target = self._stage.world.slot(item)
            if target in query.session:
                continue
            if purpose.test:
                self._test(query, target)
            if target and purpose.tune and self._stage.tuned < TUNED:
                self._tune(query, target)
            if purpose.study:
                self._study(query, target)

    def after(self, asker: Asker, line: Line) -> None:
        """The arms learn of what was positive."""
        if line.type in self._positives:
            self._stage.learn(asker, items_of(line))
        else:
            self._stage.sessions.touch(asker)

    def settle(self) -> None:
        """The best variant stays."""
        self._stage.settle()

    def finish(self) -> None:
        """Nothing is open."""

    def _test(self, query: Query, target: int) -> None:
        stage, asker = self._stage, query.asker
        size = stage.world.columns.size
        rankings = [arm.rank(query, size) for arm in stage.arms]

        def places(without: I64) -> list[int]:
            blocked = stage.without(without, size)
            return [ranking.place(target, blocked) for ranking in rankings]

        ranks = places(query.session)
        members = cohorts.of_query(query, asker.logged_out(self._accounts))
        members |= cohorts.of_target(stage.target(target, asker.at, ranks[0]))
        self._add(asker, members, ranks)
        if target not in query.mine:
            self._add(asker, BIT["new_to_visitor"], places(query.mine))

    def _add(self, asker: Asker, members: int, ranks: list[int]) -> None:
        metrics = [rank_metrics(rank) for rank in ranks]
        self.results.add(visitor_number(asker.key), members, metrics)

    def _tune(self, query: Query, target: int) -> None:
        size = self._stage.world.columns.size
        blocked = self._stage.without(query.session, size)
        for variant in VARIANTS:
            rank = self._stage.knn.rank_by(query, size, variant).place(target, blocked)
            self._stage.tune(rank_metrics(rank)[1], variant)

    def _study(self, query: Query, target: int) -> None:
        realtime = self._stage.realtime
        slots = realtime.consider(query).slots
        labels = (slots == target).astype(np.float32)
        if not target or not labels.any():
            self.collected.missed += 1
            return
        allowed = ~np.isin(slots, query.session)
        rows = some_of(labels, allowed, NEGATIVES, self._random)
        self.collected.add(query.asker.at, realtime.features(query, rows), labels[rows])


def items_of(line: Line) -> list[str]:
    """The items that an event is about, in order, without repeats."""
    return list(dict.fromkeys(line.items or ([] if line.item is None else [line.item])))
