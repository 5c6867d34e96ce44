"""Rows as they were at an offset, folded again from a real log."""

import random
from collections.abc import AsyncIterator

import pytest

from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, TopicPartition
from personalization.duplicates import DuplicateWindow
from personalization.events import CatalogueRecord, SignalBatch, Stamp, StampedEvent
from personalization.folding import STATS_TABLES, CatalogueFold, StatsFold, VisitorsFold
from personalization.plan import AffinityPlan, StatePlan
from personalization.state.errors import FoldError
from personalization.state.rows import Watermark
from tables.rows_at import HistoryMissing, RowKey, rows_at
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    ROWS,
    SIGNAL_BATCH,
    SIGNALS,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    topics,
)
from tests.logs import RETENTION_MS, Home, records

PLAN = StatePlan(
    events=("impression", "view", "purchase"),
    weights=(0.0, 1.0, 8.0),
    half_lives=(3_600_000, 86_400_000),
    categories=("category",),
    numbers=("price",),
    flags=("in_stock",),
    tags=("tags",),
    segments=("global", "category", "seller*category"),
    affinities=(AffinityPlan("category", False, 86_400_000, 4),),
)
PARTITIONS = 3
POISON = b"\x01poison"

History = dict[tuple[RowKey, int], bytes]


@pytest.fixture
async def log(home: Home) -> AsyncIterator[EventLog]:
    opened = await home.open()
    await opened.create_topics(topics("shop", PLAN.state_id, PARTITIONS, 86_400_000))
    yield opened
    await opened.stop()


class Shop:
    """Events into the log, and every row at every offset, by folding record by record."""

    def __init__(self, log: EventLog, seed: int) -> None:
        self.history: History = {}
        self._log = log
        self._random = random.Random(seed)
        self._rows: dict[RowKey, object] = {}

    async def run(self, events: int) -> None:
        for number in range(events):
            await self._catalogue(number)
            await self._event(number)
            if number % 17 == 0:
                for topic in (VISITOR_EVENTS, CATALOGUE, SIGNALS):
                    await self._append(topic, f"{number}", POISON)
        await self._fold_visitors_again()
        await self._fold_stats_and_catalogue()

    async def _event(self, number: int) -> None:
        draw = self._random
        visitor = f"v{draw.randrange(8)}"
        kind = draw.choice(["impression", "view", "view", "purchase", "identify", "unlink", "odd"])
        items = [
            Stamp(f"i{i}", f"s{i % 3}", {"category": f"c{i % 2}"})
            for i in draw.sample(range(9), draw.randrange(1, 4))
        ]
        event = StampedEvent(
            type=kind,
            visitor=visitor,
            at=number * 1000 - draw.randrange(5000),
            items=[] if kind in ("identify", "unlink") else items,
            id=f"e{draw.randrange(max(1, number - 3), number + 2)}",
            user=f"u{draw.randrange(3)}" if kind == "identify" else None,
        )
        await self._append(VISITOR_EVENTS, visitor, VISITOR_EVENT.encode(event))

    async def _catalogue(self, number: int) -> None:
        draw = self._random
        op, item = draw.choice(["put", "patch", "delete"]), f"i{draw.randrange(9)}"
        record = CatalogueRecord(op, "item", item, number, "s1", {"price": float(number)})
        await self._append(CATALOGUE, f"item:{item}", CATALOGUE_RECORD.encode(record))

    async def _append(self, topic: str, key: str, value: bytes) -> None:
        partition = TopicPartition(topic, partition_for(key.encode(), PARTITIONS))
        await self._log.append({partition: [Entry(key.encode(), value, 0)]})

    async def _fold_visitors_again(self) -> None:
        """Fold each partition as an agent does, sending every record's signals twice."""
        for partition in range(PARTITIONS):
            watermark = Watermark()
            duplicates = DuplicateWindow()
            for record in await records(self._log, TopicPartition(VISITOR_EVENTS, partition)):
                fold = VisitorsFold(
                    PLAN,
                    partition,
                    watermark,
                    lambda id: self._row("visitors", id),  # type: ignore[arg-type,return-value]
                    duplicates,
                    lambda key: partition_for(key.encode(), PARTITIONS),
                )
                try:
                    fold.add(record.offset, VISITOR_EVENT.decode(record.value or b""))
                except ValueError:
                    fold.skip(record.offset)
                folded = fold.finish()
                watermark = folded.watermark
                for id, row in folded.rows.items():
                    self._keep("visitors", id, row, record.offset)
                await self._send(folded.signals * 2)

    async def _send(self, signals: list[tuple[int, SignalBatch]]) -> None:
        for target, batch in signals:
            entry = Entry(b"", SIGNAL_BATCH.encode(batch), 0)
            await self._log.append({TopicPartition(SIGNALS, target): [entry]})

    async def _fold_stats_and_catalogue(self) -> None:
        for partition in range(PARTITIONS):
            marks = dict.fromkeys(STATS_TABLES, Watermark())
            for record in await records(self._log, TopicPartition(SIGNALS, partition)):
                stats = StatsFold(PLAN, marks, self._row)  # type: ignore[arg-type]
                try:
                    stats.add(record.offset, SIGNAL_BATCH.decode(record.value or b""))
                except ValueError:
                    stats.skip(record.offset)
                counted = stats.finish()
                marks = counted.watermarks
                for table, rows in counted.rows.items():
                    for id, stats_row in rows.items():
                        self._keep(table, id, stats_row, record.offset)
            mark = Watermark()
            for record in await records(self._log, TopicPartition(CATALOGUE, partition)):
                fold = CatalogueFold(
                    mark,
                    lambda key: self._row("catalogue", key),  # type: ignore[arg-type,return-value]
                )
                try:
                    fold.add(record.offset, CATALOGUE_RECORD.decode(record.value or b""))
                except (ValueError, FoldError):
                    fold.skip(record.offset)
                listed = fold.finish()
                mark = listed.watermark
                for key, row in listed.rows.items():
                    self._keep("catalogue", key, row, record.offset)

    def _row(self, table: str, id: str) -> object:
        return self._rows.get((table, id))

    def _keep(self, table: str, id: str, row: object, offset: int) -> None:
        self._rows[table, id] = row
        self.history[(table, id), offset] = ROWS[table].encode(row)


