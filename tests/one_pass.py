"""What tables must hold: one clean pass of the pure folds over a log's topics."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from eventlog.partitioner import partition_for
from eventlog.protocol import EventLog, Record, TopicPartition
from personalization.codec import CodecError
from personalization.duplicates import DuplicateWindow
from personalization.events import Signal
from personalization.folding import STATS_TABLES, CatalogueFold, StatsFold, VisitorsFold
from personalization.plan import StatePlan
from personalization.state.rows import Watermark
from tables.store import TableStore
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    CATALOGUE_ROWS,
    ROWS,
    SIGNAL_BATCH,
    SIGNALS,
    TABLES,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    VISITORS,
    WATERMARK,
    WATERMARK_KEY,
)
from tests.logs import records_of

Tables = dict[tuple[str, int], dict[bytes, bytes]]
"""Encoded rows by (table, partition) and key; the watermark row among them."""


def tables_of(store: TableStore) -> Tables:
    """Every row and watermark of ``store``."""
    tables: Tables = {}
    for table in TABLES:
        for partition in range(store.partitions):
            rows = dict(store.iterate(table.name, partition))
            watermark = store.get(table.name, partition, WATERMARK_KEY)
            if watermark is not None:
                rows[WATERMARK_KEY] = watermark
            if rows:
                tables[table.name, partition] = rows
    return tables


def differing(
    found: dict[bytes, bytes], wanted: dict[bytes, bytes]
) -> dict[bytes, tuple[bytes | None, bytes | None]]:
    """The keys whose rows are not the same, with both."""
    return {
        key: (found.get(key), wanted.get(key))
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key) != wanted.get(key)
    }


Records = Mapping[TopicPartition, Sequence[Record]]
"""What there is of the entity topics."""


async def one_pass(log: EventLog, plan: StatePlan) -> Tables:
    """Each partition of each topic folded from its first record to its last, all at once.

    What cannot be decoded is left out. On the way it holds the signals that are in the log against
    those the events mean.
    """
    tables: Tables = {}
    meant: dict[tuple[int, int], list[Signal]] = defaultdict(list)
    partitions = log.partitions(VISITOR_EVENTS)
    records = await records_of(
        log,
        {
            TopicPartition(topic, partition): 0
            for topic in (VISITOR_EVENTS, SIGNALS, CATALOGUE)
            for partition in range(partitions)
        },
    )
    for partition in range(partitions):
        _visitors(records, plan, partitions, partition, tables, meant)
        _catalogue(records, partition, tables)
    for partition in range(partitions):
        _stats(records, plan, partition, tables, meant)
    assert not any(meant.values()), "events whose signals are not in the log"
    return tables


def _visitors(
    records: Records,
    plan: StatePlan,
    partitions: int,
    partition: int,
    tables: Tables,
    meant: dict[tuple[int, int], list[Signal]],
) -> None:
    fold = VisitorsFold(
        plan,
        partition,
        Watermark(),
        lambda visitor: None,
        DuplicateWindow(),
        lambda key: partition_for(key.encode(), partitions),
    )
    last = -1
    for record in records[TopicPartition(VISITOR_EVENTS, partition)]:
        try:
            fold.add(record.offset, VISITOR_EVENT.decode(record.value or b""))
        except CodecError:
            fold.skip(record.offset)
        last = record.offset
    folded = fold.finish()
    if last >= 0:
        _keep(tables, VISITORS.name, partition, folded.rows, folded.watermark)
    for target, batch in folded.signals:
        meant[partition, target] += batch.entries


def _stats(
    records: Records,
    plan: StatePlan,
    partition: int,
    tables: Tables,
    meant: dict[tuple[int, int], list[Signal]],
) -> None:
    fold = StatsFold(plan, {table: Watermark() for table in STATS_TABLES}, lambda table, id: None)
    taken: dict[int, int] = {}
    last = -1
    for record in records[TopicPartition(SIGNALS, partition)]:
        last = record.offset
        try:
            batch = SIGNAL_BATCH.decode(record.value or b"")
        except CodecError:
            fold.skip(record.offset)
            continue
        fold.add(record.offset, batch)
        new = [signal for signal in batch.entries if signal.offset > taken.get(batch.source, -1)]
        expected = meant[batch.source, partition]
        assert new == expected[: len(new)], "signals that the events do not mean"
        del expected[: len(new)]
        taken[batch.source] = max(taken.get(batch.source, -1), batch.last)
    folded = fold.finish()
    if last >= 0:
        for table, rows in folded.rows.items():
            _keep(tables, table, partition, rows, folded.watermarks[table])


def _catalogue(records: Records, partition: int, tables: Tables) -> None:
    fold = CatalogueFold(Watermark(), lambda key: None)
    last = -1
    for record in records[TopicPartition(CATALOGUE, partition)]:
        try:
            fold.add(record.offset, CATALOGUE_RECORD.decode(record.value or b""))
        except CodecError:
            fold.skip(record.offset)
        last = record.offset
    folded = fold.finish()
    if last >= 0:
        _keep(tables, CATALOGUE_ROWS.name, partition, folded.rows, folded.watermark)


def _keep(
    tables: Tables, table: str, partition: int, rows: Mapping[str, object], watermark: Watermark
) -> None:
    encoded = {id.encode(): ROWS[table].encode(row) for id, row in rows.items()}
    tables[table, partition] = {**encoded, WATERMARK_KEY: WATERMARK.encode(watermark)}
