"""HTTP to the servers: what may be sent again is, with the same ids, until it is answered."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import msgspec

from freshet.loadtest.answers import PROBLEM
from freshet.loadtest.servers import Servers

GIVE_UP_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class CannotMeasure(Exception):
    """Why the servers cannot be measured."""


class Unanswered(Exception):
    """No server answered in time; the message says why. ``sent`` as in ``Answer``."""

    def __init__(self, reason: str, sent: float) -> None:
        super().__init__(reason)
        self.sent = sent


class Answer(NamedTuple):
    """Of ``server``; ``sent`` (first) and ``done`` are times of ``perf_counter``."""

    status: int
    content: bytes
    server: str
    sent: float
    done: float


class Client:
    """Keeps up to ``connections`` open. Use as an async context manager.

    A connection that dies is counted in ``died``, by server, and its request sent again, to
    another server if there is one that is ready. ``put_off`` counts, by status or in words, why
    writes had to be sent again though their connection lived.
    """

    def __init__(self, urls: Sequence[str], api_key: str | None, connections: int) -> None:
        self._servers = Servers(urls)
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["X-API-Key"] = api_key
        self._slots = asyncio.Semaphore(connections)
        self.died: Counter[str] = Counter()
        self.put_off: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._watching = asyncio.create_task(self._servers.watch(self._http))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await self._http.close()

    @property
    def urls(self) -> tuple[str, ...]:
        """All servers."""
        return self._servers.urls

    async def check(self) -> None:
        """Raises ``CannotMeasure`` unless every server is there, and ready."""
        for url in self.urls:
            try:
                async with self._http.get(f"{url}/readyz") as response:
                    status = response.status
                    await response.read()
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
                raise CannotMeasure(f"{url!r} is not a server's URL") from error
            except (aiohttp.ClientError, TimeoutError) as error:
                why = str(error) or type(error).__name__
                raise CannotMeasure(f"{url} cannot be reached: {why}") from error
            if status != 200:
                raise CannotMeasure(f"{url} is not ready: its /readyz answers {status}")

    async def ask(
        self, method: str, path: str, body: bytes = b"", server: str | None = None
    ) -> Answer:
        """The answer, whatever its status, of ``server`` if one is named and lives.

        Raises ``Unanswered`` where none came in 10 s, or all connections died for a minute.
        """
        began, sent, pause = perf_counter(), 0.0, _FIRST_PAUSE_SECONDS
        while True:
            url = server or self._servers.next()
            try:
                async with self._slots:
                    sent = sent or perf_counter()
                    async with self._http.request(method, url + path, data=body) as response:
                        content = await response.read()
                    return Answer(response.status, content, url, sent, perf_counter())
            except TimeoutError as error:
                raise Unanswered("no answer in time", sent) from error
            except aiohttp.ClientError as error:
                self.died[url] += 1
                self._servers.lost(url)
                if perf_counter() - began > GIVE_UP_SECONDS:
                    raise Unanswered("connections die", sent) from error
            server = None
            if not self._servers.any_ready:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def write(self, method: str, path: str, body: bytes) -> Answer:
        """The answer to what can be sent again: 200, or a status that more tries do not change.

        Raises ``Unanswered`` where there was none within a minute.
        """
        began, sent, pause = perf_counter(), 0.0, _FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await self.ask(method, path, body)
                sent = sent or answer.sent
                if answer.status not in _TRY_AGAIN:
                    return answer._replace(sent=sent)
                reason = str(answer.status)
            except Unanswered as unanswered:
                reason, sent = str(unanswered), sent or unanswered.sent
            self.put_off[reason] += 1
            if perf_counter() - began > GIVE_UP_SECONDS:
                raise Unanswered(reason, sent)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def why_not(answer: Answer) -> str:
    """What an answer other than 200 says."""
    try:
        detail = PROBLEM.decode(answer.content).detail
    except msgspec.DecodeError:  # a balancer's page, perhaps
        detail = answer.content[:200].decode("utf-8", "replace")
    return f"{answer.status} {detail}"
