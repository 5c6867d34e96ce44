"""The Faust app with its agents, on both kinds of log, in the process of the test."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import faust

from agents.app import make_app
from agents.hand_over import HandOver
from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from freshet.settings import Settings
from freshet.worker_faust import make_worker_app
from personalization.events import Stamp, StampedEvent
from tables.dead_letters import DEAD_LETTER, DeadLetter
from tables.recovery import TablePartition, recover
from tables.store import TableStore
from tables.topics import (
    CATALOGUE,
    DEAD_LETTERS,
    SIGNALS,
    TABLES,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    changelog_topic,
)
from tables.windows import Windows
from tables.writer import BatchWriter
from tests.logs import Home, KafkaHome, topic_records
from tests.streams import (
    APP_ID,
    PARTITIONS,
    PLAN,
    START,
    appended,
    clean_pass,
    count_naively,
    counted,
    everything,
    new_bulk,
    now,
    open_log,
    open_store,
    random_catalogue,
    random_events,
)

SOON = 20.0


@asynccontextmanager
async def running(home: Home, log: Any, store: TableStore) -> AsyncIterator[faust.App]:
    """The app, started and stopped as the composition roots do it."""
    windows = Windows(log)
    writer = BatchWriter(log, store, app_id=APP_ID, clock=now, give_up=0.0)
    if isinstance(home, KafkaHome):
        app = on_kafka(home, log, store, windows, writer)
    else:
        app = make_app(
            app_id=APP_ID,
            broker="freshet://",
            log=log,
            store=store,
            plan=PLAN,
            windows=windows,
            clock=now,
            writer=writer,
        )
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


def on_kafka(
    home: KafkaHome, log: Any, store: TableStore, windows: Windows, writer: BatchWriter
) -> faust.App:
    """A worker's app."""

    async def recover_tables(parts: Collection[TablePartition]) -> None:
        await recover(log, store, app_id=APP_ID, of=parts)

    return make_worker_app(
        Settings(app_id=APP_ID, topic_prefix=home.prefix, worker_id="one", session_timeout="6s"),
        home.connection,
        client_id="test-worker",
        log=log,
        store=store,
        plan=PLAN,
        windows=windows,
        writer=writer,
        hand_over=HandOver(6.0),
        recover_tables=recover_tables,
    )


async def until(log: EventLog, topics: list[str], done: Callable[[], bool]) -> None:
    """Return once ``done`` is true, asked whenever something is appended to ``topics``."""
    positions = {TopicPartition(t, p): 0 for t in topics for p in range(PARTITIONS)}
    reader = log.reader(await log.end_offsets(positions))
    try:
        async with asyncio.timeout(SOON):
            while not done():
                await reader.poll(1000, 0.05)
    finally:
        await reader.close()


async def drained(log: EventLog, store: TableStore) -> None:
    """Return once the tables hold all that the topics do."""
    offsets = new_bulk(log, store).read_offsets
    changelogs = [changelog_topic(APP_ID, table, PLAN.state_id) for table in TABLES]
    positions = {TopicPartition(t, p): 0 for t in changelogs for p in range(PARTITIONS)}
    reader = log.reader(await log.end_offsets(positions))
    try:
        async with asyncio.timeout(SOON):
            while await log.end_offsets(offsets()) != offsets():
                await reader.poll(1000, 0.05)
    finally:
        await reader.close()


async def test_live_bulk_and_replay_give_the_same_bytes(home: Home) -> None:
    """What the agents made of events as they came equals one bulk pass over the log; what the
    changelogs replay, through Faust's recovery, equals both; and nothing is folded twice
    after a restart."""
    log = await open_log(home, "clean")
    store = open_store(home.folder / "tables")
    chance = random.Random(3)
    events = random_events(chance, 600)
    async with running(home, log, store):
        for first in range(0, 600, 50):
            batch = events[first : first + 50]
            await log.append(appended(batch, random_catalogue(chance, 4)))
            await asyncio.sleep(0)
        await drained(log, store)
    clean = await clean_pass(log, home.folder / "clean", "clean")
    assert everything(store) == everything(clean)
    assert counted(store, "items") == count_naively(events, "items")
    if isinstance(log, EmbeddedLog):
        assert log.committed(APP_ID).items() >= new_bulk(log, store).read_offsets().items()

    replayed = open_store(home.folder / "replayed")
    async with running(home, log, replayed):
        assert everything(replayed) == everything(clean)
        more = random_events(chance, 50, first=600)
        await log.append(appended(more))
        await drained(log, replayed)
    again = await clean_pass(log, home.folder / "again", "clean")
    assert everything(replayed) == everything(again)
    for tables in (store, clean, replayed, again):
        tables.close()
    await log.stop()


async def test_poison_goes_to_dead_letters_and_the_agents_go_on(home: Home) -> None:
    """Bytes that decode to nothing, a version from the future, and an event of unknown type are
    kept as they came, with the reason; what comes after them counts."""
    log = await open_log(home)
    store = open_store(home.folder / "tables")
    poke = VISITOR_EVENT.encode(StampedEvent("poke", "v", START))
    poison = {
        (VISITOR_EVENTS, 0): (b"\x01\xff\xff", "StampedEvent"),
        (VISITOR_EVENTS, 1): (b"\x09future", "version byte"),
        (VISITOR_EVENTS, 2): (poke, "unknown event type 'poke'"),
        (SIGNALS, 1): (b"", "SignalBatch"),
        (CATALOGUE, 2): (b"\x01\x90", "CatalogueRecord"),
    }
    async with running(home, log, store):
        await log.append(
            {
                TopicPartition(topic, partition): [Entry(b"key", value, START)]
                for (topic, partition), (value, _) in poison.items()
            }
        )
        events = [StampedEvent("view", f"v{n}", START, [Stamp("i1")]) for n in range(20)]
        await log.append(appended(events))
        await drained(log, store)
    letters: list[DeadLetter] = [
        DEAD_LETTER.decode(record.value or b"") for record in await topic_records(log, DEAD_LETTERS)
    ]
    assert len(letters) == len(poison)
    for letter in letters:
        value, reason = poison[letter.topic, letter.partition]
        assert (letter.key, letter.value, letter.offset) == (b"key", value, 0)
        assert reason in letter.reason
    assert counted(store, "items") == {("view", "i1"): 20}
    store.close()
    await log.stop()


class Unwilling:
    """A log that takes no signals."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, batches: Any) -> Any:
        if any(tp.topic == SIGNALS for tp in batches):
            raise LogUnavailable(batches, "the disk is full")
        return await self._log.append(batches)


async def test_a_write_that_fails_stops_the_app_and_loses_nothing(home: Home) -> None:
    """The app says why it crashed; nothing was committed, so the next one folds it."""
    log = await open_log(home)
    store = open_store(home.folder / "tables")
    events = [StampedEvent("view", "v1", START, [Stamp("i1")], id="e1")]
    async with running(home, Unwilling(log), store) as app:
        await log.append(appended(events))
        await until(log, [SIGNALS], lambda: app.crash_reason is not None)
        assert isinstance(app.crash_reason, LogUnavailable)
    assert counted(store, "visitors") == {}
    async with running(home, log, store):
        await drained(log, store)
    assert counted(store, "items") == count_naively(events, "items")
    store.close()
    await log.stop()
