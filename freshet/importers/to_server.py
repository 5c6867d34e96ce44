"""Importing through a server's API: one request at a time, tried again where that may help."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from freshet.importers.run import ImportStopped
from personalization.wire import FieldError, Line

GIVE_UP_SECONDS = 120.0
"""How long a server that does not answer is asked again; it may be restarting."""

RESUME_SECONDS = 15.0
"""How long a server that answers may take to know what was imported before."""

_REQUEST_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_BODY_BYTES = 1 << 20
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class _Result(msgspec.Struct):
    errors: list[FieldError] = []


class _Taken(msgspec.Struct):
    results: list[_Result]
    token: str


class _Freshness(msgspec.Struct):
    caught_up: bool | None = None


class _Ranking(msgspec.Struct):
    freshness: _Freshness


class ToServer:
    """Sends events to the server at ``url``. Use as an async context manager.

    Every batch is waited for until all that follows from it is in the tables: so the server never
    has more than one batch of the import waiting before other clients' events.
    """

    batch = 1_000

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        give_up: float = GIVE_UP_SECONDS,
        resume_within: float = RESUME_SECONDS,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._give_up = give_up
        self._resume_within = resume_within

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def resume(self, token: str | None) -> None:
        """Make sure that the server's log holds what was sent before. Raises ``ImportStopped``."""
        if token is not None:
            await self._caught_up(
                token,
                self._resume_within,
                "the server does not have what was imported before; is it another one, or was "
                "its data deleted? --restart imports everything again",
            )

    async def send(self, lines: Sequence[Line]) -> tuple[list[str | None], str | None]:
        """Send ``lines``, in as many requests as their size needs; see ``run.Sink``."""
        reasons: list[str | None] = []
        token = None
        for body in _bodies(lines):
            taken = await self._post("/v1/events", body, "application/x-ndjson", _Taken)
            reasons += [_reason(result) for result in taken.results]
            token = taken.token
        if len(reasons) != len(lines):
            raise ImportStopped(f"{len(reasons)} results came back for {len(lines)} events")
        if token is not None:
            await self._caught_up(
                token, self._give_up, "the server takes events but does not fold them"
            )
        return reasons, token

    async def _caught_up(self, token: str, within: float, why_not: str) -> None:
        """Wait until the tables know all that ``token`` stands for."""
        request = msgspec.json.encode(
            {"candidates": ["-"], "limit": 1, "token": token, "wait": "all"}
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while loop.time() < deadline:
            ranking = await self._post("/v1/rank", request, "application/json", _Ranking)
            if ranking.freshness.caught_up:
                return
        raise ImportStopped(why_not)

    async def _post(self, path: str, body: bytes, kind: str, shape: Any) -> Any:
        """The answer, asked for again and again while the server is busy or away."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._give_up
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._http.post(
                    self._url + path, data=body, headers={"Content-Type": kind}
                ) as response:
                    answer = await response.read()
                if response.status == 200:
                    return msgspec.json.decode(answer, type=shape)
                problem = f"{response.status}: {answer[:500].decode('utf-8', 'replace')}"
                if response.status not in _TRY_AGAIN:
                    raise ImportStopped(f"the server refused {path} with {problem}")
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
                raise ImportStopped(f"{self._url!r} is not a server's URL") from error
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            except msgspec.DecodeError as error:
                raise ImportStopped(f"{self._url} is not a Freshet server: {error}") from error
            if loop.time() + pause > deadline:
                raise ImportStopped(
                    f"no answer from {self._url}{path} for {self._give_up:.0f} s: {problem}"
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _bodies(lines: Sequence[Line]) -> list[bytes]:
    """NDJSON in pieces well within what the API takes at once."""
    encoder = msgspec.json.Encoder()
    bodies, body = [], bytearray()
    for line in lines:
        text = encoder.encode(line)
        if body and len(body) + len(text) > _BODY_BYTES:
            bodies.append(bytes(body))
            body.clear()
        body += text
        body += b"\n"
    if body:
        bodies.append(bytes(body))
    return bodies


def _reason(result: _Result) -> str | None:
    if not result.errors:
        return None
    error = result.errors[0]
    return f"{error.field}: {error.reason}"
