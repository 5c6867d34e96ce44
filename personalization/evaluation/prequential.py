"""One pass over a stream: every prediction is made before its event is taken in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from personalization.evaluation.cost import Cost
from personalization.evaluation.pipeline import Frozen, Realtime
from personalization.evaluation.protocol import EvaluationProtocol, Purpose
from personalization.evaluation.query import Asker, asker_of
from personalization.evaluation.split import DAY, Phase, Split
from personalization.events import CatalogueRecord, StampedEvent
from personalization.ranking.scorer import Scorer
from personalization.replaying.world import World
from personalization.training.examples import Examples
from personalization.wire import KINDS, Line, Rejected

_EVER = 1 << 60


class Turn(NamedTuple):
    """Lines that come together: all of them are predicted before any is taken in. ``part`` is
    the part of the stream they belong to; ``changes`` are of the catalogue, accepted before."""

    lines: list[Line]
    part: str = ""
    changes: Sequence[CatalogueRecord] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a pass learns. Of the events predicted in the last ``window`` ms before a fit the
    ``share`` is studied; a fit is made at the test's start and then every ``refit`` ms (0: never
    again), or every ``refit_events`` tested events. ``share`` 0 means that the formula ranks.
    Variants are tuned on studied events of the last ``tuning`` ms before the test."""

    share: float
    window: int = 60 * DAY
    refit: int = 7 * DAY
    refit_events: int = 0
    tuning: int = 14 * DAY


class Prequential:
    """The pass. ``fit`` makes a scorer of examples, if there is something to learn; ``mine`` says
    for whom this pass predicts, if others predict for the others."""

    def __init__(
        self,
        world: World,
        frozen: Frozen,
        realtime: Realtime,
        protocol: EvaluationProtocol,
        split: Split,
        schedule: Schedule,
        fit: Callable[[Examples | None], Scorer | None],
        cost: Cost,
        *,
        seed: int,
        mine: Callable[[Asker], bool] | None = None,
    ) -> None:
        self.events = 0
        self.rejected = 0
        self.fits = 0
        self._world = world
        self._frozen = frozen
        self._realtime = realtime
        self._protocol = protocol
        self._split = split
        self._schedule = schedule
        self._fit = fit
        self._cost = cost
        self._seed = seed
        self._mine = mine
        self._predicted = 0
        self._next_fit: int | None = None
        self._next_fit_event = 0

    def take(self, turn: Turn) -> bool:
        """Predict and take in what comes next. False: the test is over."""
        told: list[tuple[Asker, Line]] = []
        for line in turn.lines:
            if line.type in KINDS or line.type == "delete":
                continue
            try:
                asker = asker_of(line, turn.part)
            except ValueError:
                self.rejected += 1
                continue
            if self._protocol.predicts(asker, line):
                phase = self._split.phase(asker.at, turn.part)
                if phase == "after":
                    self._protocol.finish()
                    return False
                self._predict(asker, line, phase)
            self._cost.saw(asker)
            told.append((asker, line))
        self._take_in(turn.lines)
        for change in turn.changes:
            self._fold(change)
        for asker, line in told:
            self._protocol.after(asker, line)
        return True

    def _predict(self, asker: Asker, line: Line, phase: Phase) -> None:
        schedule, start = self._schedule, self._split.start
        self._predicted += 1
        if phase == "test":
            self._learn(asker.at)
        study = drawn(self._seed, self._predicted, schedule.share)
        if phase == "train" and asker.at < start - schedule.window:
            study = False
        tune = study and phase == "train" and asker.at >= start - schedule.tuning
        test, mine = phase == "test", self._mine is None or self._mine(asker)
        purpose = Purpose(test and mine, study and mine, tune)
        if any(purpose):
            self._protocol.before(asker, line, purpose)
        if test:
            self._cost.asked(self._realtime.pairs if mine else 0)

    def _learn(self, now: int) -> None:
        if self._next_fit is None:
            self._protocol.settle()
        elif now < self._next_fit and self._predicted < self._next_fit_event:
            return
        schedule = self._schedule
        self._next_fit = now + schedule.refit if schedule.refit else _EVER
        self._next_fit_event = self._predicted + (schedule.refit_events or _EVER)
        scorer = self._fit(self._protocol.collected.examples(now - schedule.window))
        if scorer is not None:
            self.fits += 1
            self._realtime.scorer = scorer
            self._frozen.use(scorer)

    def _take_in(self, lines: Sequence[Line]) -> None:
        for line in lines:
            try:
                record = self._world.accept(line, _EVER)
            except Rejected:
                self.rejected += 1
                continue
            self._fold(record)

    def _fold(self, record: StampedEvent | CatalogueRecord) -> None:
        self.events += 1
        self._frozen.advance(record.at)
        self._world.fold(record)


def drawn(seed: int, number: int, share: float) -> bool:
    """Whether the event with this ``number`` is in a sample of ``share`` of all."""
    digest = blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * 2.0**64
