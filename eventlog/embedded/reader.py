"""Tailing partitions of the embedded log without polling it."""

import asyncio
from collections.abc import Mapping

from eventlog.embedded.partition import Partition
from eventlog.protocol import Record, TopicPartition

_SLICE_RECORDS = 256


class EmbeddedReader:
    """Reads some partitions; appends wake it. One ``poll`` at a time."""

    def __init__(
        self,
        partitions: Mapping[TopicPartition, Partition],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        self._partitions = dict(partitions)
        self._positions = dict(positions)
        # Partitions that may have something to read, the longest unserved first.
        self._unread: dict[TopicPartition, None] = dict.fromkeys(positions)
        self._paused: set[TopicPartition] = set()
        self._woken = asyncio.Event()
        for partition in self._partitions.values():
            partition.watchers.add(self)

    async def poll(self, max_records: int, timeout: float) -> dict[TopicPartition, list[Record]]:
        """The next records; see ``eventlog.protocol.Reader.poll``.

        Gives the loop a turn after every 256 records. Cancelled, it hands out nothing and the
        next poll reads the same records.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._woken.clear()
            records = await self._take(max_records)
            if records:
                return records
            try:
                async with asyncio.timeout_at(deadline):
                    await self._woken.wait()
            except TimeoutError:
                return {}

    def position(self, tp: TopicPartition) -> int:
        """The offset the next poll reads from."""
        return self._positions[tp]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Read ``tp`` from ``offset`` on."""
        if tp not in self._positions:
            raise KeyError(tp)
        self._positions[tp] = offset
        self.grown(tp)

    def pause(self, tp: TopicPartition) -> None:
        """Leave ``tp`` out of polls until it is resumed. Embedded only."""
        self._paused.add(tp)

    def resume(self, tp: TopicPartition) -> None:
        """Take ``tp`` into polls again. Embedded only."""
        self._paused.discard(tp)
        if tp in self._unread:
            self._woken.set()

    def grown(self, tp: TopicPartition) -> None:
        """There may be something to read in ``tp``."""
        self._unread[tp] = None
        self._woken.set()

    async def close(self) -> None:
        """Stop watching the partitions."""
        for partition in self._partitions.values():
            partition.watchers.discard(self)

    async def _take(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        before = {tp: self._positions[tp] for tp in self._unread if tp not in self._paused}
        after = dict(before)
        taken: dict[TopicPartition, list[Record]] = {}
        waiting, left, since_turn = list(before), max_records, 0
        while waiting and left:
            share = min(_SLICE_RECORDS, max(1, left // len(waiting)))
            unfinished = []
            for tp in waiting[:left]:
                partition = self._partitions[tp]
                records, after[tp] = partition.read(after[tp], min(share, left))
                if records:
                    taken.setdefault(tp, []).extend(records)
                    left -= len(records)
                    since_turn += len(records)
                if after[tp] < partition.end:
                    unfinished.append(tp)
                if since_turn >= _SLICE_RECORDS and left:
                    since_turn = 0
                    await asyncio.sleep(0)
                if not left:
                    break
            waiting = unfinished
        self._advance(before, after, taken)
        return taken

    def _advance(
        self,
        before: Mapping[TopicPartition, int],
        after: Mapping[TopicPartition, int],
        taken: dict[TopicPartition, list[Record]],
    ) -> None:
        for tp, position in after.items():
            if self._positions[tp] != before[tp]:
                taken.pop(tp, None)  # a seek came in between
                continue
            self._positions[tp] = position
            if position >= self._partitions[tp].end:
                self._unread.pop(tp, None)
            elif tp in taken:
                self._unread.pop(tp, None)
                self._unread[tp] = None
