"""Bad input: what does not parse is refused as a whole, what is wrong by itself alone."""

import asyncio
import gzip
import json
import logging
import zlib
from typing import Any

import pytest

from tests.api_stack import SOON, Stack

DAY_MS = 86_400_000
GOOD = {"type": "view", "visitor": "v1", "item": "i1"}


def fields(problem: dict[str, Any]) -> list[str]:
    return [error["field"] for error in problem["errors"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/events", b"", 400, None),
        ("/v1/events", b"{", 400, None),
        ("/v1/events", b'[{"type": "a"}', 400, None),
        ("/v1/events", b'"text"', 422, None),
        ("/v1/events", b"[1]", 422, "[0]"),
        ("/v1/events", b"[[]]", 422, "[0]"),
        ("/v1/events", b"{}", 422, "type"),
        ("/v1/events", b'{"type": 3}', 422, "type"),
        ("/v1/events", b'[{"type": "view"}, {"type": 3}]', 422, "[1].type"),
        ("/v1/events", b'{"type": "view", "visitor": ["v1"]}', 422, "visitor"),
        ("/v1/events", b'{"type": "view", "items": [3]}', 422, "items[0]"),
        ("/v1/events", b'{"type": "view", "at": true}', 422, "at"),
        ("/v1/events", b'{"type": "view", "colour": 1}', 422, "colour"),
        ("/v1/events", b'{"type": "view", "value": NaN}', 400, "value"),
        ("/v1/events", b'{"type": "view", "value": -Infinity}', 400, "value"),
        ("/v1/events", b'{"type": "view", "value": 1e999}', 422, "value"),
        ("/v1/events", b'{"type": "view", "properties": {"x": NaN}}', 400, "x"),
        ("/v1/events", b'{"type": "view", "visitor": "\\ud800"}', 400, None),
        ("/v1/events", b'{"type": "view", "visitor": "\xff"}', 400, None),
        ("/v1/events", b'{"type": "view", "properties": ' + b'{"a":' * 90_000, 422, None),
        ("/v1/catalogue", b'{"type": "item", "attributes": {"a": {}}}', 422, "attributes[...]"),
        ("/v1/rank", b"", 400, None),
        ("/v1/rank", b"[]", 422, None),
        ("/v1/rank", b'{"visitor": 1}', 422, "visitor"),
        ("/v1/rank", b'{"visitor": ""}', 422, "visitor"),
        ("/v1/rank", b'{"visitor": "a\\u0000b"}', 422, "visitor"),
        ("/v1/rank", b'{"limit": 0}', 422, "limit"),
        ("/v1/rank", b'{"limit": 501}', 422, "limit"),
        ("/v1/rank", b'{"surface": "nowhere"}', 422, "surface"),
        ("/v1/rank", b'{"token": "no token"}', 422, "token"),
        ("/v1/rank", b'{"wait": "maybe"}', 422, "wait"),
        ("/v1/rank", b'{"candidates": ["i1", ""]}', 422, "candidates[1]"),
        ("/v1/rank", b'{"candidates": ["i1", "a\\u0007b"]}', 422, "candidates[1]"),
        ("/v1/rank", b'{"candidates": ["%b"]}' % ("\u00e9" * 65).encode(), 422, "candidates[0]"),
        ("/v1/rank", b'{"candidates": [{"item": "a\\nb"}]}', 422, "candidates[0].item"),
        ("/v1/rank", b'{"candidates": [{"item": "i1", "features": {"s": 1e999}}]}', 422, None),
        ("/v1/rank", b'{"candidates": [{"item": "i1", "features": {"s": NaN}}]}', 400, "s"),
        ("/v1/rank", b'{"filters": {"colour": {"eq": 1}}}', 422, "filters.colour"),
        ("/v1/rank", b'{"filters": {"price": {"lte": "x"}}}', 422, "filters.price.lte"),
        (
            "/v1/rank",
            b'{"filters": {"price": {"lte": 1%s}}}' % (b"0" * 30),
            422,
            "filters.price.lte",
        ),
        ("/v1/rank", b'{"context": {"utc_offset": 1e6}}', 422, "context.utc_offset"),
        ("/v1/rank", b'{"filters": ' + b'{"not":[' * 50_000, 400, None),
        ("/v1/identify", b'{"visitor": "v1"}', 422, "user"),
        ("/v1/identify", b'{"visitor": "user:u1", "user": "u1"}', 422, "visitor"),
        ("/v1/unlink", b'{"visitor": "v1", "at": "yesterday"}', 422, "at"),
    ],
)
async def test_a_request_that_does_not_parse_is_refused_and_the_field_is_named(
    stack: Stack, path: str, body: bytes, status: int, field: str | None
) -> None:
    """400 for what is not JSON, 422 for what JSON says; problem+json with the field's path."""
    problem = await stack.problem(status, "POST", path, body)
    if field is not None:
        assert field in fields(problem)
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "stare"}, "type"),
        ({"visitor": None}, "visitor"),
        ({"item": None}, "item"),
        ({"at": "in an hour"}, "at"),
        ({"at": "2026-11-23T10:00:00"}, "at"),
        ({"at": "2999-01-01T00:00:00Z"}, "at"),
        ({"at": 10**15}, "at"),
        ({"at": 10**30}, "at"),
        ({"at": 915_148_800_000}, "at"),
        ({"at": -1}, "at"),
        ({"visitor": ""}, "visitor"),
        ({"visitor": "v" * 129}, "visitor"),
        ({"visitor": "é" * 65}, "visitor"),
        ({"visitor": "a\nb"}, "visitor"),
        ({"visitor": "a\x9fb"}, "visitor"),
        ({"visitor": "user:u1"}, "visitor"),
        ({"visitor": None, "user": "u" * 128}, "user"),
        ({"item": ""}, "item"),
        ({"item": "i" * 129}, "item"),
        ({"items": ["i1"]}, "items"),
        ({"item": None, "items": []}, "item"),
        ({"item": None, "items": ["i1", ""]}, "items[1]"),
        ({"item": None, "items": [f"i{n}" for n in range(501)]}, "items"),
        ({"id": ""}, "id"),
        ({"session": "a\x00"}, "session"),
        ({"decision": "d" * 129}, "decision"),
        ({"seller": "s1"}, "seller"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"properties": {"text": "x" * 4100}}, "properties"),
        ({"properties": {"utc_offset": "east"}}, "properties.utc_offset"),
        ({"type": "item", "attributes": {"text": "x" * 4100}, "visitor": None}, "attributes"),
        ({"type": "item", "item": None, "visitor": None}, "item"),
        ({"type": "item"}, "visitor"),
        ({"type": "delete", "visitor": None, "seller": "s1"}, "item"),
        ({"type": "identify", "item": None}, "user"),
        ({"type": "identify", "user": "u1"}, "item"),
        ({"type": "unlink", "visitor": None, "user": "u1", "item": None}, "visitor"),
    ],
)
async def test_a_wrong_event_is_refused_alone(
    stack: Stack, change: dict[str, Any], field: str
) -> None:
    """The events before and after it are taken, and its answer names the field."""
    wrong = {**GOOD, **change}
    answer = await stack.ok("POST", "/v1/events", [GOOD, wrong, {**GOOD, "id": "e3"}])
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["accepted", "rejected", "accepted"]
    assert field in [error["field"] for error in answer["results"][1]["errors"]]
    assert answer["results"][2] == {"index": 2, "status": "accepted", "id": "e3", "errors": []}
    assert answer["token"]


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_of_ten_megabytes_is_too_large(stack: Stack, compressed: bool) -> None:
    """413, also where the ten megabytes come out of a small compressed body."""
    body = json.dumps([{**GOOD, "properties": {"x": "y" * 1000}}] * 10_000).encode()
    headers = {"Content-Type": "application/json"}
    if compressed:
        body, headers = gzip.compress(body, mtime=0), {**headers, "Content-Encoding": "gzip"}
        assert len(body) < 1_000_000
    await stack.problem(413, "POST", "/v1/events", body, headers=headers)


