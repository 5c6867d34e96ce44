"""A small world of events, and a deployment's log and tables to fold them with."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, Record, TopicPartition
from personalization.events import (
    IDENTIFY,
    SERVED,
    UNLINK,
    CatalogueRecord,
    Stamp,
    StampedEvent,
)
from personalization.plan import AffinityPlan, StatePlan
from personalization.state.keys import catalogue_key
from tables.batch_fold import fold_catalogue, fold_events, fold_signals, no_pause
from tables.bulk import Bulk
from tables.owned_store import OwnedStore
from tables.store import TableStore
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    ROWS,
    SIGNALS,
    TABLES,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    WATERMARK,
    topics,
)
from tables.windows import Windows
from tables.writer import BatchWriter, FoldedBatch
from tests.logs import Home, records_of

HOUR, DAY = 3_600_000, 86_400_000
START = 1_795_428_000_000
PARTITIONS = 3
APP_ID = "under-test"

PLAN = StatePlan(
    events=("impression", "view", "purchase"),
    weights=(0.0, 1.0, 8.0),
    half_lives=(HOUR, DAY),
    categories=("category",),
    numbers=("price",),
    flags=("in_stock",),
    tags=("tags",),
    segments=("global", "category", "seller*category"),
    affinities=(
        AffinityPlan("category", False, DAY, 3),
        AffinityPlan("tags", True, DAY, 3),
    ),
    last_items=5,
    covisits=4,
    opinions=6,
    sessions=4,
)


def now() -> int:
    """The time of everything that is appended."""
    return START


def random_events(random: random.Random, count: int, first: int = 0) -> list[StampedEvent]:
    """Events of a few visitors: some late, some sent twice with one id, some of users."""
    shelf = [
        Stamp(
            f"i{number}",
            f"s{number % 3}" if number % 4 else None,
            {"category": f"c{number % 2}", "price": float(number), "tags": ["red", "new"]},
        )
        for number in range(8)
    ]
    events: list[StampedEvent] = []
    at = START + first * 1000
    for number in range(first, first + count):
        at += random.randrange(60_000)
        visitor = f"v{random.randrange(6)}"
        if events and random.random() < 0.1:
            events.append(random.choice(events[-20:]))
            continue
        late = random.randrange(HOUR) if random.random() < 0.2 else 0
        kind = random.choice([*PLAN.events, *PLAN.events, IDENTIFY, UNLINK, SERVED])
        user = f"u{random.randrange(2)}"
        items = random.sample(shelf, random.randrange(1, 5)) if kind in PLAN.events else []
        if kind == IDENTIFY or random.random() < 0.05:
            kind = IDENTIFY
            event = StampedEvent(kind, visitor, at - late, id=f"e{number}", user=user)
        elif kind in PLAN.events and random.random() < 0.1:
            event = StampedEvent(kind, f"user:{user}", at, items, id=f"e{number}", user=user)
        else:
            event = StampedEvent(kind, visitor, at - late, items, id=f"e{number}")
        events.append(event)
    return events


def random_catalogue(random: random.Random, count: int) -> list[CatalogueRecord]:
    """Listings, changes and removals of a few items."""
    return [
        CatalogueRecord(
            random.choice(["put", "patch", "patch", "delete"]),
            "item",
            f"i{random.randrange(4)}",
            START + number,
            random.choice([None, "s1"]),
            {"price": float(number), "in_stock": random.random() < 0.5},
        )
        for number in range(count)
    ]


def appended(
    events: Sequence[StampedEvent], catalogue: Sequence[CatalogueRecord] = ()
) -> dict[TopicPartition, list[Entry]]:
    """What the API would append for these."""
    batches: dict[TopicPartition, list[Entry]] = {}

    def add(topic: str, key: str, value: bytes) -> None:
        tp = TopicPartition(topic, partition_for(key.encode(), PARTITIONS))
        batches.setdefault(tp, []).append(Entry(key.encode(), value, START))

    for event in events:
        add(VISITOR_EVENTS, event.visitor, VISITOR_EVENT.encode(event))
    for record in catalogue:
        key = catalogue_key(record.kind, record.id)
        add(CATALOGUE, key, CATALOGUE_RECORD.encode(record))
    return batches


async def open_log(home: Home, *app_ids: str) -> EventLog:
    """The log with every topic of ``APP_ID`` and of ``app_ids``."""
    log = await home.open()
    for app_id in (APP_ID, *app_ids):
        await log.create_topics(topics(app_id, PLAN.state_id, PARTITIONS, DAY))
    return log


def open_owned_store(
    folder: Path, log: EventLog, foreign: Callable[[int], None] = lambda _records: None
) -> OwnedStore:
    """The tables in ``folder`` of a worker that may not be the only one to write to ``log``."""
    return OwnedStore(
        folder,
        state_id=PLAN.state_id,
        partitions=PARTITIONS,
        log=log,
        app_id=APP_ID,
        foreign=foreign,
    )


def open_store(folder: Path) -> TableStore:
    """The tables in ``folder``."""
    return TableStore(folder, state_id=PLAN.state_id, partitions=PARTITIONS)


def new_bulk(log: Any, store: Any, app_id: str = APP_ID) -> Bulk:
    """A bulk folder that remembers nothing."""
    return Bulk(log, store, PLAN, app_id=app_id, windows=Windows(log), clock=now)


def everything(store: TableStore) -> dict[tuple[str, int, bytes], bytes]:
    """Every row and every watermark of every table."""
    rows = {}
    for table in TABLES:
        for partition in range(PARTITIONS):
            for key, row in store.iterate(table.name, partition):
                rows[table.name, partition, key] = row
            watermark = WATERMARK.encode(store.watermark(table.name, partition))
            rows[table.name, partition, b"watermark"] = watermark
    return rows


def counted(store: TableStore, table: str) -> dict[tuple[str, str], int]:
    """Plain counts by (event, id), without the zeros."""
    counts = {}
    for partition in range(PARTITIONS):
        for key, row in store.iterate(table, partition):
            decoded: Any = ROWS[table].decode(row)
            for event, count in zip(PLAN.events, decoded.counts, strict=True):
                if count:
                    counts[event, key.decode()] = count
    return counts


def count_naively(events: Sequence[StampedEvent], by: str) -> dict[tuple[str, str], int]:
    """The same, from the events alone: each id once for each visitor's partition."""
    seen: set[str | None] = set()
    counts: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.type not in PLAN.events or event.id in seen:
            continue
        seen.add(event.id)
        for stamp in event.items:
            counts[event.type, stamp.item if by == "items" else event.visitor] += 1
    return dict(counts)


