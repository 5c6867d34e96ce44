"""A real Faust app on the embedded log."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import pytest

from eventlog.embedded import EmbeddedLog
from eventlog.faust_batches import take_batches
from eventlog.faust_consumer import MAX_IN_FLIGHT
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, LogUnavailable, Topic, TopicPartition

SOON = 20.0
PARTITIONS = 4
EVENTS = [TopicPartition("visitor-events", number) for number in range(PARTITIONS)]
CATALOGUE = TopicPartition("catalogue", 0)
EVENT = Entry(b"visitor", b"event", 1_700_000_000_123)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log")
    await log.create_topics([Topic("visitor-events", PARTITIONS), Topic("catalogue", PARTITIONS)])
    yield log
    await log.stop()


@pytest.fixture
def new_app(tmp_path: Path) -> Callable[..., faust.App]:
    def new_app(log: EmbeddedLog, **settings: Any) -> faust.App:
        app = faust.App(
            "under-test",
            broker="freshet://",
            datadir=str(tmp_path / "tables"),
            web_enabled=False,
            topic_disable_leader=True,
            topic_partitions=PARTITIONS,
            table_standby_replicas=0,
            stream_wait_empty=False,
            key_serializer="raw",
            value_serializer="raw",
            **{"store": "memory://", "broker_commit_interval": 0.05, **settings},
        )
        setattr(app, "eventlog", log)  # noqa: B010
        return app

    return new_app


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[None]:
    await app.start()
    try:
        yield
    finally:
        async with asyncio.timeout(SOON):
            await app.stop()


class Seen:
    """What an agent got, and waiting for it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._grown = asyncio.Condition()

    async def add(self, events: list[Any]) -> None:
        async with self._grown:
            self.events += events
            self._grown.notify_all()

    async def count(self, wanted: int) -> None:
        async with asyncio.timeout(SOON), self._grown:
            await self._grown.wait_for(lambda: len(self.events) >= wanted)

    @property
    def offsets(self) -> list[int]:
        return [event.message.offset for event in self.events]


Take = Callable[[Any], AsyncIterator[list[Any]]]


def with_take_events(stream: Any) -> AsyncIterator[list[Any]]:
    taken: AsyncIterator[list[Any]] = stream.take_events(256, within=0.001)
    return taken


def with_take_batches(stream: Any) -> AsyncIterator[list[Any]]:
    return take_batches(stream, 256)


def watch(app: faust.App, topic: str, take: Take = with_take_batches) -> Seen:
    """An agent on ``topic`` that notes what it gets."""
    seen = Seen()

    async def watcher(stream: Any) -> None:
        async for events in take(stream):
            await seen.add(events)

    channel = app.topic(topic, key_type=bytes, value_type=bytes)
    app.agent(channel, name=f"watcher-{topic}")(watcher)
    return seen


async def committed(log: EmbeddedLog, offsets: dict[TopicPartition, int]) -> None:
    """Wait until the app has committed ``offsets``."""
    async with asyncio.timeout(SOON):
        while log.committed("under-test") != offsets:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("take", [with_take_events, with_take_batches])
async def test_a_restart_goes_on_behind_the_last_commit(
    tmp_path: Path, log: EmbeddedLog, new_app: Any, take: Take
) -> None:
    """Every event is delivered once, over a restart of the app and of the log under it."""
    log.append_now({tp: [EVENT] * 50 for tp in EVENTS})
    app = new_app(log)
    seen = watch(app, "visitor-events", take)
    async with running(app):
        await seen.count(4 * 50)
        await committed(log, dict.fromkeys(EVENTS, 50))
    assert sorted(seen.offsets) == sorted(list(range(50)) * 4)
    event = seen.events[0]
    assert (event.key, event.value) == (EVENT.key, EVENT.value)
    assert event.message.timestamp == EVENT.timestamp / 1000

    await log.stop()
    log = EmbeddedLog(tmp_path / "log")
    log.append_now({tp: [EVENT] * 5 for tp in EVENTS})
    app = new_app(log)
    seen = watch(app, "visitor-events", take)
    async with running(app):
        await seen.count(4 * 5)
        log.append_now({tp: [EVENT] for tp in EVENTS})
        await seen.count(4 * 6)
    assert sorted(seen.offsets) == sorted(list(range(50, 56)) * 4)
    await log.stop()


