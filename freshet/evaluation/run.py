"""An evaluation from beginning to end."""

import time
from dataclasses import dataclass

from freshet.evaluation.arms import Chance
from freshet.evaluation.one_pass import Report, Stream, Task, run_pass
from freshet.evaluation.several import run_several
from freshet.evaluation.survey import (
    EvaluationError,
    ProtocolName,
    positives_of,
    protocol_of,
    schedule_of,
    split_of,
    survey,
)
from freshet.specs import load_spec
from personalization.evaluation.results import Cell
from personalization.ranking.surface import Surface

MOST_PROCESSES = 4  # unless asked for: each holds the whole state
_WORTH_IT = 50_000  # turns: starting another process takes seconds


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. ``None``: whatever fits the data. Without ``learn`` the formula ranks.
    ``processes`` is how many may work on it."""

    protocol: ProtocolName | None = None
    test: str | None = None
    seed: int = 1
    learn: bool = True
    resamples: int = 500
    processes: int = 1


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
    feed: Stream, spec: str, surface: Surface, request: Request, report: Report
) -> Evaluation:
    """Survey the stream, then one prequential pass; ``spec`` is ``module:attribute``.

    Raises ``EvaluationError``, or ``SettingsError`` for the spec.
    """
    began = time.monotonic()
    found = survey(feed, lambda done: report("looking", done, max(feed.size, done)))
    positives = positives_of(load_spec(spec), found)
    name = request.protocol or protocol_of(found)
    split = split_of(request.test, found, name, positives)
    schedule = schedule_of(split, found, name, positives, learn=request.learn)
    chance = Chance(request.seed, request.resamples)
    task = Task(feed, spec, surface, found, positives, name, split, schedule, chance)
    if request.processes == 1 or name == "pointwise" or found.turns < _WORTH_IT:
        passed = run_pass(task, report)
    else:
        passed = run_several(task, report, request.processes)
    if not passed.results.tested:
        raise EvaluationError("the test holds no event that could be predicted")
    return Evaluation(
        name,
        positives,
        list(passed.results.cells()),
        passed.cost.report(passed.items),
        passed.events,
        passed.rejected,
        found.first,
        found.last,
        passed.fits,
        time.monotonic() - began,
    )
