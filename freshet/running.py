"""What every long-running process does: listen, catch up, run until it is to stop, stop in time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from aiohttp import web

from freshet.logs import root_cause
from freshet.state import StageProgress
from tables.replicas import Replicas

DRAIN_SECONDS = 10.0
"""How long running requests may take once the process is to stop, and then each part of it."""

_PROGRESS_SECONDS = 0.2

_logger = structlog.get_logger(__name__)


class CannotListen(Exception):
    """The address cannot be listened on."""


class Failed(Exception):
    """A part that the others need has stopped: the message has the root cause."""


async def listen(runner: web.AppRunner, host: str, port: int) -> str:
    """Set ``runner`` up and accept connections; the URL. Raises ``CannotListen``."""
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from error
    address = runner.addresses[0]
    name = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{name}:{address[1]}"


async def follow(replicas: Replicas, progress: StageProgress) -> None:
    """Wait until the replicas are ready, and tell how far they are; what it raises ends that."""
    ready = asyncio.create_task(replicas.ready())
    try:
        while True:
            await asyncio.wait([ready], timeout=_PROGRESS_SECONDS)
            progress("replicas", replicas.progress.done, replicas.progress.total)
            if ready.done():
                ready.result()
                return
    finally:
        ready.cancel()


async def done_before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether ``work`` ended before ``stop`` was set; then it is cancelled. Raises as it does."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((stopped, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        working.cancel()
        await asyncio.wait([working], timeout=DRAIN_SECONDS)
        return False
    finally:
        stopped.cancel()


async def until(stop: asyncio.Event, parts: Mapping[str, Coroutine[Any, Any, object]]) -> None:
    """Return once ``stop`` is set. Raises ``Failed`` where one of ``parts`` ends before.

    ``parts`` are waits by the part's name, each of which ends by raising what stopped it.
    """
    stopped = asyncio.create_task(stop.wait())
    ends = {asyncio.create_task(wait): part for part, wait in parts.items()}
    try:
        done, _ = await asyncio.wait((stopped, *ends), return_when=asyncio.FIRST_COMPLETED)
        if stopped in done:
            return
        ended = done.pop()
        reason = ended.exception()
        raise failure(ends[ended], reason) from reason
    finally:
        for task in (stopped, *ends):
            task.cancel()


def failure(part: str, reason: BaseException | None) -> Failed:
    """Tell the whole reason, once; what to raise has its root in one line."""
    _logger.error("stopped", part=part, exc_info=reason)
    root = None if reason is None else root_cause(reason)
    return Failed(f"{part} stopped: {' '.join(str(root).split())}")


async def bounded(part: str, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop one part, and go on with the others if it does not in time."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await stop()
    except TimeoutError:
        _logger.error("did not stop in time", part=part)
    except Exception:
        _logger.exception("failed while stopping", part=part)
