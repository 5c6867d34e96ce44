"""Similar users over HTTP: people like one, in the viewer's order."""

from typing import Any

import pytest

from personalization.decisions import DECISIONS as DECISION
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.parity import audit
from personalization.ranking.replay import replay
from tables.decision_rows import rows_of
from tables.topics import DECISIONS
from tests.api_stack import JSON, Stack, eventually
from tests.logs import topic_records

FORMULA = Formula(marketplace.columns, marketplace.feature_set_id)


def users_of(answer: JSON) -> list[str]:
    return [item["item"] for item in answer["items"]]


async def similar(stack: Stack, to: str, **body: object) -> JSON:
    return await stack.ok("POST", f"/v1/similar/users/{to}", body)


@pytest.fixture
async def town(stack: Stack) -> Stack:
    """Twelve people of two trades and three skills each; u0 is a designer who draws."""
    lines: list[dict[str, Any]] = [
        {
            "type": "user",
            "user": f"u{n}",
            "attributes": {
                "category": ("design", "law")[n % 2],
                "tags": [("draw", "type", "film")[n % 3]],
                "price": 20.0 + 15 * n,
            },
        }
        for n in range(12)
    ]
    token = (await stack.ok("POST", "/v1/catalogue", lines))["token"]
    await stack.ok("POST", "/v1/rank", {"token": token})
    return stack


async def test_who_shares_most_comes_first_to_somebody_logged_out(town: Stack) -> None:
    """Only people who share something; each says what; not the one who is looked at."""
    answer = await similar(town, "u0", limit=100)
    assert users_of(answer)[0] == "user:u6"  # a designer who draws
    assert set(users_of(answer)) == {f"user:u{n}" for n in (2, 3, 4, 6, 8, 9, 10)}
    sources = {item["item"]: item["sources"] for item in answer["items"]}
    assert (sources["user:u6"], sources["user:u3"]) == (["category", "tags"], ["tags"])


async def test_looks_at_people_teach_what_a_viewer_likes(town: Stack) -> None:
    """Two viewers see the same people in other orders, with the token of their last look."""
    looks = [
        {"type": "click", "visitor": visitor, "item": f"user:{user}"}
        for visitor, user in (("law", "u3"), ("law", "u9"), ("type", "u4"), ("type", "u10"))
    ]
    token = (await town.ok("POST", "/v1/events", looks))["token"]
    law, type_ = [
        users_of(await similar(town, "u0", visitor=visitor, token=token, limit=100))
        for visitor in ("law", "type")
    ]
    assert set(law) == set(type_)
    assert law.index("user:u3") < law.index("user:u2")
    assert type_.index("user:u4") < type_.index("user:u3")


async def test_who_came_a_moment_ago_is_found_and_nobody_sees_themselves(town: Stack) -> None:
    """A line of a user earlier in a request is seen by the events after it."""
    body = {"attributes": {"category": "design", "tags": ["draw"], "price": 20.0}}
    token = (await town.ok("PUT", "/v1/users/new", body))["token"]
    assert "user:new" in users_of(await similar(town, "u0", token=token, limit=100))
    seen = users_of(await similar(town, "u0", user="new", limit=100))
    assert "user:u6" in seen
    assert "user:new" not in seen
    token = (await town.ok("DELETE", "/v1/users/new"))["token"]
    assert "user:new" not in users_of(await similar(town, "u0", token=token, limit=100))


async def test_pages_filters_and_the_record(town: Stack) -> None:
    """As in any ranking: pages do not repeat, filters hold, the record runs again, and the log
    gives the vectors that were served."""
    look = {"type": "view", "visitor": "v", "item": "user:u0"}
    token = (await town.ok("POST", "/v1/events", look))["token"]
    first = await similar(town, "u0", visitor="v", limit=3, token=token, wait="all")
    second = await similar(town, "u0", visitor="v", limit=3, after=first["decision"])
    assert len({*users_of(first), *users_of(second)}) == 6
    filters = {"category": {"eq": "law"}}
    assert set(users_of(await similar(town, "u0", filters=filters))) == {"user:u3", "user:u9"}

    async def written() -> bool:
        return len(await topic_records(town.log, DECISIONS)) >= 3

    await eventually(written)
    decisions = [DECISION.decode(r.value or b"") for r in await topic_records(town.log, DECISIONS)]
    rows = await rows_of(town.log, marketplace, decisions)
    for decision in decisions:
        assert replay(decision, FORMULA) is None
        assert audit(decision, rows, marketplace) is None
    assert {d.request.similar_to for d in decisions} == {None, "user:u0"}


async def test_what_cannot_be_is_said(town: Stack) -> None:
    """An unknown user is a 404; a user cannot be listed as an item; candidates are found."""
    problem = await town.problem(404, "POST", "/v1/similar/users/ghost", b"{}")
    assert "user 'ghost'" in problem["detail"]
    await town.problem(404, "POST", "/v1/similar/users/a%07b", b"{}")
    problem = await town.problem(422, "PUT", "/v1/items/user:u1", b'{"attributes": {}}')
    assert [error["field"] for error in problem["errors"]] == ["id"]
    line = {"type": "item", "item": "user:u1", "attributes": {}}
    [result] = (await town.ok("POST", "/v1/events", line))["results"]
    assert [error["field"] for error in result["errors"]] == ["item"]
    body = b'{"similar_to": "user:u0", "candidates": ["i1"]}'
    await town.problem(422, "POST", "/v1/rank", body)
