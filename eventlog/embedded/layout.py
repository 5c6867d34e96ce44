"""How records and what is known about them lie in the database, byte for byte.

A record's key is its topic id (u16), partition (u16) and offset (u64), big-endian, so that a
partition is one ascending run of keys. Topic id 0 is kept for metadata; ids are never used twice.
"""

import struct

import msgspec

from eventlog.protocol import Topic

FORMAT_VERSION = 1
HEADER_KEY = b"\x00\x00header"
TOPIC_PREFIX = b"\x00\x00topic/"
PARTITION_PREFIX = b"\x00\x00partition/"
COMMIT_PREFIX = b"\x00\x00commit/"

FIRST_TOPIC_ID = 1
LAST_TOPIC_ID = 0xFFFE
LAST_OFFSET = b"\xff" * 8

_PREFIX = struct.Struct(">HH")
_VALUE_HEADER = struct.Struct(">qi?")
_VALUE_HEADER_BYTES = _VALUE_HEADER.size
_NO_KEY = -1


class Header(msgspec.Struct):
    """What the whole database says of itself."""

    version: int = FORMAT_VERSION
    next_topic_id: int = FIRST_TOPIC_ID


class StoredTopic(msgspec.Struct, frozen=True):
    """A topic's declaration and the id its records are kept under."""

    id: int
    topic: Topic


class PartitionNotes(msgspec.Struct):
    """What of a partition cannot be seen from its records.

    ``start``: the lowest offset that may still be read. ``compacted_to`` and ``kept``: how far the
    last compaction came, and how many records it left below.
    """

    start: int = 0
    compacted_to: int = 0
    kept: int = 0


def partition_prefix(topic_id: int, partition: int) -> bytes:
    """The first four bytes of every key of a partition."""
    return _PREFIX.pack(topic_id, partition)


def topic_range(topic_id: int) -> tuple[bytes, bytes]:
    """The first key of a topic's records and the first one behind them."""
    return _PREFIX.pack(topic_id, 0), _PREFIX.pack(topic_id + 1, 0)


def record_key(prefix: bytes, offset: int) -> bytes:
    """The key of the record at ``offset``."""
    return prefix + offset.to_bytes(8, "big")


def offset_of(record_key: bytes) -> int:
    """The offset in a record's key."""
    return int.from_bytes(record_key[4:], "big")


def encode_value(key: bytes | None, value: bytes | None, timestamp: int) -> bytes:
    """A record's value: timestamp (i64), key length (i32), whether it is a tombstone, both."""
    key_bytes = _NO_KEY if key is None else len(key)
    header = _VALUE_HEADER.pack(timestamp, key_bytes, value is None)
    return header + (key or b"") + (value or b"")


def decode_value(stored: bytes) -> tuple[int, bytes | None, bytes | None]:
    """Timestamp, key and value of what ``encode_value`` made."""
    timestamp, key_bytes, tombstone = _VALUE_HEADER.unpack_from(stored)
    if key_bytes == _NO_KEY:
        return timestamp, None, None if tombstone else stored[_VALUE_HEADER_BYTES:]
    value_at = _VALUE_HEADER_BYTES + key_bytes
    key = stored[_VALUE_HEADER_BYTES:value_at]
    return timestamp, key, None if tombstone else stored[value_at:]


def commit_prefix(group: str) -> bytes:
    """The first bytes of every committed offset of ``group``."""
    return COMMIT_PREFIX + group.encode() + b"\x00"
