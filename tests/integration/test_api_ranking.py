"""Rankings over HTTP: tokens, pages, decisions, and what is known afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from api.services import QUEUE
from api.settings import ApiSettings
from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision
from personalization.events import StampedEvent
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.replay import replay
from personalization.ranking.surface import Surface, default_surface
from tables.tokens import Token
from tables.topics import DECISIONS, VISITOR_EVENT, VISITOR_EVENTS
from tests.api_stack import JSON, Stack, eventually, running
from tests.logs import Home, topic_records

FORMULA = Formula(marketplace.columns, marketplace.feature_set_id)


async def shop(stack: Stack, items: int = 30) -> None:
    """A catalogue that is known everywhere."""
    lines = [
        {
            "type": "item",
            "item": f"i{n}",
            "seller": f"s{n % 3}",
            "attributes": {
                "category": f"c{n % 5}",
                "price": 10 + n,
                "in_stock": n % 10 != 9,
            },
        }
        for n in range(items)
    ]
    answer = await stack.ok("POST", "/v1/catalogue", lines)
    await stack.known(answer["token"])


def items_of(answer: JSON) -> list[str]:
    return [item["item"] for item in answer["items"]]


async def decisions_in(log: EventLog) -> list[Decision]:
    return [DECISION.decode(each.value or b"") for each in await topic_records(log, DECISIONS)]


async def events_in(log: EventLog, *types: str) -> list[StampedEvent]:
    found = await topic_records(log, VISITOR_EVENTS)
    decoded = [VISITOR_EVENT.decode(record.value or b"") for record in found]
    return [event for event in decoded if event.type in types]


async def written(stack: Stack, count: int) -> list[Decision]:
    """All decisions in the log, once there are ``count``."""

    async def all_there() -> bool:
        return len(await decisions_in(stack.log)) >= count

    await eventually(all_there)
    return await decisions_in(stack.log)


async def logged(stack: Stack, kind: str, count: int) -> None:
    """Wait for ``count`` events of ``kind``: what was served follows the decisions."""

    async def all_there() -> bool:
        return len(await events_in(stack.log, kind)) >= count

    await eventually(all_there)


async def test_items_are_found_without_candidates(stack: Stack) -> None:
    """The surface's sources find what is in stock; an item listed a moment ago is among it."""
    await shop(stack)
    new = await stack.ok("PUT", "/v1/items/new", {"attributes": {"in_stock": True}})
    answer = await stack.ok("POST", "/v1/rank", {"token": new["token"], "limit": 100})
    assert set(items_of(answer)) == {f"i{n}" for n in range(30) if n % 10 != 9} | {"new"}
    assert all(item["sources"] for item in answer["items"])


async def test_out_of_stock_is_honoured_at_once(stack: Stack) -> None:
    """The next ranking that carries the token of the change drops the item, and says why."""
    await shop(stack)
    change = await stack.ok("PATCH", "/v1/items/i1", {"attributes": {"in_stock": False}})
    request = {"candidates": ["i1", "i2"], "token": change["token"]}
    answer = await stack.ok("POST", "/v1/rank", request)
    assert items_of(answer) == ["i2"]
    assert answer["dropped"] == {"i1": "out_of_stock"}


async def test_filters_and_surfaces(home: Home) -> None:
    """The caller's predicates and a surface's caps hold, and drops have reasons."""
    capped = Surface(name="home", caps={"seller": 1})
    async with running(home, surfaces=(capped,)) as stack:
        await shop(stack)
        request = {
            "surface": "home",
            "candidates": [f"i{n}" for n in range(8)],
            "filters": {"all": [{"price": {"lte": 15}}, {"category": {"in": ["c0", "c1", "c2"]}}]},
        }
        answer = await stack.ok("POST", "/v1/rank", request)
        assert set(items_of(answer)) | set(answer["dropped"]) == {f"i{n}" for n in range(8)}
        assert {answer["dropped"][f"i{n}"] for n in (3, 4, 6, 7)} == {"filtered"}
        assert len(answer["items"]) == 3


