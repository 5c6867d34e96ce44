"""Bulk folding: whatever the entity topics hold beyond the tables, in large batches.

The folds, the write order and so the bytes are those of the live agents; only the batches are
larger. It serves start-up, ``freshet rebuild`` and imports
into a log that no server has open, and workers that are assigned what has no tables yet. Killed
at any point, it goes on from where it was.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, Record, TopicPartition
from personalization.codec import Codec, CodecError
from personalization.events import CatalogueRecord, SignalBatch, StampedEvent
from personalization.folding import STATS_TABLES
from personalization.plan import StatePlan
from personalization.state.keys import catalogue_key
from tables.batch_fold import Pause, fold_catalogue, fold_events, fold_signals, no_pause
from tables.recovery import POLL_SECONDS, Progress, RecoveryStalled
from tables.store import TableStore
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    CATALOGUE_ROWS,
    SIGNALS,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    VISITORS,
)
from tables.windows import Windows
from tables.writer import BatchWriter, FoldedBatch

_BATCH_RECORDS = {VISITOR_EVENTS: 20_000, CATALOGUE: 20_000, SIGNALS: 1_000}

_TABLES = {
    CATALOGUE: (CATALOGUE_ROWS.name,),
    VISITOR_EVENTS: (VISITORS.name,),
    SIGNALS: STATS_TABLES,
}

_Fold = Callable[[Mapping[int, Sequence[Record]]], Awaitable[FoldedBatch]]


class _Sent(msgspec.Struct, array_like=True, frozen=True):
    """The first fields of a ``SignalBatch``."""

    source: int
    previous: int
    last: int


_SENT = Codec(_Sent)


class _Unread(NamedTuple):
    """What a topic holds beyond the tables: positions to read from, and to stop at."""

    topic: str
    positions: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]

    @property
    def records(self) -> int:
        """How many, where the log has no gaps."""
        return sum(end - self.positions[tp] for tp, end in self.ends.items())


class Bulk:
    """Folds in bulk into the partitions ``of`` (all) of ``store``.

    Nobody else may write to them meanwhile, unless ``store`` sees to that.
    ``windows`` may be handed on to the live agents afterwards. ``clock`` gives ms. ``pause`` is
    awaited after every record, and every row.
    """

    def __init__(
        self,
        log: EventLog,
        store: TableStore,
        plan: StatePlan,
        *,
        app_id: str,
        windows: Windows,
        clock: Callable[[], int],
        of: Collection[int] | None = None,
        pause: Pause = no_pause,
        writer: BatchWriter | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._plan = plan
        self._windows = windows
        self._clock = clock
        self._of = range(store.partitions) if of is None else of
        self._pause = pause
        self._writer = writer or BatchWriter(log, store, app_id=app_id, clock=clock)

    async def append(
        self, events: Sequence[StampedEvent], catalogue: Sequence[CatalogueRecord] = ()
    ) -> None:
        """Append to the entity topics, each topic in the order given; ``catch_up`` folds them.

        Raises ``LogUnavailable`` or ``RecordTooLarge``.
        """
        now, partitions = self._clock(), self._store.partitions
        batches: dict[TopicPartition, list[Entry]] = {}
        for record in catalogue:
            key = catalogue_key(record.kind, record.id).encode()
            tp = TopicPartition(CATALOGUE, partition_for(key, partitions))
            entry = Entry(key, CATALOGUE_RECORD.encode(record), now)
            batches.setdefault(tp, []).append(entry)
        for event in events:
            key = event.visitor.encode()
            tp = TopicPartition(VISITOR_EVENTS, partition_for(key, partitions))
            batches.setdefault(tp, []).append(Entry(key, VISITOR_EVENT.encode(event), now))
        await self._log.append(batches)

    async def catch_up(self, progress: Progress | None = None) -> int:
        """Fold every record that the tables have not read; how many those were.

        ``progress`` is told first of catalogue and visitor-events, then of signals too, which
        are known only when the events are folded. Raises ``SignalGap``, ``LogUnavailable`` or
        ``RecoveryStalled``.
        """
        catalogue = await self._unread(CATALOGUE)
        events = await self._unread(VISITOR_EVENTS)
        report = progress or _nobody
        total = catalogue.records + events.records
        await self._fold(catalogue, self._catalogue, 0, total, report)
        if events.records:
            sent = await self._sent()

            async def fold_unsent(records: Mapping[int, Sequence[Record]]) -> FoldedBatch:
                batch = await self._events(records)
                batch.signals = _unsent(batch.signals, sent)
                return batch

            await self._fold(events, fold_unsent, catalogue.records, total, report)
        signals = await self._unread(SIGNALS)
        await self._fold(signals, self._signals, total, total + signals.records, report)
        return total + signals.records

    def read_offsets(self) -> dict[TopicPartition, int]:
        """For each partition of the entity topics the offset that the agents go on from.

        What their consumer group has to have committed before they start.
        """
        return {tp: offset for topic in _TABLES for tp, offset in self._positions(topic).items()}

    async def _events(self, records: Mapping[int, Sequence[Record]]) -> FoldedBatch:
        return await fold_events(
            records,
            plan=self._plan,
            store=self._store,
            windows=self._windows,
            pause=self._pause,
        )

    async def _signals(self, records: Mapping[int, Sequence[Record]]) -> FoldedBatch:
        return await fold_signals(records, plan=self._plan, store=self._store, pause=self._pause)

    async def _catalogue(self, records: Mapping[int, Sequence[Record]]) -> FoldedBatch:
        return await fold_catalogue(records, store=self._store, pause=self._pause)

    async def _fold(
        self, unread: _Unread, fold: _Fold, done_before: int, total: int, report: Progress
    ) -> None:
        if not unread.records:
            return
        left = {tp: end for tp, end in unread.ends.items() if unread.positions[tp] < end}
        reader = self._log.reader({tp: unread.positions[tp] for tp in left})
        try:
            while any(reader.position(tp) < end for tp, end in left.items()):
                polled = await reader.poll(_BATCH_RECORDS[unread.topic], POLL_SECONDS)
                if not polled:
                    raise RecoveryStalled(f"no records of {unread.topic} for {POLL_SECONDS:.0f} s")
                batch = await fold({tp.partition: records for tp, records in polled.items()})
                await self._writer.write(batch)
                done = sum(
                    min(reader.position(tp), end) - unread.positions[tp] for tp, end in left.items()
                )
                report(done_before + done, total)
        finally:
            await reader.close()

    def _positions(self, topic: str) -> dict[TopicPartition, int]:
        """One more than the offset that all tables of ``topic`` have read."""
        return {
            TopicPartition(topic, partition): 1
            + min(self._store.watermark(table, partition).offset for table in _TABLES[topic])
            for partition in self._of
        }

    async def _unread(self, topic: str) -> _Unread:
        positions = self._positions(topic)
        starts = await self._log.start_offsets(positions)
        ends = await self._log.end_offsets(positions)
        positions = {tp: max(position, starts[tp]) for tp, position in positions.items()}
        return _Unread(topic, positions, {tp: max(end, positions[tp]) for tp, end in ends.items()})

    async def _sent(self) -> dict[tuple[int, int], int]:
        """The last source offset in signals, by (source, target).

        The tables know up to where they have read; the rest is read here.
        """
        sent: dict[tuple[int, int], int] = {}
        positions = {}
        for target in range(self._store.partitions):
            watermark = max(
                (self._store.watermark(table, target) for table in STATS_TABLES),
                key=lambda watermark: watermark.offset,
            )
            positions[TopicPartition(SIGNALS, target)] = watermark.offset + 1
            for source, last in watermark.sources.items():
                sent[source, target] = last
        ends = await self._log.end_offsets(positions)
        left = {tp: end for tp, end in ends.items() if positions[tp] < end}
        reader = self._log.reader({tp: positions[tp] for tp in left})
        try:
            while any(reader.position(tp) < end for tp, end in left.items()):
                polled = await reader.poll(_BATCH_RECORDS[SIGNALS], POLL_SECONDS)
                if not polled:
                    raise RecoveryStalled(f"no records of {SIGNALS} for {POLL_SECONDS:.0f} s")
                for tp, records in polled.items():
                    for record in records:
                        _note(sent, tp.partition, record)
        finally:
            await reader.close()
        return sent


def _note(sent: dict[tuple[int, int], int], target: int, record: Record) -> None:
    try:
        batch = _SENT.decode(record.value or b"")
    except CodecError:
        return  # the fold leaves it out too
    known = sent.get((batch.source, target), -1)
    sent[batch.source, target] = max(known, batch.last)


def _unsent(
    signals: Sequence[tuple[int, SignalBatch]], sent: Mapping[tuple[int, int], int]
) -> list[tuple[int, SignalBatch]]:
    """``signals`` without what the topic holds already, chained to the last of that."""
    unsent = []
    for target, batch in signals:
        last = sent.get((batch.source, target), -1)
        if batch.last <= last:
            continue
        if batch.entries[0].offset <= last:
            entries = [signal for signal in batch.entries if signal.offset > last]
            batch = SignalBatch(batch.source, last, batch.last, entries)
        unsent.append((target, batch))
    return unsent


def _nobody(done: int, total: int) -> None:
    """Nobody wants to know."""
