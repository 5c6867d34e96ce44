"""Faust's producer over the embedded log."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any, cast

from faust.exceptions import ImproperlyConfigured
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP, RecordMetadata

from eventlog.embedded import EmbeddedLog
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, Topic, TopicPartition


class Producer(FaustProducer):
    """Appends what Faust sends (changelogs of plain tables, topics' ``send``)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log = log_of(self.app)
        self._sending: set[asyncio.Task[RecordMetadata]] = set()

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Append soon, in the order of the calls; the worker stops if that fails."""
        sending = asyncio.create_task(self._append(topic, key, value, partition, timestamp))
        self._sending.add(sending)
        sending.add_done_callback(self._sent)
        return sending

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> RecordMetadata:
        """Append now."""
        return await self._append(topic, key, value, partition, timestamp)

    async def flush(self) -> None:
        """Return once everything that was sent is appended."""
        await self.buffer.flush()
        if self._sending:
            await asyncio.wait(self._sending)

    async def create_topic(
        self, topic: str, partitions: int, replication: int, **options: Any
    ) -> None:
        """Create ``topic`` if it is missing."""
        await create_missing(self._log, topic, partitions, options)

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Where a record goes."""
        return TP(topic, route(self._log, topic, key))

    async def _append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
    ) -> RecordMetadata:
        if partition is None:
            partition = route(self._log, topic, key)
        at = time.time() if timestamp is None else timestamp
        tp = TopicPartition(topic, partition)
        lasts = await self._log.append({tp: [Entry(key, value, int(at * 1000))]})
        return RecordMetadata(topic, partition, TP(topic, partition), lasts[tp], at, 0)

    def _sent(self, sending: asyncio.Task[RecordMetadata]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled() and (error := sending.exception()) is not None:
            self.add_future(self.crash(error))


def log_of(app: Any) -> EmbeddedLog:
    """The log that the composition root gave the app."""
    return cast(EmbeddedLog, app.eventlog)


def route(log: EmbeddedLog, topic: str, key: bytes | None) -> int:
    """The partition of ``key``; the first for records without one."""
    return 0 if key is None else partition_for(key, log.partitions(topic))


async def create_missing(
    log: EmbeddedLog, name: str, partitions: int, options: Mapping[str, Any]
) -> None:
    """Create the topic ``name`` as Faust declares it, unless it exists."""
    try:
        existing = log.partitions(name)
    except KeyError:
        compacted = bool(options.get("compacting"))
        await log.create_topics([Topic(name, partitions, compacted=compacted)])
        return
    if existing != partitions:
        raise ImproperlyConfigured(f"{name} has {existing} partitions, the app wants {partitions}")