PACKED = gzip.compress(json.dumps(GOOD).encode(), mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", PACKED[:-1], 400),
        ("gzip", PACKED[:-8], 400),
        ("gzip", PACKED[:12], 400),
        ("gzip", PACKED[:-8] + b"\0" * 8, 400),
        ("gzip", PACKED + b"more", 400),
        ("deflate", zlib.compress(json.dumps(GOOD).encode())[:-1], 400),
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0), 415),
    ],
)
async def test_a_compressed_body_that_cannot_be_read_to_its_end(
    stack: Stack, caplog: pytest.LogCaptureFixture, encoding: str, body: bytes, status: int
) -> None:
    """400 where the content encoding is a lie or cut short, 415 where it is not known."""
    problem = await stack.problem(
        status, "POST", "/v1/events", body, headers={"Content-Encoding": encoding}
    )
    assert encoding.split(",")[0] in problem["detail"]
    assert (await stack.ok("GET", "/healthz"))["status"] == "ok"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n",
        b"no colon\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["length is a word", "negative length", "long header", "no header", "broken chunk"],
)
async def test_what_is_not_http_is_not_a_failure_of_the_server(
    stack: Stack, caplog: pytest.LogCaptureFixture, rest: bytes
) -> None:
    """400, and neither an error nor a trace in the log."""
    async with asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.client.port)
        writer.write(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n" + rest)
        assert b" 400 " in await reader.readline()
        await reader.read()
        writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/events", b'{"type": "view"}\n{"type": "view"}\n', "NDJSON as application/x-ndjson"),
        ("/v1/events", b"null", "the body is wrong: Expected `object`, got `null`"),
        ("/v1/rank", b"null", "the body is wrong: Expected `object`, got `null`"),
        ("/v1/rank", b'{"wait": "maybe"}', "it is one of own, all"),
    ],
)
async def test_a_refusal_says_what_to_do(stack: Stack, path: str, body: bytes, says: str) -> None:
    """What is wrong in words, and no field without a name."""
    response = await stack.call("POST", path, body)
    problem = await response.json()
    assert says in problem["detail"]
    assert "" not in [error["field"] for error in problem.get("errors", [])]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"type": "unlink"}, "visitor"),
        ({"type": "view", "visitor": "v1", "items": [f"i{n}" for n in range(501)]}, "items"),
    ],
)
async def test_one_mistake_is_named_once(stack: Stack, event: dict[str, Any], field: str) -> None:
    """Not again as something else that would be missing."""
    answer = await stack.ok("POST", "/v1/events", event)
    assert fields(answer["results"][0]) == [field]


