"""One seed of the demo's marketplace, served by the formula and then by what was learned from it.

After ``before`` seconds of traffic ``freshet train --promote`` runs beside the server, and traffic
goes on for ``after`` seconds more. Of the pages that the model ranked, what the formula would have
shown is chosen again from the decisions' records: the same people, candidates and moments. Both
are worth their true, hidden click probabilities.
"""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import TopicPartition
from freshet.demo.behaviour import Visit
from freshet.demo.client import Client, Ranking
from freshet.demo.evaluation import interval, resample
from freshet.demo.market import list_catalogue, trade
from freshet.demo.measurements import Measurements
from freshet.demo.policies import PAGE
from freshet.demo.run import _wait_for
from freshet.demo.traffic import Traffic
from freshet.demo.world import Intent, Person, World
from personalization.decisions import DECISIONS, Decision, vectors_of
from personalization.presets.marketplace import marketplace
from personalization.ranking.choose import Terms, choose
from personalization.ranking.formula import Formula
from personalization.ranking.values import recall
from tests.processes import FRESHET, clean_environ, serving

TRAIN_SECONDS = 300.0


class Asked(NamedTuple):
    """A ranking of the demo's candidates: who asked, and for what."""

    decision: str
    person: Person
    intent: Intent
    items: list[int]


class Recorded(Traffic):
    """Traffic that remembers what was asked."""

    asked: list[Asked]

    async def _rank(self, visit: Visit, candidates: list[str] | None) -> Ranking | None:
        ranking = await super()._rank(visit, candidates)
        if ranking is not None and candidates is not None:
            items = [int(item[1:]) for item in candidates]
            self.asked.append(Asked(ranking.decision, visit.person, visit.intent, items))
        return ranking


def run(folder: Path, seed: int, before: float, after: float) -> dict[str, Any]:
    """What came of it. ``difference`` is the model's true click rate less the formula's."""
    world = World(seed, "tastes")
    data = folder / "data"
    with serving(data) as (_, url):
        outcome = asyncio.run(_drive(world, url, data, seed, before, after))
        asked = outcome.pop("asked")
    decided = _decisions(data)
    pages = [(one, decided[one.decision]) for one in asked if one.decision in decided]
    served = [page for page in pages if page[1].model != Formula.name]
    return {"seed": seed, **outcome, "pages": len(served), **_compare(world, served, seed)}


async def _drive(
    world: World, url: str, data: Path, seed: int, before: float, after: float
) -> dict[str, Any]:
    measured = Measurements()
    rng = np.random.default_rng([seed, 5])
    async with Client(url) as client:
        await _wait_for(await list_catalogue(world, client, measured, rng), client)

        start = asyncio.get_running_loop().time()
        most = before + after + TRAIN_SECONDS
        demand = Recorded(world, client, measured, start, most)
        demand.asked = []
        going = [
            asyncio.create_task(trade(world, client, measured, rng, start, start + most)),
            asyncio.create_task(demand.run()),
        ]
        await asyncio.sleep(before)
        events, began = measured.events, time.monotonic()
        real = await asyncio.to_thread(_train, data, "--promote")
        seconds = time.monotonic() - began
        nonsense = await asyncio.to_thread(_train, data, "--shuffle-labels")
        if real["gate"]["promote"]:
            await asyncio.sleep(max(0.0, after - (time.monotonic() - began - seconds)))
        for task in going:
            task.cancel()
        await asyncio.wait(going)
        return {
            "events": events,
            "train_seconds": round(seconds, 1),
            "promoted": real["gate"]["promote"],
            "gate": real["gate"]["why"],
            "shuffled_refused": not nonsense["gate"]["promote"],
            "shuffled_gate": nonsense["gate"]["why"],
            "errors": dict(client.errors),
            "asked": demand.asked,
        }


def _train(data: Path, *more: str) -> dict[str, Any]:
    """The card."""
    done = subprocess.run(
        [*FRESHET, "train", "--data", str(data), "--json", *more],
        capture_output=True,
        env=clean_environ(),
        timeout=TRAIN_SECONDS,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr.decode()[-2_000:]
    card: dict[str, Any] = json.loads(done.stdout)
    return card


def _decisions(data: Path) -> dict[str, Decision]:
    log = EmbeddedLog(data / "log", read_only=True)
    found = {}
    for number in range(log.partitions("decisions")):
        offset = 0
        while records := log.read(TopicPartition("decisions", number), offset, 1_000):
            for record in records:
                decision = DECISIONS.decode(record.value or b"")
                found[decision.id] = decision
            offset = records[-1].offset + 1
    log.close()
    return found


def _compare(world: World, pages: list[tuple[Asked, Decision]], seed: int) -> dict[str, Any]:
    if not pages:
        return {}
    formula = Formula(marketplace.columns, marketplace.feature_set_id)
    rates = np.empty((len(pages), 2))
    for row, (asked, decision) in enumerate(pages):
        items = np.array([int(item[1:]) for item in decision.candidates])
        truth = world.click_probability(asked.person, asked.intent, items)
        shown = [one.candidate for one in decision.shown]
        other = _order(decision, formula.score(vectors_of(decision)))
        rates[row] = [truth[order[:PAGE]].sum() / PAGE for order in (shown, other)]
    people = np.array([asked.person.number for asked, _ in pages])
    draws, means = resample(people, rates, seed), rates.mean(axis=0)
    return {
        "model": interval(float(means[0]), draws[:, 0]),
        "formula": interval(float(means[1]), draws[:, 1]),
        "difference": interval(float(means[0] - means[1]), draws[:, 0] - draws[:, 1]),
    }


def _order(decision: Decision, scores: "np.typing.NDArray[np.float64]") -> list[int]:
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
