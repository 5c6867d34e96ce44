"""One partition of the embedded log: its offsets, its readers, and reading it."""

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
from eventlog.protocol import Record, Topic, TopicPartition

_SLICE_BYTES = 1 << 20


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

    @property
    def start(self) -> int:
        """The lowest offset that may still be read."""
        return self.notes.start

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