async def test_more_events_than_a_request_may_have(stack: Stack) -> None:
    """413 for more than 10,000 events, however short."""
    await stack.problem(413, "POST", "/v1/events", [{"type": "x"}] * 10_001)


async def test_more_than_2000_candidates(stack: Stack) -> None:
    """422 that names the field; 2,000 are ranked."""
    candidates = [f"i{n}" for n in range(2001)]
    problem = await stack.problem(422, "POST", "/v1/rank", {"candidates": candidates})
    assert fields(problem) == ["candidates"]
    answer = await stack.ok("POST", "/v1/rank", {"candidates": candidates[:2000]})
    assert len(answer["items"]) == 20


async def test_candidates_that_are_no_errors(stack: Stack) -> None:
    """One given twice is ranked once; unknown ids are ranked last, with a reason."""
    listed = await stack.ok("PUT", "/v1/items/i1", {"attributes": {"category": "shoes"}})
    request = {"candidates": ["nobody", "i1", "nobody", "i1"], "token": listed["token"]}
    answer = await stack.ok("POST", "/v1/rank", request)
    assert [item["item"] for item in answer["items"]] == ["i1", "nobody"]
    assert answer["items"][1]["reasons"] == ["unknown"]
    assert answer["dropped"] == {}


async def test_an_event_sent_twice_with_one_id_counts_once(stack: Stack) -> None:
    """A retry is harmless."""
    event = {**GOOD, "id": "once"}
    await stack.ok("POST", "/v1/events", event)
    again = await stack.ok("POST", "/v1/events", event)
    await stack.known(again["token"])
    item = await stack.ok("GET", "/v1/items/i1")
    visitor = await stack.ok("GET", "/v1/visitors/v1")
    assert item["counts"]["view"] == visitor["counts"]["view"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/v1/items/i1", {"attributes": {"a": "x" * 4100}}, "attributes"),
        ("PUT", "/v1/items/i1", {"attributes": {"a": [True]}}, "attributes[...][0]"),
        ("PUT", "/v1/items/i1", {"colour": 1}, "colour"),
        ("PUT", "/v1/items/i1", {"at": 1}, "at"),
        ("PUT", "/v1/items/i1", {"seller": ""}, "seller"),
        ("PUT", "/v1/items/" + "i" * 129, {}, "id"),
        ("PUT", "/v1/items/a%00b", {}, "id"),
        ("PATCH", "/v1/sellers/s1", {"seller": "s1"}, "seller"),
        ("DELETE", "/v1/users/a%0Ab", None, "id"),
    ],
)
async def test_attributes_that_cannot_be(
    stack: Stack, method: str, path: str, body: Any, field: str
) -> None:
    """422 that names the field."""
    assert field in fields(await stack.problem(422, method, path, body))


async def test_patches_that_add_up_to_too_much(stack: Stack) -> None:
    """Each within the bound, together above it: the second is refused, the first stays."""
    for path in ("/v1/items/i1", "/v1/sellers/s1"):
        first = await stack.ok("PATCH", path, {"attributes": {"a": "x" * 3000}})
        await stack.known(first["token"])
        problem = await stack.problem(422, "PATCH", path, {"attributes": {"b": "x" * 3000}})
        assert fields(problem) == ["attributes"]


async def test_what_is_not_there(stack: Stack) -> None:
    """404 and 405 are problems too."""
    for path in ("/nowhere", "/v1/visitors/x", "/v1/items/x", "/v1/sellers/x", "/v1/decisions/x"):
        await stack.problem(404, "GET", path)
    await stack.problem(404, "POST", "/v1/rank", {"after": "01M8216CSV000C000000000000"})
    await stack.problem(405, "GET", "/v1/rank")
    response = await stack.call("GET", "/v1/rank")
    assert response.headers["Allow"] == "POST"


async def test_an_event_of_500_items_with_all_attributes_is_taken(stack: Stack) -> None:
    """The largest impression there can be fits into the log."""
    text = dict.fromkeys(("category", "brand"), "x" * 128)
    attributes = {**text, "price": 1.5, "in_stock": True, "tags": [f"{n:0128}" for n in range(8)]}
    lines = [
        {"type": "item", "item": f"{n:0128}", "seller": "s" * 128, "attributes": attributes}
        for n in range(500)
    ]
    await stack.ok("POST", "/v1/catalogue", lines)
    seen = {"type": "impression", "visitor": "v1", "items": [line["item"] for line in lines]}
    answer = await stack.ok("POST", "/v1/events", seen)
    assert answer["results"][0]["status"] == "accepted"
