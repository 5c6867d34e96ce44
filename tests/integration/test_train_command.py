"""``freshet train``: from a log to a model that serves."""

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import TopicPartition
from freshet.state import LOG
from freshet.training.reading import in_order
from freshet.training.run import CannotTrain, Course, train
from freshet.training.shelf import LogShelf
from personalization.events import CatalogueRecord
from personalization.models import MODEL_RECORD, Registry
from personalization.ranking.model_scorer import scorer_of
from personalization.ranking.surface import default_surface
from tables.topics import (
    CATALOGUE,
    MODELS,
    VISITOR_EVENTS,
)
from tests.processes import FRESHET, clean_environ, get, serving
from tests.training_logs import fill
from tests.training_shop import SPEC, Traffic, traffic

COURSE = Course(threads=1)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    """A data folder's log with two thirds of its pages served."""
    log = EmbeddedLog(tmp_path / "data" / LOG)
    await fill(log, traffic(1, 900))
    yield log
    await log.stop()


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody looks."""
    assert done <= total, stage


async def made(log: EmbeddedLog, course: Course = COURSE) -> Any:
    """A training."""
    surface = default_surface(SPEC.plan.categories)
    return await train(log, SPEC, surface, course, now=1_796_000_000_000, progress=quiet)


async def test_records_come_in_the_order_of_receipt(log: EmbeddedLog) -> None:
    """Over topics and partitions, each partition's in its own order."""
    told = [one async for one in in_order(log, [CATALOGUE, VISITOR_EVENTS])]
    times = [one.record.timestamp for one in told]
    assert times == sorted(times)
    assert {one.topic for one in told} == {CATALOGUE, VISITOR_EVENTS}


async def test_a_model_is_promoted_and_is_what_the_next_one_must_beat(log: EmbeddedLog) -> None:
    """Served pages by their decisions, the others by replay; the model serves; then it is what
    the gate compares with."""
    first = await made(log)
    sources = first.trained.card["sources"]
    assert sources["decisions"] > 2_000
    assert sources["replay"] > 1_000
    assert first.trained.card["in_service"] == "formula"
    shelf = LogShelf(log)
    await shelf.register(first.model)
    await shelf.promote(first.model, 1_796_000_000_001, first.trained.verdict.why)
    registry = Registry()
    for record in log.read(TopicPartition(MODELS, 0), 0, 10):
        registry.fold(MODEL_RECORD.decode(record.value or b""), record.offset)
    assert registry.in_service(SPEC.feature_set_id) == first.model.id
    assert scorer_of(first.model).feature_set == SPEC.feature_set_id
    assert (await made(log)).trained.card["in_service"] == first.model.id


async def test_shuffled_labels_are_refused(log: EmbeddedLog) -> None:
    """And the reason is said."""
    nonsense = await made(log, msgspec.structs.replace(COURSE, shuffle=True))
    assert not nonsense.trained.verdict.promote
    assert "against what serves" in nonsense.trained.verdict.why


async def test_a_history_without_decisions_and_impressions_is_learned_from(tmp_path: Path) -> None:
    """Outcomes alone: each is a page with sampled negatives."""
    log = EmbeddedLog(tmp_path / LOG)
    told = traffic(2, 500, served=0.0)
    kept = [r for r in told.records if isinstance(r, CatalogueRecord) or r.type == "click"]
    await fill(log, Traffic(kept, []))
    outcome = await made(log)
    assert outcome.trained.card["sources"]["replay"] > 5_000
    assert outcome.trained.verdict.lists > 100
    await log.stop()


async def test_without_events_it_says_what_is_missing(tmp_path: Path) -> None:
    """In words."""
    log = EmbeddedLog(tmp_path / LOG)
    await fill(log, Traffic())
    with pytest.raises(CannotTrain, match="no events"):
        await made(log)
    await log.stop()


def test_beside_a_running_server(tmp_path: Path) -> None:
    """The log is read while the server has it; the server is given the model, and ranks with it."""
    import asyncio

    data = tmp_path / "data"

    async def prepare() -> None:
        log = EmbeddedLog(data / LOG)
        await fill(log, traffic(1, 900))
        await log.stop()

    asyncio.run(prepare())
    with serving(data) as (_, url):
        done = subprocess.run(
            [*FRESHET, "train", "--data", str(data), "--promote", "--json", "--threads", "1"],
            capture_output=True,
            env=clean_environ(),
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 2), done.stderr.decode()
        card = json.loads(done.stdout)
        models = get(f"{url}/v1/models")
        if card["gate"]["promote"]:
            assert models["serving"] == card["model"]
            assert models["promotions"][0]["by"] == "freshet train"
        else:
            assert models["serving"] == "formula"