async def test_a_stop_commits_what_was_acknowledged(log: EmbeddedLog, new_app: Any) -> None:
    """Stopping is enough: nothing that was done is done again."""
    app = new_app(log, broker_commit_interval=3600.0)
    seen = watch(app, "visitor-events")
    async with running(app):
        log.append_now({EVENTS[0]: [EVENT] * 10})
        await seen.count(10)
        log.append_now({EVENTS[0]: [EVENT]})
        await seen.count(11)
        await asyncio.sleep(0)
        assert log.committed("under-test") == {}
    assert log.committed("under-test")[EVENTS[0]] >= 10


async def test_a_batch_that_failed_is_delivered_again(log: EmbeddedLog, new_app: Any) -> None:
    """An agent that fails in the middle of a batch has acknowledged nothing of it."""
    log.append_now({EVENTS[0]: [EVENT] * 10})
    app = new_app(log)
    failed = asyncio.Event()

    async def fails(stream: Any) -> None:
        async for _ in take_batches(stream, 256):
            failed.set()
            raise RuntimeError("in the middle")

    app.agent(app.topic("visitor-events", key_type=bytes, value_type=bytes), name="fails")(fails)
    async with running(app):
        await asyncio.wait_for(failed.wait(), SOON)
    assert log.committed("under-test").get(EVENTS[0], 0) == 0

    app = new_app(log)
    seen = watch(app, "visitor-events")
    async with running(app):
        await seen.count(10)
    assert seen.offsets == list(range(10))


async def test_a_long_queue_of_one_topic_does_not_hold_up_another(
    log: EmbeddedLog, new_app: Any
) -> None:
    """With 50,000 events queued and their agent stuck, a catalogue record is delivered.

    No partition ever has more than its share with the agent, and all comes once it goes on.
    """
    log.append_now({tp: [EVENT] * 12_500 for tp in EVENTS})
    app = new_app(log)
    may_go_on, stuck = asyncio.Event(), asyncio.Event()
    done = Seen()

    async def slow(stream: Any) -> None:
        async for events in take_batches(stream, 256):
            stuck.set()
            await may_go_on.wait()
            assert all(len(waiting) <= MAX_IN_FLIGHT for waiting in in_flight().values())
            await done.add(events)

    def in_flight() -> dict[Any, Any]:
        return dict(app.consumer._in_flight)

    app.agent(app.topic("visitor-events", key_type=bytes, value_type=bytes), name="slow")(slow)
    catalogue = watch(app, "catalogue")
    async with running(app):
        await asyncio.wait_for(stuck.wait(), SOON)
        for expected in range(1, 4):
            log.append_now({CATALOGUE: [EVENT]})
            await catalogue.count(expected)
        may_go_on.set()
        for expected in range(4, 7):
            log.append_now({CATALOGUE: [EVENT]})
            await catalogue.count(expected)
        assert len(done.events) < 50_000
        await done.count(50_000)
        for tp in EVENTS:
            got = [e.message.offset for e in done.events if e.message.tp == tp]
            assert got == list(range(12_500))


