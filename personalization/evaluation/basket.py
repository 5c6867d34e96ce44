"""Basket: before a session opens ten items are ranked, and held against all it brings."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from personalization.evaluation import cohorts
from personalization.evaluation.bootstrap import visitor_number
from personalization.evaluation.cohorts import BIT
from personalization.evaluation.learning import Collected, some_of
from personalization.evaluation.metrics import TOP, basket_metrics
from personalization.evaluation.next_item import items_of
from personalization.evaluation.protocol import Purpose
from personalization.evaluation.query import Asker, Query
from personalization.evaluation.results import Results
from personalization.evaluation.stage import Stage
from personalization.features.view import F32, I64
from personalization.training.labels import Objective
from personalization.wire import Line

METRICS = ("hr@10", "ndcg@10")
NEGATIVES = 100
_DAY = 86_400_000


@dataclass(slots=True, eq=False)
class _Open:
    """A session that was asked about: what each arm ranked, of all and of what was new; if it is
    studied, the candidates' slots and features."""

    query: Query
    members: int
    pages: list[list[int]]
    new_pages: list[list[int]]
    studied: tuple[I64, F32] | None
    basket: set[int] = field(default_factory=set)


class Basket:
    """The protocol, for visitors with a positive event before. ``positives`` fill the basket.

    A session is over when the visitor opens another, or a day after it was opened.
    """

    name = "basket"
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
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def predicts(self, asker: Asker, line: Line) -> bool:
        """An event that opens a session of somebody who came before."""
        if self._stage.sessions.current(asker) is not None:
            return False
        return len(self._stage.history.of(asker.key)) > 0

    def before(self, asker: Asker, line: Line, purpose: Purpose) -> None:
        """Rank, and remember what was ranked."""
        self._close(asker.key)
        self._close_before(asker.at - _DAY)
        stage, query = self._stage, self._stage.query(asker)
        size = stage.world.columns.size
        pages: list[list[int]] = []
        new_pages: list[list[int]] = []
        if purpose.test:
            rankings = [arm.rank(query, size) for arm in stage.arms]
            everything = stage.without(query.session, size)
            pages = [ranking.top(TOP, everything) for ranking in rankings]
            only_new = stage.without(query.mine, size)
            new_pages = [ranking.top(TOP, only_new) for ranking in rankings]
        studied = None
        if purpose.study:
            studied = (stage.realtime.consider(query).slots, stage.realtime.features(query))
        members = cohorts.of_query(query, asker.logged_out(self._accounts))
        self._open[asker.key] = _Open(query, members, pages, new_pages, studied)

    def after(self, asker: Asker, line: Line) -> None:
        """What was positive goes into the basket."""
        if line.type not in self._positives:
            self._stage.sessions.touch(asker)
            return
        items = items_of(line)
        self._stage.learn(asker, items)
        opened = self._open.get(asker.key)
        if opened is not None:
            opened.basket.update(self._stage.world.slot(item) for item in items)

    def settle(self) -> None:
        """Nothing was tuned: queries without a session say little about neighbours."""

    def finish(self) -> None:
        """Close all sessions."""
        for key in list(self._open):
            self._close(key)

    def _close_before(self, at: int) -> None:
        while self._open:
            key, oldest = next(iter(self._open.items()))
            if oldest.query.asker.at >= at:
                break
            self._close(key)

    def _close(self, key: str) -> None:
        opened = self._open.pop(key, None)
        if opened is None or not opened.basket:
            return
        visitor = visitor_number(key)
        new = opened.basket - set(opened.query.mine.tolist())
        for pages, members, basket in (
            (opened.pages, opened.members, opened.basket),
            (opened.new_pages, BIT["new_to_visitor"], new),
        ):
            if pages and basket:
                values = [basket_metrics(page, basket) for page in pages]
                self.results.add(visitor, members, values)
        if opened.studied is not None:
            self._study(opened.query, *opened.studied, opened.basket)

    def _study(self, query: Query, slots: I64, matrix: F32, basket: set[int]) -> None:
        labels = np.isin(slots, list(basket)).astype(np.float32)
        if not labels.any():
            self.collected.missed += 1
            return
        rows = some_of(labels, np.ones(len(labels), np.bool_), NEGATIVES, self._random)
        self.collected.add(query.asker.at, matrix[rows], labels[rows])
