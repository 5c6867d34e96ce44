"""Two workers fold one partition, each for its own while it lasts: what comes of it is one pass."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.partitioner import partition_for
from eventlog.protocol import EventLog, Record, TopicPartition
from tables.batch_fold import fold_events, fold_signals, no_pause
from tables.recovery import TablePartition, recover
from tables.row_head import ROW_HEAD
from tables.topics import SIGNALS, TABLES, VISITOR_EVENTS, VISITORS, changelog_topic
from tables.windows import Windows
from tables.writer import BatchWriter, FoldedBatch
from tests.logs import EmbeddedHome, records
from tests.one_pass import differing, one_pass, tables_of
from tests.streams import (
    APP_ID,
    PARTITIONS,
    PLAN,
    LiveRun,
    appended,
    now,
    open_log,
    open_owned_store,
    open_store,
    random_events,
)


class Owner:
    """A worker that believes partition 0 of ``topic`` is its own, and may have folded a batch of it
    that is not written yet."""

    def __init__(self, log: EventLog, folder: Path, topic: str, there: list[Record]) -> None:
        self.store = open_owned_store(folder, log)
        self._parts = [TablePartition(table, 0) for table in TABLES if table.source == topic]
        self._there = there
        self._windows = Windows(log)
        self._writer = BatchWriter(log, self.store, app_id=APP_ID, clock=now, give_up=0.0)
        self._at = 0
        self._folded: FoldedBatch | None = None

    async def fold(self, count: int) -> bool:
        """The next ``count`` records, once the batch before is written; ``False`` if none."""
        await self.write()
        batch = self._there[self._at : self._at + count]
        if not batch:
            return False
        self._folded = await self._fold(batch)
        self._at += len(batch)
        return True

    async def _fold(self, batch: list[Record]) -> FoldedBatch:
        if self._parts[0].table is not VISITORS:
            return await fold_signals({0: batch}, plan=PLAN, store=self.store, pause=no_pause)
        return await fold_events(
            {0: batch}, plan=PLAN, store=self.store, windows=self._windows, pause=no_pause
        )

    async def write(self) -> None:
        folded, self._folded = self._folded, None
        if folded is not None:
            await self._writer.write(folded)

    async def assigned(self) -> None:
        """The partition comes (back) to it; a batch that is on its way may be written later."""
        await self.store.read(self._parts)
        marks = [self.store.watermark(part.table.name, 0) for part in self._parts]
        self._at = min(mark.offset for mark in marks) + 1

    async def look(self) -> None:
        """Between two batches."""
        await self.write()
        await self.store.unread(self._parts)
        if unread := await self.store.unread(self._parts):
            await self.store.read(unread)


STEPS = st.tuples(st.integers(0, 1), st.sampled_from(["fold", "write", "assigned", "look"]))


@given(
    st.sampled_from([VISITOR_EVENTS, SIGNALS]),
    st.integers(0, 2**32),
    st.lists(STEPS, max_size=16),
)
async def test_two_owners_come_to_what_one_pass_does(
    tmp_path_factory: pytest.TempPathFactory, topic: str, seed: int, steps: list[tuple[int, str]]
) -> None:
    """Rows, watermarks and how far signals were sent: in changelogs by offset and as they are
    compacted, in the tables of both, and recovered; however late each of them writes or hears."""
    folder, drawn = tmp_path_factory.mktemp("owners"), random.Random(seed)
    log = await open_log(EmbeddedHome(folder))
    events = random_events(drawn, 120)
    await log.append(
        appended([e for e in events if partition_for(e.visitor.encode(), PARTITIONS) == 0])
    )
    if topic == SIGNALS:
        await all_folded(log, folder / "before", VISITOR_EVENTS)
    there = await records(log, TopicPartition(topic, 0))
    owners = [Owner(log, folder / name, topic, there) for name in ("one", "two")]
    for number, step in steps:
        owner = owners[number]
        await (owner.fold(drawn.randint(1, 8)) if step == "fold" else getattr(owner, step)())
    last, other = owners
    await last.assigned()
    while await last.fold(drawn.randint(1, 8)):
        pass
    for owner in (last, other, last, other):
        await owner.look()
    clean = await one_pass(log, PLAN)
    recovered = open_store(folder / "recovered")
    await recover(log, recovered, app_id=APP_ID)
    stores = [last.store, other.store, recovered]
    for table in TABLES:
        if table.source != topic:
            continue
        part = table.name, 0
        name = changelog_topic(APP_ID, table, PLAN.state_id)
        changelog = await records(log, TopicPartition(name, 0))
        newest = sorted(changelog, key=lambda record: ROW_HEAD.decode(record.value or b"").offset)
        for found in (
            {record.key or b"": record.value or b"" for record in newest},
            {record.key or b"": record.value or b"" for record in changelog},
            *(tables_of(store).get(part, {}) for store in stores),
        ):
            assert not differing(found, clean.get(part, {})), part
    for store in stores:
        store.close()
    await log.stop()


async def all_folded(log: EventLog, folder: Path, topic: str) -> None:
    """Fold all of ``topic`` in one go, by a worker that is gone then."""
    store = open_store(folder)
    run = LiveRun(log, store, {})
    while await run.step(topic, 1_000):
        pass
    store.close()