async def test_pages_do_not_repeat(stack: Stack) -> None:
    """Each page goes on after the decision before it, at once and without repeats."""
    await shop(stack)
    pages: list[str] = []
    after = None
    for _ in range(3):
        request = {"candidates": [f"i{n}" for n in range(27)], "limit": 8, "after": after}
        answer = await stack.ok("POST", "/v1/rank", request)
        pages += items_of(answer)
        after = answer["decision"]
    assert len(pages) == len(set(pages)) == 24


async def test_a_page_goes_on_after_a_restart(home: Home) -> None:
    """A decision that only the log remembers can be gone on after, and opened."""
    request: JSON = {"candidates": [f"i{n}" for n in range(9)], "limit": 4}
    async with running(home) as stack:
        await shop(stack)
        first = await stack.ok("POST", "/v1/rank", request)
        await written(stack, 1)
    async with running(home) as stack:

        async def indexed() -> bool:
            path = f"/v1/decisions/{first['decision']}"
            return (await stack.call("GET", path)).status == 200

        await eventually(indexed)
        second = await stack.ok("POST", "/v1/rank", {**request, "after": first["decision"]})
        assert not set(items_of(first)) & set(items_of(second))


async def test_a_token_that_is_not_reached_is_waited_for_in_vain(home: Home) -> None:
    """A bounded wait: the answer comes, and says that it does not know what it was asked to."""
    settings = ApiSettings(wait_timeout_ms=30)
    async with running(home, settings=settings, folding=False) as stack:
        taken = await stack.ok(
            "POST", "/v1/events", {"type": "view", "visitor": "v1", "item": "i1"}
        )
        answer = await stack.ok("POST", "/v1/rank", {"visitor": "v1", "token": taken["token"]})
        assert answer["freshness"]["caught_up"] is False
        elsewhere = Token(events={99: 1}).text()
        problem = await stack.problem(422, "POST", "/v1/rank", {"token": elsewhere})
        assert problem["errors"][0]["field"] == "token"


async def test_freshness_says_how_new_what_was_known_is(stack: Stack) -> None:
    """Before any event nothing; after one its age; replicas that are caught up are 0 behind."""
    answer = await stack.ok("POST", "/v1/rank", {"candidates": ["i1"]})
    assert answer["freshness"]["newest_event_ms"] is None
    assert answer["freshness"]["caught_up"] is None
    taken = await stack.ok("POST", "/v1/events", {"type": "view", "visitor": "v1", "item": "i1"})
    request = {"candidates": ["i1"], "token": taken["token"]}
    answer = await stack.ok("POST", "/v1/rank", request)
    assert 0 <= answer["freshness"]["newest_event_ms"] < 60_000
    assert set(answer["freshness"]["behind"]) == {
        "visitors", "users", "catalogue", "items", "sellers", "segments"
    }  # fmt: skip


async def test_every_decision_is_in_the_log_and_runs_again_to_the_same_bits(stack: Stack) -> None:
    """Decisions follow their answers into the log; nothing else is needed to run them again."""
    await shop(stack)
    for n in range(20):
        await stack.ok("POST", "/v1/rank", {"visitor": f"v{n}", "limit": 5})
    found = sorted(await written(stack, 21), key=lambda decision: decision.sequence)
    assert [decision.sequence for decision in found] == list(range(21))
    assert [replay(decision, FORMULA) for decision in found] == [None] * 21