@pytest.mark.parametrize("seed", range(3))
async def test_every_row_at_every_offset(log: EventLog, seed: int) -> None:
    """Rows of all tables come back as they were, whatever poison, retries and redeliveries."""
    shop = Shop(log, seed)
    await shop.run(150)
    assert {table for (table, _), _ in shop.history} == set(ROWS)
    wanted: dict[RowKey, list[int]] = {}
    for key, offset in shop.history:
        wanted.setdefault(key, []).append(offset)
    found = await rows_at(log, PLAN, wanted)
    assert {(key, at): row for key, rows in found.items() for at, row in rows.items()} == (
        shop.history
    )


async def test_some_rows_at_some_offsets(log: EventLog) -> None:
    """What is not asked for does not matter to what is."""
    shop = Shop(log, 7)
    await shop.run(150)
    draw = random.Random(7)
    wanted: dict[RowKey, list[int]] = {}
    for key, offset in draw.sample(sorted(shop.history), 20):
        wanted.setdefault(key, []).append(offset)
    found = await rows_at(log, PLAN, wanted)
    assert found == {
        key: {offset: shop.history[key, offset] for offset in sorted(offsets)}
        for key, offsets in wanted.items()
    }


async def test_what_never_was_is_left_out(log: EventLog) -> None:
    """An offset that a row never had, a row that never was, an offset past the end: no answer."""
    shop = Shop(log, 1)
    await shop.run(20)
    key, offset = next(iter(sorted(shop.history)))
    strange = {("visitors", "nobody"): [0], ("items", "i99"): [3], key: [offset, 10**9]}
    assert await rows_at(log, PLAN, strange) == {key: {offset: shop.history[key, offset]}}
    assert await rows_at(log, PLAN, {}) == {}


async def test_a_log_without_its_beginning_says_so(home: Home) -> None:
    """Rows cannot be folded again where retention has dropped their first records."""
    log, now = await home.open(), home.now()
    [events] = [t for t in topics("shop", "x", 1, 1) if t.name == VISITOR_EVENTS]
    await log.create_topics([events.__class__(events.name, 1, retention_ms=RETENTION_MS)])
    await log.append({TopicPartition(VISITOR_EVENTS, 0): [Entry(b"v", POISON, now)]})
    await home.expire(log, VISITOR_EVENTS, 1)
    await log.append({TopicPartition(VISITOR_EVENTS, 0): [Entry(b"v", POISON, now + 40_000)]})
    with pytest.raises(HistoryMissing, match="begins at offset 1"):
        await rows_at(log, PLAN, {("visitors", "v"): [1]})
    await log.stop()
