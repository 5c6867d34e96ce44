"""List: what was shown is ranked again, and held against what was then chosen from it."""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from personalization.evaluation import cohorts
from personalization.evaluation.arm import Listed
from personalization.evaluation.bootstrap import visitor_number
from personalization.evaluation.learning import Collected
from personalization.evaluation.metrics import list_metrics
from personalization.evaluation.next_item import items_of
from personalization.evaluation.protocol import Purpose
from personalization.evaluation.query import Asker
from personalization.evaluation.results import Results
from personalization.evaluation.stage import Stage
from personalization.features.view import F32, F64
from personalization.training.labels import Objective
from personalization.wire import Line

METRICS = ("mrr", "ndcg")
IMPRESSION = "impression"


@dataclass(slots=True, eq=False)
class _Shown:
    """An impression whose outcome is awaited."""

    asker: Asker
    items: list[str]
    members: int
    scores: list[F64]
    matrix: F32 | None
    chosen: set[str] = field(default_factory=set)


class Lists:
    """The protocol. An impression counts if one of its items, at least two, is in an event of
    ``positives`` of the same visitor before ``window`` ms have passed."""

    name = "list"
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
        self._window = stage.world.spec.plan.session_gap
        self._waiting: deque[_Shown] = deque()
        self._of: OrderedDict[str, deque[_Shown]] = OrderedDict()

    def predicts(self, asker: Asker, line: Line) -> bool:
        """An impression of several items."""
        return line.type == IMPRESSION and len(items_of(line)) > 1

    def before(self, asker: Asker, line: Line, purpose: Purpose) -> None:
        """Score what is about to be shown."""
        self._close_before(asker.at - self._window)
        stage, query = self._stage, self._stage.query(asker)
        items = items_of(line)
        listed = Listed(items, [stage.world.slot(item) for item in items])
        size = stage.world.columns.size
        scores = [arm.score(query, listed, size) for arm in stage.arms] if purpose.test else []
        matrix = stage.realtime.matrix(query, listed) if purpose.study else None
        members = cohorts.of_query(query, asker.logged_out(self._accounts))
        shown = _Shown(asker, items, members, scores, matrix)
        self._waiting.append(shown)
        self._of.setdefault(asker.key, deque()).append(shown)

    def after(self, asker: Asker, line: Line) -> None:
        """What was chosen, from the last impression that had it."""
        self._close_before(asker.at - self._window)
        if line.type not in self._positives:
            self._stage.sessions.touch(asker)
            return
        items = items_of(line)
        self._stage.learn(asker, items)
        for item in items:
            for shown in reversed(self._of.get(asker.key, ())):
                if item in shown.items:
                    shown.chosen.add(item)
                    break

    def settle(self) -> None:
        """Nothing was tuned."""

    def finish(self) -> None:
        """Close all."""
        self._close_before(1 << 62)

    def _close_before(self, at: int) -> None:
        while self._waiting and self._waiting[0].asker.at < at:
            shown = self._waiting.popleft()
            own = self._of[shown.asker.key]
            own.remove(shown)
            if not own:
                del self._of[shown.asker.key]
            if shown.chosen:
                self._close(shown)

    def _close(self, shown: _Shown) -> None:
        labels = np.array([item in shown.chosen for item in shown.items])
        if shown.scores:
            values = [list_metrics(scores, labels) for scores in shown.scores]
            self.results.add(visitor_number(shown.asker.key), shown.members, values)
        if shown.matrix is not None and not labels.all():
            self.collected.add(shown.asker.at, shown.matrix, labels.astype(np.float32))
