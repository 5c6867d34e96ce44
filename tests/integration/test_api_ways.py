"""The API from end to end: what goes in comes out in the next ranking."""

from tests.api_stack import Stack


async def test_an_event_is_in_the_next_ranking_that_carries_its_token(stack: Stack) -> None:
    """Two views of shoes, and shoes rank above books for this visitor at once."""
    lines = [
        {"type": "item", "item": f"{kind}{n}", "seller": "s1", "attributes": {"category": kind}}
        for kind in ("shoes", "books")
        for n in range(3)
    ]
    listed = await stack.ok("POST", "/v1/catalogue", lines)
    assert [result["status"] for result in listed["results"]] == ["accepted"] * 6
    views = [{"type": "view", "visitor": "v1", "item": f"shoes{n}", "id": f"e{n}"} for n in (0, 1)]
    taken = await stack.ok("POST", "/v1/events", views)
    request = {
        "visitor": "v1",
        "candidates": ["books0", "books1", "shoes2", "books2"],
        "token": taken["token"],
    }
    ranked = await stack.ok("POST", "/v1/rank", request)
    assert ranked["freshness"]["caught_up"] is True
    assert ranked["items"][0]["item"] == "shoes2"
