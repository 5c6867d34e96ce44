"""Partitions change hands between batches, not within them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

_POLL_SECONDS = 0.05


class HandOver:
    """The batches a worker has taken and not yet written, and whether it may write them.

    A process that was frozen for longer than ``session_timeout`` seconds may have lost its
    partitions without having heard of it.
    """

    def __init__(self, session_timeout: float, clock: Callable[[], float] = time.time) -> None:
        self._session_timeout = session_timeout
        self._clock = clock
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._begin = asyncio.Lock()
        self._lost: int | None = None

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[None]:
        """A batch is under way."""
        async with self._begin:
            self._under_way += 1
            self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    @asynccontextmanager
    async def alone(self, timeout: float) -> AsyncIterator[bool]:
        """No batch is under way, and none begins: tables may change that are being folded into.

        ``False`` where a batch is still under way after ``timeout`` seconds. If what is done alone
        fails, no batch begins any more: it would be folded onto half of it.
        """
        await self._begin.acquire()
        alone = False
        try:
            alone = await self.settled(timeout)
        finally:
            if not alone:
                self._begin.release()
        yield alone
        if alone:
            self._begin.release()

    async def settled(self, timeout: float) -> bool:
        """Wait until no batch is under way; ``False`` where one still is after ``timeout`` s."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def now(self) -> float:
        """Wall clock in seconds: it goes on while the process is frozen."""
        return self._clock()

    async def may_write(self, app: Any, generation: int, since: float) -> bool:
        """Whether what was taken at ``since``, in ``generation`` of the group, is still ours.

        After a freeze the group says so within a session time-out, or not at all. Once something
        was not ours, nothing of that generation is: it would be folded over the gap.
        """
        if self._clock() - since > self._session_timeout:
            deadline = self._clock() + self._session_timeout
            while not app.rebalancing and app.consumer_generation_id == generation:
                if self._clock() > deadline:
                    return True
                await asyncio.sleep(_POLL_SECONDS)
            self._lost = generation
        return self.holds(app, generation)

    def holds(self, app: Any, generation: int) -> bool:
        """Whether what was taken in ``generation`` is still ours, as far as is known."""
        return bool(app.consumer_generation_id == generation != self._lost)
