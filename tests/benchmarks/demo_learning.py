"""One seed of the demo's marketplace, ranked by the formula and then by what was learned from it.

After ``before`` simulated seconds ``freshet train``'s own training runs on the log, once as it is
and once with shuffled labels; if the gate says so the model ranks, for ``after`` seconds more. Of
the pages that the model ranked, what the formula would have shown is chosen again from the
decisions' records: the same people, candidates and moments. Both are worth their true, hidden click
probabilities.
"""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from eventlog.embedded import EmbeddedLog
from freshet.demo.behaviour import Visit
from freshet.demo.client import Ranking
from freshet.demo.evaluation import interval, resample
from freshet.demo.market import list_catalogue, trade
from freshet.demo.measurements import Measurements
from freshet.demo.policies import PAGE
from freshet.demo.traffic import Traffic
from freshet.demo.world import Intent, Person, World
from freshet.training.run import Course, gather, make
from personalization.decisions import Decision, vectors_of
from personalization.presets.marketplace import marketplace
from personalization.ranking.choose import Terms, choose
from personalization.ranking.formula import Formula
from personalization.ranking.model_scorer import scorer_of
from personalization.ranking.surface import default_surface
from personalization.ranking.values import recall
from tests.benchmarks.demo_in_process import Backend, InProcess, simulated

LOG = "log"
FORMULA = Formula(marketplace.columns, marketplace.feature_set_id)


class Asked(NamedTuple):
    """A ranking of the demo's candidates: who asked, and for what."""

    decision: str
    person: Person
    intent: Intent


class Recorded(Traffic):
    """Traffic that remembers what was asked: twice the demo's, as time is simulated."""

    sessions_per_s = 26.0

    asked: list[Asked]

    async def _rank(self, visit: Visit, candidates: list[str] | None) -> Ranking | None:
        ranking = await super()._rank(visit, candidates)
        if ranking is not None and candidates is not None:
            self.asked.append(Asked(ranking.decision, visit.person, visit.intent))
        return ranking


def run(parent: Path, before: float, after: float, seed: int) -> dict[str, Any]:
    """What came of it. ``difference`` is the model's true click rate less the formula's.

    The log is in a folder in ``parent``, gone afterwards.
    """
    with TemporaryDirectory(dir=parent) as folder:
        return simulated(_run(Path(folder), seed, before, after))


async def _run(folder: Path, seed: int, before: float, after: float) -> dict[str, Any]:
    backend = Backend(folder / LOG, FORMULA)
    world, client, measured = World(seed, "tastes"), InProcess(backend), Measurements()
    rng = np.random.default_rng([seed, 5])
    await backend.open()
    await list_catalogue(world, client, measured, rng)
    demand = Recorded(world, client, measured, 0.0, before + after)
    demand.asked = []
    going = [
        asyncio.create_task(trade(world, client, measured, rng, 0.0, before + after)),
        asyncio.create_task(demand.run()),
    ]
    await asyncio.sleep(before)
    outcome: dict[str, Any] = {"seed": seed, "events": measured.events}
    first = len(backend.decisions)
    if _beside(_learn(folder, backend, outcome, client.now_ms())):
        await asyncio.gather(*going)
        by_id = {decision.id: decision for decision in backend.decisions[first:]}
        pages = [(one, by_id[one.decision]) for one in demand.asked if one.decision in by_id]
        outcome |= {"pages": len(pages), **_compare(world, pages, seed)}
    for task in going:
        task.cancel()
    await asyncio.wait(going)
    await backend.log.stop()
    assert not client.errors, client.errors
    return outcome


def _beside(training: Coroutine[Any, Any, bool]) -> bool:
    """Runs it on a loop of its own while simulated time stands still."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, training).result()


async def _learn(folder: Path, backend: Backend, outcome: dict[str, Any], now: int) -> bool:
    """Whether the gate promoted what was learned; if so it ranks from now on."""
    log = EmbeddedLog(folder / LOG, read_only=True)
    course, quiet = Course(threads=1), lambda *_: None
    surface = default_surface(marketplace.plan.categories)
    began = time.process_time()
    gathered = await gather(log, marketplace, surface, course, quiet)
    made = await make(log, marketplace, course, gathered, now=now, progress=quiet)
    outcome["train_cpu_seconds"] = round(time.process_time() - began, 1)
    shuffled = msgspec.structs.replace(course, shuffle=True)
    nonsense = await make(log, marketplace, shuffled, gathered, now=now, progress=quiet)
    outcome |= {
        "promoted": made.trained.verdict.promote,
        "gate": made.trained.verdict.why,
        "trees": made.trained.fitted.trees,
        "shuffled_refused": not nonsense.trained.verdict.promote,
        "shuffled_gate": nonsense.trained.verdict.why,
    }
    log.close()
    if made.trained.verdict.promote:
        backend.scorer = scorer_of(made.model)
    return made.trained.verdict.promote


def _compare(world: World, pages: list[tuple[Asked, Decision]], seed: int) -> dict[str, Any]:
    rates = np.empty((len(pages), 2))
    for row, (asked, decision) in enumerate(pages):
        items = np.array([int(item[1:]) for item in decision.candidates])
        truth = world.click_probability(asked.person, asked.intent, items)
        shown = [one.candidate for one in decision.shown]
        other = _order(decision, FORMULA.score(vectors_of(decision)))
        rates[row] = [truth[order[:PAGE]].sum() / PAGE for order in (shown, other)]
    people = np.array([asked.person.number for asked, _ in pages])
    draws, means = resample(people, rates, seed), rates.mean(axis=0)
    return {
        "model": interval(float(means[0]), draws[:, 0]),
        "formula": interval(float(means[1]), draws[:, 1]),
        "difference": interval(float(means[0] - means[1]), draws[:, 0] - draws[:, 1]),
    }


def _order(decision: Decision, scores: npt.NDArray[np.float64]) -> list[int]:
    """The page with other scores: everything else as it was."""
    terms = Terms(
        decision.surface,
        [],
        None,
        frozenset(decision.seen),
        frozenset(decision.disliked),
        frozenset(decision.shown_before),
        decision.request.limit,
        decision.seed,
    )
    values = recall(decision.values, decision.candidates)
    return list(choose(values, scores, terms).order.tolist())
