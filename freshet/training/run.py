"""One training: from a log to a model that was judged."""

from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

import msgspec

from eventlog.protocol import EventLog
from freshet.training.reading import StageProgress, in_order, recorded
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision
from personalization.models import (
    FORMULA,
    MODEL_RECORD,
    Model,
    Registered,
    Registry,
    model_id,
    pack_text,
)
from personalization.ranking.formula import Formula
from personalization.ranking.model_scorer import scorer_of
from personalization.ranking.scorer import Scorer
from personalization.ranking.surface import Surface
from personalization.replaying.world import World
from personalization.spec import Spec
from personalization.training.course import Trained, finish, learn
from personalization.training.examples import Examples
from personalization.training.exposures import Exposures
from personalization.training.fit import SEED, THREADS
from personalization.training.labels import IMPRESSION, Objective, outcomes
from personalization.training.lists import Lists, visitor_number
from personalization.training.off_policy import Places
from personalization.training.replayed import Replayed
from personalization.training.served import JOIN_MS, Served
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    MODELS,
    VISITOR_EVENT,
    VISITOR_EVENTS,
)


class CannotTrain(Exception):
    """The log has nothing that a model could be made of: the message says what is missing."""


class Course(msgspec.Struct, frozen=True):
    """How to train. ``window`` in ms, back from the newest event; ``counted`` names the events
    that count as outcomes (``None``: the spec says). With ``replay`` pages that no decision served
    are learned from too: the whole log is folded. ``shuffle`` learns from labels that say nothing:
    a test of the gate."""

    objective: Objective = "pointwise"
    window: int = 30 * 86_400_000
    counted: tuple[str, ...] | None = None
    replay: bool = True
    shuffle: bool = False
    seed: int = SEED
    threads: int = THREADS


class Made(NamedTuple):
    """A model's record, and how it came about."""

    model: Model
    trained: Trained


class Gathered(NamedTuple):
    """Examples, the pages they are of, the label of each outcome, where rows come from and how
    many, and what serves."""

    examples: Examples
    exposures: Exposures
    labels: dict[str, float]
    sources: dict[str, int]
    in_service: Scorer


class _Type(msgspec.Struct, array_like=True, frozen=True):
    type: str
    visitor: str
    at: int


_TYPES = msgspec.msgpack.Decoder(_Type)


async def train(
    log: EventLog,
    spec: Spec,
    surface: Surface,
    course: Course,
    *,
    now: int,
    progress: StageProgress,
) -> Made:
    """Train on what the log has at ``now`` (ms). Raises ``CannotTrain`` or ``Stalled``."""
    gathered = await gather(log, spec, surface, course, progress)
    return await make(log, spec, course, gathered, now=now, progress=progress)


async def gather(
    log: EventLog, spec: Spec, surface: Surface, course: Course, progress: StageProgress
) -> Gathered:
    """What the log has to learn from. Raises ``CannotTrain`` or ``Stalled``."""
    try:
        labels = outcomes(spec, course.objective, course.counted)
    except ValueError as error:
        raise CannotTrain(str(error)) from error
    newest, impressions = await _survey(log)
    since = newest - course.window
    exposures, lists = Exposures(labels), Lists()
    in_service = await _in_service(log, spec)
    replayed = Replayed(
        World(spec),
        exposures,
        lists,
        since=since,
        labels={} if impressions else labels,
        wanted=[(source.name, source.count) for source in surface.sources],
        seed=course.seed,
    )
    events = [CATALOGUE, VISITOR_EVENTS] if course.replay else [VISITOR_EVENTS]
    async for topic, record in in_order(log, events, partial(progress, "events")):
        value = record.value or b""
        if topic == CATALOGUE:
            replayed.take(CATALOGUE_RECORD.decode(value))
        elif course.replay:
            replayed.take(VISITOR_EVENT.decode(value))
        else:
            exposures.add(VISITOR_EVENT.decode(value))
    served = Served(exposures, lists, spec.feature_set_id, window=0 if course.replay else JOIN_MS)
    async for decision in _decisions(log, since, progress):
        served.take(decision)
    sources = {
        "decisions": served.by_id,
        "decisions of the same visitor": served.by_window,
        "replay": replayed.rows,
    }
    try:
        examples = lists.examples(since)
    except ValueError as error:
        raise CannotTrain(str(error)) from error
    return Gathered(examples, exposures, labels, sources, in_service)


