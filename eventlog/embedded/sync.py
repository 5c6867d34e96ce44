"""Group commit: one sync of the write-ahead log for every append that waits for it."""

import asyncio
from collections.abc import Callable, Mapping

from eventlog.protocol import LogUnavailable, TopicPartition

LastOffsets = Mapping[TopicPartition, int]


class GroupSync:
    """Syncs in a thread, so that the loop goes on, and acknowledges in the order of the appends."""

    def __init__(
        self, sync: Callable[[], None], acknowledge: Callable[[LastOffsets], None]
    ) -> None:
        self._sync = sync
        self._acknowledge = acknowledge
        self._waiting: list[tuple[LastOffsets, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None
        self._failure: str | None = None

    def check(self, partitions: LastOffsets | Mapping[TopicPartition, object]) -> None:
        """Raise ``LogUnavailable`` if a sync has failed: what it held may be gone or not."""
        if self._failure is not None:
            raise LogUnavailable(partitions, self._failure)

    async def synced(self, lasts: LastOffsets) -> None:
        """Return once what was written up to now is on disk. Raises ``LogUnavailable``."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lasts, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await done

    async def drained(self) -> None:
        """Wait for the syncs under way."""
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._sync)
            except Exception as error:
                self._failure = f"syncing to disk failed: {error}"
                for lasts, done in group:
                    if not done.done():
                        done.set_exception(LogUnavailable(lasts, self._failure))
                continue
            for lasts, done in group:
                self._acknowledge(lasts)
                if not done.done():
                    done.set_result(None)
        self._running = None
