"""What a Kafka cluster can do to its log: go away, come back, say no, forget."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiokafka
import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.protocol.metadata import MetadataRequest

from eventlog.kafka import (
    Connection,
    KafkaAdmin,
    KafkaLog,
    KafkaRefused,
    KafkaUnreachable,
    LogUnreachable,
    TopicOptions,
    name_on_kafka,
)
from eventlog.kafka.reader import OffsetBeyondEnd
from eventlog.protocol import Entry, LogUnavailable, Record, Topic, TopicPartition
from tests.kafka_broker import Cluster
from tests.logs import administered

pytestmark = pytest.mark.kafka

SOON = 20.0
ROWS = [TopicPartition("rows", number) for number in range(4)]
LARGE = TopicPartition("large", 0)
TOPICS = [Topic("rows", 4), Topic("large", 1, max_record_bytes=16 << 20)]


def connection(cluster: Cluster, **credentials: Any) -> Connection:
    return Connection(bootstrap_servers=tuple(cluster.bootstrap_servers.split(",")), **credentials)


@asynccontextmanager
async def opened(cluster: Cluster, prefix: str, **settings: Any) -> AsyncIterator[KafkaLog]:
    options = TopicOptions(
        replication=len(cluster.brokers), min_insync_replicas=min(2, len(cluster.brokers))
    )
    log = KafkaLog(
        connection(cluster), client_id="test", prefix=prefix, options=options, **settings
    )
    await log.start()
    try:
        await log.create_topics(TOPICS)
        yield log
    finally:
        await log.stop()


def numbered(start: int, stop: int, padding: int = 0) -> list[Entry]:
    return [Entry(b"k%d" % n, b"%d" % n + b"." * padding, n) for n in range(start, stop)]


async def read(log: KafkaLog, tp: TopicPartition, count: int) -> list[Record]:
    reader = log.reader({tp: 0})
    records: list[Record] = []
    try:
        async with asyncio.timeout(SOON):
            while len(records) < count:
                records += (await reader.poll(1000, 1.0)).get(tp, [])
    finally:
        await reader.close()
    return records


def number(record: Record) -> int:
    assert record.value is not None
    return int(record.value.rstrip(b"."))


async def retried(log: KafkaLog, entries: list[Entry]) -> None:
    """As writers do: again until it is acknowledged."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                await log.append({ROWS[0]: entries})
                return
            except LogUnavailable:
                await asyncio.sleep(0.05)


async def test_a_record_of_sixteen_mebibytes_comes_through(broker: Cluster, prefix: str) -> None:
    """The largest record that a topic allows is appended and read beside small ones."""
    entries = [*numbered(0, 3), Entry(b"k", b"x" * ((16 << 20) - 1), 3), *numbered(4, 6)]
    async with opened(broker, prefix) as log:
        assert await log.append({LARGE: entries}) == {LARGE: 5}
        records = await read(log, LARGE, 6)
    assert [record.value for record in records] == [entry.value for entry in entries]


async def test_appends_at_once_do_not_mix(broker: Cluster, prefix: str) -> None:
    """However many batches an append takes, its records lie together, in order."""
    async with opened(broker, prefix) as log:
        lasts = await asyncio.gather(
            *(log.append({ROWS[0]: numbered(1000 * n, 1000 * n + 300, 8000)}) for n in range(4))
        )
        numbers = [number(record) for record in await read(log, ROWS[0], 1200)]
    assert sorted(last[ROWS[0]] for last in lasts) == [299, 599, 899, 1199]
    for first in range(0, 1200, 300):
        assert numbers[first : first + 300] == list(range(numbers[first], numbers[first] + 300))


