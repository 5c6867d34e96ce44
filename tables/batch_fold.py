"""From records to a folded batch: decoding, folding, dead letters, encoding.

Live agents and bulk folding share this, so that a record is poison in both or in neither.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

from eventlog.partitioner import partition_for
from eventlog.protocol import Record, TopicPartition
from personalization.codec import Codec, CodecError
from personalization.folding import (
    STATS_TABLES,
    CatalogueFold,
    SignalGap,
    StatsFold,
    StatsRow,
    VisitorsFold,
)
from personalization.plan import StatePlan
from personalization.state.errors import FoldError
from personalization.state.rows import CatalogueRow, VisitorRow
from tables.dead_letters import DeadLetter
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
    Table,
)
from tables.windows import Windows
from tables.writer import EncodedRows, FoldedBatch, PartitionRows

Pause = Callable[[], Awaitable[None]]
"""Awaited after every small piece of work; the live agents give the loop a turn here."""

_BY_NAME = {table.name: table for table in TABLES}


class _Fold(Protocol):
    def add(self, offset: int, value: Any, /) -> None: ...

    def skip(self, offset: int, value: Any = None, /) -> None: ...


_F = TypeVar("_F", bound=_Fold)


async def no_pause() -> None:
    """For work that has the process to itself."""


async def fold_events(
    records: Mapping[int, Sequence[Record]],
    *,
    plan: StatePlan,
    store: TableStore,
    windows: Windows,
    pause: Pause,
) -> FoldedBatch:
    """Fold records of visitor-events, by partition, each partition's in ascending order.

    Raises ``PassedOver`` where they do not follow on what is folded, and as the windows do.
    """
    batch = FoldedBatch()
    partition_of = _partition_of(store.partitions)
    for partition, received in records.items():
        watermark = store.watermark(VISITORS.name, partition)
        await windows.check_follows(partition, received[0].offset, watermark.offset)
        window = await windows.before(partition, received[0].offset, pause)

        def visitor(id: str, partition: int = partition) -> VisitorRow | None:
            return cast(VisitorRow | None, store.take(VISITORS.name, partition, id))

        fold, letters = await _fold_records(
            TopicPartition(VISITOR_EVENTS, partition),
            received,
            VISITOR_EVENT,
            lambda: VisitorsFold(plan, partition, watermark, visitor, window, partition_of),  # noqa: B023
            pause,
        )
        folded = fold.finish()
        encoded = await _encode(VISITORS, folded.rows, pause)
        batch.tables.append(
            PartitionRows(VISITORS, partition, encoded, folded.watermark, folded.rows)
        )
        batch.signals.extend(folded.signals)
        batch.dead_letters.extend(letters)
    return batch


async def fold_signals(
    records: Mapping[int, Sequence[Record]],
    *,
    plan: StatePlan,
    store: TableStore,
    pause: Pause,
) -> FoldedBatch:
    """Fold records of signals, by partition. Raises ``SignalGap``."""
    batch = FoldedBatch()
    for partition, received in records.items():
        watermarks = {table: store.watermark(table, partition) for table in STATS_TABLES}

        def stats(table: str, id: str, partition: int = partition) -> StatsRow | None:
            return cast(StatsRow | None, store.take(table, partition, id))

        fold, letters = await _fold_records(
            TopicPartition(SIGNALS, partition),
            received,
            SIGNAL_BATCH,
            lambda: StatsFold(plan, watermarks, stats),  # noqa: B023
            pause,
        )
        folded = fold.finish()
        for table, changed in folded.rows.items():
            encoded = await _encode(_BY_NAME[table], changed, pause)
            watermark = folded.watermarks[table]
            batch.tables.append(
                PartitionRows(_BY_NAME[table], partition, encoded, watermark, changed)
            )
        batch.dead_letters.extend(letters)
    return batch


async def fold_catalogue(
    records: Mapping[int, Sequence[Record]], *, store: TableStore, pause: Pause
) -> FoldedBatch:
    """Fold records of catalogue, by partition."""
    batch = FoldedBatch()
    for partition, received in records.items():
        watermark = store.watermark(CATALOGUE_ROWS.name, partition)

        def row(key: str, partition: int = partition) -> CatalogueRow | None:
            return cast(CatalogueRow | None, store.take(CATALOGUE_ROWS.name, partition, key))

        fold, letters = await _fold_records(
            TopicPartition(CATALOGUE, partition),
            received,
            CATALOGUE_RECORD,
            lambda: CatalogueFold(watermark, row),  # noqa: B023
            pause,
        )
        folded = fold.finish()
        encoded = await _encode(CATALOGUE_ROWS, folded.rows, pause)
        batch.tables.append(
            PartitionRows(CATALOGUE_ROWS, partition, encoded, folded.watermark, folded.rows)
        )
        batch.dead_letters.extend(letters)
    return batch


async def _fold_records(
    tp: TopicPartition,
    records: Sequence[Record],
    codec: Codec[Any],
    new_fold: Callable[[], _F],
    pause: Pause,
) -> tuple[_F, list[DeadLetter]]:
    """A fold with ``records`` in it, and letters for those that it did not take.

    A record that makes the fold fail as it should not may have spoilt the rows it touched: then
    all is folded again, from rows read anew, without that record.
    """
    refused: dict[int, str] = {}
    while True:
        fold = new_fold()
        letters = []
        for record in records:
            value = None
            try:
                value = codec.decode(record.value or b"")
                if record.offset in refused:
                    raise FoldError(refused[record.offset])
                fold.add(record.offset, value)
            except (CodecError, FoldError) as error:
                fold.skip(record.offset, value)
                letters.append(_letter(tp, record, str(error)))
            except SignalGap:
                raise
            except Exception as error:
                refused[record.offset] = f"{type(error).__name__}: {error}"
                break
            await pause()
        else:
            return fold, letters


def _letter(tp: TopicPartition, record: Record, reason: str) -> DeadLetter:
    return DeadLetter(tp.topic, tp.partition, record.offset, reason, record.key, record.value)


async def _encode(table: Table, rows: Mapping[str, object], pause: Pause) -> EncodedRows:
    codec = ROWS[table.name]
    encoded: EncodedRows = []
    for id, row in rows.items():
        encoded.append((id.encode(), codec.encode(row)))
        await pause()
    return encoded


@lru_cache(maxsize=8)
def _partition_of(partitions: int) -> Callable[[str], int]:
    """The partition of signals that a signal's key belongs to."""

    @lru_cache(maxsize=1 << 17)
    def partition_of(key: str) -> int:
        return partition_for(key.encode(), partitions)

    return partition_of
