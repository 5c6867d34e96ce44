"""Faust's own transport over aiokafka, but for where it begins to read.

The composition root sets ``app.read_offsets``: the tables know how far their topics are folded,
better than what was committed. Commits are for people, and for lag monitors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from faust.transport.consumer import RecordMap
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

ReadOffsets = Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]]
"""For each partition the offset of the first record that is to be folded.

Not to be asked of the consumer: what it is asked waits until its broker has answered the fetch
before, which is up to one and a half seconds.
"""

_PLACING_SECONDS = 0.02
_FETCH_SECONDS = 0.25  # a rebalance waits as long for a fetch that brings nothing
_SEEK_SECONDS = 25.0  # less than Faust gives it: then it would end recovery and say nothing
_FETCH_WAIT_MS = 100


class _RebalanceListener(driver.ConsumerRebalanceListener):
    """Keeps aiokafka from fetching changelogs: they are recovered in bulk, not by Faust."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called in the consumer's thread."""
        changelogs = self._thread.app.tables.changelog_topics
        self._thread._ensure_consumer().pause(*(tp for tp in assigned if tp.topic in changelogs))
        await super().on_partitions_assigned(assigned)


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Waits for nothing as long as Faust does.

    While a broker holds back its answer about partitions that have nothing new, aiokafka asks it
    for no others: not for those whose records were taken late, nor for those that are resumed.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer


class Consumer(driver.Consumer):
    """Starts every partition where the tables are; creates no topics.

    After an assignment nothing is fetched until its partitions are placed and streams go on: Faust
    drops what comes while they stand still and clears what agents wait to take when they go on. It
    would fetch on behind what it dropped, and nothing would read that again.
    """

    RebalanceListener = _RebalanceListener

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetching = asyncio.Lock()
        # By number: the assignment there is, the one that was placed, and the one that goes on.
        self._assigned = self._sought = self._goes_on = 0

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Nothing is fetched until it is known from where."""
        self._assigned += 1
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go to where the tables are, once a fetch under way has ended.

        Faust also asks for it when a fetch ends while streams stand still; tables are not recovered
        then. Raises ``TimeoutError``.
        """
        assigned = self._assigned
        async with asyncio.timeout(_SEEK_SECONDS), self._fetching:
            if self.flow_active:
                await super().perform_seek()
                self._sought = assigned

    def resume_flow(self) -> None:
        """Faust does so twice: before partitions are placed, and after."""
        super().resume_flow()
        self._goes_on = self._sought

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        async with self._fetching:
            if self._goes_on == self._assigned:
                fetched = await super()._getmany(active_partitions, _FETCH_SECONDS)
                if self._goes_on == self._assigned:
                    return fetched
        # Asking would keep the consumer's thread busy for as long, and seeks waiting.
        await asyncio.sleep(_PLACING_SECONDS)
        return {}

    async def verify_all_partitions_active(self) -> None:
        """Not by Faust, which finds fault, in long errors and for good, with every changelog (they
        are not read through it) and with streams that are taken in batches."""

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        """Topics are there before a worker starts."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where the tables are in each partition."""
        changelogs = self.app.tables.changelog_topics
        sources = {tp for tp in self.assignment() if tp.topic not in changelogs}
        positions = await cast(Any, self.app).read_offsets(sources)
        await self.seek_wait(positions)
        return cast(Mapping[TP, int], positions)


class Producer(driver.Producer):
    """Creates no topics."""

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        """Topics are there before a worker starts."""


class Transport(driver.Transport):
    """``app.transport`` of a worker."""

    Consumer = Consumer
    Producer = Producer