async def test_a_log_survives_the_kill_of_its_broker(
    broker: Cluster, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Appends fail while the broker is gone and succeed after; a reader waits and misses nothing.

    What was acknowledged is there once; what was repeated may be there twice, in order.
    """
    caplog.set_level(logging.WARNING)
    async with opened(broker, prefix, append_timeout=1.0) as log:
        await log.append({ROWS[0]: numbered(0, 10)})
        reader = log.reader({ROWS[0]: 0})
        async with asyncio.timeout(SOON):
            while reader.position(ROWS[0]) < 10:
                await reader.poll(100, 1.0)
        await asyncio.to_thread(broker.kill)
        with pytest.raises(LogUnavailable, match=r"rows\[0\]"):
            await log.append({ROWS[0]: numbered(10, 11)})
        with pytest.raises(LogUnreachable, match="rows"):
            await log.end_offsets(ROWS)
        assert await reader.poll(10, 1.0) == {}
        healing = asyncio.create_task(asyncio.to_thread(broker.heal))
        await retried(log, numbered(10, 20))
        await healing
        got: list[int] = []
        async with asyncio.timeout(SOON):
            while 19 not in got:
                got += [number(r) for r in (await reader.poll(100, 1.0)).get(ROWS[0], [])]
        await reader.close()
    assert list(dict.fromkeys(got)) == list(range(10, 20))
    said = [record.msg for record in caplog.records if record.name.startswith("aiokafka")]
    assert len(said) == len(set(said)), "a broker that is down is said once"


async def test_a_frozen_broker_does_not_hold_an_append(broker: Cluster, prefix: str) -> None:
    """Where the broker takes a request and never answers, the append ends in time."""
    async with opened(broker, prefix, append_timeout=1.0) as log:
        await log.append({ROWS[0]: numbered(0, 1)})
        broker.freeze()
        try:
            async with asyncio.timeout(3.0):
                with pytest.raises(LogUnavailable, match=r"not acknowledged within 1 s"):
                    await log.append({ROWS[0]: numbered(1, 2)})
            with pytest.raises(LogUnreachable, match="rows"):
                await log.end_offsets(ROWS)
        finally:
            broker.thaw()
        await retried(log, numbered(2, 3))
        records = await read(log, ROWS[0], 3)
    assert [number(record) for record in records] == [0, 1, 2]


async def test_what_waits_is_bounded(broker: Cluster, prefix: str) -> None:
    """Over its bound the log refuses at once, and takes appends again when all is acknowledged."""
    async with opened(broker, prefix, append_timeout=2.0, max_pending_bytes=100_000) as log:
        await log.append({ROWS[0]: numbered(0, 1)})
        broker.freeze()
        try:
            waiting = asyncio.create_task(log.append({ROWS[1]: numbered(0, 90, 1000)}))
            await asyncio.sleep(0.1)
            async with asyncio.timeout(0.5):
                with pytest.raises(LogUnavailable, match="wait to be taken"):
                    await log.append({ROWS[2]: numbered(0, 90, 1000)})
        finally:
            broker.thaw()
        assert await waiting == {ROWS[1]: 89}
        assert await log.append({ROWS[2]: numbered(0, 90, 1000)}) == {ROWS[2]: 89}


async def test_a_cancelled_append_leaves_the_log_usable(broker: Cluster, prefix: str) -> None:
    """After appends were cancelled at any point, others get through and the order holds."""
    async with opened(broker, prefix) as log:
        for n in range(20):
            append = asyncio.create_task(log.append({tp: numbered(n, n + 1) for tp in ROWS}))
            await asyncio.sleep(0.0002 * n)
            append.cancel()
            await asyncio.wait([append])
        await log.append({tp: numbered(20, 21) for tp in ROWS})
        for tp in ROWS:
            end = (await log.end_offsets([tp]))[tp]
            numbers = [number(record) for record in await read(log, tp, end)]
            assert numbers == sorted(set(numbers))
            assert numbers[-1] == 20


async def test_only_partitions_that_failed_are_named(broker: Cluster, prefix: str) -> None:
    """Where the broker refuses one topic's batch, the others are taken, and so is what follows.

    A refused batch leaves a hole in the idempotent producer's sequence: it must be replaced.
    """
    async with opened(broker, prefix) as log:
        await log.append({LARGE: numbered(0, 1), ROWS[0]: numbered(0, 1)})
        # The limit is lowered behind the log's back.
        log._max_message_bytes["rows"] = 8 << 20
        too_large = [Entry(b"k", b"x" * (4 << 20), 1)]
        with pytest.raises(LogUnavailable) as refused:
            await log.append({LARGE: numbered(1, 2), ROWS[0]: too_large})
        assert refused.value.partitions == {ROWS[0]}
        assert await log.append({LARGE: numbered(2, 3), ROWS[0]: numbered(1, 2)}) == {
            LARGE: 2,
            ROWS[0]: 1,
        }


async def test_a_closed_log_says_so(broker: Cluster, prefix: str) -> None:
    """Appends and questions to a log that was stopped fail at once; it can be started again."""
    async with opened(broker, prefix) as log:
        await log.append({ROWS[0]: numbered(0, 1)})
        await log.stop()
        with pytest.raises(LogUnavailable, match="closed"):
            await log.append({ROWS[0]: numbered(1, 2)})
        with pytest.raises(LogUnreachable, match="closed"):
            await log.end_offsets(ROWS)
        await log.start()
        assert await log.append({ROWS[0]: numbered(1, 2)}) == {ROWS[0]: 1}


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_log_closes_in_time_without_its_broker(
    broker: Cluster, prefix: str, fault: str
) -> None:
    """What is still under way is given up, and nothing stays behind that would go on trying."""
    log = KafkaLog(
        connection(broker),
        client_id="test",
        prefix=prefix,
        options=TopicOptions(replication=1),
        append_timeout=1.0,
    )
    await log.start()
    await log.create_topics(TOPICS)
    reader = log.reader(dict.fromkeys(ROWS, 0))
    await log.append({tp: numbered(0, 1) for tp in ROWS})
    await reader.poll(1, SOON)
    await asyncio.to_thread(getattr(broker, fault))
    try:
        with pytest.raises(LogUnavailable):
            await log.append({tp: numbered(1, 2) for tp in ROWS})
        async with asyncio.timeout(8.0):
            await reader.close()
            await log.stop()
    finally:
        await asyncio.to_thread(broker.heal)
    left = {task for task in asyncio.all_tasks() - {asyncio.current_task()} if not task.done()}
    assert not left, "nothing of the client runs on"


async def test_a_seek_while_a_poll_waits_counts(broker: Cluster, prefix: str) -> None:
    """A seek before the first poll and one during a poll both decide what is read next."""
    async with opened(broker, prefix) as log:
        await log.append({ROWS[0]: numbered(0, 10)})
        reader = log.reader({ROWS[0]: 0})
        reader.seek(ROWS[0], 7)
        polled = await reader.poll(2, SOON)
        assert [record.offset for record in polled[ROWS[0]]] == [7, 8]
        await reader.poll(2, SOON)
        waiting = asyncio.create_task(reader.poll(5, SOON))
        await asyncio.sleep(0.05)
        reader.seek(ROWS[0], 3)
        polled = await waiting
        assert reader.position(ROWS[0]) == 8
        assert [record.offset for record in polled[ROWS[0]]] == [3, 4, 5, 6, 7]
        await reader.close()


async def test_a_reader_that_retention_overtook_goes_on_at_the_start(
    broker: Cluster, prefix: str
) -> None:
    """Its position moves to what is left, also where nothing is."""
    async with opened(broker, prefix) as log, administered(connection(broker), prefix) as admin:
        await log.append({tp: numbered(0, 10) for tp in ROWS[:2]})
        reader = log.reader({ROWS[0]: 2, ROWS[1]: 2})
        on_kafka = [
            aiokafka.TopicPartition(name_on_kafka(prefix, tp.topic), tp.partition)
            for tp in ROWS[:2]
        ]
        deleted = {on_kafka[0]: RecordsToDelete(6), on_kafka[1]: RecordsToDelete(10)}
        await admin.client.delete_records(deleted)
        got: dict[TopicPartition, list[Record]] = {}
        async with asyncio.timeout(SOON):
            while any(reader.position(tp) < 10 for tp in ROWS[:2]):
                got |= await reader.poll(100, 0.2)
        assert [record.offset for record in got[ROWS[0]]] == [6, 7, 8, 9]
        assert ROWS[1] not in got
        await reader.close()


async def test_a_log_that_is_shorter_than_what_was_read_is_an_error(
    broker: Cluster, prefix: str
) -> None:
    """A topic that was made anew is not read again from its start in silence."""
    async with opened(broker, prefix) as log:
        reader = log.reader({ROWS[0]: 5})
        with pytest.raises(OffsetBeyondEnd, match=r"rows\[0\] ends at 0"):
            await reader.poll(10, SOON)
        await reader.close()


async def test_topics_are_compared_with_what_is_wanted(broker: Cluster, prefix: str) -> None:
    """Each difference is said with what was expected and what was found; no difference, nothing."""
    options = TopicOptions(replication=1)
    table = Topic("table", 2, compacted=True)
    short = Topic("short", 1, retention_ms=86_400_000)
    async with administered(connection(broker), prefix) as admin:
        assert await admin.differences([table], options) == ["topic table is missing"]
        assert await admin.create([table, short], options) == ["table", "short"]
        assert await admin.create([table, short], options) == []
        assert await admin.differences([table, short], options) == []
        other = TopicOptions(replication=2, compaction_lag_ms=1000)
        wanted = Topic("table", 3, max_record_bytes=2 << 20)
        said = "\n".join(await admin.differences([wanted], other))
        assert (await admin.describe(["table"]))["table"].replication == 1
        assert len(await admin.brokers()) == 1
    assert "partitions: expected 3, found 2" in said
    assert "replication: expected 2, found 1" in said
    assert "cleanup.policy: expected delete, found compact" in said
    assert "max.message.bytes: expected 2097280, found 1048704" in said


async def test_a_cluster_that_is_not_there_is_named() -> None:
    """An address where nobody listens is in the message, and soon."""
    nowhere = Connection(bootstrap_servers=("127.0.0.1:1",))
    with pytest.raises(KafkaUnreachable, match=r"127\.0\.0\.1:1"):
        await KafkaLog(nowhere, client_id="test").start()


async def test_a_wrong_password_is_named(scram_broker: Cluster, prefix: str) -> None:
    """The user and the mechanism are in the message; the password is not."""
    wrong = connection(
        scram_broker,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="worker",
        sasl_password="not-this",
    )
    with pytest.raises(KafkaRefused, match=r"'worker' \(SCRAM-SHA-256\)") as refused:
        await KafkaLog(wrong, client_id="test", prefix=prefix).start()
    assert "not-this" not in f"{refused.value} {wrong!r}"


async def test_a_missing_right_is_named(scram_broker: Cluster, prefix: str) -> None:
    """A user without any right is refused with words about rights, not kept waiting."""
    user = connection(
        scram_broker,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="worker",
        sasl_password="worker-secret",
    )
    async with asyncio.timeout(SOON):
        with pytest.raises(KafkaRefused, match=r"(?i)authoriz|right"):
            await KafkaLog(user, client_id="test", prefix=prefix).start()


async def test_new_topics_are_known_to_every_broker(cluster: Cluster, prefix: str) -> None:
    """Once topics are made, whoever starts next finds them, whichever broker it asks."""
    admin = KafkaAdmin(connection(cluster), client_id="test", prefix=prefix)
    await admin.start()
    try:
        for turn in range(5):
            topics = [Topic(f"rows{turn}{number}", 4) for number in range(5)]
            names = [name_on_kafka(prefix, topic.name) for topic in topics]
            await admin.create(topics, TopicOptions(replication=3))
            for broker in await admin.brokers():
                answer = await admin.client._send_request(MetadataRequest(names), broker)
                assert {code for code, *_ in answer.topics} == {0}
    finally:
        await admin.stop()


async def test_the_loss_of_one_broker_of_three_loses_nothing(cluster: Cluster, prefix: str) -> None:
    """While one of three is killed, every acknowledged record stays, once where not repeated."""
    async with opened(cluster, prefix, append_timeout=10.0) as log:
        acknowledged: set[int] = set()
        repeated: set[int] = set()

        async def write(first: int) -> None:
            for n in range(first, 600, 4):
                while n not in acknowledged:
                    try:
                        await log.append({ROWS[n % 4]: numbered(n, n + 1)})
                        acknowledged.add(n)
                    except LogUnavailable:
                        repeated.add(n)

        async with asyncio.timeout(60):
            writers = asyncio.gather(*(write(first) for first in range(4)))
            while len(acknowledged) < 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.kill, 1)
            await writers
            ends = await log.end_offsets(ROWS)
            found = [number(record) for tp in ROWS for record in await read(log, tp, ends[tp])]
    assert set(found) == set(range(600))
    assert {n for n in found if found.count(n) > 1} <= repeated
