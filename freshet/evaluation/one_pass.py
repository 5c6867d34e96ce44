"""One prequential pass over a stream, for all of its visitors or for a share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from freshet.evaluation.arms import Chance, protocol_with_arms
from freshet.evaluation.share import Share
from freshet.evaluation.spill import Spill
from freshet.evaluation.survey import ProtocolName, Survey
from freshet.specs import load_spec
from personalization.evaluation.cost import Cost
from personalization.evaluation.learning import fit
from personalization.evaluation.pipeline import Frozen, Realtime
from personalization.evaluation.prequential import Prequential, Schedule, Turn
from personalization.evaluation.protocol import AnyResults
from personalization.evaluation.split import Split
from personalization.ranking.formula import Formula
from personalization.ranking.surface import Surface
from personalization.replaying.world import World

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
class Task:
    """What is to be done, found out and decided: it can be sent to another process. ``spec`` is
    ``module:attribute``, as functions of a spec cannot all be sent."""

    feed: Stream
    spec: str
    surface: Surface
    found: Survey
    positives: tuple[str, ...]
    name: ProtocolName
    split: Split
    schedule: Schedule
    chance: Chance


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass found. ``items`` is how many the catalogue held in the end."""

    results: AnyResults
    cost: Cost
    events: int
    rejected: int
    fits: int
    items: int


def run_pass(task: Task, report: Report, share: Share | None = None) -> Passed:
    """Replay the stream; predict for the visitors of ``share`` (``None``: all)."""
    spec = load_spec(task.spec)
    with ExitStack() as stack:
        live, lagging, mine = (stack.enter_context(Spill()) for _ in range(3))
        world, cost = World(spec, live), Cost()
        wanted = [(source.name, source.count) for source in task.surface.sources]
        formula = Formula(spec.columns, spec.feature_set_id)
        frozen = Frozen(world, lagging, wanted, formula, task.split.start)
        realtime = Realtime(world, wanted, formula)
        protocol = protocol_with_arms(
            task.name,
            world,
            frozen,
            realtime,
            task.found,
            task.positives,
            mine,
            task.chance,
            answered=task.feed.answered,
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
            task.split,
            task.schedule,
            learn if share is None else partial(share.fit, learn),
            cost,
            seed=task.chance.seed,
            mine=None if share is None else share.mine,
        )
        for number, turn in enumerate(task.feed):
            if number % _EVERY == 0:
                report("evaluating", number, task.found.turns)
            if not run.take(turn):
                break
        protocol.finish()
        report("evaluating", task.found.turns, task.found.turns)
        return Passed(
            protocol.results,
            cost,
            run.events,
            run.rejected + world.rejected,
            run.fits,
            world.columns.size - 1,
        )
