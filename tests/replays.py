"""A small shop's log, and passes over it whose every prediction is written down."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from freshet.evaluation.arms import Chance, protocol_with_arms
from freshet.evaluation.survey import ProtocolName, survey
from personalization.evaluation.arm import Listed, Ranking
from personalization.evaluation.cost import Cost
from personalization.evaluation.learning import fit
from personalization.evaluation.pipeline import Frozen, Realtime
from personalization.evaluation.prequential import Prequential, Schedule, Turn
from personalization.evaluation.protocol import EvaluationProtocol
from personalization.evaluation.query import Query
from personalization.evaluation.split import DAY, Split
from personalization.features.view import F64
from personalization.presets import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.surface import default_surface
from personalization.replaying.world import World
from personalization.wire import Line

START = 1_763_856_000_000  # a midnight
POSITIVES = ("click", "purchase")
FORMULA = Schedule(0.0)


def turn(**fields: Any) -> Turn:
    return Turn([msgspec.convert(fields, Line)])


def shop_log(days: int, seed: int = 1, visitors: int = 12, items: int = 14) -> list[Turn]:
    """Visitors with a taste look at three items and often take one that they like."""
    random = np.random.default_rng(seed)
    turns: list[Turn] = []
    for day in range(days):
        at = START + day * DAY
        if day < items:
            attributes = {"category": f"c{day % 3}", "price": 5.0 + day}
            turns.append(turn(type="item", item=f"i{day}", at=at, attributes=attributes))
        known = min(day + 1, items)
        for number in range(visitors):
            at += 600_000 + int(random.integers(60_000))
            who = {"visitor": f"v{number}", "at": at, "id": f"{day}:{number}"}
            shown = [f"i{item}" for item in random.permutation(known)[:3].tolist()]
            turns.append(turn(type="impression", items=shown, **who))
            liked = [item for item in shown if int(item[1:]) % 3 == number % 3]
            if liked and random.random() < 0.8:
                who["at"], who["id"] = at + 30_000, f"{day}:{number}:taken"
                turns.append(turn(type=POSITIVES[day % 2], item=liked[0], **who))
    return turns


def write_file(folder: Path, turns: Sequence[Turn]) -> Path:
    """The lines of ``turns`` as a file."""
    path = folder / "events.jsonl"
    lines = [msgspec.json.encode(line) for one in turns for line in one.lines]
    path.write_bytes(b"\n".join(lines))
    return path


@dataclass
class Recorder:
    """An arm, whatever it predicts written down."""

    arm: Any
    told: list[tuple[int, str, bytes]]
    now: Any = field(default=None)

    @property
    def name(self) -> str:
        return str(self.arm.name)

    def rank(self, query: Query, size: int) -> Ranking:
        ranking: Ranking = self.arm.rank(query, size)
        self._write(query, ranking.scores)
        return ranking

    def score(self, query: Query, listed: Listed, size: int) -> F64:
        return self._write(query, self.arm.score(query, listed, size))

    def predict(self, query: Query, listed: Listed, size: int) -> F64:
        return self._write(query, self.arm.predict(query, listed, size))

    def _write(self, query: Query, scores: F64) -> F64:
        self.told.append((query.asker.at, self.name, scores.tobytes()))
        return scores

    def __getattr__(self, name: str) -> Any:
        return getattr(self.arm, name)


@dataclass
class Replayed:
    """A pass that was made. ``told`` after each turn is how many predictions there were."""

    protocol: EvaluationProtocol
    run: Prequential
    cost: Cost
    predictions: list[tuple[int, str, bytes]]
    told: list[int]

    def value(self, arm: str, metric: str, cohort: str = "all") -> float:
        """A metric's mean."""
        return next(
            cell.value[0]
            for cell in self.protocol.results.cells()
            if (cell.arm, cell.cohort, cell.metric) == (arm, cohort, metric)
        )


def replay(
    turns: Sequence[Turn],
    name: ProtocolName,
    split: Split,
    schedule: Schedule = FORMULA,
    answered: bool = False,
    positives: Sequence[str] = POSITIVES,
) -> Replayed:
    """One prequential pass over ``turns``."""
    spec, predictions = marketplace, list[tuple[int, str, bytes]]()
    world, cost = World(spec), Cost()
    wanted = [(source.name, source.count) for source in default_surface().sources]
    formula = Formula(spec.columns, spec.feature_set_id)
    frozen = Frozen(world, {}, wanted, formula, split.start)
    realtime = Realtime(world, wanted, formula)
    found = survey(turns, lambda done: None)
    chance = Chance(seed=1, resamples=50)
    protocol = protocol_with_arms(
        name, world, frozen, realtime, found, positives, {}, chance, answered
    )
    anything: Any = protocol
    if name == "pointwise":
        anything.arms = [Recorder(arm, predictions) for arm in anything.arms]
    else:
        anything._stage.arms = [Recorder(arm, predictions) for arm in anything._stage.arms]
    learn = partial(
        fit,
        feature_set=spec.feature_set_id,
        columns=spec.columns,
        objective=protocol.objective,
    )
    run = Prequential(world, frozen, realtime, protocol, split, schedule, learn, cost, seed=1)
    told = []
    for one in turns:
        if not run.take(one):
            break
        told.append(len(predictions))
    protocol.finish()
    return Replayed(protocol, run, cost, predictions, told)
