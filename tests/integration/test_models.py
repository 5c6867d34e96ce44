"""Models registered, promoted, rolled back: while requests are served, and after a restart."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from eventlog.protocol import Entry, TopicPartition
from personalization.decisions import DECISIONS, Decision
from personalization.models import (
    MODEL_RECORD,
    Model,
    ModelRecord,
    Promoted,
    Registered,
    model_id,
    pack_text,
)
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.model_scorer import scorer_of
from personalization.ranking.replay import replay
from tables.replicas.models import ModelReplica
from tables.topics import MODELS
from tests.api_stack import Stack, eventually, running
from tests.boosters import model_for
from tests.logs import Home

ITEMS = [f"i{number}" for number in range(100)]
WHY = {"by": "ada", "why": "a test"}
SWAPS = 6


@pytest.fixture(scope="module")
def models() -> list[Model]:
    """Two of 200 trees."""
    return [model_for(marketplace, seed) for seed in (1, 2)]


def sent(model: Model) -> Any:
    """A model's record as it is registered."""
    return json.loads(msgspec.json.encode(model))


async def serving(stack: Stack) -> tuple[str, str]:
    """Which model ranks, as a ranking says and as the list does."""
    ranked = await stack.ok("POST", "/v1/rank", {"candidates": ITEMS, "visitor": "v1"})
    return ranked["model"], (await stack.ok("GET", "/v1/models"))["serving"]


async def decision_of(stack: Stack) -> Decision:
    """A ranking's record, from the log."""
    ranked = await stack.ok("POST", "/v1/rank", {"candidates": ITEMS, "visitor": "v1"})
    found: list[bytes] = []

    async def indexed() -> bool:
        data = await stack.replicas.decision(ranked["decision"])
        found.extend([] if data is None else [data])
        return bool(found)

    await eventually(indexed)
    return DECISIONS.decode(found[0])


async def test_the_formula_ranks_until_a_model_is_promoted(home: Home, models: list[Model]) -> None:
    """Registered, it does not rank; promoted, it ranks the next request; what was promoted before
    takes its place again. Each decision runs again with the model that it names."""
    first, second = models
    async with running(home) as stack:
        assert await serving(stack) == ("formula", "formula")
        for model in (first, second, first):
            listed = await stack.ok("POST", "/v1/models", sent(model))
        assert [each["id"] for each in listed["models"]] == [second.id, first.id]
        assert await serving(stack) == ("formula", "formula")

        for id in (first.id, second.id, first.id, "formula", second.id):
            listed = await stack.ok("POST", f"/v1/models/{id}/promote", WHY)
            assert (listed["in_service"], listed["serving"], listed["refused"]) == (id, id, None)
            assert await serving(stack) == (id, id)
        assert [each["model"] for each in listed["promotions"]] == [
            *(second.id, "formula", first.id, second.id, first.id)
        ]
        assert listed["promotions"][0] | {"at": 0} == {"model": second.id, "at": 0, **WHY}

        decision = await decision_of(stack)
        assert decision.model == second.id
        assert replay(decision, scorer_of(second)) is None
        mismatch = replay(decision, scorer_of(first))
        assert mismatch is not None
        assert mismatch.part == "model"

        described = await stack.ok("GET", f"/v1/models/{second.id}")
        assert described["columns"] == list(marketplace.columns)
        metrics = await (await stack.call("GET", "/metrics")).text()
        assert "freshet_model_refused 0.0" in metrics
        assert "freshet_model_age_seconds 0.0" not in metrics

    async with running(home) as stack:
        assert await serving(stack) == (second.id, second.id)
        explained = {"candidates": ITEMS, "visitor": "v1", "explain": True}
        assert (await stack.ok("POST", "/v1/rank", explained))["model"] == second.id


