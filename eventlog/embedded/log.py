"""``EventLog`` in one process, on one rocksdict database.

What an acknowledged append survives: the process being killed, always, because every append is in
the operating system's hands (RocksDB's write-ahead log) before it returns; loss of power only with
``sync=True``, which also waits for the disk.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rocksdict import WriteBatch

from eventlog.embedded import cleaning
from eventlog.embedded.layout import StoredTopic, commit_prefix, encode_value, record_key
from eventlog.embedded.partition import Partition
from eventlog.embedded.reader import EmbeddedReader
from eventlog.embedded.store import open_read_only, open_store, scan
from eventlog.embedded.sync import GroupSync
from eventlog.embedded.topics import Topics
from eventlog.protocol import (
    Entry,
    LogUnavailable,
    Record,
    RecordTooLarge,
    Topic,
    TopicPartition,
)

_logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.002


def now_ms() -> int:
    """Wall clock in ms."""
    return time.time_ns() // 1_000_000


class EmbeddedLog:
    """Opens ``path`` at once; raises ``LogLocked`` if it is open elsewhere.

    ``read_only`` opens what there is now, even beside the process that writes it: what is appended
    later is not seen, and nothing can be appended. It raises ``FileNotFoundError``.
    ``start`` runs compaction and retention every ``clean_every`` seconds; all else works without
    it. One event loop may use it, or plain code with the methods marked *embedded only*.
    """

    whole_bytes = sys.maxsize

    def __init__(
        self,
        path: Path,
        *,
        sync: bool = False,
        read_only: bool = False,
        clock: Callable[[], int] = now_ms,
        clean_every: float = 60.0,
    ) -> None:
        self._db = open_read_only(path) if read_only else open_store(path)
        self._clock = clock
        self._clean_every = clean_every
        self._topics = Topics(self._db)
        self._partitions: dict[TopicPartition, Partition] = {}
        for stored in self._topics.all():
            self._open_partitions(stored)
        self._group_sync = GroupSync(self._sync_wal, self._acknowledge) if sync else None
        self._cleaning = asyncio.Lock()
        self._closed = False
        self._cleaner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start cleaning in the background."""
        self._cleaner = asyncio.create_task(self._clean_forever())

    async def stop(self) -> None:
        """Finish what is under way and close the database."""
        if self._cleaner is not None:
            self._cleaner.cancel()
            await asyncio.wait([self._cleaner])
            self._cleaner = None
        if self._group_sync is not None:
            await self._group_sync.drained()
        async with self._cleaning:
            self.close()

    def close(self) -> None:
        """Close the database, once. Embedded only: for plain code; ``stop`` does it too."""
        if not self._closed:
            self._closed = True
            try:
                self._db.close()
            except Exception:  # after a failed write; the write-ahead log has what was acknowledged
                _logger.exception("closing the log failed")

    async def create_topics(self, topics: Iterable[Topic]) -> None:
        """Create what is missing and take over changed settings of the others.

        Raises ``TopicMismatch``, with nothing changed, where partitions differ.
        """
        for stored in self._topics.declare(topics):
            self._open_partitions(stored)

    async def delete_topic(self, topic: str) -> None:
        """Drop a topic with its records and commits; created again, it starts at offset 0.

        Readers of it stay where they are and must be made anew. Raises ``KeyError``.
        """
        async with self._cleaning:
            count = self.partitions(topic)
            self._topics.delete(topic)
            for number in range(count):
                del self._partitions[TopicPartition(topic, number)]

    def partitions(self, topic: str) -> int:
        """How many partitions ``topic`` has. Raises ``KeyError`` for an unknown topic."""
        return self._topics.get(topic).topic.partitions

    async def append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        """Append all batches in one atomic write; the offset of each partition's last record.

        Holds the loop for about 2 µs per record. Raises ``RecordTooLarge`` or
        ``LogUnavailable``; then none of the batches was appended.
        """
        if self._group_sync is None:
            return self.append_now(batches)
        self._group_sync.check(batches)
        lasts = self._write(batches)
        if lasts:
            await self._group_sync.synced(lasts)
        return lasts

    def append_now(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        """``append`` for plain code: with ``sync=True`` it waits for the disk. Embedded only."""
        lasts = self._write(batches)
        if self._group_sync is not None and lasts:
            try:
                self._sync_wal()
            except Exception as error:
                raise LogUnavailable(lasts, f"syncing to disk failed: {error}") from error
        self._acknowledge(lasts)
        return lasts

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The lowest offset that may still be read."""
        return {tp: self.start_offset(tp) for tp in partitions}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """One more than the last acknowledged offset."""
        return {tp: self.end_offset(tp) for tp in partitions}

    def start_offset(self, tp: TopicPartition) -> int:
        """The lowest offset that may still be read. Embedded only."""
        return self._partitions[tp].start

    def end_offset(self, tp: TopicPartition) -> int:
        """One more than the last acknowledged offset. Embedded only."""
        return self._partitions[tp].end

    def reader(self, positions: Mapping[TopicPartition, int]) -> EmbeddedReader:
        """A reader of these partitions, each from its position on. Raises ``KeyError``."""
        return EmbeddedReader({tp: self._partitions[tp] for tp in positions}, positions)

    def read(self, tp: TopicPartition, offset: int, max_records: int) -> list[Record]:
        """Records from ``offset`` on, at most ``max_records`` and about one MiB. Embedded only."""
        return self._partitions[tp].read(offset, max_records)[0]

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The offsets ``group`` has committed: of each partition, the next one to read."""
        by_prefix = {partition.prefix: tp for tp, partition in self._partitions.items()}
        return {
            by_prefix[key]: int.from_bytes(value, "big")
            for key, value in scan(self._db, commit_prefix(group))
            if key in by_prefix  # else of a topic that was deleted
        }

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep ``offsets`` for ``group``. Raises ``LogUnavailable``."""
        prefix = commit_prefix(group)
        batch = WriteBatch(raw_mode=True)
        for tp, offset in offsets.items():
            batch.put(prefix + self._partitions[tp].prefix, offset.to_bytes(8, "big"))
        self._commit_batch(batch, offsets)

    async def compact(self, topic: str) -> int:
        """Compact every partition of ``topic`` now; how many records were dropped."""
        dropped = 0
        async with self._cleaning:
            for number in range(self.partitions(topic)):
                partition = self._partitions[TopicPartition(topic, number)]
                dropped += await cleaning.compact(self._db, partition, self._clock(), pause=0.0)
        return dropped

    async def clean(self) -> None:
        """One round of retention and of the compactions that are worth it."""
        async with self._cleaning:
            for partition in list(self._partitions.values()):
                topic = partition.topic
                if topic.retention_ms is not None:
                    oldest = self._clock() - topic.retention_ms
                    await cleaning.expire(self._db, partition, oldest, _PAUSE_SECONDS)
                if topic.compacted and cleaning.worth_compacting(partition):
                    await cleaning.compact(self._db, partition, self._clock(), _PAUSE_SECONDS)

    async def _clean_forever(self) -> None:
        while True:
            await asyncio.sleep(self._clean_every)
            try:
                await self.clean()
            except Exception:
                _logger.exception("cleaning the log failed; the next round tries again")

    def _open_partitions(self, stored: StoredTopic) -> None:
        for number in range(stored.topic.partitions):
            tp = TopicPartition(stored.topic.name, number)
            known = self._partitions.get(tp)
            if known is None:
                self._partitions[tp] = Partition(self._db, tp, stored.id, stored.topic)
            else:
                known.topic = stored.topic

    def _write(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        batch = WriteBatch(raw_mode=True)
        lasts: dict[TopicPartition, int] = {}
        written: list[tuple[Partition, list[Record], int]] = []
        for tp, entries in batches.items():
            partition = self._partitions[tp]
            limit = partition.topic.max_record_bytes
            offset, prefix = partition.next, partition.prefix
            records: list[Record] = []
            total = 0
            for key, value, timestamp in entries:
                size = len(key or b"") + len(value or b"")
                if size > limit:
                    raise RecordTooLarge(f"a record of {size} bytes is over {tp.topic}'s {limit}")
                batch.put(record_key(prefix, offset), encode_value(key, value, timestamp))
                records.append(Record(offset, timestamp, key, value))
                total += size
                offset += 1
            if records:
                lasts[tp] = offset - 1
                if partition.topic.compacted:
                    for old in partition.superseded.by(records):
                        batch.delete(record_key(prefix, old))
                written.append((partition, records, total))
        self._commit_batch(batch, lasts)
        for partition, records, total in written:
            partition.written(records, total)
        return lasts

    def _commit_batch(self, batch: WriteBatch, partitions: Iterable[TopicPartition]) -> None:
        try:
            self._db.write(batch)
        except Exception as error:  # rocksdict raises nothing narrower
            raise LogUnavailable(partitions, str(error)) from error

    def _acknowledge(self, lasts: Mapping[TopicPartition, int]) -> None:
        for tp, last in lasts.items():
            self._partitions[tp].acknowledge(last + 1)

    def _sync_wal(self) -> None:
        self._db.flush_wal(True)