async def test_an_event_reaches_an_idle_agent_within_a_few_turns(
    log: EmbeddedLog, new_app: Any
) -> None:
    """Nothing sleeps between an append and the agent: a few turns of the loop are enough."""
    app = new_app(log)
    seen = watch(app, "visitor-events")
    async with running(app):
        log.append_now({EVENTS[1]: [EVENT]})
        await seen.count(1)
        for expected in range(2, 20):
            log.append_now({EVENTS[expected % PARTITIONS]: [EVENT]})
            for _ in range(12):
                await asyncio.sleep(0)
            assert len(seen.events) == expected


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_tables_come_back(log: EmbeddedLog, new_app: Any, store: str) -> None:
    """A table is whole after a restart: from its changelog, or from a store that is current."""
    entries = [Entry(b"k%d" % (n % 30), b"v%d" % n, n) for n in range(90)]
    expected = {entry.key: entry.value for entry in entries}

    def counting(app: faust.App) -> tuple[Any, Seen]:
        topic = app.topic("visitor-events", key_type=bytes, value_type=bytes)
        options = {"driver": "rocksdict"} if store == "rocksdb://" else {}
        table = app.Table(
            "rows", key_type=bytes, value_type=bytes, partitions=PARTITIONS, options=options
        )
        seen = Seen()

        async def fold(stream: Any) -> None:
            async for event in stream.events():
                table[event.key] = event.value
                await seen.add([event])

        app.agent(topic, name="fold")(fold)
        return table, seen

    by_partition: dict[TopicPartition, list[Entry]] = {}
    for entry in entries:
        assert entry.key is not None
        tp = EVENTS[partition_for(entry.key, PARTITIONS)]
        by_partition.setdefault(tp, []).append(entry)

    app = new_app(log, store=store)
    table, seen = counting(app)
    async with running(app):
        log.append_now(by_partition)
        await seen.count(90)
        await committed(log, {tp: len(part) for tp, part in by_partition.items()})
        assert dict(table.items()) == expected
    changelog = [TopicPartition("under-test-rows-changelog", n) for n in range(PARTITIONS)]
    assert sum((await log.end_offsets(changelog)).values()) == 90

    app = new_app(log, store=store)
    table, seen = counting(app)
    async with running(app):
        log.append_now({EVENTS[partition_for(b"new", PARTITIONS)]: [Entry(b"new", b"v", 1)]})
        await seen.count(1)
        assert dict(table.items()) == {**expected, b"new": b"v"}
    assert len(seen.events) == 1


async def test_records_sent_by_faust_are_routed_as_kafka_would(
    log: EmbeddedLog, new_app: Any
) -> None:
    """``topic.send`` appends to the key's partition, whatever sent it."""
    app = new_app(log)
    topic = app.topic("catalogue", key_type=bytes, value_type=bytes)
    seen = watch(app, "catalogue")
    async with running(app):
        for n in range(20):
            await topic.send(key=b"key-%d" % n, value=b"v")
        await seen.count(20)
    for event in seen.events:
        assert event.message.partition == partition_for(event.key, PARTITIONS)


async def test_a_failed_send_stops_the_worker(
    log: EmbeddedLog, new_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changelog record that the log did not take is not just logged."""
    app = new_app(log)
    topic = app.topic("catalogue", key_type=bytes, value_type=bytes)
    seen = watch(app, "visitor-events")
    async with running(app):
        log.append_now({EVENTS[0]: [EVENT]})
        await seen.count(1)

        def refuse(batches: Any) -> None:
            raise LogUnavailable(batches, "no space")

        monkeypatch.setattr(log, "append_now", refuse)
        sent = await topic.send(key=b"k", value=b"v")
        with pytest.raises(LogUnavailable):
            await sent
        async with asyncio.timeout(SOON):
            await app.wait_until_stopped()
        assert isinstance(app.producer.crash_reason, LogUnavailable)
        monkeypatch.undo()


async def test_a_topic_that_is_missing_is_named(log: EmbeddedLog, new_app: Any) -> None:
    """An agent on a topic that nobody created stops the app with a sentence that says so."""
    app = new_app(log)
    watch(app, "forgotten")
    async with running(app):
        async with asyncio.timeout(SOON):
            await app.wait_until_stopped()
        assert "forgotten" in str(app.consumer.crash_reason)
