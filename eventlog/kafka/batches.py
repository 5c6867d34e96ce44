"""Cutting what is appended to a partition into batches that the broker takes."""

from collections.abc import Sequence
from typing import NamedTuple

from eventlog.protocol import RECORD_OVERHEAD, Entry, RecordTooLarge

# ``max.message.bytes`` is about a whole batch: 61 bytes of header, and at most 32 for the lengths
# and deltas of its only record.
BATCH_OVERHEAD = 128

WHOLE_BYTES = 512 << 10


class Batch(NamedTuple):
    """Entries that travel together, and about how many bytes they take."""

    entries: Sequence[Entry]
    size: int


def split(topic: str, entries: Sequence[Entry], max_message_bytes: int) -> list[Batch]:
    """``entries`` in order, in batches below ``max_message_bytes``. Raises ``RecordTooLarge``."""
    largest = max_message_bytes - BATCH_OVERHEAD
    aim = min(WHOLE_BYTES, largest)
    batches: list[Batch] = []
    first = size = 0
    for at, entry in enumerate(entries):
        payload = len(entry.key or b"") + len(entry.value or b"")
        if payload > largest:
            raise RecordTooLarge(f"a record of {payload} bytes is over {topic}'s {largest}")
        payload += RECORD_OVERHEAD
        if size + payload > aim and at > first:
            batches.append(Batch(entries[first:at], size))
            first, size = at, 0
        size += payload
    if entries:
        batches.append(Batch(entries[first:], size))
    return batches
