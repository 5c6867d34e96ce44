"""Events over HTTP: every way to send them, and what the log has afterwards."""

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from api.bodies import MAX_LINES
from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from personalization.events import CatalogueRecord, StampedEvent
from tables.tokens import Token
from tables.topics import CATALOGUE, CATALOGUE_RECORD, VISITOR_EVENT, VISITOR_EVENTS
from tests.api_stack import PARTITIONS, Stack, running
from tests.logs import Home, topic_records

VIEW = {"type": "view", "visitor": "v1", "item": "i1"}
SHOES = {"type": "item", "item": "i1", "seller": "s1", "attributes": {"category": "shoes"}}


async def catalogue(log: EventLog) -> list[CatalogueRecord]:
    found = await topic_records(log, CATALOGUE)
    return [CATALOGUE_RECORD.decode(record.value or b"") for record in found]


async def events(log: EventLog) -> list[StampedEvent]:
    found = await topic_records(log, VISITOR_EVENTS)
    return [VISITOR_EVENT.decode(record.value or b"") for record in found]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(VIEW).encode(), {}),
        (json.dumps([VIEW]).encode(), {"Content-Type": "application/json"}),
        (b"  [ " + json.dumps(VIEW).encode() + b" ] ", {}),
        (
            b"\n" + json.dumps(VIEW).encode() + b"\r\n\n",
            {"Content-Type": "application/x-ndjson; charset=utf-8"},
        ),
        (gzip.compress(json.dumps([VIEW]).encode()), {"Content-Encoding": "gzip"}),
        (
            gzip.compress(json.dumps(VIEW).encode()),
            {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
        ),
    ],
    ids=["object", "array", "padded array", "lines", "compressed array", "compressed lines"],
)
async def test_every_way_to_send_an_event(
    stack: Stack, body: bytes, headers: dict[str, str]
) -> None:
    """One object, an array, NDJSON; plain or compressed: the same record."""
    answer = await stack.ok("POST", "/v1/events", body, headers=headers)
    assert answer["results"] == [{"index": 0, "status": "accepted", "id": None, "errors": []}]
    [event] = await events(stack.log)
    assert (event.type, event.visitor, event.items[0].item) == ("view", "v1", "i1")
    [partition] = Token.parse(answer["token"]).events
    at = TopicPartition(VISITOR_EVENTS, partition)
    assert await stack.log.end_offsets([at]) == {at: 1}


@pytest.mark.parametrize("lines", [False, True])
async def test_a_long_body_is_taken_in_order(stack: Stack, lines: bool) -> None:
    """A body of many pieces: nothing lost, nothing twice, each visitor's events in order."""
    sent = [
        {**VIEW, "visitor": f"v{n % 7}", "id": f"e{n}", "properties": {"text": '"},{"' * (n % 9)}}
        for n in range(5000)
    ]
    if lines:
        body = "\n".join(map(json.dumps, sent)).encode()
        headers = {"Content-Type": "application/x-ndjson"}
    else:
        body, headers = json.dumps(sent).encode(), {}
    answer = await stack.ok("POST", "/v1/events", body, headers=headers)
    assert [r["index"] for r in answer["results"]] == list(range(5000))
    assert [r["id"] for r in answer["results"]] == [e["id"] for e in sent]
    by_visitor: dict[str, list[int]] = {}
    for event in await events(stack.log):
        assert event.id is not None
        by_visitor.setdefault(event.visitor, []).append(int(event.id[1:]))
    assert sum(map(len, by_visitor.values())) == 5000
    assert all(numbers == sorted(numbers) for numbers in by_visitor.values())


