"""Rows as they were: folded again from the log up to given offsets, for the parity audit."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from eventlog.partitioner import partition_for
from eventlog.protocol import EventLog, Record, TopicPartition
from personalization.codec import CodecError
from personalization.duplicates import DuplicateWindow
from personalization.events import Signal, SignalBatch
from personalization.folding import STATS_TABLES, CatalogueFold, StatsFold, VisitorsFold
from personalization.plan import StatePlan
from personalization.state.errors import FoldError
from personalization.state.keys import item_key, segment_key, seller_key, user_key
from personalization.state.rows import Watermark
from tables.topics import (
    CATALOGUE_RECORD,
    CATALOGUE_ROWS,
    ITEMS,
    ROWS,
    SEGMENTS,
    SELLERS,
    SIGNAL_BATCH,
    TABLES,
    USERS,
    VISITOR_EVENT,
    VISITORS,
)
from tables.windows import SPAN

RowKey = tuple[str, str]
"""A table's name and a row's key in it; in the catalogue ``item:<id>`` and so on."""

Progress = Callable[[int, int], None]
"""Told (done, total) now and then."""

_POLL_RECORDS = 4096
_POLL_SECONDS = 10.0

_SIGNAL_KEYS: dict[str, Callable[[str], str]] = {
    USERS.name: user_key,
    ITEMS.name: item_key,
    SELLERS.name: seller_key,
    SEGMENTS.name: segment_key,
}


class HistoryMissing(Exception):
    """The log no longer has the records that a row begins with."""


class _Refold(Protocol):
    def take(self, record: Record) -> None:
        """Fold one record."""
        ...

    def rows(self) -> Mapping[RowKey, Any]:
        """The wanted rows after the last record; the next one may consume them."""
        ...


async def rows_at(
    log: EventLog,
    plan: StatePlan,
    wanted: Mapping[RowKey, Collection[int]],
    progress: Progress = lambda _done, _total: None,
) -> dict[RowKey, dict[int, bytes]]:
    """Each wanted row, encoded, as it was at each of the given row offsets.

    A row that had no such offset is left out. One pass, a partition at a time, over those that
    the wanted rows belong to; memory is that of the wanted rows and one window of event ids.
    ``progress`` is told now and then how many records were folded, of how many. Raises
    ``HistoryMissing``, ``TimeoutError`` where the log stalls, and ``SignalGap``.
    """
    found: dict[RowKey, dict[int, bytes]] = {}
    partitions = _by_partition(log, wanted)
    ends = {tp: await _end(log, tp, keys, wanted) for tp, keys in partitions.items()}
    done, total = 0, sum(ends.values())
    for tp, keys in partitions.items():
        offsets = {key: frozenset(wanted[key]) for key in keys}
        cuts = frozenset().union(*offsets.values())
        refold = _refold(plan, tp, keys)
        async for record in _records(log, tp, ends[tp]):
            refold.take(record)
            if record.offset % _POLL_RECORDS == 0:
                progress(done + record.offset, total)
            if record.offset not in cuts:
                continue
            for key, row in refold.rows().items():
                if row.offset == record.offset and record.offset in offsets[key]:
                    found.setdefault(key, {})[record.offset] = ROWS[key[0]].encode(row)
        done += ends[tp]
        progress(done, total)
    return found


async def _end(
    log: EventLog,
    tp: TopicPartition,
    keys: Iterable[RowKey],
    wanted: Mapping[RowKey, Collection[int]],
) -> int:
    """One more than the last offset that is wanted of ``tp``, or where the log ends now."""
    last = max((max(wanted[key], default=-1) for key in keys), default=-1)
    return min((await log.end_offsets([tp]))[tp], last + 1)


def _by_partition(
    log: EventLog, wanted: Iterable[RowKey]
) -> dict[TopicPartition, frozenset[RowKey]]:
    sources = {table.name: table.source for table in TABLES}
    keys: dict[TopicPartition, set[RowKey]] = {}
    for table, id in wanted:
        topic = sources[table]
        key = _SIGNAL_KEYS[table](id) if table in _SIGNAL_KEYS else id
        partition = partition_for(key.encode(), log.partitions(topic))
        keys.setdefault(TopicPartition(topic, partition), set()).add((table, id))
    return {tp: frozenset(keys[tp]) for tp in sorted(keys)}


async def _records(log: EventLog, tp: TopicPartition, end: int) -> AsyncIterator[Record]:
    """All records of ``tp`` below offset ``end``."""
    start = (await log.start_offsets([tp]))[tp]
    if start > 0:
        raise HistoryMissing(f"{tp.topic}[{tp.partition}] begins at offset {start}")
    reader = log.reader({tp: 0})
    try:
        while reader.position(tp) < end:
            polled = await reader.poll(_POLL_RECORDS, _POLL_SECONDS)
            if not polled and reader.position(tp) < end:
                raise TimeoutError(f"{tp.topic}[{tp.partition}]: no record in {_POLL_SECONDS} s")
            for record in polled.get(tp, ()):
                if record.offset >= end:
                    return
                yield record
    finally:
        await reader.close()


def _refold(plan: StatePlan, tp: TopicPartition, keys: frozenset[RowKey]) -> _Refold:
    if tp.topic == VISITORS.source:
        return _Visitors(plan, tp.partition, frozenset(id for _, id in keys))
    if tp.topic == CATALOGUE_ROWS.source:
        return _Catalogue(frozenset(id for _, id in keys))
    return _Stats(plan, keys)


class _Visitors:
    """The wanted visitors of one partition; of all others only the event ids matter."""

    def __init__(self, plan: StatePlan, partition: int, wanted: frozenset[str]) -> None:
        self._plan = plan
        self._partition = partition
        self._wanted = wanted
        self._rows: dict[str, Any] = {}
        self._duplicates = DuplicateWindow(SPAN)
        self._fold = self._begin(Watermark())

    def take(self, record: Record) -> None:
        try:
            event = VISITOR_EVENT.decode(record.value or b"")
            if event.visitor in self._wanted:
                self._fold.add(record.offset, event)
                return
            self._duplicates.seen(event.id, record.offset)
        except (CodecError, FoldError):
            pass  # a dead letter: no row has it
        self._fold.skip(record.offset)

    def rows(self) -> dict[RowKey, Any]:
        folded = self._fold.finish()
        self._rows.update(folded.rows)
        self._fold = self._begin(folded.watermark)
        return {(VISITORS.name, id): row for id, row in folded.rows.items()}

    def _begin(self, watermark: Watermark) -> VisitorsFold:
        return VisitorsFold(
            self._plan,
            self._partition,
            watermark,
            self._rows.get,
            self._duplicates,
            lambda _: 0,  # the signals are not sent
        )


class _Stats:
    """The wanted users, items, sellers and segments of one partition of signals."""

    def __init__(self, plan: StatePlan, wanted: frozenset[RowKey]) -> None:
        self._plan = plan
        self._wanted = frozenset(_SIGNAL_KEYS[table](id) for table, id in wanted)
        self._rows: dict[RowKey, Any] = {}
        self._fold = self._begin(dict.fromkeys(STATS_TABLES, Watermark()))

    def take(self, record: Record) -> None:
        try:
            batch = SIGNAL_BATCH.decode(record.value or b"")
        except CodecError:
            self._fold.skip(record.offset)  # a dead letter: no row has it
            return
        entries = [self._of_wanted(signal) for signal in batch.entries]
        # Entries that could not be folded are dead letters; the others were folded.
        with suppress(FoldError):
            self._fold.add(
                record.offset, SignalBatch(batch.source, batch.previous, batch.last, entries)
            )

    def _of_wanted(self, signal: Signal) -> Signal:
        counts = {key: count for key, count in signal.counts.items() if key in self._wanted}
        return msgspec.structs.replace(signal, counts=counts)

    def rows(self) -> dict[RowKey, Any]:
        folded = self._fold.finish()
        changed = {
            (table, id): row for table, rows in folded.rows.items() for id, row in rows.items()
        }
        self._rows.update(changed)
        self._fold = self._begin(folded.watermarks)
        return changed

    def _begin(self, watermarks: dict[str, Watermark]) -> StatsFold:
        return StatsFold(self._plan, watermarks, lambda table, id: self._rows.get((table, id)))


class _Catalogue:
    """The wanted catalogue rows of one partition."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = frozenset(key.encode() for key in wanted)
        self._rows: dict[str, Any] = {}
        self._fold = CatalogueFold(Watermark(), self._rows.get)

    def take(self, record: Record) -> None:
        if record.key not in self._wanted:
            return
        try:
            self._fold.add(record.offset, CATALOGUE_RECORD.decode(record.value or b""))
        except (CodecError, FoldError):
            self._fold.skip(record.offset)  # a dead letter: no row has it

    def rows(self) -> dict[RowKey, Any]:
        folded = self._fold.finish()
        self._rows.update(folded.rows)
        self._fold = CatalogueFold(folded.watermark, self._rows.get)
        return {(CATALOGUE_ROWS.name, id): row for id, row in folded.rows.items()}
