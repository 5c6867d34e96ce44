"""Recovery: the store is brought up to its changelogs in bulk.

Many times faster than Faust's own, which then finds nothing left to do. Deleting the tables'
folder loses nothing: the same rows come back from here. A worker also comes here for what others
have written to the changelogs of its partitions.
"""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from eventlog.protocol import Entry, EventLog, Record, TopicPartition
from tables.row_head import ROW_HEAD
from tables.store import PartitionWrite, TableStore
from tables.topics import TABLES, Table, changelog_topic

Progress = Callable[[int, int], None]
"""Told (records done, records in all), now and then."""

POLL_SECONDS = 10.0

_POLL_RECORDS = 32_768


class RecoveryStalled(Exception):
    """The log has not handed out what it says it holds."""


class TablePartition(NamedTuple):
    """One partition of one table."""

    table: Table
    partition: int


class _Source(NamedTuple):
    table: Table
    start: int
    end: int
    has_rows: bool


class Newest(NamedTuple):
    """What some records of a changelog mean for the store.

    ``rows`` are those the store must take over. ``stale`` are the last records of keys of which a
    newer row is known, by key: they must not be the last for good. ``highest`` is the highest
    offset of any row among the records and before them, where that was known.
    """

    rows: dict[bytes, bytes | None]
    stale: dict[bytes, Record]
    highest: int | None


async def recover(
    log: EventLog,
    store: TableStore,
    *,
    app_id: str,
    of: Collection[TablePartition] | None = None,
    progress: Progress | None = None,
) -> int:
    """Apply to ``store`` what its changelogs hold beyond it; how many records that were.

    ``of`` limits it to what this process owns. Of each key the row with the highest offset stays;
    where a stale owner's lower row came after it, it is appended again, so that it is also the one
    that compaction keeps. Only then the store counts as having read past the lower one.

    A partition that is ahead of its changelog (which was deleted, or lost its end) is emptied and
    taken from the changelog alone; folding the entity topics again brings back the rest.
    Raises ``RecoveryStalled``, or ``LogUnavailable``.
    """
    if of is None:
        of = [TablePartition(table, p) for table in TABLES for p in range(store.partitions)]
    changelogs = {
        TopicPartition(changelog_topic(app_id, table, store.state_id), partition): table
        for table, partition in of
    }
    applied = 0
    while True:
        sources = await _sources(log, store, changelogs)
        read, stale = await _apply(log, store, sources, progress)
        applied += read
        if not stale:
            return applied
        # What this appends is read in the next round, like whatever came in between.
        await log.append(
            {
                tp: [
                    Entry(key, store.get(changelogs[tp].name, tp.partition, key), record.timestamp)
                    for key, record in records.items()
                ]
                for tp, records in stale.items()
            }
        )


async def _apply(
    log: EventLog,
    store: TableStore,
    sources: dict[TopicPartition, _Source],
    progress: Progress | None,
) -> tuple[int, dict[TopicPartition, dict[bytes, Record]]]:
    """How many records were read, and the stale ones of each changelog."""
    total = sum(source.end - source.start for source in sources.values())
    if not total:
        return 0, {}
    stale: dict[TopicPartition, dict[bytes, Record]] = {}
    first_stale: dict[TopicPartition, int] = {}
    # Of what was empty: the highest offset of its rows, and what the store is to have read by now.
    highest: dict[TopicPartition, int | None] = {
        tp: None if source.has_rows else -1 for tp, source in sources.items()
    }
    written: dict[TopicPartition, int | None] = dict.fromkeys(sources)
    reader = log.reader({tp: source.start for tp, source in sources.items()})
    done, read = 0, 0
    try:
        while done < total:
            polled = await reader.poll(_POLL_RECORDS, POLL_SECONDS)
            if not polled:
                raise RecoveryStalled(f"no changelog records for {POLL_SECONDS:.0f} s")
            writes = []
            for tp, records in polled.items():
                read += len(records)
                table = sources[tp].table.name
                persisted = store.persisted_offset(table, tp.partition)
                if persisted != written[tp]:
                    highest[tp] = None  # a batch that was under way has been written meanwhile
                newest = newest_rows(store, table, tp.partition, records, highest[tp])
                highest[tp] = newest.highest
                known = stale.setdefault(tp, {})
                for key in newest.rows:
                    known.pop(key, None)
                known.update(newest.stale)
                for record in newest.stale.values():
                    first_stale.setdefault(tp, record.offset)
                read_to = min(first_stale.get(tp, reader.position(tp)), reader.position(tp)) - 1
                # Nor back from where such a batch has brought it.
                offset = written[tp] = max(read_to, persisted or 0)
                writes.append(
                    PartitionWrite(table, tp.partition, list(newest.rows.items()), offset)
                )
            store.write_now(writes)
            done = sum(
                min(reader.position(tp), source.end) - source.start
                for tp, source in sources.items()
            )
            if progress is not None:
                progress(done, total)
        for tp, source in sources.items():
            if not stale.get(tp):
                store.passed(source.table.name, tp.partition, reader.position(tp) - 1)
    finally:
        await reader.close()
    return read, {tp: records for tp, records in stale.items() if records}


def newest_rows(
    store: TableStore,
    table: str,
    partition: int,
    records: Iterable[Record],
    highest: int | None = None,
) -> Newest:
    """What ``records`` of the partition's changelog, in order, mean for the store.

    A row with a lower offset than one before it is a stale owner's. A record without a key is no
    row; one without a value removes the row. No row in the store has an offset over ``highest``,
    if that is known: so what comes later need not be looked for there, which is nearly all.
    """
    newest: dict[bytes, bytes | None] = {}
    stale: dict[bytes, Record] = {}
    offsets: dict[bytes, int] = {}
    for record in records:
        key, row = record.key, record.value
        if key is None:
            continue
        if row is None:
            newest[key] = None
            offsets[key] = -1
            stale.pop(key, None)
            continue
        offset = ROW_HEAD.decode(row).offset
        known = offsets.get(key)
        if known is None:
            if highest is not None and offset >= highest:
                known = -1
            else:
                held = store.get(table, partition, key)
                known = offsets[key] = -1 if held is None else ROW_HEAD.decode(held).offset
        if offset >= known:
            newest[key], offsets[key] = row, offset
            stale.pop(key, None)
        else:
            stale[key] = record
    if highest is not None:
        highest = max(highest, max(offsets.values(), default=-1))
    return Newest(newest, stale, highest)


async def _sources(
    log: EventLog, store: TableStore, changelogs: dict[TopicPartition, Table]
) -> dict[TopicPartition, _Source]:
    # First what the store has, then where the changelogs end: batches may be under way.
    persisted = {
        tp: store.persisted_offset(table.name, tp.partition) for tp, table in changelogs.items()
    }
    starts, ends = await log.start_offsets(changelogs), await log.end_offsets(changelogs)
    sources = {}
    for tp, table in changelogs.items():
        has = persisted[tp]
        if has is not None and has >= ends[tp]:
            store.clear_partition(table.name, tp.partition)
            has = None
        start = starts[tp] if has is None else max(starts[tp], has + 1)
        if start < ends[tp]:
            sources[tp] = _Source(table, start, ends[tp], has is not None)
    return sources
