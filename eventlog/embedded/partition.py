"""One partition of the embedded log: its offsets, its readers, and reading it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from rocksdict import Rdict

from eventlog.embedded.layout import (
    LAST_OFFSET,
    PARTITION_PREFIX,
    PartitionNotes,
    decode_value,
    offset_of,
    partition_prefix,
    record_key,
)
from eventlog.embedded.superseded import Superseded
from eventlog.protocol import Record, Topic, TopicPartition

_SLICE_BYTES = 1 << 20
_RECENT_BYTES = 1 << 16


class Watcher(Protocol):
    """Told when a partition has grown."""

    def grown(self, tp: TopicPartition) -> None: ...


class Partition:
    """``next``: the offset of the next append. ``end``: one more than the last acknowledged."""

    def __init__(self, db: Rdict, tp: TopicPartition, topic_id: int, topic: Topic) -> None:
        self.tp = tp
        self.topic = topic
        self.prefix = partition_prefix(topic_id, tp.partition)
        self.watchers: set[Watcher] = set()
        self._db = db
        self._notes_key = PARTITION_PREFIX + self.prefix
        stored = db.get(self._notes_key)
        self.notes = (
            msgspec.msgpack.decode(stored, type=PartitionNotes) if stored else PartitionNotes()
        )
        self.end = self.next = max(self.notes.start, self._after_last())
        self.superseded = Superseded()
        # The newest records, without gaps: readers that tail need no database.
        self._recent: list[Record] = []
        self._recent_bytes = 0

    @property
    def start(self) -> int:
        """The lowest offset that may still be read."""
        return self.notes.start

    def written(self, records: Sequence[Record], size: int) -> None:
        """``records``, at least one, of ``size`` bytes in all, were written from ``next`` on."""
        self.next = records[-1].offset + 1
        if self.topic.compacted:
            self.superseded.written(records)
        if self._recent_bytes + size > _RECENT_BYTES:
            self.forget_recent()
        if size <= _RECENT_BYTES:
            self._recent.extend(records)
            self._recent_bytes += size

    def forget_recent(self) -> None:
        """Keep no records in memory: those read next are the database's."""
        self._recent.clear()
        self._recent_bytes = 0

    def acknowledge(self, end: int) -> None:
        """Let readers see everything below ``end``."""
        self.end = max(self.end, end)
        for watcher in self.watchers:
            watcher.grown(self.tp)

    def read(self, offset: int, max_records: int) -> tuple[list[Record], int]:
        """Acknowledged records from ``offset`` on, and the offset to go on from.

        At most ``max_records`` and about one MiB, so that a slice of large rows stays short.
        """
        end, size = self.end, 0
        records: list[Record] = []
        if offset >= end:
            return records, offset
        recent = self._recent
        if recent and offset >= recent[0].offset and offset >= self.notes.start:
            first = recent[0].offset
            stop = min(offset + max_records, end)
            return recent[offset - first : stop - first], stop
        last = record_key(self.prefix, end - 1)
        cursor = self._db.iter()
        cursor.seek(record_key(self.prefix, max(offset, self.notes.start)))
        while len(records) < max_records and size < _SLICE_BYTES:
            if not cursor.valid() or (at := cursor.key()) > last:
                cursor.status()
                return records, end
            stored: bytes = cursor.value()
            timestamp, key, value = decode_value(stored)
            records.append(Record(offset_of(at), timestamp, key, value))
            size += len(stored)
            cursor.next()
        return records, records[-1].offset + 1

    def stored_notes(self) -> tuple[bytes, bytes]:
        """Key and value under which the notes are kept."""
        return self._notes_key, msgspec.msgpack.encode(self.notes)

    def _after_last(self) -> int:
        cursor = self._db.iter()
        cursor.seek_for_prev(self.prefix + LAST_OFFSET)
        if not cursor.valid():
            cursor.status()
            return 0
        key: bytes = cursor.key()
        return offset_of(key) + 1 if key.startswith(self.prefix) else 0
