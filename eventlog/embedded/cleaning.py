"""Compaction and retention of one partition, in slices that hold the loop under a millisecond."""

import asyncio
from time import perf_counter

from rocksdict import Rdict, WriteBatch

from eventlog.embedded.layout import decode_value, offset_of, record_key
from eventlog.embedded.partition import Partition

TOMBSTONE_KEPT_MS = 24 * 3600 * 1000

_SLICE_SECONDS = 0.0005
_CLOCK_EVERY = 32
_WORTH_RECORDS = 1000


def worth_compacting(partition: Partition) -> bool:
    """Whether likely more than half of the records are superseded.

    True once more were appended since the last compaction, and not dropped already, than it kept:
    where keys repeat, the older half is mostly superseded; where they do not, passes get rarer as
    the partition grows.
    """
    appended = partition.end - max(partition.start, partition.notes.compacted_to)
    left = appended - partition.superseded.dropped
    return left > max(_WORTH_RECORDS, partition.notes.kept)


async def compact(db: Rdict, partition: Partition, now: int, pause: float) -> int:
    """Keep the newest record of each key; how many were dropped.

    Tombstones older than 24 hours go too, after everything they hide. Records without a key and
    the partition's last record stay. ``now`` is in ms, ``pause`` (seconds) is slept after a slice.
    """
    end = partition.end
    if end == 0:
        return 0
    dropped_before = partition.superseded.dropped
    last = record_key(partition.prefix, end - 1)
    too_old = now - TOMBSTONE_KEPT_MS
    seen: set[bytes] = set()
    expired: list[bytes] = []
    kept = dropped = scanned = 0
    batch = WriteBatch(raw_mode=True)
    cursor = db.iter()
    cursor.seek_for_prev(last)
    slice_ends = perf_counter() + _SLICE_SECONDS
    while cursor.valid() and (at := cursor.key()).startswith(partition.prefix):
        timestamp, key, value = decode_value(cursor.value())
        if key is not None and key in seen:
            batch.delete(at)
            dropped += 1
        elif key is not None and value is None and timestamp < too_old and at != last:
            seen.add(key)
            expired.append(at)
        else:
            kept += 1
            if key is not None:
                seen.add(key)
        cursor.prev()
        scanned += 1
        if scanned % _CLOCK_EVERY == 0 and perf_counter() > slice_ends:
            db.write(batch)
            batch = WriteBatch(raw_mode=True)
            await asyncio.sleep(pause)
            slice_ends = perf_counter() + _SLICE_SECONDS
    cursor.status()
    for number, at in enumerate(expired, start=1):
        batch.delete(at)
        if number % (_CLOCK_EVERY * 8) == 0:
            db.write(batch)
            batch = WriteBatch(raw_mode=True)
            await asyncio.sleep(pause)
    partition.notes.compacted_to, partition.notes.kept = end, kept
    partition.superseded.dropped -= dropped_before
    batch.put(*partition.stored_notes())
    db.write(batch)
    partition.forget_recent()
    return dropped + len(expired)


async def expire(db: Rdict, partition: Partition, oldest: int, pause: float) -> None:
    """Drop records with a timestamp before ``oldest`` (ms) from the front."""
    end, start, scanned = partition.end, partition.start, 0
    cursor = db.iter()
    cursor.seek(record_key(partition.prefix, start))
    slice_ends = perf_counter() + _SLICE_SECONDS
    while cursor.valid() and (at := cursor.key()) < record_key(partition.prefix, end):
        if decode_value(cursor.value())[0] >= oldest:
            end = offset_of(at)
            break
        cursor.next()
        scanned += 1
        if scanned % _CLOCK_EVERY == 0 and perf_counter() > slice_ends:
            await asyncio.sleep(pause)
            slice_ends = perf_counter() + _SLICE_SECONDS
    cursor.status()
    if scanned:
        partition.notes.start = end
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(record_key(partition.prefix, start), record_key(partition.prefix, end))
        batch.put(*partition.stored_notes())
        db.write(batch)