@pytest.mark.parametrize("lines", [False, True])
async def test_an_error_in_a_long_body_is_placed_in_the_whole(stack: Stack, lines: bool) -> None:
    """The field's path counts from the start of the body, and nothing was taken."""
    sent: list[Any] = [{**VIEW, "id": f"e{n}"} for n in range(5000)]
    sent[4321] = {**VIEW, "visitor": 3}
    if lines:
        body = "\n".join(map(json.dumps, sent)).encode()
        headers = {"Content-Type": "application/x-ndjson"}
    else:
        body, headers = json.dumps(sent).encode(), {}
    problem = await stack.problem(422, "POST", "/v1/events", body, headers=headers)
    assert [error["field"] for error in problem["errors"]] == ["[4321].visitor"]
    assert await events(stack.log) == []


async def test_a_line_that_is_not_json_is_numbered(stack: Stack) -> None:
    """NDJSON that does not parse: which line."""
    body = json.dumps(VIEW).encode() + b"\n{oops}\n"
    headers = {"Content-Type": "application/x-ndjson"}
    problem = await stack.problem(400, "POST", "/v1/events", body, headers=headers)
    assert [error["field"] for error in problem["errors"]] == ["[1]"]


async def test_an_item_line_is_seen_by_the_events_after_it(stack: Stack) -> None:
    """Before it the event's item has no attributes; after it, and after its delete, as told."""
    sent = [VIEW, SHOES, VIEW, {"type": "delete", "item": "i1"}, VIEW]
    await stack.ok("POST", "/v1/events", sent)
    stamped = [event.items[0] for event in await events(stack.log)]
    assert [stamp.seller for stamp in stamped] == [None, "s1", None]
    assert [stamp.attributes for stamp in stamped] == [{}, {"category": "shoes"}, {}]


async def test_an_item_is_stamped_before_any_replica_knows_it(home: Home) -> None:
    """With nothing folded at all, events of later requests carry what was told of their items."""
    async with running(home, folding=False) as stack:
        await stack.ok("POST", "/v1/catalogue", [SHOES])
        await stack.ok("PATCH", "/v1/items/i1", {"attributes": {"price": 5, "brand": "acme"}})
        await stack.ok("POST", "/v1/events", VIEW)
        await stack.ok("DELETE", "/v1/items/i1")
        await stack.ok("POST", "/v1/events", VIEW)
        known, deleted = (event.items[0] for event in await events(stack.log))
    assert (known.seller, known.attributes) == (
        "s1",
        {"category": "shoes", "brand": "acme", "price": 5.0},
    )
    assert (deleted.seller, deleted.attributes) == (None, {})


async def test_the_time_of_an_event_without_one_is_its_receipt(home: Home) -> None:
    """``at`` is the server's clock; both ways to write it mean the same."""
    now = 1_795_428_000_123
    async with running(home, clock=lambda: now) as stack:
        sent = [VIEW, {**VIEW, "at": now}, {**VIEW, "at": "2026-11-23T11:00:00.123+01:00"}]
        await stack.ok("POST", "/v1/events", sent)
        assert {event.at for event in await events(stack.log)} == {now}


async def test_a_user_without_a_visitor_is_a_visitor_of_their_own(stack: Stack) -> None:
    """Linked to the user by itself."""
    answer = await stack.ok("POST", "/v1/events", {**VIEW, "visitor": None, "user": "u1"})
    await stack.known(answer["token"])
    visitor = await stack.ok("GET", "/v1/visitors/user:u1")
    assert visitor["user"] == "u1"
    assert visitor["counts"]["view"] == 1


async def test_catalogue_takes_only_what_belongs_there(stack: Stack) -> None:
    """Sellers, users and deletes beside items; a view is refused and told where to go."""
    sent = [
        SHOES,
        {"type": "seller", "seller": "s1", "attributes": {"country": "PT"}},
        {"type": "user", "user": "u1", "attributes": {}},
        VIEW,
        {"type": "delete", "seller": "s1"},
    ]
    answer = await stack.ok("POST", "/v1/catalogue", sent)
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["accepted", "accepted", "accepted", "rejected", "accepted"]
    assert "/v1/events" in answer["results"][3]["errors"][0]["reason"]
    written = await catalogue(stack.log)
    assert sorted((r.op, r.kind) for r in written) == [
        ("delete", "seller"),
        ("put", "item"),
        ("put", "seller"),
        ("put", "user"),
    ]