async def test_what_was_served_is_an_event_that_does_not_count(stack: Stack) -> None:
    """The visitor's log has the items shown and the decision; their counters do not move."""
    await shop(stack)
    answer = await stack.ok("POST", "/v1/rank", {"visitor": "v1", "limit": 5})
    await stack.ok("POST", "/v1/rank", {"user": "u1", "limit": 5})
    await stack.ok("POST", "/v1/rank", {"limit": 5})
    await written(stack, 4)
    await logged(stack, "served", 2)
    served = {event.visitor: event for event in await events_in(stack.log, "served")}
    assert served.keys() == {"v1", "user:u1"}
    assert served["v1"].decision == answer["decision"]
    assert [stamp.item for stamp in served["v1"].items] == items_of(answer)
    assert await events_in(stack.log, "impression") == []


async def test_a_surface_may_count_what_it_serves(home: Home) -> None:
    """``counts_served``: an impression of what was shown goes in beside it."""
    surface = Surface(name="feed", sources=default_surface().sources, counts_served=True)
    async with running(home, surfaces=(surface,)) as stack:
        await shop(stack)
        answer = await stack.ok("POST", "/v1/rank", {"visitor": "v1", "surface": "feed"})
        await logged(stack, "impression", 1)
        [impression] = await events_in(stack.log, "impression")
        assert [stamp.item for stamp in impression.items] == items_of(answer)
        assert all(stamp.seller for stamp in impression.items)


async def test_a_decision_opens(stack: Stack) -> None:
    """At once and later: candidates with scores, features by name, reasons, offsets."""
    await shop(stack)
    view = {"type": "view", "visitor": "v1", "item": "i1"}
    taken = await stack.ok("POST", "/v1/events", view)
    request = {
        "visitor": "v1",
        "candidates": [f"i{n}" for n in range(20)],
        "filters": {"price": {"gte": 12}},
        "token": taken["token"],
        "limit": 3,
        "explain": True,
    }
    answer = await stack.ok("POST", "/v1/rank", request)
    decision = await stack.ok("GET", f"/v1/decisions/{answer['decision']}")
    await written(stack, 2)
    assert await stack.ok("GET", f"/v1/decisions/{answer['decision']}") == decision
    candidates = {candidate["item"]: candidate for candidate in decision["candidates"]}
    assert list(candidates) == request["candidates"]
    assert decision["shown"] == items_of(answer)
    for place, item in enumerate(answer["items"], 1):
        candidate = candidates[item["item"]]
        assert candidate["position"] == place
        assert candidate["score"] == item["score"]
        assert candidate["reasons"] == item["reasons"]
        assert set(candidate["features"]) == set(marketplace.columns)
    assert candidates["i0"]["dropped"] == "filtered"
    assert candidates["i1"]["values"]["price"] == 11.0
    assert candidates["i1"]["offsets"]["catalogue"] >= 0
    [row] = decision["rows"]
    assert (row["kind"], row["id"], row["merged"]) == ("visitor", "v1", True)
    assert decision["request"]["limit"] == 3


async def test_rows_are_shown_as_the_ranker_sees_them(stack: Stack) -> None:
    """Named counters decayed to now, plain counts, affinities, last items, session, links."""
    await shop(stack)
    sent = [
        {"type": "view", "visitor": "phone", "item": "i1", "session": "a"},
        {"type": "purchase", "visitor": "laptop", "item": "i2", "value": 12},
        {"type": "identify", "visitor": "phone", "user": "u1"},
    ]
    await stack.ok("POST", "/v1/events", sent)
    linked = await stack.ok("POST", "/v1/identify", {"visitor": "laptop", "user": "u1"})
    await stack.known(linked["token"])
    phone = await stack.ok("GET", "/v1/visitors/phone")
    assert (phone["user"], phone["linked"]) == ("u1", ["laptop"])
    assert (phone["counts"]["view"], phone["counts"]["purchase"]) == (1, 1)
    assert 0.9 < phone["counters"]["view"]["1h"] <= 1.0
    assert {i["item"] for i in phone["last"]} == {"i1", "i2"}
    likes = {(a["dimension"], a["value"]) for a in phone["affinities"] if a["daypart"] is None}
    assert {("category", "c1"), ("category", "c2"), ("seller", "s1")} <= likes
    assert 11 <= phone["mean"]["price"] <= 12
    assert phone["session"]["number"] == 1

    item = await stack.ok("GET", "/v1/items/i2")
    assert (item["seller"], item["attributes"]["price"]) == ("s2", 12.0)
    assert item["counts"]["purchase"] == 1
    assert item["offset"] >= 0
    seller = await stack.ok("GET", "/v1/sellers/s2")
    assert seller["counts"]["purchase"] == 1

    apart = await stack.ok("POST", "/v1/unlink", {"visitor": "laptop"})
    await stack.known(apart["token"])
    phone = await stack.ok("GET", "/v1/visitors/phone")
    assert (phone["linked"], phone["counts"]["purchase"]) == ([], 0)


