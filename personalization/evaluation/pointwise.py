"""Pointwise: each exposure with its outcome."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from personalization.evaluation import cohorts
from personalization.evaluation.arm import Listed
from personalization.evaluation.auc import Aucs
from personalization.evaluation.bootstrap import Interval, Means, visitor_number
from personalization.evaluation.cohorts import COHORTS
from personalization.evaluation.exposures import ExposureArm
from personalization.evaluation.learning import Collected
from personalization.evaluation.lists import IMPRESSION
from personalization.evaluation.next_item import items_of
from personalization.evaluation.protocol import Purpose
from personalization.evaluation.query import Asker
from personalization.evaluation.results import Cell
from personalization.evaluation.stage import Stage
from personalization.features.view import F32, F64
from personalization.training.labels import Objective
from personalization.wire import Line

METRICS = ("auc", "log_loss", "calibration")


@dataclass(slots=True, eq=False)
class _Exposure:
    """One item that was shown, whose outcome is awaited."""

    asker: Asker
    item: str
    members: int
    predicted: F64 | None
    row: F32 | None
    liked: bool = False


class Pointwise:
    """The protocol. What was shown is liked if an event of ``positives`` of the same visitor is
    about it before ``window`` ms have passed.

    ``answered``: an exposure is logged when it is answered. Then it is asked about as of the
    visitor's event before: how long an answer took tells what it was.
    """

    name = "pointwise"
    objective: Objective = "binary"

    def __init__(
        self,
        stage: Stage,
        arms: Sequence[ExposureArm],
        positives: Collection[str],
        *,
        seed: int,
        accounts: bool,
        answered: bool,
        resamples: int = 1000,
    ) -> None:
        self.arms = arms
        self.collected = Collected(300_000)
        self.results = ExposureResults([arm.name for arm in arms], seed=seed, resamples=resamples)
        self._stage = stage
        self._positives = frozenset(positives)
        self._accounts = accounts
        self._answered = answered
        self._window = stage.world.spec.plan.session_gap
        self._waiting: deque[_Exposure] = deque()
        self._of: dict[tuple[str, str], _Exposure] = {}

    def predicts(self, asker: Asker, line: Line) -> bool:
        """An impression."""
        return line.type == IMPRESSION

    def before(self, asker: Asker, line: Line, purpose: Purpose) -> None:
        """Predict for what is about to be shown."""
        self._close_before(asker.at - self._window)
        query = self._stage.query(asker)
        if self._answered and query.row is not None and query.row.last_at:
            then = replace(asker, at=min(asker.at, query.row.last_at))
            query = replace(query, asker=then)
        items, world = items_of(line), self._stage.world
        listed = Listed(items, [world.slot(item) for item in items])
        size = world.columns.size
        predicted = None
        if purpose.test:
            predicted = np.array([arm.predict(query, listed, size) for arm in self.arms])
        rows = self._stage.realtime.matrix(query, listed) if purpose.study else None
        counted = world.spec.plan.event_index.get(IMPRESSION)
        seen = 0 if query.row is None or counted is None else query.row.counts[counted]
        members = cohorts.of_query(query, asker.logged_out(self._accounts), seen)
        for place, item in enumerate(items):
            exposure = _Exposure(
                asker,
                item,
                members | cohorts.of_seller(query.row, world.stamp(item).seller, world.spec.plan),
                None if predicted is None else predicted[:, place],
                None if rows is None else rows[place : place + 1],
            )
            self._waiting.append(exposure)
            self._of[asker.key, item] = exposure

    def after(self, asker: Asker, line: Line) -> None:
        """What was shown, and what was liked of it."""
        self._close_before(asker.at - self._window)
        self._stage.sessions.touch(asker)
        items = items_of(line)
        slots = [self._stage.world.slot(item) for item in items]
        if line.type == IMPRESSION:
            for arm in self.arms:
                arm.expose(asker, slots)
        elif line.type in self._positives:
            for item, slot in zip(items, slots, strict=True):
                exposure = self._of.get((asker.key, item))
                if exposure is not None:
                    exposure.liked = True
                for arm in self.arms:
                    arm.like(asker, slot)
                self._stage.history.add(asker.key, slot)

    def settle(self) -> None:
        """Nothing was tuned."""

    def finish(self) -> None:
        """Close all."""
        self._close_before(1 << 62)

    def _close_before(self, at: int) -> None:
        while self._waiting and self._waiting[0].asker.at < at:
            exposure = self._waiting.popleft()
            key = (exposure.asker.key, exposure.item)
            if self._of.get(key) is exposure:
                del self._of[key]
            if exposure.predicted is not None:
                self.results.add(
                    exposure.asker, exposure.members, exposure.liked, exposure.predicted
                )
            if exposure.row is not None:
                label = np.array([exposure.liked], np.float32)
                self.collected.add(exposure.asker.at, exposure.row, label)


class ExposureResults:
    """AUC, log loss and calibration of every arm; the last one is ``realtime``."""

    metrics = METRICS

    def __init__(self, arms: Sequence[str], *, seed: int, resamples: int) -> None:
        self.arms = tuple(arms)
        self._aucs = Aucs(len(arms), seed=seed, resamples=min(resamples, 200))
        # Of each arm log loss and prediction; last what happened.
        self._means = Means(len(COHORTS), 2 * len(arms) + 1, seed, resamples)

    @property
    def tested(self) -> int:
        """How many results there are."""
        return self._means.count(0)

    def add(self, asker: Asker, members: int, liked: bool, predicted: F64) -> None:
        """One exposure of ``asker``, and the probability that every arm gave."""
        visitor = visitor_number(asker.key)
        losses = -np.log(predicted if liked else 1.0 - predicted)
        self._means.add(visitor, members, np.concatenate([losses, predicted, [float(liked)]]))
        self._aucs.add(visitor, members, asker.part, liked, predicted.tolist())

    def cells(self) -> Iterator[Cell]:
        """Everything there is, arm by arm."""
        aucs, several = self._aucs.of_cohorts(), len(self.arms)
        for a, arm in enumerate(self.arms):
            last = a == several - 1
            for c, cohort in enumerate(COHORTS):
                n = self._means.count(c)
                if n == 0 or c not in aucs:
                    continue
                own, ahead = aucs[c]
                yield Cell(arm, cohort, n, "auc", own[a], None if last else ahead[a])
                loss = self._means.mean(c, a)
                less = None if last else self._means.difference(c, several - 1, a)
                yield Cell(arm, cohort, n, "log_loss", loss, less)
                ratio: Interval = self._means.ratio(c, several + a, 2 * several)
                yield Cell(arm, cohort, n, "calibration", ratio, None)
