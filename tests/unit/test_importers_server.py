"""Sending an import to a server: what is tried again, and what ends it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from freshet.importers.run import ImportStopped
from freshet.importers.to_server import ToServer
from personalization.wire import Line
from tests.processes import free_port

LINES = [Line("view", visitor="v", item=str(number)) for number in range(3)]

Answer = Callable[[web.Request], Awaitable[web.Response]]


class Fake:
    """A server that answers from a list, and then as a server in good order does."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.requests: list[tuple[str, bytes, str | None]] = []
        self.caught_up = True

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request.path, body, request.headers.get("X-API-Key")))
        if self.answers:
            return self.answers.pop(0)
        if request.path == "/v1/rank":
            return web.json_response({"freshness": {"caught_up": self.caught_up}})
        results: list[dict[str, Any]] = [{"errors": []} for _ in body.splitlines()]
        results[0]["errors"] = [{"field": "item", "reason": "is odd"}]
        return web.json_response({"results": results, "token": "a-token"})

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.requests]


@pytest.fixture
async def fake() -> AsyncIterator[tuple[Fake, str]]:
    fake = Fake()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield fake, f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_batch_is_sent_and_waited_for(fake: tuple[Fake, str]) -> None:
    """Reasons come back in order; the next batch waits until all of this one is known."""
    server, url = fake
    async with ToServer(url, "a-key") as sink:
        assert await sink.send(LINES) == (["item: is odd", None, None], "a-token")
    (events, body, key), (rank, asked, _) = server.requests
    assert (events, rank, key) == ("/v1/events", "/v1/rank", "a-key")
    decoded = [msgspec.json.decode(line, type=Line) for line in body.splitlines()]
    assert decoded == LINES
    assert msgspec.json.decode(asked)["token"] == "a-token"
    assert msgspec.json.decode(asked)["wait"] == "all"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(fake: tuple[Fake, str], status: int) -> None:
    """The whole batch is sent again: its ids make that harmless."""
    server, url = fake
    server.answers = [web.Response(status=status), web.Response(status=status)]
    async with ToServer(url, None) as sink:
        await sink.send(LINES)
    assert server.paths == ["/v1/events"] * 3 + ["/v1/rank"]
    assert len({body for _, body, _ in server.requests[:3]}) == 1


async def test_a_server_that_refuses_ends_the_import(fake: tuple[Fake, str]) -> None:
    """A wrong key is not tried again; the answer is shown."""
    server, url = fake
    server.answers = [web.Response(status=401, text="an API key is needed")]
    async with ToServer(url, None) as sink:
        with pytest.raises(ImportStopped, match="401: an API key is needed"):
            await sink.send(LINES)
    assert server.paths == ["/v1/events"]


async def test_nobody_there_ends_it_after_a_while() -> None:
    """Not at once: the server may be restarting."""
    async with ToServer(f"http://127.0.0.1:{free_port()}", None, give_up=0.5) as sink:
        with pytest.raises(ImportStopped, match="no answer from"):
            await sink.send(LINES)


@pytest.mark.parametrize("url", ["127.0.0.1:8400", "ftp://somewhere", "http://"])
async def test_what_is_no_url_is_said_at_once(url: str) -> None:
    """Without trying for minutes."""
    async with ToServer(url, None) as sink:
        with pytest.raises(ImportStopped, match="not a server's URL"):
            await sink.send(LINES)


async def test_another_server_is_noticed(fake: tuple[Fake, str]) -> None:
    """One that does not have what was imported before, or is not Freshet at all."""
    server, url = fake
    server.caught_up = False
    async with ToServer(url, None, give_up=0.5, resume_within=0.1) as sink:
        with pytest.raises(ImportStopped, match="--restart"):
            await sink.resume("a-token")
        with pytest.raises(ImportStopped, match="does not fold them"):
            await sink.send(LINES)
        server.answers = [web.Response(text="hello")]
        with pytest.raises(ImportStopped, match="is not a Freshet server"):
            await sink.send(LINES)
        await sink.resume(None)


async def test_large_events_are_sent_in_several_requests(fake: tuple[Fake, str]) -> None:
    """No request is over what the API takes."""
    server, url = fake
    lines = [
        Line("item", item=str(number), attributes={"text": "x" * 500_000}) for number in range(9)
    ]
    async with ToServer(url, None) as sink:
        reasons, _ = await sink.send(lines)
    assert len(reasons) == 9
    sizes = [len(body) for path, body, _ in server.requests if path == "/v1/events"]
    assert len(sizes) == 5
    assert max(sizes) <= 1 << 20
