"""Similar items over HTTP: neighbours of this moment, in the viewer's order."""

import pytest

from personalization.decisions import DECISIONS as DECISION
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.replay import replay
from tables.topics import DECISIONS
from tests.api_stack import JSON, Stack, eventually
from tests.logs import topic_records

FORMULA = Formula(marketplace.columns, marketplace.feature_set_id)


def items_of(answer: JSON) -> list[str]:
    return [item["item"] for item in answer["items"]]


@pytest.fixture
async def shop(stack: Stack) -> Stack:
    """Twenty items of four categories, five brands and three sellers; visitors went from i0 to
    i7 and on to i13."""
    lines = [
        {
            "type": "item",
            "item": f"i{n}",
            "seller": f"s{n % 3}",
            "attributes": {"category": f"c{n % 4}", "brand": f"b{n % 5}", "in_stock": n != 4},
        }
        for n in range(20)
    ]
    await stack.ok("POST", "/v1/catalogue", lines)
    events = [
        {"type": "view", "visitor": f"w{visitor}", "item": item}
        for visitor in range(6)
        for item in ("i0", "i7", "i13")
    ]
    answer = await stack.ok("POST", "/v1/events", events)
    request = {"token": answer["token"], "wait": "all"}
    for visitor in range(6):
        await stack.ok("POST", "/v1/rank", {"visitor": f"w{visitor}", **request})
    return stack


async def similar(stack: Stack, item: str, **body: object) -> JSON:
    return await stack.ok("POST", f"/v1/similar/items/{item}", body)


async def test_neighbours_are_what_goes_with_it_or_shares_something(shop: Stack) -> None:
    """Logged out: the co-visited first; of its category, brand and seller all in stock; each says
    why; not the item itself."""
    near = items_of(await similar(shop, "i13", limit=100))
    assert set(near[:2]) == {"i0", "i7"}  # where visitors came from: known at once

    async def both_ways() -> bool:
        found = items_of(await similar(shop, "i0", limit=100))
        return {"i7", "i13"} <= set(found)

    await eventually(both_ways)
    answer = await similar(shop, "i0", limit=100)
    items = items_of(answer)
    sharing = {n for n in range(1, 20) if n % 4 == 0 or n % 5 == 0 or n % 3 == 0} - {4}
    assert set(items) == {f"i{n}" for n in sharing | {7, 13}}
    assert set(items[:2]) == {"i7", "i13"}
    sources = {item["item"]: item["sources"] for item in answer["items"]}
    assert sources["i7"] == ["covisited"]
    assert sources["i12"] == ["category", "seller"]
    assert sources["i5"] == ["brand"]


async def test_each_viewer_has_an_order_of_their_own(shop: Stack) -> None:
    """Two visitors with other tastes see the same neighbours in other orders."""
    events = [
        {"type": kind, "visitor": visitor, "item": item}
        for visitor, item in (("red", "i16"), ("blue", "i15"))
        for kind in ("view", "click", "cart")
    ]
    token = (await shop.ok("POST", "/v1/events", events))["token"]
    red, blue = [
        items_of(await similar(shop, "i0", visitor=visitor, token=token, limit=100))
        for visitor in ("red", "blue")
    ]
    assert set(red) == set(blue)
    assert red.index("i8") < red.index("i5")  # of the category that red likes
    assert blue.index("i5") < blue.index("i8")  # of the brand that blue likes


async def test_what_was_listed_a_moment_ago_is_a_neighbour(shop: Stack) -> None:
    """With the token of its listing, before any list was made again; what has gone is not."""
    body = {"seller": "s9", "attributes": {"category": "c0", "in_stock": True}}
    token = (await shop.ok("PUT", "/v1/items/new", body))["token"]
    assert "new" in items_of(await similar(shop, "i0", token=token, limit=100))
    near = items_of(await similar(shop, "new", token=token, limit=100))
    assert near
    assert "new" not in near
    token = (await shop.ok("DELETE", "/v1/items/i8"))["token"]
    assert "i8" not in items_of(await similar(shop, "i0", token=token, limit=100))


async def test_pages_filters_and_the_decision(shop: Stack) -> None:
    """As in any ranking: pages do not repeat, filters hold, and the record runs again."""
    first = await similar(shop, "i0", visitor="v", limit=4)
    second = await similar(shop, "i0", visitor="v", limit=4, after=first["decision"])
    assert len({*items_of(first), *items_of(second)}) == 8
    filters = {"category": {"in": ["c0"]}}
    assert set(items_of(await similar(shop, "i0", filters=filters))) == {"i8", "i12", "i16"}
    same = await shop.ok("POST", "/v1/rank", {"similar_to": "i0", "surface": "similar"})
    assert items_of(same) == items_of(await similar(shop, "i0"))
    opened = await shop.ok("GET", f"/v1/decisions/{first['decision']}")
    assert opened["request"]["similar_to"] == "i0"

    async def written() -> bool:
        return first["decision"] in {
            DECISION.decode(record.value or b"").id
            for record in await topic_records(shop.log, DECISIONS)
        }

    await eventually(written)
    for record in await topic_records(shop.log, DECISIONS):
        assert replay(DECISION.decode(record.value or b""), FORMULA) is None


async def test_what_cannot_be_is_said(shop: Stack) -> None:
    """An unknown item is a 404, whatever its id; a wrong field a 422 that names it."""
    await shop.problem(404, "POST", "/v1/similar/items/ghost", b"{}")
    await shop.problem(404, "POST", "/v1/similar/items/a%07b", b"{}")
    problem = await shop.problem(422, "POST", "/v1/similar/items/i0", b'{"candidates": ["i1"]}')
    assert [error["field"] for error in problem["errors"]] == ["candidates"]
    problem = await shop.problem(422, "POST", "/v1/similar/items/i0", b'{"surface": "nope"}')
    assert [error["field"] for error in problem["errors"]] == ["surface"]
