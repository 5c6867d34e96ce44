"""The logs that tests run on, embedded and Kafka's; and what a test reads of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiokafka
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventlog.embedded import EmbeddedLog
from eventlog.kafka import Connection, KafkaAdmin, KafkaLog, TopicOptions, name_on_kafka
from eventlog.protocol import Entry, EventLog, Record, TopicPartition
from tests.kafka_broker import Cluster

SOON = 20.0
RETENTION_MS = 1000
_FAR_AHEAD = 4_102_444_800_000


class Home(Protocol):
    """Where a test's log lives: it can be opened, and opened again after it was stopped.

    ``folder`` is for what the test keeps beside the log.
    """

    folder: Path

    async def open(self) -> EventLog: ...

    def now(self) -> int:
        """The time that retention goes by, in ms."""
        ...

    async def compact(self, log: EventLog, topic: str) -> None:
        """Compact ``topic`` now. Partition 0 may get one more record, a tombstone."""
        ...

    async def expire(self, log: EventLog, topic: str, count: int) -> None:
        """Let the first ``count`` records of partition 0 fall out of ``RETENTION_MS``."""
        ...

    async def delete_topic(self, log: EventLog, topic: str) -> None:
        """Delete ``topic``: it is gone when the log is opened again."""
        ...


class EmbeddedHome:
    """An embedded log in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._expired_by: int | None = None

    async def open(self) -> EmbeddedLog:
        log = EmbeddedLog(self.folder / "log", clock=self.now)
        await log.start()
        return log

    def now(self) -> int:
        return time.time_ns() // 1_000_000 if self._expired_by is None else self._expired_by

    async def compact(self, log: EventLog, topic: str) -> None:
        assert isinstance(log, EmbeddedLog)
        await log.compact(topic)

    async def expire(self, log: EventLog, topic: str, count: int) -> None:
        assert isinstance(log, EmbeddedLog)
        last = log.read(TopicPartition(topic, 0), count - 1, 1)[0]
        self._expired_by = last.timestamp + RETENTION_MS + 1
        await log.clean()

    async def delete_topic(self, log: EventLog, topic: str) -> None:
        assert isinstance(log, EmbeddedLog)
        await log.delete_topic(topic)


class KafkaHome:
    """A log on ``broker``, under names that begin with ``prefix``."""

    def __init__(self, folder: Path, broker: Cluster, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.connection = Connection(bootstrap_servers=tuple(broker.bootstrap_servers.split(",")))
        self._options = TopicOptions(replication=min(3, len(broker.brokers)), compaction_lag_ms=0)

    async def open(self) -> KafkaLog:
        log = KafkaLog(self.connection, client_id="test", prefix=self.prefix, options=self._options)
        await log.start()
        return log

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def compact(self, log: EventLog, topic: str) -> None:
        """Kafka compacts all but the newest segment: one more record begins another."""
        tp = TopicPartition(topic, 0)
        before = await records(log, tp)
        await self._set(topic, **{"segment.ms": "1", "min.cleanable.dirty.ratio": "0"})
        later = _FAR_AHEAD + 1000 * before[-1].offset
        await log.append({tp: [Entry(b"compacted", None, later)]})
        async with asyncio.timeout(SOON):
            while len(await records(log, tp)) > len({record.key for record in before}) + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def expire(self, log: EventLog, topic: str, count: int) -> None:
        """Kafka drops whole segments; this drops records as that does, but just these."""
        tp = aiokafka.TopicPartition(name_on_kafka(self.prefix, topic), 0)
        async with self._admin() as admin:
            await admin.client.delete_records({tp: RecordsToDelete(count)})

    async def delete_topic(self, log: EventLog, topic: str) -> None:
        async with self._admin() as admin:
            await admin.delete([topic])
            async with asyncio.timeout(SOON):
                while topic in await admin.partition_counts():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Delete every topic."""
        await delete_topics(self.connection, self.prefix)

    async def _set(self, topic: str, **settings: str) -> None:
        async with self._admin() as admin:
            settings = {**(await admin.settings([topic]))[topic], **settings}
            name = name_on_kafka(self.prefix, topic)
            changed = ConfigResource(ConfigResourceType.TOPIC, name, settings)
            [answer] = await admin.client.alter_configs([changed])
            assert all(code == 0 for code, *_ in answer.resources), answer

    def _admin(self) -> AbstractAsyncContextManager[KafkaAdmin]:
        return administered(self.connection, self.prefix)


@asynccontextmanager
async def administered(connection: Connection, prefix: str) -> AsyncIterator[KafkaAdmin]:
    """An admin client of topics under ``prefix``."""
    admin = KafkaAdmin(connection, client_id="test-admin", prefix=prefix)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.stop()


async def delete_topics(connection: Connection, prefix: str) -> None:
    """Those under ``prefix``: a broker with thousands is slow to start after a kill."""
    async with administered(connection, prefix) as admin:
        await admin.delete(await admin.partition_counts())


async def records(log: EventLog, tp: TopicPartition, first: int = 0) -> list[Record]:
    """The records of a partition that are there now, from the offset ``first`` on."""
    return (await records_of(log, {tp: first}))[tp]


async def topic_records(log: EventLog, topic: str) -> list[Record]:
    """The records of a topic that are there now, one partition after another."""
    every = {TopicPartition(topic, number): 0 for number in range(log.partitions(topic))}
    return [record for found in (await records_of(log, every)).values() for record in found]


async def records_of(
    log: EventLog, positions: Mapping[TopicPartition, int]
) -> dict[TopicPartition, list[Record]]:
    """The records of partitions that are there now, from ``positions`` on."""
    ends = await log.end_offsets(positions)
    starts = await log.start_offsets(positions)
    found: dict[TopicPartition, list[Record]] = {tp: [] for tp in positions}
    left = {
        tp: max(position, starts[tp])
        for tp, position in positions.items()
        if max(position, starts[tp]) < ends[tp]
    }
    if not left:
        return found
    reader = log.reader(left)
    try:
        async with asyncio.timeout(SOON):
            while any(reader.position(tp) < ends[tp] for tp in left):
                for tp, new in (await reader.poll(10_000, 0.5)).items():
                    found[tp] += [record for record in new if record.offset < ends[tp]]
    finally:
        await reader.close()
    return found
