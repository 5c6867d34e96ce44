"""The demo's HTTP client: the wire format of DESIGN §9, a time-out on each call, failures counted.

A call that fails answers None and is counted in ``errors`` under what was asked and what went
wrong; nothing is tried twice and nothing is dropped without a count.
"""

import time
from collections import Counter
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

TIMEOUT_S = 10.0
CONNECTIONS = 200


class WriteResult(msgspec.Struct):
    """What became of one event of a batch; ``errors`` is empty if it was taken."""

    errors: list[Any] | None = None


class Written(msgspec.Struct):
    """The answer to a write. ``token``: carry it back to have the write in a ranking."""

    token: str | None = None
    results: list[WriteResult] = []


class RankedItem(msgspec.Struct):
    """One place of a ranking."""

    item: str


class Freshness(msgspec.Struct):
    """Whether the ranking knew all that its token stands for; None without a token."""

    caught_up: bool | None = None


class Ranking(msgspec.Struct):
    """The answer to a rank request."""

    decision: str
    items: list[RankedItem]
    freshness: Freshness = msgspec.field(default_factory=Freshness)


Answer = TypeVar("Answer", Written, Ranking)


class Client:
    """Calls to one server. Use as an async context manager."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.errors: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            headers={"Content-Type": "application/json"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    def now_ms(self) -> int:
        """The time that is told to the server, in ms."""
        return int(time.time() * 1000)

    async def events(self, events: list[dict[str, Any]]) -> Written | None:
        """POST /v1/events with an array; refused events are counted in ``errors``."""
        return await self._write("events", "POST", "/v1/events", events)

    async def catalogue(self, lines: list[dict[str, Any]]) -> Written | None:
        """POST /v1/catalogue with an array of item and seller lines."""
        return await self._write("catalogue", "POST", "/v1/catalogue", lines)

    async def set_stock(self, item: int, in_stock: bool) -> Written | None:
        """PATCH /v1/items/{id}: only the stock changes."""
        body = {"attributes": {"in_stock": in_stock}}
        return await self._write("stock", "PATCH", f"/v1/items/i{item}", body)

    async def identify(self, visitor: str, user: str) -> Written | None:
        """POST /v1/identify: ``visitor`` signed in as ``user``."""
        body = {"visitor": visitor, "user": user}
        return await self._write("identify", "POST", "/v1/identify", body)

    async def rank(self, request: dict[str, Any]) -> Ranking | None:
        """POST /v1/rank."""
        return await self._call("rank", "POST", "/v1/rank", request, Ranking)

    async def _write(self, name: str, method: str, path: str, body: Any) -> Written | None:
        written = await self._call(name, method, path, body, Written)
        if written is not None:
            refused = sum(1 for result in written.results if result.errors)
            if refused:
                self.errors[f"{name}: refused"] += refused
        return written

    async def _call(
        self, name: str, method: str, path: str, body: Any, shape: type[Answer]
    ) -> Answer | None:
        try:
            async with self._http.request(
                method, self.url + path, data=msgspec.json.encode(body)
            ) as response:
                content = await response.read()
                if response.status >= 300:
                    self.errors[f"{name}: HTTP {response.status}"] += 1
                    return None
                return msgspec.json.decode(content, type=shape)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            self.errors[f"{name}: {type(error).__name__}"] += 1
            return None