class Down:
    """A log that takes no decisions while ``down``."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.down = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        if self.down:
            raise LogUnavailable(batches, "it is down")
        return await self._log.append(batches)


@pytest.fixture
async def broken(home: Home) -> Any:
    """A stack whose log is down, with room for five decisions; and that log."""
    logs: list[Down] = []

    def down(log: EventLog) -> Down:
        logs.append(Down(log))
        return logs[0]

    async with running(
        home, settings=ApiSettings(decision_queue=5), wrap_log=down, folding=False
    ) as stack:
        yield stack, logs[0]


async def test_decisions_wait_for_the_log_and_losses_are_counted(
    broken: tuple[Stack, Down],
) -> None:
    """While the log is down rankings are served; the newest decisions are kept for it."""
    stack, log = broken
    for _ in range(30):
        answer = await stack.ok("POST", "/v1/rank", {"candidates": ["i1"]})
    await stack.ok("GET", f"/v1/decisions/{answer['decision']}")
    queued = stack.app[QUEUE].queued()
    assert 5 <= queued < 30
    metrics = await (await stack.call("GET", "/metrics")).text()
    assert f'freshet_decisions_dropped_total{{reason="queue full"}} {30 - queued}.0' in metrics
    assert f"freshet_decisions_queued {queued}.0" in metrics
    log.down = False
    found = await written(stack, queued)
    assert max(decision.sequence for decision in found) == 29


async def test_a_stop_writes_what_is_queued(home: Home) -> None:
    """A graceful stop loses no decision."""
    async with running(home) as stack:
        answers = [await stack.ok("POST", "/v1/rank", {"candidates": ["i1"]}) for _ in range(9)]
    log = await home.open()
    try:
        found = {decision.id for decision in await decisions_in(log)}
    finally:
        await log.stop()
    assert found == {answer["decision"] for answer in answers}


async def test_a_decision_that_cannot_be_recorded_stops_no_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted; those after it are written."""

    def fail_once(decision: Decision) -> Decision:
        monkeypatch.undo()
        raise ValueError("not now")

    monkeypatch.setattr("api.decision_queue.pack", fail_once)
    for _ in range(3):
        await stack.ok("POST", "/v1/rank", {"candidates": ["i1"]})
    found = await written(stack, 2)
    assert [decision.sequence for decision in found] == [1, 2]
    metrics = await (await stack.call("GET", "/metrics")).text()
    assert 'freshet_decisions_dropped_total{reason="error"} 1.0' in metrics


async def test_a_large_decision_reads_the_same(stack: Stack) -> None:
    """2,000 candidates: their record is written, opens, and runs again to the same bits."""
    await shop(stack)
    request = {"visitor": "v1", "candidates": [f"i{n}" for n in range(2000)], "limit": 500}
    answer = await stack.ok("POST", "/v1/rank", request)
    [decision] = [d for d in await written(stack, 2) if d.id == answer["decision"]]
    assert replay(decision, FORMULA) is None
    opened = await stack.ok("GET", f"/v1/decisions/{answer['decision']}")
    assert len(opened["candidates"]) == 2000
    assert opened["shown"] == items_of(answer)