async def make(
    log: EventLog,
    spec: Spec,
    course: Course,
    gathered: Gathered,
    *,
    now: int,
    progress: StageProgress,
) -> Made:
    """A model of what was ``gathered`` from ``log``. Raises ``CannotTrain`` or ``Stalled``."""
    in_service = gathered.in_service
    try:
        learned = learn(
            gathered.examples,
            spec,
            in_service,
            objective=course.objective,
            progress=lambda done, total: progress("fits", done, total),
            shuffle=course.shuffle,
            seed=course.seed,
            threads=course.threads,
        )
    except ValueError as error:
        raise CannotTrain(str(error)) from error
    places = Places(learned.judged[-1], in_service, partial(_earned, gathered.exposures))
    async for decision in _decisions(log, learned.last_report, progress):
        places.take(decision)
    trained = finish(
        learned,
        spec,
        in_service,
        places,
        objective=course.objective,
        labels=gathered.labels,
        sources=gathered.sources,
        seed=course.seed,
    )
    return Made(_record(trained, spec, course, now), trained)


async def _survey(log: EventLog) -> tuple[int, bool]:
    """When the newest event was, and whether there are impressions; looks no further than the
    first, and then at the end."""
    newest, impressions = 0, False
    async for _, record in in_order(log, [VISITOR_EVENTS]):
        event = _TYPES.decode(memoryview(record.value or b"")[1:])
        newest = max(newest, event.at)
        impressions = impressions or event.type == IMPRESSION
    if not newest:
        raise CannotTrain("the log has no events")
    return newest, impressions


async def _in_service(log: EventLog, spec: Spec) -> Scorer:
    """What serves the spec's feature set."""
    registry = Registry()
    async for _, record in in_order(log, [MODELS]):
        registry.fold(MODEL_RECORD.decode(record.value or b""), record.offset)
    id = registry.in_service(spec.feature_set_id)
    if id == FORMULA:
        return Formula(spec.columns, spec.feature_set_id)
    offset = registry.shelved(id).offset
    async for _, record in in_order(log, [MODELS]):
        if record.offset == offset:
            said = MODEL_RECORD.decode(record.value or b"").said
            assert isinstance(said, Registered)
            return scorer_of(said.model)
    raise CannotTrain(f"the model in service, {id}, is gone from the log")


async def _decisions(log: EventLog, since: int, progress: StageProgress) -> AsyncIterator[Decision]:
    """All decisions from ``since`` (ms) on."""
    async for value in recorded(log, since, progress):
        yield DECISION.decode(value)


def _earned(exposures: Exposures, decision: Decision) -> tuple[float, int] | None:
    """Whether anything came of what a decision showed first, if it was seen; and to whom."""
    page = exposures.decided.get(decision.id)
    item = decision.candidates[decision.shown[0].candidate]
    if page is None or item not in page.positions:
        return None
    return float(page.labels.get(item, 0.0) > 0.0), visitor_number(page.visitor)


def _record(trained: Trained, spec: Spec, course: Course, now: int) -> Model:
    text = pack_text(trained.fitted.text)
    told = trained.card["ndcg"].get("all", {})
    metrics = {f"ndcg_{name}": interval[0] for name, interval in told.items()}
    return Model(
        id=model_id(now, text),
        feature_set=spec.feature_set_id,
        columns=list(spec.columns),
        kind="lightgbm",
        objective=course.objective,
        at=now,
        window=trained.window,
        metrics=metrics,
        card=trained.card,
        text=text,
    )
