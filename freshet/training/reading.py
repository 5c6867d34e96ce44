"""A log's records in the order in which they were appended, over all partitions of its topics."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from eventlog.protocol import EventLog, Reader, Record, TopicPartition
from tables.topics import DECISIONS

_BATCH = 1_000
_POLL_SECONDS = 10.0

Progress = Callable[[int, int], None]
StageProgress = Callable[[str, int, int], None]


class Stalled(Exception):
    """The log does not hand out what it has."""


class Told(NamedTuple):
    """A record of a topic."""

    topic: str
    record: Record


async def in_order(
    log: EventLog, topics: Iterable[str], progress: Progress | None = None
) -> AsyncIterator[Told]:
    """All records that are there now, by time of receipt, each partition's in its order.

    A thousand records of each partition are in memory at a time. Raises ``Stalled``.
    """
    partitions = [
        TopicPartition(topic, number) for topic in topics for number in range(log.partitions(topic))
    ]
    starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
    tails = [_Tail(log, tp, starts[tp], ends[tp]) for tp in partitions if starts[tp] < ends[tp]]
    total = sum(tail.end - tail.start for tail in tails)
    done = 0
    try:
        heap = []
        for number, tail in enumerate(tails):
            record = await tail.next()
            if record is not None:
                heap.append((record.timestamp, number, record.offset, record))
        heapify(heap)
        while heap:
            _, number, _, record = heap[0]
            tail = tails[number]
            yield Told(tail.tp.topic, record)
            done += 1
            if progress is not None and done % _BATCH == 0:
                progress(min(done, total), total)
            following = await tail.next()
            if following is None:
                heappop(heap)
            else:
                at = max(following.timestamp, record.timestamp)
                heapreplace(heap, (at, number, following.offset, following))
    finally:
        for tail in tails:
            await tail.close()
    if progress is not None and total:
        progress(total, total)


async def recorded(log: EventLog, since: int, progress: StageProgress) -> AsyncIterator[bytes]:
    """All decisions from ``since`` (ms) on, encoded. Raises ``Stalled``."""
    async for _, record in in_order(log, [DECISIONS], partial(progress, "decisions")):
        if record.timestamp >= since:
            yield record.value or b""


class _Tail:
    """One partition, read up to ``end``."""

    def __init__(self, log: EventLog, tp: TopicPartition, start: int, end: int) -> None:
        self.tp = tp
        self.start = start
        self.end = end
        self._reader: Reader = log.reader({tp: start})
        self._records: deque[Record] = deque()

    async def next(self) -> Record | None:
        """The next record; ``None`` at the end."""
        while not self._records:
            if self._reader.position(self.tp) >= self.end:
                return None
            polled = await self._reader.poll(_BATCH, _POLL_SECONDS)
            if not polled and self._reader.position(self.tp) < self.end:
                raise Stalled(f"no records of {self.tp.topic} for {_POLL_SECONDS:.0f} s")
            self._records.extend(r for r in polled.get(self.tp, ()) if r.offset < self.end)
        return self._records.popleft()

    async def close(self) -> None:
        await self._reader.close()