async def clean_pass(log: EventLog, folder: Path, app_id: str) -> TableStore:
    """New tables, folded from the log's beginning in one go."""
    store = open_store(folder)
    await new_bulk(log, store, app_id).catch_up()
    return store


class LiveRun:
    """What the live agents do, one batch at a time, as often as asked.

    Committed positions outlive a crash; ``log`` and ``store`` may be wrapped to cause one.
    """

    def __init__(self, log: Any, store: Any, committed: dict[TopicPartition, int]) -> None:
        self._log = log
        self._store = store
        self._committed = committed
        self._windows = Windows(log)
        self._writer = BatchWriter(log, store, app_id=APP_ID, clock=now, give_up=0.0)
        self._read: dict[TopicPartition, list[Record]] = {}

    async def step(self, topic: str, count: int) -> bool:
        """Fold up to ``count`` records of each partition of ``topic``; ``False`` if none."""
        records: dict[int, Sequence[Record]] = {}
        await self._read_on([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        for partition in range(PARTITIONS):
            tp = TopicPartition(topic, partition)
            first = self._committed.get(tp, 0)
            taken = [record for record in self._read[tp] if record.offset >= first][:count]
            if taken:
                records[partition] = taken
        if not records:
            return False
        await self._writer.write(await self._fold(topic, records))
        for partition, found in records.items():
            self._committed[TopicPartition(topic, partition)] = found[-1].offset + 1
        return True

    async def _read_on(self, partitions: Sequence[TopicPartition]) -> None:
        """Read what is new at the ends of ``partitions``."""
        ends = {tp: self._read[tp][-1].offset + 1 if self._read.get(tp) else 0 for tp in partitions}
        for tp, new in (await records_of(self._log, ends)).items():
            self._read.setdefault(tp, []).extend(new)

    async def _fold(self, topic: str, records: Mapping[int, Sequence[Record]]) -> FoldedBatch:
        store = self._store
        if topic == VISITOR_EVENTS:
            return await fold_events(
                records,
                plan=PLAN,
                store=store,
                windows=self._windows,
                pause=no_pause,
            )
        if topic == SIGNALS:
            return await fold_signals(records, plan=PLAN, store=store, pause=no_pause)
        return await fold_catalogue(records, store=store, pause=no_pause)
