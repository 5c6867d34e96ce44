"""Scores over HTTP: probabilities of pairs, in their order, and a record of each."""

import json
import math

import lightgbm
import msgspec
import numpy as np
import pytest

from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision, vectors_of
from personalization.events import SERVED
from personalization.models import unpack_text
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.model_scorer import scorer_of
from personalization.ranking.replay import replay
from tables.topics import DECISIONS, VISITOR_EVENT, VISITOR_EVENTS
from tests.api_stack import JSON, Stack, eventually
from tests.boosters import model_for
from tests.logs import topic_records

FORMULA = Formula(marketplace.columns, marketplace.feature_set_id)


async def score(stack: Stack, *pairs: JSON, **body: object) -> JSON:
    return await stack.ok("POST", "/v1/score", {"pairs": list(pairs), **body})


async def recorded(stack: Stack, count: int) -> dict[str, Decision]:
    """The decisions in the log, once there are so many."""

    async def written() -> bool:
        return len(await topic_records(stack.log, DECISIONS)) >= count

    await eventually(written)
    records = await topic_records(stack.log, DECISIONS)
    return {d.id: d for d in (DECISION.decode(record.value or b"") for record in records)}


async def test_pairs_are_scored_in_their_order_and_nothing_is_dropped(stack: Stack) -> None:
    """Also what a page would not show, and one pair twice with other features. What a ranking
    would score a pair with is what it is scored with; the formula's are said not to be
    calibrated."""
    lines = [
        {"type": "item", "item": f"i{n}", "attributes": {"category": f"c{n}", "in_stock": n != 1}}
        for n in range(3)
    ]
    events = [
        {"type": "click", "visitor": "v", "item": "i2"},
        {"type": "dislike", "visitor": "v", "item": "i0"},
    ]
    token = (await stack.ok("POST", "/v1/events", [*lines, *events]))["token"]
    await stack.known(token)
    pairs: list[JSON] = [{"visitor": who, "item": f"i{n}"} for n in range(3) for who in ("v", "w")]
    pairs.append({"visitor": "v", "item": "i2", "features": {"score": -1.0}})
    answer = await score(stack, *pairs, token=token)
    scores = answer["scores"]
    assert [(s["visitor"], s["item"]) for s in scores] == [(p["visitor"], p["item"]) for p in pairs]
    assert (answer["model"], answer["calibrated"]) == ("formula", False)
    assert answer["freshness"]["caught_up"] is True
    ranked = await stack.ok("POST", "/v1/rank", {"visitor": "v", "candidates": ["i2"]})
    logit = ranked["items"][0]["score"]
    assert scores[4]["probability"] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-3)
    assert scores[6]["probability"] == pytest.approx(1 / (1 + math.exp(1 - logit)), abs=1e-3)
    assert scores[4]["probability"] > scores[0]["probability"]


async def test_each_visitors_pairs_are_a_decision_that_runs_again(stack: Stack) -> None:
    """Pairs of one visitor in one context are recorded together; nothing was served."""
    pairs = [{"visitor": "v", "item": f"i{n}"} for n in range(3)]
    pairs += [{"visitor": "w", "item": "i0"}]
    answer = await score(stack, *pairs, {**pairs[0], "context": {"device": "phone"}})
    ids = [s["decision"] for s in answer["scores"]]
    assert [len(set(ids[:3])), len(set(ids))] == [1, 3]
    for decision in (await recorded(stack, 3)).values():
        assert decision.shown == []
        assert replay(decision, FORMULA) is None
    opened = await stack.ok("GET", f"/v1/decisions/{ids[0]}")
    assert [candidate["item"] for candidate in opened["candidates"]] == ["i0", "i1", "i2"]
    await stack.ok("POST", "/v1/rank", {"visitor": "v", "candidates": ["i0"]})
    await recorded(stack, 4)

    async def served() -> bool:
        events = await topic_records(stack.log, VISITOR_EVENTS)
        told = [VISITOR_EVENT.decode(record.value or b"") for record in events]
        return [len(event.items) for event in told if event.type == SERVED] == [1]

    await eventually(served)


async def test_a_binary_model_gives_its_own_probabilities(stack: Stack) -> None:
    """Those that LightGBM predicts; it says that they are meant to be such."""
    for seed, objective in enumerate(("binary", "lambdarank"), 1):
        made = model_for(marketplace, seed, trees=5)
        model = msgspec.structs.replace(made, objective=objective)
        await stack.ok("POST", "/v1/models", json.loads(msgspec.json.encode(model)))
        why = {"by": "ada", "why": "a test"}
        await stack.ok("POST", f"/v1/models/{model.id}/promote", why)
        answer = await score(stack, *({"item": f"i{n}"} for n in range(3)))
        assert (answer["model"], answer["calibrated"]) == (model.id, objective == "binary")
        decision = (await recorded(stack, seed))[answer["scores"][0]["decision"]]
        booster = lightgbm.Booster(model_str=unpack_text(model.text))
        logits = booster.predict(vectors_of(decision), raw_score=True, num_threads=1)
        told = [s["probability"] for s in answer["scores"]]
        assert told == pytest.approx((1 / (1 + np.exp(-np.asarray(logits)))).tolist())
        assert replay(decision, scorer_of(model)) is None


async def test_what_cannot_be_is_said(stack: Stack) -> None:
    """By pair and field; nothing is scored then."""
    bad = {
        "pairs": [{"item": "a\u0007b"}, {"item": "i", "visitor": "user:u"}],
    }
    problem = await stack.problem(422, "POST", "/v1/score", json.dumps(bad).encode())
    assert [e["field"] for e in problem["errors"]] == ["pairs[0].item", "pairs[1].visitor"]
    late = {"pairs": [{"item": "i"}, {"item": "i", "context": {"utc_offset": 9999}}]}
    problem = await stack.problem(422, "POST", "/v1/score", json.dumps(late).encode())
    assert [e["field"] for e in problem["errors"]] == ["context.utc_offset"]
    await stack.problem(422, "POST", "/v1/score", b'{"pairs": []}')
    assert await topic_records(stack.log, DECISIONS) == []