@pytest.mark.parametrize(("kind", "seller"), [("item", "s1"), ("seller", None), ("user", None)])
async def test_attributes_are_put_patched_and_deleted(
    stack: Stack, kind: str, seller: str | None
) -> None:
    """PUT replaces all, PATCH what it names, null removes, DELETE deletes."""
    path = f"/v1/{kind}s/a%2Fb%20c"
    body = {"attributes": {"a": 1, "b": "x"}, **({"seller": seller} if seller else {})}
    await stack.ok("PUT", path, body)
    answer = await stack.ok("PATCH", path, {"attributes": {"b": None, "c": True}})
    await stack.known(answer["token"])
    row = stack.replicas.catalogue_row(kind, "a/b c")
    assert row is not None
    assert (row.seller, row.attributes) == (seller, {"a": 1.0, "c": True})
    answer = await stack.ok("DELETE", path)
    await stack.known(answer["token"])
    row = stack.replicas.catalogue_row(kind, "a/b c")
    assert row is not None
    assert row.deleted


class Failing:
    """A log that does not take some partitions of visitor-events."""

    def __init__(self, log: EventLog, partitions: set[int]) -> None:
        self._log = log
        self.failing = {TopicPartition(VISITOR_EVENTS, number) for number in partitions}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        taken = {tp: batch for tp, batch in batches.items() if tp not in self.failing}
        lasts = await self._log.append(taken)
        failed = batches.keys() - taken.keys()
        if failed:
            raise LogUnavailable(failed, "it is broken")
        return lasts


async def test_what_the_log_does_not_take_is_named(home: Home) -> None:
    """503 with the indexes that were not appended; the others were, and have a token."""
    logs: list[Failing] = []

    def failing(log: EventLog) -> Failing:
        logs.append(Failing(log, {0, 1}))
        return logs[0]

    async with running(home, wrap_log=failing, folding=False) as stack:
        sent = [{**VIEW, "visitor": f"v{n}", "id": f"e{n}"} for n in range(40)]
        sent[3] = {**VIEW, "visitor": ""}
        problem = await stack.problem(503, "POST", "/v1/events", sent)
        appended = {event.id for event in await events(stack.log)}
        named = {f"e{index}" for index in problem["not_appended"]}
        assert 0 < len(named) < 39
        assert appended | named == {e.get("id") for e in sent} - {None}
        assert not appended & named
        statuses = [result["status"] for result in problem["results"]]
        assert statuses[3] == "rejected"
        assert [i for i, s in enumerate(statuses) if s == "not_appended"] == problem["not_appended"]
        assert Token.parse(problem["token"]).events.keys() == {2, 3}

        logs[0].failing = {TopicPartition(CATALOGUE, n) for n in range(PARTITIONS)}
        problem = await stack.problem(503, "PUT", "/v1/items/i1", {})
        assert problem["not_appended"] == [0]


async def test_after_a_failure_nothing_overtakes(home: Home) -> None:
    """Of a long request everything after the failed append is left to be sent again."""
    async with running(home, wrap_log=lambda log: Failing(log, {2}), folding=False) as stack:
        sent = [{**VIEW, "visitor": f"v{n}", "id": f"e{n}"} for n in range(1200)]
        problem = await stack.problem(503, "POST", "/v1/events", sent)
        assert problem["not_appended"][-700:] == list(range(500, 1200))
        assert len(problem["results"]) == 1200
        assert len(await events(stack.log)) == 1200 - len(problem["not_appended"])


async def test_as_many_events_as_a_request_may_have(stack: Stack) -> None:
    """10,000 short events are taken."""
    sent = [{**VIEW, "visitor": f"v{n}"} for n in range(MAX_LINES)]
    answer = await stack.ok("POST", "/v1/events", sent)
    assert {result["status"] for result in answer["results"]} == {"accepted"}
