"""One pass over a stream: every prediction is made before its event is taken in."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from personalization.evaluation.learning import Examples
from personalization.evaluation.next_item import NextItem, drawn
from personalization.evaluation.pipeline import Frozen, Realtime
from personalization.evaluation.query import Asker, asker_of
from personalization.evaluation.split import DAY, Phase, Split
from personalization.ranking.scorer import Scorer
from personalization.replaying.world import World
from personalization.wire import Line, Rejected


class Turn(NamedTuple):
    """Lines that come together: all of them are predicted before any is taken in. ``part`` is
    the part of the stream they belong to."""

    lines: list[Line]
    part: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a pass learns. Of the positive events in the last ``window`` ms before a fit, the
    ``share`` is studied; a fit is made at the test's start and then every ``refit`` ms (0: never
    again). ``share`` 0 means that the formula ranks. Variants are tuned on the studied events of
    the last ``tuning`` ms before the test."""

    share: float
    window: int = 90 * DAY
    refit: int = 7 * DAY
    tuning: int = 14 * DAY


class Prequential:
    """The pass. ``fit`` makes a scorer of examples; ``positives`` are the types of the events
    that are predicted; ``logged_out`` says so of who asks."""

    def __init__(
        self,
        world: World,
        frozen: Frozen,
        realtime: Realtime,
        protocol: NextItem,
        split: Split,
        schedule: Schedule,
        fit: Callable[[Examples], Scorer],
        positives: Collection[str],
        logged_out: Callable[[Asker], bool],
        *,
        seed: int,
    ) -> None:
        self.tested = 0
        self.rejected = 0
        self._world = world
        self._frozen = frozen
        self._realtime = realtime
        self._protocol = protocol
        self._split = split
        self._schedule = schedule
        self._fit = fit
        self._positives = frozenset(positives)
        self._logged_out = logged_out
        self._seed = seed
        self._number = 0
        self._next_fit: int | None = None

    def take(self, turn: Turn) -> bool:
        """Predict and take in what comes next. False: the test is over."""
        positive: list[tuple[Asker, str]] = []
        for line in turn.lines:
            if line.type in self._positives and line.at is not None:
                asker = asker_of(line)
                phase = self._split.phase(asker.at, turn.part)
                if phase == "after":
                    return False
                for item in line.items or [line.item or ""]:
                    self._predict(asker, item, phase)
                    positive.append((asker, item))
        self._take_in(turn.lines)
        for asker, item in positive:
            self._protocol.learn(asker, item)
        return True

    def _predict(self, asker: Asker, item: str, phase: Phase) -> None:
        schedule, protocol = self._schedule, self._protocol
        self._number += 1
        if phase == "test" and schedule.share and asker.at >= (self._next_fit or 0):
            self._learn(asker.at)
        studied = drawn(self._seed, self._number, schedule.share)
        if phase == "train" and asker.at < self._split.start - schedule.window:
            studied = False
        if phase == "train" and not studied:
            return
        query = protocol.query(asker)
        if phase == "test":
            self.tested += protocol.test(query, item, self._logged_out(asker))
        elif asker.at >= self._split.start - schedule.tuning:
            protocol.tune(query, item)
        if studied:
            protocol.study(query, item)

    def _learn(self, now: int) -> None:
        if self._next_fit is None:
            self._protocol.settle()
        refit = self._schedule.refit
        self._next_fit = now + refit if refit else 1 << 62
        if len(self._protocol.collected) > 100:
            scorer = self._fit(self._protocol.collected.examples(now - self._schedule.window))
            self._realtime.scorer = self._frozen.scorer = scorer

    def _take_in(self, lines: Sequence[Line]) -> None:
        for line in lines:
            try:
                record = self._world.accept(line, 1 << 60)
            except Rejected:
                self.rejected += 1
                continue
            self._world.fold(record)
            self._frozen.fold(record)
