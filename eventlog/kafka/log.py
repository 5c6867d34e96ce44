"""``EventLog`` on a Kafka cluster."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

from eventlog.kafka.admin import KafkaAdmin
from eventlog.kafka.appender import Appender, NotAppended
from eventlog.kafka.batches import WHOLE_BYTES, Batch, split
from eventlog.kafka.connection import Connection, started, stopped
from eventlog.kafka.errors import KafkaRefused, KafkaUnreachable, LogUnreachable, failure, in_words
from eventlog.kafka.names import from_kafka, on_kafka
from eventlog.kafka.quiet import quieten
from eventlog.kafka.reader import KafkaReader
from eventlog.kafka.settings import TopicOptions
from eventlog.protocol import Entry, LogUnavailable, Topic, TopicPartition


class KafkaLog:
    """Connects in ``start``, which may be tried again; one event loop may use it.

    ``append_timeout`` (seconds) bounds every wait for the cluster but a reader's. An append that
    ran into it may still be taken later, and again when the caller repeats it: at least once; ids
    and offsets in the records make that exactly once. ``max_pending_bytes`` bounds what waits to
    be taken: more is refused at once. ``prefix`` starts the name of every topic on the cluster.
    ``options`` are needed to create topics only.
    """

    whole_bytes = WHOLE_BYTES

    def __init__(
        self,
        connection: Connection,
        *,
        client_id: str,
        prefix: str = "",
        append_timeout: float = 5.0,
        max_pending_bytes: int = 64 << 20,
        options: TopicOptions | None = None,
    ) -> None:
        self._connection = connection
        self._client_id = client_id
        self._prefix = prefix
        self._timeout = append_timeout
        self._options = options
        self._admin = KafkaAdmin(
            connection, client_id=client_id, prefix=prefix, timeout=append_timeout
        )
        self._appender = Appender(connection, client_id, append_timeout, max_pending_bytes)
        self._offsets: Any = None
        self._partitions: dict[str, int] = {}
        self._max_message_bytes: dict[str, int] = {}

    async def start(self) -> None:
        """Connect and learn the topics. Raises ``KafkaRefused`` or ``KafkaUnreachable``."""
        quieten()
        try:
            await self._admin.start()
            await self.learn_topics()
            self._offsets = aiokafka.AIOKafkaConsumer(
                client_id=self._client_id,
                enable_auto_commit=False,
                request_timeout_ms=int(self._timeout * 1000),
                **self._connection.client_options(),
            )
            await started(self._offsets.start(), self._timeout)
            await self._appender.start()
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            raise failure("connecting", error) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Wait a bounded time for what is under way, then disconnect."""
        await self._appender.stop()
        offsets, self._offsets = self._offsets, None
        if offsets is not None:
            await stopped(offsets)
        await self._admin.stop()

    async def learn_topics(self) -> None:
        """Ask again which topics there are; ``start`` has done it once. Kafka only."""
        self._partitions = await self._admin.partition_counts()
        self._max_message_bytes.clear()

    async def create_topics(self, topics: Iterable[Topic]) -> None:
        """Create what is missing; what exists is left as it is. Raises ``TopicMismatch``.

        Only ``freshet topics create`` and tests call it.
        """
        if self._options is None:
            raise ValueError("to create topics, a log needs TopicOptions")
        await self._admin.create(topics, self._options)
        await self.learn_topics()

    def partitions(self, topic: str) -> int:
        """How many partitions ``topic`` has. Raises ``KeyError`` for an unknown topic."""
        return self._partitions[topic]

    async def append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        """Append each batch in order; the offset of each partition's last record.

        Each partition succeeds or fails by itself. Raises ``RecordTooLarge`` (nothing appended)
        or ``LogUnavailable`` (naming the partitions that were not acknowledged).
        """
        filled = {tp: entries for tp, entries in batches.items() if entries}
        for tp in filled:
            if tp.partition not in range(self.partitions(tp.topic)):
                raise KeyError(tp)
        limits = await self._limits(filled)
        cut: dict[aiokafka.TopicPartition, list[Batch]] = {
            on_kafka(self._prefix, tp): split(tp.topic, entries, limits[tp.topic])
            for tp, entries in filled.items()
        }
        try:
            lasts = await self._appender.append(cut) if cut else {}
        except NotAppended as error:
            failed = [from_kafka(self._prefix, tp) for tp in error.reasons]
            raise LogUnavailable(failed, str(error)) from error
        return {from_kafka(self._prefix, tp): last for tp, last in lasts.items()}

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The lowest offset that may still be read. Raises ``LogUnreachable``."""
        return await self._ask("beginning_offsets", partitions)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """One more than the last acknowledged offset. Raises ``LogUnreachable``."""
        return await self._ask("end_offsets", partitions)

    def reader(self, positions: Mapping[TopicPartition, int]) -> KafkaReader:
        """A reader of these partitions, each from its position on. Raises ``KeyError``."""
        for tp in positions:
            if tp.partition not in range(self.partitions(tp.topic)):
                raise KeyError(tp)
        return KafkaReader(self._connection, self._client_id, self._prefix, positions)

    async def _ask(
        self, which: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        wanted = {on_kafka(self._prefix, tp): tp for tp in partitions}
        if not wanted:
            return {}
        if self._offsets is None:
            raise LogUnreachable(wanted.values(), "the log is closed")
        call: Awaitable[dict[Any, int]] = getattr(self._offsets, which)(list(wanted))
        try:
            async with asyncio.timeout(self._timeout):
                found = await call
        except (KafkaError, TimeoutError) as error:
            raise LogUnreachable(wanted.values(), in_words(error)) from error
        return {wanted[tp]: offset for tp, offset in found.items()}

    async def _limits(self, batches: Iterable[TopicPartition]) -> dict[str, int]:
        unknown = {tp.topic for tp in batches} - self._max_message_bytes.keys()
        if unknown:
            try:
                settings = await self._admin.settings(sorted(unknown))
            except (KafkaRefused, KafkaUnreachable) as error:
                raise LogUnavailable(batches, str(error)) from error
            for topic, values in settings.items():
                self._max_message_bytes[topic] = int(values["max.message.bytes"])
        return self._max_message_bytes