async def test_what_cannot_serve_is_refused(home: Home, models: list[Model]) -> None:
    """An unknown model, another feature set's, one whose text is damaged, an id that is not its
    own: none gets into the log."""
    model = models[0]
    damaged = pack_text("no trees")
    other = msgspec.structs.replace(model, feature_set="other")
    broken = msgspec.structs.replace(model, text=damaged, id=model_id(model.at, damaged))
    renamed = msgspec.structs.replace(model, id="mine")
    async with running(home) as stack:
        for each, field in ((other, "text"), (broken, "text"), (renamed, "id")):
            problem = await stack.problem(422, "POST", "/v1/models", sent(each))
            assert problem["errors"][0]["field"] == field
        huge = {**sent(model), "card": {"n": 1 << 70}}
        assert (await stack.call("POST", "/v1/models", huge)).status == 422
        await stack.problem(404, "POST", f"/v1/models/{model.id}/promote", WHY)
        await stack.problem(404, "GET", f"/v1/models/{model.id}")
        await stack.problem(422, "POST", "/v1/models/formula/promote", {"by": "ada", "why": ""})
        at = TopicPartition(MODELS, 0)
        assert (await stack.log.end_offsets([at]))[at] == 0
        assert await serving(stack) == ("formula", "formula")


async def test_a_model_that_cannot_be_used_changes_nothing(home: Home, models: list[Model]) -> None:
    """Written into the log by somebody else, it is refused, and what served before serves on,
    also after a restart; the next promotion is taken."""
    good = models[0]
    text = pack_text("tree\n")
    bad = msgspec.structs.replace(good, text=text, id=model_id(good.at, text))
    at = TopicPartition(MODELS, 0)
    async with running(home) as stack:
        await stack.ok("POST", "/v1/models", sent(good))
        await stack.ok("POST", f"/v1/models/{good.id}/promote", WHY)
        promotion = MODEL_RECORD.encode(
            ModelRecord(Promoted(bad.id, bad.feature_set, bad.at, "x", "y"))
        )
        values = [b"not a record", _registered(bad), promotion]
        await stack.log.append({at: [Entry(b"x", value, bad.at) for value in values]})

        async def refused() -> bool:
            return (await stack.ok("GET", "/v1/models"))["refused"] is not None

        await eventually(refused)
        listed = await stack.ok("GET", "/v1/models")
        assert (listed["in_service"], listed["serving"]) == (bad.id, good.id)
        assert "not the whole text" in listed["refused"]
        assert "freshet_model_refused 1.0" in await (await stack.call("GET", "/metrics")).text()
        await stack.problem(422, "POST", f"/v1/models/{bad.id}/promote", WHY)
    async with running(home) as stack:
        assert await serving(stack) == ("formula", "formula")
        listed = await stack.ok("POST", f"/v1/models/{good.id}/promote", WHY)
        assert (listed["serving"], listed["refused"]) == (good.id, None)


async def test_models_are_swapped_under_load(home: Home, models: list[Model]) -> None:
    """While rankings are asked for without a pause, models take turns, here and in another
    process's replica: no request fails, others are answered during a swap, and after it every
    ranking is the new model's. How long a swap takes is measured in tests/benchmarks."""
    async with running(home) as stack:
        for model in models:
            await stack.ok("POST", "/v1/models", sent(model))
        formula = Formula(marketplace.columns, marketplace.feature_set_id)
        other = ModelReplica(stack.log, formula, marketplace.columns)
        await other.start()
        stop, names, meanwhile = asyncio.Event(), [], 0

        async def rank() -> None:
            while not stop.is_set():
                ranked = await stack.ok("POST", "/v1/rank", {"candidates": ITEMS})
                names.append(ranked["model"])

        async def ranked(more: int) -> None:
            enough = len(names) + more

            async def has() -> bool:
                return len(names) >= enough

            await eventually(has)

        load = asyncio.create_task(rank())
        try:
            await ranked(50)
            for swap in range(SWAPS):
                wanted = models[swap % 2].id

                async def swapped(wanted: str = wanted) -> bool:
                    return other.scorer.name == wanted

                before = len(names)
                await stack.ok("POST", f"/v1/models/{wanted}/promote", WHY)
                meanwhile += len(names) - before
                await eventually(swapped)
                await ranked(20)
                assert set(names[-10:]) == {wanted}
        finally:
            stop.set()
            await load
            await other.stop()
    assert meanwhile > 0
    assert set(names) == {"formula", *(model.id for model in models)}


def _registered(model: Model) -> bytes:
    return MODEL_RECORD.encode(ModelRecord(Registered(model)))
