"""An evaluation from beginning to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from freshet.evaluation.arms import Chance, protocol_with_arms
from freshet.evaluation.spill import Spill
from freshet.evaluation.survey import (
    EvaluationError,
    ProtocolName,
    positives_of,
    protocol_of,
    schedule_of,
    split_of,
    survey,
)
from personalization.evaluation.cost import Cost
from personalization.evaluation.learning import fit
from personalization.evaluation.pipeline import Frozen, Realtime
from personalization.evaluation.prequential import Prequential, Turn
from personalization.evaluation.results import Cell
from personalization.ranking.formula import Formula
from personalization.ranking.surface import Surface
from personalization.replaying.world import World
from personalization.spec import Spec

_EVERY = 500

Report = Callable[[str, int, int], None]


class Stream(Protocol):
    """What can be read several times, each time to the same turns. ``size`` is about how many
    lines it has; ``answered`` says that an exposure is logged when it is answered."""

    @property
    def size(self) -> int: ...

    @property
    def answered(self) -> bool: ...

    def __iter__(self) -> Iterator[Turn]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. ``None``: whatever fits the data. Without ``learn`` the formula ranks."""

    protocol: ProtocolName | None = None
    test: str | None = None
    seed: int = 1
    learn: bool = True
    resamples: int = 500


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it. ``first`` and ``last`` are the times (ms) of the first and last event."""

    protocol: ProtocolName
    positives: tuple[str, ...]
    cells: list[Cell]
    cost: dict[str, float]
    events: int
    rejected: int
    first: int
    last: int
    fits: int
    seconds: float


def evaluate(
    feed: Stream, spec: Spec, surface: Surface, request: Request, report: Report
) -> Evaluation:
    """Survey the stream, then one prequential pass. Raises ``EvaluationError``."""
    began = time.monotonic()
    found = survey(feed, lambda done: report("looking", done, max(feed.size, done)))
    positives = positives_of(spec, found)
    name = request.protocol or protocol_of(found)
    split = split_of(request.test, found, name, positives)
    schedule = schedule_of(split, found, name, positives, learn=request.learn)
    with ExitStack() as stack:
        live, lagging, mine = (stack.enter_context(Spill()) for _ in range(3))
        world, cost = World(spec, live), Cost()
        wanted = [(source.name, source.count) for source in surface.sources]
        formula = Formula(spec.columns, spec.feature_set_id)
        frozen = Frozen(world, World(spec, lagging), wanted, formula)
        realtime = Realtime(world, wanted, formula)
        protocol = protocol_with_arms(
            name,
            world,
            frozen,
            realtime,
            found,
            positives,
            mine,
            Chance(request.seed, request.resamples),
            answered=feed.answered,
        )
        learn = partial(
            fit,
            feature_set=spec.feature_set_id,
            columns=spec.columns,
            objective=protocol.objective,
        )
        run = Prequential(
            world,
            frozen,
            realtime,
            protocol,
            split,
            schedule,
            learn,
            cost,
            seed=request.seed,
        )
        for number, turn in enumerate(feed):
            if number % _EVERY == 0:
                report("evaluating", number, found.turns)
            if not run.take(turn):
                break
        protocol.finish()
        report("evaluating", found.turns, found.turns)
        if not protocol.results.tested:
            raise EvaluationError("the test holds no event that could be predicted")
        return Evaluation(
            name,
            positives,
            list(protocol.results.cells()),
            cost.report(world.columns.size - 1),
            run.events,
            run.rejected + world.rejected,
            found.first,
            found.last,
            run.fits,
            time.monotonic() - began,
        )
