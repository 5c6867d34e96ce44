"""Vectors of the caller's own over HTTP: what is near is found with no history at all."""

from collections.abc import AsyncIterator

import pytest

from personalization.decisions import DECISIONS as DECISION
from personalization.ranking.formula import Formula
from personalization.ranking.parity import audit
from personalization.ranking.replay import replay
from tables.decision_rows import rows_of
from tables.topics import DECISIONS
from tests.api_stack import JSON, Stack, eventually, running
from tests.logs import Home, topic_records
from tests.vector_spec import SPEC, direction

WRONG = {"attributes": {"embedding": [1.0, 2.0]}}
REASON = [
    {"field": "attributes.embedding", "reason": "has 2 numbers, and 8 are declared"},
]


@pytest.fixture
async def shop(home: Home) -> AsyncIterator[Stack]:
    """Thirty pictures on a quarter of a circle, i0 to i29; i3 is out of stock; nobody saw any."""
    async with running(home, spec=SPEC) as stack:
        lines = [
            {
                "type": "item",
                "item": f"i{n}",
                "attributes": {"embedding": direction(30.0 - n, n), "in_stock": n != 3},
            }
            for n in range(30)
        ]
        await stack.known((await stack.ok("POST", "/v1/catalogue", lines))["token"])
        yield stack


def near(answer: JSON) -> list[str]:
    return [item["item"] for item in answer["items"] if "near" in item["sources"]]


async def test_a_click_brings_what_is_near(shop: Stack) -> None:
    """With the token of the click; the nearest above all else, none that is out of stock."""
    click = {"type": "click", "visitor": "me", "item": "i2"}
    token = (await shop.ok("POST", "/v1/events", click))["token"]
    answer = await shop.ok("POST", "/v1/rank", {"visitor": "me", "token": token, "limit": 30})
    assert near(answer)[:3] == ["i1", "i0", "i4"]
    assert "i2" not in near(answer)
    assert "i3" not in [item["item"] for item in answer["items"]]
    nobody = await shop.ok("POST", "/v1/rank", {"visitor": "new", "limit": 30})
    assert near(nobody) == []


async def test_a_new_item_is_near_and_similar_at_once(shop: Stack) -> None:
    """With the token of its listing; where it moves it is found, and not once it is deleted."""
    click = {"type": "click", "visitor": "me", "item": "i20"}
    token = (await shop.ok("POST", "/v1/events", click))["token"]
    await shop.ok("POST", "/v1/rank", {"visitor": "me", "token": token})

    async def found(token: str, item: str) -> tuple[bool, list[str]]:
        known = {"token": token, "limit": 40}
        mine = await shop.ok("POST", "/v1/rank", {"visitor": "me", **known})
        similar = await shop.ok("POST", f"/v1/similar/items/{item}", known)
        return "new" in near(mine)[:3], near(similar)[:3]

    there = {"attributes": {"embedding": direction(10.0, 20.5)}}
    token = (await shop.ok("PUT", "/v1/items/new", there))["token"]
    assert await found(token, "new") == (True, ["i20", "i21", "i19"])
    away = {"attributes": {"embedding": direction(30.0, 0.1)}}
    token = (await shop.ok("PATCH", "/v1/items/new", away))["token"]
    assert await found(token, "new") == (False, ["i0", "i1", "i2"])
    assert (await found(token, "i0"))[1][0] == "new"
    token = (await shop.ok("DELETE", "/v1/items/new"))["token"]
    assert "new" not in (await found(token, "i0"))[1]


async def test_what_is_no_vector_is_refused(shop: Stack) -> None:
    """On every way in; the attribute is named. What is shown is what was sent."""
    for method in ("PUT", "PATCH"):
        assert (await shop.problem(422, method, "/v1/items/i1", WRONG))["errors"] == REASON
    line = {"type": "item", "item": "i1", **WRONG}
    for path in ("/v1/catalogue", "/v1/events"):
        assert (await shop.ok("POST", path, line))["results"][0]["errors"] == REASON
    shown = await shop.ok("GET", "/v1/items/i1")
    assert shown["attributes"]["embedding"] == direction(29.0, 1.0)
    token = (await shop.ok("PATCH", "/v1/items/i1", {"attributes": {"embedding": None}}))["token"]
    await shop.known(token)
    assert "embedding" not in (await shop.ok("GET", "/v1/items/i1"))["attributes"]


async def test_events_do_not_carry_vectors(shop: Stack) -> None:
    """An event is stamped with what folds read, and they read none."""
    await shop.ok("POST", "/v1/events", {"type": "click", "visitor": "me", "item": "i2"})
    assert shop.replicas.stamp("i2").attributes == {"in_stock": True}


async def test_decisions_are_found_again_in_the_log(shop: Stack) -> None:
    """Run again to the same bits, and their vectors folded again from the log."""
    events = [{"type": "click", "visitor": "me", "item": f"i{n}"} for n in (4, 9, 2)]
    token = (await shop.ok("POST", "/v1/events", events))["token"]
    asked = {"visitor": "me", "token": token, "wait": "all"}
    served = await shop.ok("POST", "/v1/rank", asked)
    similar = await shop.ok("POST", "/v1/similar/items/i7", asked)
    for n in range(10):
        moved = {"attributes": {"embedding": direction(-1.0, n)}}
        await shop.ok("PUT", f"/v1/items/i{n}", moved)
    ids = {served["decision"], similar["decision"]}

    async def recorded() -> bool:
        return len(await topic_records(shop.log, DECISIONS)) >= len(ids)

    await eventually(recorded)
    records = await topic_records(shop.log, DECISIONS)
    decisions = [DECISION.decode(record.value or b"") for record in records]
    decisions = [decision for decision in decisions if decision.id in ids]
    assert len(decisions) == 2
    rows = await rows_of(shop.log, SPEC, decisions)
    for decision in decisions:
        assert replay(decision, Formula(SPEC.columns, SPEC.feature_set_id)) is None
        assert audit(decision, rows, SPEC) is None
        assert decision.offsets.last_listed
